//! What the wire itself does: HTTP/2, what is recorded of it, large bodies, shutdown.

use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::handshake;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::DuplexStream;

use super::*;
use crate::simulator::{Answered, Fault, Injection};

/// An HTTP/2 connection in memory: no socket is needed under the simulator.
async fn ask_by_http2(simulator: &Simulator, target: &str) -> Result<Bytes, hyper::Error> {
    let (client, server): (DuplexStream, DuplexStream) = tokio::io::duplex(64 * 1024);
    let mut tasks = JoinSet::new();
    let served = simulator.clone();
    tasks.spawn(async move { served.serve_connection(server).await });
    let (mut sender, connection) =
        handshake(TokioExecutor::new(), TokioIo::new(client)).await.unwrap();
    tasks.spawn(async move {
        // How the connection ends is told to the request.
        let _ = connection.await;
    });
    let request = Request::delete(format!("https://smhlib.api.tencentsmh.cn{target}"))
        .header("x-first", "1")
        .header("x-second", "2")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let response = sender.send_request(request).await?;
    response.into_body().collect().await.map(|body| body.to_bytes())
}

const DELETE: &str = "/api/v1/file/smhlib/space1/dir%2Fa%20b.txt?access_token=delete_file&x";

#[tokio::test]
async fn http2_is_served_and_recorded_as_received() {
    let simulator = photos();

    let body = ask_by_http2(&simulator, DELETE).await.unwrap();

    assert_eq!(body, r#"{"recycledItemId":1}"#);
    let received = simulator.received();
    let [only] = received.as_slice() else { panic!("one request: {received:?}") };
    assert_eq!(only.version, Version::HTTP_2);
    assert_eq!(only.target, DELETE);
    assert_eq!(only.authority.as_deref(), Some("smhlib.api.tencentsmh.cn"));
    assert_eq!(only.header("x-second").collect::<Vec<_>>(), [b"2"]);
    let names: Vec<&str> = only.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["x-first", "x-second"]);
    assert_eq!(only.answered, Answered::Status(200));
    assert_eq!(only.connection, 1);
}

#[tokio::test]
async fn an_http2_connection_is_cut_too() {
    for fault in [Fault::CutAfterActing, Fault::CutMidBody] {
        let simulator = photos();
        simulator.inject(Injection::once(fault.clone()));

        assert!(ask_by_http2(&simulator, DELETE).await.is_err(), "{fault:?}");

        assert_eq!(simulator.files("smhlib", "space1"), ["hello.txt"], "{fault:?}");
    }
}

#[tokio::test]
async fn a_target_is_recorded_byte_for_byte_with_its_dots() {
    let simulator = photos();
    let served = serve(&simulator).await;
    let target = "/api/v1/file/smhlib/space1/%2e%2E/../a%2fb//c;d?permanent=0&&x=%zz";

    served.ask("DELETE", target).await.unwrap();

    let received = simulator.received();
    assert_eq!(received[0].target, target);
    assert_eq!(received[0].version, Version::HTTP_11);
    assert_eq!(received[0].header("user-agent").collect::<Vec<_>>(), [b"curl/8.5.0"]);
}

#[tokio::test]
async fn a_body_too_large_is_refused() {
    let simulator = photos();
    let served = serve(&simulator).await;
    let body = " ".repeat(5 * 1024 * 1024);

    let raw = served.ask_with_body("POST", "/api/v1/batch/smhlib/space1?delete", &body).await;

    assert_eq!(raw.unwrap().status_line, "HTTP/1.1 413 Payload Too Large");
}

#[tokio::test]
async fn shutdown_ends_connections_that_are_open() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut server = JoinSet::new();
    server.spawn(photos().serve(listener, async move {
        stopped.await.unwrap_or_default();
    }));
    let mut idle = TcpStream::connect(address).await.unwrap();

    stop.send(()).unwrap();
    server.join_next().await.unwrap().unwrap();

    let mut rest = Vec::new();
    assert_eq!(idle.read_to_end(&mut rest).await.unwrap_or(0), 0);
    assert!(TcpStream::connect(address).await.is_err());
}
