//! Leaving: signals, the delay and the drain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smh_gateway::simulator::{Fault, Injection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::*;
use crate::support::binary::{Binary, PATIENCE, Ran};
use crate::support::ports;
use crate::support::{Folder, GATEWAY_YAML, Kept, LIBRARY, SPACE, Smh, read_answer, request};

/// [`GATEWAY_YAML`] with another `shutdown`, and with time for a delete that is held up.
pub(super) fn leaving(shutdown: &str) -> String {
    GATEWAY_YAML
        .replace("{ delay: 0s, drain: 2s }", shutdown)
        .replace("  timeout: 3s", "  timeout: 60s")
}

/// A connection on which `DELETE {target}` was sent, and SMH has it.
async fn in_flight(address: SocketAddr, target: &str, smh: &Smh) -> TcpStream {
    let before = smh.received().len();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request(target, &[]).as_bytes()).await.unwrap();
    becomes("SMH has the delete", async || smh.received().len() > before).await;
    stream
}

/// An SMH that answers `204` at once, but to a path with `held` in it only once it is let go.
pub(super) struct Holding {
    pub(super) address: SocketAddr,
    pub(super) held: watch::Receiver<bool>,
    pub(super) go: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

impl Holding {
    pub(super) async fn start() -> Self {
        let listener = ports::listen();
        let address = listener.local_addr().unwrap();
        let (go, may_go) = watch::channel(false);
        let (holds, held) = watch::channel(false);
        let holds = Arc::new(holds);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(Self::answer(stream, may_go.clone(), Arc::clone(&holds)));
            }
        });
        Self { address, held, go, _tasks: tasks }
    }

    async fn answer(
        mut stream: TcpStream,
        mut may_go: watch::Receiver<bool>,
        holds: Arc<watch::Sender<bool>>,
    ) {
        let mut read = Vec::new();
        while let Ok(1..) = stream.read_buf(&mut read).await {
            if !read.ends_with(b"\r\n\r\n") {
                continue;
            }
            if String::from_utf8(std::mem::take(&mut read)).unwrap().contains("held") {
                holds.send_replace(true);
                may_go.wait_for(|go| *go).await.unwrap();
            }
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_gateway_that_is_told_to_leave_finishes_what_it_has_and_takes_no_more() {
    let smh = Holding::start().await;
    let folder = Folder::new(&leaving("{ delay: 3s, drain: 60s }"), None, smh.address);
    let mut gateway = Binary::serve(&folder).await;
    let (address, admin) = (gateway.data[0], gateway.admin.unwrap());
    assert_eq!(get(admin, "/readyz").await.status(), 200);
    let mut held = TcpStream::connect(address).await.unwrap();
    held.write_all(request("/v1/files/t1/held", &[]).as_bytes()).await.unwrap();
    smh.held.clone().wait_for(|held| *held).await.unwrap();
    let mut kept = TcpStream::connect(address).await.unwrap();
    kept.write_all(request("/v1/files/t1/a", &[]).as_bytes()).await.unwrap();
    assert!(!read_answer(&mut kept).await.closed);
    let mut silent = TcpStream::connect(address).await.unwrap();

    let told = Instant::now();
    gateway.signal("TERM");
    gateway.says("leaving; a second signal leaves at once").await;
    becomes("it is not ready", async || get(admin, "/readyz").await.status() == 503).await;
    assert!(told.elapsed() < Duration::from_secs(3), "the machine is too slow for this test");
    assert_eq!(get(admin, "/readyz").await.json()["phase"], "leaving");
    assert_eq!(get(admin, "/livez").await.status(), 200);
    let late = delete(address, "/v1/files/t1/b").await;
    assert_eq!(late.status(), 204, "until the delay is over new connections are served");

    // Idle connections are ended once it drains, and not before.
    for idle in [&mut kept, &mut silent] {
        let end = tokio::time::timeout(PATIENCE, idle.read(&mut [0; 1])).await.unwrap();
        assert_eq!(end.unwrap_or(0), 0);
    }
    assert!(told.elapsed() >= Duration::from_secs(3), "{:?}", told.elapsed());
    becomes("nobody listens", async || TcpStream::connect(address).await.is_err()).await;
    assert_eq!(get(admin, "/readyz").await.json()["phase"], "draining");

    smh.go.send_replace(true);
    let answer = read_answer(&mut held).await;
    assert_eq!((answer.status(), answer.closed), (204, true));
    let ran = gateway.ended().await;
    assert_eq!(ran.code, Some(0));
    assert!(ran.err.contains("everything was finished"), "{}", ran.err);
    let mut paths: Vec<_> = ran.deletes().iter().map(|line| line["path"].to_string()).collect();
    paths.sort();
    assert_eq!(paths, ["\"a\"", "\"b\"", "\"held\""]);
}

#[tokio::test]
async fn whoever_keeps_a_connection_is_told_in_an_answer_before_it_is_ended() {
    let smh = Smh::start().await;
    let folder = Folder::new(&leaving("{ delay: 1h, drain: 1h }"), None, smh.address);
    let gateway = Binary::serve(&folder).await;
    let admin = gateway.admin.unwrap();
    let mut kept = Kept::open(gateway.data[0]).await;
    let mut other = Kept::open(gateway.data[0]).await;
    for connection in [&mut kept, &mut other] {
        let answer = connection.delete("/v1/files/t1/a").await;
        assert_eq!((answer.status(), answer.field("connection")), (404, None));
    }
    gateway.signal("TERM");
    becomes("it leaves", async || get(admin, "/readyz").await.status() == 503).await;
    // In refusals as well as in what SMH answers, and on a connection that was made since.
    let mut fresh = Kept::open(gateway.data[0]).await;
    for (connection, target, status) in [
        (&mut kept, "/v1/files/t1/a", 404),
        (&mut other, "/v1/files/t3/a", 403),
        (&mut fresh, "/v1/files/t1/a", 404),
    ] {
        let answer = connection.delete(target).await;
        assert_eq!((answer.status(), answer.fields("connection")), (status, vec!["close"]));
        assert_eq!(connection.until_closed().await, b"");
    }
    gateway.signal("TERM");
    assert_eq!(gateway.ended().await.code, Some(0));
}

/// What is said of a delete that SMH has, when the gateway cannot wait for its end.
fn assert_one_unknown(ran: &Ran) {
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let lines = ran.deletes();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["outcome"], "unknown", "{lines:?}");
    assert_eq!(lines[0]["code"], "Abandoned", "{lines:?}");
    assert_eq!(lines[0]["path"], "a", "{lines:?}");
}

#[tokio::test]
async fn a_slow_delete_is_finished_within_the_drain() {
    let smh = Smh::start().await.with_file("a");
    let folder = Folder::new(&leaving("{ delay: 0s, drain: 60s }"), None, smh.address);
    let gateway = Binary::serve(&folder).await;
    smh.simulator.inject(Injection::once(Fault::Slow(Duration::from_millis(500))));
    let mut stream = in_flight(gateway.data[0], "/v1/files/t1/a", &smh).await;
    gateway.signal("TERM");
    assert_eq!(read_answer(&mut stream).await.status(), 200);
    let ran = gateway.ended().await;
    assert_eq!(ran.code, Some(0));
    assert_eq!(ran.deletes()[0]["outcome"], "relayed");
    assert_eq!(smh.simulator.recycled(LIBRARY, SPACE).len(), 1);
}

#[tokio::test]
async fn a_delete_that_never_ends_holds_the_gateway_up_no_longer_than_the_drain() {
    let smh = Smh::start().await.with_file("a");
    let folder = Folder::new(&leaving("{ delay: 0s, drain: 300ms }"), None, smh.address);
    smh.simulator.inject(Injection::forever(Fault::HangAfterActing));
    for hangs_up in [false, true] {
        let gateway = Binary::serve(&folder).await;
        let mut stream = in_flight(gateway.data[0], "/v1/files/t1/a", &smh).await;
        if hangs_up {
            stream.shutdown().await.unwrap();
        }
        let told = Instant::now();
        gateway.signal("TERM");
        let ran = gateway.ended().await;
        // The delete itself has a minute.
        assert!(told.elapsed() < Duration::from_secs(15), "{:?}", told.elapsed());
        assert!(told.elapsed() >= Duration::from_millis(300), "{:?}", told.elapsed());
        assert!(ran.err.contains("still open after shutdown.drain"), "{}", ran.err);
        assert_one_unknown(&ran);
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(rest.is_empty(), "no answer: {:?}", String::from_utf8_lossy(&rest));
    }
}

#[tokio::test]
async fn a_second_signal_leaves_at_once() {
    let smh = Smh::start().await.with_file("a");
    smh.simulator.inject(Injection::forever(Fault::HangAfterActing));
    for (shutdown, first, second) in [
        ("{ delay: 1h, drain: 1h }", "TERM", "TERM"),
        ("{ delay: 0s, drain: 1h }", "TERM", "INT"),
        ("{ delay: 1h, drain: 1h }", "INT", "INT"),
    ] {
        let folder = Folder::new(&leaving(shutdown), None, smh.address);
        let mut gateway = Binary::serve(&folder).await;
        let _stream = in_flight(gateway.data[0], "/v1/files/t1/a", &smh).await;
        gateway.signal(first);
        gateway.says(&format!("signal=\"SIG{first}\"")).await;
        assert!(gateway.is_running());
        gateway.signal(second);
        let ran = gateway.ended().await;
        assert!(ran.err.contains("left at once"), "{}", ran.err);
        assert_one_unknown(&ran);
    }
}

#[tokio::test]
async fn a_gateway_without_work_leaves_at_once_when_the_delay_is_over() {
    let smh = Smh::start().await;
    let folder = Folder::new(&leaving("{ delay: 0s, drain: 1h }"), None, smh.address);
    let ran = Binary::serve(&folder).await.stop().await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""));
    assert!(ran.err.contains("everything was finished"), "{}", ran.err);
}

#[tokio::test]
async fn a_hang_up_signal_leaves_a_gateway_serving_and_is_answered() {
    let smh = Smh::start().await.with_file("a");
    let folder = Folder::new(&leaving("{ delay: 1h, drain: 1h }"), None, smh.address);
    let mut gateway = Binary::serve(&folder).await;
    gateway.signal("HUP");
    gateway.says("nothing is reloaded: the files are those in force").await;
    assert_eq!(delete(gateway.data[0], "/v1/files/t1/a").await.status(), 200);
    gateway.signal("TERM");
    gateway.says("leaving;").await;
    gateway.signal("HUP");
    assert_eq!(delete(gateway.data[0], "/v1/files/t1/a").await.status(), 404, "no second TERM");
    gateway.signal("TERM");
    assert_eq!(gateway.ended().await.code, Some(0));
}
