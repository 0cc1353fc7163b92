//! SMH's answer, on its way to the caller: unchanged, or not at all.
//!
//! Three kinds are never relayed: what rejects the *gateway's* token, redirects (which would hand
//! the token on), and what holds the token or cannot be searched for it.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, HeaderName, TRANSFER_ENCODING};
use http::response::Parts;
use http::{HeaderMap, Response, StatusCode, Version};
use hyper::ext::ReasonPhrase;
use smallvec::SmallVec;

use crate::access_token::AccessToken;
use crate::delete::Mode;
use crate::directory::RecycleBin;
use crate::header_fields;
use crate::policy::Permit;
use crate::refusal::UpstreamFault;
use crate::upstream::Answer;

impl Answer {
    /// Whether SMH rejects the gateway's token: it did nothing, and another token may help.
    #[must_use]
    pub fn rejects_token(&self) -> bool {
        self.head.status == StatusCode::FORBIDDEN
            && (self.body.trim_ascii() == b"Forbidden"
                || matches!(self.code(), Some("InvalidAccessToken" | "AccessTokenVersionNotMatch")))
    }
}

/// What an answer means beyond what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Meaning {
    /// What it says.
    AsItSays,
    /// 204 to a delete that asked for the recycle bin of a library that should have one: the file
    /// is gone for good (smh-api.md 2.2).
    Irreversible,
    /// 404, but not because of the file: the library, the space, the route, or something before SMH.
    /// Callers will read it as "already gone".
    Misdirected,
}

impl Meaning {
    /// What SMH's answer to a permitted delete means.
    #[must_use]
    pub fn of(answer: &Answer, permit: &Permit) -> Self {
        let keeps = permit.tenant().library.recycle_bin == RecycleBin::On;
        match answer.head.status {
            StatusCode::NO_CONTENT if keeps && permit.mode() == Mode::Recycle => Self::Irreversible,
            // Nothing but this says that the *file* is not there.
            StatusCode::NOT_FOUND => match answer.code() {
                Some(
                    "FileNotFound" | "PathNotFound" | "DirectoryNotFound" | "FileRemovedByQuota",
                ) => Self::AsItSays,
                _ => Self::Misdirected,
            },
            _ => Self::AsItSays,
        }
    }
}

/// Makes the caller's answer of SMH's: status, end-to-end fields and body as they came. `tokens` are
/// those that were sent for it: the first may have been rejected, and may be good all the same.
///
/// # Errors
/// The [`UpstreamFault`] for which it must not be relayed.
pub fn to_caller(
    answer: Answer,
    tokens: &[&AccessToken],
) -> Result<Response<Bytes>, UpstreamFault> {
    let Answer { mut head, body, .. } = answer;
    if head.status.is_redirection() {
        return Err(UpstreamFault::Redirected);
    }
    let fields = BodyFields::of(&head.headers);
    if head.status.is_informational() || fields.has_ambiguous_length() {
        return Err(UpstreamFault::NotHttp);
    }
    if fields.is_coded {
        return Err(UpstreamFault::Opaque);
    }
    if tokens.iter().any(|token| token.occurs_in(&body) || head_holds(&head, token)) {
        return Err(UpstreamFault::EchoedCredential);
    }
    head.headers = end_to_end(head.headers);
    // The version is about the connection, too.
    head.version = Version::HTTP_11;
    Ok(Response::from_parts(head, body))
}

/// Whether the token stands in a field's value, in its name (which was made lower case), or behind
/// the status, from where hyper would write it out again.
fn head_holds(head: &Parts, token: &AccessToken) -> bool {
    let reason = head.extensions.get::<ReasonPhrase>();
    reason.is_some_and(|reason| token.occurs_in(reason.as_bytes()))
        || head.headers.iter().any(|(name, value)| {
            token.occurs_in(value.as_bytes()) || token.occurs_in(name.as_str().as_bytes())
        })
}

/// What the fields say of the body, from one look at all.
#[derive(Default)]
struct BodyFields {
    lengths: usize,
    transfer_codings: usize,
    /// The last of them.
    is_chunked: bool,
    is_coded: bool,
}

impl BodyFields {
    fn of(headers: &HeaderMap) -> Self {
        let mut fields = Self::default();
        for (name, value) in headers {
            let value = value.as_bytes();
            if name == CONTENT_LENGTH {
                fields.lengths += 1;
            } else if name == TRANSFER_ENCODING {
                fields.transfer_codings += 1;
                fields.is_chunked = value.trim_ascii().eq_ignore_ascii_case(b"chunked");
            } else if name == CONTENT_ENCODING {
                fields.is_coded |= !value.eq_ignore_ascii_case(b"identity");
            }
        }
        fields
    }

    /// RFC 9112, section 6.3: an answer whose length can be read in two ways may hide a second one.
    fn has_ambiguous_length(&self) -> bool {
        match self.transfer_codings {
            0 => self.lengths > 1,
            1 => self.lengths > 0 || !self.is_chunked,
            _ => true,
        }
    }
}

/// RFC 9110, section 7.6.1: fields about the connection, and those that `Connection` names.
fn end_to_end(mut headers: HeaderMap) -> HeaderMap {
    let named = named(&headers);
    let goes = |name: &HeaderName| is_hop_by_hop(name.as_str()) || named.contains(name);
    let mut gone = headers.keys().filter(|name| goes(name));
    let Some(first) = gone.next() else { return headers };
    if gone.next().is_none() && headers.keys().last() == Some(first) {
        // nginx's own answers end with `Connection`: nothing else changes its place.
        let first = first.clone();
        headers.remove(first);
        return headers;
    }
    // Copied, not removed from: [`HeaderMap::remove`] would change the order.
    let mut kept = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers.iter().filter(|(name, _)| !goes(name)) {
        kept.append(name, value.clone());
    }
    kept
}

/// Those that `Connection` names, of the fields there are: it may name many thousands that are not.
fn named(headers: &HeaderMap) -> SmallVec<[HeaderName; 2]> {
    let mut named = SmallVec::new();
    let values = header_fields::named(headers, &CONNECTION);
    let elements = values.flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    for element in elements.filter_map(|element| str::from_utf8(element.trim_ascii()).ok()) {
        // What nearly all say, and what goes anyway.
        if element.eq_ignore_ascii_case("keep-alive") {
            continue;
        }
        if headers.contains_key(element)
            && let Ok(name) = HeaderName::from_bytes(element.as_bytes())
            && !named.contains(&name)
        {
            named.push(name);
        }
    }
    named
}

/// Names are lower case here.
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use http::HeaderValue;

    fn answer(status: u16, fields: &[(&'static str, &'static str)], body: &'static str) -> Answer {
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in fields {
            response.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        let (head, body) = response.into_parts();
        Answer::new(head, body)
    }

    fn relayed(answer: Answer) -> Result<Response<Bytes>, UpstreamFault> {
        to_caller(answer, &[&AccessToken::new(Secret::new(b"acctksentinel".to_vec()))])
    }

    #[test]
    fn status_end_to_end_fields_and_body_pass_unchanged() {
        let fields = [("server", "nginx/1.29.0"), ("x-request-id", "1134"), ("x-new", "1")];
        let response = relayed(answer(200, &fields, "{\"recycledItemId\":1221}")).unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.body(), "{\"recycledItemId\":1221}");
        let kept: Vec<_> =
            response.headers().iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
        assert_eq!(kept, fields);
    }

    #[test]
    fn fields_about_the_connection_do_not_pass() {
        let fields = [
            ("connection", "X-Hop, close"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("x-end", "1"),
            ("date", "now"),
        ];
        let response = relayed(answer(404, &fields, "{}")).unwrap();
        let kept: Vec<_> = response.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(kept, ["x-end", "date"]);
    }

    #[test]
    fn the_others_keep_their_order_wherever_the_field_about_the_connection_stands() {
        let others =
            [("server", "nginx"), ("set-cookie", "a"), ("set-cookie", "b"), ("x-end", "1")];
        for (connection, named) in [("keep-alive", None), ("close, x-hop", Some(("x-hop", "1")))] {
            // Not between the two cookies: fields of one name stand together.
            for at in [0, 1, 3, 4] {
                let mut fields = others.to_vec();
                fields.insert(at, ("connection", connection));
                fields.extend(named);
                let relayed = relayed(answer(200, &fields, "{}")).unwrap();
                let kept = relayed.headers().iter();
                let kept: Vec<_> = kept.map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
                assert_eq!(kept, others, "{connection} at {at}");
            }
        }
    }

    #[test]
    fn what_must_not_pass_does_not() {
        for (status, fields, body, fault) in [
            (302, &[("location", "http://x/")][..], "", UpstreamFault::Redirected),
            (304, &[][..], "", UpstreamFault::Redirected),
            (101, &[], "", UpstreamFault::NotHttp),
            (
                200,
                &[("content-length", "2"), ("content-length", "2")],
                "{}",
                UpstreamFault::NotHttp,
            ),
            (
                200,
                &[("content-length", "2"), ("transfer-encoding", "chunked")],
                "{}",
                UpstreamFault::NotHttp,
            ),
            (200, &[("transfer-encoding", "gzip, chunked")], "", UpstreamFault::NotHttp),
            (200, &[("content-encoding", "gzip")], "", UpstreamFault::Opaque),
            (
                200,
                &[("content-encoding", "identity"), ("content-encoding", "gzip")],
                "",
                UpstreamFault::Opaque,
            ),
            (200, &[("acctksentinel", "1")], "{}", UpstreamFault::EchoedCredential),
            (500, &[], "no acctksentinel here", UpstreamFault::EchoedCredential),
            (200, &[("x-echo", "t=acctksentinel")], "{}", UpstreamFault::EchoedCredential),
        ] {
            assert_eq!(relayed(answer(status, fields, body)).unwrap_err(), fault, "{fields:?}");
        }
    }

    #[test]
    fn a_token_behind_the_status_does_not_pass() {
        let mut echo = answer(403, &[], "{}");
        echo.head.extensions.insert(ReasonPhrase::from_static(b"no acctkSENTINEL"));
        let token = AccessToken::new(Secret::new(b"acctkSENTINEL".to_vec()));
        assert_eq!(to_caller(echo, &[&token]).unwrap_err(), UpstreamFault::EchoedCredential);
        let named = answer(200, &[("acctksentinel", "1")], "{}");
        assert_eq!(to_caller(named, &[&token]).unwrap_err(), UpstreamFault::EchoedCredential);
    }

    #[test]
    fn a_token_that_was_replaced_does_not_pass_either() {
        let token = |text: &str| AccessToken::new(Secret::new(text.as_bytes().to_vec()));
        let (first, second) = (token("acctkfirst"), token("acctksecond"));
        for (echo, wanted) in [
            ("no acctkfirst here", Err(UpstreamFault::EchoedCredential)),
            ("no ACCTKSECOND here", Err(UpstreamFault::EchoedCredential)),
            ("nothing here", Ok(())),
        ] {
            let relayed = to_caller(answer(200, &[], echo), &[&first, &second]);
            assert_eq!(relayed.map(|_| ()), wanted, "{echo}");
        }
    }

    #[test]
    fn only_three_answers_reject_the_token() {
        for body in [
            "Forbidden",
            "Forbidden\n",
            "{\"status\":403,\"code\":\"InvalidAccessToken\"}",
            "{\"code\":\"AccessTokenVersionNotMatch\",\"message\":\"\\u0041\"}",
        ] {
            assert!(answer(403, &[], body).rejects_token(), "{body}");
            assert!(!answer(404, &[], body).rejects_token(), "{body}");
        }
        for body in ["", "{\"code\":\"NoPermission\"}", "{\"code\":7}", "<html>Forbidden</html>"] {
            assert!(!answer(403, &[], body).rejects_token(), "{body}");
        }
    }
}
