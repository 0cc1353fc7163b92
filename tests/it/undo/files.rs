//! The files of a journal: moved, compressed, missing.

use serde_json::{Value, json};

use super::{Book, Stage, since_now};

/// A stage with `audit.file`, files that were deleted, and a journal in parts, a delete in each.
async fn parts(count: usize) -> (Stage, Vec<u64>, Vec<Vec<u8>>) {
    let stage =
        Stage::with("undo: { token: { file: undo-token } }\naudit: { file: audit.jsonl }\n").await;
    let (mut book, mut ids, mut parts) = (Book::new(), Vec::new(), Vec::new());
    for part in 0..count {
        ids.extend(stage.deleted(&mut book, "robot", &[&format!("a/{part}")]).await);
        parts.push(std::mem::take(&mut book.text));
    }
    (stage, ids, parts)
}

impl Stage {
    fn put(&self, name: &str, content: &[u8]) {
        std::fs::write(self.folder.path(name), content).unwrap();
    }

    fn put_compressed(&self, name: &str, content: &[u8]) {
        self.put(name, content);
        smh_gateway::journal::compress(&self.folder.path(name)).unwrap();
    }
}

#[tokio::test]
async fn what_logrotate_or_the_gateway_moved_is_read_with_the_journal() {
    let (stage, ids, parts) = parts(5).await;
    stage.put_compressed("audit.jsonl.000000000001", &parts[0]);
    stage.put_compressed("audit.jsonl-20261125", &parts[1]);
    stage.put_compressed("audit.jsonl.2", &parts[2]);
    stage.put("audit.jsonl.1", &parts[3]);
    stage.put("audit.jsonl", &parts[4]);
    for other in ["audit.jsonl.lock", "audit.jsonl.torn", "audit.jsonl.3.gz.new", "audit.jsonl-old"]
    {
        stage.put(other, b"no journal");
    }
    let ran = stage.undo(&[], &[]).await;
    assert_eq!((ran.code, &*ran.err), (Some(0), ""), "{ran:?}");
    let mut back = stage.brought_back();
    back.sort_unstable();
    assert_eq!((back, ran.out.contains("no record")), (ids, false), "{}", ran.out);
}

/// Compressing may not be over, and what was read from the file before it was moved is in the one that it
/// became as well.
#[tokio::test]
async fn what_is_there_plain_and_compressed_or_in_two_files_is_read_once() {
    let (stage, ids, parts) = parts(2).await;
    stage.put_compressed("audit.jsonl.000000000001", &parts[0]);
    let whole = std::fs::read(stage.folder.path("audit.jsonl.000000000001.gz")).unwrap();
    stage.put("audit.jsonl.000000000001.gz", &whole[..whole.len() / 2]);
    stage.put("audit.jsonl.000000000001", &parts[0]);
    stage.put("audit.jsonl.000000000003", &parts[1]);
    stage.put("audit.jsonl", &parts.concat());
    let ran = stage.undo(&[], &["--format", "json"]).await;
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &report["restored"]), (Some(0), &json!(ids.len())), "{ran:?}");
    assert_eq!(
        (&report["journals"]["records"], &report["journals"]["missing"]),
        (&json!(4), &json!([]))
    );
}

#[tokio::test]
async fn records_that_are_not_among_the_files_are_told_and_make_it_fail() {
    let (stage, ids, parts) = parts(3).await;
    stage.put("one.jsonl", &parts[0]);
    stage.put("three.jsonl", &parts[2]);
    let ran = stage.undo(&["three.jsonl", "one.jsonl"], &["--dry-run", "--format", "json"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("smh-gateway: records 3 to 4 of the journal "), "{}", ran.err);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let missing = &report["journals"]["missing"][0];
    assert_eq!((&missing["first"], &missing["last"]), (&json!(3), &json!(4)));
    assert_eq!(report["restorable"], 2);
    let ran = stage.undo(&["three.jsonl"], &["--dry-run"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("records before 5 of the journal "), "{}", ran.err);
    assert!(ran.err.contains(" are not among these files"), "{}", ran.err);
    // What was not asked for is not missed.
    let later = since_now(0);
    let ran = stage.run(&["three.jsonl"], &["--since", &later, "--yes"]).await;
    assert_eq!((ran.code, &*ran.err), (Some(0), ""), "{ran:?}");
    let ran = stage.run(&["three.jsonl"], &["--request-id", "request-robot-1", "--yes"]).await;
    assert_eq!((ran.code, stage.restores().len()), (Some(1), 0), "{ran:?}");
    let ran = stage.run(&["three.jsonl"], &["--request-id", "request-robot-3", "--yes"]).await;
    assert_eq!((ran.code, stage.brought_back()), (Some(0), vec![ids[2]]), "{ran:?}");
}

#[tokio::test]
async fn where_there_is_no_journal_at_all_nothing_is_said_to_be_well() {
    let (stage, _, _) = parts(0).await;
    let ran = stage.undo(&[], &[]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("audit.jsonl: there is no journal"), "{}", ran.err);
}
