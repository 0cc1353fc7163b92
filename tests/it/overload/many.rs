//! Many deletes at once, while SMH takes its time.

use std::net::SocketAddr;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::json;

use super::*;
use crate::support::binary::Binary;
use crate::support::{Folder, GATEWAY_YAML, request};
use crate::upstream::Answering;

const MANY: usize = 5_000;

/// SMH's answer to each delete names the file that it was.
fn own_answer(head: &str) -> String {
    let path = head.split_once('?').unwrap().0;
    let file = path.rsplit_once("/f").unwrap().1;
    let body = format!("{{\"recycledItemId\":{file}}}");
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Two files for each here, the caller's and SMH's, and two in the gateway, which asks for them itself.
fn provide_files() {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    }
    assert!(hard >= 12_000, "needs a hard limit of 12,000 open files or more, not {hard}");
}

/// A hundred at a time: this listener's queue in the kernel is short, and so is SMH's here.
async fn asked_one_after_the_other(
    gateway: SocketAddr,
    slow: &Answering,
) -> JoinSet<(usize, Answer)> {
    let mut asked = JoinSet::new();
    for from in (0..MANY).step_by(100) {
        for n in from..from + 100 {
            let mut caller = Kept::open(gateway).await;
            asked.spawn(async move {
                let target = format!("/v1/files/t1/f{n}");
                caller.write(request(&target, &[]).as_bytes()).await;
                (n, caller.whole_answer().await)
            });
        }
        becomes("they have reached SMH", async || slow.times_asked() == from + 100).await;
    }
    asked
}

#[tokio::test]
async fn five_thousand_deletes_wait_for_smh_on_one_worker_and_none_is_lost_or_mixed_up() {
    provide_files();
    let slow = Answering::start(own_answer).await;
    slow.leave.forget_permits(tokio::sync::Semaphore::MAX_PERMITS);
    let yaml = GATEWAY_YAML
        .replace("workers: 2", "workers: 1")
        .replace("  timeout: 3s", &format!("  timeout: 5m\n  max_in_flight: {MANY}"));
    let mut gateway = Binary::serve(&Folder::new(&yaml, None, slow.address)).await;

    let asked = asked_one_after_the_other(gateway.data[0], &slow).await;
    // There is room for so many, and for none more; whoever has no place is told at once.
    let mut surplus = Kept::open(gateway.data[0]).await;
    let answer = tokio::time::timeout(AT_ONCE, surplus.delete("/v1/files/t1/f9999")).await;
    assert_eq!(answer.expect("at once").code(), "Overloaded");

    slow.leave.add_permits(MANY);
    let mut seen = vec![0; MANY];
    for (n, answer) in asked.join_all().await {
        assert_eq!((answer.status(), answer.json()), (200, json!({ "recycledItemId": n })));
        seen[n] += 1;
    }
    assert_eq!(seen, vec![1; MANY], "each has one answer");
    let mut targets: Vec<_> = slow.asked().iter().map(|head| own_answer(head)).collect();
    targets.sort_unstable();
    targets.dedup();
    assert_eq!((targets.len(), slow.times_asked()), (MANY, MANY), "SMH got each once");
    // Some of the connections to SMH are there for the next ones.
    assert_eq!(surplus.delete("/v1/files/t1/f5000").await.status(), 200);
    assert!(gateway.is_running());
}
