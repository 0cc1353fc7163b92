//! Pools, deadlines, second tries, TLS: what happens between the gateway and SMH.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::Reason;
use http::{Response, Version};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use smh_gateway::simulator::{Answered, Fault, Injection, Simulator, TokenSpec};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::support::{Answer, GATEWAY_YAML, Gateway, Kept, LIBRARY, SPACE, Smh, TOKEN, request};

const RECYCLED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n{\"recycledItemId\":17}";
const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\n\r\n";

/// Longer than any deadline that a test sets; where this ends a test, something hung.
const PATIENCE: Duration = Duration::from_secs(20);

/// One worker, so that there is one pool: the kernel spreads callers over workers as it likes.
fn one_worker() -> String {
    GATEWAY_YAML.replace("workers: 2", "workers: 1")
}

fn with_timeouts(connect: &str, whole: &str) -> String {
    one_worker()
        .replace("connect_timeout: 1s", &format!("connect_timeout: {connect}"))
        .replace("  timeout: 3s", &format!("  timeout: {whole}"))
}

async fn start(yaml: &str, upstream: SocketAddr) -> Gateway {
    Gateway::with(yaml, None, upstream).await
}

/// Status, `code` and `outcome` of an answer that is the gateway's own.
fn told(answer: &Answer) -> (u16, String, String) {
    (answer.status(), answer.code(), answer.outcome())
}

fn refusal(status: u16, code: &str, outcome: &str) -> (u16, String, String) {
    (status, code.to_owned(), outcome.to_owned())
}

/// One delete on a connection of its own.
async fn delete(gateway: SocketAddr, target: &str) -> Answer {
    Kept::open(gateway).await.delete(target).await
}

/// One delete for each target, all at once, in the order of the targets.
async fn delete_all(gateway: SocketAddr, targets: impl IntoIterator<Item = String>) -> Vec<Answer> {
    let mut tasks = JoinSet::new();
    for (index, target) in targets.into_iter().enumerate() {
        tasks.spawn(async move { (index, delete(gateway, &target).await) });
    }
    let mut answers = tasks.join_all().await;
    answers.sort_by_key(|(index, _)| *index);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// Waits for what comes soon, without saying when.
async fn until<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("it comes soon")
}

/// An upstream that is played by the test itself, connection by connection.
struct ByHand(TcpListener);

impl ByHand {
    async fn listen() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    async fn accept(&self) -> Played {
        let accepted = tokio::time::timeout(PATIENCE, self.0.accept()).await;
        let (stream, _) = accepted.expect("a connection in time").unwrap();
        stream.set_nodelay(true).unwrap();
        Played { stream, read: Vec::new() }
    }

    /// No connection was made besides those that were accepted.
    fn assert_no_more_connections(self) {
        let error = self.0.into_std().unwrap().accept().map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}

/// SMH's end of a connection.
struct Played {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Played {
    /// The next request, by its head; empty where the gateway ended the connection.
    async fn request(&mut self) -> String {
        let head = async {
            loop {
                if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                    let rest = self.read.split_off(end + 4);
                    return String::from_utf8(std::mem::replace(&mut self.read, rest)).unwrap();
                }
                match self.stream.read_buf(&mut self.read).await {
                    Ok(0) | Err(_) => return String::new(),
                    Ok(_) => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, head).await.expect("a request in time")
    }

    async fn answer(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).await.unwrap();
    }

    /// Ends the connection by a reset instead of in good order.
    fn reset(self) {
        reset(self.stream);
    }
}

fn reset(stream: TcpStream) {
    stream.set_zero_linger().unwrap();
    drop(stream);
}

/// An upstream that makes each answer of the request's head, once it has leave to.
struct Answering {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    leave: Arc<Semaphore>,
    _tasks: JoinSet<()>,
}

impl Answering {
    async fn start(answer: fn(&str) -> String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let leave = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        let (heard, granted) = (Arc::clone(&asked), Arc::clone(&leave));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (heard, granted) = (Arc::clone(&heard), Arc::clone(&granted));
                connections.spawn(async move {
                    let mut played = Played { stream, read: Vec::new() };
                    loop {
                        let mut head = Vec::new();
                        while !head.ends_with(b"\r\n\r\n") {
                            match played.stream.read_buf(&mut head).await {
                                Ok(0) | Err(_) => return,
                                Ok(_) => {}
                            }
                        }
                        let head = String::from_utf8(head).unwrap();
                        heard.lock().unwrap().push(head.clone());
                        let _leave = granted.acquire().await.unwrap();
                        if played.stream.write_all(answer(&head).as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, asked, leave, _tasks: tasks }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

// Connections

#[tokio::test]
async fn a_connection_is_kept_and_used_again() {
    let smh = Smh::start().await;
    let gateway = start(&one_worker(), smh.address).await;
    for name in ["a", "b", "c", "d", "e"] {
        smh.simulator.put_file(LIBRARY, SPACE, name);
        // Each caller on a connection of its own: theirs and ours have nothing to do with each other.
        let answer = delete(gateway.address(), &format!("/v1/files/t1/{name}")).await;
        assert_eq!(answer.status(), 200);
    }
    let connections: Vec<u64> = smh.received().iter().map(|request| request.connection).collect();
    assert_eq!(connections, [1; 5]);
}

#[tokio::test]
async fn deletes_at_once_make_no_more_connections_than_there_are_deletes() {
    const AT_ONCE: usize = 64;
    let smh = Smh::start().await;
    smh.simulator.inject(Injection::forever(Fault::Slow(Duration::from_millis(50))));
    let gateway = start(&one_worker(), smh.address).await;
    let mut seen = BTreeSet::new();
    for round in 0..3 {
        smh.simulator.clear_received();
        let targets = (0..AT_ONCE).map(|n| format!("/v1/files/t1/{round}/{n}"));
        let answers = delete_all(gateway.address(), targets).await;
        assert!(answers.iter().all(|answer| answer.status() == 404));
        let used: BTreeSet<u64> = smh.received().iter().map(|r| r.connection).collect();
        assert_eq!(smh.received().len(), AT_ONCE);
        if round > 0 {
            assert!(used.intersection(&seen).next().is_some(), "kept ones are used again");
        }
        seen.extend(used);
    }
    assert!(seen.len() <= AT_ONCE, "{}", seen.len());
    smh.simulator.clear_faults();
    assert_eq!(delete(gateway.address(), "/v1/files/t1/last").await.status(), 404);
    assert!(seen.contains(&smh.received().last().unwrap().connection));
}

#[tokio::test]
async fn a_delete_that_meets_a_connection_closed_while_idle_is_sent_on_a_new_one() {
    for in_good_order in [true, false] {
        let smh = ByHand::listen().await;
        let gateway = start(&one_worker(), smh.address()).await;
        let mut caller = Kept::open(gateway.address()).await;

        let (first, mut kept) = tokio::join!(caller.delete("/v1/files/t1/a"), async {
            let mut connection = smh.accept().await;
            assert!(connection.request().await.contains("/a?"));
            connection.answer(RECYCLED).await;
            connection
        });
        assert_eq!(first.status(), 200);
        if in_good_order {
            kept.stream.shutdown().await.unwrap();
        } else {
            kept.reset();
        }

        let (second, _connection) = tokio::join!(caller.delete("/v1/files/t1/b"), async {
            let mut connection = smh.accept().await;
            assert!(connection.request().await.contains("/b?"));
            connection.answer(NO_CONTENT).await;
            connection
        });
        assert_eq!(second.status(), 204);
        smh.assert_no_more_connections();
    }
}

#[tokio::test]
async fn a_delete_that_a_kept_connection_took_is_never_sent_again() {
    for answer in
        ["", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"]
    {
        for in_good_order in [true, false] {
            let smh = ByHand::listen().await;
            let gateway = start(&one_worker(), smh.address()).await;
            let mut caller = Kept::open(gateway.address()).await;
            let (first, mut kept) = tokio::join!(caller.delete("/v1/files/t1/a"), async {
                let mut connection = smh.accept().await;
                connection.request().await;
                connection.answer(RECYCLED).await;
                connection
            });
            assert_eq!(first.status(), 200);

            let (second, ()) = tokio::join!(caller.delete("/v1/files/t1/b"), async {
                assert!(kept.request().await.contains("/b?"));
                kept.answer(answer).await;
                if in_good_order {
                    drop(kept);
                } else {
                    kept.reset();
                }
            });
            assert_eq!(told(&second), refusal(502, "UpstreamProtocolError", "unknown"), "{answer}");
            smh.assert_no_more_connections();
        }
    }
}

/// What is left over behind an answer must not be taken for the next delete's.
#[tokio::test]
async fn an_answer_that_nobody_asked_for_answers_nobody() {
    for extra in [NO_CONTENT, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", "\r\n{}"]
    {
        let smh = ByHand::listen().await;
        let gateway = start(&one_worker(), smh.address()).await;
        let mut caller = Kept::open(gateway.address()).await;
        let (first, _kept) = tokio::join!(caller.delete("/v1/files/t1/a"), async {
            let mut connection = smh.accept().await;
            connection.request().await;
            connection.answer(&format!("{RECYCLED}{extra}")).await;
            connection
        });
        assert_eq!(first.json()["recycledItemId"], 17);

        let (second, _connection) = tokio::join!(caller.delete("/v1/files/t1/b"), async {
            let mut connection = smh.accept().await;
            assert!(connection.request().await.contains("/b?"));
            connection.answer("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}").await;
            connection
        });
        assert_eq!(second.status(), 404, "{extra:?}");
    }
}

#[tokio::test]
async fn a_connection_that_smh_wants_to_close_is_not_used_again() {
    let smh = ByHand::listen().await;
    let gateway = start(&one_worker(), smh.address()).await;
    let mut caller = Kept::open(gateway.address()).await;
    for path in ["a", "b"] {
        let target = format!("/v1/files/t1/{path}");
        let (answer, _) = tokio::join!(caller.delete(&target), async {
            let mut connection = smh.accept().await;
            assert!(connection.request().await.contains(&format!("/{path}?")));
            let close = NO_CONTENT.replace("Content\r\n", "Content\r\nConnection: close\r\n");
            connection.answer(&close).await;
            connection
        });
        assert_eq!(answer.status(), 204);
    }
    smh.assert_no_more_connections();
}

#[tokio::test]
async fn a_refused_connection_is_told_as_not_sent() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let gateway = start(&one_worker(), nobody).await;
    let answer = delete(gateway.address(), "/v1/files/t1/a").await;
    assert_eq!(told(&answer), refusal(502, "UpstreamUnreachable", "not_sent"));
    let proxy = "smh-gateway;error=destination_unavailable;details=\"UpstreamUnreachable\"";
    assert_eq!(answer.field("proxy-status"), Some(proxy));
    let lines = gateway.stop().await;
    assert!(lines[0]["cause"].as_str().unwrap().contains("refused"), "{}", lines[0]);
    assert_eq!(lines[0]["outcome"], "not_sent");
}

/// An address that takes no connection and refuses none, and what keeps it so.
fn black_hole() -> (SocketAddr, Vec<std::net::TcpStream>, socket2::Socket) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut waiting = Vec::new();
    while let Ok(one) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        waiting.push(one);
    }
    (address, waiting, socket)
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_ends_with_the_connect_timeout() {
    let (full, _waiting, _socket) = black_hole();
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let over_tls = |yaml: &str| yaml.replace("http://", "https://");
    for (address, yaml) in [
        (full, with_timeouts("300ms", "10s")),
        (mute.local_addr().unwrap(), over_tls(&with_timeouts("300ms", "10s"))),
    ] {
        let gateway = start(&yaml, address).await;
        let started = Instant::now();
        let answer = delete(gateway.address(), "/v1/files/t1/a").await;
        let took = started.elapsed();
        assert_eq!(told(&answer), refusal(502, "UpstreamUnreachable", "not_sent"));
        assert!(took >= Duration::from_millis(300), "{took:?}");
        assert!(took < Duration::from_secs(5), "{took:?}: half of the whole deadline");
    }
}

#[tokio::test]
async fn a_deadline_that_ends_before_there_is_a_connection_is_told_as_not_sent() {
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let yaml = with_timeouts("10s", "300ms").replace("http://", "https://");
    let gateway = start(&yaml, mute.local_addr().unwrap()).await;
    let started = Instant::now();
    let answer = delete(gateway.address(), "/v1/files/t1/a").await;
    assert_eq!(told(&answer), refusal(504, "UpstreamTimeout", "not_sent"));
    assert!(started.elapsed() < Duration::from_secs(5));
}

// Deadlines

#[tokio::test]
async fn an_answer_that_does_not_come_or_does_not_end_is_a_timeout_of_unknown_outcome() {
    for beginning in ["", "HTTP/1.1 20", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{"] {
        let smh = ByHand::listen().await;
        let gateway = start(&with_timeouts("300ms", "600ms"), smh.address()).await;
        let started = Instant::now();
        let (answer, ()) = tokio::join!(delete(gateway.address(), "/v1/files/t1/a"), async {
            let mut connection = smh.accept().await;
            assert!(connection.request().await.contains("/a?"));
            connection.answer(beginning).await;
            // It is not kept for anyone else: another answer could still come on it.
            assert_eq!(connection.request().await, "", "the gateway ends it");
        });
        let took = started.elapsed();
        assert_eq!(told(&answer), refusal(504, "UpstreamTimeout", "unknown"), "{beginning:?}");
        assert!(took >= Duration::from_millis(600), "{took:?}");
        assert!(took < Duration::from_secs(5), "{took:?}");
        smh.assert_no_more_connections();
    }
}

#[tokio::test]
async fn an_interim_answer_is_no_answer_and_does_not_move_the_deadline() {
    let smh = ByHand::listen().await;
    let gateway = start(&with_timeouts("300ms", "1s"), smh.address()).await;
    let (answer, ()) = tokio::join!(delete(gateway.address(), "/v1/files/t1/a"), async {
        let mut connection = smh.accept().await;
        connection.request().await;
        while connection.stream.write_all(b"HTTP/1.1 102 Processing\r\n\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert_eq!(told(&answer), refusal(504, "UpstreamTimeout", "unknown"));

    let smh = ByHand::listen().await;
    let gateway = start(&one_worker(), smh.address()).await;
    let (answer, _connection) = tokio::join!(delete(gateway.address(), "/v1/files/t1/a"), async {
        let mut connection = smh.accept().await;
        connection.request().await;
        connection.answer(&format!("HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n{RECYCLED}")).await;
        connection
    });
    assert_eq!((answer.status(), answer.field("x")), (200, None));
}

#[tokio::test]
async fn one_deadline_holds_for_both_tries_together() {
    let smh = ByHand::listen().await;
    let gateway = start(&with_timeouts("500ms", "2s"), smh.address()).await;
    let started = Instant::now();
    let (answer, _connection) = tokio::join!(delete(gateway.address(), "/v1/files/t1/a"), async {
        let mut connection = smh.accept().await;
        let first = connection.request().await;
        gateway.folder.write("token", "acctkanothertoken");
        // Not before the first half of the deadline is over: that is what is tested.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        connection.answer(FORBIDDEN).await;
        let second = connection.request().await;
        assert!(first.contains(TOKEN) && second.contains("acctkanothertoken"));
        connection
    });
    let took = started.elapsed();
    assert_eq!(told(&answer), refusal(504, "UpstreamTimeout", "unknown"));
    assert!(took < Duration::from_millis(3400), "{took:?}: the second try had its own deadline");
}

// Faults

/// What a caller must be told of a fault, and whether the file is gone then.
struct Expected {
    status: u16,
    /// SMH's, where its answer is relayed.
    code: &'static str,
    /// Empty where SMH's answer is relayed.
    outcome: &'static str,
    gone: bool,
}

/// Exhaustive, so that a new fault is a new row.
fn expected(fault: &Fault) -> Expected {
    let (status, code, outcome, gone) = match fault {
        Fault::InvalidAccessToken | Fault::AccessTokenVersionNotMatch | Fault::PlainForbidden => {
            (502, "UpstreamCredentialRejected", "not_sent", false)
        }
        Fault::RateLimited => (429, "RateLimitExceeded", "", false),
        Fault::InternalServerError => (500, "InternalServerError", "", false),
        Fault::ServerOverloaded => (503, "ServerOverloaded", "", false),
        Fault::BadGatewayHtml => (502, "", "", false),
        Fault::GatewayTimeoutHtml => (504, "", "", false),
        Fault::GatewayTimeoutAfterActing => (504, "", "", true),
        Fault::PathConflict => (409, "PathConflict", "", false),
        Fault::LibraryServiceExpired => (403, "LibraryServiceExpired", "", false),
        Fault::Error { .. } => (403, "NoPermission", "", false),
        Fault::BareError { .. } => (418, "SpaceBanned", "", false),
        Fault::CutBeforeActing => (502, "UpstreamProtocolError", "unknown", false),
        Fault::CutAfterActing | Fault::CutMidBody => {
            (502, "UpstreamProtocolError", "unknown", true)
        }
        Fault::HangBeforeActing => (504, "UpstreamTimeout", "unknown", false),
        Fault::HangAfterActing => (504, "UpstreamTimeout", "unknown", true),
        Fault::Redirect { .. } => (502, "UpstreamRedirected", "unknown", false),
        Fault::EchoTokenInBody | Fault::EchoTokenInHeader => {
            (502, "UpstreamProtocolError", "unknown", true)
        }
        Fault::HugeBody { .. } => (502, "UpstreamProtocolError", "unknown", false),
        Fault::NotJson | Fault::MissingFields => (200, "", "", false),
        Fault::Slow(_) | Fault::ExtraFields | Fault::LargeRecycledItemId | Fault::ExpiresIn(_) => {
            (200, "", "", true)
        }
    };
    Expected { status, code, outcome, gone }
}

fn faults() -> Vec<Fault> {
    vec![
        Fault::InvalidAccessToken,
        Fault::AccessTokenVersionNotMatch,
        Fault::PlainForbidden,
        Fault::RateLimited,
        Fault::InternalServerError,
        Fault::ServerOverloaded,
        Fault::BadGatewayHtml,
        Fault::GatewayTimeoutHtml,
        Fault::GatewayTimeoutAfterActing,
        Fault::PathConflict,
        Fault::LibraryServiceExpired,
        Fault::Error { status: 403, code: "NoPermission".into() },
        Fault::BareError { status: 418, code: "SpaceBanned".into() },
        Fault::CutBeforeActing,
        Fault::CutAfterActing,
        Fault::CutMidBody,
        Fault::Slow(Duration::from_millis(20)),
        Fault::HangBeforeActing,
        Fault::HangAfterActing,
        Fault::ExtraFields,
        Fault::LargeRecycledItemId,
        Fault::Redirect { to: "http://127.0.0.1:1".into() },
        Fault::EchoTokenInBody,
        Fault::EchoTokenInHeader,
        Fault::NotJson,
        Fault::MissingFields,
        Fault::ExpiresIn(-1),
        Fault::HugeBody { bytes: 2 * 1024 * 1024 },
    ]
}

#[tokio::test]
async fn whatever_goes_wrong_at_smh_a_delete_is_sent_once_and_its_caller_told_no_lie() {
    let smh = Smh::start().await;
    let gateway = start(&with_timeouts("300ms", "700ms"), smh.address).await;
    let mut caller = Kept::open(gateway.address()).await;
    // On a connection that was just made, and on one that is kept.
    for fault in faults().into_iter().flat_map(|fault| [fault.clone(), fault]) {
        let Expected { status, code, outcome, gone } = expected(&fault);
        smh.simulator.put_file(LIBRARY, SPACE, "a");
        smh.simulator.clear_received();
        smh.simulator.inject(Injection::once(fault.clone()));
        let answer = caller.delete("/v1/files/t1/a").await;
        smh.simulator.clear_faults();

        assert_eq!(told(&answer), refusal(status, code, outcome), "{fault:?}");
        assert_eq!(smh.files().is_empty(), gone, "{fault:?}");
        let received = smh.received();
        assert_eq!(received.len(), 1, "{fault:?}: sent once");
        if gone {
            assert_ne!(answer.outcome(), "not_sent", "{fault:?}: it was");
        }
        if outcome.is_empty() {
            assert_eq!(received[0].answered, Answered::Status(status), "{fault:?}: relayed");
        }
        assert!(!answer.head.contains(TOKEN), "{fault:?}");
        assert!(!String::from_utf8_lossy(&answer.body).contains(TOKEN), "{fault:?}");
        if fault == Fault::LargeRecycledItemId {
            let id = smh.simulator.recycled(LIBRARY, SPACE).last().unwrap().id;
            assert_eq!(answer.body, format!("{{\"recycledItemId\":{id}}}").into_bytes());
        }
    }
}

// Tokens

const OTHER_TOKEN: &str = "acctkothertoken0123456789abcdef";

const FORBIDDEN: &str = "HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nForbidden";

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

// Too many at once

/// For each number of workers: the bound is the gateway's, not a worker's.
#[tokio::test]
async fn past_max_in_flight_exactly_the_surplus_is_refused_and_reaches_nobody() {
    const MOST: usize = 10;
    const CALLERS: usize = 100;
    for yaml in [one_worker(), GATEWAY_YAML.to_owned()] {
        let yaml = yaml.replace("  timeout: 3s", "  timeout: 20s\n  max_in_flight: 10");
        let smh = Answering::start(|_| RECYCLED.into()).await;
        smh.leave.forget_permits(Semaphore::MAX_PERMITS);
        let gateway = start(&yaml, smh.address).await;
        let (address, refused) = (gateway.address(), Arc::new(AtomicUsize::new(0)));
        let mut callers = JoinSet::new();
        for n in 0..CALLERS {
            let refused = Arc::clone(&refused);
            callers.spawn(async move {
                let answer = delete(address, &format!("/v1/files/t1/f{n}-")).await;
                refused.fetch_add(usize::from(answer.status() == 503), Ordering::Relaxed);
                (n, answer)
            });
        }
        // The others are at SMH, which holds them until all that are too many have been told so.
        until(async || {
            let told = refused.load(Ordering::Relaxed) + smh.asked().len();
            (told >= CALLERS).then_some(())
        })
        .await;
        smh.leave.add_permits(CALLERS);
        let (mut carried_out, mut surplus) = (Vec::new(), 0);
        while let Some(answered) = callers.join_next().await {
            let (n, answer) = answered.unwrap();
            if answer.status() == 200 {
                carried_out.push(n);
                continue;
            }
            assert_eq!(told(&answer), refusal(503, "Overloaded", "not_sent"));
            assert_eq!(answer.field("retry-after"), Some("1"));
            surplus += 1;
        }
        assert_eq!((carried_out.len(), surplus), (MOST, CALLERS - MOST), "{yaml}");
        let asked = smh.asked();
        assert_eq!(asked.len(), MOST);
        let reached = |n: &usize| asked.iter().any(|head| head.contains(&format!("/f{n}-?")));
        assert!(carried_out.iter().all(reached), "{asked:?}");
        assert_eq!(
            delete(address, "/v1/files/t1/after").await.status(),
            200,
            "there is room again"
        );
    }
}

// TLS and HTTP/2

/// A certificate authority of the test's own.
struct Authority {
    folder: TempDir,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap();
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("ca.pem"), root.pem()).unwrap();
        Self { folder, issuer: rcgen::Issuer::new(params, key) }
    }

    /// For a server of these names that offers these protocols.
    fn acceptor(&self, names: &[&str], protocols: &[&str]) -> TlsAcceptor {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(names).unwrap();
        let certificate: CertificateDer<'static> =
            params.signed_by(&key, &self.issuer).unwrap().into();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }

    /// A gateway's file that names this authority; the host of the upstream as it is given.
    fn trusted(&self, host: &str) -> String {
        let file = self.folder.path().join("ca.pem");
        let upstream = format!("https://{host}\n  ca_file: {}", file.display());
        one_worker().replace("http://UPSTREAM", &upstream)
    }
}

/// The simulated SMH behind TLS.
struct Encrypted {
    simulator: Simulator,
    address: SocketAddr,
    _plain: Smh,
    _tasks: JoinSet<()>,
}

impl Encrypted {
    async fn start(acceptor: TlsAcceptor) -> Self {
        let plain = Smh::start().await.with_file("a").with_file("b");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (simulator, served) = (plain.simulator.clone(), plain.simulator.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, simulator) = (acceptor.clone(), served.clone());
                connections.spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        simulator.serve_connection(stream).await;
                    }
                });
            }
        });
        Self { simulator, address, _plain: plain, _tasks: tasks }
    }
}

#[tokio::test]
async fn smh_is_reached_over_tls_by_the_newest_protocol_that_it_offers() {
    let authority = Authority::new();
    for (protocols, version) in [
        (&["h2", "http/1.1"][..], Version::HTTP_2),
        (&["http/1.1", "h2"][..], Version::HTTP_11),
        (&["h2"][..], Version::HTTP_2),
        (&["http/1.1"][..], Version::HTTP_11),
        (&[][..], Version::HTTP_11),
    ] {
        let smh = Encrypted::start(authority.acceptor(&["127.0.0.1"], protocols)).await;
        let gateway = start(&authority.trusted("UPSTREAM"), smh.address).await;
        for name in ["a", "b"] {
            let answer = delete(gateway.address(), &format!("/v1/files/t1/{name}")).await;
            assert_eq!(answer.status(), 200, "{:?}", answer.json());
            assert!(answer.head.starts_with("HTTP/1.1 200 "), "{}", answer.head);
        }
        let received = smh.simulator.received();
        assert_eq!(received.len(), 2);
        for request in received {
            assert_eq!((request.version, request.connection), (version, 1), "{protocols:?}");
            let host = smh.address.to_string();
            match version {
                Version::HTTP_2 => assert_eq!(request.authority, Some(host)),
                _ => assert_eq!(request.header("host").collect::<Vec<_>>(), [host.as_bytes()]),
            }
            let names: BTreeSet<&str> = request.headers.iter().map(|(n, _)| n.as_str()).collect();
            let known = ["accept", "accept-encoding", "host", "user-agent"];
            assert!(names.iter().all(|name| known.contains(name)), "{names:?}");
        }
    }
}

#[tokio::test]
async fn a_server_that_cannot_prove_to_be_smh_gets_nothing() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let localhost = IpAddr::from(Ipv4Addr::LOCALHOST).to_string();
    for (names, yaml) in [
        (["elsewhere.example"], authority.trusted("UPSTREAM")),
        (["localhost"], authority.trusted("UPSTREAM")),
        ([&*localhost], stranger.trusted("UPSTREAM")),
        ([&*localhost], one_worker().replace("http://", "https://")),
    ] {
        let smh = Encrypted::start(authority.acceptor(&names, &["h2", "http/1.1"])).await;
        let gateway = start(&yaml, smh.address).await;
        let answer = delete(gateway.address(), "/v1/files/t1/a").await;
        assert_eq!(told(&answer), refusal(502, "UpstreamUnreachable", "not_sent"), "{names:?}");
        assert_eq!(smh.simulator.received(), [], "{names:?}");
        assert_eq!(smh.simulator.files(LIBRARY, SPACE), ["a", "b"]);
        let lines = gateway.stop().await;
        assert!(lines[0]["cause"].as_str().unwrap().contains("certificate"), "{}", lines[0]);
    }
}

#[tokio::test]
async fn a_name_is_verified_as_a_name() {
    let authority = Authority::new();
    let smh = Encrypted::start(authority.acceptor(&["localhost"], &["h2"])).await;
    let host = format!("localhost:{}", smh.address.port());
    let gateway = start(&authority.trusted(&host), smh.address).await;
    assert_eq!(delete(gateway.address(), "/v1/files/t1/a").await.status(), 200);
    assert_eq!(smh.simulator.received()[0].authority, Some(host));
}

#[tokio::test]
async fn deletes_at_once_share_one_http2_connection() {
    let authority = Authority::new();
    let smh = Encrypted::start(authority.acceptor(&["127.0.0.1"], &["h2"])).await;
    let gateway = start(&authority.trusted("UPSTREAM"), smh.address).await;
    assert_eq!(delete(gateway.address(), "/v1/files/t1/a").await.status(), 200);
    smh.simulator.inject(Injection::forever(Fault::Slow(Duration::from_millis(50))));
    let targets = (0..50).map(|n| format!("/v1/files/t1/none/{n}"));
    let answers = delete_all(gateway.address(), targets).await;
    assert!(answers.iter().all(|answer| answer.status() == 404));
    let received = smh.simulator.received();
    assert_eq!(received.len(), 51);
    assert!(received.iter().all(|request| request.connection == 1));
}

#[tokio::test]
async fn over_http2_too_a_delete_is_sent_once_and_its_caller_told_no_lie() {
    let authority = Authority::new();
    let smh = Encrypted::start(authority.acceptor(&["127.0.0.1"], &["h2"])).await;
    let yaml = authority.trusted("UPSTREAM").replace("  timeout: 3s", "  timeout: 700ms");
    let gateway = start(&yaml, smh.address).await;
    let mut caller = Kept::open(gateway.address()).await;
    for fault in [
        Fault::Slow(Duration::from_millis(20)),
        Fault::InvalidAccessToken,
        Fault::CutBeforeActing,
        Fault::CutAfterActing,
        Fault::CutMidBody,
        Fault::HangBeforeActing,
        Fault::HangAfterActing,
        Fault::Redirect { to: "https://elsewhere.example".into() },
        Fault::EchoTokenInHeader,
        Fault::HugeBody { bytes: 2 * 1024 * 1024 },
        Fault::GatewayTimeoutAfterActing,
    ] {
        let Expected { status, code, outcome, gone } = expected(&fault);
        smh.simulator.put_file(LIBRARY, SPACE, "a");
        smh.simulator.clear_received();
        smh.simulator.inject(Injection::once(fault.clone()));
        let answer = caller.delete("/v1/files/t1/a").await;
        smh.simulator.clear_faults();
        assert_eq!(told(&answer), refusal(status, code, outcome), "{fault:?}");
        assert_eq!(smh.simulator.files(LIBRARY, SPACE).len(), 2 - usize::from(gone), "{fault:?}");
        assert_eq!(smh.simulator.received().len(), 1, "{fault:?}");
    }
}

/// An HTTP/2 upstream that is played by the test itself, frame by frame.
struct Http2ByHand {
    listener: ByHand,
    acceptor: TlsAcceptor,
}

type Http2Played = h2::server::Connection<TlsStream<TcpStream>, Bytes>;

impl Http2ByHand {
    async fn listen(authority: &Authority) -> Self {
        let acceptor = authority.acceptor(&["127.0.0.1"], &["h2"]);
        Self { listener: ByHand::listen().await, acceptor }
    }

    async fn accept(&self) -> Http2Played {
        let stream = self.listener.accept().await.stream;
        h2::server::handshake(self.acceptor.accept(stream).await.unwrap()).await.unwrap()
    }
}

fn no_content() -> Response<()> {
    Response::builder().status(204).body(()).unwrap()
}

#[tokio::test]
async fn a_refused_stream_is_not_sent_and_tried_once_more_at_most() {
    let authority = Authority::new();
    let smh = Http2ByHand::listen(&authority).await;
    let gateway = start(&authority.trusted("UPSTREAM"), smh.listener.address()).await;
    let mut caller = Kept::open(gateway.address()).await;
    let mut played = None;
    let refused = AtomicUsize::new(0);

    // The first delete is answered; of those behind it, so many streams are refused.
    for refusing in [0, 1, usize::MAX] {
        refused.store(0, Ordering::Relaxed);
        let mut left = refusing;
        let serve = async {
            loop {
                let Some(connection) = &mut played else {
                    played = Some(smh.accept().await);
                    continue;
                };
                let Some(Ok((_, mut respond))) = connection.accept().await else {
                    played = None;
                    continue;
                };
                if left > 0 {
                    left -= 1;
                    refused.fetch_add(1, Ordering::Relaxed);
                    respond.send_reset(Reason::REFUSED_STREAM);
                } else {
                    respond.send_response(no_content(), true).unwrap();
                }
            }
        };
        let answer = tokio::select! {
            answer = caller.delete("/v1/files/t1/a") => answer,
            () = serve => unreachable!("it serves for ever"),
        };
        let refused = refused.load(Ordering::Relaxed);
        match refusing {
            0 | 1 => assert_eq!((answer.status(), refused), (204, refusing)),
            _ => {
                assert!(refused <= 2, "sent {refused} times");
                assert_eq!(told(&answer), refusal(502, "UpstreamUnreachable", "not_sent"));
            }
        }
    }
}

#[tokio::test]
async fn a_stream_reset_for_any_other_reason_is_of_unknown_outcome_and_not_sent_again() {
    for reason in [Reason::INTERNAL_ERROR, Reason::CANCEL, Reason::NO_ERROR, Reason::PROTOCOL_ERROR]
    {
        let authority = Authority::new();
        let smh = Http2ByHand::listen(&authority).await;
        let gateway = start(&authority.trusted("UPSTREAM"), smh.listener.address()).await;
        let mut sent = 0;
        let serve = async {
            loop {
                let mut played = smh.accept().await;
                while let Some(Ok((_, mut respond))) = played.accept().await {
                    sent += 1;
                    respond.send_reset(reason);
                }
            }
        };
        let answer = tokio::select! {
            answer = delete(gateway.address(), "/v1/files/t1/a") => answer,
            () = serve => unreachable!("it serves for ever"),
        };
        assert_eq!(told(&answer), refusal(502, "UpstreamProtocolError", "unknown"), "{reason:?}");
        assert_eq!(sent, 1, "{reason:?}");
    }
}

#[tokio::test]
async fn a_delete_after_goaway_goes_to_a_new_connection() {
    let authority = Authority::new();
    let smh = Http2ByHand::listen(&authority).await;
    let gateway = start(&authority.trusted("UPSTREAM"), smh.listener.address()).await;
    let mut caller = Kept::open(gateway.address()).await;
    for _ in 0..3 {
        let (answer, ()) = tokio::join!(caller.delete("/v1/files/t1/a"), async {
            let mut played = smh.accept().await;
            let (_, mut respond) = played.accept().await.unwrap().unwrap();
            respond.send_response(no_content(), true).unwrap();
            played.graceful_shutdown();
            // However the gateway ends it, once all that it asked for is answered.
            let further = played.accept().await;
            assert!(!matches!(further, Some(Ok(_))), "no further delete comes here");
        });
        assert_eq!(answer.status(), 204);
    }
    smh.listener.assert_no_more_connections();
}

// Callers that hang up

/// The line of the only delete, once it is there.
async fn line_of(gateway: &Gateway) -> Value {
    until(async || gateway.log.all().into_iter().next()).await
}

#[tokio::test]
async fn what_smh_did_is_recorded_even_if_the_caller_has_hung_up() {
    for in_good_order in [true, false] {
        let smh = ByHand::listen().await;
        let gateway = start(&one_worker(), smh.address()).await;
        let mut caller = Kept::open(gateway.address()).await;
        caller.write(request("/v1/files/t1/a", &["X-Request-Id: left"]).as_bytes()).await;
        let mut connection = smh.accept().await;
        assert!(connection.request().await.contains("/a?"));
        if in_good_order {
            drop(caller);
        } else {
            reset(caller.stream);
        }
        assert_eq!(gateway.log.all().len(), 0);
        connection.answer(RECYCLED).await;
        assert_recorded(&line_of(&gateway).await);
        until(async || (gateway.running.gateway().in_flight().count() == 0).then_some(())).await;
        smh.assert_no_more_connections();
    }
}

fn assert_recorded(line: &Value) {
    assert_eq!(line["request_id"], "left");
    assert_eq!(line["path"], "a");
    assert_eq!((&line["smh_status"], &line["status"]), (&200.into(), &200.into()), "{line}");
    assert_eq!(line["outcome"], "relayed");
}

#[tokio::test]
async fn a_delete_whose_stream_was_reset_is_recorded_as_well() {
    for whole_connection in [false, true] {
        let smh = ByHand::listen().await;
        let gateway = start(&one_worker(), smh.address()).await;
        let stream = TcpStream::connect(gateway.address()).await.unwrap();
        let (sender, driver) = h2::client::handshake(stream).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // How it ends is no matter here.
            let _ = driver.await;
        });
        let request = http::Request::delete("http://gateway/v1/files/t1/a")
            .header("x-api-key", crate::support::KEY)
            .header("x-request-id", "left")
            .body(())
            .unwrap();
        let mut sender = sender.ready().await.unwrap();
        let (response, mut stream) = sender.send_request(request, true).unwrap();
        let mut connection = smh.accept().await;
        assert!(connection.request().await.contains("/a?"));
        if whole_connection {
            tasks.shutdown().await;
            until(async || (gateway.running.gateway().connections().count() == 0).then_some(()))
                .await;
        } else {
            stream.send_reset(Reason::CANCEL);
            // The other stream is behind the reset: once it is answered, the reset was seen.
            let other = http::Request::delete("http://gateway/nowhere").body(()).unwrap();
            let (other, _) = sender.send_request(other, true).unwrap();
            assert_eq!(other.await.unwrap().status(), 400);
        }
        drop(response);
        assert_eq!(gateway.running.gateway().in_flight().count(), 1);
        connection.answer(RECYCLED).await;
        let deletes = || gateway.log.all().into_iter().find(|line| line["request_id"] == "left");
        assert_recorded(&until(async || deletes()).await);
        until(async || (gateway.running.gateway().in_flight().count() == 0).then_some(())).await;
    }
}
