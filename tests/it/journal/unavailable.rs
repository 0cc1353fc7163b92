//! A journal that cannot be written: nothing is sent that is not recorded, or it is counted.

use std::fs;

use super::*;
use crate::support::binary::run;
use crate::support::{Folder, Gateway, Smh, becomes};

/// A folder in its place stands for whatever keeps it from being written.
fn put_in_the_way(gateway: &Gateway) {
    let path = gateway.folder.path("audit.jsonl");
    fs::rename(&path, gateway.folder.path("old.jsonl")).unwrap();
    fs::create_dir(path).unwrap();
}

async fn becomes_available(gateway: &Gateway, available: bool) {
    becomes("the journal is noticed", async || {
        gateway.running.gateway().audit().unwrap().is_available() == available
    })
    .await;
}

fn metric(text: &str, sample: &str) -> f64 {
    let value = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    value.map_or(0.0, |value| value.parse().unwrap())
}

#[tokio::test]
async fn nothing_is_sent_that_cannot_be_recorded() {
    let smh = Smh::start().await.with_file("a");
    let policy = "rate_limits:\n  - { name: daily, limit: 1/day }\n";
    let gateway = Gateway::with(&with_journal(""), Some(policy), smh.address).await;
    put_in_the_way(&gateway);
    becomes_available(&gateway, false).await;
    for _ in 0..3 {
        let answer = gateway.delete("/v1/files/t1/a").await;
        assert_eq!((answer.status(), answer.code().as_str()), (503, "AuditUnavailable"));
        assert_eq!(
            (answer.outcome().as_str(), answer.field("retry-after")),
            ("not_sent", Some("1"))
        );
    }
    assert_eq!(smh.targets(), [""; 0]);
    // What is refused for another reason hears that.
    assert_eq!(gateway.delete("/v1/files/t9/a").await.code(), "TenantNotGranted");
    let status = gateway.admin("/api/status").await.json();
    assert!(status["audit"]["fault"].is_string(), "{status}");
    assert_eq!(gateway.admin("/readyz").await.status(), 200);

    fs::remove_dir(gateway.folder.path("audit.jsonl")).unwrap();
    becomes_available(&gateway, true).await;
    assert_eq!(gateway.delete("/v1/files/t1/a").await.status(), 200, "no limit was charged");
    let records = records(&gateway.folder.path("audit.jsonl"));
    assert_eq!(records[0]["event"], "resumed");
    let status = gateway.admin("/api/status").await.json();
    assert_eq!(status["audit"]["fault"], Value::Null);
}

#[tokio::test]
async fn a_write_ahead_file_that_was_deleted_is_noticed_and_made_anew() {
    let smh = Smh::start().await.with_file("a");
    let gateway = Gateway::with(&with_journal(""), None, smh.address).await;
    fs::remove_file(gateway.folder.path(".audit.jsonl.ahead")).unwrap();
    let answer = gateway.delete("/v1/files/t1/a").await;
    assert_eq!((answer.status(), answer.code().as_str()), (503, "AuditUnavailable"));
    assert_eq!(smh.targets(), [""; 0]);
    becomes_available(&gateway, true).await;
    assert_eq!(gateway.delete("/v1/files/t1/a").await.status(), 200);
    assert!(gateway.folder.path(".audit.jsonl.ahead").exists());
}

#[tokio::test]
async fn where_it_is_configured_so_deletes_go_on_and_what_is_lost_is_counted() {
    let smh = Smh::start().await.with_file("a");
    let gateway =
        Gateway::with(&with_journal("  when_unavailable: continue\n"), None, smh.address).await;
    put_in_the_way(&gateway);
    becomes_available(&gateway, false).await;
    assert_eq!(gateway.delete("/v1/files/t1/a").await.status(), 200);
    let text = String::from_utf8(gateway.admin("/metrics").await.body).unwrap();
    assert!(metric(&text, "smh_gateway_audit_records_lost_total") >= 2.0, "{text}");
    assert_eq!(metric(&text, "smh_gateway_audit_up"), 0.0);
    assert!(metric(&text, "smh_gateway_audit_failures_total") >= 1.0);
    fs::remove_dir(gateway.folder.path("audit.jsonl")).unwrap();
    becomes_available(&gateway, true).await;
    let text = String::from_utf8(gateway.admin("/metrics").await.body).unwrap();
    assert_eq!(metric(&text, "smh_gateway_audit_up"), 1.0);
    let records = records(&gateway.folder.path("audit.jsonl"));
    assert_eq!((&records[0]["event"], &records[0]["lost"]), (&"resumed".into(), &2.into()));
}

#[tokio::test]
async fn a_gateway_does_not_start_without_its_journal() {
    let smh = Smh::start().await;
    for (file, says) in [
        ("nowhere/audit.jsonl", "No such file or directory"),
        ("token", "is no journal"),
        ("newer.jsonl", "a newer version"),
        (".", "Is a directory"),
    ] {
        let yaml = with_journal("").replace("audit.jsonl", file);
        let folder = Folder::new(&yaml, None, smh.address);
        folder.write("newer.jsonl", "{\"v\":2}\n");
        let token = fs::read_to_string(folder.path("token")).unwrap();
        let ran = run(&folder.path(""), &["serve", "--config", "gateway.yaml"]).await;
        assert_eq!(ran.code, Some(1), "{file}: {}", ran.err);
        assert!(ran.err.contains(says) && ran.err.contains("audit.file"), "{file}: {}", ran.err);
        assert_eq!(fs::read_to_string(folder.path("token")).unwrap(), token);
    }
}
