//! From a token to its claims, and the tokens that were verified before.

use std::sync::{Arc, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde_json::Value;

use super::claims::Claims;
use super::issuer::Issuer;
use super::jws::{Unverified, members};
use super::key_set::KeySet;
use crate::authenticate::KeyDigest;
use crate::refusal::JwtFault;

/// How many verified tokens are remembered; fewer if they are large.
pub const CACHED_TOKENS: usize = 10_000;

/// Why a token proves nothing, or nothing yet.
#[derive(Debug, Clone)]
pub enum Unproven {
    /// It is wrong, and will be.
    Fault(JwtFault),
    /// It says that it is from an issuer whose keys were never known.
    KeysUnavailable,
    /// It says that it is from this issuer, whose set has no key that could have signed it. The
    /// issuer may have published it since.
    UnknownKey(Arc<Issuer>),
}

impl From<JwtFault> for Unproven {
    fn from(fault: JwtFault) -> Self {
        Self::Fault(fault)
    }
}

/// A token that was verified, without the token.
#[derive(Debug)]
struct Verified {
    claims: Arc<Claims>,
    /// Who signed it, and what it was verified with. Weak, so that a token never keeps an issuer that
    /// is gone, or keys that were replaced; an address is not used again while it is held.
    issuer: Weak<Issuer>,
    keys: Weak<KeySet>,
    token_bytes: usize,
}

/// What a token takes of [`CACHED_TOKENS`] places: one as usual, more if it is unusually large, since
/// what it says is kept.
#[derive(Debug, Clone)]
struct Places;

impl Weighter<KeyDigest, Arc<Verified>> for Places {
    fn weight(&self, _: &KeyDigest, verified: &Arc<Verified>) -> u64 {
        const USUAL_BYTES: usize = 2048;
        u64::try_from(1 + verified.token_bytes / USUAL_BYTES).unwrap_or(u64::MAX)
    }
}

/// The configured issuers, and the tokens of theirs that were verified.
#[derive(Debug)]
pub struct Issuers {
    issuers: Box<[Arc<Issuer>]>,
    /// By the SHA-256 of a token: it is of no use to who reads memory. Tokens that were refused
    /// are not here, so that nobody can push out good ones by sending bad ones. Shared with the
    /// issuers that come after these.
    verified: Arc<Cache<KeyDigest, Arc<Verified>, Places>>,
}

impl Default for Issuers {
    fn default() -> Self {
        Self::new([])
    }
}

impl Issuers {
    /// These issuers, each with an `iss` of its own.
    #[must_use]
    pub fn new(issuers: impl IntoIterator<Item = Arc<Issuer>>) -> Self {
        let places = u64::try_from(CACHED_TOKENS).unwrap_or(u64::MAX);
        Self {
            issuers: issuers.into_iter().collect(),
            verified: Arc::new(Cache::with_weighter(CACHED_TOKENS, places, Places)),
        }
    }

    /// Other issuers that come after these. What was verified stays so where the very same issuer is
    /// among them, and nowhere else.
    #[must_use]
    pub fn succeeded_by(&self, issuers: impl IntoIterator<Item = Arc<Issuer>>) -> Self {
        Self { issuers: issuers.into_iter().collect(), verified: Arc::clone(&self.verified) }
    }

    /// Whether there are none, so that no token can be good.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.issuers.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Issuer>> {
        self.issuers.iter()
    }

    /// What a token says, if an issuer signed it, for us, and it is valid now. The digest is the
    /// token's own.
    ///
    /// # Errors
    /// [`Unproven`].
    pub fn verify(
        &self,
        token: &[u8],
        digest: KeyDigest,
        now: SystemTime,
    ) -> Result<Arc<Claims>, Unproven> {
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if let Some(verified) = self.verified.get(&digest)
            && self.vouch_for(&verified)
        {
            verified.claims.at(now)?;
            return Ok(Arc::clone(&verified.claims));
        }
        let verified = self.verify_anew(token, now)?;
        let claims = Arc::clone(&verified.claims);
        self.verified.insert(digest, Arc::new(verified));
        Ok(claims)
    }

    /// A key may have been withdrawn, and an issuer removed: only the present set of one of these
    /// vouches for a token.
    fn vouch_for(&self, verified: &Verified) -> bool {
        let signed =
            |issuer: &&Arc<Issuer>| std::ptr::eq(Arc::as_ptr(issuer), verified.issuer.as_ptr());
        self.issuers.iter().find(signed).is_some_and(|issuer| {
            let keys = issuer.keys();
            keys.as_ref()
                .is_some_and(|keys| std::ptr::eq(Arc::as_ptr(keys), verified.keys.as_ptr()))
        })
    }

    /// What is cheap comes first; what tells about the claims comes after the signature.
    fn verify_anew(&self, token: &[u8], now: u64) -> Result<Verified, Unproven> {
        let unverified = Unverified::read(token)?;
        let members = members(&unverified.payload)?;
        let issuer = members.get("iss").and_then(Value::as_str).and_then(|name| self.by_iss(name));
        let issuer = issuer.ok_or(JwtFault::Issuer)?;
        let terms = &issuer.terms;
        unverified.allowed(&terms.algorithms)?;
        let keys = issuer.keys();
        let keys = keys.as_ref().ok_or(Unproven::KeysUnavailable)?;
        unverified.verify(keys, &terms.algorithms).map_err(|fault| {
            if fault == JwtFault::Key {
                Unproven::UnknownKey(Arc::clone(issuer))
            } else {
                Unproven::Fault(fault)
            }
        })?;
        let claims = Claims::read(terms, members)?;
        claims.at(now)?;
        let (claims, issuer) = (Arc::new(claims), Arc::downgrade(issuer));
        Ok(Verified { claims, issuer, keys: Arc::downgrade(keys), token_bytes: token.len() })
    }

    fn by_iss(&self, name: &str) -> Option<&Arc<Issuer>> {
        self.issuers.iter().find(|issuer| issuer.terms.issuer == name)
    }

    #[cfg(test)]
    pub(super) fn cached(&self) -> usize {
        self.verified.len()
    }
}
