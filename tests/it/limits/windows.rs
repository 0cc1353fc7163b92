//! In no window of any length do more pass than the burst and what grows back in it: by real processes, one
//! and three, with a store and without.

use tokio::task::JoinSet;

use super::*;
use crate::support::binary::Binary;
use crate::support::{Folder, ports};

const POLICY: &str = "rate_limits:\n  - { name: all, tenants: [t1], limit: 30/s, burst: 9 }\n";
const RATE: f64 = 30.0;
const BURST: f64 = 9.0;

/// Enough that each window of some length is met often.
const LASTS: Duration = Duration::from_millis(2_500);

/// When each delete that passed was asked for and answered, in seconds, by so many processes of this.
async fn passed(yaml: &str, processes: usize, is_ready: bool) -> Vec<(f64, f64)> {
    let smh = Smh::start().await;
    let folder = Folder::new(yaml, Some(POLICY), smh.address);
    let mut binaries = Vec::new();
    for _ in 0..processes {
        let mut binary = Binary::serve(&folder).await;
        if is_ready {
            binary.says("the rate limit store is in use").await;
        }
        binaries.push(binary);
    }
    let (start, mut callers) = (Instant::now(), JoinSet::new());
    for address in binaries.iter().map(|binary| binary.data[0]) {
        callers.spawn(async move {
            let mut kept = Kept::open(address).await;
            let mut passed = Vec::new();
            while start.elapsed() < LASTS {
                let asked = start.elapsed().as_secs_f64();
                let status = kept.delete("/v1/files/t1/f").await.status();
                assert!([404, 429].contains(&status), "{status}");
                if status == 404 {
                    passed.push((asked, start.elapsed().as_secs_f64()));
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            passed
        });
    }
    callers.join_all().await.into_iter().flatten().collect()
}

/// A delete was decided at some time between its question and its answer, so those of which both lie in a
/// window are the ones that surely were in it.
fn check(passed: &[(f64, f64)], burst: f64, at_least: f64) {
    for from in passed.iter().map(|(asked, _)| *asked) {
        for to in passed.iter().map(|(_, answered)| *answered).filter(|to| *to > from) {
            let within = |(asked, answered): &&(f64, f64)| *asked >= from && *answered <= to;
            let count = passed.iter().filter(within).count() as f64;
            assert!(count <= burst + RATE * (to - from) + 1e-6, "{count} in {} s", to - from);
        }
    }
    let total = passed.len() as f64;
    assert!(total >= at_least * RATE * LASTS.as_secs_f64(), "{total}: nor is it much too strict");
}

#[tokio::test]
async fn by_one_process_without_a_store() {
    check(&passed(GATEWAY_YAML, 1, false).await, BURST, 0.9);
}

#[tokio::test]
async fn by_one_process_with_a_store() {
    let redis = Redis::start().await;
    check(&passed(&yaml(&on(&redis), ""), 1, true).await, BURST, 0.9);
}

#[tokio::test]
async fn by_three_processes_with_a_store() {
    let redis = Redis::start().await;
    check(&passed(&yaml(&on(&redis), "  replicas: 3\n"), 3, true).await, BURST, 0.9);
}

/// Each has its third.
#[tokio::test]
async fn by_three_processes_without_their_store() {
    let gone = format!("{{ url: \"redis://{}\" }}", ports::nobody());
    check(&passed(&yaml(&gone, "  replicas: 3\n"), 3, false).await, BURST, 0.9);
}
