//! docs/metrics.md says what is exposed, and nothing else.

use std::collections::BTreeMap;
use std::fs::File;
use std::process::Command;

use super::read;
use super::station::{Family, Station};
use crate::support::{Gateway, Smh};

/// The rows of its tables.
fn documented() -> BTreeMap<String, Family> {
    let mut families = BTreeMap::new();
    for line in read("docs/metrics.md").lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, name, kind, unit, labels, meaning, _, _] = cells.as_slice() else {
            panic!("not six cells: {line}");
        };
        assert!(!meaning.is_empty(), "{line}");
        let word = |text: &str| text.trim_matches('`').to_owned();
        let (mut always, mut sometimes) = (Vec::new(), Vec::new());
        for label in labels.split(", ").filter(|label| !label.is_empty()) {
            match label.strip_prefix('(').and_then(|label| label.strip_suffix(')')) {
                Some(label) => sometimes.push(word(label)),
                None => always.push(word(label)),
            }
        }
        let family = Family {
            kind: (*kind).to_owned(),
            unit: (*unit).to_owned(),
            always: always.into_iter().collect(),
            sometimes: sometimes.into_iter().collect(),
        };
        assert!(families.insert(word(name), family).is_none(), "twice: {name}");
    }
    families
}

#[tokio::test]
async fn every_metric_is_documented_with_its_type_unit_and_labels_and_no_other_is() {
    let station = Station::open().await;
    station.happen().await;
    let exposed = station.families().await;
    let documented = documented();
    let names = |of: &BTreeMap<String, Family>| of.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&exposed), names(&documented), "exposed, documented");
    for (name, family) in &exposed {
        assert_eq!(Some(family), documented.get(name), "{name}: exposed, documented");
    }
    assert_eq!(linted(&station.text().await), KNOWN, "as Prometheus would have them");
    station.close().await;
}

/// A name that is used by the alerts of others stays.
const KNOWN: &str =
    "smh_gateway_tls_certificate_expires_in_days use base unit \"seconds\" instead of \"days\"\n";

/// What `promtool` has to say of it.
fn linted(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics");
    std::fs::write(&path, text).unwrap();
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(File::open(&path).unwrap());
    let output = promtool.output().expect("this test needs promtool (Debian: prometheus)");
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

#[tokio::test]
async fn what_is_configured_is_counted_from_zero() {
    let station = Station::open().await;
    let samples = station.samples().await;
    for sample in [
        "smh_gateway_irreversible_deletes_total{tenant=\"t1\"}",
        "smh_gateway_misdirected_deletes_total{tenant=\"lost\"}",
        "smh_gateway_rule_matches_total{rule=\"keep\",mode=\"enforce\"}",
        "smh_gateway_rule_matches_total{rule=\"seen\",mode=\"shadow\"}",
        "smh_gateway_rate_limited_deletes_total{limit=\"daily\"}",
        "smh_gateway_shadow_limit_exceeded_total{limit=\"trial\"}",
        "smh_gateway_limit_warnings_total{limit=\"daily\"}",
        "smh_gateway_smh_rate_limited_total{library=\"smhxxx\"}",
        "smh_gateway_token_mints_total{result=\"wrong_secret\"}",
        "smh_gateway_rate_limit_store_failures_total{reason=\"timeout\"}",
        "smh_gateway_jwks_fetches_total{issuer=\"cluster\",result=\"failed\"}",
        "smh_gateway_limit_used_ratio{limit=\"daily\",window=\"day\",mode=\"enforce\"}",
    ] {
        assert!(samples.contains(sample), "{sample} is not in {samples:#?}");
    }
    station.close().await;
}

#[tokio::test]
async fn a_limit_shows_what_is_used_of_it_by_whoever_uses_most() {
    let smh = Smh::start().await;
    let policy = "rate_limits:\n  - { name: daily, per: [caller, tenant], limit: 10/day }\n";
    let gateway = Gateway::with_policy(policy, smh.address).await;
    let used = async || {
        let text = String::from_utf8(gateway.admin("/metrics").await.body).unwrap();
        let series =
            "smh_gateway_limit_used_ratio{limit=\"daily\",window=\"day\",mode=\"enforce\"} ";
        let used = text.lines().find_map(|line| line.strip_prefix(series)).unwrap();
        used.parse::<f64>().unwrap()
    };
    assert!(used().await.abs() < f64::EPSILON);
    for tenant in ["t1", "t1", "t1", "t2"] {
        assert_eq!(gateway.delete(&format!("/v1/files/{tenant}/a")).await.status(), 404);
    }
    // A day grows back by less than a hundredth in a quarter of an hour.
    let used = used().await;
    assert!((0.29..=0.3).contains(&used), "{used}");
}
