use super::*;

use std::net::SocketAddr;

use crate::delete::Paths;
use crate::listener::{At, Listener, PerAddress, Plan};

const BOUNDS: Bounds = Bounds {
    connections: 1,
    per_address: PerAddress::All(1),
    streams: 1,
    head_bytes: 1024,
    head_timeout: Duration::from_secs(10),
    idle_timeout: Duration::from_secs(75),
    answer_timeout: Duration::from_secs(30),
    max_age: Duration::from_secs(4 * 60),
};

fn inbound() -> Arc<Inbound> {
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    let plan = Plan { at: At::Tcp(address), tls: None, paths: Paths::Own, bounds: BOUNDS };
    Inbound::new(Listener::open(&plan).unwrap(), address.into())
}

const GOOD: &str = "DELETE /v1/files/t/x HTTP/1.1\r\nHost: h\r\n\r\n";

/// What hyper would read of these pieces, and why there was no more.
async fn passed(pieces: &[&str]) -> (String, Option<Refusal>) {
    let mut stream = tokio_test_stream(pieces);
    let mut gate = Gate::new(&mut stream, inbound());
    let mut read = String::new();
    gate.read_to_string(&mut read).await.unwrap();
    (read, refusal(&gate))
}

fn refusal<S>(gate: &Gate<S>) -> Option<Refusal> {
    if let End::Refused(refusal) = &gate.end { Some(refusal.clone()) } else { None }
}

/// The caller's side is closed behind the last piece.
fn tokio_test_stream(pieces: &[&str]) -> tokio::io::DuplexStream {
    let (mut caller, gateway) = tokio::io::duplex(1024 * 1024);
    let all = pieces.concat();
    let write = async move { caller.write_all(all.as_bytes()).await };
    let mut write = Box::pin(write);
    let waker = std::task::Waker::noop();
    let written = write.as_mut().poll(&mut Context::from_waker(waker));
    assert!(written.is_ready(), "the pieces fit into the pipe");
    gateway
}

#[tokio::test]
async fn whole_heads_pass_unchanged_however_many_there_are() {
    assert_eq!(passed(&[GOOD, GOOD, GOOD]).await, (GOOD.repeat(3), None));
}

#[tokio::test]
async fn what_comes_before_a_broken_head_passes_and_nothing_after_it() {
    let broken = "DELETE /v1/files/t/y HTTP/1.1\nHost: h\r\n\r\n";
    let (read, refusal) = passed(&[GOOD, broken, GOOD]).await;
    assert_eq!(read, GOOD);
    assert_eq!(refusal, Some(Refusal::InvalidRequest(RequestFault::LineEnd)));
}

#[tokio::test]
async fn nothing_passes_behind_a_head_that_announces_a_body() {
    let with_body = "DELETE /v1/files/t/x HTTP/1.1\r\nHost: h\r\nContent-Length: 44\r\n\r\n";
    assert_eq!(passed(&[with_body, GOOD]).await, (with_body.to_owned(), None));
}

#[tokio::test]
async fn half_a_head_never_passes() {
    let (read, refusal) = passed(&[GOOD, "DELETE /v1/fi"]).await;
    assert_eq!(read, GOOD);
    assert_eq!(refusal, Some(Refusal::InvalidRequest(RequestFault::HeadTruncated)));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_end_in_time_is_refused() {
    let (mut caller, mut stream) = tokio::io::duplex(1024);
    caller.write_all(b"DELETE /v1/files").await.unwrap();
    let mut gate = Gate::new(&mut stream, inbound());
    let started = Instant::now();
    let mut read = Vec::new();
    gate.read_to_end(&mut read).await.unwrap();
    assert_eq!(started.elapsed(), BOUNDS.head_timeout);
    assert_eq!(read, b"");
    let overdue = Refusal::InvalidRequest(RequestFault::HeadTimeout);
    assert_eq!(refusal(&gate), Some(overdue));
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_rests_and_is_closed_without_a_word() {
    let (mut caller, mut stream) = tokio::io::duplex(1024);
    caller.write_all(GOOD.as_bytes()).await.unwrap();
    let mut gate = Gate::new(&mut stream, inbound());
    let started = Instant::now();
    let mut read = Vec::new();
    gate.read_to_end(&mut read).await.unwrap();
    assert_eq!(started.elapsed(), REST_AFTER);
    assert!(!gate.rest().await);
    assert_eq!(started.elapsed(), BOUNDS.idle_timeout);
    assert_eq!(refusal(&gate), None);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_rests_goes_on_as_if_it_had_not() {
    let (mut caller, mut stream) = tokio::io::duplex(1024);
    let mut gate = Gate::new(&mut stream, inbound());
    let (first, others) = GOOD.as_bytes().split_at(3);
    caller.write_all(GOOD.as_bytes()).await.unwrap();
    for _ in 0..3 {
        let mut read = String::new();
        gate.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, GOOD);
        let later = async {
            tokio::time::sleep(BOUNDS.idle_timeout - 2 * REST_AFTER).await;
            caller.write_all(first).await.unwrap();
        };
        assert!(tokio::join!(gate.rest(), later).0);
        caller.write_all(others).await.unwrap();
    }
    // Half a head is not excused by the rest before it.
    gate.read_to_end(&mut Vec::new()).await.unwrap();
    caller.write_all(first).await.unwrap();
    assert!(gate.rest().await);
    gate.read_to_end(&mut Vec::new()).await.unwrap();
    assert_eq!(refusal(&gate), Some(Refusal::InvalidRequest(RequestFault::HeadTimeout)));
}

#[tokio::test]
async fn no_connection_rests_that_has_ended() {
    let mut stream = tokio_test_stream(&[GOOD]);
    let mut gate = Gate::new(&mut stream, inbound());
    gate.read_to_end(&mut Vec::new()).await.unwrap();
    assert!(!gate.rest().await);
}

#[tokio::test]
async fn http2_is_known_by_its_preface() {
    let spoken =
        async |said: &str| Gate::new(&mut tokio_test_stream(&[said]), inbound()).listen().await;
    assert_eq!(spoken("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n....").await, Some(Spoken::Http2));
    assert_eq!(spoken(GOOD).await, Some(Spoken::Http1));
    assert_eq!(spoken("PRI * HTTP/2.0\r\n\r\nXX").await, Some(Spoken::Http1));
    assert_eq!(spoken("").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_old_by_its_age_alone_and_not_before() {
    let (mut caller, mut stream) = tokio::io::duplex(1024);
    let inbound = inbound();
    let mut gate = Gate::new(&mut stream, Arc::clone(&inbound));
    let started = Instant::now();
    while !inbound.is_old() {
        caller.write_all(GOOD.as_bytes()).await.unwrap();
        gate.read_exact(&mut vec![0; GOOD.len()]).await.unwrap();
        let mut next = [0; 1];
        let nothing = timeout(REST_AFTER / 2, gate.read(&mut next)).await;
        assert!(nothing.is_err(), "busy, and not at rest");
        assert!(started.elapsed() <= BOUNDS.max_age);
    }
    assert!(started.elapsed() >= BOUNDS.max_age * 3 / 4);
}
