//! Whether it is alive, and ready.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use smh_gateway::run::{Ended, Running};
use tokio::sync::oneshot;

use super::*;
use crate::support::ports;
use crate::support::{
    Folder, GATEWAY_YAML, Gateway, KEY, Lines, OTHER_KEY, Smh, TOKEN, load, request, send,
};

/// A gateway whose folder was changed before it started.
async fn start_in(folder: &Folder) -> (Running, SocketAddr) {
    let (snapshot, _) = load(&folder.path("gateway.yaml"));
    let running = Running::start(snapshot, Lines::default()).await.unwrap();
    let admin = running.admin().unwrap();
    (running, admin)
}

async fn becomes_ready(admin: SocketAddr) {
    let until = Instant::now() + Duration::from_secs(20);
    while get(admin, "/readyz").await.status() != 200 {
        assert!(Instant::now() < until, "it never becomes ready");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_gateway_that_serves_is_alive_and_ready() {
    let smh = Smh::start().await;
    let gateway = Gateway::start(smh.address).await;
    let answer = gateway.admin("/livez").await;
    assert_eq!((answer.status(), answer.body.as_slice()), (200, &b"ok\n"[..]));
    let answer = gateway.admin("/readyz").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.json(), json!({ "ready": true, "phase": "serving", "pending": [] }));
    for path in ["/livez", "/readyz", "/metrics", "/api/status", "/api/config", "/"] {
        let answer = gateway.admin(path).await;
        assert_eq!(answer.field("cache-control"), Some("no-store"), "{path}");
        assert_eq!(answer.field("x-content-type-options"), Some("nosniff"), "{path}");
    }
    assert_eq!(smh.targets(), [""; 0], "SMH is never asked");
}

#[tokio::test]
async fn an_smh_that_is_away_leaves_the_gateway_ready() {
    let gateway = Gateway::start(ports::nobody()).await;
    assert_eq!(gateway.delete("/v1/files/t1/a").await.code(), "UpstreamUnreachable");
    assert_eq!(gateway.admin("/readyz").await.status(), 200);
}

#[tokio::test]
async fn a_secret_that_is_missing_is_pending_until_it_is_there() {
    let smh = Smh::start().await.with_file("a");
    let folder = Folder::new(GATEWAY_YAML, None, smh.address);
    fs::remove_file(folder.path("token")).unwrap();
    fs::remove_file(folder.path("app.key")).unwrap();
    // Both files are there, and neither is a secret.
    fs::write(folder.path("other.key"), "two\nlines").unwrap();
    let (running, admin) = start_in(&folder).await;
    let data = running.addresses()[0];

    let answer = get(admin, "/readyz").await;
    assert_eq!(answer.status(), 503);
    let pending = ["token of library smhxxx", "API key of caller app", "API key of caller other"];
    let wanted = json!({ "ready": false, "phase": "serving", "pending": pending });
    assert_eq!(answer.json(), wanted);
    let status = get(admin, "/api/status").await.json();
    assert_eq!((&status["ready"], &status["pending"]), (&json!(false), &wanted["pending"]));
    assert_eq!(get(admin, "/livez").await.status(), 200, "a restart would not help");
    assert_eq!(send(data, request("/v1/files/t1/a", &[]).as_bytes()).await.status(), 401);

    folder.write("app.key", KEY);
    folder.write("other.key", OTHER_KEY);
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let pending = get(admin, "/readyz").await.json()["pending"].clone();
        if pending == json!(["token of library smhxxx"]) {
            break;
        }
        assert!(Instant::now() < until, "{pending}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let answer = send(data, request("/v1/files/t1/a", &[]).as_bytes()).await;
    assert_eq!((answer.status(), answer.code().as_str()), (503, "TokenUnavailable"));
    assert!(answer.field("retry-after").is_some(), "{}", answer.head);
    assert_eq!(smh.targets(), [""; 0]);

    folder.write("token", TOKEN);
    becomes_ready(admin).await;
    assert_eq!(send(data, request("/v1/files/t1/a", &[]).as_bytes()).await.status(), 200);
    // A file that goes again changes nothing: what was read is in use.
    fs::remove_file(folder.path("token")).unwrap();
    assert_eq!(get(admin, "/readyz").await.status(), 200);
    running.stop_in_time().await;
}

#[tokio::test]
async fn a_gateway_that_leaves_is_not_ready_but_alive_and_serves() {
    let smh = Smh::start().await.with_file("a");
    let yaml = GATEWAY_YAML.replace("delay: 0s", "delay: 1h");
    let folder = Folder::new(&yaml, None, smh.address);
    let (running, admin) = start_in(&folder).await;
    let data = running.addresses()[0];
    let (hurry, hurried) = oneshot::channel::<()>();
    let asked = async {
        // `stop` is polled first, and leaving is the first thing it does.
        let answer = get(admin, "/readyz").await;
        assert_eq!(answer.status(), 503);
        let wanted = json!({ "ready": false, "phase": "leaving", "pending": [] });
        assert_eq!(answer.json(), wanted);
        assert_eq!(get(admin, "/api/status").await.json()["phase"], "leaving");
        assert_eq!(get(admin, "/livez").await.status(), 200);
        assert_eq!(send(data, request("/v1/files/t1/a", &[]).as_bytes()).await.status(), 200);
        hurry.send(()).unwrap();
    };
    let stop = running.stop(async {
        let _ = hurried.await;
    });
    let (ended, ()) = tokio::join!(biased; stop, asked);
    assert!(!matches!(ended, Ended::Overdue { .. }));
    assert!(tokio::net::TcpStream::connect(admin).await.is_err(), "nobody listens any more");
}
