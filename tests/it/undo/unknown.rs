//! Deletes whose answer was lost.

use serde_json::{Value, json};
use smh_gateway::simulator::{Fault, Injection, Matcher, RouteKind};

use super::{Book, Stage, now, since_now};

#[tokio::test]
async fn a_delete_without_an_answer_is_found_in_the_bin_by_path_and_time() {
    let stage = Stage::new().await;
    let mut book = Book::new();
    let unknown = stage.delete_one("a/unknown").await;
    book.delete("robot", "a/unknown", json!({ "outcome": "unknown", "status": 504 }));
    let killed = stage.delete_one("a/killed").await;
    book.intent("robot", "a/killed", json!({}));
    let five = stage.delete_one("a/500").await;
    book.delete("robot", "a/500", json!({ "outcome": "relayed", "smh_status": 500 }));
    let others = stage.delete_one("a/others").await;
    stage.write("audit.jsonl", &book);
    let ran = stage.undo(&["audit.jsonl"], &[]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("3 of them were found by path and time"), "{}", ran.out);
    let mut back = stage.brought_back();
    back.sort_unstable();
    assert_eq!((back, stage.in_bin()), (vec![unknown, killed, five], vec![others]));
    // What was found once is known.
    let again = stage.undo(&["audit.jsonl"], &[]).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.out.contains("3 files restored before"), "{}", again.out);
}

#[tokio::test]
async fn a_delete_without_an_answer_that_is_not_in_the_bin_is_told() {
    let stage = Stage::new().await;
    let mut book = Book::new();
    book.intent("robot", "a/never", json!({}));
    book.delete("robot", "a/forever", json!({ "permanent": true, "outcome": "unknown" }));
    stage.write("audit.jsonl", &book);
    let ran = stage.undo(&["audit.jsonl"], &[]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.out.contains("it is not in the recycle bin: most likely not deleted"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("permanent=1 was asked for: gone if it was deleted"), "{}", ran.out);
    assert_eq!(stage.restores().len(), 0);
}

/// Its path was deleted by somebody else about then, and a journal says by which delete.
#[tokio::test]
async fn what_another_delete_put_into_the_bin_is_not_taken_for_it() {
    let stage = Stage::new().await;
    let mut book = Book::new();
    let person = stage.deleted(&mut book, "person", &["a/1"]).await;
    book.delete("robot", "a/1", json!({ "outcome": "unknown" }));
    stage.write("audit.jsonl", &book);
    let ran = stage.undo(&["audit.jsonl"], &["--caller", "robot"]).await;
    assert_eq!((ran.code, stage.in_bin()), (Some(1), person), "{ran:?}");
}

#[tokio::test]
async fn where_several_items_could_be_it_none_is_taken() {
    let stage = Stage::new().await;
    let mut book = Book::new();
    let ids = [stage.delete_one("a/1").await, stage.delete_one("a/1").await];
    book.delete("robot", "a/1", json!({ "outcome": "unknown" }));
    stage.write("one.jsonl", &book);
    let ran = stage.undo(&["one.jsonl"], &[]).await;
    assert_eq!((ran.code, stage.in_bin()), (Some(1), ids.to_vec()), "{ran:?}");
    assert!(ran.out.contains("several items of the recycle bin could be it"), "{}", ran.out);
    // The one of another replica tells them apart.
    let mut other = Book::new();
    other.recycled("person", "a/1", ids[0]);
    stage.write("other.jsonl", &other);
    let ran = stage.undo(&["one.jsonl", "other.jsonl"], &["--caller", "robot"]).await;
    assert_eq!((ran.code, stage.in_bin()), (Some(0), vec![ids[0]]), "{ran:?}");
}

#[tokio::test]
async fn a_bin_of_many_pages_is_looked_through() {
    let stage = Stage::new().await;
    let mut book = Book::new();
    let first = stage.delete_one("a/first").await;
    let others: Vec<_> = (0..350).map(|index| format!("b/{index}")).collect();
    stage.delete(&others).await;
    book.delete("robot", "a/first", json!({ "outcome": "unknown" }));
    stage.write("audit.jsonl", &book);
    let ran = stage.undo(&["audit.jsonl"], &[]).await;
    assert_eq!((ran.code, stage.brought_back()), (Some(0), vec![first]), "{ran:?}");
    assert_eq!(stage.asked_for(RouteKind::ListRecycled), 4);
}

#[tokio::test]
async fn a_bin_that_cannot_be_looked_at_is_told_and_what_has_an_id_comes_back_all_the_same() {
    let stage = Stage::new().await;
    let mut book = Book::new();
    let ids = stage.deleted(&mut book, "robot", &["a/1"]).await;
    book.delete("robot", "a/2", json!({ "outcome": "unknown" }));
    stage.write("audit.jsonl", &book);
    let fault = Fault::Error { status: 400, code: "Unheard".to_owned() };
    let lists = Matcher::route(RouteKind::ListRecycled);
    stage.smh.simulator.inject(Injection::forever(fault).when(lists));
    let ran = stage.undo(&["audit.jsonl"], &["--format", "json"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["bins_not_seen"][0]["why"], "SMH refuses it: 400 Unheard");
    assert_eq!(report["cannot"], json!({ "not_looked": 1 }));
    assert_eq!((&report["restored"], stage.brought_back()), (&json!(1), ids));
}

/// The next start of a gateway that was killed says of its deletes that nobody knows, at its own time.
#[tokio::test]
async fn a_delete_whose_gateway_came_back_half_an_hour_later_is_found_at_the_time_at_which_it_began()
 {
    for knows_its_time in [true, false] {
        let stage = Stage::new().await;
        let mut book = Book::new();
        let id = stage.delete_one("a/1").await;
        let began = now();
        let mut closing = book.intent("robot", "a/1", json!({ "time": began }));
        closing["event"] = json!("delete");
        closing["time"] = json!(since_now(30 * 60));
        closing["outcome"] = json!("unknown");
        if knows_its_time {
            closing["intended"] = json!(began);
        }
        book.record(&closing);
        stage.write("audit.jsonl", &book);
        let until = since_now(60);
        let ran = stage.undo(&["audit.jsonl"], &["--until", &until]).await;
        assert_eq!((ran.code, stage.brought_back()), (Some(0), vec![id]), "{ran:?}");
    }
}

/// An answer that was not relayed, because it could not be, was heard all the same.
#[tokio::test]
async fn an_answer_that_was_not_relayed_counts_for_what_it_said() {
    let stage = Stage::new().await;
    let mut book = Book::new();
    let ids = [stage.delete_one("a/1").await, stage.delete_one("a/1").await];
    let mut said = json!({
        "outcome": "unknown", "status": 502, "smh_status": 200, "recycled_item_id": ids[0],
        "reversible": true,
    });
    book.delete("robot", "a/1", said.clone());
    said["smh_status"] = json!(204);
    said["reversible"] = json!(false);
    said.as_object_mut().unwrap().remove("recycled_item_id");
    book.delete("robot", "a/1", said);
    stage.write("audit.jsonl", &book);
    let ran = stage.undo(&["audit.jsonl"], &[]).await;
    assert_eq!((ran.code, stage.brought_back()), (Some(1), vec![ids[0]]), "{ran:?}");
    assert!(ran.out.contains("the recycle bin was off"), "{}", ran.out);
    assert!(!ran.out.contains("found by path and time"), "{}", ran.out);
}

#[tokio::test]
async fn what_was_found_before_a_gateway_was_started_again_is_known_behind_it() {
    let stage = Stage::new().await;
    let mut book = Book::new();
    let id = stage.delete_one("a/1").await;
    let mut closing = book.intent("robot", "a/1", json!({}));
    stage.write("audit.jsonl", &book);
    let ran = stage.undo(&["audit.jsonl"], &[]).await;
    assert_eq!((ran.code, stage.brought_back()), (Some(0), vec![id]), "{ran:?}");
    closing["event"] = json!("delete");
    closing["outcome"] = json!("unknown");
    book.record(&closing);
    stage.write("audit.jsonl", &book);
    // Somebody deletes it again, with good reason.
    let other = stage.delete_one("a/1").await;
    let ran = stage.undo(&["audit.jsonl"], &[]).await;
    assert_eq!((ran.code, stage.in_bin()), (Some(0), vec![other]), "{ran:?}");
    assert!(ran.out.contains("1 file restored before"), "{}", ran.out);
}

#[tokio::test]
async fn a_record_that_cannot_be_made_out_is_told_and_the_others_are_heeded() {
    let stage = Stage::new().await;
    let mut book = Book::new();
    let ids = stage.deleted(&mut book, "robot", &["a/1"]).await;
    book.record(&json!({ "time": "noon", "event": "delete", "outcome": "unknown", "path": "a/2" }));
    stage.write("audit.jsonl", &book);
    let ran = stage.undo(&["audit.jsonl"], &[]).await;
    assert_eq!((ran.code, stage.brought_back()), (Some(1), ids), "{ran:?}");
    assert!(ran.out.contains("1 line of the journals: a record that cannot be made out"));
}

/// Two callers, no answer for either, and one item: whose it is nobody knows.
#[tokio::test]
async fn what_could_be_the_delete_of_another_caller_is_not_brought_back_for_this_one() {
    let stage = Stage::new().await;
    let mut book = Book::new();
    let id = stage.delete_one("a/1").await;
    book.delete("person", "a/1", json!({ "outcome": "unknown" }));
    book.delete("robot", "a/1", json!({ "outcome": "unknown" }));
    stage.write("audit.jsonl", &book);
    let ran = stage.undo(&["audit.jsonl"], &["--caller", "robot"]).await;
    assert_eq!((ran.code, stage.in_bin()), (Some(1), vec![id]), "{ran:?}");
    assert!(ran.out.contains("could be it, or one could be another delete's"), "{}", ran.out);
    // Where both are asked for, one of the two comes back, whichever it was.
    let ran = stage.undo(&["audit.jsonl"], &[]).await;
    assert_eq!((ran.code, stage.brought_back()), (Some(1), vec![id]), "{ran:?}");
}
