//! SMH's answers come out as they went in, or not at all.

use serde_json::Value;

use crate::support::{Canned, Gateway, KEY, TOKEN, request};

const PERMANENT: &str =
    "permanent_deletes: by_rule\nrules:\n  - { name: all, allow_permanent: {} }\n";

/// The exchanges that SMH publishes, answered by bytes: what comes out must be what went in.
#[tokio::test]
async fn the_published_exchanges_pass_byte_for_byte() {
    let exchanges: Vec<Value> =
        serde_json::from_str(include_str!("../fixtures/exchanges.json")).unwrap();
    assert_eq!(exchanges.len(), 4);
    for exchange in exchanges {
        let text = |name: &str| exchange[name].as_str().unwrap().to_owned();
        let smh = Canned::start(text("answer").into_bytes(), false).await;
        let gateway = Gateway::with_policy(PERMANENT, smh.address).await;
        let answer = gateway.delete(&text("target")).await;
        let mut bytes = format!("{}\r\n\r\n", answer.head).into_bytes();
        bytes.extend_from_slice(&answer.body);
        assert_eq!(String::from_utf8(bytes).unwrap(), text("answer"), "{}", text("name"));

        let asked = smh.asked();
        assert_eq!(asked.len(), 1, "{}", text("name"));
        let line = format!("DELETE {} HTTP/1.1", text("smh_target").replace("TOKEN", TOKEN));
        assert_eq!(asked[0].lines().next(), Some(&*line), "{}", text("name"));
    }
}

#[tokio::test]
async fn smh_sees_nothing_that_the_gateway_did_not_write_itself() {
    let smh = Canned::start(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(), false).await;
    let gateway = Gateway::start(smh.address).await;
    let fields = [
        "User-Agent: secret-agent",
        "Cookie: a=b",
        "X-Forwarded-For: 10.0.0.1",
        "X-Request-Id: mine",
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "Accept: text/html",
        "Proxy-Authorization: Basic YTpi",
        "Content-Length: 0",
    ];
    let answer = gateway.send(&request("/v1/files/t1/x", &fields)).await;
    assert_eq!(answer.status(), 204);
    let wanted = format!(
        "DELETE /api/v1/file/smhxxx/spacexxx/x?permanent=0&access_token={TOKEN} HTTP/1.1\r\n\
         host: {}\r\nuser-agent: smh-gateway\r\naccept: */*\r\naccept-encoding: identity\r\n\r\n",
        smh.address
    );
    assert_eq!(smh.asked(), [wanted]);
}

#[tokio::test]
async fn a_token_may_travel_in_a_header_field() {
    let smh = Canned::start(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(), false).await;
    let yaml =
        crate::support::GATEWAY_YAML.replace("  timeout: 3s", "  timeout: 3s\n  token_in: header");
    let gateway = Gateway::with(&yaml, None, smh.address).await;
    assert_eq!(gateway.delete("/v1/files/t1/x").await.status(), 204);
    let asked = smh.asked().remove(0);
    assert!(asked.starts_with("DELETE /api/v1/file/smhxxx/spacexxx/x?permanent=0 HTTP/1.1\r\n"));
    assert!(asked.contains(&format!("authorization: Bearer {TOKEN}\r\n")), "{asked}");
}

#[tokio::test]
async fn fields_about_the_connection_end_there_and_all_others_keep_their_order_and_case() {
    let answer =
        b"HTTP/1.1 200 OK\r\nServer: nginx\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n\
        Keep-Alive: timeout=5\r\nx-lower: 1\r\nX-UPPER: 2\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\
        Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    let smh = Canned::start(answer.to_vec(), false).await;
    let gateway = Gateway::start(smh.address).await;
    let answer = gateway.delete("/v1/files/t1/x").await;
    assert_eq!(
        answer.head,
        "HTTP/1.1 200 OK\r\nServer: nginx\r\nx-lower: 1\r\nX-UPPER: 2\r\nSet-Cookie: a\r\n\
         Set-Cookie: b\r\ncontent-length: 2"
    );
    assert_eq!(answer.body, b"{}");
}

#[tokio::test]
async fn every_other_answer_of_smhs_is_relayed_as_it_came() {
    for head in [
        "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 28\r\n\r\n{\"code\":\"RateLimitExceeded\"}",
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 23\r\n\r\n{\"code\":\"NoPermission\"}",
        "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
        "HTTP/1.1 409 Such A Conflict\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 599 Unheard Of\r\nContent-Length: 2\r\n\r\n{}",
    ] {
        let smh = Canned::start(head.as_bytes().to_vec(), false).await;
        let gateway = Gateway::start(smh.address).await;
        let answer = gateway.delete("/v1/files/t1/x").await;
        let body = String::from_utf8(answer.body.clone()).unwrap();
        assert_eq!(format!("{}\r\n\r\n{body}", answer.head), head);
        assert_eq!(smh.asked().len(), 1, "{head}");
    }
}

#[tokio::test]
async fn what_must_not_pass_does_not() {
    let echo = format!("HTTP/1.1 500 Oops\r\nContent-Length: {}\r\n\r\n{TOKEN}", TOKEN.len());
    let in_field =
        format!("HTTP/1.1 200 OK\r\nX-Echo: ?t={TOKEN}\r\nContent-Length: 2\r\n\r\n{{}}");
    let large =
        format!("HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n{}", "x".repeat(2_000_000));
    for (answer, code, outcome) in [
        (
            "HTTP/1.1 302 Found\r\nLocation: http://x/\r\nContent-Length: 0\r\n\r\n",
            "UpstreamRedirected",
            "unknown",
        ),
        (&*echo, "UpstreamProtocolError", "unknown"),
        (&*in_field, "UpstreamProtocolError", "unknown"),
        (&*large, "UpstreamProtocolError", "unknown"),
        // Where it ends is where the connection does, so half of it would look whole.
        ("HTTP/1.1 200 OK\r\n\r\n{\"recyc", "UpstreamProtocolError", "unknown"),
        ("HTTP/1.0 404 Not Found\r\n\r\n{\"co", "UpstreamProtocolError", "unknown"),
        ("SSH-2.0-OpenSSH_9\r\n\r\n", "UpstreamProtocolError", "unknown"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", "UpstreamProtocolError", "unknown"),
        (
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
            "UpstreamProtocolError",
            "unknown",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
            "UpstreamProtocolError",
            "unknown",
        ),
        ("", "UpstreamProtocolError", "unknown"),
        (
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nForbidden",
            "UpstreamCredentialRejected",
            "not_sent",
        ),
    ] {
        let smh = Canned::start(answer.as_bytes().to_vec(), true).await;
        let gateway = Gateway::start(smh.address).await;
        let got = gateway.delete("/v1/files/t1/x").await;
        let what = answer.lines().next();
        assert_eq!((got.status(), got.code().as_str()), (502, code), "{what:?}");
        assert_eq!(got.outcome(), outcome, "{what:?}");
        assert!(!String::from_utf8_lossy(&got.body).contains(TOKEN), "{what:?}");
        assert!(!got.head.contains(TOKEN) && !got.head.contains("Location"), "{what:?}");
        assert_eq!(smh.asked().len(), 1, "{what:?}: a delete is sent once");
        assert!(!smh.asked()[0].contains(KEY), "{what:?}");
    }
}

#[tokio::test]
async fn a_404_that_is_not_about_the_file_is_flagged() {
    for (body, flagged) in [
        ("{\"code\":\"FileNotFound\"}", false),
        ("{\"code\":\"DirectoryNotFound\"}", false),
        ("{\"code\":\"SpaceNotFound\"}", true),
        ("{\"code\":\"SomethingNew\"}", true),
        ("<html>404</html>", true),
        ("", true),
    ] {
        let head = format!("HTTP/1.1 404 Not Found\r\nContent-Length: {}\r\n\r\n", body.len());
        let smh = Canned::start(format!("{head}{body}").into_bytes(), false).await;
        let gateway = Gateway::start(smh.address).await;
        let answer = gateway.delete("/v1/files/t1/x").await;
        assert_eq!((answer.status(), answer.body.as_slice()), (404, body.as_bytes()));
        let line = gateway.stop().await.remove(0);
        assert_eq!(line["misdirected"], if flagged { true.into() } else { Value::Null }, "{body}");
    }
}
