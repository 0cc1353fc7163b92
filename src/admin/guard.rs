//! Whose browser asks. A page of somebody else's must not read these through the browser of an operator:
//! neither by asking from where it is, nor by a name of its own that it had resolved to this address
//! (DNS rebinding).

use std::net::IpAddr;

use http::header::{HOST, HeaderMap, HeaderValue, ORIGIN};
use http::{Method, Request, StatusCode};

/// Why a request is not answered.
pub(super) type Refused = (StatusCode, &'static str);

/// Looks at what browsers say of a request, and at the name that it was asked by. Whoever is no browser says
/// nothing that is looked at but `Host`; probes and scrapers may use any.
pub(super) fn check<B>(request: &Request<B>) -> Result<(), Refused> {
    let headers = request.headers();
    let hosts = headers.get_all(HOST).iter();
    if !hosts.map(text).all(is_ours) {
        return Err((
            StatusCode::MISDIRECTED_REQUEST,
            "ask by an address, by `localhost`, or by a name that is not public: another could be \
             pointed here by a stranger\n",
        ));
    }
    if is_foreign(headers) && !is_visit(request) {
        return Err((StatusCode::FORBIDDEN, "this is not for pages of other origins\n"));
    }
    Ok(())
}

/// An address, or a name that nobody can register. `host` may have a port.
fn is_ours(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        // An IPv6 address stands in brackets, and has colons of its own.
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    if bare.parse::<IpAddr>().is_ok() {
        return true;
    }
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let is_below =
        |of: &str| name.strip_suffix(of).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'));
    !name.is_empty() && (!name.contains('.') || NOT_PUBLIC.into_iter().any(is_below))
}

/// Whether a page of another origin had it sent.
fn is_foreign(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(text);
    let from = headers.get(ORIGIN).map(text);
    let is_elsewhere = |from: &str| {
        let authority = from.strip_prefix("http://").or_else(|| from.strip_prefix("https://"));
        authority.is_none() || authority != headers.get(HOST).map(text)
    };
    site.is_some_and(|site| !matches!(site, "same-origin" | "none"))
        || from.is_some_and(is_elsewhere)
}

/// A link that was followed: it shows a page, and tells nobody else what is on it.
fn is_visit<B>(request: &Request<B>) -> bool {
    let says = |name: &str, value: &str| request.headers().get(name).map(text) == Some(value);
    *request.method() == Method::GET
        && says("sec-fetch-mode", "navigate")
        && says("sec-fetch-dest", "document")
}

fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or_default()
}

/// What ends the names inside of a machine (RFC 6761) or a cluster. Not `local`, which anybody on the same network can
/// announce (RFC 6762), and not `internal`, which clouds give out.
const NOT_PUBLIC: [&str; 3] = ["localhost", "svc", "svc.cluster.local"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_stranger_can_register_are_told_from_others() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:9901",
            "10.1.2.3:9901",
            "[::1]",
            "[::1]:9901",
            "localhost:1",
            "LOCALHOST",
            "localhost.",
            "gateway",
            "gateway:9901",
            "gw.media.svc:9901",
            "gw.media.svc.cluster.local",
            "a.localhost",
        ] {
            assert!(is_ours(host), "{host}");
        }
        for host in [
            "",
            ":9901",
            "evil.example",
            "evil.example:9901",
            "127.0.0.1.evil.example",
            "localhost.evil.example:9901",
            "evil.example.",
            "svc.evil.example",
            "evil.local",
            "evil.internal",
            "evil.test",
            "evilsvc.cluster.local",
            ".svc",
        ] {
            assert!(!is_ours(host), "{host}");
        }
    }
}
