//! Answers as SMH gives them: status, header fields in SMH's order, compact JSON.

use std::time::SystemTime;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderName, HeaderValue, SERVER};
use http::{HeaderMap, Method, Response, StatusCode};
use serde::Serialize;

use crate::simulator::body::AnswerBody;
use crate::simulator::errors::ApiError;
use crate::simulator::record::Effect;

/// An answer before it gets its date and its request id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) content: Content,
    pub(crate) extra_fields: Vec<(HeaderName, HeaderValue)>,
}

/// What an answer carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    None,
    Json(String),
    Html(&'static str),
    Text(&'static str),
    /// JSON by its type, but so many spaces.
    Padding(u64),
}

/// What an operation did, and what it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) answer: Answer,
    pub(crate) effects: Vec<Effect>,
}

impl Answer {
    pub(crate) fn new(status: StatusCode, content: Content) -> Self {
        Self { status, content, extra_fields: Vec::new() }
    }

    pub(crate) fn no_content() -> Self {
        Self::new(StatusCode::NO_CONTENT, Content::None)
    }

    pub(crate) fn json<T: Serialize>(status: StatusCode, value: &T) -> Self {
        match serde_json::to_string(value) {
            Ok(text) => Self::new(status, Content::Json(text)),
            // Only maps with keys that are not strings fail, and no answer has one.
            Err(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, Content::None),
        }
    }

    pub(crate) fn error(error: &ApiError, request_id: &str) -> Self {
        Self::json(error.status, &error.object(request_id))
    }

    pub(crate) fn with_field(mut self, name: HeaderName, value: &str) -> Self {
        // What cannot stand in a header field is left out: it came from a client, not from SMH.
        if let Ok(value) = HeaderValue::from_str(value) {
            self.extra_fields.push((name, value));
        }
        self
    }

    /// The answer as it goes over the wire. The order of the fields is SMH's; the bytes of a body
    /// that `HEAD` asked for are counted and left out.
    pub(crate) fn into_response(
        self,
        method: &Method,
        request_id: &str,
        date: SystemTime,
    ) -> Response<AnswerBody> {
        let mut fields = HeaderMap::with_capacity(8);
        let mut put = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                fields.append(name, value);
            }
        };
        put(DATE, &httpdate::fmt_http_date(date));
        if let Some(content_type) = self.content.content_type() {
            put(CONTENT_TYPE, content_type);
            put(CONTENT_LENGTH, &self.content.length().to_string());
        }
        put(SERVER, "nginx/1.29.0");
        if self.content.is_from_smh_itself() {
            put(HeaderName::from_static("x-request-id"), request_id);
        }
        fields.extend(self.extra_fields);
        let body =
            if method == Method::HEAD { AnswerBody::empty() } else { self.content.into_body() };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = fields;
        response
    }
}

impl Content {
    fn content_type(&self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Json(_) | Self::Padding(_) => Some("application/json; charset=utf-8"),
            Self::Html(_) => Some("text/html"),
            Self::Text(_) => Some("text/plain; charset=utf-8"),
        }
    }

    fn length(&self) -> u64 {
        let bytes = match self {
            Self::None => 0,
            Self::Json(text) => text.len(),
            Self::Html(text) | Self::Text(text) => text.len(),
            Self::Padding(length) => return *length,
        };
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// nginx' own pages come from in front of SMH, before a request id exists.
    fn is_from_smh_itself(&self) -> bool {
        match self {
            Self::None | Self::Json(_) | Self::Text(_) | Self::Padding(_) => true,
            Self::Html(_) => false,
        }
    }

    fn into_body(self) -> AnswerBody {
        match self {
            Self::None => AnswerBody::empty(),
            Self::Json(text) => AnswerBody::whole(Bytes::from(text)),
            Self::Html(text) | Self::Text(text) => {
                AnswerBody::whole(Bytes::from_static(text.as_bytes()))
            }
            Self::Padding(length) => AnswerBody::padding(length),
        }
    }
}

impl Outcome {
    /// An answer to a request that changed nothing.
    pub(crate) fn unchanged(answer: Answer) -> Self {
        Self { answer, effects: Vec::new() }
    }

    pub(crate) fn changed(answer: Answer, effect: Effect) -> Self {
        Self { answer, effects: vec![effect] }
    }
}

/// A fresh request id: 32 lower-case hex digits.
pub(crate) fn new_request_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}
