//! Other library secrets, and files that come and go.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use smh_gateway::simulator::{Fault, Injection, Matcher, RouteKind};

use super::*;

const OTHER_SECRET: &str = "sentinel-second-secret";

/// The mints that were made with a secret.
fn mints_with(smh: &Smh, secret: &str) -> usize {
    mints(smh).iter().filter(|mint| mint["library_secret"] == secret).count()
}

#[tokio::test]
async fn another_secret_is_proved_by_a_mint_whose_token_is_revoked() {
    let smh = Smh::start().await.with_file("a").with_file("b");
    let gateway = started(&smh).await;
    smh.simulator.set_secret(LIBRARY, OTHER_SECRET);
    gateway.folder.write("secret", &format!("{OTHER_SECRET}\n"));
    until("the new secret is proved", async || mints_with(&smh, OTHER_SECRET) == 1).await;
    until("the proof is revoked", async || revocations(&smh) == 1).await;
    assert_eq!(minted(&smh).len(), 3, "the tokens in use are still those of before");
    assert_eq!(
        metric(&gateway, "smh_gateway_library_secrets_total{result=\"accepted\"}").await,
        1.0
    );
    a_while().await;
    assert_eq!(mints_with(&smh, OTHER_SECRET), 1, "once is enough");

    assert_eq!(delete(&gateway, "/v1/files/t1/a").await.status(), 200);
    smh.simulator.revoke_token(&token_of(&smh, "app", SPACE));
    assert_eq!(delete(&gateway, "/v1/files/t1/b").await.status(), 200);
    assert_eq!(mints_with(&smh, OTHER_SECRET), 2, "it is in force");
}

#[tokio::test]
async fn a_wrong_secret_leaves_the_old_one_in_force() {
    let smh = Smh::start().await.with_file("a");
    let gateway = started(&smh).await;
    gateway.folder.write("secret", "sentinel-wrong-secret");
    let rejected = "smh_gateway_library_secrets_total{result=\"rejected\"}";
    until("it is found to be wrong", async || metric(&gateway, rejected).await == 1.0).await;
    let told = log_of_events().with(&["ERROR", "the old one stays in force"]);
    assert!(!told.is_empty());
    assert!(log_of_events().with(&["sentinel-wrong-secret"]).is_empty());
    smh.simulator.revoke_token(&token_of(&smh, "app", SPACE));
    assert_eq!(delete(&gateway, "/v1/files/t1/a").await.status(), 200);
    assert_eq!(mints_with(&smh, SECRET), 4, "the old one minted");
    pass(2 * HOUR).await;
    a_while().await;
    assert_eq!(mints_with(&smh, "sentinel-wrong-secret"), 1, "only another one is worth a try");
    assert_eq!(gateway.admin("/readyz").await.status(), 200);
}

#[tokio::test]
async fn a_wrong_secret_is_shown_in_the_status() {
    let smh = Smh::start().await;
    let gateway = started(&smh).await;
    let before = keys(&gateway.admin("/api/status").await.json());
    gateway.folder.write("secret", "sentinel-wrong-secret");
    let rejected = "smh_gateway_library_secrets_total{result=\"rejected\"}";
    until("it is found to be wrong", async || metric(&gateway, rejected).await == 1.0).await;
    let status = gateway.admin("/api/status").await.json();
    assert!(!status.to_string().contains("sentinel"));
    // Whatever it is called: something must say `wrong_secret`.
    assert!(status.to_string().contains("wrong_secret"), "before: {before:?}, now: {status:#}");
}

fn keys(value: &serde_json::Value) -> Vec<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

#[tokio::test]
async fn a_secret_that_cannot_be_proved_during_an_outage_is_proved_after_it() {
    let smh = Smh::start().await;
    let gateway = started(&smh).await;
    smh.simulator.set_secret(LIBRARY, OTHER_SECRET);
    let down = Injection::times(Fault::ServerOverloaded, 2);
    smh.simulator.inject(down.when(Matcher::route(RouteKind::IssueToken)));
    gateway.folder.write("secret", OTHER_SECRET);
    let accepted = "smh_gateway_library_secrets_total{result=\"accepted\"}";
    until("it is proved at last", async || metric(&gateway, accepted).await == 1.0).await;
    assert_eq!(mints_with(&smh, OTHER_SECRET), 3);
    until("the proof is revoked", async || minted(&smh).len() == 3).await;
}

#[tokio::test]
async fn a_proof_that_a_newer_secret_overtakes_leaves_no_token_behind() {
    let smh = Smh::start().await;
    let gateway = started(&smh).await;
    smh.simulator.set_secret(LIBRARY, OTHER_SECRET);
    let slow = Injection::once(Fault::Slow(Duration::from_millis(2500)));
    smh.simulator.inject(slow.when(Matcher::route(RouteKind::IssueToken)));
    gateway.folder.write("secret", OTHER_SECRET);
    until("the proof is under way", async || mints_with(&smh, OTHER_SECRET) == 1).await;
    smh.simulator.set_secret(LIBRARY, "sentinel-third-secret");
    gateway.folder.write("secret", "sentinel-third-secret");
    let accepted = "smh_gateway_library_secrets_total{result=\"accepted\"}";
    until("the newest is proved", async || metric(&gateway, accepted).await == 1.0).await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!(minted(&smh).len(), 3, "only those in use are alive");
}

#[tokio::test]
async fn a_secret_that_is_missing_at_start_is_found_later() {
    let smh = Smh::start().await.with_file("a");
    let gateway = start_in(Folder::new(&minting_yaml(), None, smh.address)).await;
    let answer = delete(&gateway, "/v1/files/t1/a").await;
    assert_eq!((answer.status(), answer.code().as_str()), (503, "TokenUnavailable"));
    assert_eq!(answer.outcome(), "not_sent");
    assert_eq!(gateway.admin("/readyz").await.json()["pending"][0], "token of library smhxxx");
    assert_eq!(status_of(&gateway, "app", "t1").await["last_error"], "no_secret");
    assert_eq!(smh.received().len(), 0);
    gateway.folder.write("secret", SECRET);
    until_deleted(&gateway, "/v1/files/t1/a").await;
    until_ready(&gateway).await;
}

#[tokio::test]
async fn a_secret_that_appears_late_is_used_at_once() {
    let smh = Smh::start().await.with_file("a");
    let gateway = start_in(Folder::new(&minting_yaml(), None, smh.address)).await;
    for _ in 0..30 {
        pass(Duration::from_secs(20)).await;
        sleep(Duration::from_millis(20)).await;
    }
    gateway.folder.write("secret", SECRET);
    until_deleted(&gateway, "/v1/files/t1/a").await;
}

#[tokio::test]
async fn a_proved_secret_ends_the_pause_of_the_wrong_one() {
    let smh = Smh::start().await.with_file("a");
    let folder = Folder::new(&minting_yaml(), None, smh.address);
    folder.write("secret", "sentinel-wrong-secret");
    let gateway = start_in(folder).await;
    for _ in 0..30 {
        pass(Duration::from_secs(20)).await;
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(status_of(&gateway, "app", "t1").await["last_error"], "wrong_secret");
    gateway.folder.write("secret", SECRET);
    until_deleted(&gateway, "/v1/files/t1/a").await;
}

#[tokio::test]
async fn a_secret_that_is_gone_for_a_moment_changes_nothing() {
    let smh = Smh::start().await.with_file("a").with_file("b");
    let gateway = started(&smh).await;
    for broken in [None, Some(""), Some("two\nlines"), Some("\u{1}\u{2}")] {
        match broken {
            None => fs::remove_file(gateway.folder.path("secret")).unwrap(),
            Some(content) => gateway.folder.write("secret", content),
        }
        a_while().await;
    }
    smh.simulator.revoke_token(&token_of(&smh, "app", SPACE));
    assert_eq!(delete(&gateway, "/v1/files/t1/a").await.status(), 200);
    gateway.folder.write("secret", SECRET);
    a_while().await;
    assert_eq!(mints(&smh).len(), 4, "the same secret is not proved again");
}

#[tokio::test]
async fn a_secret_is_followed_through_renames_and_symlink_swaps() {
    let smh = Smh::start().await;
    let folder = Folder::new(&minting_yaml(), None, smh.address);
    // As Kubernetes mounts it: secret -> ..data/secret, ..data -> a folder of this version.
    fs::create_dir(folder.path("v1")).unwrap();
    folder.write("v1/secret", SECRET);
    symlink("v1", folder.path("..data")).unwrap();
    symlink("..data/secret", folder.path("secret")).unwrap();
    let gateway = start_in(folder).await;
    until_ready(&gateway).await;

    smh.simulator.set_secret(LIBRARY, OTHER_SECRET);
    fs::create_dir(gateway.folder.path("v2")).unwrap();
    gateway.folder.write("v2/secret", OTHER_SECRET);
    symlink("v2", gateway.folder.path("..data_tmp")).unwrap();
    fs::rename(gateway.folder.path("..data_tmp"), gateway.folder.path("..data")).unwrap();
    fs::remove_dir_all(gateway.folder.path("v1")).unwrap();
    let accepted = "smh_gateway_library_secrets_total{result=\"accepted\"}";
    until("the swap is noticed", async || metric(&gateway, accepted).await == 1.0).await;

    smh.simulator.set_secret(LIBRARY, "sentinel-third-secret");
    gateway.folder.write("new", "sentinel-third-secret");
    fs::rename(gateway.folder.path("new"), gateway.folder.path("secret")).unwrap();
    until("the rename is noticed", async || metric(&gateway, accepted).await == 2.0).await;
}

#[tokio::test]
async fn a_given_token_is_followed_in_its_file() {
    let smh = Smh::start().await.with_file("a").with_file("b");
    let gateway = Gateway::start(smh.address).await;
    let other = smh
        .simulator
        .issue_token(smh_gateway::simulator::TokenSpec::new(LIBRARY).with_grant("delete_file"));
    smh.simulator.revoke_token(TOKEN);
    let answer = delete(&gateway, "/v1/files/t1/a").await;
    assert_eq!((answer.status(), answer.outcome().as_str()), (502, "not_sent"));
    gateway.folder.write("token", &other);
    assert_eq!(delete(&gateway, "/v1/files/t1/a").await.status(), 200);
    fs::remove_file(gateway.folder.path("token")).unwrap();
    a_while().await;
    assert_eq!(delete(&gateway, "/v1/files/t1/b").await.status(), 200);
    gateway.stop().await;
    assert!(smh.simulator.live_tokens().iter().any(|t| t.value == other), "it is not ours");
}
