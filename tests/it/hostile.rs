//! Hostile bytes in either version of HTTP, and callers that hang up.
//!
//! HTTP/2 is spoken frame by frame here: a library would not write what must be refused.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Answer, Canned, Gateway, KEY, Kept, LIBRARY, SPACE, Smh, request};

/// Longer than any deadline that a test sets; where this ends a test, something hung.
const PATIENCE: Duration = Duration::from_secs(20);

async fn start() -> (Smh, Gateway) {
    let smh = Smh::start().await.with_file("good").with_file("bad").with_file("hidden");
    let gateway = Gateway::start(smh.address).await;
    (smh, gateway)
}

const ALL: [&str; 3] = ["bad", "good", "hidden"];

fn good() -> String {
    request("/v1/files/t1/good", &[])
}

fn hidden() -> String {
    request("/v1/files/t1/hidden", &[])
}

/// A delete of `bad` with these lines behind its own, ended by an empty one.
fn with(fields: &str) -> String {
    let whole = request("/v1/files/t1/bad", &[]);
    format!("{}{fields}\r\n", whole.strip_suffix("\r\n").unwrap())
}

/// A delete of `bad` by this request line, which ends as it says itself.
fn by(line: &str) -> String {
    format!("{line}Host: gateway\r\nX-Api-Key: {KEY}\r\n\r\n")
}

/// A delete of `bad` with nothing but these lines.
fn only(fields: &str) -> String {
    format!("DELETE /v1/files/t1/bad HTTP/1.1\r\nX-Api-Key: {KEY}\r\n{fields}\r\n")
}

fn assert_refused(answer: &Answer, status: u16, code: &str, what: &str) {
    assert_eq!((answer.status(), answer.code().as_str()), (status, code), "{what:?}");
    assert_eq!(answer.outcome(), "not_sent", "{what:?}");
    assert_eq!(answer.field("content-type"), Some("application/problem+json"), "{what:?}");
    assert_eq!(answer.json()["requestId"], answer.field("x-request-id").unwrap(), "{what:?}");
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

/// RFC 9110, section 10.1.1: `100 Continue` would ask for a body that is refused.
#[tokio::test]
async fn a_caller_that_waits_for_leave_to_send_a_body_gets_none() {
    let (smh, gateway) = start().await;
    for body in ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
        let mut caller = Kept::open(gateway.address()).await;
        caller.write(with(&format!("{body}Expect: 100-continue\r\n")).as_bytes()).await;
        let answer = caller.answer().await;
        assert_ne!(answer.status(), 100, "{body}");
        assert_refused(&answer, 400, "BodyNotAllowed", body);
        assert_eq!(caller.until_closed().await, b"", "{body}");
    }
    assert_eq!(smh.targets(), [""; 0]);
}

#[tokio::test]
async fn an_absolute_target_that_names_its_host_is_taken() {
    let (smh, gateway) = start().await;
    let mut caller = Kept::open(gateway.address()).await;
    for (target, host) in [
        ("http://gateway/v1/files/t1/good", "gateway"),
        ("HTTP://GateWay:80/v1/files/t1/bad", "gateway:80"),
        ("/v1/files/t1/hidden", "[::1]:8080"),
    ] {
        let bytes = format!("DELETE {target} HTTP/1.1\r\nHost: {host}\r\nX-Api-Key: {KEY}\r\n\r\n");
        caller.write(bytes.as_bytes()).await;
        assert_eq!(caller.answer().await.status(), 200, "{target}");
    }
    assert_eq!(smh.files(), [""; 0]);
}

#[tokio::test]
async fn what_is_too_long_or_too_many_is_refused_and_what_just_fits_is_not() {
    let (smh, gateway) = start().await;
    // Method, Host and Authorization are there already.
    let fields = |number: usize| "X: 1\r\n".repeat(number - 2);
    let target = |bytes: usize| format!("/v1/files/t1/{}", "x".repeat(bytes - 13));
    for (bytes, status, code) in [
        (request(&target(8 * 1024 + 1), &[]), 414, "TargetTooLong"),
        (request(&target(64 * 1024), &[]), 414, "TargetTooLong"),
        (format!("DELETE {}", target(20 * 1024)), 414, "TargetTooLong"),
        (with(&format!("X: {}\r\n", "x".repeat(32 * 1024))), 431, "HeadersTooLarge"),
        (with(&format!("X: {}\r\n", "x".repeat(200 * 1024))), 431, "HeadersTooLarge"),
        (with(&format!("{}: x\r\n", "x".repeat(40 * 1024))), 431, "HeadersTooLarge"),
        (format!("X: {}\r\n", "x".repeat(1024)).repeat(40), 400, "InvalidRequest"),
        (with(&fields(101)), 431, "HeadersTooLarge"),
        (with(&"X: 1\r\n".repeat(3000)), 431, "HeadersTooLarge"),
    ] {
        let mut caller = Kept::open(gateway.address()).await;
        caller.write(format!("{bytes}{}", hidden()).as_bytes()).await;
        let what = format!("{} bytes of {code}", bytes.len());
        assert_refused(&caller.answer().await, status, code, &what);
        assert_eq!(caller.until_closed().await, b"", "{what}");
    }
    assert_eq!(smh.targets(), [""; 0]);
    for bytes in [
        request(&target(8 * 1024), &[]),
        with(&fields(100)),
        with(&format!("X: {}\r\n", "x".repeat(31 * 1024))),
    ] {
        let mut caller = Kept::open(gateway.address()).await;
        caller.write(bytes.as_bytes()).await;
        assert!([200, 404].contains(&caller.answer().await.status()), "{}", bytes.len());
    }
    assert_eq!(smh.targets().len(), 3);
    assert_eq!(smh.files(), ["good", "hidden"]);
}

#[tokio::test]
async fn pipelined_deletes_are_answered_in_order() {
    let (smh, gateway) = start().await;
    let mut bytes = String::new();
    for n in 0..20 {
        smh.simulator.put_file(LIBRARY, SPACE, &format!("f{n}"));
        // Every third is refused on the way.
        let target =
            if n % 3 == 2 { format!("/v1/files/t1/f{n}/.") } else { format!("/v1/files/t1/f{n}") };
        bytes += &request(&target, &[&format!("X-Request-Id: id-{n}")]);
    }
    let mut caller = Kept::open(gateway.address()).await;
    caller.write(bytes.as_bytes()).await;
    let mut recycled = Vec::new();
    for n in 0..20 {
        let answer = caller.answer().await;
        if n % 3 == 2 {
            assert_eq!(answer.json()["requestId"], format!("id-{n}"));
            assert_eq!(answer.code(), "InvalidPath");
        } else {
            assert_eq!(answer.status(), 200);
            recycled.push((answer.json()["recycledItemId"].as_u64().unwrap(), format!("f{n}")));
        }
    }
    let bin = smh.simulator.recycled(LIBRARY, SPACE);
    let bin: Vec<_> = bin.into_iter().map(|item| (item.id, item.original_path)).collect();
    assert_eq!(bin, recycled, "one after the other, each with the answer to itself");
}

#[tokio::test]
async fn http_1_0_is_served_and_its_connection_closed() {
    let (smh, gateway) = start().await;
    let old = |fields: &str| {
        format!("DELETE /v1/files/t1/good HTTP/1.0\r\nX-Api-Key: {KEY}\r\n{fields}\r\n")
    };
    for bad in ["", "Host: gateway\r\nTransfer-Encoding: chunked\r\n"] {
        let mut caller = Kept::open(gateway.address()).await;
        caller.write(format!("{}{}", old(bad), hidden()).as_bytes()).await;
        assert_refused(&caller.answer().await, 400, "InvalidRequest", bad);
        caller.until_closed().await;
    }
    assert_eq!(smh.targets(), [""; 0]);
    let mut caller = Kept::open(gateway.address()).await;
    caller.write(old("Host: gateway\r\n").as_bytes()).await;
    assert_eq!(caller.answer().await.status(), 200);
    assert_eq!(caller.until_closed().await, b"");
    assert_eq!(smh.files(), ["bad", "hidden"]);
}

#[tokio::test]
async fn a_caller_that_has_said_all_it_will_still_gets_its_answers() {
    let (smh, gateway) = start().await;
    let mut caller = Kept::open(gateway.address()).await;
    caller.write(format!("{}{}", good(), hidden()).as_bytes()).await;
    caller.stream.shutdown().await.unwrap();
    assert_eq!(caller.answer().await.status(), 200);
    assert_eq!(caller.answer().await.status(), 200);
    assert_eq!(caller.until_closed().await, b"");
    assert_eq!(smh.files(), ["bad"]);
}

#[tokio::test]
async fn half_a_request_is_no_request() {
    let (smh, gateway) = start().await;
    let whole = good();
    let body = with("Content-Length: 5\r\n");
    for (part, code) in [
        (whole.strip_suffix("\n").unwrap(), "InvalidRequest"),
        (whole.strip_suffix("\r\n").unwrap(), "InvalidRequest"),
        ("DELETE /v1/files/t1/good HTTP/1.1", "InvalidRequest"),
        ("D", "InvalidRequest"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n", "InvalidRequest"),
        (&*body, "BodyNotAllowed"),
    ] {
        let mut caller = Kept::open(gateway.address()).await;
        caller.write(part.as_bytes()).await;
        caller.stream.shutdown().await.unwrap();
        assert_refused(&caller.answer().await, 400, code, part);
        assert_eq!(caller.until_closed().await, b"");
    }
    assert_eq!(smh.targets(), [""; 0]);
    assert_eq!(smh.files(), ALL);
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_is_a_head() {
    let (smh, gateway) = start().await;
    let mut caller = Kept::open(gateway.address()).await;
    for byte in format!("{}{}", good(), hidden()).bytes() {
        caller.write(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(caller.answer().await.status(), 200);
    assert_eq!(caller.answer().await.status(), 200);
    assert_eq!(smh.files(), ["bad"]);
}

#[tokio::test]
async fn a_refused_delete_costs_its_caller_no_connection() {
    let (smh, gateway) = start().await;
    let mut caller = Kept::open(gateway.address()).await;
    for (target, status) in [
        ("/nowhere", 400),
        ("/v1/files/t1/a//b", 400),
        ("/v1/files/t1/a?x", 400),
        ("/v1/files/t9/a", 403),
        ("/v1/files/t1/good?permanent=1", 403),
        ("/v1/files/t1/good", 200),
    ] {
        assert_eq!(caller.delete(target).await.status(), status, "{target}");
    }
    assert_eq!(smh.targets().len(), 1);
}

#[tokio::test]
async fn bytes_that_are_not_http_harm_nobody_else() {
    let (smh, gateway) = start().await;
    for noise in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\0\0\0\0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9\r\n",
        b"{\"jsonrpc\":\"2.0\"}\n",
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n",
        b"\r\n\r\n\r\n",
    ] {
        let mut caller = Kept::open(gateway.address()).await;
        caller.write(noise).await;
        caller.stream.shutdown().await.unwrap();
        assert_eq!(caller.answer().await.status(), 400, "{noise:?}");
        caller.until_closed().await;
    }
    assert_eq!(smh.targets(), [""; 0]);
    assert_eq!(gateway.delete("/v1/files/t1/good").await.status(), 200);
}

// HTTP/2

/// RFC 9113, section 6.
mod kind {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const GOAWAY: u8 = 7;
    pub(super) const CONTINUATION: u8 = 9;
}

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const WHOLE: u8 = END_STREAM | END_HEADERS;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// RFC 7541: literals without indexing, nothing compressed.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            integer(&mut bytes, text.len());
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    bytes
}

/// RFC 7541, section 5.1, with seven bits in front.
fn integer(bytes: &mut Vec<u8>, number: usize) {
    let Some(mut rest) = number.checked_sub(127) else {
        bytes.push(u8::try_from(number).unwrap());
        return;
    };
    bytes.push(127);
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).unwrap());
}

/// The fields of a good delete.
fn delete_of<'a>(target: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![
        (":method", "DELETE"),
        (":scheme", "http"),
        (":authority", "gateway"),
        (":path", target),
        ("x-api-key", KEY),
    ];
    fields.extend_from_slice(more);
    fields
}

/// The same with one of them replaced, or left out where the new value is `None`.
fn changed<'a>(name: &'a str, value: Option<&'a str>) -> Vec<(&'a str, &'a str)> {
    let mut fields = delete_of("/v1/files/t1/bad", &[]);
    match value {
        Some(value) => fields.iter_mut().filter(|field| field.0 == name).for_each(|f| f.1 = value),
        None => fields.retain(|field| field.0 != name),
    }
    fields
}

/// What became of a stream.
#[derive(Debug, PartialEq)]
enum Told {
    /// The body as JSON; `Null` where it is empty.
    Answered(Value),
    Reset,
    /// The connection ended.
    Gone,
}

impl Told {
    fn code(&self) -> &str {
        match self {
            Self::Answered(body) => body["code"].as_str().unwrap_or_default(),
            Self::Reset | Self::Gone => "",
        }
    }

    fn is_recycled(&self) -> bool {
        matches!(self, Self::Answered(body) if body["recycledItemId"].is_u64())
    }
}

/// A caller that speaks HTTP/2, one frame after the other.
struct Frames {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Frames {
    async fn open(gateway: &Gateway) -> Self {
        let stream = TcpStream::connect(gateway.address()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut frames = Self { stream, read: Vec::new() };
        frames.write(&[PREFACE, &frame(kind::SETTINGS, 0, 0, &[])].concat()).await;
        frames
    }

    /// A gateway that gives up a connection may not take all of it.
    async fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    async fn ask(&mut self, stream: u32, fields: &[(&str, &str)]) {
        self.write(&frame(kind::HEADERS, WHOLE, stream, &block(fields))).await;
    }

    /// Kind, flags, stream and payload of the next frame; `None` at the end of the connection.
    async fn next(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        while self.read.len() < 9 || self.read.len() < 9 + self.length() {
            match self.stream.read_buf(&mut self.read).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
        let rest = self.read.split_off(9 + self.length());
        let mut whole = std::mem::replace(&mut self.read, rest);
        let payload = whole.split_off(9);
        let stream = u32::from_be_bytes(whole[5..9].try_into().unwrap());
        Some((whole[3], whole[4], stream, payload))
    }

    fn length(&self) -> usize {
        self.read[..3].iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
    }

    /// Reads until a stream ends in one way or another.
    async fn told(&mut self, stream: u32) -> Told {
        let told = async {
            let mut body = Vec::new();
            loop {
                let Some((kind, flags, of, payload)) = self.next().await else {
                    return Told::Gone;
                };
                if of != stream {
                    continue;
                }
                match kind {
                    kind::RST_STREAM => return Told::Reset,
                    kind::DATA => body.extend_from_slice(&payload),
                    _ => {}
                }
                if matches!(kind, kind::DATA | kind::HEADERS) && flags & END_STREAM != 0 {
                    return Told::Answered(serde_json::from_slice(&body).unwrap_or(Value::Null));
                }
            }
        };
        tokio::time::timeout(PATIENCE, told).await.expect("an end in time")
    }

    /// Sends one request as the first of a new connection.
    async fn ask_first(gateway: &Gateway, fields: &[(&str, &str)]) -> Told {
        let mut frames = Self::open(gateway).await;
        frames.ask(1, fields).await;
        frames.told(1).await
    }
}

#[tokio::test]
async fn a_delete_over_http2_is_a_delete() {
    let (smh, gateway) = start().await;
    let mut frames = Frames::open(&gateway).await;
    frames.ask(1, &delete_of("/v1/files/t1/good", &[])).await;
    assert!(frames.told(1).await.is_recycled());
    frames.ask(3, &delete_of("/v1/files/t1/bad", &[("host", "gateway")])).await;
    assert!(frames.told(3).await.is_recycled());
    // Without `:authority`, a `Host` will do.
    let mut fields = delete_of("/v1/files/t1/hidden", &[("host", "gateway")]);
    fields.retain(|field| field.0 != ":authority");
    frames.ask(5, &fields).await;
    assert!(frames.told(5).await.is_recycled());
    frames.ask(7, &delete_of("/v1/files/t1/none", &[])).await;
    assert_eq!(frames.told(7).await.code(), "FileNotFound");
    assert_eq!(smh.files(), [""; 0]);
    assert_eq!(smh.received().len(), 4);
    for request in smh.received() {
        assert!(!format!("{:?}", request.headers).contains(KEY));
    }
}

#[tokio::test]
async fn a_preface_that_comes_byte_by_byte_is_a_preface() {
    let (smh, gateway) = start().await;
    let stream = TcpStream::connect(gateway.address()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut frames = Frames { stream, read: Vec::new() };
    let ask = frame(kind::HEADERS, WHOLE, 1, &block(&delete_of("/v1/files/t1/good", &[])));
    for byte in [PREFACE, &frame(kind::SETTINGS, 0, 0, &[]), &ask].concat() {
        frames.write(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert!(frames.told(1).await.is_recycled());
    assert_eq!(smh.files(), ["bad", "hidden"]);
}

#[tokio::test]
async fn an_http2_request_that_contradicts_itself_is_refused() {
    let (smh, gateway) = start().await;
    let bad = "/v1/files/t1/bad";
    for fields in [
        changed(":authority", None),
        changed(":authority", Some("u@gateway")),
        changed(":authority", Some("u:p@gateway")),
        delete_of(bad, &[("host", "other")]),
        delete_of(bad, &[("host", "gateway:81")]),
        delete_of(bad, &[("host", "gateway"), ("host", "gateway")]),
        delete_of(bad, &[("host", "")]),
        delete_of(bad, &[("x-dry-run", "yes")]),
        changed(":scheme", Some("ftp")),
    ] {
        let told = Frames::ask_first(&gateway, &fields).await;
        assert_eq!(told.code(), "InvalidRequest", "{fields:?}: {told:?}");
    }
    assert_eq!(smh.targets(), [""; 0]);
    assert_eq!(smh.files(), ALL);
}

/// RFC 9113, section 8.1.1: a stream error, whatever else is said.
#[tokio::test]
async fn a_malformed_http2_request_is_refused_in_one_way_or_another_and_reaches_nobody() {
    let (smh, gateway) = start().await;
    let bad = "/v1/files/t1/bad";
    let late = [&delete_of(bad, &[])[..], &[(":path", bad)]].concat();
    for fields in [
        changed(":method", None),
        changed(":path", None),
        changed(":scheme", None),
        changed(":path", Some("")),
        changed(":path", Some("v1/files/t1/bad")),
        changed(":path", Some("/v1/files/t1/b ad")),
        changed(":path", Some("/v1/files/t1/bad\r\nx: y")),
        changed(":path", Some("http://gateway/v1/files/t1/bad")),
        changed(":path", Some("*")),
        changed(":method", Some("DEL ETE")),
        changed(":method", Some("DELETE\r\n")),
        changed(":method", Some("CONNECT")),
        changed(":authority", Some("")),
        changed(":authority", Some("gateway/v1")),
        changed(":authority", Some("gate way")),
        late,
        delete_of(bad, &[(":status", "200")]),
        delete_of(bad, &[(":protocol", "websocket")]),
        delete_of(bad, &[("connection", "close")]),
        delete_of(bad, &[("connection", "x-api-key")]),
        delete_of(bad, &[("transfer-encoding", "chunked")]),
        delete_of(bad, &[("keep-alive", "timeout=5")]),
        delete_of(bad, &[("proxy-connection", "close")]),
        delete_of(bad, &[("upgrade", "h2c")]),
        delete_of(bad, &[("te", "gzip")]),
        delete_of(bad, &[("X-Upper", "y")]),
        delete_of(bad, &[("x y", "z")]),
        delete_of(bad, &[("", "z")]),
        delete_of(bad, &[("x", "a\r\nb: c")]),
        delete_of(bad, &[("x", "a\0b")]),
        delete_of(bad, &[("x\0", "b")]),
        delete_of(bad, &[("content-length", "5")]),
        delete_of(bad, &[("content-length", "0"), ("content-length", "1")]),
        delete_of(bad, &[("content-length", "-1")]),
    ] {
        let told = Frames::ask_first(&gateway, &fields).await;
        assert!(!told.is_recycled(), "{fields:?}");
        assert_eq!(smh.targets(), [""; 0], "{fields:?}: {told:?}");
    }
    assert_eq!(smh.files(), ALL);
}

#[tokio::test]
async fn an_http2_delete_with_a_body_is_refused_and_an_empty_end_is_no_body() {
    let (smh, gateway) = start().await;
    let data = |flags, bytes: &[u8]| frame(kind::DATA, flags, 1, bytes);
    let trailers = frame(kind::HEADERS, WHOLE, 1, &block(&[("x-dry-run", "1")]));
    for (length, behind) in [
        (None, data(END_STREAM, b"x")),
        (None, [data(0, b""), data(END_STREAM, b"x")].concat()),
        (None, data(0, &hidden().into_bytes())),
        (Some("1"), data(END_STREAM, b"x")),
        (None, trailers),
    ] {
        let mut frames = Frames::open(&gateway).await;
        let mut fields = delete_of("/v1/files/t1/bad", &[]);
        fields.extend(length.map(|length| ("content-length", length)));
        frames.write(&frame(kind::HEADERS, END_HEADERS, 1, &block(&fields))).await;
        frames.write(&behind).await;
        assert_eq!(frames.told(1).await.code(), "BodyNotAllowed", "{behind:?}");
        assert_eq!(smh.targets(), [""; 0], "{behind:?}");
        // The connection is as good as before.
        frames.ask(3, &delete_of("/v1/files/t1/none", &[])).await;
        assert_eq!(frames.told(3).await.code(), "FileNotFound", "{behind:?}");
        smh.simulator.clear_received();
    }
    for behind in [data(END_STREAM, b""), [data(0, b""), data(END_STREAM, b"")].concat()] {
        smh.simulator.put_file(LIBRARY, SPACE, "good");
        let mut frames = Frames::open(&gateway).await;
        let fields = delete_of("/v1/files/t1/good", &[]);
        frames.write(&frame(kind::HEADERS, END_HEADERS, 1, &block(&fields))).await;
        frames.write(&behind).await;
        assert!(frames.told(1).await.is_recycled(), "{behind:?}");
    }
    assert_eq!(smh.files(), ["bad", "hidden"]);
}

#[tokio::test]
async fn an_http2_delete_is_not_carried_out_before_its_stream_has_ended() {
    let (smh, gateway) = start().await;
    let mut frames = Frames::open(&gateway).await;
    let fields = delete_of("/v1/files/t1/good", &[]);
    frames.write(&frame(kind::HEADERS, END_HEADERS, 1, &block(&fields))).await;
    // Another one, behind it, is: so the first was seen.
    frames.ask(3, &delete_of("/v1/files/t1/bad", &[])).await;
    assert!(frames.told(3).await.is_recycled());
    assert_eq!(smh.files(), ["good", "hidden"]);
    frames.write(&frame(kind::DATA, END_STREAM, 1, b"")).await;
    assert!(frames.told(1).await.is_recycled());
}

#[tokio::test]
async fn what_is_too_long_or_too_many_is_refused_over_http2_too() {
    let (smh, gateway) = start().await;
    let long = format!("/v1/files/t1/{}", "x".repeat(8 * 1024));
    let told = Frames::ask_first(&gateway, &delete_of(&long, &[])).await;
    assert_eq!(told.code(), "TargetTooLong");
    // Ours is one of the hundred.
    let fields = |number: usize| vec![("x", "1"); number - 1];
    let told = Frames::ask_first(&gateway, &delete_of("/v1/files/t1/bad", &fields(101))).await;
    assert_eq!(told.code(), "HeadersTooLarge");
    assert_eq!(smh.targets(), [""; 0]);
    let told = Frames::ask_first(&gateway, &delete_of("/v1/files/t1/good", &fields(100))).await;
    assert!(told.is_recycled());
    assert_eq!(smh.files(), ["bad", "hidden"]);
}

/// Refused by h2 itself, which never makes a request of it: a bare 431, or no more connection.
fn assert_unanswered(told: &Told) {
    assert!(matches!(told, Told::Gone | Told::Reset | Told::Answered(Value::Null)), "{told:?}");
}

#[tokio::test]
async fn a_header_list_that_grows_out_of_hand_is_refused() {
    let (smh, gateway) = start().await;
    // One entry of the dynamic table, named over and over again: 4 KiB for each byte.
    let mut bomb = block(&delete_of("/v1/files/t1/bad", &[]));
    bomb.extend_from_slice(&[0x40, 1, b'x']);
    integer(&mut bomb, 4000);
    bomb.extend(std::iter::repeat_n(b'y', 4000));
    bomb.extend(std::iter::repeat_n(0x80 | 62, 10_000));
    let mut frames = Frames::open(&gateway).await;
    frames.write(&frame(kind::HEADERS, WHOLE, 1, &bomb)).await;
    assert_unanswered(&frames.told(1).await);

    // A little more than is taken, in two pieces.
    let mut frames = Frames::open(&gateway).await;
    let fields = block(&delete_of("/v1/files/t1/bad", &[("x", &"y".repeat(15_000))]));
    let rest = block(&[("x", &"y".repeat(15_000)), ("x", "y"), ("x", &"y".repeat(1_000))]);
    frames.write(&frame(kind::HEADERS, END_STREAM, 1, &fields)).await;
    frames.write(&frame(kind::CONTINUATION, 0, 1, &rest)).await;
    let rest = block(&[("x", &"y".repeat(2_000))]);
    frames.write(&frame(kind::CONTINUATION, END_HEADERS, 1, &rest)).await;
    assert_unanswered(&frames.told(1).await);

    // And one in pieces that never ends.
    let mut frames = Frames::open(&gateway).await;
    let fields = block(&delete_of("/v1/files/t1/bad", &[]));
    frames.write(&frame(kind::HEADERS, END_STREAM, 1, &fields)).await;
    let piece = frame(kind::CONTINUATION, 0, 1, &block(&[("x", &"y".repeat(1000))]));
    for _ in 0..1000 {
        frames.write(&piece).await;
    }
    assert_unanswered(&frames.told(1).await);
    assert_eq!(smh.targets(), [""; 0]);
    assert_eq!(gateway.delete("/v1/files/t1/good").await.status(), 200);
    assert_eq!(smh.files(), ["bad", "hidden"]);
}

#[tokio::test]
async fn streams_at_once_are_answered_each_with_its_own_answer() {
    let (smh, gateway) = start().await;
    let mut frames = Frames::open(&gateway).await;
    let mut bytes = Vec::new();
    let targets: Vec<String> = (0..50).map(|n| format!("/v1/files/t1/f{n}")).collect();
    for (stream, target) in (1..).step_by(2).zip(&targets) {
        let name = target.strip_prefix("/v1/files/t1/").unwrap();
        smh.simulator.put_file(LIBRARY, SPACE, name);
        let fields = block(&delete_of(target, &[]));
        bytes.extend(frame(kind::HEADERS, WHOLE, stream, &fields));
    }
    frames.write(&bytes).await;
    let mut ids = std::collections::HashMap::new();
    let all = async {
        while ids.len() < targets.len() {
            let (kind, _, stream, payload) = frames.next().await.expect("still connected");
            assert_ne!(kind, kind::RST_STREAM);
            if kind == kind::DATA && !payload.is_empty() {
                let body: Value = serde_json::from_slice(&payload).unwrap();
                ids.insert(body["recycledItemId"].as_u64().unwrap(), stream);
            }
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("all answers in time");
    for item in smh.simulator.recycled(LIBRARY, SPACE) {
        let stream = usize::try_from(ids[&item.id]).unwrap();
        assert_eq!(targets[stream / 2], format!("/v1/files/t1/{}", item.original_path));
    }
    assert_eq!(smh.files(), ALL);
}

#[tokio::test]
async fn a_thousand_streams_that_are_reset_at_once_harm_no_other_caller() {
    let (smh, gateway) = start().await;
    let mut attacker = Frames::open(&gateway).await;
    let cancel = 8u32.to_be_bytes();
    let mut bytes = Vec::new();
    for stream in (1..2001).step_by(2) {
        let fields = block(&delete_of("/v1/files/t1/none", &[]));
        bytes.extend(frame(kind::HEADERS, WHOLE, stream, &fields));
        bytes.extend(frame(kind::RST_STREAM, 0, stream, &cancel));
    }
    let mut caller = Kept::open(gateway.address()).await;
    let (_, answer) = tokio::join!(attacker.write(&bytes), caller.delete("/v1/files/t1/good"));
    assert_eq!(answer.status(), 200);
    // Whoever does that is sent away, or at least all of it comes to an end.
    attacker.write(&frame(kind::HEADERS, WHOLE, 2001, &block(&delete_of("/", &[])))).await;
    let told = attacker.told(2001).await;
    assert!(told == Told::Gone || told.code() == "UnknownRoute", "{told:?}");
    drop(attacker);
    assert_eq!(caller.delete("/v1/files/t1/bad").await.status(), 200);
    drop(caller);
    let idle = async {
        while gateway.running.gateway().in_flight().count() > 0
            || gateway.running.gateway().connections().count() > 0
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, idle).await.expect("everything comes to an end");
    assert_eq!(smh.files(), ["hidden"]);
}

#[tokio::test]
async fn frames_that_break_the_protocol_end_the_connection_and_nothing_else() {
    let (smh, gateway) = start().await;
    let good = block(&delete_of("/v1/files/t1/bad", &[]));
    for bad in [
        frame(kind::HEADERS, WHOLE, 0, &good),
        frame(kind::HEADERS, WHOLE, 2, &good),
        frame(kind::DATA, END_STREAM, 1, b"x"),
        frame(kind::CONTINUATION, END_HEADERS, 1, &good),
        frame(kind::HEADERS, WHOLE, 1, &[0xff; 20]),
        frame(kind::SETTINGS, 0, 1, &[]),
        frame(kind::SETTINGS, 0, 0, &[0; 5]),
        frame(kind::GOAWAY, 0, 1, &[0; 8]),
        vec![0xff; 64],
    ] {
        let mut frames = Frames::open(&gateway).await;
        frames.write(&bad).await;
        // Nothing is answered on a stream that never was.
        assert_eq!(frames.told(u32::MAX).await, Told::Gone, "{bad:?}");
    }
    assert_eq!(smh.targets(), [""; 0]);
    assert_eq!(gateway.delete("/v1/files/t1/good").await.status(), 200);
}

#[tokio::test]
async fn an_answer_over_http2_has_no_fields_about_the_connection() {
    let answer = "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
                  X-Stays: 1\r\nContent-Length: 2\r\n\r\n{}";
    let smh = Canned::start(answer.as_bytes().to_vec(), false).await;
    let gateway = Gateway::start(smh.address).await;
    let stream = TcpStream::connect(gateway.address()).await.unwrap();
    let (sender, driver) = h2::client::handshake(stream).await.unwrap();
    let ask = |target: &str| {
        let request = http::Request::delete(format!("http://gateway{target}"));
        request.header("x-api-key", KEY).body(()).unwrap()
    };
    let answers = async {
        let mut sender = sender.ready().await.unwrap();
        let (relayed, _) = sender.send_request(ask("/v1/files/t1/a"), true).unwrap();
        let relayed = relayed.await.unwrap();
        let mut sender = sender.ready().await.unwrap();
        // A refusal that ends an HTTP/1.1 connection ends no HTTP/2 connection.
        let long = "x".repeat(9000);
        let (refused, _) = sender.send_request(ask(&format!("/v1/files/t1/{long}")), true).unwrap();
        (relayed, refused.await.unwrap())
    };
    let (relayed, refused) = tokio::select! {
        answers = answers => answers,
        _ = driver => panic!("the connection ended"),
    };
    assert_eq!((relayed.status().as_u16(), refused.status().as_u16()), (200, 414));
    assert_eq!(relayed.headers()["x-stays"], "1");
    for headers in [relayed.headers(), refused.headers()] {
        for name in ["connection", "x-hop", "keep-alive", "transfer-encoding"] {
            assert!(!headers.contains_key(name), "{name}");
        }
    }
}
