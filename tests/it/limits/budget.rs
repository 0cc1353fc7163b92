//! `budget show`, `budget grant`, and who may.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::support::Folder;
use crate::support::binary::{Binary, Ran, run};

const POLICY: &str = "rate_limits:\n  - { name: daily budget, per: [caller], tenants: [t1], limit: 4/day }\n  \
                      - { name: of users, per: [user_id, tenant], limit: 1000/s }\n";

fn with_socket() -> String {
    GATEWAY_YAML.replace("admin:\n", "admin:\n  socket: admin.sock\n")
}

async fn grant(folder: &Folder, more: &[&str]) -> Ran {
    let common = ["budget", "grant", "--config", "gateway.yaml", "--reason", "INC-9: looked at it"];
    run(&folder.path(""), &[&common[..], more].concat()).await
}

async fn passes_at(binary: &Binary, deletes: usize) -> usize {
    let mut kept = Kept::open(binary.data[0]).await;
    let mut passed = 0;
    for _ in 0..deletes {
        passed += usize::from(kept.delete("/v1/files/t1/f?user_id=u1").await.status() == 404);
    }
    passed
}

const FOR_APP: [&str; 4] = ["--limit", "daily budget", "--caller", "app"];

#[tokio::test]
async fn a_grant_lets_so_many_more_through_and_is_told_and_logged() {
    let smh = Smh::start().await;
    let yaml = with_socket() + "audit: { file: audit.jsonl }\n";
    let folder = Folder::new(&yaml, Some(POLICY), smh.address);
    let mut binary = Binary::serve(&folder).await;
    assert_eq!(passes_at(&binary, 6).await, 4);
    let ran = grant(&folder, &[&FOR_APP[..], &["--add", "3", "--for", "1h"]].concat()).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert_eq!(
        ran.out,
        "granted: 3 deletes beyond \"daily budget\" for caller app, for 3600s; 3 of what was granted are left\n"
    );
    let log = binary.says("deletes beyond a limit were granted").await;
    let line = log.lines().find(|line| line.contains("were granted")).unwrap();
    for part in
        ["daily budget", "\"caller\":\"app\"", "add=3", "INC-9: looked at it", "operator_uid="]
    {
        assert!(line.contains(part), "{part}: {line}");
    }
    becomes("it is in the journal", async || {
        let journal = std::fs::read_to_string(folder.path("audit.jsonl")).unwrap();
        let record = journal.lines().find(|line| line.contains("\"event\":\"grant\""));
        record.is_some_and(|record| {
            [
                "\"limit\":\"daily budget\",\"caller\":\"app\",\"add\":3,\"seconds\":3600",
                "INC-9: looked at it",
                "\"operator_uid\":",
            ]
            .iter()
            .all(|part| record.contains(part))
        })
    })
    .await;
    let show = ["budget", "show", "--config", "gateway.yaml"];
    let shown = run(&folder.path(""), &show).await;
    assert_eq!(shown.code, Some(0));
    assert!(
        shown.out.contains("daily budget  4/day, burst 4, per caller\n    100 %  caller app"),
        "{}",
        shown.out
    );
    assert!(
        shown.out.contains("4 used, 0 left") && shown.out.contains("3 more granted"),
        "{}",
        shown.out
    );
    assert!(!shown.out.contains("u1"), "a user is not shown by name: {}", shown.out);
    assert_eq!(passes_at(&binary, 6).await, 3);
    assert_eq!(smh.received().len(), 7);
}

#[tokio::test]
async fn a_grant_in_a_shared_store_is_every_gateways() {
    let (redis, smh) = (Redis::start().await, Smh::start().await);
    let store = format!("rate_limit_store:\n  redis: {}\n  replicas: 2\n", on(&redis));
    let folders = [0, 1]
        .map(|_| Folder::new(&format!("{}{store}", with_socket()), Some(POLICY), smh.address));
    let one = Binary::serve(&folders[0]).await;
    let two = Binary::serve(&folders[1]).await;
    becomes("both are connected", async || {
        passes_at(&one, 1).await;
        passes_at(&two, 1).await;
        redis.cli(&["KEYS", "*daily*"]).lines().count() == 1
            && passes_at(&one, 1).await + passes_at(&two, 1).await == 0
    })
    .await;
    let ran = grant(&folders[0], &[&FOR_APP[..], &["--add", "5", "--for", "1h"]].concat()).await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(passes_at(&two, 3).await, 3);
    assert_eq!(passes_at(&one, 9).await, 2);
}

#[tokio::test]
async fn what_cannot_be_granted_says_why() {
    let smh = Smh::start().await;
    let folder = Folder::new(&with_socket(), Some(POLICY), smh.address);
    let _binary = Binary::serve(&folder).await;
    let add = ["--add", "3", "--for", "1h"];
    for (more, said) in [
        (&["--limit", "dayly", "--caller", "app"][..], "no limit is called `dayly`"),
        (&["--limit", "daily budget"], "the limit `daily budget` is per caller: say which"),
        (&["--limit", "daily budget", "--caller", "nobody"], "no caller is called `nobody`"),
        (&["--limit", "daily budget", "--caller", "app", "--tenant", "t1"], "is not per tenant"),
        (&["--limit", "of users", "--tenant", "t1"], "is per user_id: say which"),
    ] {
        let ran = grant(&folder, &[more, &add[..]].concat()).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{more:?}");
        assert!(ran.err.contains(said), "{more:?}: {}", ran.err);
    }
    for more in [["--add", "0", "--for", "1h"], ["--add", "1", "--for", "1 hour"]] {
        assert_eq!(grant(&folder, &[&FOR_APP[..], &more].concat()).await.code, Some(2), "{more:?}");
    }
    let long = grant(&folder, &[&FOR_APP[..], &["--add", "1", "--for", "8d"]].concat()).await;
    assert!(long.err.contains("7 days"), "{}", long.err);
}

/// Whoever reaches the address may look, and nobody but the gateway's own user reaches the socket.
#[tokio::test]
async fn a_grant_is_taken_on_the_socket_alone() {
    let smh = Smh::start().await;
    let folder = Folder::new(&with_socket(), Some(POLICY), smh.address);
    let binary = Binary::serve(&folder).await;
    let mode = std::fs::metadata(folder.path("admin.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let body = r#"{"limit":"daily budget","caller":"app","add":5,"seconds":60,"reason":"x"}"#;
    let request = format!(
        "POST /api/budget HTTP/1.1\r\nHost: admin\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let answer = crate::support::send(binary.admin.unwrap(), request.as_bytes()).await;
    assert_eq!(answer.status(), 403);
    assert_eq!(passes_at(&binary, 6).await, 4);

    // Without a socket there is nowhere to ask.
    let folder = Folder::new(GATEWAY_YAML, Some(POLICY), smh.address);
    let ran = grant(&folder, &[&FOR_APP[..], &["--add", "3", "--for", "1h"]].concat()).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("admin: { socket: … }"), "{}", ran.err);
}
