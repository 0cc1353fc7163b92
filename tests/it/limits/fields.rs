//! What callers are told (draft-ietf-httpapi-ratelimit-headers).

use super::*;

const POLICY: &str = "rate_limits:\n  - { name: per caller, per: [caller], limit: 5/s, burst: 50 }\n  \
                      - { name: daily, tenants: [t1], limit: 1000/day }\n";

#[tokio::test]
async fn relayed_answers_are_as_they_came_unless_the_operator_wants_more() {
    let smh = Smh::start().await;
    let gateway = Gateway::with_policy(POLICY, smh.address).await;
    let answer = gateway.delete("/v1/files/t1/f").await;
    assert_eq!(answer.status(), 404);
    assert_eq!((answer.field("ratelimit"), answer.field("ratelimit-policy")), (None, None));

    let yaml = format!("{GATEWAY_YAML}ratelimit_headers: all\n");
    let gateway = Gateway::with(&yaml, Some(POLICY), smh.address).await;
    let answer = gateway.delete("/v1/files/t1/f").await;
    assert_eq!(answer.status(), 404);
    assert_eq!(
        answer.field("ratelimit-policy"),
        Some("\"per caller\";q=5;w=1, \"daily\";q=1000;w=86400")
    );
    assert_eq!(answer.field("ratelimit"), Some("\"per caller\";r=49;t=1, \"daily\";r=999;t=87"));
    // Only what is counted for it.
    let answer = gateway.delete("/v1/files/t2/f").await;
    assert_eq!(answer.field("ratelimit-policy"), Some("\"per caller\";q=5;w=1"));
    // Nothing was charged, so nothing is told.
    let refused = gateway.delete("/v1/files/t3/f").await;
    assert_eq!((refused.status(), refused.field("ratelimit")), (403, None));
}

#[tokio::test]
async fn our_own_answers_say_how_the_limits_stand_that_were_charged() {
    let smh = Smh::start().await;
    let gateway = Gateway::with_policy(POLICY, smh.address).await;
    drop(smh);
    let answer = gateway.delete("/v1/files/t1/f").await;
    assert_eq!(answer.code(), "UpstreamUnreachable");
    assert_eq!(answer.field("ratelimit"), Some("\"per caller\";r=49;t=1, \"daily\";r=999;t=87"));
}

#[tokio::test]
async fn a_limit_that_is_nearly_used_up_is_told_to_operators_once() {
    let smh = Smh::start().await;
    let policy = "rate_limits:\n  - { name: daily, per: [caller], limit: 10/day, warn_at: 80% }\n";
    let gateway = Gateway::with_policy(policy, smh.address).await;
    let warned = "smh_gateway_limit_warnings_total{limit=\"daily\"}";
    assert_eq!(passes(&gateway, 7).await, 7);
    assert_eq!(metric(&gateway, warned).await, 0.0);
    assert_eq!(passes(&gateway, 5).await, 3);
    assert_eq!(metric(&gateway, warned).await, 1.0);
}
