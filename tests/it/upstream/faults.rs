//! Whatever goes wrong at SMH.

use std::time::Duration;

use smh_gateway::simulator::{Answered, Fault, Injection};

use super::*;
use crate::support::{Kept, LIBRARY, SPACE, Smh, TOKEN};

fn faults() -> Vec<Fault> {
    vec![
        Fault::InvalidAccessToken,
        Fault::AccessTokenVersionNotMatch,
        Fault::PlainForbidden,
        Fault::RateLimited,
        Fault::InternalServerError,
        Fault::ServerOverloaded,
        Fault::BadGatewayHtml,
        Fault::GatewayTimeoutHtml,
        Fault::GatewayTimeoutAfterActing,
        Fault::PathConflict,
        Fault::LibraryServiceExpired,
        Fault::Error { status: 403, code: "NoPermission".into() },
        Fault::BareError { status: 418, code: "SpaceBanned".into() },
        Fault::CutBeforeActing,
        Fault::CutAfterActing,
        Fault::CutMidBody,
        Fault::Slow(Duration::from_millis(20)),
        Fault::HangBeforeActing,
        Fault::HangAfterActing,
        Fault::ExtraFields,
        Fault::LargeRecycledItemId,
        Fault::Redirect { to: "http://127.0.0.1:1".into() },
        Fault::EchoTokenInBody,
        Fault::EchoTokenInHeader,
        Fault::NotJson,
        Fault::MissingFields,
        Fault::ExpiresIn(-1),
        Fault::HugeBody { bytes: 2 * 1024 * 1024 },
    ]
}

#[tokio::test]
async fn whatever_goes_wrong_at_smh_a_delete_is_sent_once_and_its_caller_told_no_lie() {
    let smh = Smh::start().await;
    // A fault is about one delete: those after a 429 are not held back for it.
    let yaml =
        with_timeouts("300ms", "700ms").replace("upstream:\n", "upstream:\n  ease_off: false\n");
    let gateway = start(&yaml, smh.address).await;
    let mut caller = Kept::open(gateway.address()).await;
    // On a connection that was just made, and on one that is kept.
    for fault in faults().into_iter().flat_map(|fault| [fault.clone(), fault]) {
        let Expected { status, code, outcome, gone } = expected(&fault);
        smh.simulator.put_file(LIBRARY, SPACE, "a");
        smh.simulator.clear_received();
        smh.simulator.inject(Injection::once(fault.clone()));
        let answer = caller.delete("/v1/files/t1/a").await;
        smh.simulator.clear_faults();

        assert_eq!(told(&answer), refusal(status, code, outcome), "{fault:?}");
        assert_eq!(smh.files().is_empty(), gone, "{fault:?}");
        let received = smh.received();
        assert_eq!(received.len(), 1, "{fault:?}: sent once");
        if gone {
            assert_ne!(answer.outcome(), "not_sent", "{fault:?}: it was");
        }
        if outcome.is_empty() {
            assert_eq!(received[0].answered, Answered::Status(status), "{fault:?}: relayed");
        }
        assert!(!answer.head.contains(TOKEN), "{fault:?}");
        assert!(!String::from_utf8_lossy(&answer.body).contains(TOKEN), "{fault:?}");
        if fault == Fault::LargeRecycledItemId {
            let id = smh.simulator.recycled(LIBRARY, SPACE).last().unwrap().id;
            assert_eq!(answer.body, format!("{{\"recycledItemId\":{id}}}").into_bytes());
        }
    }
}
