//! Who is calling: from a credential, or from where the connection comes, to a [`Caller`].
//!
//! An API key is looked up by its SHA-256 in a table whose own hash is keyed, and the digest found
//! is compared in constant time: how long it takes tells nothing about keys, and nothing depends
//! on the number of callers.

pub mod jwt;
mod keyring;
pub mod certificate;
pub mod spiffe;

pub use self::keyring::{Credential, Keyring, read_all};

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;

use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::directory::Caller;
use crate::refusal::{CredentialFault, Refusal};

/// The SHA-256 of an API key. Not shown: it could be tried against lists of weak keys.
#[derive(Clone, Copy)]
pub struct KeyDigest([u8; 32]);

impl PartialEq for KeyDigest {
    /// In constant time: this is the comparison that a table look-up ends with.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for KeyDigest {}

impl Hash for KeyDigest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl KeyDigest {
    /// The digest of a key.
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// As `smh-gateway hash-key` prints it: 64 hexadecimal digits.
    #[must_use]
    pub fn from_hex(digits: &str) -> Option<Self> {
        let mut digest = [0; 32];
        hex::decode_to_slice(digits, &mut digest).ok()?;
        Some(Self(digest))
    }

    /// 64 lower-case hexadecimal digits, for the configuration.
    #[must_use]
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }
}

impl std::fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(crate::secret::REDACTED)
    }
}

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

impl Peer {
    fn is_loopback(self) -> bool {
        self.0.ip().to_canonical().is_loopback()
    }
}

/// The credentials of all callers, ready to be looked up.
#[derive(Debug, Default)]
pub struct Authenticator {
    /// `None` where one key is two callers'.
    keys: HashMap<KeyDigest, Option<Arc<Caller>>>,
    loopback: Option<Arc<Caller>>,
}

impl Authenticator {
    fn add_key(&mut self, digest: KeyDigest, caller: &Arc<Caller>) {
        self.keys
            .entry(digest)
            .and_modify(|held| {
                if held.as_ref().is_some_and(|held| held.name != caller.name) {
                    *held = None;
                }
            })
            .or_insert_with(|| Some(Arc::clone(caller)));
    }

    /// Makes this caller of whoever comes from a loopback address with no credential.
    fn trust_loopback(&mut self, caller: Arc<Caller>) {
        self.loopback = Some(caller);
    }

    /// Finds the caller. What is presented must be right: a wrong credential is not made good by
    /// a second one, nor by a loopback address.
    ///
    /// # Errors
    /// [`Refusal::Unauthenticated`]; the reason is for the log.
    pub fn authenticate(&self, headers: &HeaderMap, peer: Peer) -> Result<&Arc<Caller>, Refusal> {
        let bearer = single(headers, &AUTHORIZATION)?.map(bearer).transpose()?;
        let api_key = single(headers, &X_API_KEY)?.map(HeaderValue::as_bytes);
        match (bearer, api_key) {
            (None, None) => match &self.loopback {
                Some(caller) if peer.is_loopback() => Ok(caller),
                _ => Err(unauthenticated(CredentialFault::Missing)),
            },
            (Some(key), None) | (None, Some(key)) => self.by_key(key),
            (Some(key), Some(other)) => {
                let (caller, also) = (self.by_key(key)?, self.by_key(other)?);
                if caller.name == also.name {
                    Ok(caller)
                } else {
                    Err(unauthenticated(CredentialFault::Conflicting))
                }
            }
        }
    }

    fn by_key(&self, key: &[u8]) -> Result<&Arc<Caller>, Refusal> {
        self.keys
            .get(&KeyDigest::of(key))
            .and_then(Option::as_ref)
            .ok_or(unauthenticated(CredentialFault::Unknown))
    }
}

static X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

fn single<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h HeaderValue>, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(unauthenticated(CredentialFault::Repeated)),
        (value, None) => Ok(value),
    }
}

/// RFC 6750: the scheme in any case, one space or more, the token.
fn bearer(value: &HeaderValue) -> Result<&[u8], Refusal> {
    let (scheme, token) = value
        .as_bytes()
        .split_at_checked(b"Bearer ".len())
        .ok_or(unauthenticated(CredentialFault::Scheme))?;
    if !scheme.eq_ignore_ascii_case(b"Bearer ") {
        return Err(unauthenticated(CredentialFault::Scheme));
    }
    Ok(token.trim_ascii())
}

fn unauthenticated(fault: CredentialFault) -> Refusal {
    Refusal::Unauthenticated(fault)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::CallerName;
    use CredentialFault::{Conflicting, Missing, Repeated, Scheme, Unknown};

    fn authenticator() -> Authenticator {
        let caller =
            |name: &str| Arc::new(Caller::new(CallerName::try_from(name).unwrap(), Vec::new()));
        let mut callers = Authenticator::default();
        callers.add_key(KeyDigest::of(b"key-of-billing-1"), &caller("billing"));
        callers.add_key(KeyDigest::of(b"key-of-janitor-1"), &caller("janitor"));
        callers.trust_loopback(caller("app"));
        callers
    }

    fn ask(fields: &[(&'static str, &'static str)], from: &str) -> Result<String, Refusal> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let peer = Peer(from.parse().unwrap());
        authenticator().authenticate(&headers, peer).map(|caller| caller.name.to_string())
    }

    const FAR: &str = "10.0.0.7:40000";
    const NEAR: &str = "127.0.0.1:40000";

    #[test]
    fn a_key_names_its_caller_in_either_field() {
        let billing = Ok("billing".to_owned());
        assert_eq!(ask(&[("authorization", "Bearer key-of-billing-1")], FAR), billing);
        assert_eq!(ask(&[("authorization", "bearer   key-of-billing-1")], FAR), billing);
        assert_eq!(ask(&[("x-api-key", "key-of-billing-1")], FAR), billing);
        let both =
            [("x-api-key", "key-of-billing-1"), ("authorization", "Bearer key-of-billing-1")];
        assert_eq!(ask(&both, FAR), billing);
    }

    #[test]
    fn anything_less_than_one_right_credential_is_refused() {
        for (fields, fault) in [
            (&[][..], Missing),
            (&[("authorization", "Bearer wrong-key-000000")][..], Unknown),
            (&[("authorization", "Bearer ")], Unknown),
            (&[("authorization", "Bearer")], Scheme),
            (&[("authorization", "Basic a2V5")], Scheme),
            (&[("authorization", "key-of-billing-1")], Scheme),
            (&[("x-api-key", "")], Unknown),
            (
                &[
                    ("authorization", "Bearer key-of-billing-1"),
                    ("authorization", "Bearer key-of-billing-1"),
                ],
                Repeated,
            ),
            (&[("x-api-key", "key-of-billing-1"), ("x-api-key", "x")], Repeated),
            (
                &[("authorization", "Bearer key-of-billing-1"), ("x-api-key", "key-of-janitor-1")],
                Conflicting,
            ),
            (&[("authorization", "Bearer key-of-billing-1"), ("x-api-key", "wrong")], Unknown),
        ] {
            assert_eq!(ask(fields, FAR), Err(unauthenticated(fault)), "{fields:?}");
        }
    }

    #[test]
    fn loopback_is_trusted_only_where_no_credential_is_presented() {
        assert_eq!(ask(&[], NEAR), Ok("app".into()));
        assert_eq!(ask(&[], "[::1]:1"), Ok("app".into()));
        assert_eq!(ask(&[], "[::ffff:127.0.0.1]:1"), Ok("app".into()));
        assert_eq!(ask(&[("x-api-key", "key-of-janitor-1")], NEAR), Ok("janitor".into()));
        assert_eq!(ask(&[("x-api-key", "wrong")], NEAR), Err(unauthenticated(Unknown)));
        assert_eq!(ask(&[], FAR), Err(unauthenticated(Missing)));
    }

    #[test]
    fn digests_are_written_in_hexadecimal_and_never_shown() {
        let digest = KeyDigest::of(b"key");
        assert_eq!(KeyDigest::from_hex(&digest.to_hex()), Some(digest));
        assert_eq!(KeyDigest::from_hex("9f86"), None);
        assert_eq!(format!("{digest:?}"), "[redacted]");
    }
}
