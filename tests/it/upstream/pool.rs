//! Connections: kept, used again, and given up.

use std::collections::BTreeSet;
use std::time::Duration;

use smh_gateway::simulator::{Fault, Injection};
use tokio::io::AsyncWriteExt;

use super::*;
use crate::support::ports;
use crate::support::{Kept, LIBRARY, SPACE, Smh};

#[tokio::test]
async fn a_connection_is_kept_and_used_again() {
    let smh = Smh::start().await;
    let gateway = start(&one_worker(), smh.address).await;
    for name in ["a", "b", "c", "d", "e"] {
        smh.simulator.put_file(LIBRARY, SPACE, name);
        // Each caller on a connection of its own: theirs and ours have nothing to do with each other.
        let answer = delete(gateway.address(), &format!("/v1/files/t1/{name}")).await;
        assert_eq!(answer.status(), 200);
    }
    let connections: Vec<u64> = smh.received().iter().map(|request| request.connection).collect();
    assert_eq!(connections, [1; 5]);
}

#[tokio::test]
async fn deletes_at_once_make_no_more_connections_than_there_are_deletes() {
    const AT_ONCE: usize = 64;
    let smh = Smh::start().await;
    smh.simulator.inject(Injection::forever(Fault::Slow(Duration::from_millis(50))));
    let gateway = start(&one_worker(), smh.address).await;
    let mut seen = BTreeSet::new();
    for round in 0..3 {
        smh.simulator.clear_received();
        let targets = (0..AT_ONCE).map(|n| format!("/v1/files/t1/{round}/{n}"));
        let answers = delete_all(gateway.address(), targets).await;
        assert!(answers.iter().all(|answer| answer.status() == 404));
        let used: BTreeSet<u64> = smh.received().iter().map(|r| r.connection).collect();
        assert_eq!(smh.received().len(), AT_ONCE);
        if round > 0 {
            assert!(used.intersection(&seen).next().is_some(), "kept ones are used again");
        }
        seen.extend(used);
    }
    assert!(seen.len() <= AT_ONCE, "{}", seen.len());
    smh.simulator.clear_faults();
    assert_eq!(delete(gateway.address(), "/v1/files/t1/last").await.status(), 404);
    assert!(seen.contains(&smh.received().last().unwrap().connection));
}

#[tokio::test]
async fn a_delete_that_meets_a_connection_closed_while_idle_is_sent_on_a_new_one() {
    for in_good_order in [true, false] {
        let smh = ByHand::listen().await;
        let gateway = start(&one_worker(), smh.address()).await;
        let mut caller = Kept::open(gateway.address()).await;

        let (first, mut kept) = tokio::join!(caller.delete("/v1/files/t1/a"), async {
            let mut connection = smh.accept().await;
            assert!(connection.request().await.contains("/a?"));
            connection.answer(RECYCLED).await;
            connection
        });
        assert_eq!(first.status(), 200);
        if in_good_order {
            kept.stream.shutdown().await.unwrap();
        } else {
            kept.reset();
        }

        let (second, _connection) = tokio::join!(caller.delete("/v1/files/t1/b"), async {
            let mut connection = smh.accept().await;
            assert!(connection.request().await.contains("/b?"));
            connection.answer(NO_CONTENT).await;
            connection
        });
        assert_eq!(second.status(), 204);
        smh.assert_no_more_connections();
    }
}

#[tokio::test]
async fn a_delete_that_a_kept_connection_took_is_never_sent_again() {
    for answer in
        ["", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"]
    {
        for in_good_order in [true, false] {
            let smh = ByHand::listen().await;
            let gateway = start(&one_worker(), smh.address()).await;
            let mut caller = Kept::open(gateway.address()).await;
            let (first, mut kept) = tokio::join!(caller.delete("/v1/files/t1/a"), async {
                let mut connection = smh.accept().await;
                connection.request().await;
                connection.answer(RECYCLED).await;
                connection
            });
            assert_eq!(first.status(), 200);

            let (second, ()) = tokio::join!(caller.delete("/v1/files/t1/b"), async {
                assert!(kept.request().await.contains("/b?"));
                kept.answer(answer).await;
                if in_good_order {
                    drop(kept);
                } else {
                    kept.reset();
                }
            });
            assert_eq!(told(&second), refusal(502, "UpstreamProtocolError", "unknown"), "{answer}");
            smh.assert_no_more_connections();
        }
    }
}

/// What is left over behind an answer must not be taken for the next delete's.
#[tokio::test]
async fn an_answer_that_nobody_asked_for_answers_nobody() {
    for extra in [NO_CONTENT, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", "\r\n{}"]
    {
        let smh = ByHand::listen().await;
        let gateway = start(&one_worker(), smh.address()).await;
        let mut caller = Kept::open(gateway.address()).await;
        let (first, _kept) = tokio::join!(caller.delete("/v1/files/t1/a"), async {
            let mut connection = smh.accept().await;
            connection.request().await;
            connection.answer(&format!("{RECYCLED}{extra}")).await;
            connection
        });
        assert_eq!(first.json()["recycledItemId"], 17);

        let (second, _connection) = tokio::join!(caller.delete("/v1/files/t1/b"), async {
            let mut connection = smh.accept().await;
            assert!(connection.request().await.contains("/b?"));
            connection.answer("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}").await;
            connection
        });
        assert_eq!(second.status(), 404, "{extra:?}");
    }
}

#[tokio::test]
async fn a_connection_that_smh_wants_to_close_is_not_used_again() {
    let smh = ByHand::listen().await;
    let gateway = start(&one_worker(), smh.address()).await;
    let mut caller = Kept::open(gateway.address()).await;
    for path in ["a", "b"] {
        let target = format!("/v1/files/t1/{path}");
        let (answer, _) = tokio::join!(caller.delete(&target), async {
            let mut connection = smh.accept().await;
            assert!(connection.request().await.contains(&format!("/{path}?")));
            let close = NO_CONTENT.replace("Content\r\n", "Content\r\nConnection: close\r\n");
            connection.answer(&close).await;
            connection
        });
        assert_eq!(answer.status(), 204);
    }
    smh.assert_no_more_connections();
}

#[tokio::test]
async fn a_refused_connection_is_told_as_not_sent() {
    let nobody = ports::nobody();
    let gateway = start(&one_worker(), nobody).await;
    let answer = delete(gateway.address(), "/v1/files/t1/a").await;
    assert_eq!(told(&answer), refusal(502, "UpstreamUnreachable", "not_sent"));
    let proxy = "smh-gateway;error=destination_unavailable;details=\"UpstreamUnreachable\"";
    assert_eq!(answer.field("proxy-status"), Some(proxy));
    let lines = gateway.stop().await;
    assert!(lines[0]["cause"].as_str().unwrap().contains("refused"), "{}", lines[0]);
    assert_eq!(lines[0]["outcome"], "not_sent");
}
