//! W3C Trace Context: which trace a caller says that its request is a part of.

use http::{HeaderMap, HeaderName};

use crate::header_fields;

/// 32 hexadecimal digits in lower case, not all zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId([u8; 32]);

/// What tells a span from all others of its trace. Not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanId(u64);

/// What a `traceparent` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// The trace.
    pub trace_id: TraceId,
    /// The caller's span, which is the parent of ours.
    pub parent: SpanId,
    /// Whether the caller records it.
    pub is_sampled: bool,
}

impl TraceId {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        let mut digits = [b'0'; 32];
        // 16 bytes are 32 digits: the lengths always agree.
        let _ = hex::encode_to_slice(rand::random::<[u8; 16]>(), &mut digits);
        Self(digits)
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }

    /// As they travel in OTLP.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        // They are digits, and as many as there must be.
        let _ = hex::decode_to_slice(self.0, &mut bytes);
        bytes
    }
}

impl SpanId {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random::<u64>().max(1))
    }

    /// As they travel in OTLP.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl Context {
    /// Of a request that has exactly one `traceparent`, and a good one: anything else is as none.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut given = header_fields::named(headers, &FIELD);
        match (given.next(), given.next()) {
            (Some(field), None) => Self::parse(field.as_bytes()),
            _ => None,
        }
    }

    /// Version, trace, parent and flags; what a later version than 00 has behind them is left alone
    /// (section 3.2.4).
    fn parse(text: &[u8]) -> Option<Self> {
        let (known, rest) = text.split_at_checked(KNOWN_BYTES)?;
        let mut parts = known.split(|byte| *byte == b'-');
        let version = digits::<2>(parts.next()?)?;
        let (trace_id, parent) = (digits::<32>(parts.next()?)?, digits::<16>(parts.next()?)?);
        let [_, flags] = digits::<2>(parts.next()?)?;
        let ends = match &version {
            b"ff" => false,
            b"00" => rest.is_empty(),
            _ => rest.first().is_none_or(|byte| *byte == b'-'),
        };
        let parent = u64::from_str_radix(str::from_utf8(&parent).ok()?, 16).ok()?;
        if !ends || parent == 0 || trace_id.iter().all(|digit| *digit == b'0') {
            return None;
        }
        let is_sampled = char::from(flags).to_digit(16)? & 1 == 1;
        Some(Self { trace_id: TraceId(trace_id), parent: SpanId(parent), is_sampled })
    }
}

/// So many hexadecimal digits in lower case.
fn digits<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let are_digits = text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if are_digits { text.try_into().ok() } else { None }
}

static FIELD: HeaderName = HeaderName::from_static("traceparent");

/// `00-` and 32 digits, `-` and 16, `-` and two.
const KNOWN_BYTES: usize = 55;

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn parsed(text: &str) -> Option<Context> {
        Context::parse(text.as_bytes())
    }

    #[test]
    fn a_traceparent_names_trace_and_parent_and_says_whether_it_is_recorded() {
        let context = parsed(GOOD).unwrap();
        assert_eq!(context.trace_id.as_str(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(hex::encode(context.trace_id.to_bytes()), context.trace_id.as_str());
        assert_eq!(hex::encode(context.parent.to_bytes()), "b7ad6b7169203331");
        for (flags, sampled) in [("00", false), ("01", true), ("02", false), ("ff", true)] {
            let text = format!("{}{flags}", GOOD.get(..53).unwrap());
            assert_eq!(parsed(&text).map(|context| context.is_sampled), Some(sampled), "{flags}");
        }
    }

    #[test]
    fn a_later_version_may_have_more_behind_a_dash() {
        assert!(parsed(&GOOD.replacen("00", "01", 1)).is_some());
        assert!(parsed(&format!("{}-more", GOOD.replacen("00", "cc", 1))).is_some());
        assert!(parsed(&format!("{}more", GOOD.replacen("00", "cc", 1))).is_none());
    }

    #[test]
    fn anything_else_is_as_none() {
        for wrong in [
            "",
            "00",
            GOOD.get(..54).unwrap(),
            &format!("{GOOD}-more"),
            &format!("{GOOD} "),
            &GOOD.to_uppercase(),
            &GOOD.replacen("00", "ff", 1),
            &GOOD.replacen('-', "_", 1),
            &GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &GOOD.replace("b7ad6b7169203331", &"0".repeat(16)),
            &GOOD.replace("b7ad6b7169203331", "b7ad6b716920333g"),
            &GOOD.replace("b7ad6b7169203331", "+7ad6b7169203331"),
            &GOOD.replace("-01", "-0x"),
            &GOOD.replace("c-b", "-cb"),
        ] {
            assert_eq!(parsed(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn two_of_them_are_as_none() {
        let mut headers = HeaderMap::new();
        headers.append(&FIELD, GOOD.parse().unwrap());
        assert!(Context::of(&headers).is_some());
        headers.append(&FIELD, GOOD.parse().unwrap());
        assert_eq!(Context::of(&headers), None);
    }
}
