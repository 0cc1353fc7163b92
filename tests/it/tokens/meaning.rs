//! What 204 and 404 may mean besides.

use smh_gateway::simulator::{Fault, Injection, Matcher, RecycleBin, RouteKind};

use super::*;

const PERMANENT: &str =
    "permanent_deletes: by_rule\nrules:\n  - { name: all, allow_permanent: {} }\n";

async fn with_bin_off(policy: &str, tenant: &str) -> (Smh, Gateway) {
    let smh = Smh::start().await.with_file("a").with_file("b");
    smh.simulator.put_file(LIBRARY, "space2", "c");
    smh.simulator.set_recycle_bin(LIBRARY, RecycleBin::Off);
    // A name of its own, by which its events are known.
    let yaml = minting_yaml().replace("t1", tenant);
    let gateway = start_with(&yaml, Some(policy), smh.address).await;
    until_ready(&gateway).await;
    (smh, gateway)
}

fn alarms_about(tenant: &str) -> Vec<String> {
    let tenant = format!("tenant={tenant} ");
    log_of_events().with(&["ERROR", "destroyed a file", &tenant])
}

async fn irreversible(gateway: &Gateway, tenant: &str) -> f64 {
    let sample = format!("smh_gateway_irreversible_deletes_total{{tenant=\"{tenant}\"}}");
    metric(gateway, &sample).await
}

#[tokio::test]
async fn an_irreversible_delete_is_relayed_counted_logged_and_flagged() {
    let (smh, gateway) = with_bin_off("irreversible_deletes: alarm\n", "talarmed").await;
    for file in ["a", "b"] {
        let answer = delete(&gateway, &format!("/v1/files/talarmed/{file}")).await;
        assert_eq!(
            (answer.status(), answer.body.len()),
            (204, 0),
            "the caller hears what SMH said"
        );
    }
    assert_eq!(irreversible(&gateway, "talarmed").await, 2.0);
    assert_eq!(gateway.admin("/api/status").await.json()["halted_tenants"], serde_json::json!([]));
    let alarms = alarms_about("talarmed");
    assert_eq!(alarms.len(), 1, "one line says as much as two: {alarms:?}");
    assert!(alarms[0].contains("halted=false"), "{alarms:?}");
    assert_eq!(deletes(&smh).len(), 2);
    for line in gateway.stop().await {
        assert_eq!((&line["irreversible"], &line["status"]), (&true.into(), &204.into()), "{line}");
        assert_eq!(line["outcome"], "relayed");
    }
}

#[tokio::test]
async fn an_alarm_is_what_happens_where_the_policy_says_nothing() {
    let (_smh, gateway) = with_bin_off("rules: []\n", "talarmedbydefault").await;
    assert_eq!(delete(&gateway, "/v1/files/talarmedbydefault/a").await.status(), 204);
    assert_eq!(alarms_about("talarmedbydefault").len(), 1);
    assert_eq!(delete(&gateway, "/v1/files/talarmedbydefault/b").await.status(), 204);
}

#[tokio::test]
async fn an_ignored_irreversible_delete_is_still_counted() {
    let (_smh, gateway) = with_bin_off("irreversible_deletes: ignore\n", "tignored").await;
    assert_eq!(delete(&gateway, "/v1/files/tignored/a").await.status(), 204);
    assert_eq!(irreversible(&gateway, "tignored").await, 1.0);
    assert_eq!(alarms_about("tignored"), [""; 0]);
    assert_eq!(gateway.stop().await[0]["irreversible"], true);
}

#[tokio::test]
async fn a_halted_tenant_is_frozen_and_no_other() {
    let (smh, gateway) = with_bin_off("irreversible_deletes: halt\n", "thalted").await;
    assert_eq!(delete(&gateway, "/v1/files/thalted/a").await.status(), 204);
    smh.simulator.clear_received();
    for key in [KEY, OTHER_KEY] {
        let answer = delete_as(gateway.address(), key, "/v1/files/thalted/b").await;
        assert_eq!((answer.status(), answer.code().as_str()), (403, "Frozen"));
        assert_eq!(answer.outcome(), "not_sent");
    }
    assert_eq!(deletes(&smh).len(), 0, "nothing is sent");
    assert_eq!(smh.files(), ["b"]);
    let status = gateway.admin("/api/status").await.json();
    assert_eq!(status["halted_tenants"], serde_json::json!(["thalted"]));
    assert!(alarms_about("thalted")[0].contains("halted=true"));
    assert_eq!(delete(&gateway, "/v1/files/t2/c").await.status(), 204, "t2 was not halted before");

    // Also with the bin on again: an operator has to look first.
    smh.simulator.set_recycle_bin(LIBRARY, RecycleBin::KEEPING);
    assert_eq!(delete(&gateway, "/v1/files/thalted/b").await.code(), "Frozen");
    let folder = gateway.folder.path("gateway.yaml");
    let (snapshot, _) = load(&folder);
    gateway.running.stop_in_time().await;
    let running = Running::start(snapshot, Lines::default()).await.unwrap();
    let again = Gateway { running, folder: gateway.folder, log: Lines::default() };
    until_ready(&again).await;
    assert_eq!(delete(&again, "/v1/files/thalted/b").await.status(), 200, "a restart resumes it");
}

#[tokio::test]
async fn deletes_at_once_cannot_outrun_a_halt_by_more_than_are_under_way() {
    let smh = with_files(Smh::start().await, 100);
    smh.simulator.set_recycle_bin(LIBRARY, RecycleBin::Off);
    let gateway =
        start_with(&minting_yaml(), Some("irreversible_deletes: halt\n"), smh.address).await;
    until_ready(&gateway).await;
    assert_eq!(delete(&gateway, "/v1/files/t1/f0").await.status(), 204);
    let answers = burst(&gateway, 100).await;
    assert!(answers.iter().all(|answer| answer.code() == "Frozen"));
    assert_eq!(deletes(&smh).len(), 1);
}

#[tokio::test]
async fn a_library_without_a_bin_destroys_as_expected() {
    let smh = Smh::start().await.with_file("a");
    smh.simulator.set_recycle_bin(LIBRARY, RecycleBin::Off);
    let yaml = minting_yaml().replace("  smhxxx:\n", "  smhxxx:\n    recycle_bin: off\n");
    let policy = format!("irreversible_deletes: halt\n{PERMANENT}");
    let gateway = start_with(&yaml, Some(&policy), smh.address).await;
    until_ready(&gateway).await;
    assert_eq!(delete(&gateway, "/v1/files/t1/a").await.status(), 204);
    assert_eq!(irreversible(&gateway, "t1").await, 0.0);
    assert_eq!(delete(&gateway, "/v1/files/t1/b").await.status(), 404, "it is not frozen");
    assert_eq!(line_about(&gateway.stop().await, "a").get("irreversible"), None);
}

#[tokio::test]
async fn a_permanent_delete_that_was_asked_for_is_no_alarm() {
    let smh = Smh::start().await.with_file("a");
    let yaml = minting_yaml().replace(
        "{ file: secret } }",
        "{ file: secret }, grant: \"delete_file,delete_file_permanent\", grant_reason: purges }",
    );
    let policy = format!("irreversible_deletes: halt\n{PERMANENT}");
    let gateway = start_with(&yaml, Some(&policy), smh.address).await;
    until_ready(&gateway).await;
    assert_eq!(delete(&gateway, "/v1/files/t1/a?permanent=1").await.status(), 204);
    assert_eq!(irreversible(&gateway, "t1").await, 0.0);
    assert_eq!(delete(&gateway, "/v1/files/t1/b").await.status(), 404, "it is not frozen");
    let lines = gateway.stop().await;
    let line = line_about(&lines, "a");
    assert_eq!((line.get("irreversible"), &line["permanent"]), (None, &true.into()));
}

#[tokio::test]
async fn the_least_grant_cannot_destroy_what_a_rule_allows() {
    let smh = Smh::start().await.with_file("a");
    let gateway = start_with(&minting_yaml(), Some(PERMANENT), smh.address).await;
    until_ready(&gateway).await;
    let answer = delete(&gateway, "/v1/files/t1/a?permanent=1").await;
    assert_eq!((answer.status(), answer.code().as_str()), (403, "NoPermission"));
    assert_eq!(smh.files(), ["a"]);
}

#[tokio::test]
async fn a_misdirected_delete_is_relayed_counted_and_flagged() {
    let smh = Smh::start().await.with_file("a");
    let yaml = minting_yaml().replace("t1", "tmisdirected");
    let gateway = start_with(&yaml, None, smh.address).await;
    until_ready(&gateway).await;
    let codes = ["LibraryNotFound", "SpaceNotFound", "RouteNotFound", "WrongLibraryIdOrSecret"];
    for code in codes {
        let fault = Fault::Error { status: 404, code: code.to_owned() };
        let when = Matcher::route(RouteKind::DeleteFile);
        smh.simulator.inject(Injection::once(fault).when(when));
        let answer = delete(&gateway, "/v1/files/tmisdirected/a").await;
        assert_eq!((answer.status(), answer.code().as_str()), (404, code));
        assert_eq!(answer.json()["message"].as_str().map(str::is_empty), Some(false), "as it came");
        assert_eq!(answer.outcome(), "", "it is SMH's own answer");
    }
    let sample = "smh_gateway_misdirected_deletes_total{tenant=\"tmisdirected\"}";
    assert_eq!(metric(&gateway, sample).await, 4.0);
    assert_eq!(delete(&gateway, "/v1/files/tmisdirected/none").await.code(), "FileNotFound");
    assert_eq!(metric(&gateway, sample).await, 4.0, "a file that is not there is no such thing");
    let told = log_of_events().with(&["ERROR", "already gone", "tenant=tmisdirected "]);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(mints(&smh).len(), 3);
    let lines = gateway.stop().await;
    for code in codes {
        let line = lines.iter().find(|line| line["smh_code"] == code).unwrap();
        assert_eq!((&line["misdirected"], &line["status"]), (&true.into(), &404.into()), "{line}");
        assert_eq!(line["outcome"], "relayed");
    }
    assert_eq!(line_about(&lines, "none").get("misdirected"), None);
}

#[tokio::test]
async fn a_space_that_is_not_there_is_misdirected_too() {
    let smh = Smh::start().await;
    let yaml = minting_yaml().replace("space: spacexxx", "space: nosuchspace");
    let gateway = start_with(&yaml, None, smh.address).await;
    until_ready(&gateway).await;
    let answer = delete(&gateway, "/v1/files/t1/a").await;
    assert_eq!((answer.status(), answer.code().as_str()), (404, "SpaceNotFound"));
    let sample = "smh_gateway_misdirected_deletes_total{tenant=\"t1\"}";
    assert_eq!(metric(&gateway, sample).await, 1.0);
}

#[tokio::test]
async fn a_delete_of_which_no_whole_answer_came_has_an_unknown_outcome_everywhere() {
    let smh = Smh::start().await.with_file("a").with_file("b");
    let gateway = started(&smh).await;
    for (file, fault) in [("a", Fault::CutAfterActing), ("b", Fault::CutMidBody)] {
        let when = Matcher::route(RouteKind::DeleteFile);
        smh.simulator.inject(Injection::once(fault).when(when));
        let answer = delete(&gateway, &format!("/v1/files/t1/{file}")).await;
        assert_eq!((answer.status(), answer.outcome().as_str()), (502, "unknown"), "{file}");
    }
    assert_eq!(deletes(&smh).len(), 2, "each is sent once");
    assert_eq!(mints(&smh).len(), 3);
    let sample =
        "smh_gateway_deletes_refused_total{code=\"UpstreamProtocolError\",outcome=\"unknown\"}";
    assert_eq!(metric(&gateway, sample).await, 2.0);
    assert!(gateway.stop().await.iter().all(|line| line["outcome"] == "unknown"));
}

#[tokio::test]
async fn an_answer_that_holds_the_minted_token_is_never_relayed() {
    let smh = Smh::start().await.with_file("a").with_file("b");
    let gateway = started(&smh).await;
    for (file, fault) in [("a", Fault::EchoTokenInBody), ("b", Fault::EchoTokenInHeader)] {
        let when = Matcher::route(RouteKind::DeleteFile);
        smh.simulator.inject(Injection::once(fault).when(when));
        let answer = delete(&gateway, &format!("/v1/files/t1/{file}")).await;
        assert_eq!((answer.status(), answer.code().as_str()), (502, "UpstreamProtocolError"));
        assert!(!answer.head.contains("acctk"));
        assert!(!String::from_utf8_lossy(&answer.body).contains("acctk"));
    }
    let log = gateway.log.clone();
    gateway.stop().await;
    assert!(!log.text().contains("acctk"));
    assert!(log_of_events().with(&["acctk"]).is_empty());
}

#[tokio::test]
async fn a_halt_holds_for_a_delete_that_waits_for_its_token() {
    let (smh, gateway) = with_bin_off("irreversible_deletes: halt\n", "thalted").await;
    until("the other caller has a token", async || {
        minted(&smh).iter().any(|token| token.user_id.as_deref() == Some("other"))
    })
    .await;
    for token in minted(&smh) {
        if token.user_id.as_deref() == Some("other") {
            smh.simulator.revoke_token(&token.value);
        }
    }
    let slow = Injection::forever(Fault::Slow(Duration::from_secs(1)));
    smh.simulator.inject(slow.when(Matcher::route(RouteKind::IssueToken)));
    let request =
        format!("DELETE /v1/files/thalted/b HTTP/1.1\r\nHost: g\r\nX-Api-Key: {OTHER_KEY}\r\n\r\n");
    let waiting = send(gateway.address(), request.as_bytes());
    let halting = async {
        until("the first try was rejected", async || deletes(&smh).len() == 1).await;
        delete(&gateway, "/v1/files/thalted/a").await
    };
    let (waited, halted) = tokio::join!(waiting, halting);
    assert_eq!(halted.status(), 204, "the one that showed that the bin is off");
    assert_eq!((waited.status(), waited.code().as_str()), (403, "Frozen"));
    assert_eq!(waited.outcome(), "not_sent");
    assert_eq!(deletes(&smh).len(), 2, "the second try was not sent");
    assert_eq!(smh.files(), ["b"]);
}

#[tokio::test]
async fn an_operators_edit_resumes_what_was_halted() {
    let (smh, gateway) = with_bin_off("irreversible_deletes: halt\n", "tresumed").await;
    assert_eq!(delete(&gateway, "/v1/files/tresumed/a").await.status(), 204);
    assert_eq!(delete(&gateway, "/v1/files/tresumed/b").await.code(), "Frozen");
    smh.simulator.set_recycle_bin(LIBRARY, RecycleBin::KEEPING);
    gateway.folder.write("policy.yaml", "irreversible_deletes: halt\n# looked\n");
    until("it is resumed", async || {
        gateway.admin("/api/status").await.json()["halted_tenants"] == serde_json::json!([])
    })
    .await;
    assert_eq!(delete(&gateway, "/v1/files/tresumed/b").await.status(), 200);
    assert_eq!(log_of_events().with(&["WARN", "deletes are resumed", "tresumed"]).len(), 1);
}
