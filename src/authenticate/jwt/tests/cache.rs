//! Tokens that were verified before.

use super::*;
use crate::authenticate::jwt::CACHED_TOKENS;

#[test]
fn a_token_is_verified_once_while_the_keys_stay() {
    let world = World::new();
    let token = world.token(&claims());
    let first = world.verify(&token).unwrap();
    assert!(Arc::ptr_eq(&first, &world.verify(&token).unwrap()));
    // The same set, fetched again.
    assert!(!world.publish(&[world.signer.jwk_with(&json!({"kid": "k"}))]));
    assert!(Arc::ptr_eq(&first, &world.verify(&token).unwrap()));
    // A set with one more key: the token is still good, but that has to be found out.
    let another = Signer::new(Algorithm::Es256).jwk_with(&json!({"kid": "next"}));
    assert!(world.publish(&[world.signer.jwk_with(&json!({"kid": "k"})), another]));
    assert!(!Arc::ptr_eq(&first, &world.verify(&token).unwrap()));
    assert_eq!(world.issuers.cached(), 1);
}

#[test]
fn a_withdrawn_key_takes_its_verified_tokens_along() {
    let world = World::new();
    let token = world.token(&claims());
    world.verify(&token).unwrap();
    world.publish(&[Signer::new(Algorithm::Es256).jwk_with(&json!({"kid": "next"}))]);
    assert!(matches!(world.verify(&token), Err(Unproven::UnknownKey(_))));
    // And if it comes back, no entry made with the first set counts.
    world.publish(&[world.signer.jwk_with(&json!({"kid": "k"}))]);
    world.verify(&token).unwrap();
}

#[test]
fn a_verified_token_expires_all_the_same() {
    let world = World::new();
    let token = world.token(&claims());
    world.verify(&token).unwrap();
    let late = world.verify_at(&token, NOW + 330);
    assert!(matches!(late, Err(Unproven::Fault(JwtFault::Expired))));
}

#[test]
fn a_refused_token_is_not_remembered() {
    let world = World::new();
    for (name, value) in [("exp", json!(0)), ("aud", json!("other")), ("iss", json!("other"))] {
        world.verify(world.token(&claims_with(name, Some(value)))).unwrap_err();
    }
    world.verify(Signer::new(Algorithm::Es256).sign(&header(), &claims())).unwrap_err();
    assert_eq!(world.issuers.cached(), 0);
}

#[test]
fn the_cache_holds_no_more_than_its_bound() {
    let world = World::without_keys(&[Algorithm::EdDsa]);
    let signer = Signer::new(Algorithm::EdDsa);
    world.publish(&[signer.jwk()]);
    for number in 0..CACHED_TOKENS + 500 {
        let claims = claims_with("jti", Some(number.into()));
        world.verify(signer.sign(&json!({"alg": "EdDSA"}), &claims)).unwrap();
    }
    assert!(world.issuers.cached() <= CACHED_TOKENS);
    assert!(world.issuers.cached() > CACHED_TOKENS / 2);
}

#[test]
fn a_verified_token_does_not_keep_replaced_keys() {
    let world = World::new();
    world.verify(world.token(&claims())).unwrap();
    let held = Arc::downgrade(world.issuer.keys().as_ref().unwrap());
    world.publish(&[Signer::new(Algorithm::Es256).jwk()]);
    assert!(held.upgrade().is_none());
}

#[test]
fn what_was_verified_outlives_a_change_of_other_issuers() {
    let world = World::new();
    let token = world.token(&claims());
    let first = world.verify(&token).unwrap();
    let other = Terms { issuer: "https://other.example".into(), ..world.issuer.terms.clone() };
    let after = [Arc::clone(&world.issuer), Arc::new(Issuer::new(other))];
    let after = world.issuers.succeeded_by(after);
    assert!(Arc::ptr_eq(&first, &verify_with(&after, &token).unwrap()));
}

#[test]
fn what_an_issuer_signed_that_is_gone_is_worth_nothing() {
    let world = World::new();
    let token = world.token(&claims());
    world.verify(&token).unwrap();
    let gone = world.issuers.succeeded_by([]);
    let refused = verify_with(&gone, &token);
    assert!(matches!(refused, Err(Unproven::Fault(JwtFault::Issuer))), "{refused:?}");
    // Other terms make it another issuer, which has to tell its keys first.
    let terms = Terms { audiences: vec!["other".into()], ..world.issuer.terms.clone() };
    let changed = Arc::new(Issuer::new(terms));
    let after = gone.succeeded_by([Arc::clone(&changed)]);
    assert!(matches!(verify_with(&after, &token), Err(Unproven::KeysUnavailable)));
    let jwk = world.signer.jwk_with(&json!({"kid": "k"}));
    changed.take(key_set(&[jwk], &changed.terms.algorithms));
    let refused = verify_with(&after, &token);
    assert!(matches!(refused, Err(Unproven::Fault(JwtFault::Audience))), "{refused:?}");
    // For a delete that began before, the first ones decide.
    world.verify(&token).unwrap();
    assert!(verify_with(&gone, &token).is_err());
}

fn verify_with(issuers: &Issuers, token: &str) -> Result<Arc<Claims>, Unproven> {
    let now = UNIX_EPOCH + Duration::from_secs(NOW);
    issuers.verify(token.as_bytes(), KeyDigest::of(token.as_bytes()), now)
}
