//! What a record says, for those who read journals.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A text of a record, borrowed from its line where nothing in it is escaped.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text<'l>(Cow<'l, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'l, 'l> Deserialize<'de> for Text<'l> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Texts)
    }
}

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A delete is about to be sent.
    Intent,
    /// A delete, with what became of it.
    Delete,
    /// A gateway began to write.
    Start,
    /// It ended in order.
    Stop,
    /// Records could not be written for a while, and can again.
    Resumed,
    /// An operator granted deletes beyond a limit.
    Grant,
    /// A deleted file was restored, or not.
    Undo,
    /// One that came later.
    #[serde(other)]
    Other,
}

impl Event {
    /// Those that are known.
    pub const ALL: [Self; 7] = [
        Self::Intent,
        Self::Delete,
        Self::Start,
        Self::Stop,
        Self::Resumed,
        Self::Grant,
        Self::Undo,
    ];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Delete => "delete",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Resumed => "resumed",
            Self::Grant => "grant",
            Self::Undo => "undo",
            Self::Other => "other",
        }
    }
}

/// What became of a delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Became {
    /// SMH's answer was relayed.
    Relayed,
    /// The gateway refused it, and sent nothing.
    Refused,
    /// It was to be sent, and SMH certainly did not act on it.
    NotSent,
    /// It was sent, and no whole answer came.
    Unknown,
}

impl Became {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Relayed, Self::Refused, Self::NotSent, Self::Unknown];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Relayed => "relayed",
            Self::Refused => "refused",
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
        }
    }
}

/// What a record says. Its fields are those of `docs/audit.md`; what is not known here is left out.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(bound(deserialize = "'de: 'l"))]
pub struct Entry<'l> {
    /// When, RFC 3339 in UTC with microseconds: as text they are in order.
    pub time: Text<'l>,
    /// What it is about.
    pub event: Event,
    /// Which delete: an intent and what became of it have the same.
    pub delete: Option<Text<'l>>,
    /// When it began, where its gateway was killed and the next one recorded what is known of it.
    pub intended: Option<Text<'l>>,
    /// As the caller named it, or the gateway.
    pub request_id: Option<Text<'l>>,
    /// Of the caller's `traceparent`, or of the trace that is told of it.
    pub trace_id: Option<Text<'l>>,
    /// Who asked.
    pub caller: Option<Text<'l>>,
    /// How the caller proved itself.
    pub proof: Option<Text<'l>>,
    /// Where from.
    pub peer: Option<Text<'l>>,
    /// Whose file it is.
    pub tenant: Option<Text<'l>>,
    /// SMH's library.
    pub library: Option<Text<'l>>,
    /// SMH's space.
    pub space: Option<Text<'l>>,
    /// Which file, decoded.
    pub path: Option<Text<'l>>,
    /// Whether the caller asked for a delete that is final.
    pub permanent: Option<bool>,
    /// The user on whose behalf.
    pub user_id: Option<Text<'l>>,
    /// `allow` or `deny`.
    pub decision: Option<Text<'l>>,
    /// Whether it was only asked what would become of it.
    pub dry_run: Option<bool>,
    /// What the caller got.
    pub status: Option<u16>,
    /// Why it was refused.
    pub code: Option<Text<'l>>,
    /// The rule that decided.
    pub rule: Option<Text<'l>>,
    /// The limit that was used up.
    pub limit: Option<Text<'l>>,
    /// What became of it.
    pub outcome: Option<Became>,
    /// SMH's status.
    pub smh_status: Option<u16>,
    /// SMH's code.
    pub smh_code: Option<Text<'l>>,
    /// SMH's name for the request.
    pub smh_request_id: Option<Text<'l>>,
    /// What restores the file.
    pub recycled_item_id: Option<u64>,
    /// Whether it can be restored; not there where nothing was deleted, or nobody knows.
    pub reversible: Option<bool>,
    /// The hash of the policy that decided.
    pub policy: Option<Text<'l>>,
    /// How long it took, in microseconds.
    pub duration_us: Option<u64>,
}

impl<'l> Entry<'l> {
    /// Of a line.
    ///
    /// # Errors
    /// Where it is no JSON, or a field is not what it should be.
    pub fn parse(line: &'l [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(line)
    }
}
