//! Tokens that are replaced before their end, and revoked at it.

use std::time::Duration;

use smh_gateway::simulator::{Answered, Fault, Injection, Library, Matcher, RouteKind};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::*;
use crate::support::request;

fn when_minting(injection: Injection) -> Injection {
    injection.when(Matcher::route(RouteKind::IssueToken))
}

#[tokio::test]
async fn a_used_token_is_replaced_before_its_period_ends_and_revoked_after_a_grace() {
    let smh = Smh::start().await.with_file("a").with_file("b");
    let gateway = started(&smh).await;
    let first = token_of(&smh, "app", SPACE);
    assert_eq!(delete(&gateway, "/v1/files/t1/a").await.status(), 200);
    pass(HOUR).await;
    a_while().await;
    assert_eq!(mints(&smh).len(), 3, "half of the period is too early");

    pass(Duration::from_secs(45 * 60)).await;
    until("a token is minted in the background", async || mints(&smh).len() == 4).await;
    assert_eq!(mints(&smh)[3]["user_id"], "app");
    let alive = minted(&smh).iter().any(|token| token.value == first);
    assert!(alive, "the old one lives on for deletes under way");
    assert_eq!(delete(&gateway, "/v1/files/t1/b").await.status(), 200);
    let used = parameters(&deletes(&smh)[1])["access_token"].clone();
    assert_ne!(used, first);

    pass(Duration::from_secs(10)).await;
    until("the old one is revoked", async || token_of_all(&smh, SPACE) == [used.clone()]).await;
    let path = format!("/api/v1/token/{LIBRARY}/{first}");
    assert!(arrived(&smh, RouteKind::RevokeToken).iter().any(|request| request.target == path));
    assert_eq!(deletes(&smh).len(), 2);
}

/// The live tokens of `app` for a space.
fn token_of_all(smh: &Smh, space: &str) -> Vec<String> {
    let of = |token: &TokenInfo| {
        token.user_id.as_deref() == Some("app") && token.spaces == Some(vec![space.to_owned()])
    };
    minted(smh).into_iter().filter(of).map(|token| token.value).collect()
}

#[tokio::test]
async fn no_delete_waits_for_a_renewal() {
    let smh = with_files(Smh::start().await, 50);
    let gateway = started(&smh).await;
    assert_eq!(delete(&gateway, "/v1/files/t1/none").await.status(), 404);
    let first = token_of(&smh, "app", SPACE);
    smh.simulator.inject(when_minting(Injection::once(Fault::Slow(Duration::from_millis(2500)))));
    pass(HOUR + Duration::from_secs(45 * 60)).await;
    until("the renewal is under way", async || mints(&smh).len() == 4).await;
    smh.simulator.clear_received();
    let began = std::time::Instant::now();
    let answers = burst(&gateway, 50).await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_all_deleted(&answers);
    for request in deletes(&smh) {
        assert_eq!(parameters(&request)["access_token"], first);
    }
}

#[tokio::test]
async fn a_delete_under_way_keeps_its_token_through_a_renewal() {
    let smh = Smh::start().await.with_file("a");
    let gateway = started(&smh).await;
    assert_eq!(delete(&gateway, "/v1/files/t1/none").await.status(), 404);
    let slow = Injection::once(Fault::Slow(Duration::from_millis(1500)));
    smh.simulator.inject(slow.when(Matcher::route(RouteKind::DeleteFile)));
    // Time does not pass for SMH while the delete is there, so the renewal comes first.
    pass(HOUR + Duration::from_secs(45 * 60)).await;
    let (answer, ()) = tokio::join!(
        delete(&gateway, "/v1/files/t1/a"),
        until("a token is minted", async || mints(&smh).len() == 4),
    );
    assert_eq!(answer.status(), 200);
    assert_eq!(deletes(&smh).len(), 2, "sent once each");
}

#[tokio::test]
async fn a_token_is_replaced_at_max_age_however_long_it_lives() {
    let smh = Smh::start().await;
    let yaml =
        minting_yaml().replace("{ file: secret } }", "{ file: secret }, period: 7d, max_age: 3h }");
    let gateway = start_with(&yaml, None, smh.address).await;
    until("the tokens are there", async || minted(&smh).len() == 3).await;
    until_ready(&gateway).await;
    assert_eq!(delete(&gateway, "/v1/files/t1/none").await.status(), 404);
    pass(2 * HOUR + Duration::from_secs(59 * 60)).await;
    a_while().await;
    assert_eq!(mints(&smh).len(), 3);
    pass(Duration::from_secs(60)).await;
    until("it is replaced", async || mints(&smh).len() == 4).await;
    assert_eq!(mints(&smh)[3]["period"], "604800");
}

#[tokio::test]
async fn the_default_max_age_is_a_day() {
    let smh = Smh::start().await;
    let yaml = minting_yaml().replace("{ file: secret } }", "{ file: secret }, period: 7d }");
    let gateway = start_with(&yaml, None, smh.address).await;
    until("the tokens are there", async || minted(&smh).len() == 3).await;
    until_ready(&gateway).await;
    assert_eq!(delete(&gateway, "/v1/files/t1/none").await.status(), 404);
    pass(23 * HOUR).await;
    a_while().await;
    assert_eq!(mints(&smh).len(), 3);
    pass(HOUR).await;
    until("it is replaced", async || mints(&smh).len() == 4).await;
}

#[tokio::test]
async fn a_token_that_nobody_uses_is_revoked_and_not_renewed() {
    let smh = Smh::start().await.with_file("a");
    let gateway = started(&smh).await;
    pass(HOUR + Duration::from_secs(45 * 60)).await;
    until("all are revoked", async || minted(&smh).is_empty()).await;
    a_while().await;
    assert_eq!(mints(&smh).len(), 3, "nobody needs another one");
    assert_eq!(revocations(&smh), 3);
    assert_eq!(gateway.admin("/readyz").await.status(), 200, "it could have one any time");
    assert_eq!(delete(&gateway, "/v1/files/t1/a").await.status(), 200);
    assert_eq!(mints(&smh).len(), 4);
}

#[tokio::test]
async fn a_failing_renewal_keeps_the_old_token_in_use() {
    let smh = Smh::start().await.with_file("a").with_file("b");
    let gateway = started(&smh).await;
    assert_eq!(delete(&gateway, "/v1/files/t1/a").await.status(), 200);
    let first = token_of(&smh, "app", SPACE);
    smh.simulator.inject(when_minting(Injection::forever(Fault::ServerOverloaded)));
    pass(HOUR + Duration::from_secs(45 * 60)).await;
    until("a renewal fails", async || mints(&smh).len() > 3).await;
    assert_eq!(delete(&gateway, "/v1/files/t1/b").await.status(), 200);
    assert_eq!(parameters(&deletes(&smh)[1])["access_token"], first);
    until("it is told", async || {
        let status = status_of(&gateway, "app", "t1").await;
        status["failed_mints"].as_u64() > Some(0) && status["last_error"] == "unreachable"
    })
    .await;
    let failures = "smh_gateway_token_mint_failures{caller=\"app\",tenant=\"t1\"}";
    assert!(metric(&gateway, failures).await > 0.0);
    assert!(metric(&gateway, "smh_gateway_token_mints_total{result=\"unreachable\"}").await > 0.0);

    smh.simulator.clear_faults();
    pass(Duration::from_secs(90)).await;
    until("it is renewed after all", async || {
        status_of(&gateway, "app", "t1").await["failed_mints"] == 0
    })
    .await;
}

#[tokio::test]
async fn every_token_is_revoked_at_the_end() {
    let smh = Smh::start().await.with_file("a").with_file("b");
    let gateway = started(&smh).await;
    assert_eq!(delete(&gateway, "/v1/files/t1/a").await.status(), 200);
    // One that was replaced, and is not yet revoked.
    pass(HOUR + Duration::from_secs(45 * 60)).await;
    until("it is replaced", async || mints(&smh).len() == 4).await;
    assert_eq!(delete(&gateway, "/v1/files/t1/b").await.status(), 200);
    gateway.stop().await;
    assert_eq!(minted(&smh).len(), 0);
    assert_eq!(smh.simulator.live_tokens().len(), 1, "the operator's own is not touched");
}

#[tokio::test]
async fn the_end_does_not_wait_for_an_smh_that_hangs() {
    let smh = Smh::start().await;
    let gateway = started(&smh).await;
    let hang = Injection::forever(Fault::HangBeforeActing);
    smh.simulator.inject(hang.when(Matcher::route(RouteKind::RevokeToken)));
    let began = std::time::Instant::now();
    gateway.stop().await;
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!(revocations(&smh), 3, "it was tried");
}

#[tokio::test]
async fn a_mint_that_hangs_at_the_end_keeps_no_other_token_from_being_revoked() {
    let smh = Smh::start().await;
    let gateway = started(&smh).await;
    smh.simulator.inject(when_minting(Injection::forever(Fault::HangBeforeActing)));
    smh.simulator.revoke_token(&token_of(&smh, "app", "space2"));
    // Its answer is not waited for.
    let mut caller = TcpStream::connect(gateway.address()).await.unwrap();
    caller.write_all(request("/v1/files/t2/none", &[]).as_bytes()).await.unwrap();
    until("a mint hangs", async || {
        arrived(&smh, RouteKind::IssueToken).iter().any(|m| m.answered == Answered::Nothing)
    })
    .await;
    gateway.stop().await;
    assert_eq!(minted(&smh).len(), 0, "the other two are revoked");
}

#[tokio::test]
async fn a_library_that_hangs_keeps_no_other_librarys_tokens_from_being_revoked() {
    let (down, smh) = (Smh::start().await, Smh::start().await);
    down.simulator.add_library(Library::multi_tenant("smhdown", SECRET));
    let library = format!(
        "libraries:\n  smhdown:\n    url: http://{}\n    token: {{ mint: {{ library_secret: {{ \
         file: secret }} }} }}\n",
        down.address
    );
    let mut yaml = minting_yaml().replace("libraries:\n", &library);
    let names: Vec<_> = (0..12).map(|number| format!("d{number}")).collect();
    let tenants: String = names
        .iter()
        .map(|name| format!("  {name}: {{ library: smhdown, space: {name} }}\n"))
        .collect();
    yaml = yaml.replace("tenants:\n", &format!("tenants:\n{tenants}"));
    yaml = yaml.replace("tenants: [t1, t2]", &format!("tenants: [t1, t2, {}]", names.join(", ")));
    let gateway = start_with(&yaml, None, smh.address).await;
    until("all tokens are there", async || minted(&smh).len() == 3 && minted(&down).len() == 12)
        .await;
    let hang = Injection::forever(Fault::HangBeforeActing);
    down.simulator.inject(hang.when(Matcher::route(RouteKind::RevokeToken)));
    gateway.stop().await;
    assert_eq!(minted(&smh).len(), 0);
}
