//! What claims must say, and how they are asked.

use super::*;
use crate::authenticate::jwt::ClaimRule;
use crate::glob::NameGlob;

#[test]
fn claims_that_are_not_for_us_or_not_complete_are_refused() {
    let world = World::new();
    for (name, value, fault) in [
        ("iss", None, JwtFault::Issuer),
        ("iss", Some(json!("https://id.example/realm/")), JwtFault::Issuer),
        ("iss", Some(json!([ISS])), JwtFault::Issuer),
        ("aud", None, JwtFault::Audience),
        ("aud", Some(json!("other")), JwtFault::Audience),
        ("aud", Some(json!("SMH")), JwtFault::Audience),
        ("aud", Some(json!([])), JwtFault::Audience),
        ("aud", Some(json!(["other", "another"])), JwtFault::Audience),
        ("aud", Some(json!(["smh", 1])), JwtFault::Claim),
        ("aud", Some(json!({"smh": true})), JwtFault::Claim),
        ("aud", Some(json!(null)), JwtFault::Claim),
        ("exp", None, JwtFault::Expired),
        ("exp", Some(json!((NOW + 300).to_string())), JwtFault::Claim),
        ("exp", Some(json!(-1)), JwtFault::Claim),
        ("exp", Some(json!(-1.5)), JwtFault::Claim),
        ("exp", Some(json!(1e300)), JwtFault::Claim),
        ("exp", Some(json!(null)), JwtFault::Claim),
        ("exp", Some(json!(0)), JwtFault::Expired),
        ("nbf", Some(json!("0")), JwtFault::Claim),
        ("nbf", Some(json!(null)), JwtFault::Claim),
        ("sub", None, JwtFault::Subject),
        ("sub", Some(json!("")), JwtFault::Subject),
        ("sub", Some(json!(1)), JwtFault::Subject),
    ] {
        world.assert_fault(world.token(&claims_with(name, value)), fault);
    }
    for (name, value) in [
        ("aud", json!("smh-test")),
        ("aud", json!(["other", "smh"])),
        ("exp", json!(u64::MAX)),
        ("exp", json!(1_800_000_000.5)),
        ("nbf", json!(0)),
        ("iat", json!("whenever")),
    ] {
        world.verify(world.token(&claims_with(name, Some(value)))).unwrap();
    }
}

#[test]
fn clocks_may_differ_by_30_seconds_and_no_more() {
    let world = World::new();
    let token = world.token(&claims_with("nbf", Some(json!(NOW))));
    // Once anew, once from the cache: the borders are the same.
    for _ in 0..2 {
        for (now, fault) in [
            (NOW - 31, Some(JwtFault::NotYet)),
            (NOW - 30, None),
            (NOW + 329, None),
            (NOW + 330, Some(JwtFault::Expired)),
            (0, Some(JwtFault::NotYet)),
            (NOW * 100, Some(JwtFault::Expired)),
        ] {
            match (world.verify_at(&token, now), fault) {
                (Ok(_), None) => {}
                (Err(Unproven::Fault(found)), Some(fault)) => assert_eq!(found, fault, "{now}"),
                (other, _) => panic!("{now}: {other:?}"),
            }
        }
        assert_eq!(world.issuers.cached(), 1);
    }
}

#[test]
fn what_a_forger_claims_is_not_told_apart() {
    let world = World::new();
    let forger = Signer::new(Algorithm::Es256);
    for (name, value) in
        [("exp", Some(json!(0))), ("aud", Some(json!("other"))), ("sub", None), ("exp", None)]
    {
        let token = forger.sign(&header(), &claims_with(name, value));
        world.assert_fault(token, JwtFault::Signature);
    }
}

#[test]
fn rules_are_matched_against_texts_numbers_and_members_of_arrays() {
    let mut all = claims();
    all["team"] = json!("media-eu");
    all["level"] = json!(3);
    all["staff"] = json!(true);
    all["groups"] = json!(["readers", "cleaners", 7, {"x": 1}, ["nested"]]);
    all["realm"] = json!({"roles": ["delete"], "a/b": {"m~n": "deep"}});
    all["https://example.com/role"] = json!("janitor");
    all["nothing"] = json!(null);
    all["/odd"] = json!("odd");
    let world = World::new();
    let claims = world.verify(world.token(&all)).unwrap();
    for (name, glob, expected) in [
        ("team", "media-*", true),
        ("team", "media", false),
        ("level", "3", true),
        ("level", "4", false),
        ("staff", "true", true),
        ("groups", "clean*", true),
        ("groups", "7", true),
        ("groups", "nested", false),
        ("groups", "writers", false),
        ("/groups/0", "readers", true),
        ("/groups/9", "*", false),
        ("realm", "*", false),
        ("/realm/roles", "delete", true),
        ("/realm/a~1b/m~0n", "deep", true),
        ("realm/roles", "*", false),
        ("https://example.com/role", "janitor", true),
        ("nothing", "*", false),
        ("absent", "*", false),
        ("/odd", "*", false),
        ("/~1odd", "odd", true),
        ("sub", "billing", true),
        ("", "*", false),
    ] {
        let rule = ClaimRule { name: name.into(), glob: NameGlob::try_from(glob).unwrap() };
        assert_eq!(rule.matches(&claims), expected, "{name} {glob}");
    }
}
