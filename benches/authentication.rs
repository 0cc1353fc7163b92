//! What it takes to know who calls: of a JWT from the bytes of the token, its SHA-256 included, and of each
//! way from the fields of a request, among 10,000 callers.
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
use http::{HeaderMap, HeaderValue};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use serde_json::{Value, json};
use smh_gateway::authenticate::jwt::{Algorithm, Issuer, Issuers, KeySet, Terms};
use smh_gateway::authenticate::spiffe::SpiffePattern;
use smh_gateway::authenticate::{
    Authenticator, ClientCas, ClientTrust, Credential, JwtRule, KeyDigest, Keyring, Peer,
    PeerAddress, Presented, Vouching,
};
use smh_gateway::directory::Caller;
use smh_gateway::glob::NameGlob;
use smh_gateway::ids::CallerName;

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
    let issuer = Issuer::new(Terms {
        name: "corporate".into(),
        issuer: "https://id.example/realms/media".into(),
        audiences: vec!["smh-gateway".into()],
        algorithms: vec![algorithm],
    });
    let set = json!({ "keys": [jwk] }).to_string();
    issuer.take(KeySet::parse(set.as_bytes(), &[algorithm]).unwrap());
    Issuers::new([Arc::new(issuer)])
}

fn verify(issuers: &Issuers, token: &[u8]) {
    let claims = issuers.verify(token, KeyDigest::of(token), now());
    black_box(claims.unwrap());
}

/// As many callers, each with a key and a SPIFFE id, and one with a JWT.
fn authenticator(issuers: Issuers) -> Authenticator {
    let credentials = (0..10_000).flat_map(|number| {
        let name = format!("caller-{number}");
        let caller = Arc::new(Caller::new(CallerName::try_from(&*name).unwrap(), Vec::new()));
        let key = Credential::Digest(KeyDigest::of(format!("the-key-of-{name}").as_bytes()));
        let id = format!("spiffe://cluster.local/ns/media/sa/{name}");
        let id = Credential::SpiffeId(SpiffePattern::try_from(&*id).unwrap());
        let subject = format!("f3b1c7de-8c11-4a0e-9d43-2f6f1c1d{number}");
        let subject = if number == 77 { "f3b1c7de-8c11-4a0e-9d43-2f6f1c1d1e55" } else { &subject };
        let jwt = Credential::Jwt(JwtRule {
            issuer: "corporate".into(),
            subject: subject.into(),
            glob: NameGlob::try_from(subject).unwrap(),
            claims: Vec::new(),
        });
        [key, id, jwt].map(|way| (Arc::clone(&caller), way))
    });
    Keyring::read(credentials, Arc::new(issuers), &mut |_, _| {}).authenticator()
}

/// A connection on which a certificate of this SPIFFE id was presented.
fn presented(id: &str) -> Peer {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.subject_alt_names = vec![rcgen::SanType::URI(id.try_into().unwrap())];
    let leaf = params.self_signed(&key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(leaf.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let cas = Arc::new(ClientCas::new(verifier.build().unwrap()));
    let vouching = Vouching { trust: ClientTrust::new(Arc::clone(&cas)), cas };
    let address = PeerAddress::Tcp(([10, 0, 0, 7], 40_000).into());
    Peer {
        address,
        certificate: Some(Presented::new(&[leaf.der().clone()], vouching, Some(now()))),
    }
}

fn request(criterion: &mut Criterion) {
    let (jwk, token) = signed(Algorithm::Rs256);
    let callers = authenticator(issuers(Algorithm::Rs256, &jwk));
    let plain = || Peer::from(PeerAddress::Tcp(([10, 0, 0, 7], 40_000).into()));
    let with = |name: &'static str, value: &str| {
        let mut fields = HeaderMap::new();
        fields.insert(name, HeaderValue::from_str(value).unwrap());
        fields
    };
    let certified = presented("spiffe://cluster.local/ns/media/sa/caller-77");
    for (way, fields, peer) in [
        ("an API key", with("x-api-key", "the-key-of-caller-77"), plain()),
        ("a JWT, cached", with("authorization", &format!("Bearer {token}")), plain()),
        ("a certificate", HeaderMap::new(), certified),
    ] {
        criterion.bench_function(&format!("request with {way}, 10,000 callers"), |bencher| {
            bencher.iter(|| {
                let found = callers.authenticate(black_box(&fields), &peer, now());
                black_box(found.unwrap().caller);
            });
        });
    }
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

criterion_group!(benches, jwt, request);
criterion_main!(benches);
