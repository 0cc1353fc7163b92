//! Too many deletes at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::*;
use crate::support::GATEWAY_YAML;

/// For each number of workers: the bound is the gateway's, not a worker's.
#[tokio::test]
async fn past_max_in_flight_exactly_the_surplus_is_refused_and_reaches_nobody() {
    const MOST: usize = 10;
    const CALLERS: usize = 100;
    for yaml in [one_worker(), GATEWAY_YAML.to_owned()] {
        let yaml = yaml.replace("  timeout: 3s", "  timeout: 20s\n  max_in_flight: 10");
        let smh = Answering::start(|_| RECYCLED.into()).await;
        smh.leave.forget_permits(Semaphore::MAX_PERMITS);
        let gateway = start(&yaml, smh.address).await;
        let (address, refused) = (gateway.address(), Arc::new(AtomicUsize::new(0)));
        let mut callers = JoinSet::new();
        for n in 0..CALLERS {
            let refused = Arc::clone(&refused);
            callers.spawn(async move {
                let answer = delete(address, &format!("/v1/files/t1/f{n}-")).await;
                refused.fetch_add(usize::from(answer.status() == 503), Ordering::Relaxed);
                (n, answer)
            });
        }
        // The others are at SMH, which holds them until all that are too many have been told so.
        until(async || {
            let told = refused.load(Ordering::Relaxed) + smh.asked().len();
            (told >= CALLERS).then_some(())
        })
        .await;
        smh.leave.add_permits(CALLERS);
        let (mut carried_out, mut surplus) = (Vec::new(), 0);
        while let Some(answered) = callers.join_next().await {
            let (n, answer) = answered.unwrap();
            if answer.status() == 200 {
                carried_out.push(n);
                continue;
            }
            assert_eq!(told(&answer), refusal(503, "Overloaded", "not_sent"));
            assert_eq!(answer.field("retry-after"), Some("1"));
            surplus += 1;
        }
        assert_eq!((carried_out.len(), surplus), (MOST, CALLERS - MOST), "{yaml}");
        let asked = smh.asked();
        assert_eq!(asked.len(), MOST);
        let reached = |n: &usize| asked.iter().any(|head| head.contains(&format!("/f{n}-?")));
        assert!(carried_out.iter().all(reached), "{asked:?}");
        assert_eq!(
            delete(address, "/v1/files/t1/after").await.status(),
            200,
            "there is room again"
        );
    }
}
