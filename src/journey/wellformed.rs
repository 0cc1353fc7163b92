//! What must hold of a request before anything of it is believed, in either version of HTTP.
//!
//! The bytes of an HTTP/1 head were vetted by [`crate::server`] before hyper saw them; what is left
//! is what the parsed request says.

use std::time::Duration;

use http::header::HOST;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, Uri, Version};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use crate::header_fields;
use crate::refusal::{HeadExcess, MAX_FIELDS, MAX_TARGET_BYTES, Refusal, RequestFault};

/// Whether the caller only wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intent {
    Delete,
    /// `X-Dry-Run: 1`.
    DryRun,
}

/// # Errors
/// [`Refusal::InvalidRequest`], [`Refusal::TargetTooLong`], [`Refusal::HeadersTooLarge`].
pub(super) fn head(request: &Parts) -> Result<Intent, Refusal> {
    if request.headers.len() > MAX_FIELDS {
        return Err(Refusal::HeadersTooLarge(HeadExcess::Fields));
    }
    if target_bytes(&request.uri) > MAX_TARGET_BYTES {
        return Err(Refusal::TargetTooLong);
    }
    let host = host(&request.headers)?;
    match request.version {
        Version::HTTP_2 => http2(&request.uri, host)?,
        _ => http1(&request.uri, host)?,
    }
    intent(&request.headers)
}

/// A delete has no body. `Some`: over HTTP/2 an empty one may end late, in a frame of its own.
///
/// # Errors
/// [`Refusal::BodyNotAllowed`].
pub(super) fn no_body(version: Version, body: Incoming) -> Result<Option<Unended>, Refusal> {
    if body.is_end_stream() {
        return Ok(None);
    }
    // The head of an HTTP/1 request says whether there is a body. To read it would be to ask for it,
    // by `100 Continue`.
    let announced = body.size_hint().exact().is_some_and(|length| length > 0);
    if announced || version != Version::HTTP_2 {
        return Err(Refusal::BodyNotAllowed);
    }
    Ok(Some(Unended(body)))
}

/// A stream whose end has not come yet.
pub(super) struct Unended(Incoming);

impl Unended {
    /// Waits for it, but not for long.
    ///
    /// # Errors
    /// [`Refusal::BodyNotAllowed`].
    pub(super) async fn ended(mut self) -> Result<(), Refusal> {
        // Whoever means to end it does so at once.
        const PATIENCE: Duration = Duration::from_secs(1);
        let rest = async {
            while let Some(frame) = self.0.frame().await {
                let empty = frame.is_ok_and(|frame| frame.data_ref().is_some_and(|d| d.is_empty()));
                if !empty {
                    return Err(Refusal::BodyNotAllowed);
                }
            }
            Ok(())
        };
        tokio::time::timeout(PATIENCE, rest).await.unwrap_or(Err(Refusal::BodyNotAllowed))
    }
}

fn target_bytes(uri: &Uri) -> usize {
    uri.path().len() + uri.query().map_or(0, |query| query.len() + 1)
}

/// RFC 9112, section 3.2: exactly one, and well-formed.
fn http1(uri: &Uri, host: Option<&str>) -> Result<(), Refusal> {
    let host = host.ok_or(fault(RequestFault::Host))?;
    match uri.authority() {
        Some(authority) if authority.as_str().eq_ignore_ascii_case(host) => Ok(()),
        Some(_) => Err(fault(RequestFault::Authority)),
        None => Ok(()),
    }
}

/// RFC 9113, section 8.3.1: `:authority` without user info, and a `Host`, if any, that agrees.
fn http2(uri: &Uri, host: Option<&str>) -> Result<(), Refusal> {
    let Some(authority) = uri.authority() else {
        return host.map(|_| ()).ok_or(fault(RequestFault::Host));
    };
    // h2 takes an empty scheme for a well-formed one.
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(fault(RequestFault::TargetForm));
    }
    if !is_host(authority.as_str()) {
        return Err(fault(RequestFault::Authority));
    }
    match host {
        Some(host) if !authority.as_str().eq_ignore_ascii_case(host) => {
            Err(fault(RequestFault::Authority))
        }
        _ => Ok(()),
    }
}

/// The one `Host`, checked; `None` where there is none.
fn host(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut values = header_fields::named(headers, &HOST);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(host), None) => {
            let host = host.to_str().ok().filter(|host| is_host(host));
            host.map(Some).ok_or(fault(RequestFault::Host))
        }
        (Some(_), Some(_)) => Err(fault(RequestFault::Host)),
    }
}

/// `host [":" port]` of RFC 3986, with no user info.
fn is_host(text: &str) -> bool {
    is_plain_host(text.as_bytes()) || is_any_host(text)
}

/// What most are, seen at a glance: letters, digits, `-` and `.`, and perhaps a port.
fn is_plain_host(text: &[u8]) -> bool {
    let mut parts = text.split(|&byte| byte == b':');
    let (Some(name), port, None) = (parts.next(), parts.next(), parts.next()) else { return false };
    let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    !name.is_empty() && name.iter().all(is_of_name) && port.is_none_or(is_port)
}

fn is_port(text: &[u8]) -> bool {
    let value = || text.iter().fold(0, |number, digit| number * 10 + u32::from(digit & 0x0F));
    (1..=5).contains(&text.len())
        && text.iter().all(u8::is_ascii_digit)
        && value() <= u32::from(u16::MAX)
}

fn is_any_host(text: &str) -> bool {
    let Ok(authority) = Authority::try_from(text) else { return false };
    if text.contains('@') || authority.host().is_empty() {
        return false;
    }
    match text.strip_prefix(authority.host()).and_then(|port| port.strip_prefix(':')) {
        Some("") | None => text.len() == authority.host().len() || text.ends_with(':'),
        // A number may be written with a sign, a port not.
        Some(port) => {
            port.bytes().all(|byte| byte.is_ascii_digit()) && authority.port_u16().is_some()
        }
    }
}

/// A dry run that is asked for unclearly must not become a delete.
fn intent(headers: &HeaderMap) -> Result<Intent, Refusal> {
    let mut fields = headers.iter().filter(|(name, _)| may_mean_dry_run(name.as_str().as_bytes()));
    match (fields.next(), fields.next()) {
        (None, _) => Ok(Intent::Delete),
        (Some((name, value)), None) if name.as_str() == X_DRY_RUN && value == "1" => {
            Ok(Intent::DryRun)
        }
        (Some(_), _) => Err(fault(RequestFault::DryRun)),
    }
}

/// `_` for `-` as well: some clients, and the variables of CGI, make one of the other. Names are lower case here.
fn may_mean_dry_run(name: &[u8]) -> bool {
    let same = |(&wanted, &given): (&u8, &u8)| given == wanted || (wanted, given) == (b'-', b'_');
    name.len() == X_DRY_RUN.len() && X_DRY_RUN.as_bytes().iter().zip(name).all(same)
}

const X_DRY_RUN: &str = "x-dry-run";

fn fault(fault: RequestFault) -> Refusal {
    Refusal::InvalidRequest(fault)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use proptest::prelude::*;

    fn checked(
        target: &str,
        version: Version,
        fields: &[(&'static str, &'static str)],
    ) -> Result<Intent, Refusal> {
        let mut request = Request::builder().uri(target).version(version);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        head(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for good in
            ["localhost", "LOCALHOST:80", "127.0.0.1:65535", "[::1]:8080", "[::1]", "a-b.example"]
        {
            assert!(is_host(good), "{good}");
        }
        for bad in
            ["", "a b", "u@h", "h/path", "h:port", "h:65536", "h:+80", "h?x", "[::1", "h#x", ":80"]
        {
            assert!(!is_host(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_plainly_a_host_is_one(text in "[a-zA-Z0-9.-]{0,8}(:[0-9a-z+]{0,6}){0,2}") {
            prop_assert!(!is_plain_host(text.as_bytes()) || is_any_host(&text), "{}", text);
        }
    }

    #[test]
    fn http1_needs_exactly_one_host() {
        let one = [("host", "h")];
        assert_eq!(checked("/x", Version::HTTP_11, &one), Ok(Intent::Delete));
        assert_eq!(checked("/x", Version::HTTP_11, &[]), Err(fault(RequestFault::Host)));
        let two = [("host", "h"), ("host", "h")];
        assert_eq!(checked("/x", Version::HTTP_11, &two), Err(fault(RequestFault::Host)));
    }

    #[test]
    fn an_absolute_target_names_the_same_host() {
        let host = [("host", "h:80")];
        assert_eq!(checked("http://H:80/x", Version::HTTP_11, &host), Ok(Intent::Delete));
        let other = checked("http://other/x", Version::HTTP_11, &host);
        assert_eq!(other, Err(fault(RequestFault::Authority)));
    }

    #[test]
    fn http2_takes_its_authority_for_a_host_if_nothing_contradicts_it() {
        let checked = |target, fields| checked(target, Version::HTTP_2, fields);
        assert_eq!(checked("http://h/x", &[]), Ok(Intent::Delete));
        assert_eq!(checked("http://h/x", &[("host", "H")]), Ok(Intent::Delete));
        assert_eq!(checked("http://h/x", &[("host", "i")]), Err(fault(RequestFault::Authority)));
        assert_eq!(checked("http://u@h/x", &[]), Err(fault(RequestFault::Authority)));
        assert_eq!(checked("ftp://h/x", &[]), Err(fault(RequestFault::TargetForm)));
        assert_eq!(checked("/x", &[]), Err(fault(RequestFault::Host)));
    }

    #[test]
    fn an_unclear_dry_run_is_no_delete() {
        let checked = |fields: &[_]| {
            checked("/x", Version::HTTP_11, &[&[("host", "h")][..], fields].concat())
        };
        assert_eq!(checked(&[("x-dry-run", "1")]), Ok(Intent::DryRun));
        for unclear in ["0", "true", "", "1, 1"] {
            assert_eq!(checked(&[("x-dry-run", unclear)]), Err(fault(RequestFault::DryRun)));
        }
        for unclear in ["x_dry_run", "x-dry_run", "X-DRY_RUN"] {
            assert_eq!(checked(&[(unclear, "1")]), Err(fault(RequestFault::DryRun)));
        }
        let twice = [("x-dry-run", "1"), ("x-dry-run", "1")];
        assert_eq!(checked(&twice), Err(fault(RequestFault::DryRun)));
        assert_eq!(checked(&[("x-dry-runs", "1"), ("x-cry-run", "1")]), Ok(Intent::Delete));
    }

    #[test]
    fn more_than_is_taken_is_refused() {
        let long = format!("/{}", "x".repeat(MAX_TARGET_BYTES));
        let host = [("host", "h")];
        assert_eq!(checked(&long, Version::HTTP_11, &host), Err(Refusal::TargetTooLong));
        let fields = Refusal::HeadersTooLarge(HeadExcess::Fields);
        let many = vec![("x-many", "1"); MAX_FIELDS + 1];
        assert_eq!(checked("/x", Version::HTTP_11, &many), Err(fields));
    }
}
