//! JSON Web Signature (RFC 7515), in its compact form.

use serde_json::{Map, Value};

use super::MAX_TOKEN_BYTES;
use super::algorithm::Algorithm;
use super::json::{self, NotAnObject};
use super::key_set::KeySet;
use crate::refusal::JwtFault;

/// The longest name of a key that is looked for.
pub(super) const MAX_KEY_NAME_BYTES: usize = 256;

/// What was signed, if one of the keys signed it with one of the algorithms.
///
/// # Errors
/// [`JwtFault::Key`] if the set has no key that could have signed it.
pub fn verify(token: &[u8], keys: &KeySet, algorithms: &[Algorithm]) -> Result<Vec<u8>, JwtFault> {
    let unverified = Unverified::read(token)?;
    unverified.verify(keys, algorithms)?;
    Ok(unverified.payload)
}

/// A token taken apart: whatever it says, anybody may have written it.
#[derive(Debug)]
pub(super) struct Unverified<'t> {
    algorithm: Algorithm,
    key: Option<Box<str>>,
    pub(super) payload: Vec<u8>,
    /// The two parts that are signed, as they came.
    signed: &'t [u8],
    signature: Vec<u8>,
}

impl<'t> Unverified<'t> {
    pub(super) fn read(token: &'t [u8]) -> Result<Self, JwtFault> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(JwtFault::TooLarge);
        }
        let [header, payload, signature] = parts(token).ok_or(JwtFault::Malformed)?;
        let decoded = |part| json::base64url(part).ok_or(JwtFault::Malformed);
        let header = members(&decoded(header)?)?;
        let (algorithm, key) = read_header(&header)?;
        let signed = token
            .strip_suffix(signature)
            .and_then(|signed| signed.strip_suffix(b"."))
            .ok_or(JwtFault::Malformed)?;
        Ok(Self {
            algorithm,
            key,
            payload: decoded(payload)?,
            signed,
            signature: decoded(signature)?,
        })
    }

    /// That one of the keys signed it with one of the algorithms.
    pub(super) fn verify(&self, keys: &KeySet, algorithms: &[Algorithm]) -> Result<(), JwtFault> {
        self.allowed(algorithms)?;
        let mut suitable = keys.suitable(self.algorithm, self.key.as_deref()).peekable();
        suitable.peek().ok_or(JwtFault::Key)?;
        if suitable.any(|key| key.verifies(self.algorithm, self.signed, &self.signature)) {
            Ok(())
        } else {
            Err(JwtFault::Signature)
        }
    }

    /// The token's own word about its algorithm is good for this comparison and no more: what it
    /// is verified with is a key that was published for that algorithm.
    pub(super) fn allowed(&self, algorithms: &[Algorithm]) -> Result<(), JwtFault> {
        if algorithms.contains(&self.algorithm) { Ok(()) } else { Err(JwtFault::Algorithm) }
    }
}

/// Exactly three parts, none of them empty.
fn parts(token: &[u8]) -> Option<[&[u8]; 3]> {
    let mut parts = token.split(|byte| *byte == b'.');
    let three = [parts.next()?, parts.next()?, parts.next()?];
    (parts.next().is_none() && three.iter().all(|part| !part.is_empty())).then_some(three)
}

/// The algorithm, and the name of the key.
///
/// `jku`, `x5u`, `x5c` and `jwk` are not looked at: they would let a token bring along the key
/// that proves it. Keys come from the issuer's configured set only.
fn read_header(header: &Map<String, Value>) -> Result<(Algorithm, Option<Box<str>>), JwtFault> {
    if header.contains_key("crit") || header.contains_key("b64") {
        return Err(JwtFault::Critical);
    }
    match header.get("typ") {
        None => {}
        Some(Value::String(kind)) if is_jwt(kind) => {}
        Some(_) => return Err(JwtFault::Header),
    }
    let key = match header.get("kid") {
        None => None,
        Some(Value::String(name)) if name.len() <= MAX_KEY_NAME_BYTES => Some((**name).into()),
        Some(_) => return Err(JwtFault::Header),
    };
    let algorithm = header.get("alg").and_then(Value::as_str).ok_or(JwtFault::Header)?;
    Ok((Algorithm::try_from(algorithm).map_err(|_| JwtFault::Algorithm)?, key))
}

/// An ID token or an access token (RFC 7519 and RFC 9068), and not something else that the issuer
/// signs with the same key, such as a logout token.
fn is_jwt(kind: &str) -> bool {
    let prefix = "application/";
    let kind = match kind.split_at_checked(prefix.len()) {
        Some((start, rest)) if start.eq_ignore_ascii_case(prefix) => rest,
        _ => kind,
    };
    kind.eq_ignore_ascii_case("JWT") || kind.eq_ignore_ascii_case("at+jwt")
}

pub(super) fn members(json: &[u8]) -> Result<Map<String, Value>, JwtFault> {
    json::object(json).map_err(|error| match error {
        NotAnObject::Repeated => JwtFault::Repeated,
        NotAnObject::Malformed => JwtFault::Malformed,
    })
}
