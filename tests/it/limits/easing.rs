//! Less for a library that answers 429.

use smh_gateway::simulator::{Fault, Injection};

use super::*;

const RATE: &str = "smh_gateway_eased_deletes_per_second{library=\"smhxxx\"}";
const REFUSED: &str = "smh_gateway_smh_rate_limited_total{library=\"smhxxx\"}";

#[tokio::test]
async fn a_429_of_smh_is_relayed_as_it_came_and_the_next_deletes_are_held_to_what_it_bears() {
    let smh = Smh::start().await;
    let gateway = Gateway::start(smh.address).await;
    assert_eq!(passes(&gateway, 20).await, 20);
    smh.simulator.inject(Injection::once(Fault::RateLimited));
    let relayed = gateway.delete("/v1/files/t1/f").await;
    assert_eq!((relayed.status(), relayed.code().as_str()), (429, "RateLimitExceeded"));
    assert_eq!(relayed.field("retry-after"), None, "SMH's own answer, unchanged");
    assert!(metric(&gateway, RATE).await > 0.0);
    assert_eq!(metric(&gateway, REFUSED).await, 1.0);

    // Twenty in the last second: some fourteen a second are let through.
    let before = smh.received().len();
    let passed = passes(&gateway, 100).await;
    assert!((1..60).contains(&passed), "{passed}");
    assert_eq!(smh.received().len() - before, passed, "what is held back reaches nobody");
    let mut kept = Kept::open(gateway.address()).await;
    let held = loop {
        let answer = kept.delete("/v1/files/t1/f").await;
        if answer.status() == 429 {
            break answer;
        }
    };
    assert_eq!(status_of(&held), (429, "RateLimited".into(), "not_sent".into()));
    assert_eq!(held.json()["limit"], "SMH's own limit");
    let wait: u64 = held.field("retry-after").unwrap().parse().unwrap();
    tokio::time::sleep(Duration::from_secs(wait)).await;
    assert_eq!(kept.delete("/v1/files/t1/f").await.status(), 404, "waiting was enough");
    let status = gateway.admin("/api/status").await.json();
    assert!(status["libraries"][0]["eased_to_per_second"].as_f64().unwrap() > 0.0, "{status}");
}

#[tokio::test]
async fn what_is_held_back_has_charged_no_limit_and_a_dry_run_says_so() {
    let smh = Smh::start().await;
    let policy = "rate_limits:\n  - { name: daily, limit: 1000/day }\n";
    let gateway = Gateway::with_policy(policy, smh.address).await;
    assert_eq!(passes(&gateway, 2).await, 2);
    smh.simulator.inject(Injection::once(Fault::RateLimited));
    assert_eq!(gateway.delete("/v1/files/t1/f").await.code(), "RateLimitExceeded");
    let passed = passes(&gateway, 200).await as u64;
    let dry = crate::support::request("/v1/files/t1/f", &["X-Dry-Run: 1"]);
    becomes("a dry run is held back as well", async || {
        passes(&gateway, 20).await;
        gateway.send(&dry).await.json()["code"] == "RateLimited"
    })
    .await;
    let used =
        gateway.admin("/api/limits").await.json()["limits"][0]["used_by"][0]["used"].as_u64();
    let relayed = smh.received().len() as u64;
    assert_eq!(used.unwrap(), relayed, "each that was sent, and no other: {passed}");
}

#[tokio::test]
async fn the_switch_leaves_it_to_smh() {
    let smh = Smh::start().await;
    let yaml = GATEWAY_YAML.replace("upstream:\n", "upstream:\n  ease_off: false\n");
    let gateway = Gateway::with(&yaml, None, smh.address).await;
    smh.simulator.inject(Injection::once(Fault::RateLimited));
    assert_eq!(gateway.delete("/v1/files/t1/f").await.code(), "RateLimitExceeded");
    assert_eq!(passes(&gateway, 100).await, 100);
    assert_eq!(metric(&gateway, RATE).await, 0.0);
    assert_eq!(metric(&gateway, REFUSED).await, 1.0);
}
