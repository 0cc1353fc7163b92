//! Which check answers, in which order, and that a refused delete reaches nobody.

use crate::support::{GATEWAY_YAML, Gateway, KEY, OTHER_KEY, Smh, request};

const POLICY: &str = "\
permanent_deletes: by_rule
rules:
  - name: legal hold
    deny: { paths: [\"legal/**\"] }
  - name: the app may purge tmp
    allow_permanent: { callers: [app], tenants: [t1], paths: [\"tmp/**\"] }
rate_limits:
  - { name: per caller, per: [caller], limit: 1/h, burst: 1 }
";

/// Sent by someone without credentials, so that every later check would refuse it too.
fn anonymous(line: &str, fields: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: gateway\r\n{fields}\r\n")
}

#[tokio::test]
async fn each_check_answers_before_all_later_ones() {
    let smh = Smh::start().await;
    let gateway = Gateway::with_policy(POLICY, smh.address).await;
    let as_other = format!("X-Api-Key: {OTHER_KEY}\r\n");
    let as_app = format!("X-Api-Key: {KEY}\r\n");
    let used_up = gateway.delete("/v1/files/t1/first").await;
    assert_eq!(used_up.status(), 404, "the one delete an hour is used up");
    smh.simulator.clear_received();

    for (bytes, status, code) in [
        (anonymous("GET /nowhere", ""), 400, "UnknownRoute"),
        (anonymous("GET /v1/files/t1/%zz?x", ""), 405, "MethodNotAllowed"),
        (anonymous("DELETE /v1/files/t1/%zz", ""), 400, "InvalidPath"),
        (anonymous("DELETE /v1/files/t1/a?x", ""), 400, "InvalidQuery"),
        (anonymous("DELETE /v1/files/t1/a", "Content-Length: 1\r\n"), 400, "BodyNotAllowed"),
        (anonymous("DELETE /v1/files/t1/a", ""), 401, "Unauthenticated"),
        (anonymous("DELETE /v1/files/t1/legal/a?permanent=1", &as_other), 403, "TenantNotGranted"),
        (anonymous("DELETE /v1/files/t9/legal/a?permanent=1", &as_app), 403, "TenantNotGranted"),
        (
            anonymous("DELETE /v1/files/t1/legal/a?permanent=1", &as_app),
            403,
            "PermanentDeleteBlocked",
        ),
        (anonymous("DELETE /v1/files/t1/legal/a", &as_app), 403, "DeniedByRule"),
        (anonymous("DELETE /v1/files/t1/a", &as_app), 429, "RateLimited"),
    ] {
        let answer = gateway.send(&bytes).await;
        assert_eq!((answer.status(), answer.code().as_str()), (status, code), "{bytes}");
        assert_eq!(answer.outcome(), "not_sent", "{bytes}");
        assert_eq!(answer.field("content-type"), Some("application/problem+json"), "{bytes}");
        assert_eq!(answer.field("cache-control"), Some("no-store"), "{bytes}");
        assert_eq!(answer.json()["status"], status, "{bytes}");
        let type_ = format!("urn:smh-gateway:error:{code}");
        assert_eq!(answer.json()["type"], type_.as_str(), "{bytes}");
        assert_eq!(answer.json()["requestId"], answer.field("x-request-id").unwrap(), "{bytes}");
        assert!(answer.field("proxy-status").unwrap().starts_with("smh-gateway;error="));
    }
    assert_eq!(smh.targets(), [""; 0], "none of it reached SMH");
}

#[tokio::test]
async fn a_method_that_is_not_allowed_tells_which_is() {
    let smh = Smh::start().await;
    let gateway = Gateway::start(smh.address).await;
    for method in ["GET", "PUT", "POST", "OPTIONS", "PATCH", "delete"] {
        let answer = gateway.send(&anonymous(&format!("{method} /v1/files/t1/a"), "")).await;
        assert_eq!(answer.code(), "MethodNotAllowed", "{method}");
        assert_eq!(answer.field("allow"), Some("DELETE"));
    }
}

#[tokio::test]
async fn who_is_not_known_is_told_how_to_authenticate_and_nothing_else() {
    let smh = Smh::start().await.with_file("a");
    let gateway = Gateway::start(smh.address).await;
    let mut bodies = Vec::new();
    for fields in [
        String::new(),
        "Authorization: Bearer wrong-key-0123456789\r\n".into(),
        "Authorization: Basic YTpi\r\n".into(),
        format!("Authorization: Bearer {KEY}\r\nAuthorization: Bearer {KEY}\r\n"),
        format!("Authorization: Bearer {KEY}\r\nX-Api-Key: {OTHER_KEY}\r\n"),
        format!("Authorization: Bearer {KEY}\r\nX-Api-Key: wrong\r\n"),
    ] {
        let answer = gateway.send(&anonymous("DELETE /v1/files/t1/a", &fields)).await;
        assert_eq!(answer.status(), 401, "{fields}");
        assert_eq!(answer.field("www-authenticate"), Some("Bearer realm=\"smh-gateway\""));
        let mut body = answer.json();
        body["requestId"] = "".into();
        bodies.push(body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "every answer is the same: {bodies:?}");
    assert_eq!(smh.files(), ["a"]);
    let reasons: Vec<_> = gateway.stop().await.iter().map(|l| l["reason"].to_string()).collect();
    assert_eq!(reasons.iter().collect::<std::collections::HashSet<_>>().len(), 5, "{reasons:?}");
}

#[tokio::test]
async fn a_permanent_delete_is_refused_before_anything_is_sent() {
    let smh = Smh::start().await.with_file("tmp/a").with_file("b");
    let denied = Gateway::start(smh.address).await;
    let answer = denied.delete("/v1/files/t1/tmp/a?permanent=1").await;
    assert_eq!((answer.status(), answer.code().as_str()), (403, "PermanentDeleteBlocked"));

    let by_rule = POLICY.replace("limit: 1/h, burst: 1", "limit: 100/s");
    let by_rule = Gateway::with_policy(&by_rule, smh.address).await;
    let answer = by_rule.delete("/v1/files/t1/b?permanent=1").await;
    assert_eq!((answer.status(), answer.code().as_str()), (403, "PermanentDeleteBlocked"));
    assert_eq!(smh.targets(), [""; 0]);
    assert_eq!(smh.files(), ["b", "tmp/a"]);

    let answer = by_rule.delete("/v1/files/t1/tmp/a?permanent=1").await;
    assert_eq!(answer.status(), 204);
    assert!(smh.targets()[0].contains("?permanent=1&"));
    assert_eq!(smh.files(), ["b"]);
    assert_eq!(smh.simulator.recycled("smhxxx", "spacexxx").len(), 0);
}

#[tokio::test]
async fn a_library_without_a_recycle_bin_takes_no_delete_that_no_rule_allows() {
    let smh = Smh::start().await.with_file("a");
    let yaml = GATEWAY_YAML.replace("  smhxxx:\n", "  smhxxx:\n    recycle_bin: off\n");
    let gateway = Gateway::with(&yaml, None, smh.address).await;
    let answer = gateway.delete("/v1/files/t1/a?permanent=0").await;
    assert_eq!((answer.status(), answer.code().as_str()), (403, "PermanentDeleteBlocked"));
    assert_eq!(smh.targets(), [""; 0]);
    assert_eq!(smh.files(), ["a"]);
}

#[tokio::test]
async fn a_dry_run_decides_and_does_nothing() {
    let smh = Smh::start().await.with_file("a");
    let gateway = Gateway::with_policy(POLICY, smh.address).await;
    let dry = |target: &str| request(target, &["X-Dry-Run: 1"]);
    for _ in 0..3 {
        let answer = gateway.send(&dry("/v1/files/t1/a")).await;
        assert_eq!(answer.status(), 202);
        let body = serde_json::json!({"decision": "allow", "code": null, "rule": null});
        assert_eq!(answer.json(), body);
    }
    let answer = gateway.send(&dry("/v1/files/t1/legal/a")).await;
    let body =
        serde_json::json!({"decision": "deny", "code": "DeniedByRule", "rule": "legal hold"});
    assert_eq!((answer.status(), answer.json()), (202, body));
    assert_eq!(smh.targets(), [""; 0]);
    // No limit was charged: the one delete an hour is still there, and then it is not.
    assert_eq!(gateway.delete("/v1/files/t1/a").await.status(), 200);
    let answer = gateway.send(&dry("/v1/files/t1/a")).await;
    assert_eq!(answer.json()["code"], "RateLimited");
    let unclear = gateway.send(&request("/v1/files/t1/a", &["X-Dry-Run: yes"])).await;
    assert_eq!((unclear.status(), unclear.code().as_str()), (400, "InvalidRequest"));
}

#[tokio::test]
async fn a_rate_limited_delete_is_told_how_long_to_wait_and_gets_through_then() {
    let smh = Smh::start().await.with_file("a").with_file("b");
    let policy = "rate_limits:\n  - { name: per caller, per: [caller], limit: 1/s, burst: 1 }\n";
    let gateway = Gateway::with_policy(policy, smh.address).await;
    assert_eq!(gateway.delete("/v1/files/t1/a").await.status(), 200);
    let answer = gateway.delete("/v1/files/t1/b").await;
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.json()["limit"], "per caller");
    assert_eq!(answer.field("ratelimit-policy"), Some("\"per caller\";q=1;w=1"));
    assert_eq!(answer.field("ratelimit"), Some("\"per caller\";r=0;t=1"));
    assert_eq!(answer.field("retry-after"), Some("1"));
    assert_eq!(smh.files(), ["b"]);
    // The one wait that is the promise itself.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(gateway.delete("/v1/files/t1/b").await.status(), 200);
}

#[tokio::test]
async fn a_user_id_goes_to_smh_only_where_the_tenant_takes_it() {
    let smh = Smh::start().await.with_file("a");
    let gateway = Gateway::start(smh.address).await;
    let answer = gateway.delete("/v1/files/t2/a?user_id=u1").await;
    assert_eq!((answer.status(), answer.code().as_str()), (400, "InvalidQuery"));
    assert_eq!(smh.targets(), [""; 0]);
    let answer = gateway.delete("/v1/files/t1/a?user_id=u%26access_token%3D1").await;
    assert_eq!(answer.status(), 200);
    assert!(smh.targets()[0].ends_with("&user_id=u%26access_token%3D1"), "{:?}", smh.targets());
}
