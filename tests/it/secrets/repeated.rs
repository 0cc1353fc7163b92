//! An SMH that repeats the token.

use super::*;
use crate::support::{Canned, Gateway, KEY, TOKEN};

/// An SMH that repeats the token wherever it can. What it says of itself is kept in the log.
#[tokio::test]
async fn a_token_that_smh_repeats_is_neither_relayed_nor_logged() {
    let json = format!("{{\"code\":\"{TOKEN}\",\"message\":\"x\"}}");
    let rejected = "{\"code\":\"InvalidAccessToken\",\"message\":\"x\"}";
    let length = |body: &str| format!("Content-Length: {}\r\n\r\n{body}", body.len());
    for answer in [
        format!("HTTP/1.1 200 OK\r\nX-Request-Id: {TOKEN}\r\n{}", length("{}")),
        format!("HTTP/1.1 404 Not Found\r\nX-Request-Id: t={TOKEN}\r\n{}", length("{}")),
        format!("HTTP/1.1 400 Bad Request\r\n{}", length(&json)),
        format!("HTTP/1.1 400 Bad {TOKEN}\r\n{}", length("{}")),
        format!("HTTP/1.1 400 Bad Request\r\nX-{TOKEN}: 1\r\n{}", length("{}")),
        format!("HTTP/1.1 403 Forbidden\r\nX-Request-Id: {TOKEN}\r\n{}", length(rejected)),
        format!(
            "HTTP/1.1 302 Found\r\nX-Request-Id: {TOKEN}\r\nLocation: /?{TOKEN}\r\n{}",
            length("")
        ),
        format!("HTTP/1.1 {TOKEN}\r\n{}", length("")),
        format!("{TOKEN}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\n{TOKEN}\r\n{}", length("{}")),
        format!("HTTP/1.1 200 OK\r\nContent-Length: {TOKEN}\r\n\r\n{{}}"),
    ] {
        let what = answer.replace(TOKEN, "TOKEN");
        let smh = Canned::start(answer.into_bytes(), true).await;
        let gateway = Gateway::start(smh.address).await;
        let got = gateway.delete("/v1/files/t1/x").await;
        assert_eq!(got.status(), 502, "{what}: {}", got.head.replace(TOKEN, "TOKEN"));
        let mut seen = Seen::default();
        seen.add(format!("the head for {what}"), got.head);
        seen.add(format!("the body for {what}"), got.body);
        let log = gateway.log.clone();
        assert_eq!(gateway.stop().await.len(), 1, "{what}");
        seen.add(format!("the log for {what}"), log.text());
        seen.hold_none_of(&[TOKEN, KEY]);
    }
}
