//! What it takes to know who sends a JWT: from the bytes of the token, its SHA-256 included.
#![expect(clippy::unwrap_used, reason = "a benchmark may fail loudly")]
#![expect(clippy::indexing_slicing, reason = "a benchmark may fail loudly")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use serde_json::{Value, json};
use smh_gateway::authenticate::KeyDigest;
use smh_gateway::authenticate::jwt::{Algorithm, Issuer, Issuers, KeySet};

const NOW: u64 = 1_800_000_000;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A public key, and a token of a usual size signed with its private half.
fn signed(algorithm: Algorithm) -> (Value, String) {
    let header = json!({"alg": algorithm.as_str(), "typ": "at+jwt", "kid": "2027-01"});
    let claims = json!({
        "iss": "https://id.example/realms/media", "aud": ["smh-gateway", "account"],
        "sub": "f3b1c7de-8c11-4a0e-9d43-2f6f1c1d1e55", "azp": "janitor", "jti": "3f0a8a1e",
        "iat": NOW, "nbf": NOW, "exp": NOW + 300, "scope": "openid profile",
        "realm_access": {"roles": ["offline_access", "media-delete", "media-read"]},
        "email_verified": false, "preferred_username": "service-account-janitor",
    });
    let signed = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
    let random = SystemRandom::new();
    let (jwk, signature) = if algorithm == Algorithm::Rs256 {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).unwrap();
        let (n, e) = (base64url(public.n), base64url(public.e));
        (json!({"kty": "RSA", "kid": "2027-01", "n": n, "e": e}), signature)
    } else {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = pair.public_key().as_ref();
        let (x, y) = (base64url(&point[1..33]), base64url(&point[33..]));
        let signature = pair.sign(&random, signed.as_bytes()).unwrap().as_ref().to_vec();
        (json!({"kty": "EC", "crv": "P-256", "kid": "2027-01", "x": x, "y": y}), signature)
    };
    (jwk, format!("{signed}.{}", base64url(signature)))
}

fn issuers(algorithm: Algorithm, jwk: &Value) -> Issuers {
    let issuer = Issuer::new(
        "corporate".into(),
        "https://id.example/realms/media".into(),
        vec!["smh-gateway".into()],
        vec![algorithm],
    );
    let set = json!({ "keys": [jwk] }).to_string();
    issuer.take(KeySet::parse(set.as_bytes(), &[algorithm]).unwrap());
    Issuers::new([Arc::new(issuer)])
}

fn verify(issuers: &Issuers, token: &[u8]) {
    let claims = issuers.verify(token, KeyDigest::of(token), now());
    black_box(claims.unwrap());
}

fn jwt(criterion: &mut Criterion) {
    for algorithm in [Algorithm::Rs256, Algorithm::Es256] {
        let (jwk, token) = signed(algorithm);
        let name = algorithm.as_str();
        let known = issuers(algorithm, &jwk);
        verify(&known, token.as_bytes());
        let bytes = token.len();
        criterion.bench_function(&format!("JWT, {name}, {bytes} bytes, cached"), |bencher| {
            bencher.iter(|| verify(&known, black_box(token.as_bytes())));
        });
        criterion.bench_function(&format!("JWT, {name}, the digest alone"), |bencher| {
            bencher.iter(|| black_box(KeyDigest::of(black_box(token.as_bytes()))));
        });
        criterion.bench_function(&format!("JWT, {name}, not cached"), |bencher| {
            bencher.iter_batched_ref(
                || issuers(algorithm, &jwk),
                |fresh| verify(fresh, black_box(token.as_bytes())),
                BatchSize::SmallInput,
            );
        });
    }
}

criterion_group!(benches, jwt);
criterion_main!(benches);
