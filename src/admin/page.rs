//! `GET /`: the status page. One answer holds all of it, and its policy lets nothing else run: what a caller sent
//! is shown as text, and could do nothing if it were not.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_SECURITY_POLICY, HeaderMap, HeaderValue, REFERRER_POLICY};
use http::{Response, StatusCode};
use sha2::{Digest, Sha256};

use crate::admin;

/// The page as it is sent, and what a browser may run of it.
struct Page {
    html: Bytes,
    policy: HeaderValue,
}

/// The page, with what keeps it to itself.
pub(super) fn answer() -> Response<Bytes> {
    let mut response = admin::body(StatusCode::OK, "text/html; charset=utf-8", PAGE.html.clone());
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, PAGE.policy.clone());
    headers.insert("x-frame-options", HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    response
}

/// Whether plain text is asked for, as people do who have no browser at hand.
pub(super) fn wants_text(headers: &HeaderMap) -> bool {
    let accept = headers.get(http::header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/plain") && !accept.contains("text/html"))
}

static PAGE: LazyLock<Page> = LazyLock::new(|| {
    let (style, script) = (include_str!("page/style.css"), SCRIPT.concat());
    let html =
        include_str!("page/page.html").replace("/*STYLE*/", style).replace("/*SCRIPT*/", &script);
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
        hash(&script),
        hash(style),
    );
    // Words and Base64: it is a field value. Without one nothing would be shown, and the tests would say so.
    let policy = HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("sandbox"));
    Page { html: html.into(), policy }
});

/// One script, in the order in which its parts use each other.
const SCRIPT: [&str; 5] = [
    include_str!("page/text.js"),
    include_str!("page/chart.js"),
    include_str!("page/health.js"),
    include_str!("page/tables.js"),
    include_str!("page/live.js"),
];
