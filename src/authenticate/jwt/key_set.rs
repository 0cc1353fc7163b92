//! The public keys of an issuer (RFC 7517).

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::algorithm::Algorithm;
use super::json::{self, NotAnObject};
use super::key::Key;

/// No set is larger. Those of real issuers have a few KiB.
pub const MAX_KEY_SET_BYTES: usize = 256 * 1024;

/// No set has more, counting those that are for others.
pub const MAX_KEYS: usize = 100;

/// Why what an issuer publishes is not taken. No text repeats anything of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's text says what it is")]
pub enum KeySetError {
    #[error("it is larger than {} KiB", MAX_KEY_SET_BYTES / 1024)]
    TooLarge,
    #[error("it is not a JSON object with an array `keys`")]
    Malformed,
    #[error("a name stands twice in one of its objects")]
    Repeated,
    #[error("it has more than {MAX_KEYS} keys")]
    TooMany,
    #[error("none of its keys is one that the configured algorithms can use")]
    NoUsableKey,
}

/// Keys that signatures are verified with, all of them public.
#[derive(Debug)]
pub struct KeySet {
    keys: Box<[Key]>,
    /// Of the bytes it was read from.
    digest: [u8; 32],
}

impl KeySet {
    /// Reads a set. A key that is not for us, or not fit for use, is left out: issuers publish
    /// keys for other purposes and of kinds still to come.
    ///
    /// # Errors
    /// [`KeySetError`] if no set can be read, or one that has no key for these algorithms.
    pub fn parse(bytes: &[u8], algorithms: &[Algorithm]) -> Result<Self, KeySetError> {
        if bytes.len() > MAX_KEY_SET_BYTES {
            return Err(KeySetError::TooLarge);
        }
        let set = json::object(bytes).map_err(|error| match error {
            NotAnObject::Repeated => KeySetError::Repeated,
            NotAnObject::Malformed => KeySetError::Malformed,
        })?;
        let jwks = set.get("keys").and_then(Value::as_array).ok_or(KeySetError::Malformed)?;
        if jwks.len() > MAX_KEYS {
            return Err(KeySetError::TooMany);
        }
        let keys: Box<[_]> = jwks
            .iter()
            .filter_map(Value::as_object)
            .filter_map(|jwk| Key::read(jwk, algorithms))
            .collect();
        if keys.is_empty() {
            return Err(KeySetError::NoUsableKey);
        }
        Ok(Self { keys, digest: Sha256::digest(bytes).into() })
    }

    /// How many keys there are to use: at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    /// The keys that may have made a signature. A token that names none must leave no choice.
    pub(super) fn suitable<'s>(
        &'s self,
        algorithm: Algorithm,
        name: Option<&'s str>,
    ) -> impl Iterator<Item = &'s Key> {
        let suiting = move || self.keys.iter().filter(move |key| key.suits(algorithm));
        let ambiguous = name.is_none() && suiting().nth(1).is_some();
        suiting().filter(move |key| !ambiguous && name.is_none_or(|name| key.is_named(name)))
    }
}
