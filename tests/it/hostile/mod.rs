//! Hostile bytes in either version of HTTP, and callers that hang up.
//!
//! HTTP/2 is spoken frame by frame here: a library would not write what must be refused.

/// What one server reads in one way and the next in another.
mod smuggling;
/// HTTP/1.1, and 1.0, at their edges.
mod http1;
/// A caller that speaks HTTP/2 frame by frame.
pub(crate) mod frames;
/// Requests over HTTP/2.
mod http2;
/// Many streams of one HTTP/2 connection, and frames out of place.
mod streams;
/// Floods of frames, and answers that are not taken.
mod floods;

use std::time::Duration;

use crate::support::{Answer, Gateway, Smh, request};

/// Longer than any deadline that a test sets; where this ends a test, something hung.
const PATIENCE: Duration = Duration::from_secs(60);

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

fn assert_refused(answer: &Answer, status: u16, code: &str, what: &str) {
    assert_eq!((answer.status(), answer.code().as_str()), (status, code), "{what:?}");
    assert_eq!(answer.outcome(), "not_sent", "{what:?}");
    assert_eq!(answer.field("content-type"), Some("application/problem+json"), "{what:?}");
    assert_eq!(answer.json()["requestId"], answer.field("x-request-id").unwrap(), "{what:?}");
}
