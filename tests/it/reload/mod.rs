//! gateway.yaml and policy.yaml, edited while it runs.

/// Every way in which a file is changed, and what is told of it.
mod files;
/// What is not valid, and changes nothing.
mod broken;
/// Deletes that never notice.
mod storm;
/// What outlives it, and what does not.
mod state;
/// Minted tokens from one configuration to the next.
mod tokens;

use serde_json::{Value, json};

use crate::support::{Answer, Gateway, becomes, request};

/// A policy whose only rule has this name, and denies all under `x`.
fn denying(rule: &str) -> String {
    format!("rules: [{{ name: {rule}, deny: {{ paths: [\"x/**\"] }} }}]\n")
}

/// The rule that denies a path, as a caller hears it.
async fn denied_by(gateway: &Gateway, target: &str) -> Value {
    // Nobody waits for more behind the answer.
    let request = request(target, &["Connection: close"]);
    gateway.send(&request).await.json()["rule"].clone()
}

/// Waits until this rule decides.
async fn becomes_denied_by(gateway: &Gateway, rule: &str) {
    let what = format!("denied by {rule}");
    becomes(&what, async || denied_by(gateway, "/v1/files/t1/x/1").await == rule).await;
}

/// What `/api/status` says of the configuration.
async fn config(gateway: &Gateway) -> Value {
    gateway.admin("/api/status").await.json()["config"].clone()
}

/// Waits until something is rejected, and returns what is said of it.
async fn becomes_rejected(gateway: &Gateway) -> Value {
    becomes("rejected", async || !config(gateway).await["rejected"].is_null()).await;
    config(gateway).await["rejected"].clone()
}

/// The value of one sample.
async fn metric(gateway: &Gateway, sample: &str) -> f64 {
    let text = text(&gateway.admin("/metrics").await);
    let value = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {sample} in {text}")).parse().unwrap()
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.clone()).unwrap()
}

const APPLIED: &str = "smh_gateway_config_reloads_total{result=\"applied\"}";
const REJECTED: &str = "smh_gateway_config_reloads_total{result=\"rejected\"}";
const SUCCESSFUL: &str = "smh_gateway_config_last_reload_successful";

/// Both counts of reloads: applied and rejected.
async fn reloads(gateway: &Gateway) -> Value {
    json!([metric(gateway, APPLIED).await, metric(gateway, REJECTED).await])
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(bytes))
}
