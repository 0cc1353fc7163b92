//! What watches a gateway: the metrics that it exposes, and the rules, the dashboard and the runbook that are
//! made of them.

/// A gateway to which everything happens.
mod station;
/// A real Prometheus.
mod prometheus;
/// docs/metrics.md says what is exposed.
mod documented;
/// deploy/monitoring/rules.yaml.
mod rules;
/// deploy/monitoring/dashboard.json.
mod dashboard;
/// docs/runbook.md has an entry for each alert.
mod runbook;

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::examples::root;

/// A file of deploy/monitoring.
fn monitoring(name: &str) -> std::path::PathBuf {
    root().join("deploy/monitoring").join(name)
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The groups of rules.yaml, one rule after the other.
fn rules_of_file() -> Vec<Value> {
    let rules: Value = serde_saphyr::from_str(&read("deploy/monitoring/rules.yaml")).unwrap();
    let groups = rules["groups"].as_array().unwrap().iter();
    groups.flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

fn alerts() -> Vec<Value> {
    rules_of_file().into_iter().filter(|rule| rule["alert"].is_string()).collect()
}

/// The names of metrics in an expression: what is followed by neither `(` nor `=`, and holds an underscore.
fn metrics_in(expression: &str) -> BTreeSet<String> {
    let is_name = |character: char| character.is_ascii_alphanumeric() || "_:".contains(character);
    let mut names = BTreeSet::new();
    // Neither what is quoted nor the labels of `by (…)` and `on (…)`.
    let mut quoted = false;
    let bare: String = expression
        .chars()
        .map(|character| {
            quoted ^= character == '"';
            if quoted { '"' } else { character }
        })
        .collect();
    for word in bare.split(|character| !is_name(character)) {
        let ours = word.starts_with("smh_gateway") || word.starts_with("http_server");
        let theirs = word.starts_with("http_client") || word.starts_with("process_");
        let is_label = ["http_request_method", "http_response_status_code"].contains(&word);
        if (ours || theirs) && !is_label {
            names.insert(word.to_owned());
        }
    }
    names
}

#[test]
fn names_are_found_in_an_expression() {
    let found = metrics_in(
        "sum by (http_response_status_code) (rate(http_server_request_duration_seconds_count{job=\"smh_gateway_x\"}[5m])) \
         / on (job) smh_gateway:errors:rate5m or up",
    );
    let wanted = ["http_server_request_duration_seconds_count", "smh_gateway:errors:rate5m"];
    assert_eq!(found, wanted.map(str::to_owned).into());
}
