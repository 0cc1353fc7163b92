//! Several gateways on one store.

use tokio::task::JoinSet;

use super::*;

/// So slow that nothing grows back in a test.
const DAILY: &str =
    "rate_limits:\n  - { name: daily, per: [caller], tenants: [t1], limit: 60/day }\n";

async fn three(redis: &Redis, policy: &str, smh: &Smh) -> Vec<Gateway> {
    let yaml = yaml(&on(redis), "  replicas: 3\n");
    let mut gateways = Vec::new();
    for _ in 0..3 {
        let gateway = Gateway::with(&yaml, Some(policy), smh.address).await;
        becomes_connected(&gateway, true).await;
        gateways.push(gateway);
    }
    gateways
}

#[tokio::test]
async fn three_gateways_let_no_more_through_than_one_and_no_less() {
    let (redis, smh) = (Redis::start().await, Smh::start().await);
    let gateways = three(&redis, DAILY, &smh).await;
    let before = smh.received().len();
    let mut callers = JoinSet::new();
    for gateway in &gateways {
        for _ in 0..4 {
            let address = gateway.address();
            callers.spawn(async move {
                let mut kept = Kept::open(address).await;
                let mut passed = 0;
                for _ in 0..20 {
                    passed += usize::from(kept.delete("/v1/files/t1/f").await.status() == 404);
                }
                passed
            });
        }
    }
    let passed: usize = callers.join_all().await.into_iter().sum();
    assert_eq!((passed, smh.received().len() - before), (60, 60));
    for gateway in &gateways {
        assert_eq!(metric(gateway, "smh_gateway_rate_limit_store_fallbacks_total").await, 0.0);
        assert_eq!(metric(gateway, "smh_gateway_rate_limit_store_decisions_total").await, 80.0);
    }
}

#[tokio::test]
async fn a_delete_that_one_limit_refuses_has_charged_no_other_in_the_store_either() {
    let (redis, smh) = (Redis::start().await, Smh::start().await);
    let policy = "rate_limits:\n  - { name: wide, per: [tenant], limit: 10/day }\n  \
                  - { name: narrow, per: [caller, tenant], tenants: [t1], limit: 2/day }\n  \
                  - { name: trial, limit: 1/day, mode: shadow }\n";
    let gateway = Gateway::with(&yaml(&on(&redis), ""), Some(policy), smh.address).await;
    becomes("connected", async || {
        gateway.delete("/v1/files/t1/x").await;
        redis.cli(&["DBSIZE"]) != "0"
    })
    .await;
    passes(&gateway, 6).await;
    let shown = gateway.admin("/api/limits").await.json();
    let used = |limit: usize| shown["limits"][limit]["used_by"][0]["used"].clone();
    assert_eq!((used(0), used(1), used(2)), (2.into(), 2.into(), 1.into()), "{shown}");
    let refused = gateway.delete("/v1/files/t1/x").await;
    assert_eq!(status_of(&refused), (429, "RateLimited".into(), "not_sent".into()));
    assert_eq!(refused.json()["limit"], "narrow");
    assert_eq!(
        metric(&gateway, "smh_gateway_shadow_limit_exceeded_total{limit=\"trial\"}").await,
        1.0
    );
}

/// `Retry-After` is never too early, by the store's clock as well.
#[tokio::test]
async fn who_waits_as_long_as_the_store_says_gets_through() {
    let (redis, smh) = (Redis::start().await, Smh::start().await);
    let policy = "rate_limits:\n  - { name: slow, limit: 1/s }\n";
    let gateway = Gateway::with(&yaml(&on(&redis), ""), Some(policy), smh.address).await;
    let mut kept = Kept::open(gateway.address()).await;
    for _ in 0..3 {
        becomes("refused", async || kept.delete("/v1/files/t1/f").await.status() == 429).await;
        let answer = kept.delete("/v1/files/t1/f").await;
        assert_eq!(answer.status(), 429);
        let wait: u64 = answer.field("retry-after").unwrap().parse().unwrap();
        assert_eq!(answer.field("ratelimit"), Some(&*format!("\"slow\";r=0;t={wait}")));
        tokio::time::sleep(Duration::from_secs(wait)).await;
        assert_eq!(kept.delete("/v1/files/t1/f").await.status(), 404);
    }
}

#[tokio::test]
async fn keys_expire_by_themselves_and_hold_no_name_of_a_user() {
    let (redis, smh) = (Redis::start().await, Smh::start().await);
    let policy = "rate_limits:\n  - { name: fast, per: [user_id], limit: 2/s, burst: 60 }\n";
    let gateway = Gateway::with(&yaml(&on(&redis), ""), Some(policy), smh.address).await;
    becomes("there is a key", async || {
        let answer = gateway.delete("/v1/files/t1/f?user_id=sentinel-user").await;
        assert_eq!(answer.status(), 404);
        !redis.cli(&["KEYS", "*:limit:*"]).is_empty()
    })
    .await;
    let keys = redis.cli(&["KEYS", "*"]);
    assert!(keys.contains("{smh-gateway}:limit:fast:user_id:-.-.-."), "{keys}");
    assert!(!keys.contains("sentinel"), "{keys}");
    becomes("all expire", async || redis.cli(&["DBSIZE"]) == "0").await;
}

#[tokio::test]
async fn another_quota_starts_from_the_share_that_is_used() {
    let (redis, smh) = (Redis::start().await, Smh::start().await);
    let gateways = three(&redis, DAILY, &smh).await;
    assert_eq!(passes(&gateways[0], 30).await, 30);
    for gateway in &gateways {
        gateway.edit("policy.yaml", "60/day", "120/day");
        gateway.apply().await;
    }
    // Half of it was used, so half of the new one is.
    assert_eq!(passes(&gateways[1], 70).await, 60);
    assert_eq!(passes(&gateways[2], 5).await, 0);
}

/// Each worker has a connection, and operators have one that is not counted as a worker's.
#[tokio::test]
async fn connections_to_a_store_that_is_not_configured_any_more_end() {
    let (redis, smh) = (Redis::start().await, Smh::start().await);
    let gateway = Gateway::with(&yaml(&on(&redis), ""), Some(DAILY), smh.address).await;
    becomes_connected(&gateway, true).await;
    assert_eq!(passes(&gateway, 1).await, 1);
    let connections = || redis.cli(&["CLIENT", "LIST"]).lines().count() - 1;
    assert_eq!(connections(), 2);
    let shown = gateway.admin("/api/limits").await.json();
    assert_eq!(shown["store"]["connected_workers"], 2, "{shown}");
    assert_eq!(connections(), 3);
    gateway.folder.write(
        "gateway.yaml",
        &std::fs::read_to_string(gateway.folder.path("gateway.yaml"))
            .unwrap()
            .lines()
            .take_while(|line| !line.starts_with("rate_limit_store"))
            .fold(String::new(), |text, line| text + line + "\n"),
    );
    gateway.apply().await;
    // Nobody asks for a delete meanwhile.
    becomes("they end", async || connections() == 0).await;
    assert_eq!(passes(&gateway, 1).await, 1);
}

/// A dry run asks the store as a delete does, and charges nothing: also what this gateway has not seen.
#[tokio::test]
async fn a_dry_run_is_told_what_all_gateways_used() {
    let (redis, smh) = (Redis::start().await, Smh::start().await);
    let gateways = three(&redis, DAILY, &smh).await;
    let dry = crate::support::request("/v1/files/t1/f", &["X-Dry-Run: 1"]);
    // More than the third of one gateway.
    assert_eq!(passes(&gateways[0], 59).await, 59);
    for gateway in &gateways {
        assert_eq!(gateway.send(&dry).await.json()["decision"], "allow");
    }
    assert_eq!(passes(&gateways[1], 1).await, 1);
    for gateway in &gateways {
        assert_eq!(gateway.send(&dry).await.json()["code"], "RateLimited");
    }
    assert_eq!(smh.received().len(), 60);
}
