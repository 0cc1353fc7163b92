//! The control interface, over a real socket.

use super::*;

async fn control(served: &Served, method: &str, resource: &str, body: &str) -> (String, Value) {
    let target = format!("/_simulator/{resource}");
    let raw = served.ask_with_body(method, &target, body).await.unwrap();
    (raw.status_line, serde_json::from_str(&raw.body).unwrap())
}

const OK: &str = "HTTP/1.1 200 OK";

#[tokio::test]
async fn a_simulator_of_its_own_is_set_up_over_http() {
    let served = serve(&Simulator::new()).await;
    for (method, resource, body) in [
        (
            "POST",
            "libraries",
            r#"{"id":"smhlib","secret":"s3cret","recycle_bin":{"on":{"retention_days":30}}}"#,
        ),
        ("POST", "spaces", r#"{"library":"smhlib","space":"space1"}"#),
        ("POST", "files", r#"{"library":"smhlib","space":"space1","paths":["a.txt","b.txt"]}"#),
        (
            "POST",
            "tokens",
            r#"{"library":"smhlib","grants":["delete_file"],"value":"sentinel","period_seconds":60}"#,
        ),
        ("POST", "faults", r#"{"fault":"rate_limited","when":{"path_contains":"b.txt"}}"#),
        ("PUT", "behaviour", r#"{"dot_segments":"literal"}"#),
    ] {
        let (status, answer) = control(&served, method, resource, body).await;
        assert_eq!(status, OK, "{resource}: {answer}");
    }

    let delete = |path: &str| format!("/api/v1/file/smhlib/space1/{path}?access_token=sentinel");
    let deleted = served.ask("DELETE", &delete("a.txt")).await.unwrap();
    let limited = served.ask("DELETE", &delete("b.txt")).await.unwrap();
    assert_eq!(deleted.status_line, OK);
    assert_eq!(limited.status_line, "HTTP/1.1 429 Too Many Requests");

    let files = control(&served, "GET", "files?library=smhlib&space=space1", "").await.1;
    let recycled = control(&served, "GET", "recycled?library=smhlib&space=space1", "").await.1;
    assert_eq!(files, serde_json::json!({ "files": ["b.txt"] }));
    assert_eq!(recycled["recycled"][0]["original_path"], "a.txt");
}

#[tokio::test]
async fn the_record_is_shown_without_credentials_unless_raw() {
    let simulator = photos();
    let served = serve(&simulator).await;
    simulator.issue_token(TokenSpec::new("smhlib").with_value("sentinel-token"));
    let mint = r#"{"library_id":"smhlib","library_secret":"the-secret"}"#;
    served.ask("DELETE", "/api/v1/file/smhlib/space1/x?access_token=sentinel-token").await;
    served.ask("POST", "/api/v1/token/smhlib/sentinel-token").await;
    served.ask_with_body("POST", "/api/v1/token", mint).await;

    let shown = control(&served, "GET", "received", "").await.1;
    let raw = control(&served, "GET", "received?raw=1", "").await.1;

    assert_eq!(shown["received"].as_array().map(Vec::len), Some(3));
    assert_eq!(
        shown["received"][0]["target"],
        "/api/v1/file/smhlib/space1/x?access_token=[redacted]"
    );
    let shown = shown.to_string();
    assert!(!shown.contains("sentinel-token") && !shown.contains("the-secret"), "{shown}");
    let raw = raw.to_string();
    assert!(raw.contains("access_token=sentinel-token") && raw.contains("the-secret"), "{raw}");
    control(&served, "DELETE", "received", "").await;
    assert!(simulator.received().is_empty());
}

#[tokio::test]
async fn live_tokens_are_shown_without_their_strings_unless_raw() {
    let served = serve(&photos()).await;

    let shown = control(&served, "GET", "tokens", "").await.1;
    let raw = control(&served, "GET", "tokens?raw=1", "").await.1;

    assert_eq!(shown["tokens"][0]["token"], "[redacted]");
    assert_eq!(raw["tokens"][0]["token"], "admin");
}

#[tokio::test]
async fn mistakes_are_named() {
    let served = serve(&photos()).await;
    for (method, resource, body, status) in [
        ("GET", "nothing", "", "HTTP/1.1 404 Not Found"),
        ("PATCH", "files", "", "HTTP/1.1 404 Not Found"),
        ("POST", "spaces", r#"{"library":"nolib","space":"s"}"#, "HTTP/1.1 404 Not Found"),
        ("POST", "spaces", r#"{"libary":"smhlib"}"#, "HTTP/1.1 400 Bad Request"),
        ("POST", "faults", r#"{"fault":"bad_luck"}"#, "HTTP/1.1 400 Bad Request"),
    ] {
        let (line, answer) = control(&served, method, resource, body).await;
        assert_eq!(line, status, "{method} {resource}");
        assert!(answer["error"].is_string(), "{answer}");
    }
}

#[tokio::test]
async fn switched_off_it_is_not_there_and_other_clones_keep_theirs() {
    let simulator = photos();
    let hidden = serve(&simulator.clone().without_control()).await;
    let shown = serve(&simulator).await;

    let (status, answer) = control(&hidden, "DELETE", "received", "").await;

    assert_eq!(status, "HTTP/1.1 404 Not Found");
    assert_eq!(answer["code"], "RouteNotFound");
    assert_eq!(simulator.received().len(), 1);
    assert_eq!(control(&shown, "DELETE", "received", "").await.0, OK);
}
