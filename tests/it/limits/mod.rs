//! Limits as callers and operators meet them: in one process, across gateways on a real Redis, without
//! it, through restarts, and what SMH itself bears.

/// Several gateways on one store.
mod shared;
/// Never too many, by real processes.
mod windows;
/// The script of the store.
mod script;
/// A store that fails, in every way.
mod outages;
/// A store by TLS, with a password, behind sentinels, as a cluster.
mod kinds;
/// A store that is far away.
mod distance;
/// What outlives the process.
mod restarts;
/// `budget show`, `budget grant`, and who may.
mod budget;
/// What callers are told.
mod fields;
/// Less for a library that answers 429.
mod easing;

use std::time::{Duration, Instant};

use crate::support::redis::Redis;
use crate::support::{Answer, GATEWAY_YAML, Gateway, Kept, Smh, becomes};

/// A gateway's file with a store.
fn yaml(store: &str, more: &str) -> String {
    format!("{GATEWAY_YAML}rate_limit_store:\n  redis: {store}\n{more}")
}

fn on(redis: &Redis) -> String {
    format!("{{ url: \"redis://127.0.0.1:{}\", response_timeout: 1s }}", redis.port)
}

/// How many of so many deletes pass, on one connection. Nothing but 429 may refuse them.
async fn passes(gateway: &Gateway, deletes: usize) -> usize {
    let mut kept = Kept::open(gateway.address()).await;
    let mut passed = 0;
    for _ in 0..deletes {
        let answer = kept.delete("/v1/files/t1/f").await;
        match answer.status() {
            404 => passed += 1,
            429 => {}
            _ => panic!("{answer:?}"),
        }
    }
    passed
}

/// Waits until the store is in use, or is not.
async fn becomes_connected(gateway: &Gateway, connected: bool) {
    becomes("the store is in use or not", async || {
        let status = gateway.admin("/api/status").await.json();
        let workers = status["rate_limit_store"]["connected_workers"].as_u64().unwrap();
        // All of them, or none.
        workers == if connected { 2 } else { 0 }
    })
    .await;
}

async fn metric(gateway: &Gateway, sample: &str) -> f64 {
    let text = String::from_utf8(gateway.admin("/metrics").await.body).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    value.map_or(0.0, |value| value.parse().unwrap())
}

fn status_of(answer: &Answer) -> (u16, String, String) {
    (answer.status(), answer.code(), answer.outcome())
}
