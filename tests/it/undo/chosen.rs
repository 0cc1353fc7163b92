//! Exactly what was asked for comes back, and what cannot is told.

use serde_json::{Value, json};
use smh_gateway::simulator::{RecycleBin, RouteKind};

use super::{Book, Stage};
use crate::support::{LIBRARY, SPACE};

#[tokio::test]
async fn what_is_selected_comes_back_and_nothing_else() {
    let stage = Stage::new().await;
    let mut book = Book::new();
    let paths: Vec<_> = (0..250).map(|index| format!("a/{index}.jpg")).collect();
    let paths: Vec<_> = paths.iter().map(String::as_str).collect();
    let robot = stage.deleted(&mut book, "robot", &paths).await;
    let person = stage.deleted(&mut book, "person", &["a/keep.jpg"]).await;
    stage.write("audit.jsonl", &book);
    let ran = stage.undo(&["audit.jsonl"], &["--caller", "rob*"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(stage.in_bin(), person, "a delete of another caller stays");
    assert_eq!(stage.smh.files().len(), 250);
    let sizes: Vec<_> = stage.restores().iter().map(|(_, ids)| ids.len()).collect();
    assert_eq!(sizes, [100, 100, 50]);
    let mut back = stage.brought_back();
    back.sort_unstable();
    assert_eq!(back, robot);
    for part in ["250 files can be restored", "t1", "smhxxx/spacexxx", "250 files restored"] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    for request in stage.smh.received() {
        if request.route == Some(RouteKind::RestoreBatch) {
            let said =
                "restore&conflict_resolution_strategy=rename&restore_path_strategy=originalPath&";
            assert!(request.target.contains(said), "{}", request.target);
        }
    }
}

#[tokio::test]
async fn each_restore_is_written_down_before_and_after() {
    let stage = Stage::new().await;
    let mut book = Book::new();
    let ids = stage.deleted(&mut book, "robot", &["a/1"]).await;
    stage.write("audit.jsonl", &book);
    stage.undo(&["audit.jsonl"], &[]).await;
    let ledger = stage.ledger();
    assert_eq!(ledger.len(), 2, "{ledger:#?}");
    for record in &ledger {
        assert_eq!(
            (&record["event"], &record["recycled_item_id"]),
            (&json!("undo"), &json!(ids[0]))
        );
        assert_eq!((&record["path"], &record["delete"]), (&json!("a/1"), &json!("d1")));
        assert_eq!((&record["of_seq"], &record["library"]), (&json!(2), &json!(LIBRARY)));
        assert!(record["undo"].as_str().is_some_and(|run| run.len() == 16));
        assert!(record["operator_uid"].is_u64() && record["time"].is_string());
    }
    assert_eq!((&ledger[0]["restored"], &ledger[1]["restored"]), (&Value::Null, &json!(true)));
    assert_eq!(ledger[1]["as_path"], "a/1");
    let whole = std::fs::read(stage.folder.path("undo.jsonl")).unwrap();
    for line in whole.split_inclusive(|&byte| byte == b'\n') {
        let sealed = smh_gateway::journal::Sealed::parse(line.trim_ascii_end()).unwrap();
        assert!(sealed.holds());
    }
}

#[tokio::test]
async fn a_second_run_restores_nothing_twice() {
    let stage = Stage::new().await;
    let mut book = Book::new();
    stage.deleted(&mut book, "robot", &["a/1", "a/2"]).await;
    stage.write("audit.jsonl", &book);
    stage.undo(&["audit.jsonl"], &[]).await;
    // It was deleted again, with good reason: that is another item.
    let again = stage.delete_one("a/1").await;
    let ran = stage.undo(&["audit.jsonl"], &[]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("2 files restored before"), "{}", ran.out);
    assert_eq!((stage.restores().len(), stage.in_bin()), (0, vec![again]));
}

#[tokio::test]
async fn journals_of_two_gateways_and_one_given_twice_make_one_plan() {
    let stage = Stage::new().await;
    let (mut one, mut other) = (Book::new(), Book::new());
    let mut ids = stage.deleted(&mut one, "robot", &["a/1"]).await;
    ids.extend(stage.deleted(&mut other, "robot", &["b/2"]).await);
    stage.write("one.jsonl", &one);
    stage.write("other.jsonl", &other);
    let mut mixed = one.text.clone();
    mixed.extend_from_slice(b"a line of another program\n\n");
    mixed.extend_from_slice(&other.text);
    mixed.extend_from_slice(b"{\"v\":1,\"journal\":\"00");
    std::fs::write(stage.folder.path("mixed.jsonl"), mixed).unwrap();
    let ran = stage.undo(&["mixed.jsonl", "other.jsonl", "one.jsonl"], &[]).await;
    // A line that is no record may have been one.
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("2 lines of the journals: no record"), "{}", ran.out);
    let mut back = stage.brought_back();
    back.sort_unstable();
    assert_eq!(back, ids);
}

#[tokio::test]
async fn a_delete_is_chosen_by_time_request_path_and_tenant() {
    let stage = Stage::new().await;
    let mut book = Book::new();
    let ids = stage.deleted(&mut book, "robot", &["a/1.jpg", "a/2.png", "b/3.jpg"]).await;
    stage.write("audit.jsonl", &book);
    let run = async |more: &[&str]| {
        let ran =
            stage.run(&["audit.jsonl"], &[more, &["--yes", "--format", "json"]].concat()).await;
        let report: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
        (ran.code, report["restored"].as_u64())
    };
    let future = ["--since", "2999-01-01T00:00:00Z"];
    assert_eq!(run(&future).await, (Some(0), None), "nothing to do");
    assert_eq!(run(&["--since", "1h", "--until", "30m"]).await, (Some(0), None));
    assert_eq!(run(&["--since", "1h", "--tenant", "t2"]).await, (Some(0), None));
    assert_eq!(stage.in_bin(), ids);
    assert_eq!(run(&["--request-id", "request-robot-2"]).await, (Some(0), Some(1)));
    assert_eq!(stage.in_bin(), [ids[0], ids[2]]);
    assert_eq!(run(&["--since", "1h", "--path", "b/**"]).await, (Some(0), Some(1)));
    assert_eq!(stage.in_bin(), [ids[0]]);
}

#[tokio::test]
async fn what_cannot_come_back_is_told_with_its_reason() {
    let stage = Stage::new().await;
    let mut book = Book::new();
    let ids = stage.deleted(&mut book, "robot", &["a/purged", "a/good"]).await;
    let purge = format!("/api/v1/recycled/{LIBRARY}/{SPACE}/{}?x=1", ids[0]);
    stage.as_admin("DELETE", &purge, "").await;
    book.delete(
        "robot",
        "a/forever",
        json!({ "permanent": true, "outcome": "relayed", "smh_status": 204, "reversible": false }),
    );
    book.delete(
        "robot",
        "a/bin-off",
        json!({ "outcome": "relayed", "smh_status": 204, "reversible": false, "irreversible": true }),
    );
    book.delete("robot", "a/elsewhere", json!({
        "library": "smhother", "outcome": "relayed", "smh_status": 200, "recycled_item_id": 7, "reversible": true,
    }));
    for nothing in [
        json!({ "outcome": "refused", "status": 403, "decision": "deny" }),
        json!({ "outcome": "not_sent", "status": 502 }),
        json!({ "outcome": "relayed", "status": 404, "smh_status": 404 }),
        json!({ "dry_run": true, "status": 202 }),
    ] {
        book.delete("robot", "a/nothing", nothing);
    }
    stage.write("audit.jsonl", &book);
    let ran = stage.undo(&["audit.jsonl"], &[]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for part in [
        "1 file can be restored of 5 deletes",
        "cannot be restored: no longer in the recycle bin",
        "t1: a/purged",
        "deleted for good, as was asked for",
        "t1: a/forever",
        "the recycle bin was off",
        "t1: a/bin-off",
        "no tenant of this gateway.yaml is this space",
    ] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    assert!(!ran.out.contains("a/nothing"), "{}", ran.out);
    assert_eq!(stage.brought_back(), [ids[1]], "the rest is restored all the same");
}

#[tokio::test]
async fn it_says_when_the_bin_drops_what_is_in_it_and_does_nothing_in_a_dry_run() {
    let stage = Stage::new().await;
    stage.smh.simulator.set_recycle_bin(LIBRARY, RecycleBin::On { retention_days: 30 });
    let mut book = Book::new();
    let ids = stage.deleted(&mut book, "robot", &["a/1", "a/2"]).await;
    stage.write("audit.jsonl", &book);
    let ran = stage.run(&["audit.jsonl"], &["--since", "1h", "--dry-run"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("2 files; the bin drops the first of them in 29 days"), "{}", ran.out);
    assert_eq!(stage.in_bin(), ids);
    assert_eq!(stage.smh.received().len(), stage.asked_for(RouteKind::ListRecycled));
    assert!(!stage.folder.path("undo.jsonl").exists());
}

#[tokio::test]
async fn a_record_that_was_changed_is_not_heeded() {
    let stage = Stage::new().await;
    let mut book = Book::new();
    let ids = stage.deleted(&mut book, "robot", &["a/1", "a/2"]).await;
    let text = String::from_utf8(book.text.clone()).unwrap();
    let changed = text.replace(
        &format!("\"recycled_item_id\":{},", ids[0]),
        &format!("\"recycled_item_id\":{},", ids[0] + 1000),
    );
    assert_ne!(text, changed);
    std::fs::write(stage.folder.path("audit.jsonl"), changed).unwrap();
    let ran = stage.undo(&["audit.jsonl"], &[]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("1 line of the journals: changed after"), "{}", ran.out);
    assert!(stage.brought_back().contains(&ids[1]));
}

#[tokio::test]
async fn a_journal_may_be_compressed_or_empty_and_one_that_is_cut_off_is_an_error() {
    let stage = Stage::new().await;
    let mut book = Book::new();
    stage.deleted(&mut book, "robot", &["a/1"]).await;
    let path = stage.folder.path("audit.jsonl.000000000001");
    std::fs::write(&path, &book.text).unwrap();
    smh_gateway::journal::compress(&path).unwrap();
    let whole = std::fs::read(stage.folder.path("audit.jsonl.000000000001.gz")).unwrap();
    std::fs::write(stage.folder.path("cut.gz"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(stage.folder.path("empty.jsonl"), "").unwrap();
    std::fs::write(stage.folder.path("newer.jsonl"), "{\"v\":2,\"x\":1}\n").unwrap();
    let ran = stage.undo(&["cut.gz"], &[]).await;
    assert_eq!((ran.code, stage.restores().len()), (Some(1), 0), "{ran:?}");
    assert!(ran.err.contains("cut.gz: "), "{}", ran.err);
    let ran = stage.undo(&["newer.jsonl"], &[]).await;
    assert_eq!((ran.code, stage.restores().len()), (Some(1), 0), "what is in it is not known");
    assert!(ran.out.contains("1 line of the journals: written by a newer version"), "{}", ran.out);
    let ran = stage.undo(&["empty.jsonl", "audit.jsonl.000000000001.gz"], &[]).await;
    assert_eq!((ran.code, stage.in_bin().len()), (Some(0), 0), "{ran:?}");
}

/// A journal that was copied and written on in two places has two records of one number.
#[tokio::test]
async fn what_a_copied_journal_hides_is_told() {
    let stage = Stage::new().await;
    let mut one = Book::new();
    let ids = stage.deleted(&mut one, "robot", &["a/1"]).await;
    let mut other = one.clone();
    stage.deleted(&mut one, "robot", &["a/2"]).await;
    stage.deleted(&mut other, "robot", &["b/2"]).await;
    stage.write("one.jsonl", &one);
    stage.write("other.jsonl", &other);
    let ran = stage.undo(&["one.jsonl", "other.jsonl"], &[]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("of a journal that was copied"), "{}", ran.out);
    assert_eq!((stage.brought_back().len(), ids.len()), (2, 1));
}

#[tokio::test]
async fn a_journal_of_undos_that_was_changed_is_not_believed() {
    let stage = Stage::new().await;
    let mut book = Book::new();
    stage.deleted(&mut book, "robot", &["a/1"]).await;
    stage.write("audit.jsonl", &book);
    assert_eq!(stage.undo(&["audit.jsonl"], &[]).await.code, Some(0));
    let path = stage.folder.path("undo.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"restored\":true", "\"restored\":fals")).unwrap();
    let ran = stage.undo(&["audit.jsonl"], &[]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("was changed"), "{}", ran.err);
}
