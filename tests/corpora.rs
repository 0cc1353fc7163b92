//! The vectors of Project Wycheproof for signed tokens and their keys.
//!
//! They are not part of the repository. `.ci/run` says where they lie; `./test` leaves this out.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
#![expect(clippy::expect_used, reason = "a test may fail loudly")]
#![expect(clippy::indexing_slicing, reason = "a test may fail loudly")]
#![expect(clippy::panic, reason = "a test may fail loudly")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use smh_gateway::authenticate::jwt::{Algorithm, KeySet, jws};

/// What became of a file's vectors.
#[derive(Debug, Default)]
struct Outcome {
    accepted: usize,
    refused: usize,
    /// Valid, but not for us: how many, by the reason.
    declined: BTreeMap<&'static str, usize>,
}

#[test]
fn signatures_are_judged_as_wycheproof_does() {
    let outcome = judge("json_web_signature_test.json");
    assert!(outcome.accepted >= 26, "{outcome:?}");
    assert!(outcome.refused >= 355, "{outcome:?}");
    assert!(outcome.declined.values().sum::<usize>() <= 20, "{outcome:?}");
}

#[test]
fn keys_are_judged_as_wycheproof_does() {
    let outcome = judge("json_web_key_test.json");
    assert!(outcome.accepted >= 1, "{outcome:?}");
    assert!(outcome.refused >= 21, "{outcome:?}");
    assert!(outcome.declined.values().sum::<usize>() <= 4, "{outcome:?}");
}

fn judge(file: &str) -> Outcome {
    let mut outcome = Outcome::default();
    for group in corpus(file)["testGroups"].as_array().unwrap() {
        let key = group.get("public").unwrap_or(&group["private"]);
        let set = if key.get("keys").is_some() { key.clone() } else { json!({ "keys": [key] }) };
        let keys = KeySet::parse(set.to_string().as_bytes(), &Algorithm::ALL);
        for test in group["tests"].as_array().unwrap() {
            let token = test["jws"].as_str().unwrap();
            let verified = keys
                .as_ref()
                .is_ok_and(|keys| jws::verify(token.as_bytes(), keys, &Algorithm::ALL).is_ok());
            let declined = why_declined(&set, token);
            match (test["result"].as_str().unwrap(), verified) {
                ("valid", true) => {
                    assert_eq!(declined, None, "accepted after all: {test}");
                    outcome.accepted += 1;
                }
                ("valid", false) => {
                    let reason = declined.unwrap_or_else(|| panic!("refused: {test}"));
                    *outcome.declined.entry(reason).or_default() += 1;
                }
                ("invalid", false) => outcome.refused += 1,
                ("invalid", true) => panic!("accepted: {test}"),
                (result, _) => panic!("what is {result}? {test}"),
            }
        }
    }
    outcome
}

/// Why a valid token is refused all the same.
fn why_declined(set: &Value, token: &str) -> Option<&'static str> {
    let parts: Option<Vec<_>> =
        token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).ok()).collect();
    let Some(parts) = parts else {
        return Some("a character that base64url has not: RFC 7515 forbids it");
    };
    let header: Value = serde_json::from_slice(parts.first()?).ok()?;
    let algorithm = header["alg"].as_str()?;
    let own = |key: &Value| key.get("alg").is_none_or(|own| own == algorithm);
    if algorithm.starts_with("HS") {
        Some("symmetric: who can verify could sign")
    } else if algorithm == "ES512" {
        Some("ES512: not among ours")
    } else if !set["keys"].as_array()?.iter().any(own) {
        Some("the key is published for another algorithm")
    } else if token.contains("..") {
        Some("an empty payload: it has no claims")
    } else {
        None
    }
}

#[expect(clippy::disallowed_methods, reason = "no setting of the gateway: `.ci/run` says it")]
fn corpus(file: &str) -> Value {
    let folder = std::env::var("SMH_CORPORA").expect("SMH_CORPORA: the folder of the corpora");
    let path = PathBuf::from(folder).join("wycheproof").join(file);
    let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap()
}
