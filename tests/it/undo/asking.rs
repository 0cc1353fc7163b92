//! What it needs and says: configuration, credentials, questions.

use std::fs::{File, FileTimes};
use std::time::{Duration, SystemTime};

use smh_gateway::simulator::RouteKind;

use super::{Book, Stage, UNDO_TOKEN};
use crate::support::binary::Binary;
use crate::support::{LIBRARY, request, send};

async fn one_file(undo: &str) -> Stage {
    let stage = Stage::with(undo).await;
    let mut book = Book::new();
    stage.deleted(&mut book, "robot", &["a/1"]).await;
    stage.write("audit.jsonl", &book);
    stage
}

const GIVEN: &str = "undo: { token: { file: undo-token } }\n";

#[tokio::test]
async fn without_a_terminal_and_a_yes_it_shows_the_plan_and_does_nothing() {
    let stage = one_file(GIVEN).await;
    let ran = stage.run(&["audit.jsonl"], &["--since", "1h"]).await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.out.contains("1 file can be restored"), "{}", ran.out);
    assert!(ran.err.contains("`--yes`"), "{}", ran.err);
    assert_eq!((stage.restores().len(), stage.ledger().len()), (0, 0));
}

#[tokio::test]
async fn without_a_time_or_a_request_nothing_is_even_read() {
    let stage = one_file(GIVEN).await;
    for more in [&["--yes"][..], &["--yes", "--caller", "robot"], &["--yes", "--until", "1m"]] {
        let ran = stage.run(&["audit.jsonl"], more).await;
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.err.contains("--since"), "{}", ran.err);
    }
    for wrong in [["--since", "yesterday"], ["--path", "/a"], ["--rate", "0"]] {
        let ran = stage.run(&["audit.jsonl"], &[&["--since", "1h"][..], &wrong].concat()).await;
        assert_eq!(ran.code, Some(2), "{ran:?}");
    }
    assert_eq!(stage.smh.received().len(), 0);
}

#[tokio::test]
async fn a_token_that_is_minted_is_given_back() {
    let stage = one_file("undo: { token: { mint: { library_secret: { file: secret } } } }\n").await;
    stage.folder.write("secret", "sentinel-library-secret");
    let before = stage.smh.simulator.live_tokens().len();
    let ran = stage.undo(&["audit.jsonl"], &[]).await;
    assert_eq!((ran.code, stage.in_bin().len()), (Some(0), 0), "{ran:?}");
    assert_eq!(stage.asked_for(RouteKind::IssueToken), 1);
    assert_eq!(stage.smh.simulator.live_tokens().len(), before);
    let targets = stage.smh.targets();
    let mint = targets.iter().find(|target| target.starts_with("/api/v1/token?")).unwrap();
    assert!(mint.contains("grant=restore_recycled") && mint.contains("client_id=smh-gateway-undo"));
}

#[tokio::test]
async fn a_journal_a_token_or_a_section_that_is_missing_is_told() {
    let stage = one_file(GIVEN).await;
    let ran = stage.undo(&["nowhere.jsonl"], &[]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("nowhere.jsonl: No such file"), "{}", ran.err);
    std::fs::remove_file(stage.folder.path("undo-token")).unwrap();
    let ran = stage.undo(&["audit.jsonl"], &[]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.out.contains("no token to restore with: file"), "{}", ran.out);
    let stage = one_file("").await;
    let ran = stage.undo(&["audit.jsonl"], &[]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("no token for this library under `undo`"), "{}", ran.out);
    assert_eq!(stage.smh.received().len(), 0);
}

#[tokio::test]
async fn one_token_is_for_one_library() {
    let stage = Stage::with("undo: { token: { file: undo-token } }\n").await;
    let yaml = std::fs::read_to_string(stage.folder.path("gateway.yaml")).unwrap();
    let several =
        yaml.replace("tenants:\n  t1", "  smhyyy: { token: { file: token } }\ntenants:\n  t1");
    stage.folder.write("gateway.yaml", &several);
    let ran = stage.undo(&[], &[]).await;
    assert!(ran.err.contains("one token is for one library"), "{}", ran.err);
    let each = several.replace(
        "undo: { token: { file: undo-token } }",
        "undo: { libraries: { smhxxy: { token: { file: undo-token } } } }",
    );
    stage.folder.write("gateway.yaml", &each);
    let ran = stage.undo(&[], &[]).await;
    assert!(ran.err.contains("unknown library `smhxxy`"), "{}", ran.err);
    stage.folder.write("gateway.yaml", &each.replace("smhxxy", LIBRARY));
    let mut book = Book::new();
    stage.deleted(&mut book, "robot", &["a/1"]).await;
    stage.write("audit.jsonl", &book);
    let ran = stage.undo(&["audit.jsonl"], &[]).await;
    assert_eq!((ran.code, stage.in_bin().len()), (Some(0), 0), "{ran:?}");
    let literal = yaml.replace("{ file: undo-token }", UNDO_TOKEN);
    stage.folder.write("gateway.yaml", &literal);
    let ran = stage.undo(&[], &[]).await;
    assert!(ran.err.contains("a token does not stand in this file itself"), "{}", ran.err);
}

/// The system notes when a file was last read, once a day or where it was written since.
fn was_read(stage: &Stage, since: SystemTime) -> bool {
    let metadata = std::fs::metadata(stage.folder.path("undo-token")).unwrap();
    metadata.accessed().unwrap() > since + Duration::from_secs(3600)
}

fn unread(stage: &Stage) -> SystemTime {
    let long_ago = SystemTime::now() - Duration::from_secs(7 * 24 * 3600);
    let file = File::options().write(true).open(stage.folder.path("undo-token")).unwrap();
    file.set_times(FileTimes::new().set_accessed(long_ago)).unwrap();
    long_ago
}

#[tokio::test]
async fn who_serves_does_not_read_the_token_that_restores() {
    let stage = one_file(GIVEN).await;
    let since = unread(&stage);
    let ran = stage.run(&["audit.jsonl"], &["--since", "1h", "--dry-run"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    // A file system may be told not to note it.
    let is_noted = was_read(&stage, since);
    let since = unread(&stage);
    let binary = Binary::serve(&stage.folder).await;
    binary.signal("HUP");
    let delete = request("/v1/files/t1/a/none", &["Connection: close"]);
    let answer = send(binary.data[0], delete.as_bytes()).await;
    assert_eq!(answer.status(), 404, "SMH's answer");
    let ran = binary.stop().await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!(is_noted && was_read(&stage, since)), "it was read");
    std::fs::remove_file(stage.folder.path("undo-token")).unwrap();
    let ran = Binary::serve(&stage.folder).await.stop().await;
    assert_eq!(ran.code, Some(0));
    assert!(!ran.err.contains("undo"), "{}", ran.err);
}

#[tokio::test]
async fn a_token_travels_as_the_gateways_do() {
    let stage = one_file(GIVEN).await;
    let yaml = std::fs::read_to_string(stage.folder.path("gateway.yaml")).unwrap();
    stage
        .folder
        .write("gateway.yaml", &yaml.replace("upstream:\n", "upstream:\n  token_in: header\n"));
    let ran = stage.undo(&["audit.jsonl"], &[]).await;
    assert_eq!((ran.code, stage.in_bin().len()), (Some(0), 0), "{ran:?}");
    assert!(stage.smh.targets().iter().all(|target| !target.contains("access_token")));
}
