//! When a connection is to take no more requests, whatever its caller does.

use std::time::SystemTime;

use tokio::sync::watch;

use crate::authenticate::Presented;
use crate::gateway::Phase;
use crate::listener::Inbound;

/// Returns when no more requests are to be taken: the gateway drains, or the certificate that the
/// caller showed has expired or is not trusted any more, and it has to show another.
pub(super) async fn leaving(phase: &mut watch::Receiver<Phase>, inbound: &Inbound) {
    let expires = inbound.peer.certificate.as_ref().and_then(Presented::not_after);
    let left = expires.map(|at| at.duration_since(SystemTime::now()).unwrap_or_default());
    match left {
        None => draining(phase).await,
        Some(left) => tokio::select! {
            () = draining(phase) => {}
            () = inbound.ended() => {}
            () = tokio::time::sleep(left) => {}
        },
    }
}

/// Returns when the gateway takes no more requests.
pub(super) async fn draining(phase: &mut watch::Receiver<Phase>) {
    // The sender lives as long as the gateway, which outlives its connections.
    let _ = phase.wait_for(|phase| *phase >= Phase::Draining).await;
}
