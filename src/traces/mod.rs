//! Traces: the spans of a delete, as OpenTelemetry has them, for a collector (OTLP over HTTP).
//!
//! Not `tracing` spans, and not OpenTelemetry's SDK: where nothing is configured a delete pays one test;
//! where something is, its record keeps some instants, and at its end writes spans into a bounded buffer.
//! One task sends them. Nothing that serves ever waits for a collector: where it is too slow, or gone,
//! spans are dropped and counted.

mod context;
#[cfg(feature = "otlp")]
mod encode;
#[cfg(feature = "otlp")]
mod export;
#[cfg(not(feature = "otlp"))]
mod without;

pub use self::context::{Context, SpanId, TraceId};
#[cfg(feature = "otlp")]
pub use self::export::Exporter;
#[cfg(not(feature = "otlp"))]
pub use self::without::Exporter;

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::SystemTime;

use http::HeaderName;

use crate::origin::Origin;
use crate::secret::Source;

/// Whether this build can send traces.
pub const CAN_EXPORT: bool = cfg!(feature = "otlp");

/// What gateway.yaml says under `traces`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracesPlan {
    /// Where they go.
    pub collector: Collector,
    /// How many of those deletes are traced of which no caller says whether.
    pub sample: Share,
    /// `service.name`.
    pub service: String,
    /// What else is to be known of this process.
    pub attributes: Vec<(String, String)>,
}

/// A URL, taken apart, and what it takes to be heard there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector {
    /// Scheme, host and port.
    pub origin: Origin,
    /// The path.
    pub target: String,
    /// Whom to believe besides the public roots. Read again for every connection.
    pub ca_file: Option<PathBuf>,
    /// What to show; read again every time something is sent.
    pub bearer_token: Option<Source>,
    /// The same, in other fields.
    pub headers: Vec<(HeaderName, Source)>,
}

/// A share of all, in thousandths of a hundredth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(u32);

impl Share {
    /// All of them.
    pub const ALL: Self = Self(ALL_PARTS);

    /// Whether this one is taken; `random` is the same for nobody else.
    #[must_use]
    pub fn takes(self, random: u64) -> bool {
        random % u64::from(ALL_PARTS) < u64::from(self.0)
    }
}

impl TryFrom<&str> for Share {
    type Error = &'static str;

    fn try_from(text: &str) -> Result<Self, Self::Error> {
        const HOW: &str = "write a percentage with at most three decimals, from `0%` to `100%`";
        let number = text.strip_suffix('%').ok_or(HOW)?;
        let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
        let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let fits = (1..=3).contains(&whole.len()) && (1..=3).contains(&decimals.len());
        if !fits || !are_digits(whole) || !are_digits(decimals) {
            return Err(HOW);
        }
        let thousandths = format!("{decimals:0<3}").parse::<u32>().map_err(|_| HOW)?;
        let parts = whole.parse::<u32>().map_err(|_| HOW)? * 1_000 + thousandths;
        if parts > ALL_PARTS { Err(HOW) } else { Ok(Self(parts)) }
    }
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, decimals) = (self.0 / 1_000, self.0 % 1_000);
        match decimals {
            0 => write!(f, "{whole}%"),
            _ => write!(f, "{whole}.{}%", format!("{decimals:03}").trim_end_matches('0')),
        }
    }
}

const ALL_PARTS: u32 = 100_000;

/// One finished span. It says nothing that holds a token, a query or a path.
#[derive(Debug)]
pub struct Span<'a> {
    /// Its own id.
    pub id: SpanId,
    /// The span that it is a part of.
    pub parent: Option<Parent>,
    /// How it stands to others.
    pub kind: Kind,
    /// One of few.
    pub name: Cow<'static, str>,
    /// When it began.
    pub from: SystemTime,
    /// When it ended.
    pub to: SystemTime,
    /// What is known of it.
    pub attributes: Vec<(&'static str, Value<'a>)>,
    /// Whether it went wrong.
    pub failed: bool,
}

/// Whose span a parent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parent {
    /// The caller's.
    Remote(SpanId),
    /// Ours.
    Own(SpanId),
}

/// What kind of work a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Work of our own.
    Internal,
    /// A request that was served.
    Server,
    /// A request that was sent.
    Client,
}

/// What an attribute is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// A text.
    Text(&'a str),
    /// A number.
    Number(u32),
    /// A number that is written as a text.
    Digits(u16),
    /// Yes or no.
    Flag(bool),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_percentage() {
        for (text, parts, shown) in [
            ("100%", 100_000, "100%"),
            ("0%", 0, "0%"),
            ("0.05%", 50, "0.05%"),
            ("12.50%", 12_500, "12.5%"),
        ] {
            let share = Share::try_from(text).unwrap();
            assert_eq!((share.0, share.to_string().as_str()), (parts, shown));
        }
        for wrong in
            ["", "%", "1", "100.001%", "101%", "1.%", ".5%", "1.2345%", "-1%", "+1%", "1e1%"]
        {
            assert!(Share::try_from(wrong).is_err(), "{wrong:?}");
        }
        assert!(Share::ALL.takes(u64::MAX) && !Share(0).takes(0));
    }
}
