//! One public key of an issuer (RFC 7517, RFC 7518).

use jsonwebtoken::DecodingKey;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::json;
use super::jws::MAX_KEY_NAME_BYTES;

/// A key, and what it verifies.
#[derive(Debug)]
pub(super) struct Key {
    name: Option<Box<str>>,
    algorithms: Box<[Algorithm]>,
    public: DecodingKey,
}

impl Key {
    /// `None` if it is not for verifying signatures of these algorithms, or not to be trusted to.
    ///
    /// Members of a private key are not looked at, so they are never kept; what is published for
    /// everybody proves nothing, but that is between the issuer and its operators.
    pub(super) fn read(jwk: &Map<String, Value>, algorithms: &[Algorithm]) -> Option<Self> {
        if !is_for_verifying(jwk) {
            return None;
        }
        let name = match text(jwk, "kid")? {
            Some(name) if name.len() > MAX_KEY_NAME_BYTES => return None,
            name => name.map(Box::from),
        };
        let (suited, public) = public_key(jwk)?;
        let own = text(jwk, "alg")?;
        let algorithms: Box<[_]> = suited
            .iter()
            .copied()
            .filter(|algorithm| algorithms.contains(algorithm))
            .filter(|algorithm| own.is_none_or(|own| own == algorithm.as_str()))
            .collect();
        (!algorithms.is_empty()).then_some(Self { name, algorithms, public })
    }

    pub(super) fn is_named(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name)
    }

    pub(super) fn suits(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Whether this is the key's signature.
    ///
    /// The provider is named rather than looked up: which one `jsonwebtoken` has for the process
    /// depends on the features that other crates turn on, and it panics where that is both.
    pub(super) fn verifies(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        self.suits(algorithm)
            && (DEFAULT_PROVIDER.verifier_factory)(&algorithm.primitive(), &self.public)
                .is_ok_and(|verifier| verifier.verify(signed, &signature.to_vec()).is_ok())
    }
}

/// A text member; `None` if it is not a text, `Some(None)` if it is not there.
fn text<'k>(jwk: &'k Map<String, Value>, name: &str) -> Option<Option<&'k str>> {
    jwk.get(name).map(Value::as_str).map_or(Some(None), |text| text.map(Some))
}

fn is_for_verifying(jwk: &Map<String, Value>) -> bool {
    let usage = jwk.get("use").is_none_or(|usage| usage == "sig");
    let operations = jwk.get("key_ops").is_none_or(|operations| {
        operations.as_array().is_some_and(|all| all.iter().any(|one| one == "verify"))
    });
    usage && operations
}

/// The key itself, and the algorithms that its kind is for. `jsonwebtoken` checks neither the
/// curve nor the sizes.
fn public_key(jwk: &Map<String, Value>) -> Option<(&'static [Algorithm], DecodingKey)> {
    const RSA: &[Algorithm] = &[
        Algorithm::Rs256,
        Algorithm::Rs384,
        Algorithm::Rs512,
        Algorithm::Ps256,
        Algorithm::Ps384,
        Algorithm::Ps512,
    ];
    let bytes = |name| jwk.get(name).and_then(Value::as_str).and_then(json::base64url);
    let curve = jwk.get("crv").and_then(Value::as_str);
    match (jwk.get("kty").and_then(Value::as_str)?, curve) {
        ("RSA", _) => Some((RSA, rsa(&bytes("n")?, &bytes("e")?)?)),
        ("EC", Some("P-256")) => Some((&[Algorithm::Es256], ec(&bytes("x")?, &bytes("y")?, 32)?)),
        ("EC", Some("P-384")) => Some((&[Algorithm::Es384], ec(&bytes("x")?, &bytes("y")?, 48)?)),
        ("OKP", Some("Ed25519")) => {
            let x = bytes("x").filter(|x| x.len() == 32)?;
            Some((&[Algorithm::EdDsa], DecodingKey::from_ed_der(&x)))
        }
        _ => None,
    }
}

fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<DecodingKey> {
    let (modulus, exponent) = (significant(modulus), significant(exponent));
    let bits = modulus.len() * 8 - modulus.first().map_or(0, |byte| zeros(*byte));
    // With 1 as the exponent, anybody's padding is a signature. A long one is only slow.
    let exponent_is_sound =
        matches!(exponent, [.., last] if last % 2 == 1) && exponent.len() <= 4 && exponent != [1];
    ((2048..=8192).contains(&bits) && exponent_is_sound && !is_weak(modulus))
        .then(|| DecodingKey::from_rsa_raw_components(modulus, exponent))
}

/// Some write a zero before a number whose first bit is set, as DER does.
fn significant(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

fn zeros(byte: u8) -> usize {
    usize::try_from(byte.leading_zeros()).unwrap_or_default()
}

/// Whether the primes were made by the flawed chips of CVE-2017-15361 (ROCA), so that the private
/// key can be computed: modulo each of these, such a modulus is a power of 65537. By chance it is
/// so for one in a hundred million.
fn is_weak(modulus: &[u8]) -> bool {
    const PRIMES: [u32; 17] =
        [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];
    PRIMES.iter().all(|prime| {
        let rest = modulus.iter().fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime);
        let powers = std::iter::successors(Some(1), |power| Some(power * (65_537 % prime) % prime));
        powers.take(usize::try_from(*prime).unwrap_or_default()).any(|power| power == rest)
    })
}

/// An uncompressed point. Both coordinates have the length that the curve says.
fn ec(x: &[u8], y: &[u8], length: usize) -> Option<DecodingKey> {
    (x.len() == length && y.len() == length)
        .then(|| DecodingKey::from_ec_der(&[&[4], x, y].concat()))
}
