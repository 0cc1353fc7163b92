//! HTTP/1.1, and 1.0, at their edges.

use tokio::io::AsyncWriteExt;

use super::*;
use crate::support::{KEY, Kept, LIBRARY, SPACE, request};

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
