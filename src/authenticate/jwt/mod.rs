//! JSON Web Tokens that others issue: from the bytes of one to its [`Claims`].
//!
//! Nothing here reads a clock, a file or a socket: keys are handed in, and so is the time. Of
//! `jsonwebtoken` only the verification of one signature with one key is used. What comes before
//! and after that is ours, because it is where libraries differ and forgeries begin: names that
//! stand twice, base64 with slack in it, keys that are taken for what they are not.

mod algorithm;
mod claims;
mod issuer;
mod json;
pub mod jws;
mod key;
mod key_set;
mod verify;

#[cfg(test)]
mod tests;

pub use self::algorithm::{Algorithm, UnknownAlgorithm};
pub use self::claims::{ClaimRule, Claims};
pub use self::issuer::{Issuer, Terms};
pub use self::key_set::{KeySet, KeySetError, MAX_KEY_SET_BYTES, MAX_KEYS};
pub use self::verify::{CACHED_TOKENS, Issuers, Unproven};

use std::time::Duration;

/// No token is longer. Those of real issuers have 1 or 2 KiB.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// How far the clocks of an issuer and of this host may be apart.
pub const LEEWAY: Duration = Duration::from_secs(30);

/// Whether a credential can be nothing but a JWT: two dots, and a start that is `{"` in base64.
#[must_use]
pub fn looks_like_one(token: &[u8]) -> bool {
    token.starts_with(b"eyJ") && memchr::memchr_iter(b'.', token).count() == 2
}
