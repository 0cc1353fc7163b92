//! A whole answer of SMH's, not yet judged.

use std::borrow::Cow;

use bytes::Bytes;
use http::{StatusCode, response};
use serde::Deserialize;

use crate::header_fields;
use crate::ids::RequestId;

/// What SMH answered.
#[derive(Debug)]
pub struct Answer {
    /// Status, fields, and what hyper remembers of how they were written.
    pub head: response::Parts,
    /// All of it.
    pub body: Bytes,
    code: Option<String>,
}

/// What SMH says of itself in an error (smh-api.md 4.1), as far as it is needed here.
#[derive(Deserialize)]
struct ErrorObject<'a> {
    #[serde(borrow)]
    code: Option<Cow<'a, str>>,
}

impl Answer {
    /// Reads the error object, once, where there can be one.
    #[must_use]
    pub fn new(head: response::Parts, body: Bytes) -> Self {
        let code = if head.status.is_success() { None } else { code(&body) };
        Self { head, body, code }
    }

    /// The `code` of SMH's error object, if the body is one, and if it looks like a code: it is
    /// logged, and must not be a way to log something else.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// What restores the file, of a delete that moved it to the recycle bin (smh-api.md 2.2).
    #[must_use]
    pub fn recycled_item_id(&self) -> Option<u64> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Recycled {
            recycled_item_id: Option<u64>,
        }
        let is_one = self.head.status == StatusCode::OK;
        let recycled = is_one.then(|| serde_json::from_slice::<Recycled>(&self.body).ok());
        recycled.flatten()?.recycled_item_id
    }

    /// SMH's own id for the request, which its support asks for, if it looks like one.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        let id =
            header_fields::named(&self.head.headers, &RequestId::FIELD).next()?.to_str().ok()?;
        let plausible = id.len() <= MAX_ID_BYTES && id.bytes().all(|byte| byte.is_ascii_graphic());
        plausible.then_some(id)
    }
}

fn code(body: &[u8]) -> Option<String> {
    let object: ErrorObject<'_> = serde_json::from_slice(body).ok()?;
    let code = object.code?;
    let plausible = code.len() <= MAX_CODE_BYTES && code.bytes().all(|b| b.is_ascii_alphanumeric());
    plausible.then(|| code.into_owned())
}

/// The longest of SMH's codes has 38 bytes.
const MAX_CODE_BYTES: usize = 64;

/// SMH's own ids have 32.
const MAX_ID_BYTES: usize = 128;
