//! Between gateway and Redis. With `local` no caller notices; with `refuse` nothing is sent without it.

use super::*;
use crate::support::Gateway;
use crate::support::ports;
use crate::support::redis::Redis;

/// Longer than an answer of the store is waited for.
const DELAY: Fault = Fault::Delay(Duration::from_millis(600));
const CUT: Fault = Fault::Cut(10);
const DRIP: Fault = Fault::Drip(Duration::from_millis(20));

const POLICY: &str =
    "rate_limits:\n  - { name: daily, per: [caller], tenants: [t1], limit: 1000000/day }\n";

async fn matrix(name: &'static str, unavailable: &str, may_hear: &'static [&'static str]) {
    let faults = [DELAY, CUT, Fault::Reset, Fault::BlackHole, DRIP, Fault::Corrupt];
    let cells: Vec<Cell> = faults
        .into_iter()
        .flat_map(|fault| [Way::There, Way::Back].map(|way| Cell { name, fault, way, may_hear }))
        .collect();
    let redis = Redis::start().await;
    each(&cells, async || {
        let (smh, proxy) = (Smh::start().await, Proxy::to(redis.address()));
        let url =
            format!("redis: {{ url: \"redis://{}\", response_timeout: 500ms }}", proxy.address);
        let store = format!("rate_limit_store:\n  {url}\n  when_unavailable: {unavailable}\n");
        let folder = Folder::new(&yaml(&store), Some(POLICY), smh.address);
        let mut gateway = Binary::serve(&folder).await;
        gateway.says("the rate limit store is in use").await;
        let door = patient(gateway.data[0], &smh.simulator);
        Stage { folder, gateway, proxy, door, _smh: Box::new(smh) }
    })
    .await;
}

#[tokio::test]
async fn whatever_befalls_the_way_to_the_store_no_caller_notices_where_each_has_its_share() {
    matrix("gateway and Redis with local", "local", &["200"]).await;
}

#[tokio::test]
async fn whatever_befalls_the_way_to_the_store_nothing_is_sent_without_it_where_it_must_not_be() {
    matrix(
        "gateway and Redis with refuse",
        "refuse",
        &["200", "RateLimitStoreUnavailable not_sent"],
    )
    .await;
}

/// What was sent while the network was broken is never answered: who waited for that until some deadline,
/// and then paused, would leave a store alone that is well.
#[tokio::test]
async fn a_store_that_swallowed_a_connection_is_tried_again_within_two_seconds() {
    let (smh, listener) = (Smh::start().await, ports::listen());
    let url = format!("redis: {{ url: \"redis://{}\" }}", listener.local_addr().unwrap());
    let yaml = yaml(&format!("rate_limit_store:\n  {url}\n")).replace("workers: 2", "workers: 1");
    let _gateway = Gateway::with(&yaml, Some(POLICY), smh.address).await;
    let mut swallowed = Vec::new();
    for _ in 0..3 {
        let began = Instant::now();
        let came = tokio::time::timeout(MARGIN, listener.accept()).await;
        swallowed.push(came.expect("it is tried again").unwrap());
        assert!(began.elapsed() < RECOVERS_WITHIN, "{:?}", began.elapsed());
    }
}
