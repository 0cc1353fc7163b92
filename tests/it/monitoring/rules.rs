//! The alerts: valid, tested both ways, and about metrics that there are.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use super::station::Station;
use super::{alerts, metrics_in, monitoring, read, rules_of_file};

const TESTS: [&str; 2] = ["rules-test.yaml", "burn-test.yaml"];

fn promtool(arguments: &[&str]) {
    let output = Command::new("promtool").args(arguments).current_dir(monitoring("")).output();
    let output = output.expect("this test needs promtool (Debian: apt install prometheus)");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn the_rules_are_valid() {
    promtool(&["check", "rules", "rules.yaml"]);
}

#[test]
fn every_alert_fires_when_it_should_and_not_when_it_should_not() {
    let (mut fires, mut rests) = (BTreeSet::new(), BTreeSet::new());
    for file in TESTS {
        let tests: Value =
            serde_saphyr::from_str(&read(&format!("deploy/monitoring/{file}"))).unwrap();
        for test in tests["tests"].as_array().unwrap() {
            for case in test["alert_rule_test"].as_array().unwrap() {
                let expected = case["exp_alerts"].as_array().unwrap();
                let which = if expected.is_empty() { &mut rests } else { &mut fires };
                which.insert(case["alertname"].as_str().unwrap().to_owned());
            }
        }
    }
    let all: BTreeSet<_> =
        alerts().iter().map(|alert| alert["alert"].as_str().unwrap().to_owned()).collect();
    assert_eq!((&fires, &rests), (&all, &all), "each has a test of both kinds");
    promtool(&[&["test", "rules"], &TESTS[..]].concat());
}

#[tokio::test]
async fn the_rules_are_about_metrics_that_are_exposed() {
    let station = Station::open().await;
    station.happen().await;
    let mut known = station.names().await;
    let rules = rules_of_file();
    known.extend(rules.iter().filter_map(|rule| Some(rule["record"].as_str()?.to_owned())));
    let mut used = BTreeSet::new();
    for rule in &rules {
        let names = metrics_in(rule["expr"].as_str().unwrap());
        assert!(!names.is_empty(), "{rule}");
        let unknown: Vec<_> = names.difference(&known).collect();
        assert!(unknown.is_empty(), "{unknown:?} in {rule}");
        used.extend(names);
    }
    let recorded = rules.iter().filter_map(|rule| rule["record"].as_str());
    let unused: Vec<_> = recorded.filter(|name| !used.contains(*name)).collect();
    assert_eq!(unused, [""; 0], "recorded, and used by no alert");
    station.close().await;
}
