//! Who is calling: from what a request and its connection present, to a [`Caller`].
//!
//! A bearer token or API key is looked up by its SHA-256 in a table whose own hash is keyed, and the
//! digest found is compared in constant time: how long it takes tells nothing about keys, and
//! nothing depends on the number of callers. JWTs that were verified before are known by the same
//! digest.
//!
//! What is presented must be right: a wrong credential is not made good by a second one, nor by a
//! loopback address. One exception: a client certificate that a trusted CA signed for somebody who
//! is no caller here spoils no other credential; meshes give one to everybody. By itself it is a
//! wrong one.

pub mod certificate;
pub mod jwt;
mod key;
mod keyring;
mod peer;
pub mod spiffe;
mod subjects;

pub use self::key::KeyDigest;
pub use self::keyring::{Credential, Keyring, read_all};
pub use self::peer::{ClientCas, ClientTrust, Peer, PeerAddress, Presented, Vouching};
pub use self::subjects::JwtRule;

use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};

use self::jwt::{Issuer, Issuers};
use self::spiffe::{Found, SpiffeTable};
use self::subjects::Subjects;
use crate::directory::Caller;
use crate::fast_map::FastMap;
use crate::header_fields;
use crate::refusal::{CertificateFault, CredentialFault};
use crate::secret::MIN_KEY_BYTES;

/// A caller, and what told that it is the one.
#[derive(Debug, Clone, Copy)]
pub struct Identified<'a> {
    /// Who calls.
    pub caller: &'a Arc<Caller>,
    /// By which of the things presented, the strongest first.
    pub by: Proof,
}

/// A way to prove who one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A client certificate with a SPIFFE id.
    SpiffeId,
    /// A JWT of an issuer.
    Jwt,
    /// An API key.
    ApiKey,
    /// The connection came from a loopback address or over a unix socket.
    Loopback,
}

impl Proof {
    /// The word for it in the log and the audit.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SpiffeId => "spiffe_id",
            Self::Jwt => "jwt",
            Self::ApiKey => "api_key",
            Self::Loopback => "loopback",
        }
    }
}

/// Why nobody was recognised.
#[derive(Debug)]
pub enum Unproven {
    /// What was presented is not right.
    Fault(CredentialFault),
    /// A JWT's issuer never told its keys.
    KeysUnavailable,
    /// A JWT is signed by a key that its issuer did not have when it was asked last.
    UnknownKey(Arc<Issuer>),
}

impl<F: Into<CredentialFault>> From<F> for Unproven {
    fn from(fault: F) -> Self {
        Self::Fault(fault.into())
    }
}

impl From<jwt::Unproven> for Unproven {
    fn from(unproven: jwt::Unproven) -> Self {
        match unproven {
            jwt::Unproven::Fault(fault) => fault.into(),
            jwt::Unproven::KeysUnavailable => Self::KeysUnavailable,
            jwt::Unproven::UnknownKey(issuer) => Self::UnknownKey(issuer),
        }
    }
}

/// The credentials of all callers, ready to be looked up.
#[derive(Debug, Default)]
pub struct Authenticator {
    /// `None` where one key is two callers'.
    keys: FastMap<KeyDigest, Option<Arc<Caller>>>,
    spiffe_ids: SpiffeTable<Arc<Caller>>,
    subjects: Subjects,
    issuers: Arc<Issuers>,
    loopback: Option<Arc<Caller>>,
}

impl Authenticator {
    /// One that knows nobody yet, and whose JWTs are these issuers'.
    fn new(issuers: Arc<Issuers>) -> Self {
        Self { issuers, ..Self::default() }
    }

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

    /// Finds the caller.
    ///
    /// # Errors
    /// [`Unproven`]; the reason is for the log.
    pub fn authenticate(
        &self,
        headers: &HeaderMap,
        peer: &Peer,
        now: SystemTime,
    ) -> Result<Identified<'_>, Unproven> {
        let bearer = single(headers, &AUTHORIZATION)?.map(bearer).transpose()?;
        let api_key = single(headers, &X_API_KEY)?.map(HeaderValue::as_bytes);

        let certificate = peer.certificate.as_ref().map(|one| self.by_certificate(one, now));
        let (certified, nobodys) = match certificate {
            Some(Err(Unproven::Fault(fault))) if names_nobody(fault) => (None, Some(fault)),
            Some(certified) => (Some(certified?), None),
            None => (None, None),
        };
        let borne = bearer.map(|token| self.by_bearer(token, now)).transpose()?;
        let keyed = api_key.map(|key| self.by_key(key, &KeyDigest::of(key))).transpose()?;

        let mut proofs = [certified, borne, keyed].into_iter().flatten();
        match (proofs.next(), nobodys, &self.loopback) {
            (Some(first), _, _) => {
                if proofs.any(|other| other.caller.name != first.caller.name) {
                    return Err(CredentialFault::Conflicting.into());
                }
                Ok(first)
            }
            (None, Some(fault), _) => Err(fault.into()),
            (None, None, Some(caller)) if peer.address.is_loopback() => {
                Ok(Identified { caller, by: Proof::Loopback })
            }
            (None, None, _) => Err(CredentialFault::Missing.into()),
        }
    }

    fn by_certificate(&self, one: &Presented, now: SystemTime) -> Result<Identified<'_>, Unproven> {
        match self.spiffe_ids.get(one.spiffe_id(now)?) {
            Found::One(caller) => Ok(Identified { caller, by: Proof::SpiffeId }),
            Found::Nobody => Err(CertificateFault::Unknown.into()),
            Found::Several => Err(CredentialFault::Ambiguous.into()),
        }
    }

    /// An API key or a JWT. One hash serves to look for both.
    fn by_bearer(&self, token: &[u8], now: SystemTime) -> Result<Identified<'_>, Unproven> {
        let digest = KeyDigest::of(token);
        // A key may look like a JWT, and be older than the first issuer that was configured.
        let is_jwt = jwt::looks_like_one(token) && !self.keys.contains_key(&digest);
        if self.issuers.is_empty() || !is_jwt {
            return self.by_key(token, &digest);
        }
        let claims = self.issuers.verify(token, digest, now)?;
        let caller = self.subjects.caller_of(&claims)?;
        Ok(Identified { caller, by: Proof::Jwt })
    }

    fn by_key(&self, key: &[u8], digest: &KeyDigest) -> Result<Identified<'_>, Unproven> {
        // Whoever configured the SHA-256 of an empty variable has let nobody in.
        if key.len() < MIN_KEY_BYTES {
            return Err(CredentialFault::Unknown.into());
        }
        let caller = self.keys.get(digest).ok_or(CredentialFault::Unknown)?;
        let caller = caller.as_ref().ok_or(CredentialFault::Ambiguous)?;
        Ok(Identified { caller, by: Proof::ApiKey })
    }
}

/// Good in itself, but nobody's here.
fn names_nobody(fault: CredentialFault) -> bool {
    let nobodys = [CertificateFault::NoUri, CertificateFault::Unknown];
    matches!(fault, CredentialFault::Certificate(fault) if nobodys.contains(&fault))
}

static X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

fn single<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h HeaderValue>, CredentialFault> {
    let mut values = header_fields::named(headers, name);
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(CredentialFault::Repeated),
        (value, None) => Ok(value),
    }
}

/// RFC 6750: the scheme in any case, one space or more, the token.
fn bearer(value: &HeaderValue) -> Result<&[u8], CredentialFault> {
    let (scheme, token) =
        value.as_bytes().split_at_checked(b"Bearer ".len()).ok_or(CredentialFault::Scheme)?;
    if !scheme.eq_ignore_ascii_case(b"Bearer ") {
        return Err(CredentialFault::Scheme);
    }
    Ok(token.trim_ascii())
}

#[cfg(test)]
mod tests;
