//! What one server reads in one way and the next in another.

use super::*;
use crate::support::{KEY, Kept, LIBRARY, SPACE};

/// A delete of `bad` by this request line, which ends as it says itself.
fn by(line: &str) -> String {
    format!("{line}Host: gateway\r\nX-Api-Key: {KEY}\r\n\r\n")
}

/// A delete of `bad` with nothing but these lines.
fn only(fields: &str) -> String {
    format!("DELETE /v1/files/t1/bad HTTP/1.1\r\nX-Api-Key: {KEY}\r\n{fields}\r\n")
}

/// What one server reads in one way and the next in another.
#[expect(clippy::too_many_lines, reason = "one table, read as a whole")]
fn smuggled() -> Vec<(Vec<u8>, &'static str)> {
    let length = hidden().len();
    let invalid = [
        with(&format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n")),
        with(&format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n")),
        with("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"),
        with(&format!("Content-Length: 0\r\nContent-Length: {length}\r\n")),
        with("Content-Length: 0\r\nContent-Length: 0\r\n"),
        with("Content-Length: 0, 0\r\n"),
        with("Content-Length: +0\r\n"),
        with("Content-Length: -1\r\n"),
        with("Content-Length: 0x0\r\n"),
        with("Content-Length: 0 0\r\n"),
        with("Content-Length:\r\n"),
        with("Content-Length: 18446744073709551616\r\n"),
        with("Content-Length : 0\r\n"),
        with("Content_Length: 5\r\nContent-Length: 0\r\n"),
        with("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
        with("Transfer-Encoding: chunked, chunked\r\n"),
        with("Transfer-Encoding: identity\r\n"),
        with("Transfer-Encoding: xchunked\r\n"),
        with("Transfer-Encoding: gzip, chunked\r\n"),
        with("Transfer-Encoding: \"chunked\"\r\n"),
        with("Transfer-Encoding:\r\n"),
        with("Transfer-Encoding : chunked\r\n"),
        with("Transfer-Encoding\t: chunked\r\n"),
        with("Transfer-Encoding:\u{b}chunked\r\n"),
        with("Transfer_Encoding: chunked\r\n"),
        with("X: y\r\n Transfer-Encoding: chunked\r\n"),
        with("X: y\r\n\tz\r\n"),
        with("X: y\nTransfer-Encoding: chunked\r\n"),
        with("X: y\rTransfer-Encoding: chunked\r\n"),
        with("X: y\r\r\n"),
        with("X: a\0b\r\n"),
        with("X\0: a\r\n"),
        with("X y: z\r\n"),
        with(": y\r\n"),
        with("no colon\r\n"),
        with("X(: y\r\n"),
        with("X\u{e9}: y\r\n"),
        with("X: a\u{7f}b\r\n"),
        with("\n"),
        good().replace("good", "bad").replace("\r\n", "\n"),
        by("DELETE /v1/files/t1/bad HTTP/1.1\r\r\n"),
        by("DELETE /v1/files/t1/bad HTTP/1.1\n"),
        by("DELETE /v1/files/t1/bad HTTP/2.0\r\n"),
        by("DELETE /v1/files/t1/bad HTTP/1.2\r\n"),
        by("DELETE /v1/files/t1/bad HTTP/0.9\r\n"),
        by("DELETE /v1/files/t1/bad HTTP/1.1x\r\n"),
        by("DELETE /v1/files/t1/bad http/1.1\r\n"),
        by("DELETE /v1/files/t1/bad\r\n"),
        by("DELETE  /v1/files/t1/bad HTTP/1.1\r\n"),
        by("DELETE /v1/files/t1/bad  HTTP/1.1\r\n"),
        by("DELETE /v1/files/t1/bad HTTP/1.1 \r\n"),
        by("DELETE\t/v1/files/t1/bad\tHTTP/1.1\r\n"),
        by(" DELETE /v1/files/t1/bad HTTP/1.1\r\n"),
        by("\r\nDELETE /v1/files/t1/bad HTTP/1.1\r\n"),
        by("DEL\0ETE /v1/files/t1/bad HTTP/1.1\r\n"),
        by("DELETE /v1/files/t1/bad#x HTTP/1.1\r\n"),
        by("DELETE /v1/files/t1/bad?# HTTP/1.1\r\n"),
        by("DELETE /v1/files/t1/b\0ad HTTP/1.1\r\n"),
        by("DELETE /v1/files/t1/b\u{e4}d HTTP/1.1\r\n"),
        by("DELETE /v1/files/t1/bad bad HTTP/1.1\r\n"),
        by("DELETE http://other/v1/files/t1/bad HTTP/1.1\r\n"),
        by("DELETE http://u@gateway/v1/files/t1/bad HTTP/1.1\r\n"),
        by("DELETE http://gateway:80/v1/files/t1/bad HTTP/1.1\r\n"),
        by("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"),
        only(""),
        only("Host: gateway\r\nHost: gateway\r\n"),
        only("Host: gateway\r\nHost: other\r\n"),
        only("Host:\r\n"),
        only("Host: gateway, other\r\n"),
        only("Host: u@gateway\r\n"),
        only("Host: gateway/v1\r\n"),
        only("Host: gateway:port\r\n"),
        only("Host : gateway\r\n"),
        only(" Host: gateway\r\n"),
    ];
    let bodies = [
        with(&format!("Content-Length: {length}\r\n")),
        with("Content-Length: 1\r\n"),
        with("Content-Length: 000001\r\n"),
        with("Transfer-Encoding: chunked\r\n"),
        format!("{}0\r\n\r\n", with("Transfer-Encoding: chunked\r\n")),
        format!("{}ffffffffffffffff\r\n", with("Transfer-Encoding: Chunked\r\n")),
        format!("{}x\r\n", with("Transfer-Encoding: chunked\r\n")),
        format!("{}0\n\n", with("Transfer-Encoding:\tchunked\r\n")),
    ];
    let invalid = invalid.into_iter().map(|bytes| (bytes.into_bytes(), "InvalidRequest"));
    let bodies = bodies.into_iter().map(|bytes| (bytes.into_bytes(), "BodyNotAllowed"));
    invalid.chain(bodies).collect()
}

#[tokio::test]
async fn what_can_be_read_in_two_ways_ends_the_connection_and_nothing_behind_it_runs() {
    let (smh, gateway) = start().await;
    for (bad, code) in smuggled() {
        let what = String::from_utf8_lossy(&bad).into_owned();
        let mut caller = Kept::open(gateway.address()).await;
        caller.write(&[&bad[..], hidden().as_bytes()].concat()).await;
        let answer = caller.answer().await;
        assert_refused(&answer, 400, code, &what);
        assert_eq!(answer.field("connection"), Some("close"), "{what:?}");
        assert_eq!(caller.until_closed().await, b"", "{what:?}: nothing is said behind it");
        assert_eq!(smh.targets(), [""; 0], "{what:?}");
    }
    assert_eq!(smh.files(), ALL);
}

#[tokio::test]
async fn what_was_asked_before_a_bad_request_is_answered_first() {
    let (smh, gateway) = start().await;
    for (bad, code) in smuggled() {
        let what = String::from_utf8_lossy(&bad).into_owned();
        smh.simulator.put_file(LIBRARY, SPACE, "good");
        smh.simulator.clear_received();
        let mut caller = Kept::open(gateway.address()).await;
        caller.write(&[good().as_bytes(), &bad[..], hidden().as_bytes()].concat()).await;
        assert_eq!(caller.answer().await.status(), 200, "{what:?}");
        assert_refused(&caller.answer().await, 400, code, &what);
        assert_eq!(caller.until_closed().await, b"", "{what:?}");
        assert_eq!(smh.targets().len(), 1, "{what:?}");
        assert_eq!(smh.files(), ["bad", "hidden"], "{what:?}");
    }
}
