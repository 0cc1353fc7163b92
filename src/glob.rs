//! Globs, as operators write them: `*` within a segment, `**` across segments, nothing else.
//!
//! A matcher of our own, because those of others give meaning to `?`, `[…]` and `{…}`, which are
//! ordinary characters in the names of files.

mod names;

pub use self::names::NameSet;

use std::fmt;

/// Why a text is not a glob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's text says what it is")]
pub enum GlobError {
    #[error("it is empty")]
    Empty,
    #[error("paths have no leading or trailing slash, and no empty segment")]
    EmptySegment,
    #[error("`**` stands for whole segments: write `**/x` or `x/**`")]
    PartialDoubleStar,
    #[error("no path has `.` or `..` as a segment")]
    DotSegment,
    #[error("no path has a backslash or a control character; there are no escapes in globs")]
    Character,
}

/// A glob over one name, or one segment: `*` is any number of any characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NameGlob {
    /// The literal text before the first `*`.
    prefix: Box<str>,
    /// What stands between the stars and after the last one; `None`: there is no star.
    rest: Option<Rest>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Rest {
    middle: Box<[Box<str>]>,
    suffix: Box<str>,
    /// The whole glob, as it was written.
    written: Box<str>,
}

impl NameGlob {
    /// The one name that matches, where there is no star.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        self.rest.is_none().then_some(&*self.prefix)
    }

    /// Whether the whole name matches.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let Some(Rest { middle, suffix, .. }) = &self.rest else { return *name == *self.prefix };
        // The suffix is cut off first, so that no piece in the middle can use it up.
        let Some(mut between) =
            name.strip_prefix(&*self.prefix).and_then(|name| name.strip_suffix(&**suffix))
        else {
            return false;
        };
        middle.iter().all(|piece| match between.split_once(&**piece) {
            Some((_, after)) => {
                between = after;
                true
            }
            None => false,
        })
    }

    /// Whether every name that the other matches is matched by this one, too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        // No literal holds a star, so a star in what the other is written as is taken by a star here,
        // which then takes whatever stands for it.
        self.matches(other.rest.as_ref().map_or(&*other.prefix, |rest| &*rest.written))
    }
}

/// As it would be written.
impl fmt::Display for NameGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.prefix)?;
        let Some(Rest { middle, suffix, .. }) = &self.rest else { return Ok(()) };
        for piece in middle {
            write!(f, "*{piece}")?;
        }
        write!(f, "*{suffix}")
    }
}

impl TryFrom<&str> for NameGlob {
    type Error = GlobError;

    fn try_from(text: &str) -> Result<Self, GlobError> {
        if text.is_empty() {
            return Err(GlobError::Empty);
        }
        let mut pieces = text.split('*').map(Box::<str>::from);
        let prefix = pieces.next().unwrap_or_default();
        let mut middle: Vec<_> = pieces.collect();
        let rest = middle.pop().map(|suffix| {
            middle.retain(|piece| !piece.is_empty());
            Rest { middle: middle.into(), suffix, written: text.into() }
        });
        Ok(Self { prefix, rest })
    }
}

/// A glob over a decoded path.
///
/// `**` stands for any number of segments; at the end it needs at least one, so that `legal/**`
/// is what lies under `legal`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathGlob(Box<[Part]>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Segment(NameGlob),
    AnySegments,
}

impl PathGlob {
    /// The first segment of every path that matches, where it is only one.
    #[must_use]
    pub fn first_segment(&self) -> Option<&str> {
        match self.0.first()? {
            Part::Segment(glob) => glob.literal(),
            Part::AnySegments => None,
        }
    }

    /// The last segment of every path that matches, where it is only one.
    #[must_use]
    pub fn last_segment(&self) -> Option<&str> {
        match self.0.last()? {
            Part::Segment(glob) => glob.literal(),
            Part::AnySegments => None,
        }
    }

    /// Whether the whole path matches. Backtracks to the last `**` alone, so the time is bounded
    /// by the product of the two lengths.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let parts = &*self.0;
        // Of many globs most differ in the name of the file: that is looked at without walking there.
        if let Some(Part::Segment(name)) = parts.last()
            && !name.matches(path.rsplit_once('/').map_or(path, |(_, name)| name))
        {
            return false;
        }
        let (mut next, mut rest) = (0, Some(path));
        let mut last_any = None;
        loop {
            let matched = match (parts.get(next), rest) {
                (Some(Part::AnySegments), _) => {
                    if next + 1 == parts.len() {
                        return rest.is_some();
                    }
                    last_any = Some((next + 1, rest));
                    Some(rest)
                }
                (Some(Part::Segment(glob)), Some(path)) => {
                    let (segment, after) = split(path);
                    glob.matches(segment).then_some(after)
                }
                (None, None) => return true,
                (Some(Part::Segment(_)), None) | (None, Some(_)) => None,
            };
            if let Some(after) = matched {
                (next, rest) = (next + 1, after);
                continue;
            }
            let Some((resume, Some(taken))) = last_any else { return false };
            let (_, after) = split(taken);
            last_any = Some((resume, after));
            (next, rest) = (resume, after);
        }
    }

    /// Whether it is `**`, which matches every path.
    #[must_use]
    pub fn is_any(&self) -> bool {
        matches!(&*self.0, [Part::AnySegments])
    }

    /// Whether every path that the other matches is surely matched by this one, too. It may miss some:
    /// `*/**` covers `**`, and that is not seen.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        covers(&self.0, &other.0)
    }
}

/// Backtracks to the last `**` alone, like the matching itself.
fn covers(wide: &[Part], narrow: &[Part]) -> bool {
    let (mut next, mut at) = (0, 0);
    let mut last_any = None;
    loop {
        let taken = match (wide.get(next), narrow.get(at)) {
            // At the end it needs a segment, which whatever is left has.
            (Some(Part::AnySegments), left) if next + 1 == wide.len() => return left.is_some(),
            (Some(Part::AnySegments), _) => {
                last_any = Some((next + 1, at));
                Some(at)
            }
            (Some(Part::Segment(wide)), Some(Part::Segment(narrow))) => {
                wide.covers(narrow).then_some(at + 1)
            }
            (None, None) => return true,
            (Some(Part::Segment(_)), Some(Part::AnySegments) | None) | (None, Some(_)) => None,
        };
        if let Some(after) = taken {
            (next, at) = (next + 1, after);
            continue;
        }
        let Some((resume, taken)) = last_any.filter(|&(_, taken)| taken < narrow.len()) else {
            return false;
        };
        last_any = Some((resume, taken + 1));
        (next, at) = (resume, taken + 1);
    }
}

/// The first segment, and what follows it. By bytes: the search for a `char` costs more than most segments
/// are long.
fn split(path: &str) -> (&str, Option<&str>) {
    let slash = path.bytes().position(|byte| byte == b'/');
    match slash.and_then(|at| Some((path.get(..at)?, path.get(at + 1..)?))) {
        Some((segment, after)) => (segment, Some(after)),
        None => (path, None),
    }
}

/// As it would be written.
impl fmt::Display for PathGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("/")?;
            }
            match part {
                Part::Segment(glob) => glob.fmt(f)?,
                Part::AnySegments => f.write_str("**")?,
            }
        }
        Ok(())
    }
}

impl TryFrom<&str> for PathGlob {
    type Error = GlobError;

    fn try_from(text: &str) -> Result<Self, GlobError> {
        if text.is_empty() {
            return Err(GlobError::Empty);
        }
        if text.contains(|c: char| c == '\\' || c.is_control()) {
            return Err(GlobError::Character);
        }
        let part = |segment: &str| match segment {
            "" => Err(GlobError::EmptySegment),
            "." | ".." => Err(GlobError::DotSegment),
            "**" => Ok(Part::AnySegments),
            _ if segment.contains("**") => Err(GlobError::PartialDoubleStar),
            _ => NameGlob::try_from(segment).map(Part::Segment),
        };
        Ok(Self(text.split('/').map(part).collect::<Result<_, _>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path_matches(glob: &str, path: &str) -> bool {
        PathGlob::try_from(glob).unwrap().matches(path)
    }

    #[test]
    fn globs_match_as_operators_expect() {
        for (glob, yes, no) in [
            ("tmp/**", &["tmp/a", "tmp/a/b"][..], &["tmp", "tmpx/a", "x/tmp/a"][..]),
            ("**", &["a", "a/b/c"], &[]),
            ("*", &["a", "anything"], &["a/b"]),
            ("a/*", &["a/b"], &["a", "a/b/c"]),
            ("a/**/z", &["a/z", "a/b/z", "a/b/c/z", "a/z/z"], &["a", "a/b", "z"]),
            ("**/*.tmp", &["x.tmp", "a/b/x.tmp"], &["x.tmp/a", "x.tmpx"]),
            ("**/cache/**", &["cache/a", "a/cache/b/c"], &["cache", "a/cache"]),
            ("**/a/**/b", &["a/b", "x/a/a/y/b", "a/b/b"], &["a", "b/a"]),
            ("a*b*c", &["abc", "aXbYc", "abcbc"], &["ab", "abcd", "acb"]),
            ("a*a", &["aa", "aba"], &["a"]),
            ("photo[1]{2}?.jpg", &["photo[1]{2}?.jpg"], &["photo12x.jpg"]),
            ("Legal/*", &["Legal/a"], &["legal/a"]),
        ] {
            for path in yes {
                assert!(path_matches(glob, path), "{glob} should match {path}");
            }
            for path in no {
                assert!(!path_matches(glob, path), "{glob} should not match {path}");
            }
        }
    }

    #[test]
    fn what_could_never_match_is_no_glob() {
        for (glob, error) in [
            ("", GlobError::Empty),
            ("/a", GlobError::EmptySegment),
            ("a/", GlobError::EmptySegment),
            ("a//b", GlobError::EmptySegment),
            ("a**", GlobError::PartialDoubleStar),
            ("a/***", GlobError::PartialDoubleStar),
            ("a/../b", GlobError::DotSegment),
            ("a\\*", GlobError::Character),
        ] {
            assert_eq!(PathGlob::try_from(glob), Err(error), "{glob:?}");
        }
    }

    #[test]
    fn one_glob_covers_another() {
        for (wide, covered, not) in [
            ("**", &["**", "*", "a/**", "**/a", "a/*/b"][..], &[][..]),
            ("tmp/**", &["tmp/**", "tmp/a", "tmp/*", "tmp/**/x"], &["tmp", "**", "t*/a", "*/a"]),
            ("**/*.tmp", &["a.tmp", "a/**/b.tmp", "**/x*.tmp", "*/*.tmp"], &["**", "tmp/**"]),
            ("a/**/z", &["a/z", "a/**/y/z", "a/*/z"], &["a/**", "**/z"]),
            ("a*", &["ab*", "a*b", "a"], &["*a", "*", "b*"]),
            ("*", &["*", "a", "a*"], &["**", "a/b"]),
        ] {
            let glob = |text| PathGlob::try_from(text).unwrap();
            for narrow in covered {
                assert!(glob(wide).covers(&glob(narrow)), "{wide} should cover {narrow}");
            }
            for narrow in not {
                assert!(!glob(wide).covers(&glob(narrow)), "{wide} should not cover {narrow}");
            }
        }
    }

    /// The plainest possible statement of what a glob means, to hold the real one to.
    fn by_definition(parts: &[&str], segments: &[&str]) -> bool {
        match parts.split_first() {
            None => segments.is_empty(),
            Some((&"**", [])) => !segments.is_empty(),
            Some((&"**", rest)) => {
                (0..=segments.len()).any(|taken| by_definition(rest, &segments[taken..]))
            }
            Some((part, rest)) => segments.split_first().is_some_and(|(first, others)| {
                name_by_definition(part.as_bytes(), first.as_bytes()) && by_definition(rest, others)
            }),
        }
    }

    fn name_by_definition(glob: &[u8], name: &[u8]) -> bool {
        match glob.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|n| name_by_definition(rest, &name[n..])),
            Some((byte, rest)) => name
                .split_first()
                .is_some_and(|(b, name)| b == byte && name_by_definition(rest, name)),
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_the_definition(
            parts in prop::collection::vec("\\*\\*|[ab*]{1,4}", 1..5),
            segments in prop::collection::vec("[ab]{1,4}", 1..6),
        ) {
            let glob = parts.join("/");
            let Ok(compiled) = PathGlob::try_from(glob.as_str()) else { return Ok(()) };
            let parts: Vec<_> = parts.iter().map(String::as_str).collect();
            let path = segments.join("/");
            let segments: Vec<_> = segments.iter().map(String::as_str).collect();
            prop_assert_eq!(compiled.matches(&path), by_definition(&parts, &segments), "{} {}", glob, path);
        }

        #[test]
        fn what_is_covered_is_matched(
            wide in prop::collection::vec("\\*\\*|[ab*]{1,3}", 1..4),
            narrow in prop::collection::vec("\\*\\*|[ab*]{1,3}", 1..4),
            paths in prop::collection::vec(prop::collection::vec("[ab]{1,3}", 1..5), 16),
        ) {
            let glob = |parts: &[String]| PathGlob::try_from(parts.join("/").as_str());
            let (Ok(wide), Ok(narrow)) = (glob(&wide), glob(&narrow)) else { return Ok(()) };
            prop_assert!(wide.covers(&wide));
            if wide.covers(&narrow) {
                for path in paths.iter().map(|segments| segments.join("/")) {
                    prop_assert!(!narrow.matches(&path) || wide.matches(&path), "{} {} {}", wide, narrow, path);
                }
            }
        }
    }
}
