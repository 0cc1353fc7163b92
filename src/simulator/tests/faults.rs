//! Each fault over a real socket: what its client sees, and whether the delete took effect.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::*;
use crate::simulator::{Answered, Fault, Injection, Matcher, RouteKind};

const DELETE: &str = "/api/v1/file/smhlib/space1/hello.txt?access_token=delete_file";

/// One delete with this fault: what came back, and whether the file is gone.
async fn suffer(fault: Fault) -> (Option<Raw>, bool) {
    let simulator = photos();
    simulator.inject(Injection::once(fault));
    let served = serve(&simulator).await;
    let raw = served.ask("DELETE", DELETE).await;
    (raw, is_gone(&simulator))
}

fn is_gone(simulator: &Simulator) -> bool {
    !simulator.files("smhlib", "space1").contains(&"hello.txt".to_owned())
}

#[tokio::test]
async fn a_fault_that_answers_instead_spares_the_file() {
    let error = |code: &str| format!("\"code\":\"{code}\"");
    let custom = || (418, "Teapot".to_owned());
    for (fault, status, part) in [
        (Fault::InvalidAccessToken, "403 Forbidden", error("InvalidAccessToken")),
        (Fault::AccessTokenVersionNotMatch, "403 Forbidden", error("AccessTokenVersionNotMatch")),
        (Fault::PlainForbidden, "403 Forbidden", "Forbidden".to_owned()),
        (Fault::RateLimited, "429 Too Many Requests", error("RateLimitExceeded")),
        (Fault::InternalServerError, "500 Internal Server Error", error("InternalServerError")),
        (Fault::ServerOverloaded, "503 Service Unavailable", error("ServerOverloaded")),
        (Fault::BadGatewayHtml, "502 Bad Gateway", "<h1>502 Bad Gateway</h1>".to_owned()),
        (Fault::GatewayTimeoutHtml, "504 Gateway Timeout", "<h1>504 Gateway".to_owned()),
        (Fault::PathConflict, "409 Conflict", error("PathConflict")),
        (Fault::LibraryServiceExpired, "403 Forbidden", error("LibraryServiceExpired")),
        (
            Fault::Error { status: custom().0, code: custom().1 },
            "418 I'm a teapot",
            error("Teapot"),
        ),
        (
            Fault::Error { status: 99, code: custom().1 },
            "500 Internal Server Error",
            error("Teapot"),
        ),
        (Fault::NotJson, "200 OK", "<html>".to_owned()),
        (Fault::MissingFields, "200 OK", "{}".to_owned()),
    ] {
        let (raw, is_gone) = suffer(fault.clone()).await;
        let raw = raw.unwrap();
        assert_eq!(raw.status_line, format!("HTTP/1.1 {status}"), "{fault:?}");
        assert!(raw.body.contains(&part), "{fault:?}: {}", raw.body);
        assert!(!raw.names().contains(&"Retry-After"), "{fault:?}");
        assert!(!is_gone, "{fault:?}");
    }
}

#[tokio::test]
async fn a_bare_error_has_no_qualifier_and_no_revision() {
    let fault = Fault::BareError { status: 403, code: "SpaceBanned".to_owned() };

    let raw = suffer(fault).await.0.unwrap();

    assert!(
        raw.body.starts_with(r#"{"status":403,"code":"SpaceBanned","message":"Space banned.""#)
    );
    assert!(!raw.body.contains("qualifier") && !raw.body.contains("revision"));
}

#[tokio::test]
async fn a_plain_forbidden_is_text_and_nothing_else() {
    let raw = suffer(Fault::PlainForbidden).await.0.unwrap();

    assert_eq!(raw.body, "Forbidden");
    assert_eq!(raw.field("Content-Type"), "text/plain; charset=utf-8");
}

#[tokio::test]
async fn a_timeout_in_front_of_smh_may_hide_a_delete() {
    let (raw, is_gone) = suffer(Fault::GatewayTimeoutAfterActing).await;

    assert_eq!(raw.unwrap().status_line, "HTTP/1.1 504 Gateway Timeout");
    assert!(is_gone);
}

#[tokio::test]
async fn a_connection_is_cut_before_or_after_the_delete() {
    for (fault, expected) in [(Fault::CutBeforeActing, false), (Fault::CutAfterActing, true)] {
        let simulator = photos();
        simulator.inject(Injection::once(fault));
        let served = serve(&simulator).await;

        assert!(served.ask("DELETE", DELETE).await.is_none());

        assert_eq!(is_gone(&simulator), expected);
        let received = simulator.received();
        assert_eq!(received[0].answered, Answered::Cut);
        assert_eq!(received[0].effects.len(), usize::from(expected));
    }
}

#[tokio::test]
async fn an_answer_is_cut_in_the_middle_of_its_body() {
    let simulator = photos();
    simulator.inject(Injection::once(Fault::CutMidBody));
    let served = serve(&simulator).await;

    let raw = served.ask("DELETE", DELETE).await.unwrap();

    assert_eq!(raw.status_line, "HTTP/1.1 200 OK");
    assert_eq!(raw.field("Content-Length"), "20");
    assert_eq!(raw.body, r#"{"recycled"#);
    assert!(is_gone(&simulator));
    assert_eq!(simulator.received()[0].answered, Answered::Partly(200));
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_comes_late_but_the_delete_is_done_at_once() {
    let simulator = photos();
    simulator.inject(Injection::once(Fault::Slow(Duration::from_secs(3600))));
    let served = serve(&simulator).await;
    let asked = Instant::now();

    let early = timeout(Duration::from_secs(10), served.ask("DELETE", DELETE)).await;

    assert!(early.is_err());
    assert!(is_gone(&simulator));
    assert_eq!(simulator.received()[0].answered, Answered::Nothing);
    simulator.inject(Injection::once(Fault::Slow(Duration::from_secs(3600))));
    assert!(served.ask("DELETE", DELETE).await.is_some());
    assert!(asked.elapsed() >= Duration::from_secs(3610));
}

#[tokio::test(start_paused = true)]
async fn a_hanging_request_is_never_answered_and_may_have_taken_effect() {
    for (fault, expected) in [(Fault::HangBeforeActing, false), (Fault::HangAfterActing, true)] {
        let simulator = photos();
        simulator.inject(Injection::once(fault));
        let served = serve(&simulator).await;

        let answer = timeout(Duration::from_secs(86_400), served.ask("DELETE", DELETE)).await;

        assert!(answer.is_err());
        assert_eq!(simulator.received()[0].answered, Answered::Nothing);
        assert_eq!(is_gone(&simulator), expected);
    }
}

#[tokio::test]
async fn an_answer_may_have_fields_that_no_document_knows() {
    let (raw, is_gone) = suffer(Fault::ExtraFields).await;

    let body = raw.unwrap().body;
    assert!(body.starts_with(r#"{"recycledItemId":1,"storageClass""#), "{body}");
    assert!(serde_json::from_str::<Value>(&body).is_ok());
    assert!(is_gone);
}

#[tokio::test]
async fn recycled_ids_may_exceed_what_a_double_holds() {
    let (raw, is_gone) = suffer(Fault::LargeRecycledItemId).await;

    assert_eq!(raw.unwrap().body, r#"{"recycledItemId":9007199254740993}"#);
    assert!(is_gone);
}

#[tokio::test]
async fn a_redirect_would_carry_the_token_elsewhere() {
    let to = || "http://127.0.0.1:9".to_owned();
    let (raw, is_gone) = suffer(Fault::Redirect { to: to() }).await;

    let raw = raw.unwrap();
    assert_eq!(raw.status_line, "HTTP/1.1 302 Found");
    assert_eq!(raw.field("Location"), format!("http://127.0.0.1:9{DELETE}"));
    assert!(!is_gone);

    let simulator = photos();
    simulator.inject(Injection::once(Fault::Redirect { to: to() }));
    let served = serve(&simulator).await;
    let request = b"DELETE /api/v1/file/smhlib/space1/hello.txt HTTP/1.1\r\nHost: h\r\n\
        Authorization: Bearer delete_file\r\n\r\n";
    let raw = served.send(request).await.unwrap();
    assert!(raw.field("Location").ends_with("/hello.txt?access_token=delete_file"));
}

#[tokio::test]
async fn an_answer_may_echo_the_token() {
    let (in_body, is_gone) = suffer(Fault::EchoTokenInBody).await;
    assert_eq!(in_body.unwrap().body, r#"{"recycledItemId":1,"debug":"delete_file"}"#);
    assert!(is_gone);

    let (in_header, is_gone) = suffer(Fault::EchoTokenInHeader).await;
    assert_eq!(in_header.unwrap().field("X-Smh-Debug"), "delete_file");
    assert!(is_gone);
}

#[tokio::test]
async fn a_body_may_be_huge() {
    let raw = suffer(Fault::HugeBody { bytes: 1_000_000 }).await.0.unwrap();

    assert_eq!(raw.field("Content-Length"), "1000000");
    assert_eq!(raw.body.len(), 1_000_000);
}

#[tokio::test]
async fn a_mint_may_claim_an_absurd_life() {
    let simulator = photos();
    simulator.inject(Injection::once(Fault::ExpiresIn(-1)));
    let served = serve(&simulator).await;
    let mint = "/api/v1/token?library_id=smhlib&library_secret=the-secret";

    served.ask("DELETE", DELETE).await.unwrap();
    let raw = served.ask("GET", mint).await.unwrap();

    let body: Value = serde_json::from_str(&raw.body).unwrap();
    assert_eq!(body["expiresIn"], -1);
    let value = body["accessToken"].as_str().unwrap();
    let live = simulator.live_tokens();
    let token = live.iter().find(|token| token.value == value).unwrap();
    assert_eq!(token.period.as_secs(), 86_400);
}

#[tokio::test]
async fn a_fault_for_mints_lets_deletes_pass_and_can_be_taken_back() {
    let simulator = photos();
    let mints = Matcher::route(RouteKind::IssueToken);
    simulator.inject(Injection::forever(Fault::NotJson).when(mints));
    let served = serve(&simulator).await;
    let mint = "/api/v1/token?library_id=smhlib&library_secret=the-secret";

    assert!(served.ask("DELETE", DELETE).await.unwrap().body.contains("recycledItemId"));
    assert!(served.ask("GET", mint).await.unwrap().body.contains("<html>"));
    assert!(served.ask("POST", mint).await.unwrap().body.contains("<html>"));
    simulator.clear_faults();
    assert!(served.ask("GET", mint).await.unwrap().body.contains("accessToken"));
}
