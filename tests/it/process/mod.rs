//! The real binary: starting, draining, leaving.

/// Serving: listeners, workers, and what is written meanwhile.
mod serving;
/// Leaving: signals, the delay and the drain.
mod leaving;
/// `POST /quitquitquit`: leaving without a signal.
mod quitting;
/// A rolling restart under constant load.
mod rolling;
/// A balancer that follows readiness.
mod balancer;
/// What it says of itself.
mod logs;
/// What a gateway gives up before it serves.
mod confined;
/// Starting, or not, and secrets that cannot be read.
mod starting;

use crate::support::{Answer, becomes, request, send};
use std::net::SocketAddr;

/// One delete as `app`, on a connection of its own.
async fn delete(address: SocketAddr, target: &str) -> Answer {
    send(address, request(target, &["Connection: close"]).as_bytes()).await
}

async fn get(address: SocketAddr, path: &str) -> Answer {
    let request = format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
    send(address, request.as_bytes()).await
}
