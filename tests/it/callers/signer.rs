//! An issuer's private keys, made by each test, and the tokens it signs with them.

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// A key, by the name under which it is published.
pub(crate) struct Signer {
    pub(crate) name: String,
    key: Key,
}

enum Key {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
}

/// Making one takes a while.
pub(crate) static RSA: LazyLock<Signer> = LazyLock::new(|| Signer {
    name: "rsa-1".to_owned(),
    key: Key::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
});

impl Signer {
    /// A new key for ES256.
    pub(crate) fn new(name: &str) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { name: name.to_owned(), key: Key::Ec(key) }
    }

    /// The key as it is published.
    pub(crate) fn jwk(&self) -> Value {
        match &self.key {
            Key::Rsa(pair) => {
                let RsaPublicKeyComponents { n, e } =
                    RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({"kid": self.name, "use": "sig", "alg": "RS256", "kty": "RSA",
                       "n": base64url(n), "e": base64url(e)})
            }
            Key::Ec(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({"kid": self.name, "use": "sig", "alg": "ES256", "kty": "EC",
                       "crv": "P-256", "x": base64url(x), "y": base64url(y)})
            }
        }
    }

    pub(crate) fn header(&self) -> Value {
        let algorithm = match self.key {
            Key::Rsa(_) => "RS256",
            Key::Ec(_) => "ES256",
        };
        json!({"alg": algorithm, "kid": self.name, "typ": "JWT"})
    }

    /// A token of these claims.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_text(&self.header(), &claims.to_string())
    }

    /// A token with another header, and claims that need not be JSON.
    pub(crate) fn sign_text(&self, header: &Value, claims: &str) -> String {
        let random = SystemRandom::new();
        let signed = unsigned(header, claims);
        let signature = match &self.key {
            Key::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).unwrap();
                signature
            }
            Key::Ec(pair) => pair.sign(&random, signed.as_bytes()).unwrap().as_ref().to_vec(),
        };
        format!("{signed}.{}", base64url(signature))
    }
}

/// What is published of these keys.
pub(crate) fn key_set(signers: &[&Signer]) -> String {
    json!({ "keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>() }).to_string()
}

/// The two parts of a token that are signed.
pub(crate) fn unsigned(header: &Value, claims: &str) -> String {
    format!("{}.{}", base64url(header.to_string()), base64url(claims))
}

/// Seconds since 1970, and so many more.
pub(crate) fn in_seconds(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(now).unwrap() + seconds
}

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
