//! Runs that were killed.

use std::time::Duration;

use smh_gateway::simulator::{Fault, Injection, Matcher, RouteKind};

use super::{Book, Stage};
use crate::support::becomes;
use crate::support::binary::{Binary, command};

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
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let mut back = stage.brought_back();
    back.sort_unstable();
    ids.sort_unstable();
    assert_eq!(back, ids, "each once");
    assert_eq!((stage.smh.files().len(), stage.in_bin().len()), (450, 0));
    let after: usize = stage.restores()[before..].iter().map(|(_, ids)| ids.len()).sum();
    assert_eq!(after, 450 - done, "what was back is not asked for again");
    let third = stage.undo(&["audit.jsonl"], &[]).await;
    assert_eq!((third.code, third.out.contains("450 files restored before")), (Some(0), true));
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
