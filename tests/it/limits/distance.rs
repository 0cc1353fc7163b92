//! A store that is far away: its answers are in time, and take most of the time they may.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::*;
use crate::support::ports;

/// There and back.
const AWAY: Duration = Duration::from_millis(600);

/// Passes bytes on, each half of the way later, and as many at once as there are.
async fn far(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let (sender, mut under_way) = mpsc::unbounded_channel::<(tokio::time::Instant, Vec<u8>)>();
    let read = async move {
        let mut bytes = vec![0; 65_536];
        while let Ok(read @ 1..) = from.read(&mut bytes).await {
            let arrives = tokio::time::Instant::now() + AWAY / 2;
            let _ = sender.send((arrives, bytes[..read].to_vec()));
        }
    };
    let written = async move {
        while let Some((arrives, bytes)) = under_way.recv().await {
            tokio::time::sleep_until(arrives).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(read, written);
}

async fn proxy(redis: &Redis) -> (std::net::SocketAddr, JoinSet<()>) {
    let (listener, to) = (ports::listen(), redis.address());
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut ways = JoinSet::new();
        while let Ok((near, _)) = listener.accept().await {
            let (from, back) = near.into_split();
            let (answers, asked) = TcpStream::connect(to).await.unwrap().into_split();
            ways.spawn(far(from, asked));
            ways.spawn(far(answers, back));
        }
    });
    (address, tasks)
}

/// None of them waits for the answer of another one: that alone would take more time than there is.
#[tokio::test]
async fn deletes_do_not_wait_for_each_others_answers() {
    let (redis, smh) = (Redis::start().await, Smh::start().await);
    let (address, _proxy) = proxy(&redis).await;
    let store = format!("{{ url: \"redis://{address}\", response_timeout: 1s }}");
    let policy = "rate_limits:\n  - { name: daily, per: [caller], tenants: [t1], limit: 60/day }\n";
    let more = "  when_unavailable: refuse\n";
    let gateway = Gateway::with(&yaml(&store, more), Some(policy), smh.address).await;
    becomes_connected(&gateway, true).await;
    let mut deletes = JoinSet::new();
    for number in 0..80_u64 {
        let address = gateway.address();
        deletes.spawn(async move {
            tokio::time::sleep(Duration::from_millis(7 * number)).await;
            Kept::open(address).await.delete("/v1/files/t1/f").await.status()
        });
    }
    let statuses = deletes.join_all().await;
    let count = |wanted| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!((count(404), count(429)), (60, 20), "{statuses:?}");
    assert_eq!(smh.received().len(), 60);
}
