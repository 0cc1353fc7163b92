//! The four exchanges that SMH's documentation prints, over a real socket.

use super::*;

fn assert_fresh_request_id(raw: &Raw) {
    let id = raw.field("X-Request-Id");
    assert_eq!(id.len(), 32, "{id}");
    assert!(id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{id}");
}

const WITH_BODY: [&str; 5] = ["Date", "Content-Type", "Content-Length", "Server", "X-Request-Id"];
const WITHOUT_BODY: [&str; 3] = ["Date", "Server", "X-Request-Id"];

#[tokio::test]
async fn a_delete_with_the_bin_on_answers_200_with_the_id() {
    let served = serve(&photos()).await;

    let target = "/api/v1/file/smhlib/space1/hello.txt?access_token=delete_file";
    let raw = served.ask("DELETE", target).await.unwrap();

    assert_eq!(raw.status_line, "HTTP/1.1 200 OK");
    assert_eq!(raw.names(), WITH_BODY);
    assert_eq!(raw.field("Content-Type"), "application/json; charset=utf-8");
    assert_eq!(raw.field("Content-Length"), raw.body.len().to_string());
    assert_eq!(raw.field("Server"), "nginx/1.29.0");
    assert!(httpdate::parse_http_date(raw.field("Date")).is_ok());
    assert_fresh_request_id(&raw);
    assert_eq!(raw.body, r#"{"recycledItemId":1}"#);
}

#[tokio::test]
async fn a_permanent_delete_with_the_bin_on_answers_204_with_nothing_in_it() {
    let served = serve(&photos()).await;

    let target =
        "/api/v1/file/smhlib/space1/hello.txt?permanent=1&access_token=delete_file_permanent";
    let raw = served.ask("DELETE", target).await.unwrap();

    assert_eq!(raw.status_line, "HTTP/1.1 204 No Content");
    assert_eq!(raw.names(), WITHOUT_BODY);
    assert_fresh_request_id(&raw);
    assert_eq!(raw.body, "");
}

#[tokio::test]
async fn a_delete_with_the_bin_off_answers_204_with_nothing_in_it() {
    let simulator = photos();
    simulator.set_recycle_bin("smhlib", RecycleBin::Off);
    let served = serve(&simulator).await;

    let target = "/api/v1/file/smhlib/space1/hello.txt?access_token=delete_file";
    let raw = served.ask("DELETE", target).await.unwrap();

    assert_eq!(raw.status_line, "HTTP/1.1 204 No Content");
    assert_eq!(raw.names(), WITHOUT_BODY);
    assert_eq!(raw.body, "");
}

#[tokio::test]
async fn a_delete_of_no_file_answers_404_with_the_error_object() {
    let served = serve(&photos()).await;

    let target =
        "/api/v1/file/smhlib/space1/path/to/non_existent_file.txt?access_token=delete_file";
    let raw = served.ask("DELETE", target).await.unwrap();

    assert_eq!(raw.status_line, "HTTP/1.1 404 Not Found");
    assert_eq!(raw.names(), WITH_BODY);
    assert_eq!(raw.field("Content-Length"), "140");
    assert_fresh_request_id(&raw);
    let id = raw.field("X-Request-Id");
    assert_eq!(
        raw.body,
        format!(
            r#"{{"status":404,"code":"FileNotFound","message":"File not found.","requestId":"{id}","qualifier":"","revision":""}}"#
        )
    );
}

#[tokio::test]
async fn request_ids_do_not_repeat() {
    let served = serve(&photos()).await;

    let first = served.ask("DELETE", "/api/v1/nothing").await.unwrap();
    let second = served.ask("DELETE", "/api/v1/nothing").await.unwrap();

    assert_ne!(first.field("X-Request-Id"), second.field("X-Request-Id"));
}
