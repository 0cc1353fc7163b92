//! JWTs and the keys of an issuer.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use smh_gateway::authenticate::KeyDigest;
use smh_gateway::authenticate::jwt::{Algorithm, Issuer, Issuers, KeySet, MAX_KEYS, Terms};

const KEYS: &[u8] = include_bytes!("../corpus/jwks/set");

/// All that was ever signed with these keys.
const SIGNED: [&[u8]; 3] = [
    include_bytes!("../corpus/jwt/es256"),
    include_bytes!("../corpus/jwt/es384"),
    include_bytes!("../corpus/jwt/eddsa"),
];

/// They are good for an hour around it.
const NOW: Duration = Duration::from_secs(1_800_000_000);

static ISSUERS: LazyLock<Issuers> = LazyLock::new(|| {
    let issuer = Issuer::new(Terms {
        name: "corporate".into(),
        issuer: "https://id.example".into(),
        audiences: vec!["smh-gateway".into()],
        algorithms: Algorithm::ALL.to_vec(),
    });
    let keys = KeySet::parse(KEYS, &Algorithm::ALL);
    issuer.take(keys.unwrap_or_else(|error| panic!("the corpus has no keys: {error}")));
    Issuers::new([Arc::new(issuer)])
});

/// What verifies says what was signed, to the letter. ECDSA lets anybody make a second signature of a first one, so that
/// is not looked at.
pub(crate) fn run(bytes: &[u8]) {
    let verified = ISSUERS.verify(bytes, KeyDigest::of(bytes), now());
    if verified.is_ok() {
        assert!(SIGNED.iter().any(|token| without_signature(token) == without_signature(bytes)));
    } else {
        assert!(!SIGNED.contains(&bytes), "what was signed is refused");
    }
}

fn now() -> SystemTime {
    UNIX_EPOCH + NOW
}

fn without_signature(token: &[u8]) -> &[u8] {
    let dot = token.iter().rposition(|&byte| byte == b'.').unwrap_or_default();
    token.get(..dot).unwrap_or_default()
}

/// A set that is taken has keys, not too many of them, and is the same each time.
pub(crate) fn key_set(bytes: &[u8]) {
    let Ok(set) = KeySet::parse(bytes, &Algorithm::ALL) else { return };
    assert!((1..=MAX_KEYS).contains(&set.count()));
    assert!(KeySet::parse(bytes, &Algorithm::ALL).is_ok_and(|again| again.count() == set.count()));
    let of_one = KeySet::parse(bytes, &[Algorithm::EdDsa]).map_or(0, |set| set.count());
    assert!(of_one <= set.count(), "more keys for fewer algorithms");
}
