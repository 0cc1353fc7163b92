//! What `POST /api/explain` is asked.

use std::time::SystemTime;

use serde::Deserialize;

use crate::delete::Mode;
use crate::policy::{self, Hypothetical};

/// A made-up request, and for which moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The request.
    pub asked: Hypothetical,
    /// The moment; `None`: now.
    pub at: Option<SystemTime>,
}

/// As it is written: the request of a test case (interface.md, section 5).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    caller: String,
    tenant: String,
    path: String,
    #[serde(default)]
    permanent: bool,
    user_id: Option<String>,
    at: Option<String>,
}

impl Question {
    /// Reads a JSON object such as `{"caller":"app","tenant":"photos","path":"a.jpg"}`.
    ///
    /// # Errors
    /// What is wrong with it, for whoever asks.
    pub fn from_json(text: &[u8]) -> Result<Self, String> {
        let Written { caller, tenant, path, permanent, user_id, at } =
            serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let mode = if permanent { Mode::Permanent } else { Mode::Recycle };
        let at = at.as_deref().map(moment).transpose()?;
        Ok(Self { asked: Hypothetical { caller, tenant, path, mode, user_id }, at })
    }
}

/// A moment of RFC 3339.
///
/// # Errors
/// What it should be.
pub fn moment(text: &str) -> Result<SystemTime, String> {
    policy::moment(text, "it needs a day, a time with seconds, and `Z` or an offset")
        .map_err(|error| format!("`at` is a moment such as 2026-12-31T18:00:00Z: {error}"))
}
