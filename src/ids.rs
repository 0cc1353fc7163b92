//! The names everything else is said in. Each is checked once, where it enters.

use std::fmt;
use std::sync::Arc;

/// Longest name, in bytes. Names are metric labels and log fields: they stay readable.
pub const MAX_NAME_BYTES: usize = 64;

/// Longest `user_id` a caller may send, in bytes, after decoding. SMH states no limit.
pub const MAX_USER_ID_BYTES: usize = 256;

/// Longest text that an operator gives a rule or a freeze, in bytes.
pub const MAX_TEXT_BYTES: usize = 256;

/// Why a text is not a name of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing stands there.
    #[error("it is empty")]
    Empty,
    /// More bytes than a name of this kind may have.
    #[error("it is longer than {0} bytes")]
    TooLong(usize),
    /// A character that a name of this kind may not hold.
    #[error("{0:?} is not allowed in it; use {1}")]
    Character(char, &'static str),
    /// `.` and `..` mean something else in a path.
    #[error("`.` and `..` cannot be names")]
    Dots,
}

fn check(
    text: &str,
    longest: usize,
    allowed: impl Fn(char) -> bool,
    alphabet: &'static str,
) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > longest {
        return Err(NameError::TooLong(longest));
    }
    match text.chars().find(|&character| !allowed(character)) {
        Some(character) => Err(NameError::Character(character, alphabet)),
        None => Ok(()),
    }
}

/// Declares a name: a shared, checked text.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $longest:expr, $allowed:expr, $alphabet:literal) => {
        name! { $(#[$doc])* $name, $longest, $allowed, $alphabet, |_| Ok(()) }
    };
    ($(#[$doc:meta])* $name:ident, $longest:expr, $allowed:expr, $alphabet:literal, $also:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<&str> for $name {
            type Error = NameError;

            fn try_from(text: &str) -> Result<Self, NameError> {
                let also: fn(&str) -> Result<(), NameError> = $also;
                check(text, $longest, $allowed, $alphabet)?;
                also(text)?;
                Ok(Self(Arc::from(text)))
            }
        }

        /// So that a map can be asked by what a caller wrote.
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

/// What RFC 3986 never needs to escape, so that a name reads the same in a path.
fn unreserved(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '-' | '.' | '_' | '~')
}

name! {
    /// A caller, as gateway.yaml names it.
    CallerName, MAX_NAME_BYTES,
    |c| unreserved(c) || matches!(c, '@' | ':' | '/'),
    "letters, digits and - . _ ~ @ : /"
}
name! {
    /// An issuer of JWTs, as gateway.yaml names it.
    IssuerName, MAX_NAME_BYTES, unreserved, "letters, digits and - . _ ~"
}
name! {
    /// A tenant, as gateway.yaml names it and as callers write it in a path, where it cannot be
    /// `.` or `..`.
    TenantName, MAX_NAME_BYTES, unreserved, "letters, digits and - . _ ~",
    |text| if matches!(text, "." | "..") { Err(NameError::Dots) } else { Ok(()) }
}
name! {
    /// An SMH library, as the console shows it (smh-api.md 1.1). Part of a host name and a path.
    LibraryId, MAX_NAME_BYTES,
    |c| c.is_ascii_alphanumeric() || c == '-',
    "letters, digits and -"
}
name! {
    /// An SMH space (smh-api.md 1.1); `-` is the one space of a single-tenant library.
    SpaceId, MAX_NAME_BYTES,
    |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'),
    "letters, digits and - _"
}
name! {
    /// A rule of the policy. Visible ASCII and spaces: it stands in answers and in the audit.
    RuleName, MAX_NAME_BYTES, |c| c == ' ' || c.is_ascii_graphic(), "visible ASCII and spaces"
}
name! {
    /// A rate limit. Stands in `RateLimit` fields as a string of RFC 9651, so ASCII alone.
    LimitName, MAX_NAME_BYTES,
    |c| c == ' ' || (c.is_ascii_graphic() && !matches!(c, '"' | '\\')),
    "visible ASCII and spaces, without quotes and backslashes"
}
name! {
    /// A ticket or another note to a rule: free text, kept in the log and the audit.
    Ticket, MAX_TEXT_BYTES, |c| !c.is_control(), "anything but control characters"
}
name! {
    /// Why something is frozen: free text, told to callers.
    FreezeReason, MAX_TEXT_BYTES, |c| !c.is_control(), "anything but control characters"
}

name! {
    /// A policy test case: free text, shown where it passes or fails.
    CaseName, MAX_TEXT_BYTES, |c| !c.is_control(), "anything but control characters"
}

/// A rule as answers, the log and the audit name it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Citation {
    /// The rule.
    pub rule: RuleName,
    /// What stands behind it.
    pub ticket: Option<Ticket>,
}

impl LimitName {
    /// A limit that no operator writes: on failed authentications.
    #[must_use]
    pub fn authentication_failures() -> Self {
        Self(Arc::from("authentication failures"))
    }

    /// The limit that SMH itself was found to have.
    #[must_use]
    pub fn smhs_own() -> Self {
        Self(Arc::from("SMH's own limit"))
    }
}

name! {
    /// The user on whose behalf a caller acts: SMH's `user_id`, opaque to the gateway.
    UserId, MAX_USER_ID_BYTES, |c| !c.is_control(), "anything but control characters"
}

/// Tells one request from all others, in the answer, the log and the audit.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestId(http::HeaderValue);

/// Longest `X-Request-Id` that is kept as the caller sent it.
const MAX_REQUEST_ID_BYTES: usize = 128;

impl RequestId {
    /// The field that it travels in.
    pub const FIELD: http::HeaderName = http::HeaderName::from_static("x-request-id");

    /// The caller's own id, if it is 1 to 128 visible ASCII characters.
    #[must_use]
    pub fn from_caller(value: &http::HeaderValue) -> Option<Self> {
        let bytes = value.as_bytes();
        let keeps = (1..=MAX_REQUEST_ID_BYTES).contains(&bytes.len())
            && bytes.iter().all(u8::is_ascii_graphic);
        keeps.then(|| Self(value.clone()))
    }

    /// A new one: 128 random bits as 32 lower-case hexadecimal digits, as SMH writes its own.
    #[must_use]
    pub fn random() -> Self {
        let mut digits = [0; 32];
        // 16 bytes are 32 digits: the lengths always agree.
        let _ = hex::encode_to_slice(rand::random::<[u8; 16]>(), &mut digits);
        let value = http::HeaderValue::from_bytes(&digits);
        Self(value.unwrap_or_else(|_| http::HeaderValue::from_static("-")))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or("-")
    }

    /// The id as a header value.
    #[must_use]
    pub fn as_header(&self) -> http::HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_reads_the_same_in_a_path() {
        assert!(TenantName::try_from("photos-2.eu_west~1").is_ok());
        for wrong in ["", ".", "..", "a/b", "a b", "a%20b", "ü", &"x".repeat(65)] {
            assert!(TenantName::try_from(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_single_space_of_a_library_is_a_dash() {
        assert!(SpaceId::try_from("-").is_ok());
    }

    #[test]
    fn our_own_limits_have_names_like_any_other() {
        for own in [LimitName::authentication_failures(), LimitName::smhs_own()] {
            assert_eq!(LimitName::try_from(own.as_str()), Ok(own));
        }
    }

    #[test]
    fn a_request_id_is_kept_only_if_it_is_visible_ascii() {
        let kept = |text: &[u8]| {
            http::HeaderValue::from_bytes(text)
                .ok()
                .and_then(|value| RequestId::from_caller(&value))
                .is_some()
        };
        assert!(kept(b"abc-123"));
        assert!(kept(&[b'x'; 128]));
        assert!(!kept(&[b'x'; 129]));
        assert!(!kept(b""));
        assert!(!kept(b"a b"));
        assert!(!kept("ä".as_bytes()));
    }

    #[test]
    fn random_request_ids_are_32_hexadecimal_digits_and_differ() {
        let (one, other) = (RequestId::random(), RequestId::random());
        assert_eq!(one.as_str().len(), 32);
        assert!(one.as_str().bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
        assert_ne!(one, other);
    }
}
