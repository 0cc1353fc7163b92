//! SPIFFE ids, the patterns that configuration grants to callers, and whose an id is.
//!
//! After the SPIFFE-ID standard, sections 2.1 to 2.3. An id has one spelling: it is compared byte
//! by byte, and nothing is ever decoded or put into another case.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

/// Why a text is not a SPIFFE id, or no pattern for such.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's text says what it is")]
pub enum SpiffeError {
    #[error("it does not begin with `spiffe://`, in lower case")]
    Scheme,
    #[error("it is longer than {MAX_BYTES} bytes")]
    TooLong,
    #[error("it has a percent sign: a SPIFFE id is written without escapes")]
    Escape,
    #[error("it has a query: a SPIFFE id ends with its path")]
    Query,
    #[error("it has a fragment: a SPIFFE id ends with its path")]
    Fragment,
    #[error("it has user information, which ends at the `@`")]
    User,
    #[error("it has a port, or another `:` in its trust domain")]
    Port,
    #[error("it has no trust domain: write `spiffe://trust-domain/path`")]
    NoDomain,
    #[error("its trust domain is longer than {MAX_DOMAIN_BYTES} bytes")]
    DomainTooLong,
    #[error("{0:?} is not allowed in a trust domain; use lower-case letters, digits and - . _")]
    DomainCharacter(char),
    #[error("it has no path: it names a trust domain, and nobody within it")]
    NoPath,
    #[error("its path ends in a slash")]
    TrailingSlash,
    #[error("its path has an empty segment")]
    EmptySegment,
    #[error("`.` and `..` cannot be segments of its path")]
    DotSegment,
    #[error("{0:?} is not allowed in its path; use letters, digits and - . _")]
    PathCharacter(char),
    #[error("`*` stands for all that lies below: it can only be the whole last segment")]
    Star,
}

/// Longest id, in bytes (SPIFFE-ID 2.3).
const MAX_BYTES: usize = 2048;

/// Longest trust domain, in bytes (SPIFFE-ID 2.3).
const MAX_DOMAIN_BYTES: usize = 255;

/// Somebody's SPIFFE id: `spiffe://trust-domain/path`.
///
/// The standard has ids without a path too. They name a trust domain, so its CAs carry them and
/// no caller does: here such a text is none.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId(Arc<str>);

impl SpiffeId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What an id can lie below: it without its last segment, without its last two, and so on,
    /// from the trust domain down.
    fn ancestors(&self) -> impl Iterator<Item = &str> {
        // The first two slashes are those of `spiffe://`.
        self.0.match_indices('/').skip(2).filter_map(|(border, _)| self.0.get(..border))
    }
}

impl TryFrom<&str> for SpiffeId {
    type Error = SpiffeError;

    fn try_from(text: &str) -> Result<Self, SpiffeError> {
        let (domain, path) = split(text)?;
        check_domain(domain)?;
        check_path(path.ok_or(SpiffeError::NoPath)?)?;
        Ok(Self(Arc::from(text)))
    }
}

/// So that a map can be asked by text.
impl Borrow<str> for SpiffeId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// What configuration grants to a caller: one id, or all that lie below one, written with `/*`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SpiffePattern {
    /// This id.
    Whole(SpiffeId),
    /// Every id that has this text and then one segment or more; not the text itself.
    Below(SpiffePrefix),
}

/// A trust domain, with or without a path, that ids can lie below. No slash at its end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SpiffePrefix(Arc<str>);

impl SpiffePattern {
    /// Whether the pattern is one of, or stands for, this id.
    #[must_use]
    pub fn matches(&self, id: &SpiffeId) -> bool {
        match self {
            Self::Whole(whole) => whole == id,
            Self::Below(prefix) => prefix.is_above(&id.0),
        }
    }

    /// Whether this pattern matches every id that the other one matches. Two patterns that match
    /// one same id cannot but be so, one way round or the other.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Whole(id)) => self.matches(id),
            (Self::Whole(_), Self::Below(_)) => false,
            (Self::Below(upper), Self::Below(lower)) => upper == lower || upper.is_above(&lower.0),
        }
    }
}

impl SpiffePrefix {
    fn is_above(&self, text: &str) -> bool {
        text.strip_prefix(&*self.0).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// So that a map can be asked by text.
impl Borrow<str> for SpiffePrefix {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for SpiffePattern {
    type Error = SpiffeError;

    fn try_from(text: &str) -> Result<Self, SpiffeError> {
        let (_, path) = split(text)?;
        let starred = path.is_some_and(|path| path == "*" || path.ends_with("/*"));
        let Some(prefix) = text.strip_suffix("/*").filter(|_| starred) else {
            // Said first, because `*` is no allowed character either.
            return if text.contains('*') {
                Err(SpiffeError::Star)
            } else {
                SpiffeId::try_from(text).map(Self::Whole)
            };
        };
        if prefix.contains('*') {
            return Err(SpiffeError::Star);
        }
        let (domain, path) = split(prefix)?;
        check_domain(domain)?;
        path.map_or(Ok(()), check_path)?;
        Ok(Self::Below(SpiffePrefix(Arc::from(prefix))))
    }
}

impl fmt::Display for SpiffePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(id) => fmt::Display::fmt(id, f),
            Self::Below(prefix) => write!(f, "{}/*", prefix.0),
        }
    }
}

/// The trust domain, and the path without its first slash: neither is checked on its own yet.
fn split(text: &str) -> Result<(&str, Option<&str>), SpiffeError> {
    let rest = text.strip_prefix("spiffe://").ok_or(SpiffeError::Scheme)?;
    if text.len() > MAX_BYTES {
        return Err(SpiffeError::TooLong);
    }
    // Anywhere, so that operators read what it is, not which character is wrong.
    let foreign = rest.chars().find_map(|character| match character {
        '%' => Some(SpiffeError::Escape),
        '?' => Some(SpiffeError::Query),
        '#' => Some(SpiffeError::Fragment),
        _ => None,
    });
    match (foreign, rest.split_once('/')) {
        (Some(error), _) => Err(error),
        (None, Some((domain, path))) => Ok((domain, Some(path))),
        (None, None) => Ok((rest, None)),
    }
}

fn check_domain(domain: &str) -> Result<(), SpiffeError> {
    if domain.is_empty() {
        return Err(SpiffeError::NoDomain);
    }
    if domain.contains('@') {
        return Err(SpiffeError::User);
    }
    match domain.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-' | '.' | '_')) {
        Some(':') => Err(SpiffeError::Port),
        Some(character) => Err(SpiffeError::DomainCharacter(character)),
        None if domain.len() > MAX_DOMAIN_BYTES => Err(SpiffeError::DomainTooLong),
        None => Ok(()),
    }
}

fn check_path(path: &str) -> Result<(), SpiffeError> {
    if path.is_empty() || path.ends_with('/') {
        return Err(SpiffeError::TrailingSlash);
    }
    path.split('/').try_for_each(|segment| match segment {
        "" => Err(SpiffeError::EmptySegment),
        "." | ".." => Err(SpiffeError::DotSegment),
        _ => {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
            match segment.chars().find(|&character| !allowed(character)) {
                Some(character) => Err(SpiffeError::PathCharacter(character)),
                None => Ok(()),
            }
        }
    })
}

/// Whose an id is.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'t, T> {
    /// No pattern matches.
    Nobody,
    /// Every pattern that matches is this one's.
    One(&'t T),
    /// Patterns of more than one match. None of them is chosen.
    Several,
}

/// Whose each pattern is, ready to be asked about an id.
///
/// What a look-up costs depends on the segments of the id and not on the number of patterns.
/// Configuration refuses patterns that overlap ([`SpiffePattern::covers`]) and belong to different
/// callers, so at most one is found; were it not so, nobody would be taken for somebody else.
#[derive(Debug)]
pub struct SpiffeTable<T> {
    whole: HashMap<SpiffeId, Owner<T>>,
    below: HashMap<SpiffePrefix, Owner<T>>,
    /// Bytes of the longest prefix: an id with thousands of segments is no reason to hash more.
    longest_prefix: usize,
}

/// `None` where one pattern is two owners'.
type Owner<T> = Option<T>;

impl<T: PartialEq> SpiffeTable<T> {
    /// Whose this id is.
    #[must_use]
    pub fn get(&self, id: &SpiffeId) -> Found<'_, T> {
        let below = id
            .ancestors()
            .take_while(|prefix| prefix.len() <= self.longest_prefix)
            .filter_map(|prefix| self.below.get(prefix));
        let mut found = None;
        for owner in self.whole.get(id).into_iter().chain(below) {
            match (found, owner) {
                (_, None) => return Found::Several,
                (Some(held), Some(owner)) if held != owner => return Found::Several,
                (_, Some(owner)) => found = Some(owner),
            }
        }
        found.map_or(Found::Nobody, Found::One)
    }
}

impl<T: PartialEq> FromIterator<(SpiffePattern, T)> for SpiffeTable<T> {
    fn from_iter<I: IntoIterator<Item = (SpiffePattern, T)>>(pairs: I) -> Self {
        let mut table = Self::default();
        for (pattern, owner) in pairs {
            match pattern {
                SpiffePattern::Whole(id) => add(&mut table.whole, id, owner),
                SpiffePattern::Below(prefix) => {
                    table.longest_prefix = table.longest_prefix.max(prefix.0.len());
                    add(&mut table.below, prefix, owner);
                }
            }
        }
        table
    }
}

fn add<K: Eq + Hash, T: PartialEq>(owners: &mut HashMap<K, Owner<T>>, key: K, owner: T) {
    match owners.entry(key) {
        Entry::Vacant(entry) => {
            entry.insert(Some(owner));
        }
        Entry::Occupied(mut entry) => {
            if entry.get().as_ref() != Some(&owner) {
                entry.insert(None);
            }
        }
    }
}

impl<T> Default for SpiffeTable<T> {
    fn default() -> Self {
        Self { whole: HashMap::new(), below: HashMap::new(), longest_prefix: 0 }
    }
}

#[cfg(test)]
mod tests;
