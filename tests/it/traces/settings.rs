//! `traces` of gateway.yaml.

use smh_gateway::config;
use smh_gateway::config::report::Color;

use super::collector::{Collector, Says};
use super::traces;
use crate::support::{Folder, GATEWAY_YAML, Gateway, Smh, ports};
use crate::upstream::Authority;

#[tokio::test]
async fn a_collector_behind_tls_is_shown_the_secrets_that_are_in_files() {
    let (smh, authority) = (Smh::start().await, Authority::new());
    let tls = authority.acceptor(&["127.0.0.1"], &["http/1.1"]);
    let collector = Collector::speaking(Says::thanks(), Some(tls));
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        std::fs::write(folder.path().join(name), content).unwrap();
        folder.path().join(name).display().to_string()
    };
    let ca = authority.folder.path().join("ca.pem").display().to_string();
    let (token, key) = (file("token", "collector-token\n"), file("key", "collector-key\n"));
    let traces = format!(
        "traces: {{ otlp: {{ url: \"https://{}\", ca_file: {ca}, bearer_token: {{ file: {token} }}, \
         headers: {{ X-Key: {{ file: {key} }} }} }} }}\n",
        collector.address
    );
    let gateway = Gateway::with(&format!("{GATEWAY_YAML}{traces}"), None, smh.address).await;
    assert_eq!(gateway.delete("/v1/files/t1/none").await.status(), 404);
    collector.deletes(1).await;
    collector.with(|received| {
        let head = &received[0].head;
        assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
        for field in [
            "authorization: Bearer collector-token",
            "x-key: collector-key",
            "content-type: application/x-protobuf",
        ] {
            assert!(head.lines().any(|line| line == field), "{field} is not in {head}");
        }
    });
    let shown = gateway.running.gateway().shown().to_string();
    assert!(!shown.contains("collector-token") && shown.contains(&token), "{shown}");
    gateway.stop().await;
}

#[tokio::test]
async fn traces_come_and_go_without_a_restart() {
    let (smh, collector) = (Smh::start().await, Collector::start(Says::thanks()));
    let gateway = Gateway::start(smh.address).await;
    assert_eq!(gateway.delete("/v1/files/t1/before").await.status(), 404);
    let with = format!("workers: 2\n{}", traces(&collector.address, ""));
    gateway.edit("gateway.yaml", "workers: 2\n", &with);
    assert_eq!(gateway.apply().await.needs_restart, [""; 0]);
    assert_eq!(gateway.delete("/v1/files/t1/with").await.status(), 404);
    gateway.edit("gateway.yaml", &with, "workers: 2\n");
    assert_eq!(gateway.apply().await.needs_restart, [""; 0]);
    assert_eq!(gateway.delete("/v1/files/t1/after").await.status(), 404);
    // What was waiting is sent when its exporter goes.
    let spans = collector.deletes(1).await;
    let lines = gateway.stop().await;
    assert_eq!(super::collector::own(&spans).count(), 1);
    assert_eq!(lines[1]["trace_id"], hex::encode(&spans[0].trace_id));
    assert_eq!((lines[0].get("trace_id"), lines[2].get("trace_id")), (None, None));
}

#[test]
fn what_would_show_a_secret_or_means_nothing_is_refused_and_not_repeated() {
    for (traces, said) in [
        ("{}", "the traces needs `otlp`"),
        ("{ otlp: { url: \"http://c/v1?key=hidden\" } }", "has no query"),
        ("{ otlp: { url: \"ftp://c/hidden\" } }", "this is no URL of a collector"),
        ("{ otlp: { url: \"http://c\", bearer_token: hidden } }", "does not stand in this file"),
        (
            "{ otlp: { url: \"http://c\", headers: { x-key: hidden } } }",
            "does not stand in this file",
        ),
        ("{ otlp: { url: \"http://c\", bearer_token: { env: T } } }", "could be read on its way"),
        (
            "{ otlp: { url: \"https://c\", headers: { Host: { env: T } } } }",
            "writes this one itself",
        ),
        (
            "{ otlp: { url: \"https://c\", headers: { Authorization: { env: T } } } }",
            "`bearer_token`",
        ),
        ("{ otlp: { url: \"https://c\" }, sample: 0.1 }", "percentage"),
        ("{ otlp: { url: \"https://c\" }, attributes: { service.name: x } }", "`service_name`"),
    ] {
        let yaml = format!("{GATEWAY_YAML}traces: {traces}\n");
        let folder = Folder::new(&yaml, None, ports::nobody());
        let loaded = config::load(&folder.path("gateway.yaml"));
        let shown = loaded.report.render(Color::Plain);
        assert!(loaded.snapshot.is_none(), "{traces}");
        assert!(shown.contains(said), "{traces}: {shown}");
        assert!(!shown.contains("hidden"), "{traces}: {shown}");
    }
}
