//! Tokens that nobody honest sends.

use super::*;
use crate::authenticate::jwt::MAX_TOKEN_BYTES;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

/// HMAC (RFC 2104), for who would sign with what everybody knows.
fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = if key.len() > 64 { Sha256::digest(key).to_vec() } else { key.to_vec() };
    block.resize(64, 0);
    let pad = |with: u8| block.iter().map(|byte| byte ^ with).collect::<Vec<_>>();
    let inner = Sha256::digest([&pad(0x36), message].concat());
    Sha256::digest([&pad(0x5c)[..], &inner].concat()).to_vec()
}

#[test]
fn an_algorithm_that_the_issuer_does_not_sign_with_is_refused() {
    let world = World::new();
    let payload = base64url(claims().to_string());
    for name in ["none", "None", "NONE", "nOnE", "", "ES384", "RS256", "ES256 ", "es256"] {
        let header = base64url(json!({"alg": name, "kid": "k"}).to_string());
        world.assert_fault(format!("{header}.{payload}.AAAA"), JwtFault::Algorithm);
        world.assert_fault(format!("{header}.{payload}."), JwtFault::Malformed);
    }
    for header in [json!({}), json!({"alg": null}), json!({"alg": ["ES256"]}), json!({"alg": 1})] {
        world.assert_fault(world.signer.sign(&header, &claims()), JwtFault::Header);
    }
}

#[test]
fn a_public_key_is_nobodys_secret() {
    let world = World::new();
    let jwk = world.signer.jwk();
    let Signer::Ec(pair) = &world.signer else { unreachable!() };
    let header = base64url(r#"{"alg":"HS256","kid":"k"}"#);
    let signed = format!("{header}.{}", base64url(claims().to_string()));
    for secret in [pair.public_key().as_ref(), jwk.to_string().as_bytes(), b""] {
        let mac = base64url(hmac_sha256(secret, signed.as_bytes()));
        world.assert_fault(format!("{signed}.{mac}"), JwtFault::Algorithm);
    }
}

#[test]
fn the_name_of_a_key_is_only_compared() {
    let world = World::new();
    for name in ["../../etc/passwd", "' or 1=1 --", "K", "k\0", "k ", "", "*", "/dev/null"] {
        let token = world.signer.sign(&json!({"alg": "ES256", "kid": name}), &claims());
        let answer = world.verify(token);
        let Err(Unproven::UnknownKey(issuer)) = answer else { panic!("{name:?}: {answer:?}") };
        assert!(Arc::ptr_eq(&issuer, &world.issuer));
    }
    for name in [json!(null), json!(1), json!(["k"]), json!("k".repeat(257))] {
        let token = world.signer.sign(&json!({"alg": "ES256", "kid": name}), &claims());
        world.assert_fault(token, JwtFault::Header);
    }
}

#[test]
fn keys_that_a_token_brings_along_are_never_used() {
    let world = World::new();
    let forger = Signer::new(Algorithm::Es256);
    for (name, value) in [
        ("jku", json!("https://forger.example/keys")),
        ("x5u", json!("https://forger.example/cert")),
        ("x5c", json!(["MIIB"])),
        ("jwk", forger.jwk_with(&json!({"kid": "k"}))),
    ] {
        let mut header = header();
        header[name] = value;
        world.assert_fault(forger.sign(&header, &claims()), JwtFault::Signature);
        world.verify(world.token(&claims())).unwrap();
    }
}

#[test]
fn extensions_that_must_be_understood_are_refused() {
    let world = World::new();
    for header in [
        r#"{"alg":"ES256","kid":"k","crit":["exp"],"exp":1}"#,
        r#"{"alg":"ES256","kid":"k","crit":[]}"#,
        r#"{"alg":"ES256","kid":"k","crit":null}"#,
        r#"{"alg":"ES256","kid":"k","b64":true}"#,
        r#"{"alg":"ES256","kid":"k","b64":false,"crit":["b64"]}"#,
    ] {
        let token = world.signer.sign_text(header, &claims().to_string());
        world.assert_fault(token, JwtFault::Critical);
    }
}

#[test]
fn tokens_of_another_kind_are_refused() {
    let world = World::new();
    let token = |typ: Value| world.signer.sign(&json!({"alg": "ES256", "typ": typ}), &claims());
    for kind in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/JWT"] {
        world.verify(token(kind.into())).unwrap();
    }
    for kind in [json!("logout+jwt"), json!("JWS"), json!(""), json!("text/jwt"), json!(null)] {
        world.assert_fault(token(kind), JwtFault::Header);
    }
}

#[test]
fn a_name_that_stands_twice_is_refused_wherever_it_stands() {
    let world = World::new();
    let claims = claims().to_string();
    for header in
        [r#"{"alg":"ES256","alg":"ES256"}"#, r#"{"alg":"ES256","kid":"k","\u006bid":"k"}"#]
    {
        world.assert_fault(world.signer.sign_text(header, &claims), JwtFault::Repeated);
    }
    let header = header().to_string();
    for more in [r#""sub":"janitor""#, r#""a":{"b":1,"b":2}"#, r#""a":[{"b":[{"c":1,"c":1}]}]"#] {
        let claims = claims.replacen('{', &format!("{{{more},"), 1);
        world.assert_fault(world.signer.sign_text(&header, &claims), JwtFault::Repeated);
    }
}

#[test]
fn what_is_not_three_parts_of_base64url_with_two_objects_is_refused() {
    let world = World::new();
    let token = world.token(&claims());
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!() };
    // 64 bytes are 86 characters, the last of which has four bits that stand for nothing.
    let (rest, last) = signature.split_at(85);
    let slack = char::from(last.as_bytes()[0] + 1);
    for wrong in [
        String::new(),
        "..".into(),
        format!("{header}.{payload}"),
        format!("{header}.{payload}."),
        format!("{header}..{signature}"),
        format!(".{payload}.{signature}"),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.{signature}"),
        format!("{token}=="),
        format!("{header}=.{payload}.{signature}"),
        format!("{token} "),
        format!(" {token}"),
        format!("{header}.{payload}\n.{signature}"),
        format!("{header}.{payload}.{rest}{slack}"),
        format!("{header}.{payload}.{rest}+"),
        world.signer.sign_text("[]", &claims().to_string()),
        world.signer.sign_text(&super::header().to_string(), "[]"),
        world.signer.sign_text(&super::header().to_string(), "foo"),
        world.signer.sign_text(&super::header().to_string(), r#"{"exp":1e400}"#),
        world.signer.sign_text(&super::header().to_string(), &"[".repeat(1000)),
    ] {
        world.assert_fault(wrong, JwtFault::Malformed);
    }
}

#[test]
fn a_token_is_at_most_8_kib() {
    let world = World::new();
    let token =
        |padding: usize| world.token(&claims_with("padding", Some("x".repeat(padding).into())));
    let fits = (5_800..).map(token).take_while(|token| token.len() <= MAX_TOKEN_BYTES).last();
    world.verify(fits.unwrap()).unwrap();
    world.assert_fault(token(6_200), JwtFault::TooLarge);
    world.assert_fault("x".repeat(MAX_TOKEN_BYTES + 1), JwtFault::TooLarge);
}

#[test]
fn every_single_flipped_bit_is_noticed() {
    let world = World::new();
    let token = world.token(&claims()).into_bytes();
    for bit in 0..token.len() * 8 {
        let mut flipped = token.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(world.verify(&flipped).is_err(), "bit {bit}");
    }
    assert_eq!(world.issuers.cached(), 0);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let world = World::new();
        prop_assert!(world.verify(&bytes).is_err());
        let dotted = [&bytes[..], b".", &bytes, b".", &bytes].concat();
        prop_assert!(world.verify(dotted).is_err());
        prop_assert!(KeySet::parse(&bytes, &Algorithm::ALL).is_err());
    }

    #[test]
    fn no_json_makes_it_panic(
        header in "\\{(\"(alg|kid|typ|crit|x)\":(\"ES256\"|\"k\"|1|null|\\[\\]),?){0,4}\\}",
        claims in "\\{(\"(iss|aud|sub|exp|nbf)\":(\"smh\"|-1|1e99|null|\\[1\\]),?){0,5}\\}",
    ) {
        let world = World::new();
        prop_assert!(world.verify(world.signer.sign_text(&header, &claims)).is_err());
    }
}
