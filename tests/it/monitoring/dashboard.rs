//! The dashboard: every query of it, asked of a Prometheus that has scraped a gateway.

use std::collections::BTreeSet;

use serde_json::Value;

use super::prometheus::Prometheus;
use super::station::Station;
use super::{metrics_in, read};

/// A query, with the panel, the variable or the annotation that it is of.
struct Query {
    of: String,
    expression: String,
}

fn dashboard() -> Value {
    serde_json::from_str(&read("deploy/monitoring/dashboard.json")).unwrap()
}

/// The panels, also those in rows that are closed.
fn panels(dashboard: &Value) -> Vec<&Value> {
    let list = |value: &'_ Value| value.as_array().map_or(0, Vec::len);
    let mut panels = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        panels.push(panel);
        if list(&panel["panels"]) > 0 {
            panels.extend(panel["panels"].as_array().unwrap());
        }
    }
    panels
}

fn queries(dashboard: &Value) -> Vec<Query> {
    let mut queries = Vec::new();
    for panel in panels(dashboard) {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().into_iter().flatten() {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
            let expression = target["expr"].as_str().unwrap().to_owned();
            queries.push(Query { of: title.to_owned(), expression });
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
        let (of, expression) = (&annotation["name"], &annotation["expr"]);
        let of = of.as_str().unwrap().to_owned();
        queries.push(Query { of, expression: expression.as_str().unwrap().to_owned() });
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let Some(query) = variable["query"]["query"].as_str() else { continue };
        let inner = query.strip_prefix("label_values(").and_then(|it| it.strip_suffix(')'));
        let (expression, _) = inner.unwrap().rsplit_once(',').unwrap();
        let of = variable["name"].as_str().unwrap().to_owned();
        queries.push(Query { of, expression: expression.to_owned() });
    }
    queries
}

/// As Grafana would, with everything chosen.
fn filled(expression: &str) -> String {
    let filled = expression
        .replace("$__rate_interval", "5m")
        .replace("$__range", "1m")
        .replace("$job", ".*")
        .replace("$instance", ".*");
    assert!(!filled.contains('$'), "a variable that nobody fills: {expression}");
    filled
}

/// What there need not be: SMH said that it is too much once, and that is over; and nobody edited a file.
const MAY_BE_EMPTY: [&str; 2] = ["Held back for SMH", "Another configuration"];

#[tokio::test]
async fn every_query_of_the_dashboard_is_answered_and_every_rule_is_evaluated() {
    let station = Station::open().await;
    let prometheus = Prometheus::watching(station.admin()).await;
    station.happen().await;
    prometheus.scrapes_again(3).await;
    let dashboard = dashboard();
    let (names, queries) = (station.names().await, queries(&dashboard));
    assert!(queries.len() > 30, "{}", queries.len());
    for Query { of, expression } in &queries {
        let found = prometheus.query(&filled(expression)).await;
        let found = found.unwrap_or_else(|error| panic!("{of}: {expression}: {error}"));
        let may_be_empty = MAY_BE_EMPTY.contains(&of.as_str());
        assert!(may_be_empty || !found.is_empty(), "{of}: nothing for {expression}");
        let unknown: Vec<_> = metrics_in(expression).difference(&names).cloned().collect();
        assert!(may_be_empty || unknown.is_empty(), "{of}: {unknown:?}");
    }

    for rule in prometheus.rules().await {
        assert_eq!(
            (rule["health"].as_str(), &rule["lastError"]),
            (Some("ok"), &Value::Null),
            "{rule}"
        );
    }
    let firing = prometheus.query("ALERTS{alertstate=\"firing\"}").await.unwrap();
    let firing: BTreeSet<_> =
        firing.iter().map(|alert| alert["metric"]["alertname"].as_str().unwrap()).collect();
    // What happened at the station, and has no time to pass first.
    for wanted in ["SmhGatewayIrreversibleDeletes", "SmhGatewayMisdirectedDeletes"] {
        assert!(firing.contains(wanted), "{firing:?}");
    }
    station.close().await;
}

#[test]
fn the_dashboard_can_be_imported_and_says_what_it_shows() {
    let dashboard = dashboard();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let names: Vec<_> = variables.iter().map(|variable| variable["name"].as_str()).collect();
    assert_eq!(names, [Some("datasource"), Some("job"), Some("instance")]);
    assert_eq!(variables[0]["type"], "datasource");
    assert_eq!(dashboard["id"], Value::Null, "it gets one where it is imported");
    assert!(dashboard["uid"].is_string() && dashboard["schemaVersion"].is_u64());

    let panels = panels(&dashboard);
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "each has a number of its own");
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let title = panel["title"].as_str().unwrap();
        assert!(panel["description"].as_str().is_some_and(|text| !text.is_empty()), "{title}");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title}");
        assert!(!panel["targets"].as_array().unwrap().is_empty(), "{title}");
        let place = &panel["gridPos"];
        let end = place["x"].as_u64().unwrap() + place["w"].as_u64().unwrap();
        assert!(end <= 24 && place["h"].as_u64().unwrap() > 0, "{title}");
    }
}
