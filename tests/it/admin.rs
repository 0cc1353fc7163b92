//! The admin listener.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use smh_gateway::run::{Ended, Running};
use smh_gateway::simulator::{Fault, Injection};
use tokio::sync::oneshot;

use crate::support::{
    Answer, Folder, GATEWAY_YAML, Gateway, KEY, Lines, OTHER_KEY, Smh, TOKEN, load, request, send,
};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

async fn ask(admin: SocketAddr, line: &str, fields: &str) -> Answer {
    let request = format!("{line} HTTP/1.1\r\nHost: admin\r\n{fields}Connection: close\r\n\r\n");
    send(admin, request.as_bytes()).await
}

async fn get(admin: SocketAddr, path: &str) -> Answer {
    ask(admin, &format!("GET {path}"), "").await
}

/// A gateway whose folder was changed before it started.
async fn start_in(folder: &Folder) -> (Running, SocketAddr) {
    let (snapshot, _) = load(&folder.path("gateway.yaml"));
    let running = Running::start(snapshot, Lines::default()).await.unwrap();
    let admin = running.admin().unwrap();
    (running, admin)
}

async fn becomes_ready(admin: SocketAddr) {
    let until = Instant::now() + Duration::from_secs(20);
    while get(admin, "/readyz").await.status() != 200 {
        assert!(Instant::now() < until, "it never becomes ready");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_gateway_that_serves_is_alive_and_ready() {
    let smh = Smh::start().await;
    let gateway = Gateway::start(smh.address).await;
    let answer = gateway.admin("/livez").await;
    assert_eq!((answer.status(), answer.body.as_slice()), (200, &b"ok\n"[..]));
    let answer = gateway.admin("/readyz").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.json(), json!({ "ready": true, "phase": "serving", "pending": [] }));
    for path in ["/livez", "/readyz", "/metrics", "/api/status", "/api/config", "/"] {
        let answer = gateway.admin(path).await;
        assert_eq!(answer.field("cache-control"), Some("no-store"), "{path}");
        assert_eq!(answer.field("x-content-type-options"), Some("nosniff"), "{path}");
    }
    assert_eq!(smh.targets(), [""; 0], "SMH is never asked");
}

#[tokio::test]
async fn an_smh_that_is_away_leaves_the_gateway_ready() {
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let gateway = Gateway::start(nobody).await;
    assert_eq!(gateway.delete("/v1/files/t1/a").await.code(), "UpstreamUnreachable");
    assert_eq!(gateway.admin("/readyz").await.status(), 200);
}

#[tokio::test]
async fn a_secret_that_is_missing_is_pending_until_it_is_there() {
    let smh = Smh::start().await.with_file("a");
    let folder = Folder::new(GATEWAY_YAML, None, smh.address);
    fs::remove_file(folder.path("token")).unwrap();
    fs::remove_file(folder.path("app.key")).unwrap();
    // Both files are there, and neither is a secret.
    fs::write(folder.path("other.key"), "two\nlines").unwrap();
    let (running, admin) = start_in(&folder).await;
    let data = running.addresses()[0];

    let answer = get(admin, "/readyz").await;
    assert_eq!(answer.status(), 503);
    let pending = ["token of library smhxxx", "API key of caller app", "API key of caller other"];
    let wanted = json!({ "ready": false, "phase": "serving", "pending": pending });
    assert_eq!(answer.json(), wanted);
    let status = get(admin, "/api/status").await.json();
    assert_eq!((&status["ready"], &status["pending"]), (&json!(false), &wanted["pending"]));
    assert_eq!(get(admin, "/livez").await.status(), 200, "a restart would not help");
    assert_eq!(send(data, request("/v1/files/t1/a", &[]).as_bytes()).await.status(), 401);

    folder.write("app.key", KEY);
    folder.write("other.key", OTHER_KEY);
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let pending = get(admin, "/readyz").await.json()["pending"].clone();
        if pending == json!(["token of library smhxxx"]) {
            break;
        }
        assert!(Instant::now() < until, "{pending}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let answer = send(data, request("/v1/files/t1/a", &[]).as_bytes()).await;
    assert_eq!((answer.status(), answer.code().as_str()), (503, "TokenUnavailable"));
    assert!(answer.field("retry-after").is_some(), "{}", answer.head);
    assert_eq!(smh.targets(), [""; 0]);

    folder.write("token", TOKEN);
    becomes_ready(admin).await;
    assert_eq!(send(data, request("/v1/files/t1/a", &[]).as_bytes()).await.status(), 200);
    // A file that goes again changes nothing: what was read is in use.
    fs::remove_file(folder.path("token")).unwrap();
    assert_eq!(get(admin, "/readyz").await.status(), 200);
    running.stop_in_time().await;
}

#[tokio::test]
async fn a_gateway_that_leaves_is_not_ready_but_alive_and_serves() {
    let smh = Smh::start().await.with_file("a");
    let yaml = GATEWAY_YAML.replace("delay: 0s", "delay: 1h");
    let folder = Folder::new(&yaml, None, smh.address);
    let (running, admin) = start_in(&folder).await;
    let data = running.addresses()[0];
    let (hurry, hurried) = oneshot::channel::<()>();
    let asked = async {
        // `stop` is polled first, and leaving is the first thing it does.
        let answer = get(admin, "/readyz").await;
        assert_eq!(answer.status(), 503);
        let wanted = json!({ "ready": false, "phase": "leaving", "pending": [] });
        assert_eq!(answer.json(), wanted);
        assert_eq!(get(admin, "/api/status").await.json()["phase"], "leaving");
        assert_eq!(get(admin, "/livez").await.status(), 200);
        assert_eq!(send(data, request("/v1/files/t1/a", &[]).as_bytes()).await.status(), 200);
        hurry.send(()).unwrap();
    };
    let stop = running.stop(async {
        let _ = hurried.await;
    });
    let (ended, ()) = tokio::join!(biased; stop, asked);
    assert!(!matches!(ended, Ended::Overdue { .. }));
    assert!(tokio::net::TcpStream::connect(admin).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn the_metrics_come_in_the_format_that_is_asked_for() {
    let smh = Smh::start().await;
    let gateway = Gateway::start(smh.address).await;
    let admin = gateway.running.admin().unwrap();
    // As Prometheus asks, in its versions 2 and 3.
    let old = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;\
               version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let new = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
               application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;\
               escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    for (accept, content_type) in [
        ("application/openmetrics-text", OPEN_METRICS),
        (old, OPEN_METRICS),
        (new, OPEN_METRICS),
        ("text/plain;version=0.0.4", PROMETHEUS),
        ("*/*", PROMETHEUS),
        ("text/html", PROMETHEUS),
    ] {
        let answer = ask(admin, "GET /metrics", &format!("Accept: {accept}\r\n")).await;
        assert_eq!((answer.status(), answer.field("content-type")), (200, Some(content_type)));
        Exposition::parse(&answer);
    }
    assert_eq!(get(admin, "/metrics").await.field("content-type"), Some(PROMETHEUS));
}

#[tokio::test]
async fn every_answer_is_counted_by_what_it_was() {
    let smh = Smh::start().await.with_file("a").with_file("tmp/b").with_file("c");
    let policy = "permanent_deletes: by_rule\n\
                  rules: [{ name: tmp, allow_permanent: { paths: [\"tmp/**\"] } }]\n\
                  rate_limits: [{ name: few, limit: 6/h, burst: 6 }]\n";
    let gateway = Gateway::with_policy(policy, smh.address).await;
    let admin = gateway.running.admin().unwrap();
    let metrics = async |accept: &str| {
        let fields = format!("Accept: {accept}\r\n");
        Exposition::parse(&ask(admin, "GET /metrics", &fields).await)
    };
    let before = metrics("application/openmetrics-text").await;
    assert!(before.samples.len() > 50, "every code is there from the start");
    for (target, status) in [
        ("/v1/files/t1/a", 200),
        ("/v1/files/t1/tmp/b?permanent=1", 204),
        ("/v1/files/t1/a", 404),
        ("/v1/files/t1/a", 404),
        ("/v1/files/t1/a?permanent=1", 403),
        ("/v1/files/t1/..", 400),
    ] {
        assert_eq!(gateway.delete(target).await.status(), status, "{target}");
    }
    smh.simulator.inject(Injection::once(Fault::CutBeforeActing));
    assert_eq!(gateway.delete("/v1/files/t1/c").await.outcome(), "unknown");
    smh.simulator.inject(Injection::once(Fault::PlainForbidden));
    assert_eq!(gateway.delete("/v1/files/t1/c").await.code(), "UpstreamCredentialRejected");
    assert_eq!(gateway.delete("/v1/files/t1/c").await.code(), "RateLimited");
    let dry = request("/v1/files/t1/c", &["X-Dry-Run: 1"]);
    assert_eq!(gateway.send(&dry).await.status(), 202);

    let refused = |code: &str, outcome: &str| {
        format!("smh_gateway_deletes_refused_total{{code=\"{code}\",outcome=\"{outcome}\"}}")
    };
    let relayed = |status| format!("smh_gateway_deletes_relayed_total{{status=\"{status}\"}}");
    let wanted = BTreeMap::from([
        (relayed(200), 1.0),
        (relayed(204), 1.0),
        (relayed(404), 2.0),
        (refused("PermanentDeleteBlocked", "not_sent"), 1.0),
        (refused("InvalidPath", "not_sent"), 1.0),
        (refused("RateLimited", "not_sent"), 1.0),
        (refused("UpstreamProtocolError", "unknown"), 1.0),
        (refused("UpstreamCredentialRejected", "not_sent"), 1.0),
        ("smh_gateway_tokens_rejected_total".to_owned(), 1.0),
        ("smh_gateway_dry_runs_total".to_owned(), 1.0),
    ]);
    for accept in ["application/openmetrics-text", "text/plain"] {
        let after = metrics(accept).await;
        let moved = after.samples.iter().filter_map(|(series, value)| {
            let counter = series.split(['{', ' ']).next().unwrap().ends_with("_total");
            let by = value - before.samples.get(series).copied().unwrap_or_default();
            (counter && by != 0.0).then(|| (series.clone(), by))
        });
        assert_eq!(moved.collect::<BTreeMap<_, _>>(), wanted, "{accept}");
        assert_eq!(after.samples["smh_gateway_delete_duration_seconds_count"], 9.0);
        assert_eq!(after.samples["smh_gateway_deletes_in_flight"], 0.0);
        assert!(after.samples.keys().any(|s| s.starts_with("smh_gateway_build_info{version=")));
    }
}

/// Metrics as one may read them, held to the rules of their format.
struct Exposition {
    /// By name and labels, as they are written.
    samples: BTreeMap<String, f64>,
}

impl Exposition {
    fn parse(answer: &Answer) -> Self {
        let text = std::str::from_utf8(&answer.body).unwrap();
        let open = answer.field("content-type") == Some(OPEN_METRICS);
        assert!(text.ends_with('\n') && !text.contains("\n\n"), "{text}");
        assert_eq!(text.matches("# EOF").count(), usize::from(open));
        let text = if open { text.strip_suffix("# EOF\n").unwrap() } else { text };

        let mut samples = BTreeMap::new();
        let (mut families, mut helped) = (BTreeSet::new(), BTreeSet::new());
        // Name, type and unit of the family that the lines belong to.
        let mut family = (String::new(), String::new());
        for line in text.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                let words: Vec<_> = comment.splitn(3, ' ').collect();
                let [keyword, name, rest] = words.as_slice() else { panic!("{line}") };
                match *keyword {
                    "HELP" => assert!(helped.insert(name.to_string()), "twice: {line}"),
                    "TYPE" => {
                        assert!(families.insert(name.to_string()), "twice: {line}");
                        family = (name.to_string(), rest.to_string());
                    }
                    "UNIT" => assert!(open && name.ends_with(&format!("_{rest}")), "{line}"),
                    _ => panic!("{line}"),
                }
                continue;
            }
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = match series.split_once('{') {
                Some((name, labels)) => (name, labels.strip_suffix('}').unwrap()),
                None => (series, ""),
            };
            let suffix = name.strip_prefix(&family.0).unwrap_or_else(|| panic!("{line}"));
            let suffixes: &[&str] = match (&*family.1, open) {
                ("counter", true) => &["_total", "_created"],
                ("info", true) => &["_info"],
                ("histogram", _) => &["_bucket", "_sum", "_count"],
                ("counter" | "gauge", _) => &[""],
                other => panic!("{other:?}: {line}"),
            };
            assert!(suffixes.contains(&suffix), "{:?} has no sample like {line}", family);
            assert!(open || family.1 != "counter" || name.ends_with("_total"), "{line}");
            for label in labels.split(',').filter(|label| !label.is_empty()) {
                let (key, value) = label.split_once('=').unwrap();
                assert!(key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{line}");
                assert!(
                    value.len() > 2 && value.starts_with('"') && value.ends_with('"'),
                    "{line}"
                );
            }
            let value: f64 = value.parse().unwrap();
            assert!(value >= 0.0, "{line}");
            assert!(samples.insert(series.to_owned(), value).is_none(), "twice: {series}");
        }
        assert_eq!(helped, families, "each family says what it is");
        let this = Self { samples };
        this.check_buckets();
        this
    }

    /// Buckets grow, and the last one holds all.
    fn check_buckets(&self) {
        let name = "smh_gateway_delete_duration_seconds";
        let prefix = format!("{name}_bucket{{le=\"");
        let bound = |series: &str| series.strip_prefix(&prefix)?.strip_suffix("\"}")?.parse().ok();
        let buckets = self.samples.iter().filter_map(|(s, v)| bound(s).map(|b: f64| (b, *v)));
        let mut buckets: Vec<_> = buckets.collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(buckets.len() > 5 && buckets.is_sorted_by(|a, b| a.1 <= b.1), "{buckets:?}");
        let last = (f64::INFINITY, self.samples[&format!("{name}_count")]);
        assert_eq!(buckets.last(), Some(&last));
    }
}

#[tokio::test]
async fn the_status_says_what_runs_and_since_when() {
    let smh = Smh::start().await;
    let gateway = Gateway::with_policy("permanent_deletes: deny\n", smh.address).await;
    let answer = gateway.admin("/api/status").await;
    assert_eq!(answer.field("content-type"), Some("application/json"));
    let mut status = answer.json();
    let sha256 = gateway.running.gateway().snapshot().sha256.clone();
    assert_eq!(sha256.len(), 64);
    assert!(status["uptime_seconds"].as_u64().unwrap() < 60);
    assert!(status["config"]["seconds_in_force"].as_u64().unwrap() < 60);
    status["uptime_seconds"] = json!(0);
    status["config"]["seconds_in_force"] = json!(0);
    let wanted = json!({
        "version": env!("CARGO_PKG_VERSION"), "phase": "serving", "ready": true, "pending": [],
        "uptime_seconds": 0, "in_flight": 0, "connections": 0,
        "tokens": [], "library_secrets": [], "halted_tenants": [],
        "config": {
            "file": gateway.folder.path("gateway.yaml"),
            "policy_file": gateway.folder.path("policy.yaml"),
            "sha256": sha256, "seconds_in_force": 0,
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
    for path in ["/v1/files/t1/a", "/api", "/livez/", "//livez", "/api/explain", "/quitquitquit"] {
        assert_eq!(get(admin, path).await.status(), 404, "{path}");
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
    let index = String::from_utf8(gateway.admin("/").await.body).unwrap();
    let pages: Vec<_> = index.lines().filter_map(|line| line.strip_prefix("GET ")).collect();
    assert_eq!(pages.len(), 5);
    for page in pages {
        let path = page.split(' ').next().unwrap();
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
