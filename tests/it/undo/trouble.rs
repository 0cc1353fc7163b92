//! An SMH in trouble, and what is in the way.

use serde_json::json;
use smh_gateway::simulator::{BatchThreshold, Fault, Injection, Matcher, RouteKind, TokenSpec};

use super::{Book, Stage, UNDO_TOKEN};
use crate::support::{LIBRARY, SPACE};

/// Two deleted files, and this fault for the batch that restores them.
async fn hit(faults: &[Injection]) -> (Stage, Vec<u64>) {
    let stage = Stage::new().await;
    let mut book = Book::new();
    let ids = stage.deleted(&mut book, "robot", &["a/1", "a/2"]).await;
    stage.write("audit.jsonl", &book);
    faults.iter().for_each(|fault| stage.smh.simulator.inject(fault.clone()));
    (stage, ids)
}

fn of_batches(fault: Injection) -> Injection {
    fault.when(Matcher::route(RouteKind::RestoreBatch))
}

#[tokio::test]
async fn what_is_in_the_way_stays_and_the_file_comes_back_under_another_name() {
    let (stage, _) = hit(&[]).await;
    stage.smh.simulator.put_file(LIBRARY, SPACE, "a/1");
    let ran = stage.undo(&["audit.jsonl"], &[]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("t1: a/1 came back as a/1 (1)"), "{}", ran.out);
    assert_eq!(stage.smh.files(), ["a/1", "a/1 (1)", "a/2"]);
    let named = stage.ledger().iter().any(|record| record["as_path"] == "a/1 (1)");
    assert!(named, "{:#?}", stage.ledger());
}

#[tokio::test]
async fn asked_for_it_it_leaves_what_is_in_the_way_and_says_so() {
    let (stage, ids) = hit(&[]).await;
    stage.smh.simulator.put_file(LIBRARY, SPACE, "a/1");
    let ran = stage.undo(&["audit.jsonl"], &["--on-conflict", "ask"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("t1: a/1: something else is at its path"), "{}", ran.out);
    assert_eq!(
        (stage.smh.files(), stage.in_bin()),
        (vec!["a/1".into(), "a/2".into()], vec![ids[0]])
    );
    assert!(stage.restores().iter().all(|(kind, _)| *kind == RouteKind::RestoreRecycled));
    // The reason has gone: it is tried again.
    let again = stage.undo(&["audit.jsonl"], &[]).await;
    assert_eq!((again.code, stage.in_bin().len()), (Some(0), 0), "{again:?}");
}

#[tokio::test]
async fn asked_for_it_it_replaces_what_is_in_the_way_but_not_by_an_older_version() {
    let stage = Stage::new().await;
    let mut book = Book::new();
    let older = stage.deleted(&mut book, "robot", &["a/1"]).await;
    stage.deleted(&mut book, "robot", &["a/1", "a/2"]).await;
    stage.smh.simulator.put_file(LIBRARY, SPACE, "a/1");
    stage.write("audit.jsonl", &book);
    let ran = stage.undo(&["audit.jsonl"], &["--on-conflict", "overwrite"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("a newer version of the path comes back"), "{}", ran.out);
    assert_eq!((stage.smh.files(), stage.in_bin()), (vec!["a/1".into(), "a/2".into()], older));
}

#[tokio::test]
async fn a_file_whose_folder_is_gone_comes_back_to_the_root_where_that_is_asked_for() {
    let stage = Stage::new().await;
    let mut book = Book::new();
    let ids = stage.deleted(&mut book, "robot", &["gone/1", "kept/2"]).await;
    stage.write("audit.jsonl", &book);
    stage
        .as_admin("DELETE", &format!("/api/v1/directory/{LIBRARY}/{SPACE}/gone?permanent=1"), "")
        .await;
    stage.smh.simulator.clear_received();
    let ran = stage.undo(&["audit.jsonl"], &[]).await;
    assert_eq!(ran.code, Some(1), "one of a batch failed: {ran:?}");
    assert!(ran.out.contains("t1: gone/1: its folder is gone"), "{}", ran.out);
    assert_eq!((stage.smh.files(), stage.in_bin()), (vec!["kept/2".into()], vec![ids[0]]));
    let ran = stage.undo(&["audit.jsonl"], &["--to-root"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("t1: gone/1 came back as 1"), "{}", ran.out);
    assert_eq!(stage.smh.files(), ["1", "kept/2"]);
}

#[tokio::test]
async fn a_batch_that_becomes_a_task_is_waited_for() {
    let (stage, _) = hit(&[]).await;
    let mut behaviour = stage.smh.simulator.behaviour();
    behaviour.batch_threshold = BatchThreshold(0);
    stage.smh.simulator.set_behaviour(behaviour);
    stage.smh.simulator.put_file(LIBRARY, SPACE, "a/1");
    let ran = stage.undo(&["audit.jsonl"], &[]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.out.contains("a/1 came back as a/1 (1)"),
        "what the task says is heard: {}",
        ran.out
    );
    assert_eq!((stage.restores().len(), stage.asked_for(RouteKind::QueryTasks)), (1, 1));
}

#[tokio::test]
async fn a_limit_of_smhs_is_waited_out_and_what_did_not_happen_is_not_looked_up() {
    let (stage, _) = hit(&[of_batches(Injection::times(Fault::RateLimited, 2))]).await;
    let ran = stage.undo(&["audit.jsonl"], &[]).await;
    assert_eq!((ran.code, stage.in_bin().len()), (Some(0), 0), "{ran:?}");
    assert_eq!((stage.restores().len(), stage.asked_for(RouteKind::ShowRecycled)), (3, 0));
}

#[tokio::test]
async fn after_an_error_it_looks_what_happened_before_it_tries_again() {
    for fault in
        [Fault::ServerOverloaded, Fault::CutBeforeActing, Fault::NotJson, Fault::MissingFields]
    {
        let (stage, _) = hit(&[of_batches(Injection::once(fault.clone()))]).await;
        let ran = stage.undo(&["audit.jsonl"], &[]).await;
        assert_eq!((ran.code, stage.in_bin().len()), (Some(0), 0), "{fault:?}: {ran:?}");
        assert_eq!(stage.asked_for(RouteKind::ShowRecycled), 2, "{fault:?}");
        assert_eq!(stage.restores().len(), 2, "{fault:?}");
    }
}

#[tokio::test]
async fn what_happened_without_an_answer_is_not_asked_for_again() {
    for fault in [
        Fault::CutAfterActing,
        Fault::CutMidBody,
        Fault::GatewayTimeoutAfterActing,
        Fault::HangAfterActing,
        Fault::EchoTokenInBody,
    ] {
        let (stage, ids) = hit(&[of_batches(Injection::once(fault.clone()))]).await;
        let ran = stage.undo(&["audit.jsonl"], &[]).await;
        assert_eq!(ran.code, Some(0), "{fault:?}: {ran:?}");
        assert_eq!(stage.restores().len(), 1, "{fault:?}");
        let presumed = stage.ledger();
        let presumed = presumed.iter().filter(|record| record["restored"] == true);
        assert_eq!(presumed.count(), ids.len(), "{fault:?}");
    }
}

#[tokio::test]
async fn an_smh_that_hangs_is_not_waited_for_for_ever() {
    let (stage, _) = hit(&[of_batches(Injection::once(Fault::HangBeforeActing))]).await;
    let ran = stage.undo(&["audit.jsonl"], &[]).await;
    assert_eq!((ran.code, stage.in_bin().len()), (Some(0), 0), "{ran:?}");
}

#[tokio::test]
async fn an_smh_that_stays_broken_is_given_up_and_the_next_run_goes_on() {
    let (stage, ids) = hit(&[of_batches(Injection::forever(Fault::InternalServerError))]).await;
    let ran = stage.undo(&["audit.jsonl"], &[]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("2 files not restored"), "{}", ran.out);
    assert!(ran.out.contains("given up after 5 tries: 500 InternalServerError"), "{}", ran.out);
    assert_eq!(stage.in_bin(), ids);
    assert!(stage.ledger().iter().all(|record| record["restored"].is_null()), "nobody knows");
    stage.smh.simulator.clear_faults();
    let ran = stage.undo(&["audit.jsonl"], &[]).await;
    assert_eq!((ran.code, stage.in_bin().len()), (Some(0), 0), "{ran:?}");
}

#[tokio::test]
async fn a_token_that_is_rejected_is_read_again_and_one_that_may_not_restore_is_told() {
    let (stage, _) = hit(&[of_batches(Injection::once(Fault::InvalidAccessToken))]).await;
    let ran = stage.undo(&["audit.jsonl"], &[]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let (stage, ids) = hit(&[]).await;
    let weak =
        TokenSpec::new(LIBRARY).with_grant("delete_file").with_value("acctkweaksentinel01234");
    stage.folder.write("undo-token", &stage.smh.simulator.issue_token(weak));
    let ran = stage.undo(&["audit.jsonl"], &[]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("it needs `restore_recycled` (403 NoPermission)"), "{}", ran.out);
    assert_eq!(
        (stage.in_bin(), stage.restores().len()),
        (ids, 1),
        "the same for each: not tried twice"
    );
    assert!(!ran.out.contains("weaksentinel"));
}

#[tokio::test]
async fn an_answer_that_says_nothing_of_one_or_twice_of_another_is_no_riddle() {
    let stage = Stage::new().await;
    let mut book = Book::new();
    let ids = stage.deleted(&mut book, "robot", &["a/1"]).await;
    // Two records of one item: two gateways cannot both have deleted it, but a journal may say so.
    book.recycled("robot", "a/1", ids[0]);
    stage.write("audit.jsonl", &book);
    let ran = stage.undo(&["audit.jsonl"], &[]).await;
    assert_eq!(
        (ran.code, stage.restores()),
        (Some(0), vec![(RouteKind::RestoreBatch, ids)]),
        "{ran:?}"
    );
}

#[tokio::test]
async fn of_one_path_deleted_twice_the_newest_gets_the_name() {
    let stage = Stage::new().await;
    let mut book = Book::new();
    let mut ids = stage.deleted(&mut book, "robot", &["a/1"]).await;
    ids.extend(stage.deleted(&mut book, "robot", &["a/1"]).await);
    stage.write("audit.jsonl", &book);
    let ran = stage.undo(&["audit.jsonl"], &[]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ids.reverse();
    assert_eq!(stage.brought_back(), ids);
    let last = stage.ledger().pop().unwrap();
    assert_eq!((&last["as_path"], UNDO_TOKEN.len() > 20), (&json!("a/1 (1)"), true));
}
