//! Requests over HTTP/2.

use serde_json::Value;
use tokio::net::TcpStream;

use super::frames::{
    END_HEADERS, END_STREAM, Frames, PREFACE, Told, WHOLE, block, changed, delete_of, frame,
    integer, kind,
};
use super::*;
use crate::support::{Canned, Gateway, KEY, LIBRARY, SPACE};

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
