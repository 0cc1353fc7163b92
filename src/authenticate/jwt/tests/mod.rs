//! Tokens and key sets as good issuers and bad callers make them.

mod cache;
mod claims;
mod hostile;
mod keys;

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384,
    RSA_PSS_SHA512, RsaEncoding, RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{Algorithm, Claims, Issuer, Issuers, KeySet, Terms, Unproven};
use crate::authenticate::KeyDigest;
use crate::refusal::JwtFault;

const ISS: &str = "https://id.example/realm";
const NOW: u64 = 1_800_000_000;

enum Signer {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Signer {
    fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Es256 => {
                Self::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
            }
            Algorithm::Es384 => {
                Self::Ec(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap())
            }
            Algorithm::EdDsa => Self::Ed(Ed25519KeyPair::generate().unwrap()),
            Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512 => Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
        }
    }

    /// Its public half.
    fn jwk(&self) -> Value {
        match self {
            Self::Rsa(pair) => {
                let RsaPublicKeyComponents { n, e } =
                    RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({"kty": "RSA", "n": base64url(n), "e": base64url(e)})
            }
            Self::Ec(pair) => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let curve = if x.len() == 32 { "P-256" } else { "P-384" };
                json!({"kty": "EC", "crv": curve, "x": base64url(x), "y": base64url(y)})
            }
            Self::Ed(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(pair.public_key())})
            }
        }
    }

    fn jwk_with(&self, more: &Value) -> Value {
        let mut jwk = self.jwk();
        jwk.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        jwk
    }

    fn signature(&self, algorithm: &str, signed: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let encoding: &'static dyn RsaEncoding = match algorithm {
                    "RS384" => &RSA_PKCS1_SHA384,
                    "RS512" => &RSA_PKCS1_SHA512,
                    "PS256" => &RSA_PSS_SHA256,
                    "PS384" => &RSA_PSS_SHA384,
                    "PS512" => &RSA_PSS_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, signed, &mut signature).unwrap();
                signature
            }
            Self::Ec(pair) => pair.sign(&random, signed).unwrap().as_ref().to_vec(),
            Self::Ed(pair) => pair.sign(signed).as_ref().to_vec(),
        }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    /// As they stand, so that they need not be JSON.
    fn sign_text(&self, header: &str, claims: &str) -> String {
        let algorithm = serde_json::from_str::<Value>(header)
            .ok()
            .and_then(|header| Some(header.get("alg")?.as_str()?.to_owned()))
            .unwrap_or_default();
        let signed = format!("{}.{}", base64url(header), base64url(claims));
        let signature = self.signature(&algorithm, signed.as_bytes());
        format!("{signed}.{}", base64url(signature))
    }
}

/// One issuer with one key, named `k`, for ES256.
struct World {
    signer: Signer,
    issuer: Arc<Issuer>,
    issuers: Issuers,
}

impl World {
    fn new() -> Self {
        let world = Self::without_keys(&[Algorithm::Es256]);
        assert!(world.publish(&[world.signer.jwk_with(&json!({"kid": "k"}))]));
        world
    }

    fn without_keys(algorithms: &[Algorithm]) -> Self {
        let issuer = Arc::new(Issuer::new(Terms {
            name: "corporate".into(),
            issuer: ISS.into(),
            audiences: vec!["smh".into(), "smh-test".into()],
            algorithms: algorithms.into(),
        }));
        let issuers = Issuers::new([Arc::clone(&issuer)]);
        Self { signer: Signer::new(Algorithm::Es256), issuer, issuers }
    }

    fn publish(&self, jwks: &[Value]) -> bool {
        self.issuer.take(key_set(jwks, &self.issuer.terms.algorithms))
    }

    fn token(&self, claims: &Value) -> String {
        self.signer.sign(&header(), claims)
    }

    fn verify(&self, token: impl AsRef<[u8]>) -> Result<Arc<Claims>, Unproven> {
        self.verify_at(token, NOW)
    }

    fn verify_at(&self, token: impl AsRef<[u8]>, now: u64) -> Result<Arc<Claims>, Unproven> {
        let token = token.as_ref();
        let now = UNIX_EPOCH + Duration::from_secs(now);
        self.issuers.verify(token, KeyDigest::of(token), now)
    }

    #[track_caller]
    fn assert_fault(&self, token: impl AsRef<[u8]>, fault: JwtFault) {
        let token = token.as_ref();
        match self.verify(token) {
            Err(Unproven::Fault(found)) => {
                assert_eq!(found, fault, "{}", String::from_utf8_lossy(token));
            }
            other => panic!("{fault:?} expected, not {other:?}"),
        }
    }
}

fn header() -> Value {
    json!({"alg": "ES256", "kid": "k", "typ": "JWT"})
}

fn claims() -> Value {
    json!({"iss": ISS, "aud": "smh", "sub": "billing", "exp": NOW + 300})
}

/// The usual claims with this one instead, or without it.
fn claims_with(name: &str, value: Option<Value>) -> Value {
    let mut claims = claims();
    let members = claims.as_object_mut().unwrap();
    members.remove(name);
    members.extend(value.map(|value| (name.to_owned(), value)));
    claims
}

fn key_set(jwks: &[Value], algorithms: &[Algorithm]) -> KeySet {
    KeySet::parse(json!({ "keys": jwks }).to_string().as_bytes(), algorithms).unwrap()
}

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[test]
fn a_token_of_a_configured_issuer_is_understood() {
    let world = World::new();
    let claims = world.verify(world.token(&claims())).unwrap();
    assert_eq!((&*claims.issuer, &*claims.subject), ("corporate", "billing"));
    assert_eq!((claims.expires, claims.not_before), (NOW + 300, None));
}

#[test]
fn each_algorithm_verifies_what_it_signed_and_nothing_else() {
    for algorithm in Algorithm::ALL {
        let mut world = World::without_keys(&Algorithm::ALL);
        world.signer = Signer::new(algorithm);
        world.publish(&[world.signer.jwk_with(&json!({"kid": "k"}))]);
        let header = json!({"alg": algorithm.as_str(), "kid": "k"});
        let token = world.signer.sign(&header, &claims());
        world.verify(&token).unwrap();

        // The same key signs for another algorithm than the header says.
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let other = if algorithm == Algorithm::Rs256 { "RS384" } else { "RS256" };
        if let Signer::Rsa(_) = world.signer {
            let wrong = world.signer.signature(other, signed.as_bytes());
            world.assert_fault(format!("{signed}.{}", base64url(wrong)), JwtFault::Signature);
        }
        let longer = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let longer = base64url([&*longer, &[0]].concat());
        world.assert_fault(format!("{signed}.{longer}"), JwtFault::Signature);
    }
}

#[test]
fn what_can_be_nothing_but_a_token_is_told_by_its_looks() {
    let world = World::new();
    assert!(super::looks_like_one(world.token(&claims()).as_bytes()));
    for other in ["", "eyJ", "eyJ.x", "a.b.c", "eyJ.a.b.c", "a-key-of-ours"] {
        assert!(!super::looks_like_one(other.as_bytes()), "{other}");
    }
}

#[test]
fn algorithms_have_their_names_and_no_others() {
    for algorithm in Algorithm::ALL {
        assert_eq!(Algorithm::try_from(algorithm.as_str()), Ok(algorithm));
    }
    for name in ["none", "None", "HS256", "rs256", "RS1", "ES512", "ES256K", "", "EdDSA "] {
        assert!(Algorithm::try_from(name).is_err(), "{name}");
    }
}
