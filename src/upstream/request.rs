//! The request that SMH gets: built from nothing, in this one place.
//!
//! No header field, query parameter or path byte of a caller's passes, but for the path and the
//! `user_id`, which were parsed and are encoded anew. The target holds the token: it is never
//! logged, traced, or put in an error.

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE};
use http::header::{HOST, HeaderValue, USER_AGENT};
use http::uri::{PathAndQuery, Scheme as UriScheme};
use http::{HeaderMap, Method, Request, Uri, Version};
use http_body_util::Full;
use zeroize::Zeroizing;

use crate::access_token::AccessToken;
use crate::delete::{Mode, encode_into};
use crate::limits::Admission;
use crate::origin::{Origin, Scheme};
use crate::policy::Subject;
use crate::refusal::render::PRODUCT;
use crate::secret::REDACTED;

/// A delete has no body; what is asked of a recycle bin may have one.
pub(super) type Outgoing = Request<Full<Bytes>>;

/// How the token travels (smh-api.md 1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TokenPlace {
    /// As the `access_token` parameter, which is what SMH documents.
    #[default]
    Query,
    /// As `Authorization: Bearer`.
    Header,
}

/// Which version of HTTP a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// `None` is unreachable with parsed parts: there is no way to write an invalid target with them.
pub(super) fn build(
    admission: &Admission,
    token: &AccessToken,
    place: TokenPlace,
    protocol: Protocol,
) -> Option<Outgoing> {
    let origin = &admission.permit().tenant().library.origin;
    let permit = admission.permit();
    let target = target(&permit.subject(), permit.mode(), place, token.encoded().expose());
    let mut request = plain(origin, Method::DELETE, target, protocol)?;
    if place == TokenPlace::Header {
        request.headers_mut().insert(AUTHORIZATION, bearer(token)?);
    }
    Some(request)
}

/// A request with the fields that every request of the gateway's has, and no others.
pub(super) fn plain(
    origin: &Origin,
    method: Method,
    target: Zeroizing<Vec<u8>>,
    protocol: Protocol,
) -> Option<Outgoing> {
    // Wiped when the last part of the request is dropped.
    let path = PathAndQuery::from_maybe_shared(Bytes::from_owner(target)).ok()?;
    let mut request = Request::new(Full::default());
    *request.method_mut() = method;
    *request.headers_mut() = HeaderMap::with_capacity(FIELDS);
    match protocol {
        Protocol::Http1 => {
            *request.uri_mut() = Uri::from(path);
            request.headers_mut().insert(HOST, origin.host_field());
        }
        Protocol::Http2 => {
            *request.version_mut() = Version::HTTP_2;
            *request.uri_mut() = absolute(origin, path)?;
        }
    }
    let headers = request.headers_mut();
    headers.insert(USER_AGENT, HeaderValue::from_static(PRODUCT));
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    // An answer in another coding could not be searched for the token.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    Some(request)
}

/// What is asked of a space besides deletes. The token is not among what it says.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    /// JSON; empty: none.
    pub(crate) body: Bytes,
}

/// `None` is unreachable with parsed parts, as in [`build`].
pub(super) fn question(
    origin: &Origin,
    question: &Question,
    token: &AccessToken,
    place: TokenPlace,
    protocol: Protocol,
) -> Option<Outgoing> {
    let token_bytes = token.encoded().expose();
    let room = question.target.len() + FRAME_BYTES + token_bytes.len();
    let mut target = Zeroizing::new(Vec::with_capacity(room));
    target.extend_from_slice(question.target.as_bytes());
    if place == TokenPlace::Query {
        target.push(if question.target.contains('?') { b'&' } else { b'?' });
        target.extend_from_slice(b"access_token=");
        target.extend_from_slice(token_bytes);
    }
    let mut request = plain(origin, question.method.clone(), target, protocol)?;
    if place == TokenPlace::Header {
        request.headers_mut().insert(AUTHORIZATION, bearer(token)?);
    }
    if !question.body.is_empty() {
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
        *request.body_mut() = Full::new(question.body.clone());
    }
    Some(request)
}

/// `/api/v1/file/{LibraryId}/{SpaceId}/{FilePath}?permanent=…&access_token=…&user_id=…`
fn target(
    subject: &Subject<'_>,
    mode: Mode,
    place: TokenPlace,
    token: &[u8],
) -> Zeroizing<Vec<u8>> {
    let tenant = subject.tenant;
    // Room for all of it: what a buffer with a token in it grows out of is not wiped.
    let user_bytes = subject.user_id.map_or(0, |user| user.as_str().len());
    let room = FRAME_BYTES
        + tenant.library.id.as_str().len()
        + tenant.space.as_str().len()
        + token.len()
        + (subject.path.as_str().len() + user_bytes) * LONGEST_ESCAPE;
    let mut target = Zeroizing::new(Vec::with_capacity(room));
    target.extend_from_slice(b"/api/v1/file/");
    target.extend_from_slice(tenant.library.id.as_str().as_bytes());
    target.push(b'/');
    target.extend_from_slice(tenant.space.as_str().as_bytes());
    target.push(b'/');
    subject.path.encode_into(&mut target);
    target.extend_from_slice(match mode {
        Mode::Recycle => b"?permanent=0",
        Mode::Permanent => b"?permanent=1",
    });
    if place == TokenPlace::Query {
        target.extend_from_slice(b"&access_token=");
        target.extend_from_slice(token);
    }
    if let Some(user_id) = subject.user_id {
        target.extend_from_slice(b"&user_id=");
        encode_into(&mut target, user_id.as_str().as_bytes());
    }
    target
}

/// The request line and the place of the token, for people: no token comes near it.
#[must_use]
pub fn shown(subject: &Subject<'_>, mode: Mode, place: TokenPlace) -> String {
    let target = target(subject, mode, place, REDACTED.as_bytes());
    let origin = &subject.tenant.library.origin;
    let field = match place {
        TokenPlace::Query => String::new(),
        TokenPlace::Header => format!(" (Authorization: Bearer {REDACTED})"),
    };
    format!("DELETE {origin}{}{field}", String::from_utf8_lossy(&target))
}

fn absolute(origin: &Origin, path: PathAndQuery) -> Option<Uri> {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(match origin.scheme() {
        Scheme::Http => UriScheme::HTTP,
        Scheme::Https => UriScheme::HTTPS,
    });
    parts.authority = origin.authority();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).ok()
}

fn bearer(token: &AccessToken) -> Option<HeaderValue> {
    let value = Zeroizing::new([b"Bearer ", token.text().expose()].concat());
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(value)).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// What a target has besides its parts, rounded up.
const FRAME_BYTES: usize = 64;

/// `%XX` for one byte.
const LONGEST_ESCAPE: usize = 3;

/// The fields set above.
const FIELDS: usize = 5;
