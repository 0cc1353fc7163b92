//! Deletes: so many in all, and so many for each library.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::*;
use crate::support::{GATEWAY_YAML, LIBRARY, SPACE, Smh};
use crate::upstream::{Answering, RECYCLED};

/// Two libraries: `smhxxx` of the tenant `t1`, and `smhslow` of the tenant `slow`, which is at `slow`.
fn two(slow: SocketAddr, in_all: &str, of_slow: &str) -> String {
    let library =
        format!("  smhslow:\n    token: {{ file: token }}\n    url: http://{slow}\n{of_slow}");
    GATEWAY_YAML
        .replace("  timeout: 3s", &format!("  timeout: 20s\n{in_all}"))
        .replace(
            "tenants:\n",
            &format!("{library}tenants:\n  slow: {{ library: smhslow, space: a }}\n"),
        )
        .replace("tenants: [t1, t2]", "tenants: [t1, t2, slow]")
}

/// A library that takes every delete and answers none until it has leave to.
async fn hanging() -> Answering {
    let slow = Answering::start(|_| RECYCLED.into()).await;
    slow.leave.forget_permits(Semaphore::MAX_PERMITS);
    slow
}

/// Deletes that are under way.
struct Held(JoinSet<Answer>);

impl Held {
    /// So many more of them, each on a connection of its own, which must all reach the library.
    async fn more(&mut self, gateway: &Gateway, slow: &Answering, count: usize) {
        let before = slow.times_asked();
        for n in 0..count {
            let mut caller = Kept::open(gateway.address()).await;
            self.0.spawn(async move { caller.delete(&format!("/v1/files/slow/held{n}")).await });
        }
        becomes("they hang", async || slow.times_asked() == before + count).await;
    }

    /// All of them are carried out once the library answers again.
    async fn end(self, slow: &Answering) {
        slow.leave.add_permits(1000);
        for answer in self.0.join_all().await {
            assert_eq!(answer.status(), 200);
        }
    }
}

async fn held(gateway: &Gateway, slow: &Answering, count: usize) -> Held {
    let mut held = Held(JoinSet::new());
    held.more(gateway, slow, count).await;
    held
}

/// A delete is refused for want of room, at once, and nobody gets it.
async fn assert_overloaded(gateway: &Gateway, slow: &Answering, target: &str) {
    let before = slow.times_asked();
    let mut caller = Kept::open(gateway.address()).await;
    let answer = tokio::time::timeout(AT_ONCE, caller.delete(target)).await.expect("at once");
    assert_eq!((answer.status(), answer.code().as_str()), (503, "Overloaded"), "{target}");
    assert_eq!((answer.outcome().as_str(), answer.field("retry-after")), ("not_sent", Some("1")));
    assert_eq!(slow.times_asked(), before);
}

/// What `/api/status` and the metrics say of both libraries, which must be the same.
async fn shares(gateway: &Gateway) -> Value {
    let mut status = gateway.admin("/api/status").await.json();
    let text = String::from_utf8(gateway.admin("/metrics").await.body).unwrap();
    for share in status["libraries"].as_array().unwrap() {
        let library = share["library"].as_str().unwrap();
        let sample = format!(
            "smh_gateway_library_in_flight{{library=\"{library}\"}} {}\n",
            share["in_flight"]
        );
        assert!(text.contains(&sample), "{sample} is not in {text}");
    }
    let mut libraries = status["libraries"].take();
    for library in libraries.as_array_mut().unwrap() {
        // What is configured of it has tests of its own.
        for field in ["url", "recycle_bin", "token"] {
            library.as_object_mut().unwrap().remove(field);
        }
    }
    libraries
}

fn share(library: &str, in_flight: usize, most: usize) -> Value {
    json!({
        "library": library, "in_flight": in_flight, "max_in_flight": most,
        "eased_to_per_second": null,
    })
}

#[tokio::test]
async fn a_library_that_hangs_holds_up_no_other_one() {
    for (of_slow, most) in [("", 3), ("    max_in_flight: 5\n", 5)] {
        let (slow, smh) = (hanging().await, Smh::start().await);
        // Half of 7, unless the file says otherwise.
        let yaml = two(slow.address, "  max_in_flight: 7", of_slow);
        let gateway = Gateway::with(&yaml, None, smh.address).await;
        let held = held(&gateway, &slow, most).await;
        for n in 0..20 {
            assert_overloaded(&gateway, &slow, &format!("/v1/files/slow/surplus{n}")).await;
        }
        assert_eq!(
            shares(&gateway).await,
            json!([share("smhslow", most, most), share(LIBRARY, 0, 3)])
        );
        let mut caller = Kept::open(gateway.address()).await;
        for n in 0..50 {
            smh.simulator.put_file(LIBRARY, SPACE, &format!("f{n}"));
            assert_eq!(caller.delete(&format!("/v1/files/t1/f{n}")).await.status(), 200);
        }
        // And as many at once as there are places left, in all or for this one.
        let mut callers = JoinSet::new();
        for n in 0..2 {
            smh.simulator.put_file(LIBRARY, SPACE, &format!("g{n}"));
            let mut caller = Kept::open(gateway.address()).await;
            callers
                .spawn(async move { caller.delete(&format!("/v1/files/t1/g{n}")).await.status() });
        }
        assert_eq!(callers.join_all().await, [200, 200]);
        assert_eq!(smh.files(), [""; 0]);
        held.end(&slow).await;
        assert_eq!(
            shares(&gateway).await,
            json!([share("smhslow", 0, most), share(LIBRARY, 0, 3)])
        );
        assert!(slow.asked().iter().all(|head| !head.contains("surplus")), "{:?}", slow.asked());
        assert_eq!(
            Kept::open(gateway.address()).await.delete("/v1/files/slow/x").await.status(),
            200
        );
    }
}

#[tokio::test]
async fn all_libraries_together_stay_below_the_bound_in_all() {
    let slow = hanging().await;
    let yaml = two(slow.address, "  max_in_flight: 4", "    max_in_flight: 4\n");
    // The other library hangs, too: both are the same server.
    let gateway = Gateway::with(&yaml, None, slow.address).await;
    let mut held = held(&gateway, &slow, 3).await;
    let mut other = Kept::open(gateway.address()).await;
    held.0.spawn(async move { other.delete("/v1/files/t1/held").await });
    becomes("it hangs", async || slow.times_asked() == 4).await;
    for target in ["/v1/files/slow/a", "/v1/files/t1/a"] {
        assert_overloaded(&gateway, &slow, target).await;
    }
    // Who is refused one place holds none of the other.
    assert_eq!(shares(&gateway).await, json!([share("smhslow", 3, 4), share(LIBRARY, 1, 2)]));
    assert_eq!(gateway.running.gateway().in_flight().count(), 4);
    held.end(&slow).await;
    assert_eq!(gateway.running.gateway().in_flight().count(), 0);
}

#[tokio::test]
async fn the_only_library_has_all_there_is() {
    let slow = hanging().await;
    let yaml = GATEWAY_YAML.replace("  timeout: 3s", "  timeout: 20s\n  max_in_flight: 3");
    let gateway =
        Gateway::with(&yaml.replace("t1:", "slow:").replace("[t1", "[slow"), None, slow.address)
            .await;
    let held = held(&gateway, &slow, 3).await;
    assert_overloaded(&gateway, &slow, "/v1/files/slow/a").await;
    assert_eq!(shares(&gateway).await, json!([share(LIBRARY, 3, 3)]));
    held.end(&slow).await;
}

#[tokio::test]
async fn what_is_under_way_counts_across_a_reload_and_another_bound_applies_at_once() {
    let (slow, smh) = (hanging().await, Smh::start().await);
    let yaml = two(slow.address, "  max_in_flight: 10", "    max_in_flight: 2\n");
    let gateway = Gateway::with(&yaml, None, smh.address).await;
    let mut held = held(&gateway, &slow, 2).await;
    let edit = async |from: &str, to: &str| {
        gateway.edit("gateway.yaml", from, to);
        assert_eq!(gateway.apply().await.needs_restart, [""; 0]);
    };

    edit("workers: 2\n", "workers: 2 # the same\n").await;
    assert_overloaded(&gateway, &slow, "/v1/files/slow/a").await;
    edit("    max_in_flight: 2", "    max_in_flight: 3").await;
    held.more(&gateway, &slow, 1).await;
    assert_overloaded(&gateway, &slow, "/v1/files/slow/a").await;
    edit("    max_in_flight: 3", "    max_in_flight: 1").await;
    assert_overloaded(&gateway, &slow, "/v1/files/slow/a").await;
    assert_eq!(shares(&gateway).await, json!([share("smhslow", 3, 1), share(LIBRARY, 0, 5)]));

    // Gone, and there again: it is still the same library, with the same deletes under way.
    let there = std::fs::read_to_string(gateway.folder.path("gateway.yaml")).unwrap();
    let library = there.split_once("  smhslow:").unwrap().1.split_once("tenants:").unwrap().0;
    let library = format!("  smhslow:{library}");
    let gone = there.replace(&library, "").replace("  slow: { library: smhslow, space: a }\n", "");
    gateway.folder.write("gateway.yaml", &gone.replace(", slow]", "]"));
    gateway.apply().await;
    let status = gateway.admin("/api/status").await.json()["libraries"].clone();
    assert_eq!((&status[0]["library"], &status[0]["in_flight"]), (&json!("smhslow"), &json!(3)));
    assert_eq!(status[0]["max_in_flight"], json!(null));
    gateway.folder.write("gateway.yaml", &there);
    gateway.apply().await;
    assert_overloaded(&gateway, &slow, "/v1/files/slow/a").await;
    assert_eq!(gateway.running.gateway().in_flight().count(), 3);

    held.end(&slow).await;
    assert_eq!(shares(&gateway).await, json!([share("smhslow", 0, 1), share(LIBRARY, 0, 5)]));
    assert_eq!(Kept::open(gateway.address()).await.delete("/v1/files/slow/a").await.status(), 200);
}
