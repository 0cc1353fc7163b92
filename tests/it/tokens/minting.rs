//! What stands in a mint, for whom, and how many there are.

use std::time::Duration;

use smh_gateway::config;
use smh_gateway::simulator::{Fault, Injection, Library, Matcher, RecycleBin, RouteKind};

use super::*;

#[tokio::test]
async fn a_mint_asks_for_the_least_power_in_the_callers_name() {
    let smh = Smh::start().await.with_file("a");
    let gateway = started(&smh).await;
    let mut mints = mints(&smh);
    mints.sort_by_key(|mint| (mint["user_id"].clone(), mint["space_id"].clone()));
    let pairs: Vec<_> =
        mints.iter().map(|mint| (mint["user_id"].as_str(), mint["space_id"].as_str())).collect();
    assert_eq!(pairs, [("app", "space2"), ("app", SPACE), ("other", SPACE)]);
    for mint in &mints {
        assert_eq!(mint["library_id"], LIBRARY);
        assert_eq!(mint["library_secret"], SECRET);
        assert_eq!(mint["period"], "7200");
        assert_eq!(mint["grant"], "delete_file");
        assert!(mint["client_id"].starts_with("smh-gateway-"), "{mint:?}");
        assert_eq!(mint["client_id"], mints[0]["client_id"], "one instance, one name");
        assert_eq!(mint.len(), 7, "{mint:?}");
    }
    let asked = &arrived(&smh, RouteKind::IssueToken)[0];
    assert_eq!((asked.method.as_str(), asked.body.len()), ("GET", 0));
    assert_eq!(delete(&gateway, "/v1/files/t1/a").await.status(), 200);
    assert_eq!(parameters(&deletes(&smh)[0])["access_token"], token_of(&smh, "app", SPACE));
}

#[tokio::test]
async fn each_pair_of_caller_and_tenant_deletes_with_a_token_of_its_own() {
    let smh = Smh::start().await.with_file("a").with_file("b");
    smh.simulator.put_file(LIBRARY, "space2", "c");
    let gateway = started(&smh).await;
    for (key, target) in
        [(KEY, "/v1/files/t1/a"), (OTHER_KEY, "/v1/files/t1/b"), (KEY, "/v1/files/t2/c")]
    {
        assert_eq!(delete_as(gateway.address(), key, target).await.status(), 200, "{target}");
    }
    let used: Vec<_> =
        deletes(&smh).iter().map(|request| parameters(request)["access_token"].clone()).collect();
    let wanted =
        [("app", SPACE), ("other", SPACE), ("app", "space2")].map(|(c, s)| token_of(&smh, c, s));
    assert_eq!(used, wanted);
    assert_eq!(mints(&smh).len(), 3, "and no more");
    let by = smh.simulator.recycled(LIBRARY, SPACE).into_iter().map(|item| item.removed_by);
    assert_eq!(by.collect::<Vec<_>>(), [Some("app".into()), Some("other".into())]);
}

#[tokio::test]
async fn a_single_tenant_library_is_minted_for_without_a_space() {
    let smh = Smh::start().await;
    let library = Library::single_tenant("smhone", SECRET);
    smh.simulator.add_library(library.with_recycle_bin(RecycleBin::KEEPING));
    smh.simulator.put_file("smhone", "-", "a");
    let yaml = minting_yaml().replace("  smhxxx:\n", "  smhone:\n").replace(
        "t1: { library: smhxxx, space: spacexxx }\n  t2: { library: smhxxx, space: space2, user_id: forbid }",
        "t1: { library: smhone, space: \"-\" }",
    );
    let yaml = yaml.replace("[t1, t2]", "[t1]");
    let gateway = start_with(&yaml, None, smh.address).await;
    until_ready(&gateway).await;
    assert_eq!(delete(&gateway, "/v1/files/t1/a").await.status(), 200);
    let mints = mints(&smh);
    assert!(mints.iter().all(|mint| !mint.contains_key("space_id")), "{mints:?}");
    assert_eq!(smh.simulator.recycled("smhone", "-").len(), 1);
}

#[tokio::test]
async fn a_wider_grant_a_period_and_nothing_else_can_be_configured() {
    let smh = Smh::start().await;
    let yaml = minting_yaml().replace(
        "{ file: secret } }",
        "{ file: secret }, period: 30m, grant: \"delete_file,delete_file_permanent\", \
         grant_reason: purges }",
    );
    let gateway = start_with(&yaml, None, smh.address).await;
    until_ready(&gateway).await;
    let mint = &mints(&smh)[0];
    assert_eq!(mint["grant"], "delete_file,delete_file_permanent");
    assert_eq!(mint["period"], "1800");
}

#[tokio::test]
async fn a_wider_grant_without_a_reason_is_refused_by_check() {
    let yaml = minting_yaml().replace("{ file: secret } }", "{ file: secret }, grant: admin }");
    let folder = Folder::new(&yaml, None, "127.0.0.1:9".parse().unwrap());
    let report = config::load(&folder.path("gateway.yaml")).report;
    let text = report.render(config::report::Color::Plain);
    assert!(text.contains("more than a delete needs") && text.contains("grant_reason"), "{text}");
}

#[tokio::test]
async fn check_warns_of_what_a_minted_token_cannot_do() {
    let policy = "permanent_deletes: by_rule\n";
    let folder = Folder::new(&minting_yaml(), Some(policy), "127.0.0.1:9".parse().unwrap());
    let (_, report) = load(&folder.path("gateway.yaml"));
    let text = report.render(config::report::Color::Plain);
    let count = |part: &str| text.matches(part).count();
    assert_eq!(count("this tenant forwards `user_id`"), 1, "t1 does, t2 does not: {text}");
    assert_eq!(count("SMH will refuse them"), 2, "both tenants: {text}");

    let wider = minting_yaml()
        .replace("space: spacexxx }", "space: spacexxx, user_id: { fixed: u } }")
        .replace("{ file: secret } }", "{ file: secret }, grant: admin, grant_reason: why }");
    let folder = Folder::new(&wider, Some(policy), "127.0.0.1:9".parse().unwrap());
    let (_, report) = load(&folder.path("gateway.yaml"));
    assert!(report.problems().is_empty(), "{}", report.render(config::report::Color::Plain));
}

#[tokio::test]
async fn two_hundred_deletes_on_a_cold_gateway_cause_one_mint_a_pair() {
    let smh = with_files(Smh::start().await, 200);
    let slow = Fault::Slow(Duration::from_millis(300));
    smh.simulator.inject(Injection::forever(slow).when(Matcher::route(RouteKind::IssueToken)));
    let gateway = start_with(&patient_yaml(), None, smh.address).await;
    let answers = burst(&gateway, 200).await;
    assert_all_deleted(&answers);
    assert_eq!(deletes(&smh).len(), 200);
    assert_eq!(mints(&smh).len(), 3, "app and t1, app and t2, other and t1");
    assert_eq!(smh.files(), [""; 0]);
}

#[tokio::test]
async fn two_hundred_deletes_after_an_idle_night_cause_one_mint() {
    let smh = with_files(Smh::start().await, 200);
    let gateway = started_with(&patient_yaml(), &smh).await;
    pass(12 * HOUR).await;
    until("unused tokens are revoked", async || revocations(&smh) == 3).await;
    smh.simulator.clear_received();
    let slow = Fault::Slow(Duration::from_millis(300));
    smh.simulator.inject(Injection::forever(slow).when(Matcher::route(RouteKind::IssueToken)));
    let answers = burst(&gateway, 200).await;
    assert_all_deleted(&answers);
    assert_eq!(mints(&smh).len(), 1);
}

#[tokio::test]
async fn readiness_waits_for_the_first_token_and_says_so() {
    let smh = Smh::start().await.with_file("a");
    let down = Injection::times(Fault::ServerOverloaded, 3);
    smh.simulator.inject(down.when(Matcher::route(RouteKind::IssueToken)));
    let gateway = start(smh.address).await;
    let answer = gateway.admin("/readyz").await;
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.json()["pending"][0], "token of library smhxxx");
    until_ready(&gateway).await;
    assert_eq!(gateway.admin("/readyz").await.json()["pending"], serde_json::json!([]));
    assert_eq!(deletes(&smh).len(), 0, "nobody had to come first");
    until_deleted(&gateway, "/v1/files/t1/a").await;
}

/// So that a library that is down takes no other with it.
#[tokio::test]
async fn a_library_that_hangs_holds_up_no_other() {
    let (down, smh) = (Smh::start().await, Smh::start().await.with_file("a"));
    let hang = Injection::forever(Fault::HangBeforeActing);
    down.simulator.add_library(Library::multi_tenant("smhdown", SECRET));
    down.simulator.inject(hang.when(Matcher::route(RouteKind::IssueToken)));
    let mut yaml = minting_yaml();
    let library = format!(
        "libraries:\n  smhdown:\n    url: http://{}\n    token: {{ mint: {{ library_secret: {{ \
         file: secret }} }} }}\n",
        down.address
    );
    yaml = yaml.replace("libraries:\n", &library);
    let names: Vec<_> = (0..40).map(|number| format!("d{number}")).collect();
    let tenants: String = names
        .iter()
        .map(|name| format!("  {name}: {{ library: smhdown, space: {name} }}\n"))
        .collect();
    yaml = yaml.replace("tenants:\n", &format!("tenants:\n{tenants}"));
    let callers = format!(
        "callers:\n  a: {{ api_key: {{ sha256: {} }}, tenants: [{}] }}\n",
        "0".repeat(64),
        names.join(", ")
    );
    yaml = yaml.replace("callers:\n", &callers);
    let gateway = start_with(&yaml, None, smh.address).await;
    let answer = delete(&gateway, "/v1/files/t1/a").await;
    assert_eq!(answer.status(), 200, "{}", answer.code());
    assert_eq!(smh.files(), [""; 0]);
}

#[tokio::test]
async fn metrics_and_status_tell_how_old_a_token_is_and_how_long_it_lives() {
    let smh = Smh::start().await;
    let gateway = started(&smh).await;
    pass(Duration::from_secs(600)).await;
    let pair = "{caller=\"app\",tenant=\"t1\"}";
    let age = metric(&gateway, &format!("smh_gateway_token_age_seconds{pair}")).await;
    let left = metric(&gateway, &format!("smh_gateway_token_expires_in_seconds{pair}")).await;
    assert!((600.0..660.0).contains(&age), "{age}");
    assert!((6540.0..=6600.0).contains(&left), "{left}");
    assert_eq!(metric(&gateway, "smh_gateway_token_mints_total{result=\"ok\"}").await, 3.0);
    assert_eq!(metric(&gateway, &format!("smh_gateway_token_mint_failures{pair}")).await, 0.0);
    let status = status_of(&gateway, "app", "t1").await;
    assert!(status["age_seconds"].as_u64().unwrap() >= 600, "{status}");
    assert!(status["expires_in_at_least_seconds"].as_u64().unwrap() <= 6600, "{status}");
    assert_eq!(status["failed_mints"], 0);
    assert_eq!(status["last_error"], serde_json::Value::Null);
    for path in ["/api/status", "/metrics", "/api/config", "/readyz", "/"] {
        let body = String::from_utf8(gateway.admin(path).await.body).unwrap();
        assert!(!body.contains("acctk") && !body.contains(SECRET), "{path}");
    }
}
