//! What each fault does to a request and to its answer.

use std::time::Duration;

use http::StatusCode;
use http::header::{HeaderName, LOCATION};
use serde_json::Value;

use crate::simulator::answer::{Answer, Content};
use crate::simulator::errors::ApiError;
use crate::simulator::faults::Fault;

/// The page that nginx answers with by itself.
macro_rules! nginx_page {
    ($title:literal) => {
        concat!(
            "<html>\r\n<head><title>",
            $title,
            "</title></head>\r\n<body>\r\n<center><h1>",
            $title,
            "</h1></center>\r\n<hr><center>nginx/1.29.0</center>\r\n</body>\r\n</html>\r\n"
        )
    };
}

/// What of a request a fault may repeat in its answer.
pub(crate) struct Disturbed<'a> {
    /// Path and query as received.
    pub(crate) target: &'a str,
    /// The credential, if there was one.
    pub(crate) token: Option<&'a str>,
    pub(crate) request_id: &'a str,
}

/// What happens to a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// It is answered without being carried out.
    Instead(Answer),
    CutFirst,
    HangFirst,
    /// It is carried out.
    Act(Aftermath),
}

/// What happens to the answer of a request that was carried out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Aftermath {
    AsItIs,
    Late(Duration),
    Instead(Answer),
    AddFields(&'static str),
    AddToken,
    AddTokenField,
    ClaimLife(i64),
    Cut,
    CutMidBody,
    Hang,
}

impl Fault {
    /// What this fault does to a request.
    pub(crate) fn course(&self, request: &Disturbed<'_>) -> Course {
        let refuse = |status: StatusCode, code: &str| {
            let error = ApiError { status, code: code.to_owned() };
            Course::Instead(Answer::error(&error, request.request_id))
        };
        match self {
            Self::InvalidAccessToken => refuse(StatusCode::FORBIDDEN, "InvalidAccessToken"),
            Self::AccessTokenVersionNotMatch => {
                refuse(StatusCode::FORBIDDEN, "AccessTokenVersionNotMatch")
            }
            Self::PlainForbidden => instead(StatusCode::FORBIDDEN, Content::Text("Forbidden")),
            Self::RateLimited => refuse(StatusCode::TOO_MANY_REQUESTS, "RateLimitExceeded"),
            Self::InternalServerError => {
                refuse(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError")
            }
            Self::ServerOverloaded => refuse(StatusCode::SERVICE_UNAVAILABLE, "ServerOverloaded"),
            Self::BadGatewayHtml => instead(StatusCode::BAD_GATEWAY, Content::Html(BAD_GATEWAY)),
            Self::GatewayTimeoutHtml => Course::Instead(gateway_timeout()),
            Self::GatewayTimeoutAfterActing => Course::Act(Aftermath::Instead(gateway_timeout())),
            Self::PathConflict => refuse(StatusCode::CONFLICT, "PathConflict"),
            Self::LibraryServiceExpired => refuse(StatusCode::FORBIDDEN, "LibraryServiceExpired"),
            Self::Error { status, code } => refuse(final_status(*status), code),
            Self::BareError { status, code } => {
                let error = ApiError { status: final_status(*status), code: code.clone() };
                let object = error.bare_object(request.request_id);
                Course::Instead(Answer::json(error.status, &object))
            }
            Self::Redirect { to } => Course::Instead(redirect(to, request)),
            Self::NotJson => instead(StatusCode::OK, Content::Html(NOT_JSON)),
            Self::MissingFields => instead(StatusCode::OK, Content::Json("{}".to_owned())),
            Self::HugeBody { bytes } => instead(StatusCode::OK, Content::Padding(*bytes)),
            Self::CutBeforeActing => Course::CutFirst,
            Self::HangBeforeActing => Course::HangFirst,
            Self::CutAfterActing => Course::Act(Aftermath::Cut),
            Self::CutMidBody => Course::Act(Aftermath::CutMidBody),
            Self::HangAfterActing => Course::Act(Aftermath::Hang),
            Self::Slow(wait) => Course::Act(Aftermath::Late(*wait)),
            // The ids themselves are raised before the request is carried out.
            Self::LargeRecycledItemId => Course::Act(Aftermath::AsItIs),
            Self::ExtraFields => Course::Act(Aftermath::AddFields(EXTRA_FIELDS)),
            Self::EchoTokenInBody => Course::Act(Aftermath::AddToken),
            Self::EchoTokenInHeader => Course::Act(Aftermath::AddTokenField),
            Self::ExpiresIn(seconds) => Course::Act(Aftermath::ClaimLife(*seconds)),
        }
    }
}

/// Puts further members, written as JSON, at the end of an answer's object; other answers stay as
/// they are.
pub(crate) fn add_members(answer: Answer, members: &str) -> Answer {
    let content = match answer.content {
        Content::Json(text) => Content::Json(match text.strip_suffix('}') {
            Some("{") => format!("{{{members}}}"),
            Some(start) => format!("{start},{members}}}"),
            None => text,
        }),
        other @ (Content::None | Content::Html(_) | Content::Text(_) | Content::Padding(_)) => {
            other
        }
    };
    Answer { content, ..answer }
}

/// Adds the request's token as a member of the answer's object.
pub(crate) fn add_token(answer: Answer, token: &str) -> Answer {
    add_members(answer, &format!("\"debug\":{}", Value::from(token)))
}

/// Adds the request's token as a header field.
pub(crate) fn add_token_field(answer: Answer, token: &str) -> Answer {
    answer.with_field(HeaderName::from_static("x-smh-debug"), token)
}

/// Replaces the life that a minted token is said to have.
pub(crate) fn claim_life(answer: Answer, seconds: i64) -> Answer {
    let content = match answer.content {
        Content::Json(text) => Content::Json(match text.rsplit_once("\"expiresIn\":") {
            Some((start, _)) => format!("{start}\"expiresIn\":{seconds}}}"),
            None => text,
        }),
        other @ (Content::None | Content::Html(_) | Content::Text(_) | Content::Padding(_)) => {
            other
        }
    };
    Answer { content, ..answer }
}

fn instead(status: StatusCode, content: Content) -> Course {
    Course::Instead(Answer::new(status, content))
}

fn gateway_timeout() -> Answer {
    Answer::new(StatusCode::GATEWAY_TIMEOUT, Content::Html(GATEWAY_TIMEOUT))
}

/// Where a client that follows redirects would carry its token.
fn redirect(to: &str, request: &Disturbed<'_>) -> Answer {
    let mut location = format!("{to}{}", request.target);
    if let Some(token) = request.token.filter(|token| !location.contains(*token)) {
        location.push(if location.contains('?') { '&' } else { '?' });
        location.push_str("access_token=");
        location.push_str(token);
    }
    Answer::new(StatusCode::FOUND, Content::Html(FOUND)).with_field(LOCATION, &location)
}

/// A status that ends an exchange.
fn final_status(status: u16) -> StatusCode {
    match status {
        200..=599 => StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Ids continue from here: 2^53 + 1 is the first whole number that a double cannot hold.
pub(crate) const LARGE_ID_FLOOR: u64 = 1 << 53;

const EXTRA_FIELDS: &str = r#""storageClass":"STANDARD","trace":{"node":"n-17","hops":[1,2]}"#;

const NOT_JSON: &str = "<html><body>Welcome to the captive portal</body></html>\r\n";

const FOUND: &str = nginx_page!("302 Found");
const BAD_GATEWAY: &str = nginx_page!("502 Bad Gateway");
const GATEWAY_TIMEOUT: &str = nginx_page!("504 Gateway Time-out");
