//! HTTP/2 to SMH.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::Response;
use smh_gateway::simulator::{Fault, Injection};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::*;
use crate::support::{Kept, LIBRARY, SPACE};

#[tokio::test]
async fn deletes_at_once_share_one_http2_connection() {
    let authority = Authority::new();
    let smh = Encrypted::start(authority.acceptor(&["127.0.0.1"], &["h2"])).await;
    let gateway = start(&authority.trusted("UPSTREAM"), smh.address).await;
    assert_eq!(delete(gateway.address(), "/v1/files/t1/a").await.status(), 200);
    smh.simulator.inject(Injection::forever(Fault::Slow(Duration::from_millis(50))));
    let targets = (0..50).map(|n| format!("/v1/files/t1/none/{n}"));
    let answers = delete_all(gateway.address(), targets).await;
    assert!(answers.iter().all(|answer| answer.status() == 404));
    let received = smh.simulator.received();
    assert_eq!(received.len(), 51);
    assert!(received.iter().all(|request| request.connection == 1));
}

#[tokio::test]
async fn over_http2_too_a_delete_is_sent_once_and_its_caller_told_no_lie() {
    let authority = Authority::new();
    let smh = Encrypted::start(authority.acceptor(&["127.0.0.1"], &["h2"])).await;
    let yaml = authority.trusted("UPSTREAM").replace("  timeout: 3s", "  timeout: 700ms");
    let gateway = start(&yaml, smh.address).await;
    let mut caller = Kept::open(gateway.address()).await;
    for fault in [
        Fault::Slow(Duration::from_millis(20)),
        Fault::InvalidAccessToken,
        Fault::CutBeforeActing,
        Fault::CutAfterActing,
        Fault::CutMidBody,
        Fault::HangBeforeActing,
        Fault::HangAfterActing,
        Fault::Redirect { to: "https://elsewhere.example".into() },
        Fault::EchoTokenInHeader,
        Fault::HugeBody { bytes: 2 * 1024 * 1024 },
        Fault::GatewayTimeoutAfterActing,
    ] {
        let Expected { status, code, outcome, gone } = expected(&fault);
        smh.simulator.put_file(LIBRARY, SPACE, "a");
        smh.simulator.clear_received();
        smh.simulator.inject(Injection::once(fault.clone()));
        let answer = caller.delete("/v1/files/t1/a").await;
        smh.simulator.clear_faults();
        assert_eq!(told(&answer), refusal(status, code, outcome), "{fault:?}");
        assert_eq!(smh.simulator.files(LIBRARY, SPACE).len(), 2 - usize::from(gone), "{fault:?}");
        assert_eq!(smh.simulator.received().len(), 1, "{fault:?}");
    }
}

/// An HTTP/2 upstream that is played by the test itself, frame by frame.
struct Http2ByHand {
    listener: ByHand,
    acceptor: TlsAcceptor,
}

type Http2Played = h2::server::Connection<TlsStream<TcpStream>, Bytes>;

impl Http2ByHand {
    async fn listen(authority: &Authority) -> Self {
        let acceptor = authority.acceptor(&["127.0.0.1"], &["h2"]);
        Self { listener: ByHand::listen().await, acceptor }
    }

    async fn accept(&self) -> Http2Played {
        let stream = self.listener.accept().await.stream;
        h2::server::handshake(self.acceptor.accept(stream).await.unwrap()).await.unwrap()
    }
}

fn no_content() -> Response<()> {
    Response::builder().status(204).body(()).unwrap()
}

#[tokio::test]
async fn a_refused_stream_is_not_sent_and_tried_once_more_at_most() {
    let authority = Authority::new();
    let smh = Http2ByHand::listen(&authority).await;
    let gateway = start(&authority.trusted("UPSTREAM"), smh.listener.address()).await;
    let mut caller = Kept::open(gateway.address()).await;
    let mut played = None;
    let refused = AtomicUsize::new(0);

    // The first delete is answered; of those behind it, so many streams are refused.
    for refusing in [0, 1, usize::MAX] {
        refused.store(0, Ordering::Relaxed);
        let mut left = refusing;
        let serve = async {
            loop {
                let Some(connection) = &mut played else {
                    played = Some(smh.accept().await);
                    continue;
                };
                let Some(Ok((_, mut respond))) = connection.accept().await else {
                    played = None;
                    continue;
                };
                if left > 0 {
                    left -= 1;
                    refused.fetch_add(1, Ordering::Relaxed);
                    respond.send_reset(Reason::REFUSED_STREAM);
                } else {
                    respond.send_response(no_content(), true).unwrap();
                }
            }
        };
        let answer = tokio::select! {
            answer = caller.delete("/v1/files/t1/a") => answer,
            () = serve => unreachable!("it serves for ever"),
        };
        let refused = refused.load(Ordering::Relaxed);
        match refusing {
            0 | 1 => assert_eq!((answer.status(), refused), (204, refusing)),
            _ => {
                assert!(refused <= 2, "sent {refused} times");
                assert_eq!(told(&answer), refusal(502, "UpstreamUnreachable", "not_sent"));
            }
        }
    }
}

#[tokio::test]
async fn a_stream_reset_for_any_other_reason_is_of_unknown_outcome_and_not_sent_again() {
    for reason in [Reason::INTERNAL_ERROR, Reason::CANCEL, Reason::NO_ERROR, Reason::PROTOCOL_ERROR]
    {
        let authority = Authority::new();
        let smh = Http2ByHand::listen(&authority).await;
        let gateway = start(&authority.trusted("UPSTREAM"), smh.listener.address()).await;
        let mut sent = 0;
        let serve = async {
            loop {
                let mut played = smh.accept().await;
                while let Some(Ok((_, mut respond))) = played.accept().await {
                    sent += 1;
                    respond.send_reset(reason);
                }
            }
        };
        let answer = tokio::select! {
            answer = delete(gateway.address(), "/v1/files/t1/a") => answer,
            () = serve => unreachable!("it serves for ever"),
        };
        assert_eq!(told(&answer), refusal(502, "UpstreamProtocolError", "unknown"), "{reason:?}");
        assert_eq!(sent, 1, "{reason:?}");
    }
}

#[tokio::test]
async fn a_delete_after_goaway_goes_to_a_new_connection() {
    let authority = Authority::new();
    let smh = Http2ByHand::listen(&authority).await;
    let gateway = start(&authority.trusted("UPSTREAM"), smh.listener.address()).await;
    let mut caller = Kept::open(gateway.address()).await;
    for _ in 0..3 {
        let (answer, ()) = tokio::join!(caller.delete("/v1/files/t1/a"), async {
            let mut played = smh.accept().await;
            let (_, mut respond) = played.accept().await.unwrap().unwrap();
            respond.send_response(no_content(), true).unwrap();
            played.graceful_shutdown();
            // However the gateway ends it, once all that it asked for is answered.
            let further = played.accept().await;
            assert!(!matches!(further, Some(Ok(_))), "no further delete comes here");
        });
        assert_eq!(answer.status(), 204);
    }
    smh.listener.assert_no_more_connections();
}

#[tokio::test]
async fn a_stream_that_is_reset_without_an_error_has_no_whole_answer() {
    for (status, data) in [(200, &b"{\"rec"[..]), (204, &[])] {
        let authority = Authority::new();
        let smh = Http2ByHand::listen(&authority).await;
        let gateway = start(&authority.trusted("UPSTREAM"), smh.listener.address()).await;
        let serve = async {
            let mut played = smh.accept().await;
            while let Some(Ok((_, mut respond))) = played.accept().await {
                let head = Response::builder().status(status).body(()).unwrap();
                let mut body = respond.send_response(head, false).unwrap();
                if !data.is_empty() {
                    body.send_data(Bytes::from_static(data), false).unwrap();
                }
                // What was sent has to be on its way before the end of it.
                let flushed = std::future::poll_fn(|cx| played.poll_closed(cx));
                let _ = tokio::time::timeout(Duration::from_millis(100), flushed).await;
                body.send_reset(Reason::NO_ERROR);
            }
            std::future::pending::<()>().await;
        };
        let answer = tokio::select! {
            answer = delete(gateway.address(), "/v1/files/t1/a") => answer,
            () = serve => unreachable!("it serves for ever"),
        };
        assert_eq!(told(&answer), refusal(502, "UpstreamProtocolError", "unknown"), "{status}");
    }
}
