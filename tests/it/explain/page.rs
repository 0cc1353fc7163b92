use serde_json::{Value, json};

use crate::support::{Answer, Gateway, KEY, OTHER_KEY, Smh, TOKEN, request, send};

pub(super) async fn ask(gateway: &Gateway, question: &Value) -> Answer {
    post(gateway, question.to_string().as_bytes()).await
}

async fn post(gateway: &Gateway, body: &[u8]) -> Answer {
    let head = format!(
        "POST /api/explain HTTP/1.1\r\nHost: admin\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let request = [head.as_bytes(), body].concat();
    send(gateway.running.admin().unwrap(), &request).await
}

#[tokio::test]
async fn what_is_in_force_explains_itself_and_sends_nothing() {
    let smh = Smh::start().await.with_file("a");
    let policy = "rules: [{ name: legal, deny: { paths: [\"legal/**\"] } }]\n\
                  rate_limits: [{ name: few, per: [caller], limit: 1/h }]\n";
    let gateway = Gateway::with_policy(policy, smh.address).await;
    let question = json!({ "caller": "app", "tenant": "t1", "path": "a" });
    for _ in 0..3 {
        let told = ask(&gateway, &question).await.json();
        assert_eq!(told["decision"], "allow", "it charges nothing");
        assert_eq!(told["limits"][0]["counted_for"], "caller app");
    }
    assert_eq!(smh.targets(), [""; 0]);

    assert_eq!(gateway.delete("/v1/files/t1/a").await.status(), 200);
    let told = ask(&gateway, &question).await.json();
    assert_eq!((&told["code"], &told["decision"]), (&json!("RateLimited"), &json!("deny")));
    let wait = told["limits"][0]["wait_seconds"].as_f64().unwrap();
    assert!((3500.0..=3600.0).contains(&wait), "{wait}");
    let denied = json!({ "caller": "app", "tenant": "t1", "path": "legal/a" });
    assert_eq!(ask(&gateway, &denied).await.json()["rule"], "legal");
}

#[tokio::test]
async fn a_target_that_is_too_long_for_the_server_is_too_long_here() {
    let smh = Smh::start().await;
    let gateway = Gateway::start(smh.address).await;
    for (path, query, code) in [
        ("a".repeat(8_179), "", None),
        ("a".repeat(8_180), "", Some("TargetTooLong")),
        ("a".repeat(8_167), "?permanent=1", Some("PermanentDeleteBlocked")),
        ("a".repeat(8_168), "?permanent=1", Some("TargetTooLong")),
        (format!("aa/{}", "é".repeat(1_362)), "", None),
        ("é".repeat(1_364), "", Some("TargetTooLong")),
        // An HTTP server looks at the length before it looks at the path.
        (format!("{}/../b", "a".repeat(8_180)), "", Some("TargetTooLong")),
    ] {
        let target = format!("/v1/files/t1/{}{query}", path.replace('é', "%C3%A9"));
        let dry = request(&target, &["X-Dry-Run: 1", "Connection: close"]);
        let served = gateway.send(&dry).await.json()["code"].take();
        assert_eq!(served.as_str(), code, "{} bytes", target.len());
        let permanent = !query.is_empty();
        let question =
            json!({ "caller": "app", "tenant": "t1", "path": path, "permanent": permanent });
        let told = ask(&gateway, &question).await.json();
        assert_eq!(told["code"], served, "{} bytes", target.len());
        let of_path = &told["checks"][0];
        let is_refused = code == Some("TargetTooLong");
        assert_eq!(of_path["verdict"] == "refused", is_refused, "{}", of_path["why"]);
    }
    assert_eq!(smh.targets(), [""; 0]);
}

#[tokio::test]
async fn an_explanation_shows_no_secret() {
    let smh = Smh::start().await;
    let gateway = Gateway::start(smh.address).await;
    let answer = ask(&gateway, &json!({ "caller": "app", "tenant": "t1", "path": "a" })).await;
    let text = String::from_utf8(answer.body.clone()).unwrap();
    assert!(text.contains("access_token=[redacted]"), "{text}");
    for secret in [TOKEN, KEY, OTHER_KEY] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[tokio::test]
async fn what_is_no_question_is_answered_with_what_is_wrong() {
    let smh = Smh::start().await;
    let gateway = Gateway::start(smh.address).await;
    for (question, said) in [
        (&b""[..], "EOF"),
        (b"[]", "invalid"),
        (b"{\"caller\":\"app\",\"tenant\":\"t1\"}", "missing field `path`"),
        (
            b"{\"caller\":\"app\",\"tenant\":\"t1\",\"path\":\"a\",\"token\":1}",
            "unknown field `token`",
        ),
        (
            b"{\"caller\":\"app\",\"tenant\":\"t1\",\"path\":\"a\",\"at\":\"noon\"}",
            "`at` is a moment",
        ),
        (
            b"{\"caller\":\"app\",\"tenant\":\"t1\",\"path\":\"a\",\"at\":\"9999-12-31T23:59:59-23:59\"}",
            "outside the years 0 to 9999",
        ),
        (
            b"{\"caller\":\"app\",\"tenant\":\"t1\",\"path\":\"a\",\"at\":\"0000-01-01T00:00:00+23:59\"}",
            "outside the years 0 to 9999",
        ),
    ] {
        let answer = post(&gateway, question).await;
        assert_eq!(answer.status(), 400);
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(said), "{error}");
    }
    assert_eq!(post(&gateway, &vec![b' '; 70_000]).await.status(), 400);
}
