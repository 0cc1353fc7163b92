//! Runs that were killed.

use std::time::Duration;

use serde_json::{Value, json};
use smh_gateway::simulator::{Fault, Injection, Matcher, RouteKind};

use super::{Book, Stage, now};
use crate::support::binary::{Binary, command};
use crate::support::{LIBRARY, SPACE, becomes};

async fn stage_of(count: usize) -> (Stage, Vec<u64>) {
    let stage = Stage::new().await;
    let mut book = Book::new();
    let paths: Vec<_> = (0..count).map(|index| format!("a/{index}")).collect();
    let paths: Vec<_> = paths.iter().map(String::as_str).collect();
    let ids = stage.deleted(&mut book, "robot", &paths).await;
    stage.write("audit.jsonl", &book);
    (stage, ids)
}

/// Starts a run, and ends it by a signal once SMH has acted on so many batches, of which none is answered
/// at once.
async fn interrupt(stage: &Stage, batches: usize, signal: &str) -> crate::support::binary::Ran {
    let slow = Injection::forever(Fault::Slow(Duration::from_millis(400)));
    stage.smh.simulator.inject(slow.when(Matcher::route(RouteKind::RestoreBatch)));
    let arguments = Stage::arguments(&["audit.jsonl"], &["--since", "1h", "--yes"]);
    let binary = Binary::spawn(command(&stage.folder.path(""), &arguments));
    becomes("it restores", async || stage.restores().len() >= batches).await;
    binary.signal(signal);
    let ran = binary.ended().await;
    stage.smh.simulator.clear_faults();
    ran
}

#[tokio::test]
async fn a_run_that_was_killed_goes_on_where_it_was() {
    let (stage, mut ids) = stage_of(450).await;
    // In the first batch; in the second one, by the run that goes on; and once more.
    for batches in [1, 2, 4] {
        assert_eq!(interrupt(&stage, batches, "KILL").await.code, None);
    }
    let done = stage.brought_back().len();
    assert!((200..450).contains(&done), "{done}");
    let before = stage.restores().len();
    let ran = stage.undo(&["audit.jsonl"], &[]).await;
    // Of those that were killed nobody heard that they are back.
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let mut back = stage.brought_back();
    back.sort_unstable();
    ids.sort_unstable();
    assert_eq!(back, ids, "each once");
    assert_eq!((stage.smh.files().len(), stage.in_bin().len()), (450, 0));
    let after: usize = stage.restores()[before..].iter().map(|(_, ids)| ids.len()).sum();
    assert_eq!(after, 450 - done, "what was back is not asked for again");
    let third = stage.undo(&["audit.jsonl"], &["--format", "json"]).await;
    let report: Value = serde_json::from_str(&third.out).unwrap();
    let count = |what: &str| report[what].as_u64().unwrap();
    assert_eq!((third.code, count("restored_before") + count("presumed")), (Some(1), 450));
    assert!((1..=done as u64).contains(&count("presumed")), "{report:#}");
    assert_eq!((count("restorable"), report["restored"].is_null()), (0, true));
}

#[tokio::test]
async fn a_run_that_is_interrupted_ends_after_its_batch_and_says_what_is_left() {
    let (stage, _) = stage_of(450).await;
    let ran = interrupt(&stage, 1, "INT").await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("100 files restored") && ran.out.contains("350 files not restored"));
    assert!(ran.out.contains("not tried: run it again"), "{}", ran.out);
    assert_eq!(stage.in_bin().len(), 350);
    let ran = stage.undo(&["audit.jsonl"], &[]).await;
    assert_eq!((ran.code, stage.in_bin().len()), (Some(0), 0), "{ran:?}");
}

#[tokio::test]
async fn two_runs_at_once_are_one_too_many() {
    let (stage, _) = stage_of(2).await;
    let slow = Injection::forever(Fault::Slow(Duration::from_millis(400)));
    stage.smh.simulator.inject(slow);
    let arguments = Stage::arguments(&["audit.jsonl"], &["--since", "1h", "--yes"]);
    let first = Binary::spawn(command(&stage.folder.path(""), &arguments));
    becomes("it looks", async || !stage.smh.received().is_empty()).await;
    let second = stage.undo(&["audit.jsonl"], &[]).await;
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.err.contains("another process writes"), "{}", second.err);
    assert_eq!(first.ended().await.code, Some(0));
    assert_eq!(stage.brought_back().len(), 2);
}

/// Somebody else may have taken it out of the bin, or purged it.
#[tokio::test]
async fn one_that_has_left_the_bin_after_a_try_is_not_said_to_be_back() {
    for is_bin_seen in [true, false] {
        let stage = Stage::new().await;
        let (mut book, mut ledger) = (Book::new(), Book::new());
        let id = stage.deleted(&mut book, "robot", &["a/1"]).await[0];
        stage.write("audit.jsonl", &book);
        ledger.record(&json!({
            "time": now(), "event": "undo", "of_journal": book.head.journal.to_string(), "of_seq": 2,
            "delete": "d1", "library": LIBRARY, "space": SPACE, "path": "a/1", "recycled_item_id": id,
        }));
        stage.write("undo.jsonl", &ledger);
        let purge = format!("/api/v1/recycled/{LIBRARY}/{SPACE}/{id}?x=1");
        stage.as_admin("DELETE", &purge, "").await;
        if !is_bin_seen {
            let fault = Fault::Error { status: 400, code: "Unheard".to_owned() };
            let lists = Matcher::route(RouteKind::ListRecycled);
            stage.smh.simulator.inject(Injection::forever(fault).when(lists));
        }
        for _ in 0..2 {
            let ran = stage.undo(&["audit.jsonl"], &[]).await;
            assert_eq!(ran.code, Some(1), "{ran:?}");
            let said = "1 file may be back: each has left the bin after a try; nobody said that it is back";
            assert!(ran.out.contains(said), "{}", ran.out);
            assert!(!ran.out.contains("restored before") && !ran.out.contains("1 file restored"));
        }
        let ran = stage.undo(&["audit.jsonl"], &["--format", "json"]).await;
        let report: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!((&report["presumed"], &report["restored_before"]), (&json!(1), &json!(0)));
        assert_eq!(report["deletes"][0]["state"], "presumed");
        assert_eq!((stage.restores().len(), stage.smh.files().len()), (0, 0));
    }
}
