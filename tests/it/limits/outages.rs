//! A store that fails, in every way.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use super::*;
use crate::support::ports;

const POLICY: &str =
    "rate_limits:\n  - { name: daily, per: [caller], tenants: [t1], limit: 30/day }\n";

/// What a store that is none says to the script.
struct Canned {
    address: SocketAddr,
    says: Arc<Mutex<Option<&'static [u8]>>>,
    scripts: Arc<Mutex<usize>>,
    _tasks: JoinSet<()>,
}

impl Canned {
    /// `None`: nothing at all.
    async fn start(says: Option<&'static [u8]>) -> Self {
        let listener = ports::listen();
        let address = listener.local_addr().unwrap();
        let (says, scripts) = (Arc::new(Mutex::new(says)), Arc::new(Mutex::new(0)));
        let mut tasks = JoinSet::new();
        let (said, counted) = (Arc::clone(&says), Arc::clone(&scripts));
        tasks.spawn(async move {
            let mut served = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                served.spawn(serve(stream, Arc::clone(&said), Arc::clone(&counted)));
            }
        });
        Self { address, says, scripts, _tasks: tasks }
    }

    fn yaml(&self, more: &str) -> String {
        let store = format!("{{ url: \"redis://{}\", response_timeout: 100ms }}", self.address);
        yaml(&store, more)
    }
}

/// Takes what comes for whole commands: each is sent in one piece.
async fn serve(
    mut stream: tokio::net::TcpStream,
    says: Arc<Mutex<Option<&'static [u8]>>>,
    scripts: Arc<Mutex<usize>>,
) {
    let mut bytes = vec![0; 65_536];
    while let Ok(read @ 1..) = stream.read(&mut bytes).await {
        let asked = String::from_utf8_lossy(&bytes[..read]).to_uppercase();
        let mut answer = Vec::new();
        for command in
            asked.split("\r\n").filter(|line| line.bytes().all(|b| b.is_ascii_alphabetic()))
        {
            match command {
                "EVALSHA" | "EVAL" => {
                    *scripts.lock() += 1;
                    let Some(said) = *says.lock() else { continue };
                    answer.extend_from_slice(said);
                }
                "SCRIPT" => answer.extend_from_slice(b"$2\r\nok\r\n"),
                "CLIENT" | "SET" | "HELLO" | "SELECT" | "PING" => {
                    answer.extend_from_slice(b"+OK\r\n")
                }
                _ => {}
            }
        }
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn whatever_a_store_says_deletes_go_on_by_this_gateways_own_share() {
    for (what, says, reason) in [
        ("loading", &b"-LOADING Redis is loading the dataset in memory\r\n"[..], "loading"),
        ("a replica", b"-READONLY You can't write against a read only replica.\r\n", "read_only"),
        (
            "no memory",
            b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
            "out_of_memory",
        ),
        ("elsewhere", b"-MOVED 3999 127.0.0.1:6381\r\n", "cluster"),
        (
            "forbidden",
            b"-NOPERM this user has no permissions to run the 'evalsha' command\r\n",
            "forbidden",
        ),
        ("no script, ever", b"-NOSCRIPT No matching script.\r\n", "no_script"),
        ("another error", b"-ERR sentinel-secret-of-the-store\r\n", "other"),
        ("another type", b"+OK\r\n", "garbage"),
        ("too few", b"*0\r\n", "garbage"),
        ("too many", b"*2\r\n:0\r\n:0\r\n", "garbage"),
        ("below nothing", b"*1\r\n:-5\r\n", "garbage"),
        ("more than there is", b"*1\r\n:9000000000000000003\r\n", "garbage"),
        ("charged where there was no room", b"*1\r\n:345600000000\r\n", "garbage"),
        ("a limit that is not enforced", b"*1\r\n:1\r\n", "garbage"),
        ("no protocol", b"HTTP/1.1 400 Bad Request\r\n\r\n", "garbage"),
    ] {
        let (store, smh) = (Canned::start(Some(says)).await, Smh::start().await);
        let yaml = store.yaml("  replicas: 3\n");
        let gateway = Gateway::with(&yaml, Some(POLICY), smh.address).await;
        assert_eq!(passes(&gateway, 15).await, 10, "{what}: a third of 30");
        assert_eq!(smh.targets().len(), 10, "{what}");
        assert!(*store.scripts.lock() >= 1, "{what}: it was asked");
        let failures =
            format!("smh_gateway_rate_limit_store_failures_total{{reason=\"{reason}\"}}");
        assert!(
            metric(&gateway, &failures).await >= 1.0,
            "{what}: {}",
            String::from_utf8(gateway.admin("/metrics").await.body).unwrap()
        );
        let ready = gateway.admin("/readyz").await;
        assert_eq!(ready.status(), 200, "{what}: readiness does not depend on it");
        let status = String::from_utf8(gateway.admin("/api/status").await.body).unwrap();
        assert!(!status.contains("sentinel-secret-of-the-store"), "{status}");
    }
}

#[tokio::test]
async fn where_it_is_configured_so_nothing_is_sent_without_the_store() {
    let (store, smh) = (Canned::start(Some(b"-LOADING\r\n")).await, Smh::start().await);
    let yaml = store.yaml("  when_unavailable: refuse\n");
    let gateway = Gateway::with(&yaml, Some(POLICY), smh.address).await;
    for _ in 0..5 {
        let answer = gateway.delete("/v1/files/t1/f").await;
        let wanted = (503, "RateLimitStoreUnavailable".to_owned(), "not_sent".to_owned());
        assert_eq!(status_of(&answer), wanted);
        assert_eq!(answer.field("retry-after"), Some("1"));
    }
    assert_eq!(smh.targets(), [""; 0]);
    // What no limit is about needs no store.
    assert_eq!(gateway.delete("/v1/files/t2/f").await.status(), 404);
    // It goes back by itself.
    *store.says.lock() = Some(b"*1\r\n:0\r\n");
    becomes("through", async || gateway.delete("/v1/files/t1/f").await.status() == 404).await;
}

#[tokio::test]
async fn a_store_that_never_answers_holds_up_a_few_deletes_and_then_none() {
    let (store, smh) = (Canned::start(None).await, Smh::start().await);
    let policy = POLICY.replace("30/day", "100000/day");
    let gateway = Gateway::with(&store.yaml(""), Some(&policy), smh.address).await;
    let mut kept = Kept::open(gateway.address()).await;
    for _ in 0..400 {
        assert_eq!(kept.delete("/v1/files/t1/f").await.status(), 404);
    }
    // Three a connection, and the connection is made again and again: less often each time.
    let asked = *store.scripts.lock();
    assert!((3..=60).contains(&asked), "{asked} of 400 waited for it");
}

#[tokio::test]
async fn a_script_that_the_store_has_lost_is_brought_along() {
    let (redis, smh) = (Redis::start().await, Smh::start().await);
    let yaml = yaml(&on(&redis), "  when_unavailable: refuse\n");
    let gateway = Gateway::with(&yaml, Some(POLICY), smh.address).await;
    becomes_connected(&gateway, true).await;
    assert_eq!(passes(&gateway, 1).await, 1);
    for _ in 0..3 {
        assert_eq!(redis.cli(&["SCRIPT", "FLUSH"]), "OK");
        assert_eq!(passes(&gateway, 2).await, 2);
    }
    let failures = "smh_gateway_rate_limit_store_failures_total{reason=\"no_script\"}";
    assert_eq!(metric(&gateway, failures).await, 0.0);
}

#[tokio::test]
async fn a_store_that_is_killed_and_comes_back_empty_is_told_what_was_used() {
    let (mut redis, smh) = (Redis::start().await, Smh::start().await);
    let yaml = yaml(&on(&redis), "  replicas: 3\n");
    let gateway = Gateway::with(&yaml, Some(POLICY), smh.address).await;
    becomes_connected(&gateway, true).await;
    assert_eq!(passes(&gateway, 15).await, 15);
    redis.kill();
    becomes_connected(&gateway, false).await;
    // Half is used of all, so half of its own third is.
    assert_eq!(passes(&gateway, 9).await, 5);
    redis.up().await;
    becomes_connected(&gateway, true).await;
    assert_eq!(
        passes(&gateway, 15).await,
        10,
        "it is told what it knew, and what was used without it"
    );
    assert!(metric(&gateway, "smh_gateway_rate_limit_store_fallbacks_total").await >= 9.0);
}

/// What several gateways remember is put together by the store that forgot it.
#[tokio::test]
async fn an_empty_store_takes_the_most_that_any_gateway_remembers() {
    let (redis, smh) = (Redis::start().await, Smh::start().await);
    let yaml = yaml(&on(&redis), "  replicas: 2\n");
    let one = Gateway::with(&yaml, Some(POLICY), smh.address).await;
    let two = Gateway::with(&yaml, Some(POLICY), smh.address).await;
    for gateway in [&one, &two] {
        becomes_connected(gateway, true).await;
    }
    assert_eq!(passes(&two, 10).await, 10);
    assert_eq!(passes(&one, 10).await, 10);
    assert_eq!(redis.cli(&["FLUSHALL"]), "OK");
    assert_eq!(passes(&one, 1).await, 1);
    assert_eq!(passes(&two, 30).await, 9);
}

#[tokio::test]
async fn a_store_that_was_stopped_for_a_while_is_used_again_and_nothing_hangs() {
    let (redis, smh) = (Redis::start().await, Smh::start().await);
    let store = format!("{{ url: \"redis://127.0.0.1:{}\" }}", redis.port);
    let policy = POLICY.replace("30/day", "100000/day");
    let gateway = Gateway::with(&yaml(&store, ""), Some(&policy), smh.address).await;
    becomes_connected(&gateway, true).await;
    redis.pause(true);
    let mut kept = Kept::open(gateway.address()).await;
    for _ in 0..100 {
        assert_eq!(kept.delete("/v1/files/t1/f").await.status(), 404);
    }
    becomes_connected(&gateway, false).await;
    redis.pause(false);
    becomes_connected(&gateway, true).await;
    assert_eq!(passes(&gateway, 10).await, 10);
}
