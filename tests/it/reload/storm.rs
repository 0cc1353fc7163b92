//! Deletes that never notice.

use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::{fs, io};

use smh_gateway::run::Running;
use tokio::task::JoinSet;

use super::*;
use crate::support::{Folder, GATEWAY_YAML, Kept, Lines, Smh, load};

const RELOADS: usize = 100;
const DELETES: usize = 10_000;

/// Under `a`, tenant t1 is `spacexxx` and the rule `a` denies `x/**`. Under `b`, it is `space2`,
/// and the rule `b` denies `y/**`. So what the one denies, the other sends to its own space.
fn version(folder: &Folder, name: &str, space: &str, denied: &str) {
    fs::create_dir(folder.path(name)).unwrap();
    let yaml = fs::read_to_string(folder.path("gateway.yaml")).unwrap();
    let yaml = yaml.replace("space: spacexxx", &format!("space: {space}"));
    folder.write(&format!("{name}/gateway.yaml"), &yaml);
    let policy = format!("rules: [{{ name: {name}, deny: {{ paths: [\"{denied}/**\"] }} }}]\n");
    folder.write(&format!("{name}/policy.yaml"), &policy);
    // The secrets stand beside the files that name them.
    for secret in ["token", "app.key", "other.key"] {
        fs::copy(folder.path(secret), folder.path(&format!("{name}/{secret}"))).unwrap();
    }
}

fn swap(folder: &Folder, to: &str) -> io::Result<()> {
    symlink(to, folder.path("new"))?;
    fs::rename(folder.path("new"), folder.path("data"))
}

#[tokio::test]
async fn ten_thousand_deletes_during_a_hundred_reloads_fail_never_and_are_decided_by_one_version() {
    let smh = Smh::start().await;
    let folder = Folder::new(GATEWAY_YAML, Some("rules: []\n"), smh.address);
    version(&folder, "a", "spacexxx", "x");
    version(&folder, "b", "space2", "y");
    swap(&folder, "a").unwrap();
    let (snapshot, _) = load(&folder.path("data/gateway.yaml"));
    let log = Lines::default();
    let running = Running::start(snapshot, log.clone()).await.unwrap();
    let gateway = Gateway { running, folder, log };

    let (over, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let (over, done, address) = (Arc::clone(&over), Arc::clone(&done), gateway.address());
        callers.spawn(async move {
            let mut kept = Kept::open(address).await;
            let (mut denied, mut relayed) = (0, 0);
            while !over.load(Ordering::Relaxed) {
                let number = done.fetch_add(1, Ordering::Relaxed);
                let (path, by) = [("x", "a"), ("y", "b")][number % 2];
                let answer = kept.delete(&format!("/v1/files/t1/{path}/{number}")).await;
                match answer.status() {
                    404 => relayed += 1,
                    403 => {
                        assert_eq!(answer.json()["rule"], by, "{answer:?}");
                        denied += 1;
                    }
                    _ => panic!("{answer:?}"),
                }
            }
            (denied, relayed)
        });
    }
    for reload in 0..RELOADS {
        swap(&gateway.folder, ["b", "a"][reload % 2]).unwrap();
        gateway.running.reloads().ask();
        let applied = (reload + 1) as f64;
        becomes("applied", async || metric(&gateway, APPLIED).await == applied).await;
    }
    becomes("enough deletes", async || done.load(Ordering::Relaxed) >= DELETES).await;
    over.store(true, Ordering::Relaxed);
    let (mut denied, mut relayed) = (0, 0);
    for (of_one, and) in callers.join_all().await {
        denied += of_one;
        relayed += and;
    }
    let targets = smh.targets();
    assert_eq!((targets.len(), metric(&gateway, REJECTED).await), (relayed, 0.0));
    for target in targets {
        // What `b` lets through goes to the space of `b`, and of `a` likewise.
        let wanted = target.contains("/space2/x/") || target.contains("/spacexxx/y/");
        assert!(wanted, "decided by a mixture: {target}");
    }
    assert!(denied > RELOADS && relayed > RELOADS, "{denied} and {relayed}: both were seen");
}
