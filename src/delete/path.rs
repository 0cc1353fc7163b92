//! The path of a delete: from what a caller may write to what SMH is sent.

use std::sync::Arc;

use crate::delete::percent;
use crate::refusal::PathFault;

/// A file inside a space: decoded UTF-8, segments joined by `/`.
///
/// There is at least one segment; none is empty, `.` or `..`, and none holds a backslash or a
/// control character (smh-api.md 1.3, "Path hazards": a fold of `..` would turn a delete into the
/// emptying of a recycle bin).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletePath(Arc<str>);

impl DeletePath {
    /// Decodes a percent-encoded path once. `/` and `%2F` are the same separator.
    ///
    /// # Errors
    /// The first [`PathFault`] found.
    pub fn parse(raw: &str) -> Result<Self, PathFault> {
        if raw.is_empty() {
            return Err(PathFault::Empty);
        }
        if !raw.is_ascii() {
            return Err(PathFault::NotEncoded);
        }
        if !raw.as_bytes().contains(&b'%') {
            return Self::of(raw);
        }
        let decoded = percent::decode(raw).ok_or(PathFault::BrokenEscape)?;
        Self::of(&String::from_utf8(decoded).map_err(|_| PathFault::NotUtf8)?)
    }

    fn of(decoded: &str) -> Result<Self, PathFault> {
        if decoded.is_empty() {
            return Err(PathFault::Empty);
        }
        // Most paths are plain, which is seen at a glance, without a branch for each byte; of others the first
        // fault is told.
        let is_plain = |byte: u8| matches!(byte, b' '..=b'~') & (byte != b'\\');
        if !decoded.bytes().fold(true, |all, byte| all & is_plain(byte)) {
            for character in decoded.chars() {
                match character {
                    '\\' => return Err(PathFault::Backslash),
                    _ if character.is_control() => return Err(PathFault::Control),
                    _ => {}
                }
            }
        }
        for segment in segments(decoded) {
            if segment.is_empty() {
                return Err(PathFault::EmptySegment);
            }
            if is_dot_segment(segment) {
                return Err(PathFault::DotSegment);
            }
        }
        Ok(Self(decoded.into()))
    }

    /// The decoded path: what policy matches and the audit names.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Appends the canonical form for SMH: each segment percent-encoded, joined by `/`.
    pub(crate) fn encode_into(&self, target: &mut Vec<u8>) {
        encode_segments_into(target, &self.0);
    }
}

/// Also of a path that is none.
pub(super) fn encode_segments_into(target: &mut Vec<u8>, decoded: &str) {
    for (index, segment) in segments(decoded).enumerate() {
        if index > 0 {
            target.push(b'/');
        }
        percent::encode_into(target, segment);
    }
}

/// A path that is already decoded, as operators write it.
impl TryFrom<String> for DeletePath {
    type Error = PathFault;

    fn try_from(decoded: String) -> Result<Self, PathFault> {
        Self::of(&decoded)
    }
}

/// As bytes: of UTF-8 none but `/` itself is that byte.
fn segments(decoded: &str) -> impl Iterator<Item = &[u8]> {
    decoded.as_bytes().split(|&byte| byte == b'/')
}

/// Some servers cut `;…` off a segment before they look at it, so `..;x` counts as `..`.
fn is_dot_segment(segment: &[u8]) -> bool {
    if segment.first() != Some(&b'.') {
        return false;
    }
    let name = segment.split(|&byte| byte == b';').next();
    matches!(name, Some(b"." | b".."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(path: &DeletePath) -> String {
        let mut target = Vec::new();
        path.encode_into(&mut target);
        String::from_utf8(target).unwrap()
    }

    #[test]
    fn slashes_and_their_escapes_are_the_same_separator() {
        for raw in ["a/b/c.txt", "a%2Fb%2fc.txt", "a/b%2Fc%2Etxt"] {
            let path = DeletePath::parse(raw).unwrap();
            assert_eq!(path.as_str(), "a/b/c.txt", "{raw}");
            assert_eq!(canonical(&path), "a/b/c.txt", "{raw}");
        }
    }

    #[test]
    fn one_canonical_form_is_sent() {
        let path = DeletePath::parse("r%c3%a9sum%C3%A9 (1);v=2&x+y?.txt").unwrap();
        assert_eq!(path.as_str(), "résumé (1);v=2&x+y?.txt");
        assert_eq!(canonical(&path), "r%C3%A9sum%C3%A9%20%281%29%3Bv%3D2%26x%2By%3F.txt");
    }

    #[test]
    fn what_could_name_something_else_is_refused() {
        use PathFault::{
            Backslash, BrokenEscape, Control, DotSegment, Empty, EmptySegment, NotEncoded, NotUtf8,
        };
        for (raw, fault) in [
            ("", Empty),
            ("/a", EmptySegment),
            ("a/", EmptySegment),
            ("a//b", EmptySegment),
            ("%2Fa", EmptySegment),
            ("a%2F%2fb", EmptySegment),
            (".", DotSegment),
            ("a/../b", DotSegment),
            ("a/%2e%2E/b", DotSegment),
            ("a%2f..%2fb", DotSegment),
            ("..;/b", DotSegment),
            ("a/.;x=1", DotSegment),
            ("a\\b", Backslash),
            ("a%5Cb", Backslash),
            ("a%00b", Control),
            ("a%0d%0ab", Control),
            ("a%7Fb", Control),
            ("a%C2%85b", Control),
            ("%", BrokenEscape),
            ("a%2", BrokenEscape),
            ("a%zzb", BrokenEscape),
            ("%ff", NotUtf8),
            ("%c0%ae%c0%ae/x", NotUtf8),
            ("%ed%a0%80", NotUtf8),
            ("ä", NotEncoded),
        ] {
            assert_eq!(DeletePath::parse(raw), Err(fault), "{raw:?}");
        }
    }

    #[test]
    fn double_encoding_is_a_file_of_that_odd_name() {
        let path = DeletePath::parse("a/%252e%252e%252fb").unwrap();
        assert_eq!(path.as_str(), "a/%2e%2e%2fb");
        assert_eq!(canonical(&path), "a/%252e%252e%252fb");
    }

    proptest! {
        #[test]
        fn parsing_never_panics(raw: String) {
            let _ = DeletePath::parse(&raw);
        }

        #[test]
        fn the_canonical_form_reads_back_as_the_same_file(raw in "([a-z.%;/ ü\u{0}-\u{7f}]|%[0-9a-fA-F]{2}){1,24}") {
            if let Ok(path) = DeletePath::parse(&raw) {
                let sent = canonical(&path);
                let again = DeletePath::parse(&sent).unwrap();
                prop_assert_eq!(again.as_str(), path.as_str());
                prop_assert_eq!(canonical(&again), sent.clone());
                prop_assert!(sent.split('/').all(|s| !s.is_empty() && s != "." && s != ".."));
            }
        }

        #[test]
        fn every_decoded_path_survives_the_journey(segments in prop::collection::vec("[^/\\\\\\p{Cc}]{1,12}", 1..5)) {
            let decoded = segments.join("/");
            if let Ok(path) = DeletePath::try_from(decoded.clone()) {
                let again = DeletePath::parse(&canonical(&path)).unwrap();
                prop_assert_eq!(again.as_str(), decoded.as_str());
            }
        }
    }
}
