//! Decodes request targets by rules of its own.
//!
//! The gateway encodes targets; this code decodes them, and the two share nothing, so that a
//! mistake on one side is not made good by the same mistake on the other.

use crate::simulator::behaviour::DotSegments;

/// A request target, percent-decoded once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    segments: Vec<String>,
    query: Query,
}

/// The parameters of a query, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

/// The target has a broken escape, or is not UTF-8.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Undecodable;

impl Target {
    /// Decodes a target as it stands in the request line.
    ///
    /// `%2F` becomes `/` *before* the path is split, since SMH takes both as a separator.
    pub(crate) fn parse(raw: &str, dots: DotSegments) -> Result<Self, Undecodable> {
        let (path, query) = raw.split_once('?').unwrap_or((raw, ""));
        let path = percent_decode(path, Plus::Literal)?;
        let mut segments: Vec<String> = Vec::new();
        for segment in path.strip_prefix('/').unwrap_or(&path).split('/') {
            match (dots, segment) {
                (DotSegments::Fold, ".") => {}
                (DotSegments::Fold, "..") => {
                    segments.pop();
                }
                (DotSegments::Fold | DotSegments::Literal, name) => segments.push(name.to_owned()),
            }
        }
        Ok(Self { segments, query: Query::parse(query)? })
    }

    pub(crate) fn segments(&self) -> Vec<&str> {
        self.segments.iter().map(String::as_str).collect()
    }

    pub(crate) fn query(&self) -> &Query {
        &self.query
    }

    /// The decoded path, for fault matchers.
    pub(crate) fn path(&self) -> String {
        format!("/{}", self.segments.join("/"))
    }
}

impl Query {
    pub(crate) fn parse(raw: &str) -> Result<Self, Undecodable> {
        let mut parameters = Vec::new();
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            parameters.push((
                percent_decode(name, Plus::IsSpace)?,
                percent_decode(value, Plus::IsSpace)?,
            ));
        }
        Ok(Self(parameters))
    }

    /// The value of a parameter; of a repeated one, the last.
    ///
    /// SMH's choice is not known. The last is the harmful one: a parameter that a client let its
    /// caller append wins.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter, unless it is empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.value(name).filter(|value| !value.is_empty())
    }

    /// Whether a flag is set: `?upload`, `?upload=` and `?upload=1` are the same.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// The non-empty items of a comma-separated parameter.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        comma_separated(self.value(name).unwrap_or_default())
    }
}

/// The non-empty items of a comma-separated list.
pub(crate) fn comma_separated(list: &str) -> Vec<String> {
    list.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// What `+` stands for: a space in queries, itself in paths.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Plus {
    IsSpace,
    Literal,
}

fn percent_decode(text: &str, plus: Plus) -> Result<String, Undecodable> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let high = bytes.next().and_then(hex_digit).ok_or(Undecodable)?;
                let low = bytes.next().and_then(hex_digit).ok_or(Undecodable)?;
                high << 4 | low
            }
            b'+' if plus == Plus::IsSpace => b' ',
            other => other,
        });
    }
    String::from_utf8(decoded).map_err(|_| Undecodable)
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(raw: &str) -> Vec<String> {
        Target::parse(raw, DotSegments::Fold).unwrap().segments
    }

    #[test]
    fn an_escaped_slash_separates_like_a_plain_one() {
        assert_eq!(segments("/api/a%2Fb%2fc"), ["api", "a", "b", "c"]);
    }

    #[test]
    fn an_escape_is_decoded_once() {
        assert_eq!(segments("/%252e%252e/%2541"), ["%2e%2e", "%41"]);
    }

    #[test]
    fn a_plus_in_a_path_is_a_plus_and_in_a_query_a_space() {
        let target = Target::parse("/a+b?c=d+e", DotSegments::Fold).unwrap();

        assert_eq!(target.segments, ["a+b"]);
        assert_eq!(target.query.value("c"), Some("d e"));
    }

    #[test]
    fn dot_segments_are_folded_in_every_encoding() {
        for dots in ["..", "%2e%2e", ".%2E"] {
            assert_eq!(segments(&format!("/a/b/{dots}/./c")), ["a", "c"], "{dots}");
        }
        assert_eq!(segments("/a/b%2F..%2F..%2Fc"), ["c"]);
    }

    #[test]
    fn dot_segments_may_be_left_as_names() {
        let target = Target::parse("/a/../b", DotSegments::Literal).unwrap();

        assert_eq!(target.segments, ["a", "..", "b"]);
    }

    #[test]
    fn broken_escapes_and_foreign_encodings_are_refused() {
        for raw in ["/%", "/%4", "/%zz", "/%ff", "/a?b=%"] {
            assert_eq!(Target::parse(raw, DotSegments::Fold), Err(Undecodable), "{raw}");
        }
    }

    #[test]
    fn a_flag_needs_no_value() {
        let query = Query::parse("upload&info=1&delete=").unwrap();

        assert!(query.flag("upload") && query.flag("info") && query.flag("delete"));
        assert!(!query.flag("restore"));
    }

    #[test]
    fn of_a_repeated_parameter_the_last_wins() {
        let query = Query::parse("permanent=0&permanent=1").unwrap();

        assert_eq!(query.value("permanent"), Some("1"));
    }
}
