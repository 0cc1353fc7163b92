//! Answers that are broken, endless, or cut off wherever they can be.

use bytes::Bytes;
use h2::Reason;
use http::Response;

use super::*;

const BROKEN: (u16, &str, &str) = (502, "UpstreamProtocolError", "unknown");

fn broken() -> (u16, String, String) {
    refusal(BROKEN.0, BROKEN.1, BROKEN.2)
}

/// What a delete comes to whose answer is `first`, and then `again` for as long as anybody reads it.
async fn told_of(
    smh: &ByHand,
    gateway: SocketAddr,
    first: &[u8],
    again: &[u8],
) -> (u16, String, String) {
    let (answer, ()) = tokio::join!(delete(gateway, "/v1/files/t1/a"), async {
        let mut connection = smh.accept().await;
        assert!(connection.request().await.contains("/a?"));
        let mut is_read = connection.stream.write_all(first).await.is_ok();
        while is_read && !again.is_empty() {
            is_read = connection.stream.write_all(again).await.is_ok();
        }
        // Where nothing follows, it ends here.
    });
    told(&answer)
}

#[tokio::test]
async fn an_answer_that_is_cut_off_after_any_of_its_bytes_is_of_unknown_outcome() {
    let smh = ByHand::listen().await;
    let gateway = start(&one_worker(), smh.address()).await;
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    for whole in [RECYCLED, chunked] {
        for end in 0..whole.len() {
            let (part, _) = whole.split_at(end);
            let told = told_of(&smh, gateway.address(), part.as_bytes(), b"").await;
            assert_eq!(told, broken(), "{part:?}");
        }
        let (status, ..) = told_of(&smh, gateway.address(), whole.as_bytes(), b"").await;
        assert_eq!(status, 200);
    }
    smh.assert_no_more_connections();
}

#[tokio::test]
async fn an_answer_that_never_ends_is_not_read_to_its_end() {
    let smh = ByHand::listen().await;
    // It ends by what was read of it, and not by the time.
    let gateway = start(&with_timeouts("1s", "5m"), smh.address()).await;
    let ok = "HTTP/1.1 200 OK\r\n";
    let piece = "x".repeat(16 * 1024);
    for (first, again) in [
        (ok.to_owned(), format!("X-{piece}: y\r\n")),
        (ok.to_owned(), "X: y\r\n".repeat(1000)),
        (format!("{ok}X: "), piece.clone()),
        (format!("{ok}Transfer-Encoding: chunked\r\n\r\n"), format!("4000\r\n{piece}\r\n")),
        (format!("{ok}Transfer-Encoding: chunked\r\n\r\n1;"), piece.clone()),
        (format!("{ok}Transfer-Encoding: chunked\r\n\r\n0\r\n"), format!("X: {piece}\r\n")),
        (format!("{ok}Content-Length: 1152921504606846976\r\n\r\n"), piece.clone()),
        (format!("{ok}\r\n"), piece.clone()),
        (String::new(), piece.clone()),
    ] {
        let told = told_of(&smh, gateway.address(), first.as_bytes(), again.as_bytes()).await;
        assert_eq!(told, broken(), "{first:?}");
    }
    smh.assert_no_more_connections();
}

#[tokio::test]
async fn a_length_that_says_nothing_certain_makes_an_answer_worthless() {
    let smh = ByHand::listen().await;
    let gateway = start(&one_worker(), smh.address()).await;
    for fields in [
        "Content-Length: 2\r\nContent-Length: 3",
        "Content-Length: 2, 3",
        "Content-Length: -1",
        "Content-Length: x",
        "Content-Length: 99999999999999999999",
        "Content-Length: 3",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: chunked, identity",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{{}}");
        let told = told_of(&smh, gateway.address(), answer.as_bytes(), b"").await;
        assert_eq!(told, broken(), "{fields}");
    }
    smh.assert_no_more_connections();
}

#[tokio::test]
async fn whoever_speaks_no_tls_gets_no_delete() {
    let smh = ByHand::listen().await;
    let yaml = one_worker().replace("http://", "https://");
    let gateway = start(&yaml, smh.address()).await;
    let alert = b"\x15\x03\x03\x00\x02\x02\x28";
    let too_old = [&b"\x16\x03\x01\x00\x2a\x02\x00\x00\x26\x03\x01"[..], &[0; 35]].concat();
    for said in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], alert, &too_old, &[0xff; 600], b""] {
        let (answer, ()) = tokio::join!(delete(gateway.address(), "/v1/files/t1/a"), async {
            let mut connection = smh.accept().await;
            connection.stream.write_all(said).await.unwrap();
            assert!(connection.stream.read_buf(&mut connection.read).await.unwrap() > 0);
            assert_eq!(connection.read.first(), Some(&22), "a handshake");
        });
        assert_eq!(told(&answer), refusal(502, "UpstreamUnreachable", "not_sent"), "{said:?}");
    }
    smh.assert_no_more_connections();
}

#[tokio::test]
async fn an_http2_connection_that_goes_away_in_mid_answer_leaves_an_unknown_outcome() {
    let authority = Authority::new();
    let acceptor = authority.acceptor(&["127.0.0.1"], &["h2"]);
    for reason in [Reason::NO_ERROR, Reason::INTERNAL_ERROR, Reason::ENHANCE_YOUR_CALM] {
        for (has_head, has_body) in [(false, false), (true, false), (true, true)] {
            let smh = ByHand::listen().await;
            let gateway = start(&authority.trusted("UPSTREAM"), smh.address()).await;
            let (answer, ()) = tokio::join!(delete(gateway.address(), "/v1/files/t1/a"), async {
                let stream = acceptor.accept(smh.accept().await.stream).await.unwrap();
                let mut played = h2::server::handshake(stream).await.unwrap();
                let (_, mut respond) = played.accept().await.unwrap().unwrap();
                let head = Response::builder().status(200).header("content-length", 21);
                let mut body = None;
                if has_head {
                    body = Some(respond.send_response(head.body(()).unwrap(), false).unwrap());
                }
                if let (true, Some(body)) = (has_body, &mut body) {
                    body.send_data(Bytes::from_static(b"{\"rec"), false).unwrap();
                }
                // What was sent is to arrive before the end does.
                let sent = std::future::poll_fn(|cx| played.poll_closed(cx));
                let _ = tokio::time::timeout(Duration::from_millis(50), sent).await;
                played.abrupt_shutdown(reason);
                let _ = std::future::poll_fn(|cx| played.poll_closed(cx)).await;
            });
            assert_eq!(told(&answer), broken(), "{reason:?}, {has_head}, {has_body}");
            smh.assert_no_more_connections();
        }
    }
}
