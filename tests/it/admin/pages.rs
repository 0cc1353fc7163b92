//! Status, configuration, and what is no page.

use std::time::{Duration, Instant};

use serde_json::json;
use smh_gateway::glance::WITHIN_MS;
use smh_gateway::simulator::{Fault, Injection};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::*;
use crate::support::{GATEWAY_YAML, Gateway, KEY, OTHER_KEY, Smh, TOKEN};

#[tokio::test]
async fn the_status_says_what_runs_and_since_when() {
    let smh = Smh::start().await;
    let gateway = Gateway::with_policy("permanent_deletes: deny\n", smh.address).await;
    let answer = gateway.admin("/api/status").await;
    assert_eq!(answer.field("content-type"), Some("application/json"));
    let mut status = answer.json();
    let sha256 = gateway.running.gateway().in_force().snapshot.sha256.clone();
    assert_eq!(sha256.len(), 64);
    assert!(status["uptime_seconds"].as_u64().unwrap() < 60);
    assert!(status["config"]["seconds_in_force"].as_u64().unwrap() < 60);
    status["uptime_seconds"] = json!(0);
    status["config"]["seconds_in_force"] = json!(0);
    let since = status["config"]["since"].take();
    let since = OffsetDateTime::parse(since.as_str().unwrap(), &Rfc3339).unwrap();
    assert!((OffsetDateTime::now_utc() - since).whole_seconds() < 60, "{since}");
    let wanted = json!({
        "version": env!("CARGO_PKG_VERSION"), "phase": "serving", "ready": true, "pending": [],
        "uptime_seconds": 0, "in_flight": 0, "max_in_flight": 1000, "connections": 0,
        "libraries": [{
            "library": "smhxxx", "url": format!("http://{}", smh.address), "recycle_bin": "on",
            "token": "given", "in_flight": 0, "max_in_flight": 1000, "eased_to_per_second": null,
        }],
        "deletes": {
            "ended": {
                "deleted": 0, "absent": 0, "other_answer": 0, "refused": 0, "failed": 0,
                "unknown": 0,
            },
            "answered_within_ms": WITHIN_MS, "answered": vec![0; WITHIN_MS.len() + 1],
            "irreversible": 0, "misdirected": 0,
        },
        "latest_refusals": [], "latest_alarms": [], "frozen": [],
        "audit": null, "rate_limit_store": null,
        "tokens": [], "library_secrets": [], "halted_tenants": [],
        "certificates": [], "jwt_issuers": [],
        "config": {
            "file": gateway.folder.path("gateway.yaml"),
            "policy_file": gateway.folder.path("policy.yaml"),
            "sha256": sha256, "seconds_in_force": 0, "since": null,
            "callers": 2, "tenants": 2, "rules": 0, "dry_run": false,
            "needs_restart": [], "rejected": null,
        },
    });
    assert_eq!(status, wanted);
}

#[tokio::test]
async fn what_is_in_flight_is_seen_while_it_is() {
    let smh = Smh::start().await;
    let gateway = Gateway::start(smh.address).await;
    smh.simulator.inject(Injection::once(Fault::HangBeforeActing));
    let seen = async {
        let until = Instant::now() + Duration::from_secs(3);
        loop {
            let status = gateway.admin("/api/status").await.json();
            if (&status["in_flight"], &status["connections"]) == (&json!(1), &json!(1)) {
                return;
            }
            assert!(Instant::now() < until, "{status}");
        }
    };
    let (answer, ()) = tokio::join!(gateway.delete("/v1/files/t1/a"), seen);
    assert_eq!(answer.status(), 504);
}

#[tokio::test]
async fn the_configuration_shows_where_secrets_are_and_none_of_them() {
    let smh = Smh::start().await;
    let digest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let yaml = GATEWAY_YAML
        .replace("{ file: other.key }", &format!("{{ sha256: {digest} }}"))
        .replace("tenants:\n", "  smhyyy:\n    token: { env: SMH_NO_SUCH_VARIABLE }\ntenants:\n");
    let gateway = Gateway::with(&yaml, None, smh.address).await;
    let answer = gateway.admin("/api/config").await;
    let text = String::from_utf8(answer.body.clone()).unwrap();
    for secret in [TOKEN, KEY, OTHER_KEY, digest] {
        assert!(!text.contains(secret), "{text}");
    }
    let config = answer.json();
    let file = |name: &str| json!({ "file": gateway.folder.path(name) });
    assert_eq!(config["libraries"]["smhxxx"]["token"], file("token"));
    let variable = json!({ "env": "SMH_NO_SUCH_VARIABLE" });
    assert_eq!(config["libraries"]["smhyyy"]["token"], variable);
    let app = json!({ "credentials": [{ "api_key": file("app.key") }], "tenants": ["t1", "t2"] });
    assert_eq!(config["callers"]["app"], app);
    let other = json!([{ "api_key": { "sha256": "[redacted]" } }]);
    assert_eq!(config["callers"]["other"]["credentials"], other);
}

#[tokio::test]
async fn nothing_but_get_is_taken_and_no_page_deletes() {
    let smh = Smh::start().await.with_file("a");
    let gateway = Gateway::start(smh.address).await;
    let admin = gateway.running.admin().unwrap();
    for path in ["/livez", "/readyz", "/metrics", "/api/status", "/api/config", "/"] {
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
            let answer = ask(admin, &format!("{method} {path}"), "").await;
            assert_eq!((answer.status(), answer.field("allow")), (405, Some("GET, HEAD")));
        }
    }
    for path in ["/v1/files/t1/a", "/api", "/livez/", "//livez", "/api/explain/", "/quitquitquit"] {
        assert_eq!(get(admin, path).await.status(), 404, "{path}");
    }
    for method in ["GET", "PUT", "DELETE"] {
        let answer = ask(admin, &format!("{method} /api/explain"), "").await;
        assert_eq!((answer.status(), answer.field("allow")), (405, Some("POST")));
    }
    let line = "DELETE /v1/files/t1/a";
    let credential = format!("Authorization: Bearer {KEY}\r\n");
    assert_eq!(ask(admin, line, &credential).await.status(), 404);
    assert_eq!(get(admin, "/livez?x=1").await.status(), 200);
    assert_eq!(smh.targets(), [""; 0]);
    assert_eq!(smh.files(), ["a"]);
    assert_eq!(gateway.delete("/livez").await.code(), "UnknownRoute", "nor the other way round");
}

#[tokio::test]
async fn the_index_names_every_page() {
    let smh = Smh::start().await;
    let gateway = Gateway::start(smh.address).await;
    let index = gateway.admin_as("/", "text/plain").await;
    assert_eq!(index.field("content-type"), Some("text/plain; charset=utf-8"));
    let index = String::from_utf8(index.body).unwrap();
    let pages: Vec<_> = index.lines().filter_map(|line| line.strip_prefix("GET ")).collect();
    assert_eq!(pages.len(), 8);
    let sha256 = gateway.running.gateway().in_force().snapshot.sha256.clone();
    assert!(index.starts_with(&format!("configuration  {sha256}\nin force since ")), "{index}");
    let files = format!("from           {}\n", gateway.folder.path("gateway.yaml").display());
    assert!(index.contains(&files) && !index.contains("REJECTED"), "{index}");
    let paths = pages.iter().map(|page| page.split(' ').next().unwrap());
    // One of them does not end.
    for path in paths.filter(|path| *path != "/api/events") {
        assert_eq!(gateway.admin(path).await.status(), 200, "{path}");
    }
}

#[tokio::test]
async fn the_admin_listener_can_be_switched_off() {
    let smh = Smh::start().await.with_file("a");
    for none in ["admin: none", "admin: { address: none }"] {
        let yaml = GATEWAY_YAML.replace("admin:\n  address: 127.0.0.1:0", none);
        let gateway = Gateway::with(&yaml, None, smh.address).await;
        assert_eq!(gateway.running.admin(), None, "{none}");
    }
}
