//! Which keys of a set are used, and for what.

use super::*;
use crate::authenticate::jwt::{KeySetError, MAX_KEY_SET_BYTES, MAX_KEYS};
use Algorithm::{EdDsa, Es256, Es384, Rs256};

fn parse(jwks: &[Value]) -> Result<KeySet, KeySetError> {
    KeySet::parse(json!({ "keys": jwks }).to_string().as_bytes(), &Algorithm::ALL)
}

#[track_caller]
fn assert_left_out(what: &str, jwk: &Value) {
    let alone = parse(std::slice::from_ref(jwk)).unwrap_err();
    assert_eq!(alone, KeySetError::NoUsableKey, "{what}");
    assert_eq!(parse(&[jwk.clone(), Signer::new(Es256).jwk()]).unwrap().count(), 1, "{what}");
}

#[test]
fn a_key_that_is_not_for_us_is_left_out() {
    let ec = Signer::new(Es256);
    let longer = Signer::new(Es384).jwk();
    for (what, jwk) in [
        ("for encryption", ec.jwk_with(&json!({"use": "enc"}))),
        ("for no known use", ec.jwk_with(&json!({"use": ["sig"]}))),
        ("for signing alone", ec.jwk_with(&json!({"key_ops": ["sign"]}))),
        ("operations as a text", ec.jwk_with(&json!({"key_ops": "verify"}))),
        ("no kind", ec.jwk_with(&json!({"kty": null}))),
        ("another kind", ec.jwk_with(&json!({"kty": "RSA"}))),
        ("symmetric", json!({"kty": "oct", "k": "AAAA"})),
        ("symmetric in name", ec.jwk_with(&json!({"alg": "HS256"}))),
        ("another curve's algorithm", ec.jwk_with(&json!({"alg": "ES384"}))),
        ("an unknown algorithm", ec.jwk_with(&json!({"alg": "ES521"}))),
        ("an algorithm of no type", ec.jwk_with(&json!({"alg": 1}))),
        ("another curve", ec.jwk_with(&json!({"crv": "P-384"}))),
        ("an unknown curve", ec.jwk_with(&json!({"crv": "secp256k1"}))),
        (
            "a longer point",
            json!({"kty": "EC", "crv": "P-256", "x": longer["x"], "y": longer["y"]}),
        ),
        ("no coordinate", ec.jwk_with(&json!({"y": null}))),
        ("padded", ec.jwk_with(&json!({"x": format!("{}=", ec.jwk()["x"].as_str().unwrap())}))),
        ("a name of no type", ec.jwk_with(&json!({"kid": 7}))),
        ("a long name", ec.jwk_with(&json!({"kid": "k".repeat(257)}))),
    ] {
        assert_left_out(what, &jwk);
    }
    for jwk in [
        ec.jwk_with(&json!({"use": "sig", "key_ops": ["verify"], "alg": "ES256", "x5t": "?"})),
        ec.jwk_with(&json!({"d": "a private key that somebody published"})),
    ] {
        parse(&[jwk]).unwrap();
    }
}

#[test]
fn a_key_that_proves_nothing_is_left_out() {
    let rsa = Signer::new(Rs256);
    let ed = Signer::new(EdDsa);
    let ones = |bytes: usize| base64url(vec![0xff; bytes]);
    let padded = base64url([[0; 128], [0xff; 128]].concat());
    for (what, jwk) in [
        ("short RSA", rsa.jwk_with(&json!({"n": ones(255)}))),
        ("short RSA after zeros", rsa.jwk_with(&json!({"n": padded}))),
        ("long RSA", rsa.jwk_with(&json!({"n": ones(1025)}))),
        ("ROCA", rsa.jwk_with(&json!({"n": base64url(weak_modulus())}))),
        ("no modulus", rsa.jwk_with(&json!({"n": ""}))),
        ("exponent 1", rsa.jwk_with(&json!({"e": "AQ"}))),
        ("exponent 0", rsa.jwk_with(&json!({"e": "AA"}))),
        ("even exponent", rsa.jwk_with(&json!({"e": "Ag"}))),
        ("long exponent", rsa.jwk_with(&json!({"e": ones(5)}))),
        ("X25519", ed.jwk_with(&json!({"crv": "X25519"}))),
        ("Ed448", ed.jwk_with(&json!({"crv": "Ed448"}))),
        ("short Ed25519", ed.jwk_with(&json!({"x": ones(31)}))),
        ("no object", json!("key")),
    ] {
        assert_left_out(what, &jwk);
    }
    for jwk in
        [rsa.jwk_with(&json!({"alg": "PS512"})), rsa.jwk_with(&json!({"e": "AAEAAQ"})), ed.jwk()]
    {
        parse(&[jwk]).unwrap();
    }
}

#[test]
fn a_set_that_cannot_be_read_is_refused_whole() {
    let key = Signer::new(Es256).jwk();
    let set = |jwks: &[Value]| json!({ "keys": jwks }).to_string();
    let large = |bytes: usize| format!("{}{}", set(std::slice::from_ref(&key)), " ".repeat(bytes));
    let twice = set(std::slice::from_ref(&key)).replace("\"kty\"", "\"kty\":\"EC\",\"kty\"");
    for (bytes, error) in [
        (String::new(), KeySetError::Malformed),
        ("[]".into(), KeySetError::Malformed),
        ("{}".into(), KeySetError::Malformed),
        (r#"{"keys":{}}"#.into(), KeySetError::Malformed),
        (r#"{"keys":[]}"#.into(), KeySetError::NoUsableKey),
        ("<html>".into(), KeySetError::Malformed),
        (twice, KeySetError::Repeated),
        (r#"{"keys":[],"keys":[]}"#.into(), KeySetError::Repeated),
        (set(&vec![key.clone(); MAX_KEYS + 1]), KeySetError::TooMany),
        (set(&vec![key.clone(); 1_000]), KeySetError::TooMany),
        (large(MAX_KEY_SET_BYTES), KeySetError::TooLarge),
        (large(10 * 1024 * 1024), KeySetError::TooLarge),
    ] {
        let found = KeySet::parse(bytes.as_bytes(), &Algorithm::ALL).unwrap_err();
        assert_eq!(found, error, "{}", bytes.get(..80).unwrap_or(&bytes));
    }
    assert_eq!(parse(&vec![key; MAX_KEYS]).unwrap().count(), MAX_KEYS);
}

#[test]
fn a_key_with_an_algorithm_of_its_own_verifies_no_other() {
    let mut world = World::without_keys(&[Algorithm::Ps256, Rs256]);
    world.signer = Signer::new(Rs256);
    let token = |algorithm| world.signer.sign(&json!({"alg": algorithm, "kid": "k"}), &claims());
    world.publish(&[world.signer.jwk_with(&json!({"kid": "k", "alg": "PS256"}))]);
    world.verify(token("PS256")).unwrap();
    assert!(matches!(world.verify(token("RS256")), Err(Unproven::UnknownKey(_))));
    world.assert_fault(token("RS512"), JwtFault::Algorithm);
    world.publish(&[world.signer.jwk_with(&json!({"kid": "k"}))]);
    world.verify(token("PS256")).unwrap();
    world.verify(token("RS256")).unwrap();
}

#[test]
fn any_of_several_keys_with_one_name_may_verify() {
    let world = World::new();
    let token = world.token(&claims());
    let named = |signer: &Signer| signer.jwk_with(&json!({"kid": "k"}));
    let others = [Signer::new(Es256), Signer::new(Es256)];
    world.publish(&[named(&others[0]), named(&world.signer), named(&others[1])]);
    world.verify(&token).unwrap();
    world.publish(&[named(&others[0]), named(&others[1])]);
    world.assert_fault(&token, JwtFault::Signature);
}

#[test]
fn a_token_that_names_no_key_must_leave_no_choice() {
    let world = World::without_keys(&[Es256, EdDsa]);
    let token = world.signer.sign(&json!({"alg": "ES256"}), &claims());
    let other = Signer::new(EdDsa).jwk();
    world.publish(&[world.signer.jwk_with(&json!({"kid": "k"})), other.clone()]);
    world.verify(&token).unwrap();
    world.publish(&[world.signer.jwk(), Signer::new(Es256).jwk()]);
    assert!(matches!(world.verify(&token), Err(Unproven::UnknownKey(_))));
    world.publish(&[other]);
    assert!(matches!(world.verify(&token), Err(Unproven::UnknownKey(_))));
}

#[test]
fn an_issuer_without_keys_is_told_from_one_without_this_key() {
    let world = World::without_keys(&[Es256]);
    let token = world.token(&claims());
    assert!(!world.issuer.has_keys());
    assert!(matches!(world.verify(&token), Err(Unproven::KeysUnavailable)));
    world.publish(&[world.signer.jwk_with(&json!({"kid": "another"}))]);
    assert!(world.issuer.has_keys());
    assert!(matches!(world.verify(&token), Err(Unproven::UnknownKey(_))));
}

#[test]
fn a_private_key_that_was_published_is_not_kept() {
    let set = parse(&[Signer::new(Rs256).jwk_with(&json!({"d": "c2VjcmV0"}))]).unwrap();
    let shown = format!("{set:?}");
    assert!(!shown.contains("c2VjcmV0") && !shown.contains("secret"), "{shown}");
}

/// 65537 to the 128th, which is a power of 65537 whatever it is divided by.
fn weak_modulus() -> Vec<u8> {
    let mut lowest_first = vec![1_u8];
    for _ in 0..128 {
        // Times 65537: the number, and the number two bytes further up.
        let further_up = [&[0, 0], &lowest_first[..]].concat();
        lowest_first.extend([0, 0]);
        let mut carry = false;
        for (byte, more) in lowest_first.iter_mut().zip(further_up) {
            let (sum, over) = byte.overflowing_add(more);
            let (sum, over_again) = sum.overflowing_add(carry.into());
            (*byte, carry) = (sum, over || over_again);
        }
        lowest_first.extend(carry.then_some(1));
    }
    lowest_first.into_iter().rev().collect()
}
