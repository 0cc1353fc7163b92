//! Tokens over SMH's surface.

use std::time::Duration;

use super::*;
use crate::simulator::{Behaviour, MintSpaceCheck, Renewal, UnknownRevocation};

const MINT: &str = "/api/v1/token?library_id=smhlib&library_secret=the-secret";

fn mint(simulator: &Simulator, more: &str) -> String {
    let reply = ask(simulator, Method::GET, &format!("{MINT}{more}"));
    reply.json["accessToken"].as_str().unwrap().to_owned()
}

#[test]
fn a_minted_token_has_what_was_asked_for() {
    let simulator = photos();

    let value = mint(
        &simulator,
        "&space_id=space1,space2&grant=delete_file,nonsense&user_id=ann&period=7200",
    );

    let live = simulator.live_tokens();
    let token = live.iter().find(|token| token.value == value).unwrap();
    assert_eq!(token.spaces.as_deref(), Some(&["space1".to_owned(), "space2".to_owned()][..]));
    assert_eq!(token.grants, ["delete_file", "nonsense"]);
    assert_eq!(token.user_id.as_deref(), Some("ann"));
    assert_eq!(token.period, Duration::from_secs(7200));
    let target = format!("/api/v1/file/smhlib/space1/hello.txt?access_token={value}");
    assert_eq!(ask(&simulator, Method::DELETE, &target).status, 200);
}

#[test]
fn a_mint_reads_a_json_body_as_well() {
    let simulator = photos();
    let body = r#"{"library_id":"smhlib","library_secret":"the-secret","period":60}"#;

    let reply = ask_with(&simulator, Method::POST, "/api/v1/token", HeaderMap::new(), body);

    assert_eq!(reply.json["expiresIn"], 1200);
}

#[test]
fn a_mint_says_what_it_misses() {
    let simulator = photos();
    for (query, status, code) in [
        ("", 400, "EmptyLibraryIdOrSecret"),
        ("library_secret=the-secret", 400, "EmptyLibraryId"),
        ("library_id=smhlib", 400, "EmptyLibrarySecret"),
        ("library_id=smhlib&library_secret=wrong", 404, "WrongLibraryIdOrSecret"),
        ("library_id=nolib&library_secret=the-secret", 404, "WrongLibraryIdOrSecret"),
    ] {
        let reply = ask(&simulator, Method::POST, &format!("/api/v1/token?{query}"));
        assert_eq!((reply.status, reply.code()), (status, code), "{query}");
    }
}

#[test]
fn a_mint_may_check_the_space() {
    let simulator = photos();
    mint(&simulator, "&space_id=nospace");
    simulator.set_behaviour(Behaviour {
        mint_space_check: MintSpaceCheck::Strict,
        ..Behaviour::default()
    });

    let refused = ask(&simulator, Method::GET, &format!("{MINT}&space_id=nospace"));

    assert_eq!(refused.code(), "SpaceNotFound");
}

#[tokio::test(start_paused = true)]
async fn every_use_renews_a_token_and_without_use_it_dies_for_good() {
    let simulator = photos();
    let value = mint(&simulator, "&period=1200&grant=delete_file");
    let use_it = || {
        let target = format!("/api/v1/file/smhlib/space1/nothing?access_token={value}");
        ask(&simulator, Method::DELETE, &target).code().to_owned()
    };

    for _ in 0..3 {
        tokio::time::advance(Duration::from_secs(1000)).await;
        assert_eq!(use_it(), "FileNotFound");
    }
    tokio::time::advance(Duration::from_secs(1200)).await;

    assert_eq!(use_it(), "InvalidAccessToken");
    let renewal = ask(&simulator, Method::POST, &format!("/api/v1/token/smhlib/{value}"));
    assert_eq!((renewal.status, renewal.code()), (403, "InvalidAccessToken"));
    assert!(simulator.live_tokens().iter().all(|token| token.value != value));
}

#[test]
fn a_renewal_returns_the_same_string_or_a_new_one() {
    let simulator = photos();
    let value = mint(&simulator, "&period=7200");
    let renew =
        |value: &str| ask(&simulator, Method::POST, &format!("/api/v1/token/smhlib/{value}")).json;

    let same = renew(&value);
    simulator.set_behaviour(Behaviour { renewal: Renewal::NewToken, ..Behaviour::default() });
    let new = renew(&value);

    assert_eq!((&same["accessToken"], &same["expiresIn"]), (&value.clone().into(), &7200.into()));
    assert_ne!(new["accessToken"], value);
    assert_eq!(renew(&value)["code"], "InvalidAccessToken");
}

#[test]
fn a_revoked_token_is_dead() {
    let simulator = photos();
    let value = mint(&simulator, "");
    let revoke = || ask(&simulator, Method::DELETE, &format!("/api/v1/token/smhlib/{value}"));

    assert_eq!(revoke().status, 204);
    assert_eq!(revoke().code(), "InvalidAccessToken");
    simulator.set_behaviour(Behaviour {
        unknown_revocation: UnknownRevocation::NoContent,
        ..Behaviour::default()
    });
    assert_eq!(revoke().status, 204);
}

#[test]
fn the_tokens_of_users_are_revoked_together() {
    let simulator = photos();
    let anns = mint(&simulator, "&user_id=ann");
    let bobs = mint(&simulator, "&user_id=bob");
    let revoke = |query: &str| {
        ask(&simulator, Method::DELETE, &format!("/api/v1/token/smhlib?{query}")).status
    };

    assert_eq!(revoke("library_secret=wrong&user_id=ann"), 404);
    assert_eq!(revoke("library_secret=the-secret"), 400);
    assert_eq!(revoke("library_secret=the-secret&user_id=ann,nobody"), 204);

    let live = simulator.live_tokens();
    assert!(live.iter().all(|token| token.value != anns));
    assert!(live.iter().any(|token| token.value == bobs));
}
