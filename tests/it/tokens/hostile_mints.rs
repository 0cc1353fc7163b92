//! Answers to a mint that are none.

use std::time::Duration;

use smh_gateway::simulator::{Fault, Injection, Matcher, RouteKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::support::Canned;
use crate::support::ports;

const LEAK: &str = "sentinelofthemint";

/// A delete is refused in time, nothing is sent, and nobody learns what was answered.
async fn refuses(gateway: Gateway, what: &str) {
    let began = std::time::Instant::now();
    let answer = delete(&gateway, "/v1/files/t1/a").await;
    assert_eq!((answer.status(), answer.code().as_str()), (503, "TokenUnavailable"), "{what}");
    assert_eq!(answer.outcome(), "not_sent", "{what}");
    assert!(began.elapsed() < Duration::from_secs(4), "{what}: {:?}", began.elapsed());
    assert!(!String::from_utf8_lossy(&answer.body).contains(LEAK), "{what}");
    for path in ["/api/status", "/metrics"] {
        let shown = String::from_utf8(gateway.admin(path).await.body).unwrap();
        assert!(!shown.contains(LEAK), "{what}: {shown}");
    }
    let log = gateway.log.clone();
    gateway.stop().await;
    assert!(!log.text().contains(LEAK), "{what}: {}", log.text());
    assert!(log_of_events().with(&[LEAK]).is_empty(), "{what}");
}

#[tokio::test]
async fn what_is_no_token_and_lifetime_is_refused() {
    let body = |token: &str, life: &str| {
        format!("{{\"accessToken\":\"{LEAK}{token}\",\"expiresIn\":{life}}}")
    };
    for body in [
        String::new(),
        format!("<html>{LEAK}</html>"),
        format!("{{\"accessToken\":\"{LEAK}\"}}"),
        format!("{{\"expiresIn\":7200,\"{LEAK}\":1}}"),
        format!("[\"{LEAK}\",7200]"),
        format!("{{\"accessToken\":[\"{LEAK}\"],\"expiresIn\":7200}}"),
        body("", "0"),
        body("", "-1"),
        body("", "315360001"),
        body("", "18446744073709551615"),
        body("", "1e30"),
        body("", "\"7200\""),
        body("\\u0000", "7200"),
        body(" and more", "7200"),
        body("\\r\\nHost: x", "7200"),
        body(&"x".repeat(5000), "7200"),
    ] {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        let smh = Canned::start(format!("{head}{body}").into_bytes(), true).await;
        refuses(start(smh.address).await, &body).await;
        assert!(smh.asked().iter().all(|asked| asked.starts_with("GET ")), "{body}");
    }
}

#[tokio::test]
async fn what_is_no_answer_is_refused() {
    for answer in [
        format!("SSH-2.0-{LEAK}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{LEAK}"),
        format!(
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/{LEAK}\r\nContent-Length: 0\r\n\r\n"
        ),
        format!("HTTP/1.1 307 Again\r\nLocation: /{LEAK}\r\nContent-Length: 0\r\n\r\n"),
        format!("HTTP/1.1 500 {LEAK}\r\nContent-Length: 0\r\n\r\n"),
        format!(
            "HTTP/1.1 201 Created\r\nContent-Length: 54\r\n\r\n\
             {{\"accessToken\":\"{LEAK}abcdef\",\"expiresIn\":7200}}"
        ),
        String::new(),
    ] {
        let smh = Canned::start(answer.clone().into_bytes(), true).await;
        refuses(start(smh.address).await, &answer).await;
        assert!(smh.asked().iter().all(|asked| asked.starts_with("GET /api/v1/token?")));
    }
}

#[tokio::test]
async fn a_redirect_of_a_mint_is_not_followed() {
    let (smh, elsewhere) = (Smh::start().await.with_file("a"), Smh::start().await);
    let to = format!("http://{}", elsewhere.address);
    let redirect = Injection::forever(Fault::Redirect { to });
    smh.simulator.inject(redirect.when(Matcher::route(RouteKind::IssueToken)));
    refuses(start(smh.address).await, "a redirect").await;
    assert_eq!(elsewhere.received().len(), 0, "the secret goes nowhere else");
    assert_eq!(deletes(&smh).len(), 0);
}

#[tokio::test]
async fn an_answer_of_a_hundred_mebibytes_is_not_read() {
    let smh = Smh::start().await.with_file("a");
    let huge = Injection::forever(Fault::HugeBody { bytes: 100 << 20 });
    smh.simulator.inject(huge.when(Matcher::route(RouteKind::IssueToken)));
    refuses(start(smh.address).await, "100 MiB").await;
    assert_eq!(deletes(&smh).len(), 0);
    assert_eq!(smh.files(), ["a"]);
}

#[tokio::test]
async fn a_mint_that_hangs_holds_a_delete_up_for_its_deadline_alone() {
    let smh = Smh::start().await.with_file("a");
    let hang = Injection::forever(Fault::HangBeforeActing);
    smh.simulator.inject(hang.when(Matcher::route(RouteKind::IssueToken)));
    refuses(start(smh.address).await, "it hangs").await;
    assert_eq!(deletes(&smh).len(), 0);
    assert_eq!(smh.files(), ["a"]);
}

#[tokio::test]
async fn a_mint_that_hangs_is_given_up_and_tried_again() {
    let smh = Smh::start().await.with_file("a");
    let hang = Injection::times(Fault::HangBeforeActing, 3);
    smh.simulator.inject(hang.when(Matcher::route(RouteKind::IssueToken)));
    let gateway = start(smh.address).await;
    until("all three hang", async || mints(&smh).len() == 3).await;
    pass(Duration::from_secs(5)).await;
    until("the hanging ones are given up", async || {
        status_of(&gateway, "app", "t1").await["last_error"] == "timeout"
    })
    .await;
    until_deleted(&gateway, "/v1/files/t1/a").await;
}

/// Sends an answer byte by byte, so many milliseconds apart; the last one again and again.
async fn trickle(answer: String, pause: Duration) -> (SocketAddr, JoinSet<()>) {
    let listener = ports::listen();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = answer.clone();
            connections.spawn(async move {
                let mut read = Vec::new();
                while !read.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                for byte in answer.into_bytes() {
                    if stream.write_all(&[byte]).await.is_err() {
                        return;
                    }
                    sleep(pause).await;
                }
            });
        }
    });
    (address, tasks)
}

#[tokio::test]
async fn an_answer_in_pieces_is_taken_when_it_is_whole() {
    let body = "{\"accessToken\":\"acctkinpieces\",\"expiresIn\":7200}";
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    let (address, _tasks) = trickle(format!("{head}{body}"), Duration::from_millis(5)).await;
    let gateway = start(address).await;
    until_ready(&gateway).await;
    assert!(status_of(&gateway, "app", "t1").await["age_seconds"].is_u64());
}

#[tokio::test]
async fn an_answer_that_never_gets_whole_is_given_up() {
    let body = format!("{{\"accessToken\":\"{LEAK}\",\"expiresIn\":7200}}");
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len() + 1000);
    let pieces = format!("{head}{body}{}", " ".repeat(1000));
    let (address, _tasks) = trickle(pieces, Duration::from_millis(100)).await;
    refuses(start(address).await, "byte by byte").await;
}

/// A lifetime is only a lower bound, and SMH may say anything.
#[tokio::test]
async fn the_shortest_lifetime_causes_no_storm_of_mints() {
    let smh = with_files(Smh::start().await, 100);
    let short = Injection::forever(Fault::ExpiresIn(1));
    smh.simulator.inject(short.when(Matcher::route(RouteKind::IssueToken)));
    let gateway = start(smh.address).await;
    let began = std::time::Instant::now();
    let mut told = 0;
    while began.elapsed() < Duration::from_secs(3) {
        told += burst(&gateway, 100).await.iter().filter(|a| a.status() == 200).count();
    }
    assert_eq!(told, 100);
    let of_app =
        mints(&smh).iter().filter(|m| m["user_id"] == "app" && m["space_id"] == SPACE).count();
    assert!(of_app <= 6, "one a second: {of_app}");
}
