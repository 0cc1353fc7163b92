//! Metrics, held to the rules of their format.

use std::collections::{BTreeMap, BTreeSet};

use smh_gateway::simulator::{Fault, Injection};

use super::*;
use crate::support::{Answer, Gateway, Smh, request};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

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
        ("smh_gateway_rule_matches_total{rule=\"tmp\",mode=\"enforce\"}".to_owned(), 1.0),
        (refused("PermanentDeleteBlocked", "not_sent"), 1.0),
        (refused("InvalidPath", "not_sent"), 1.0),
        (refused("RateLimited", "not_sent"), 1.0),
        (refused("UpstreamProtocolError", "unknown"), 1.0),
        (refused("UpstreamCredentialRejected", "not_sent"), 1.0),
        ("smh_gateway_tokens_rejected_total".to_owned(), 1.0),
        ("smh_gateway_dry_runs_total".to_owned(), 1.0),
        ("smh_gateway_rate_limited_deletes_total{limit=\"few\"}".to_owned(), 1.0),
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
        for (labels, count) in [
            ("200\"", 1.0),
            ("204\"", 1.0),
            ("404\"", 2.0),
            ("403\"", 1.0),
            ("400\"", 1.0),
            ("429\"", 1.0),
            ("202\"", 1.0),
            ("502\",error_type=\"UpstreamProtocolError\"", 1.0),
            ("502\",error_type=\"UpstreamCredentialRejected\"", 1.0),
        ] {
            let series = format!(
                "http_server_request_duration_seconds_count{{http_request_method=\"DELETE\",\
                 url_scheme=\"http\",http_response_status_code=\"{labels}}}"
            );
            assert_eq!(after.samples.get(&series), Some(&count), "{series}");
        }
        for (labels, count) in [
            ("http_response_status_code=\"200\"", 1.0),
            ("http_response_status_code=\"204\"", 1.0),
            ("http_response_status_code=\"404\",error_type=\"404\"", 2.0),
            ("http_response_status_code=\"403\",error_type=\"403\"", 1.0),
            ("error_type=\"incomplete\"", 1.0),
        ] {
            let series = format!(
                "http_client_request_duration_seconds_count{{http_request_method=\"DELETE\",\
                 server_address=\"127.0.0.1\",server_port=\"{}\",library=\"smhxxx\",{labels}}}",
                smh.address.port()
            );
            assert_eq!(after.samples.get(&series), Some(&count), "{series}");
        }
        let asked = after
            .samples
            .keys()
            .filter(|s| s.starts_with("http_client_request") && s.contains("_count{"));
        assert_eq!(asked.count(), 5, "and nothing else was sent");
    }
}

#[tokio::test]
async fn a_method_that_a_caller_makes_up_is_no_label() {
    let smh = Smh::start().await;
    let gateway = Gateway::start(smh.address).await;
    for method in ["GET", "PURGE", "MADEUP"] {
        let request = request("/v1/files/t1/a", &[]).replacen("DELETE", method, 1);
        assert_eq!(gateway.send(&request).await.status(), 405, "{method}");
    }
    assert_eq!(gateway.send("no HTTP at all\r\n\r\n").await.status(), 400);
    let answer = get(gateway.running.admin().unwrap(), "/metrics").await;
    let samples = Exposition::parse(&answer).samples;
    for (method, status, count) in [("GET", 405, 1.0), ("_OTHER", 405, 2.0), ("_OTHER", 400, 1.0)] {
        let series = format!(
            "http_server_request_duration_seconds_count{{http_request_method=\"{method}\",\
             url_scheme=\"http\",http_response_status_code=\"{status}\"}}"
        );
        assert_eq!(samples.get(&series), Some(&count), "{series}");
    }
    let text = String::from_utf8(answer.body).unwrap();
    assert!(!text.contains("PURGE") && !text.contains("MADEUP"));
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
                let is_label = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
                assert!(key.bytes().all(is_label), "{line}");
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
