//! The real binary, asking SMH.

use std::process::{Command, Output};

use serde_json::Value;
use smh_gateway::simulator::{MintSpaceCheck, RecycleBin, RouteKind};

use super::*;

async fn doctor(folder: &Folder, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smh-gateway"));
    command.arg("doctor").arg("--config").arg(folder.path("gateway.yaml")).args(more);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn minting_folder(smh: &Smh) -> Folder {
    let folder = Folder::new(&minting_yaml(), None, smh.address);
    folder.write("secret", SECRET);
    folder
}

fn text(output: &Output) -> String {
    let bytes = [output.stdout.clone(), output.stderr.clone()].concat();
    let text = String::from_utf8(bytes).unwrap();
    assert!(!text.contains("acctk") && !text.contains("sentinel"), "{text}");
    text
}

/// Nothing but looks, and mints that were given back.
fn assert_harmless(smh: &Smh) {
    let received = smh.received();
    let harmless = [RouteKind::IssueToken, RouteKind::ListRecycled, RouteKind::RevokeToken];
    for request in &received {
        assert!(request.route.is_some_and(|route| harmless.contains(&route)), "{request:?}");
    }
    let lists = received.iter().filter(|r| r.route == Some(RouteKind::ListRecycled));
    assert!(lists.clone().all(|request| parameters(request)["limit"] == "1"));
    assert_eq!(minted(smh).len(), 0, "what was minted is revoked");
}

#[tokio::test]
async fn where_all_is_well_it_says_so_and_leaves_nothing_behind() {
    let smh = Smh::start().await.with_file("a");
    let output = doctor(&minting_folder(&smh), &[]).await;
    let text = text(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(!text.contains("WRONG"), "{text}");
    for part in ["can be reached", "t1", "t2", "`delete_file`", "the recycle bin is on"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_harmless(&smh);
    assert_eq!((mints(&smh).len(), revocations(&smh)), (2, 2), "one a tenant");
    assert_eq!(smh.files(), ["a"]);
    assert!(mints(&smh).iter().all(|mint| mint["client_id"] == "smh-gateway-doctor"));
}

#[tokio::test]
async fn a_given_token_is_looked_at_and_kept() {
    let smh = Smh::start().await;
    let output = doctor(&Folder::new(GATEWAY_YAML, None, smh.address), &[]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_harmless(&smh);
    assert_eq!(smh.received().len(), 2);
    assert_eq!(smh.simulator.live_tokens().len(), 1, "it is the operator's");
}

#[tokio::test]
async fn findings_are_also_told_to_programs() {
    let smh = Smh::start().await;
    smh.simulator.set_recycle_bin(LIBRARY, RecycleBin::Off);
    let output = doctor(&minting_folder(&smh), &["--format", "json"]).await;
    assert_eq!(output.status.code(), Some(1));
    text(&output);
    let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = findings.as_array().unwrap();
    assert_eq!(findings.len(), 5, "the library; for each tenant a token and the bin");
    for finding in findings {
        assert_eq!(finding["library"], LIBRARY);
        assert!(finding["what"].is_string());
        assert_eq!(finding["good"] == false, finding["advice"].is_string(), "{finding}");
    }
    let bad: Vec<_> = findings.iter().filter(|finding| finding["good"] == false).collect();
    assert_eq!(bad.len(), 2);
    assert_eq!((&bad[0]["tenant"], &bad[1]["tenant"]), (&"t1".into(), &"t2".into()));
}

/// What is told of a wrong thing, and that nothing else is done about it.
async fn finds(smh: &Smh, folder: &Folder, parts: &[&str]) {
    let output = doctor(folder, &[]).await;
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for part in ["WRONG", "->"].iter().chain(parts) {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_harmless(smh);
}

#[tokio::test]
async fn an_smh_that_cannot_be_reached_is_found() {
    let smh = Smh::start().await;
    let folder = Folder::new(&minting_yaml(), None, "127.0.0.1:9".parse().unwrap());
    folder.write("secret", SECRET);
    finds(&smh, &folder, &["cannot be reached", "`url`"]).await;
    assert_eq!(smh.received().len(), 0);
}

#[tokio::test]
async fn a_wrong_or_missing_secret_is_found() {
    let smh = Smh::start().await;
    let folder = minting_folder(&smh);
    folder.write("secret", "sentinel-wrong-secret");
    finds(&smh, &folder, &["does not know this library id or secret"]).await;
    std::fs::remove_file(folder.path("secret")).unwrap();
    finds(&smh, &folder, &["no library secret", "secret: it cannot be read"]).await;
}

#[tokio::test]
async fn a_wrong_space_is_found() {
    let smh = Smh::start().await;
    let yaml = minting_yaml().replace("space: spacexxx", "space: nosuchspace");
    let folder = Folder::new(&yaml, None, smh.address);
    folder.write("secret", SECRET);
    finds(&smh, &folder, &["no space nosuchspace", "the recycle bin is on"]).await;
}

#[tokio::test]
async fn a_wrong_space_is_named_where_smh_refuses_to_mint_for_it() {
    let smh = Smh::start().await;
    let mut behaviour = smh.simulator.behaviour();
    behaviour.mint_space_check = MintSpaceCheck::Strict;
    smh.simulator.set_behaviour(behaviour);
    let yaml = minting_yaml().replace("space: spacexxx", "space: nosuchspace");
    let folder = Folder::new(&yaml, None, smh.address);
    folder.write("secret", SECRET);
    finds(&smh, &folder, &["space"]).await;
}

#[tokio::test]
async fn a_recycle_bin_that_is_not_as_configured_is_found_either_way() {
    let smh = Smh::start().await;
    smh.simulator.set_recycle_bin(LIBRARY, RecycleBin::Off);
    let folder = minting_folder(&smh);
    finds(&smh, &folder, &["the recycle bin is off, but `recycle_bin: on`", "is final"]).await;

    smh.simulator.set_recycle_bin(LIBRARY, RecycleBin::KEEPING);
    let yaml = minting_yaml().replace("  smhxxx:\n", "  smhxxx:\n    recycle_bin: off\n");
    let folder = Folder::new(&yaml, None, smh.address);
    folder.write("secret", SECRET);
    finds(&smh, &folder, &["the recycle bin is on, but `recycle_bin: off`"]).await;

    smh.simulator.set_recycle_bin(LIBRARY, RecycleBin::Off);
    assert_eq!(doctor(&folder, &[]).await.status.code(), Some(0), "off, as configured");
}

#[tokio::test]
async fn a_bad_token_is_found() {
    let smh = Smh::start().await;
    let folder = Folder::new(GATEWAY_YAML, None, smh.address);
    folder.write("token", "acctkunknown");
    finds(&smh, &folder, &["SMH rejects the token", "replace it"]).await;
    folder.write("token", "two\nlines");
    finds(&smh, &folder, &["no token", "token: it is not one line"]).await;
    let spec = smh_gateway::simulator::TokenSpec::new(LIBRARY).with_space("space2");
    folder.write("token", &smh.simulator.issue_token(spec.with_value("acctkofspace2")));
    let output = doctor(&folder, &[]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("not for this library and space"));
}

#[tokio::test]
async fn an_invalid_configuration_is_reported_and_nobody_asked() {
    let smh = Smh::start().await;
    let folder = Folder::new(&minting_yaml().replace("period", "p"), None, smh.address);
    folder.write("gateway.yaml", "listeners: []\n");
    let output = doctor(&folder, &[]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("gateway.yaml:1:"));
    assert_eq!(smh.received().len(), 0);
}
