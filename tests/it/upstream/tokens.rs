//! Tokens from files: rejected, replaced, gone.

use serde_json::Value;
use smh_gateway::simulator::{Fault, Injection, TokenSpec};

use super::*;
use crate::support::{GATEWAY_YAML, LIBRARY, SPACE, Smh, TOKEN};

const OTHER_TOKEN: &str = "acctkothertoken0123456789abcdef";

/// Whether a request holds the token that [`Gateway`]'s folder begins with.
fn has_old_token(head: &str) -> bool {
    head.contains(TOKEN)
}

fn json_answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn a_rejected_token_is_replaced_by_the_one_in_the_file_and_the_delete_tried_once_more() {
    for reject in [
        (|head| if has_old_token(head) { FORBIDDEN.into() } else { RECYCLED.into() })
            as fn(&str) -> String,
        |head| match has_old_token(head) {
            true => json_answer("403 Forbidden", "{\"code\":\"InvalidAccessToken\"}"),
            false => RECYCLED.into(),
        },
        |head| match has_old_token(head) {
            true => json_answer("403 Forbidden", "{\"code\":\"AccessTokenVersionNotMatch\"}"),
            false => RECYCLED.into(),
        },
    ] {
        let smh = Answering::start(reject).await;
        let gateway = start(&one_worker(), smh.address).await;
        gateway.folder.write("token", OTHER_TOKEN);
        let answer = delete(gateway.address(), "/v1/files/t1/a").await;
        assert_eq!((answer.status(), &answer.json()["recycledItemId"]), (200, &Value::from(17)));
        assert_sent_with_the_good_token(&smh.asked(), 1);

        // The rejected one is not tried again.
        smh.asked.lock().unwrap().clear();
        assert_eq!(delete(gateway.address(), "/v1/files/t1/b").await.status(), 200);
        assert!(smh.asked().iter().all(|head| head.contains(OTHER_TOKEN)));
    }
}

/// Where the file was read again in between, by itself, the first try is already the good one.
fn assert_sent_with_the_good_token(asked: &[String], deletes: usize) {
    let good = asked.iter().filter(|head| head.contains(OTHER_TOKEN)).count();
    assert_eq!(good, deletes, "{asked:?}");
    assert!(asked.len() <= 2 * deletes, "{asked:?}");
}

#[tokio::test]
async fn however_many_deletes_meet_a_rejected_token_each_is_tried_at_most_twice() {
    let smh = Smh::start().await;
    let gateway = start(GATEWAY_YAML, smh.address).await;
    for n in 0..32 {
        smh.simulator.put_file(LIBRARY, SPACE, &format!("f{n}"));
    }
    let good = TokenSpec::new(LIBRARY).with_grant("delete_file").with_value(OTHER_TOKEN);
    smh.simulator.issue_token(good);
    smh.simulator.revoke_token(TOKEN);
    gateway.folder.write("token", OTHER_TOKEN);
    let answers =
        delete_all(gateway.address(), (0..32).map(|n| format!("/v1/files/t1/f{n}"))).await;
    assert!(answers.iter().all(|answer| answer.status() == 200));
    assert_eq!(smh.files(), [""; 0]);
    assert_sent_with_the_good_token(&smh.targets(), 32);
}

#[tokio::test]
async fn a_rejected_token_without_another_is_our_fault_and_the_delete_not_sent() {
    let smh = Smh::start().await.with_file("a");
    let gateway = start(&one_worker(), smh.address).await;
    let again = |prepared: &'static str| {
        let (smh, gateway) = (&smh, &gateway);
        async move {
            smh.simulator.clear_received();
            let answer = delete(gateway.address(), "/v1/files/t1/a").await;
            let told = told(&answer);
            assert_eq!(told, refusal(502, "UpstreamCredentialRejected", "not_sent"), "{prepared}");
            assert!(!String::from_utf8_lossy(&answer.body).contains("InvalidAccessToken"));
            assert_eq!(smh.files(), ["a"], "{prepared}");
            smh.received().len()
        }
    };
    smh.simulator.revoke_token(TOKEN);
    assert_eq!(again("the same token is still in the file").await, 1);
    std::fs::remove_file(gateway.folder.path("token")).unwrap();
    assert_eq!(again("there is no file").await, 1);
    gateway.folder.write("token", "not one line\nof text");
    assert_eq!(again("there is no token in the file").await, 1);
    gateway.folder.write("token", "acctkanotherbadone");
    assert!(again("another one that is rejected").await <= 2);
    let lines = gateway.stop().await;
    assert!(lines.iter().all(|line| line["smh_status"] == 403), "{lines:?}");
    assert!(lines.iter().all(|line| line["smh_code"] == "InvalidAccessToken"), "{lines:?}");
}

#[tokio::test]
async fn a_delete_that_the_token_may_not_make_is_relayed_and_not_tried_again() {
    for code in [
        "NoPermission",
        "AccessTokenNotMatchLibrary",
        "AccessTokenNotMatchSpace",
        "LibraryServiceExpired",
        "SpaceBanned",
        "Forbidden",
        "invalidaccesstoken",
    ] {
        let smh = Smh::start().await.with_file("a");
        let gateway = start(&one_worker(), smh.address).await;
        gateway.folder.write("token", OTHER_TOKEN);
        smh.simulator.inject(Injection::once(Fault::Error { status: 403, code: code.into() }));
        let answer = delete(gateway.address(), "/v1/files/t1/a").await;
        assert_eq!(told(&answer), refusal(403, code, ""));
        assert_eq!(smh.received().len(), 1, "{code}");
    }
}

#[tokio::test]
async fn a_token_that_comes_later_is_used_without_a_restart() {
    let smh = Smh::start().await.with_file("a");
    let yaml = one_worker().replace("{ file: token }", "{ file: later }");
    let gateway = start(&yaml, smh.address).await;
    let answer = delete(gateway.address(), "/v1/files/t1/a").await;
    assert_eq!(told(&answer), refusal(503, "TokenUnavailable", "not_sent"));
    let wait: u64 = answer.field("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait));
    let ready = gateway.admin("/readyz").await;
    assert_eq!(ready.status(), 503);
    assert_eq!(ready.json()["pending"], serde_json::json!(["token of library smhxxx"]));
    assert_eq!(smh.targets(), [""; 0]);

    gateway.folder.write("later", TOKEN);
    until(async || (gateway.admin("/readyz").await.status() == 200).then_some(())).await;
    assert_eq!(delete(gateway.address(), "/v1/files/t1/a").await.status(), 200);
    assert_eq!(smh.files(), [""; 0]);
}

#[tokio::test]
async fn a_token_file_that_vanishes_leaves_its_token_in_use() {
    let smh = Smh::start().await.with_file("a");
    let gateway = start(&one_worker(), smh.address).await;
    std::fs::remove_file(gateway.folder.path("token")).unwrap();
    gateway.running.gateway().refresh_secrets();
    assert_eq!(gateway.admin("/readyz").await.status(), 200);
    assert_eq!(delete(gateway.address(), "/v1/files/t1/a").await.status(), 200);
    assert_eq!(smh.received().len(), 1);
}

#[tokio::test]
async fn a_token_that_is_replaced_in_its_file_is_used_before_the_old_one_is_rejected() {
    let smh = Answering::start(|_| RECYCLED.into()).await;
    let gateway = start(&one_worker(), smh.address).await;
    assert_eq!(delete(gateway.address(), "/v1/files/t1/a").await.status(), 200);
    gateway.folder.write("token", &format!("{OTHER_TOKEN}\n"));
    gateway.running.gateway().refresh_secrets();
    assert_eq!(delete(gateway.address(), "/v1/files/t1/b").await.status(), 200);
    let asked = smh.asked();
    assert!(asked[0].contains(TOKEN) && asked[1].contains(OTHER_TOKEN), "{asked:?}");
}
