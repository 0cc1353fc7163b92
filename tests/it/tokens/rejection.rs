//! Tokens that SMH rejects, and mints that fail.

use std::time::Duration;

use smh_gateway::simulator::{Fault, Injection, Matcher, RouteKind};

use super::*;

fn when_deleting(injection: Injection) -> Injection {
    injection.when(Matcher::route(RouteKind::DeleteFile))
}

fn when_minting(injection: Injection) -> Injection {
    injection.when(Matcher::route(RouteKind::IssueToken))
}

#[tokio::test]
async fn each_form_of_rejection_causes_one_mint_and_a_second_try() {
    for rejection in
        [Fault::InvalidAccessToken, Fault::AccessTokenVersionNotMatch, Fault::PlainForbidden]
    {
        let smh = Smh::start().await.with_file("a");
        let gateway = started(&smh).await;
        let first = token_of(&smh, "app", SPACE);
        smh.simulator.inject(when_deleting(Injection::once(rejection.clone())));
        assert_eq!(delete(&gateway, "/v1/files/t1/a").await.status(), 200, "{rejection:?}");
        let sent = deletes(&smh);
        let used: Vec<_> = sent.iter().map(|d| parameters(d)["access_token"].clone()).collect();
        assert_eq!(used.len(), 2, "{rejection:?}");
        assert_eq!(used[0], first);
        assert_ne!(used[1], first);
        assert_eq!(mints(&smh).len(), 4, "{rejection:?}");
        until("the rejected one is revoked", async || token_of_pair(&smh) == [used[1].clone()])
            .await;
        assert_eq!(metric(&gateway, "smh_gateway_tokens_rejected_total").await, 1.0);
        let lines = gateway.stop().await;
        assert_eq!((&lines[0]["attempts"], &lines[0]["status"]), (&2.into(), &200.into()));
    }
}

fn token_of_pair(smh: &Smh) -> Vec<String> {
    let of = |token: &TokenInfo| {
        token.user_id.as_deref() == Some("app") && token.spaces == Some(vec![SPACE.to_owned()])
    };
    minted(smh).into_iter().filter(of).map(|token| token.value).collect()
}

#[tokio::test]
async fn one_mint_serves_all_that_wait_and_each_is_sent_at_most_twice() {
    let smh = with_files(Smh::start().await, 200);
    let gateway = started_with(&patient_yaml(), &smh).await;
    assert_eq!(delete(&gateway, "/v1/files/t1/none").await.status(), 404);
    smh.simulator.clear_received();
    smh.simulator.inject(when_minting(Injection::once(Fault::Slow(Duration::from_millis(500)))));
    smh.simulator.revoke_token(&token_of(&smh, "app", SPACE));
    let answers = burst(&gateway, 200).await;
    assert_all_deleted(&answers);
    assert_eq!(mints(&smh).len(), 1);
    let mut times: HashMap<String, u32> = HashMap::new();
    for request in deletes(&smh) {
        let (path, _) = request.target.split_once('?').unwrap();
        *times.entry(path.to_owned()).or_default() += 1;
    }
    assert_eq!(times.len(), 200);
    assert!(times.values().all(|&times| times <= 2), "{times:?}");
    assert_eq!(smh.files(), [""; 0]);
}

#[tokio::test]
async fn a_refusal_that_no_token_can_help_is_relayed_and_causes_no_mint() {
    let smh = Smh::start().await.with_file("a");
    let gateway = started(&smh).await;
    for code in [
        "NoPermission",
        "AccessTokenNotMatchSpace",
        "AccessTokenNotMatchLibrary",
        "WriteForbidden",
        "SpaceBanned",
        "LibraryServiceExpired",
    ] {
        let fault = Fault::Error { status: 403, code: code.to_owned() };
        smh.simulator.inject(when_deleting(Injection::once(fault)));
        let answer = delete(&gateway, "/v1/files/t1/a").await;
        assert_eq!((answer.status(), answer.code().as_str()), (403, code));
        assert_eq!(answer.outcome(), "", "it is SMH's own answer");
    }
    assert_eq!(deletes(&smh).len(), 6, "each is sent once");
    assert_eq!(mints(&smh).len(), 3);
    assert_eq!(revocations(&smh), 0);
    assert_eq!(metric(&gateway, "smh_gateway_tokens_rejected_total").await, 0.0);
    assert_eq!(smh.files(), ["a"]);
    for line in gateway.stop().await {
        assert_eq!((&line["outcome"], &line["smh_status"]), (&"relayed".into(), &403.into()));
        assert!(line["smh_code"].is_string() && line.get("attempts").is_none(), "{line}");
    }
}

#[tokio::test]
async fn a_mint_that_fails_backs_off_however_many_deletes_wait() {
    let smh = with_files(Smh::start().await, 100);
    smh.simulator.inject(when_minting(Injection::forever(Fault::ServerOverloaded)));
    let gateway = start(smh.address).await;
    let began = std::time::Instant::now();
    while began.elapsed() < Duration::from_secs(4) {
        for answer in burst(&gateway, 100).await {
            assert_eq!((answer.status(), answer.code().as_str()), (503, "TokenUnavailable"));
            assert_eq!(answer.outcome(), "not_sent");
            assert!(answer.field("retry-after").is_some());
        }
    }
    let mints = mints(&smh).into_iter().filter(|mint| mint["user_id"] == "app");
    let mints = mints.filter(|mint| mint["space_id"] == SPACE).count();
    assert!((2..=4).contains(&mints), "0 s, 1 s, 3 s: {mints}");
    assert_eq!(deletes(&smh).len(), 0);
    assert_eq!(smh.files().len(), 100);

    smh.simulator.clear_faults();
    pass(Duration::from_secs(10)).await;
    until_deleted(&gateway, "/v1/files/t1/f0").await;
    until_ready(&gateway).await;
}

#[tokio::test]
async fn the_pause_between_failing_mints_grows_to_a_minute_and_not_beyond() {
    let smh = Smh::start().await;
    smh.simulator.inject(when_minting(Injection::forever(Fault::ServerOverloaded)));
    let gateway = start(smh.address).await;
    // Ten seconds at a time, so that no mint is missed.
    for _ in 0..60 {
        pass(Duration::from_secs(10)).await;
        sleep(Duration::from_millis(20)).await;
    }
    let times: Vec<_> = arrived(&smh, RouteKind::IssueToken)
        .iter()
        .filter(|mint| parameters(mint)["space_id"] == "space2")
        .map(|mint| mint.since_start)
        .collect();
    let pauses: Vec<_> = times.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(pauses.len() >= 8, "it never gives up: {pauses:?}");
    let longest = pauses.iter().max().unwrap();
    assert!((40..=85).contains(&longest.as_secs()), "{pauses:?}");
    assert!(pauses[..4].iter().min() < Some(&Duration::from_secs(15)), "{pauses:?}");
    smh.simulator.clear_faults();
    pass(Duration::from_secs(80)).await;
    until_ready(&gateway).await;
}

#[tokio::test]
async fn a_wrong_secret_is_told_apart_from_an_outage() {
    let smh = Smh::start().await;
    for (fault, word) in [
        (Fault::Error { status: 404, code: "WrongLibraryIdOrSecret".to_owned() }, "wrong_secret"),
        (Fault::ServerOverloaded, "unreachable"),
        (Fault::BadGatewayHtml, "unreachable"),
        (Fault::RateLimited, "refused"),
        (Fault::NotJson, "malformed"),
    ] {
        smh.simulator.clear_faults();
        smh.simulator.inject(when_minting(Injection::forever(fault)));
        let gateway = start(smh.address).await;
        until(word, async || status_of(&gateway, "app", "t1").await["last_error"] == word).await;
        let sample = format!("smh_gateway_token_mints_total{{result=\"{word}\"}}");
        assert!(metric(&gateway, &sample).await >= 1.0, "{word}");
        let status = status_of(&gateway, "app", "t1").await;
        assert_eq!(status["age_seconds"], serde_json::Value::Null, "{word}");
    }
    // Nothing listens on the discard port.
    let gateway = start("127.0.0.1:9".parse().unwrap()).await;
    until("the outage is told", async || {
        status_of(&gateway, "app", "t1").await["last_error"] == "unreachable"
    })
    .await;
}

#[tokio::test]
async fn an_smh_that_rejects_every_token_causes_no_mint_for_each_delete() {
    let smh = Smh::start().await.with_file("a");
    let gateway = started(&smh).await;
    smh.simulator.inject(when_deleting(Injection::forever(Fault::InvalidAccessToken)));
    for _ in 0..60 {
        let answer = delete(&gateway, "/v1/files/t1/a").await;
        let code = answer.code();
        assert!(code == "UpstreamCredentialRejected" || code == "TokenUnavailable", "{code}");
        assert_eq!(answer.outcome(), "not_sent");
    }
    let more = mints(&smh).len() - 3;
    assert!((1..=4).contains(&more), "{more} mints");
    assert!(deletes(&smh).len() <= 2 * 60);
    assert_eq!(smh.files(), ["a"]);

    smh.simulator.clear_faults();
    pass(Duration::from_secs(120)).await;
    assert_eq!(delete(&gateway, "/v1/files/t1/a").await.status(), 200, "it recovers");
}

/// A firewall before SMH may say `Forbidden` to some paths, and SMH be well all the while.
#[tokio::test]
async fn a_path_that_is_always_forbidden_causes_no_mint_for_each_delete() {
    let smh = with_files(Smh::start().await, 30);
    let gateway = started(&smh).await;
    let forbidden = Matcher::route(RouteKind::DeleteFile).path_contains("etc");
    smh.simulator.inject(Injection::forever(Fault::PlainForbidden).when(forbidden));
    for number in 0..30 {
        assert_eq!(delete(&gateway, "/v1/files/t1/etc").await.code(), "UpstreamCredentialRejected");
        let _ = delete(&gateway, &format!("/v1/files/t1/f{number}")).await;
    }
    let more = mints(&smh).len() - 3;
    assert!(more <= 10, "{more} mints for 30 forbidden deletes");
}

#[tokio::test]
async fn when_no_other_token_comes_in_time_the_delete_is_refused_as_not_sent() {
    let smh = Smh::start().await.with_file("a");
    let gateway = started(&smh).await;
    smh.simulator.inject(when_minting(Injection::forever(Fault::HangBeforeActing)));
    smh.simulator.revoke_token(&token_of(&smh, "app", SPACE));
    let began = std::time::Instant::now();
    let answer = delete(&gateway, "/v1/files/t1/a").await;
    assert_eq!((answer.status(), answer.code().as_str()), (502, "UpstreamCredentialRejected"));
    assert_eq!(answer.outcome(), "not_sent");
    assert!(began.elapsed() < Duration::from_secs(5), "upstream.timeout is 3 s");
    assert_eq!(deletes(&smh).len(), 1);
    let answer = delete(&gateway, "/v1/files/t1/a").await;
    assert_eq!((answer.status(), answer.code().as_str()), (503, "TokenUnavailable"));
    assert_eq!(smh.files(), ["a"]);
}
