//! What keeps the status page up to date: server-sent events.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use smh_gateway::run::Ended;
use smh_gateway::simulator::{Fault, Injection, RecycleBin};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::support::{Gateway, LIBRARY, Smh};

/// A stream of events, in chunks as HTTP/1.1 has them.
pub(super) struct Watched {
    stream: TcpStream,
    pub(super) head: String,
    read: Vec<u8>,
    text: String,
}

#[derive(Debug)]
pub(super) struct Event {
    pub(super) name: String,
    pub(super) id: u64,
    pub(super) data: String,
    pub(super) parts: Value,
}

impl Watched {
    pub(super) async fn open(admin: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(admin).await.unwrap();
        let request =
            b"GET /api/events HTTP/1.1\r\nHost: admin\r\nAccept: text/event-stream\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut this = Self { stream, head: String::new(), read: Vec::new(), text: String::new() };
        this.head = this.until(b"\r\n\r\n").await;
        this
    }

    fn status(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    /// The next event; `None` where the stream ends in good order.
    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let rest = self.text.split_off(end + 2);
                return Some(Event::of(&std::mem::replace(&mut self.text, rest)));
            }
            let size = self.until(b"\r\n").await;
            let size = usize::from_str_radix(size.trim(), 16).unwrap();
            while self.read.len() < size + 2 {
                self.more().await;
            }
            let rest = self.read.split_off(size + 2);
            let chunk = std::mem::replace(&mut self.read, rest);
            self.text.push_str(std::str::from_utf8(&chunk[..size]).unwrap());
            if size == 0 {
                assert_eq!(self.text, "");
                return None;
            }
        }
    }

    /// Watches until what is known makes this true.
    async fn becomes(&mut self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let mut known = json!({});
        let until = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            let event = self.next().await.unwrap();
            for (name, part) in event.parts.as_object().unwrap() {
                known[name] = part.clone();
            }
            if is_so(&known) {
                return known;
            }
            assert!(tokio::time::Instant::now() < until, "never: {what}: {known}");
        }
    }

    async fn until(&mut self, mark: &[u8]) -> String {
        loop {
            if let Some(at) = self.read.windows(mark.len()).position(|here| here == mark) {
                let rest = self.read.split_off(at + mark.len());
                return String::from_utf8(std::mem::replace(&mut self.read, rest)).unwrap();
            }
            self.more().await;
        }
    }

    async fn more(&mut self) {
        let read = self.stream.read_buf(&mut self.read);
        let read = tokio::time::timeout(Duration::from_secs(20), read).await;
        assert_ne!(read.expect("in time").unwrap(), 0, "cut off");
    }
}

impl Event {
    fn of(text: &str) -> Self {
        let lines = text.trim_end().lines().map(|line| line.split_once(": ").unwrap());
        let fields: HashMap<_, _> = lines.collect();
        assert_eq!(fields.len(), 4, "{text}");
        Self {
            name: fields["event"].to_owned(),
            id: fields["id"].parse().unwrap(),
            data: fields["data"].to_owned(),
            parts: serde_json::from_str(fields["data"]).unwrap(),
        }
    }
}

#[tokio::test]
async fn the_stream_gives_the_whole_and_then_what_changed() {
    let smh = Smh::start().await.with_file("a");
    let gateway = Gateway::start(smh.address).await;
    let mut watched = Watched::open(gateway.running.admin().unwrap()).await;
    assert_eq!(watched.status(), "200");
    let head = watched.head.to_ascii_lowercase();
    for field in [
        "content-type: text/event-stream",
        "cache-control: no-store",
        "x-content-type-options: nosniff",
        "cross-origin-resource-policy: same-origin",
    ] {
        assert!(head.contains(&format!("\r\n{field}\r\n")), "{head}");
    }
    let first = watched.next().await.unwrap();
    assert_eq!(first.name, "whole");
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let mut wanted = names(&gateway.admin("/api/status").await.json());
    wanted.extend(["limits".to_owned(), "tokens_in_all".to_owned()]);
    wanted.sort_unstable();
    assert_eq!(names(&first.parts), wanted);
    assert_eq!(first.parts["deletes"]["ended"]["deleted"], 0);

    assert_eq!(gateway.delete("/v1/files/t1/a").await.status(), 200);
    let mut id = first.id;
    let changed = loop {
        let event = watched.next().await.unwrap();
        assert_eq!((event.name.as_str(), event.id > id), ("change", true));
        assert!(event.parts.get("version").is_none(), "it is as before");
        id = event.id;
        if let Some(deletes) = event.parts.get("deletes") {
            break deletes.clone();
        }
    };
    assert_eq!(changed["ended"]["deleted"], 1);
    let answered = changed["answered"].as_array().unwrap();
    assert_eq!(answered.iter().filter_map(Value::as_u64).sum::<u64>(), 1);
}

#[tokio::test]
async fn what_one_sees_was_computed_for_all() {
    let smh = Smh::start().await;
    let gateway = Gateway::start(smh.address).await;
    let admin = gateway.running.admin().unwrap();
    let (mut one, mut other) = (Watched::open(admin).await, Watched::open(admin).await);
    let (mut seen, mut shared) = (HashMap::new(), 0);
    for _ in 0..4 {
        for watched in [&mut one, &mut other] {
            let event = watched.next().await.unwrap();
            if let Some(before) = seen.insert((event.name.clone(), event.id), event.data.clone()) {
                assert_eq!(before, event.data);
                shared += 1;
            }
        }
    }
    assert!(shared >= 2, "{seen:?}");
}

#[tokio::test]
async fn the_latest_refusals_are_shown_with_rule_and_reason_and_hostile_names_as_they_are() {
    let smh = Smh::start().await;
    let policy = "rules: [{ name: legal hold, ticket: OPS-1, deny: { paths: [\"**/legal/**\"] } }]\n\
                  rate_limits: [{ name: few, limit: 2/h, burst: 2 }]\n";
    let gateway = Gateway::with_policy(policy, smh.address).await;
    let hostile = "<script>alert(1)</script>/legal/\"><img src=x onerror=alert(1)>\u{202E}gpj.exe";
    let encoded: String = hostile.bytes().map(|byte| format!("%{byte:02X}")).collect();
    assert_eq!(gateway.delete(&format!("/v1/files/t1/{encoded}")).await.code(), "DeniedByRule");
    assert_eq!(gateway.delete("/v1/files/%3Cb%3E/a").await.code(), "TenantNotGranted");
    smh.simulator.inject(Injection::once(Fault::CutAfterActing));
    assert_eq!(gateway.delete("/v1/files/t1/c").await.outcome(), "unknown");
    assert_eq!(gateway.delete("/v1/files/t1/c").await.status(), 404);
    assert_eq!(gateway.delete("/v1/files/t1/c").await.code(), "RateLimited");
    let dry = crate::support::request("/v1/files/t1/c?permanent=1", &["X-Dry-Run: 1"]);
    assert_eq!(gateway.send(&dry).await.status(), 202);

    let mut watched = Watched::open(gateway.running.admin().unwrap()).await;
    let parts = watched.next().await.unwrap().parts;
    let refusals = parts["latest_refusals"].as_array().unwrap();
    assert_eq!(refusals.len(), 4, "{parts}");
    let of = |code: &str| refusals.iter().find(|one| one["code"] == code).unwrap();
    let denied = of("DeniedByRule");
    assert_eq!((&denied["path"], &denied["caller"]), (&json!(hostile), &json!("app")));
    assert_eq!((&denied["rule"], &denied["ticket"]), (&json!("legal hold"), &json!("OPS-1")));
    assert_eq!(denied["reason"], "the rule \"legal hold\" denies it");
    assert_eq!((&denied["status"], &denied["outcome"]), (&json!(403), &json!("not_sent")));
    assert_eq!(of("TenantNotGranted")["tenant"], "%3Cb%3E", "as it came");
    assert_eq!(of("RateLimited")["limit"], "few");
    let unknown = of("UpstreamProtocolError");
    assert_eq!(unknown["outcome"], "unknown");
    assert!(unknown["cause"].is_string(), "{unknown}");
    let ended = json!({
        "deleted": 0, "absent": 1, "other_answer": 0, "refused": 3, "failed": 0, "unknown": 1,
    });
    assert_eq!(parts["deletes"]["ended"], ended);
    assert_eq!(parts["limits"]["limits"][0]["used_by"][0]["used"], 2);
}

#[tokio::test]
async fn files_that_were_lost_and_what_is_frozen_is_told() {
    let smh = Smh::start().await.with_file("a");
    let policy = "irreversible_deletes: halt\nfreeze: [{ tenant: t2, reason: audit }]\n";
    let gateway = Gateway::with_policy(policy, smh.address).await;
    smh.simulator.set_recycle_bin(LIBRARY, RecycleBin::Off);
    let mut watched = Watched::open(gateway.running.admin().unwrap()).await;
    let before = watched.next().await.unwrap().parts;
    let by_policy = json!({
        "what": "tenant", "name": "t2", "by": "policy", "reason": "audit", "line": 2,
    });
    assert_eq!((&before["latest_alarms"], &before["frozen"]), (&json!([]), &json!([by_policy])));
    assert_eq!(gateway.delete("/v1/files/t1/a").await.status(), 204);
    let is_told = |known: &Value| known["deletes"]["irreversible"] == 1;
    let known = watched.becomes("a file was lost", is_told).await;
    let [lost] = known["latest_alarms"].as_array().unwrap().as_slice() else { panic!("{known}") };
    assert_eq!((&lost["what"], &lost["path"]), (&json!("irreversible"), &json!("a")));
    let frozen = known["frozen"].as_array().unwrap();
    assert_eq!(frozen.len(), 2);
    let halt = (&frozen[0]["name"], &frozen[0]["by"]);
    assert_eq!(halt, (&json!("t1"), &json!("irreversible_deletes")));
}

#[tokio::test]
async fn so_many_may_look_and_probes_are_answered_all_the_same() {
    let smh = Smh::start().await;
    let gateway = Gateway::start(smh.address).await;
    let admin = gateway.running.admin().unwrap();
    let mut watching = Vec::new();
    for _ in 0..16 {
        let watched = Watched::open(admin).await;
        assert_eq!(watched.status(), "200");
        watching.push(watched);
    }
    let answer = gateway.admin("/api/events").await;
    assert_eq!((answer.status(), answer.field("retry-after")), (503, Some("10")));
    assert_eq!(gateway.admin("/readyz").await.status(), 200);
    watching.pop();
    crate::support::becomes("a place is free again", async || {
        Watched::open(admin).await.status() == "200"
    })
    .await;
}

#[tokio::test]
async fn a_stream_does_not_hold_up_the_end_and_ends_in_good_order() {
    let smh = Smh::start().await;
    let gateway = Gateway::start(smh.address).await;
    let mut watched = Watched::open(gateway.running.admin().unwrap()).await;
    watched.next().await.unwrap();
    assert_eq!(gateway.running.stop_in_time().await, Ended::Finished);
    while watched.next().await.is_some() {}
}

#[tokio::test]
async fn a_stream_ends_in_good_order_before_its_connection_is_cut() {
    let smh = Smh::start().await;
    let gateway = Gateway::start(smh.address).await;
    let mut watched = Watched::open(gateway.running.admin().unwrap()).await;
    watched.next().await.unwrap();
    tokio::time::pause();
    let (began, mut events) = (tokio::time::Instant::now(), 1);
    while watched.next().await.is_some() {
        events += 1;
    }
    let lasted = began.elapsed();
    assert!(lasted < Duration::from_secs(600), "{lasted:?}");
    assert!(events > 500, "{events} in {lasted:?}");
}
