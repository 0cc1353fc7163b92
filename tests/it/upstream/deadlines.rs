//! What takes too long, before there is a connection and after.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;

use super::*;
use crate::support::TOKEN;
use crate::support::ports;

/// An address that takes no connection and refuses none, and what keeps it so.
fn black_hole() -> (SocketAddr, Vec<std::net::TcpStream>, socket2::Socket) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut waiting = Vec::new();
    while let Ok(one) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        waiting.push(one);
    }
    (address, waiting, socket)
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_ends_with_the_connect_timeout() {
    let (full, _waiting, _socket) = black_hole();
    let mute = ports::listen();
    let over_tls = |yaml: &str| yaml.replace("http://", "https://");
    for (address, yaml) in [
        (full, with_timeouts("300ms", "10s")),
        (mute.local_addr().unwrap(), over_tls(&with_timeouts("300ms", "10s"))),
    ] {
        let gateway = start(&yaml, address).await;
        let started = Instant::now();
        let answer = delete(gateway.address(), "/v1/files/t1/a").await;
        let took = started.elapsed();
        assert_eq!(told(&answer), refusal(502, "UpstreamUnreachable", "not_sent"));
        assert!(took >= Duration::from_millis(300), "{took:?}");
        assert!(took < Duration::from_secs(5), "{took:?}: half of the whole deadline");
    }
}

#[tokio::test]
async fn a_deadline_that_ends_before_there_is_a_connection_is_told_as_not_sent() {
    let mute = ports::listen();
    let yaml = with_timeouts("10s", "300ms").replace("http://", "https://");
    let gateway = start(&yaml, mute.local_addr().unwrap()).await;
    let started = Instant::now();
    let answer = delete(gateway.address(), "/v1/files/t1/a").await;
    assert_eq!(told(&answer), refusal(504, "UpstreamTimeout", "not_sent"));
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn an_answer_that_does_not_come_or_does_not_end_is_a_timeout_of_unknown_outcome() {
    for beginning in ["", "HTTP/1.1 20", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{"] {
        let smh = ByHand::listen().await;
        let gateway = start(&with_timeouts("300ms", "600ms"), smh.address()).await;
        let started = Instant::now();
        let (answer, ()) = tokio::join!(delete(gateway.address(), "/v1/files/t1/a"), async {
            let mut connection = smh.accept().await;
            assert!(connection.request().await.contains("/a?"));
            connection.answer(beginning).await;
            // It is not kept for anyone else: another answer could still come on it.
            assert_eq!(connection.request().await, "", "the gateway ends it");
        });
        let took = started.elapsed();
        assert_eq!(told(&answer), refusal(504, "UpstreamTimeout", "unknown"), "{beginning:?}");
        assert!(took >= Duration::from_millis(600), "{took:?}");
        assert!(took < Duration::from_secs(5), "{took:?}");
        smh.assert_no_more_connections();
    }
}

#[tokio::test]
async fn an_interim_answer_is_no_answer_and_does_not_move_the_deadline() {
    let smh = ByHand::listen().await;
    let gateway = start(&with_timeouts("300ms", "1s"), smh.address()).await;
    let (answer, ()) = tokio::join!(delete(gateway.address(), "/v1/files/t1/a"), async {
        let mut connection = smh.accept().await;
        connection.request().await;
        while connection.stream.write_all(b"HTTP/1.1 102 Processing\r\n\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert_eq!(told(&answer), refusal(504, "UpstreamTimeout", "unknown"));

    let smh = ByHand::listen().await;
    let gateway = start(&one_worker(), smh.address()).await;
    let (answer, _connection) = tokio::join!(delete(gateway.address(), "/v1/files/t1/a"), async {
        let mut connection = smh.accept().await;
        connection.request().await;
        connection.answer(&format!("HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n{RECYCLED}")).await;
        connection
    });
    assert_eq!((answer.status(), answer.field("x")), (200, None));
}

#[tokio::test]
async fn one_deadline_holds_for_both_tries_together() {
    let smh = ByHand::listen().await;
    let gateway = start(&with_timeouts("500ms", "2s"), smh.address()).await;
    let started = Instant::now();
    let (answer, _connection) = tokio::join!(delete(gateway.address(), "/v1/files/t1/a"), async {
        let mut connection = smh.accept().await;
        let first = connection.request().await;
        gateway.folder.write("token", "acctkanothertoken");
        // Not before the first half of the deadline is over: that is what is tested.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        connection.answer(FORBIDDEN).await;
        let second = connection.request().await;
        assert!(first.contains(TOKEN) && second.contains("acctkanothertoken"));
        connection
    });
    let took = started.elapsed();
    assert_eq!(told(&answer), refusal(504, "UpstreamTimeout", "unknown"));
    assert!(took < Duration::from_millis(3400), "{took:?}: the second try had its own deadline");
}
