//! `POST /quitquitquit`: for a sidecar whose cluster does not end it with the containers beside it.

use bytes::Bytes;
use http::header::{ALLOW, HeaderValue, ORIGIN};
use http::{Method, Request, Response, StatusCode};

use crate::admin::text;
use crate::gateway::Gateway;

pub(super) const PATH: &str = "/quitquitquit";

/// Where `admin.allow_quit` is true; elsewhere there is no such page.
pub(super) fn answer<B>(request: &Request<B>, gateway: &Gateway) -> Response<Bytes> {
    if *request.method() != Method::POST {
        let mut response =
            text(StatusCode::METHOD_NOT_ALLOWED, "see Allow for the method to use\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    if is_of_a_page(request) {
        return text(StatusCode::FORBIDDEN, "a page in a browser may not end the gateway\n");
    }
    gateway.tell_to_leave();
    text(StatusCode::OK, "leaving\n")
}

/// A form or script anywhere may make a browser send a POST here, unasked, where its user reaches this
/// listener. Every browser adds one of these to a POST, and no script can leave them out.
fn is_of_a_page<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    headers.contains_key(ORIGIN) || headers.contains_key("sec-fetch-site")
}
