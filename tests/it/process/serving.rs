//! Serving: listeners, workers, and what is written meanwhile.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use smh_gateway::simulator::{Fault, Injection};

use super::*;
use crate::support::binary::{Binary, Output};
use crate::support::{Folder, GATEWAY_YAML, KEY, Smh, request, send};

#[tokio::test]
async fn a_delete_is_served_and_leaves_one_line() {
    let smh = Smh::start().await.with_file("2025/a b.jpg");
    let folder = Folder::new(GATEWAY_YAML, None, smh.address);
    let gateway = Binary::serve(&folder).await;
    let fields = ["X-Request-Id: mine", "Connection: close"];
    let bytes = request("/v1/files/t1/2025/a%20b.jpg?user_id=u1", &fields);
    let answer = send(gateway.data[0], bytes.as_bytes()).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(smh.files(), [""; 0]);
    let peer_of_smh = answer.field("x-request-id").unwrap().to_owned();

    let ran = gateway.stop().await;
    assert_eq!(ran.code, Some(0));
    assert_eq!(ran.out.matches('\n').count(), 1, "{}", ran.out);
    let mut line = ran.deletes().remove(0);
    let mut take = |name: &str| line.as_object_mut().unwrap().remove(name).unwrap();
    let time = take("time").as_str().unwrap().to_owned();
    assert!(time.len() == 27 && time.ends_with('Z'), "{time}");
    assert!(take("peer").as_str().unwrap().starts_with("127.0.0.1:"));
    assert!(take("duration_us").as_u64().unwrap() > 0);
    assert_eq!(take("policy").as_str().unwrap().len(), 64);
    let rest = json!({
        "event": "delete", "request_id": "mine", "caller": "app", "proof": "api_key",
        "tenant": "t1", "library": "smhxxx", "space": "spacexxx", "path": "2025/a b.jpg",
        "permanent": false, "user_id": "u1", "decision": "allow",
        "status": 200, "outcome": "relayed", "smh_status": 200, "smh_request_id": peer_of_smh,
        "recycled_item_id": 1, "reversible": true,
    });
    assert_eq!(line, rest);
}

#[tokio::test]
async fn every_delete_leaves_one_line_with_the_fields_that_are_documented() {
    let smh = Smh::start().await.with_file("a");
    let policy = "rules:\n  - { name: hold, deny: { paths: [\"legal/**\"] } }\n\
                  rate_limits:\n  - { name: few, limit: 3/h, burst: 3 }\n";
    let folder = Folder::new(GATEWAY_YAML, Some(policy), smh.address);
    let gateway = Binary::serve(&folder).await;
    let address = gateway.data[0];
    smh.simulator.inject(Injection::once(Fault::CutAfterActing));
    for (target, status) in [
        ("/v1/files/t1/a", 502),
        ("/v1/files/t1/a", 404),
        ("/v1/files/t1/b?permanent=1", 403),
        ("/v1/files/t1/legal/a", 403),
        ("/v1/files/t1/%zz", 400),
        ("/v1/files/t9/a", 403),
        ("/v1/files/t1/c", 404),
        ("/v1/files/t1/d", 429),
    ] {
        assert_eq!(delete(address, target).await.status(), status, "{target}");
    }
    let anonymous = b"DELETE /v1/files/t1/a HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n";
    assert_eq!(send(address, anonymous).await.status(), 401);
    let dry = request("/v1/files/t1/legal/a", &["X-Dry-Run: 1", "Connection: close"]);
    assert_eq!(send(address, dry.as_bytes()).await.status(), 202);
    let no_http = b"DELETE /v1/files/t1/a HTTP/1.1\r\nHost: g\r\nA : b\r\n\r\n";
    assert_eq!(send(address, no_http).await.status(), 400);

    let mut lines = gateway.stop().await.deletes();
    // Each worker has a buffer of its own.
    lines.sort_by_key(|line| line["time"].to_string());
    let ids: BTreeSet<_> = lines.iter().map(|line| line["request_id"].to_string()).collect();
    assert_eq!(ids.len(), lines.len());
    let always = ["time", "event", "request_id", "peer", "outcome", "status", "duration_us"];
    for line in &lines {
        assert!(always.iter().all(|field| !line[*field].is_null()), "{line}");
    }
    // What is fixed of each line, with the names of its other fields.
    let gist = |line: &Value| {
        let word = |field: &str| line[field].as_str().unwrap_or("-").to_owned();
        let mut others: Vec<_> = line.as_object().unwrap().keys().cloned().collect();
        others.retain(|name| !always.contains(&&**name) && name != "code");
        let status = line["status"].as_u64().unwrap();
        format!("{status} {} {} [{}]", word("code"), word("outcome"), others.join(" "))
    };
    let gists: Vec<_> = lines.iter().map(gist).collect();
    let mut gists = gists.join("\n");
    gists.push('\n');
    insta::assert_snapshot!(gists, @"
    502 UpstreamProtocolError unknown [caller cause decision library path permanent policy proof space tenant]
    404 - relayed [caller decision library path permanent policy proof smh_code smh_request_id smh_status space tenant]
    403 PermanentDeleteBlocked refused [caller decision path permanent policy proof tenant]
    403 DeniedByRule refused [caller decision path permanent policy proof rule tenant]
    400 InvalidPath refused [decision]
    403 TenantNotGranted refused [caller decision path permanent policy proof tenant]
    404 - relayed [caller decision library path permanent policy proof smh_code smh_request_id smh_status space tenant]
    429 RateLimited refused [caller decision library limit path permanent policy proof space tenant]
    401 Unauthenticated refused [decision path permanent reason tenant]
    202 DeniedByRule not_sent [caller decision dry_run path permanent policy proof rule tenant]
    400 InvalidRequest refused [decision]
    ");
}

#[tokio::test]
async fn every_listener_serves() {
    let smh = Smh::start().await;
    let yaml = GATEWAY_YAML.replacen(
        "  - address: 127.0.0.1:0\n",
        "  - address: 127.0.0.1:0\n  - address: 127.0.0.1:0\n  - address: 127.0.0.2:0\n",
        1,
    );
    let gateway = Binary::serve(&Folder::new(&yaml, None, smh.address)).await;
    assert_eq!(gateway.data.len(), 3);
    assert_eq!(gateway.data[2].ip().to_string(), "127.0.0.2");
    for address in gateway.data.clone() {
        assert_eq!(delete(address, "/v1/files/t1/a").await.status(), 404, "{address}");
    }
    assert_eq!(gateway.stop().await.deletes().len(), 3);
}

#[tokio::test]
async fn connections_are_spread_over_the_workers() {
    const DELETES: usize = 40;
    let smh = Smh::start().await;
    let yaml = GATEWAY_YAML.replace("workers: 2", "workers: 4");
    let gateway = Binary::serve(&Folder::new(&yaml, None, smh.address)).await;
    let pid = gateway.id();
    // A thread takes its name itself, once it runs.
    becomes("four workers", async || threads(pid, "worker-") == 4).await;
    // One after the other: a single worker would need a single connection to SMH.
    for _ in 0..DELETES {
        assert_eq!(delete(gateway.data[0], "/v1/files/t1/a").await.status(), 404);
    }
    let used: BTreeSet<_> = smh.received().iter().map(|request| request.connection).collect();
    assert!((2..=4).contains(&used.len()), "{used:?}");
    assert_eq!(gateway.stop().await.deletes().len(), DELETES);
}

/// How many threads of a process have a name that begins so.
fn threads(pid: u32, name: &str) -> usize {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let names = threads.map(|t| std::fs::read_to_string(t.unwrap().path().join("comm")));
    names.filter(|found| found.as_ref().is_ok_and(|found| found.starts_with(name))).count()
}

#[tokio::test]
async fn output_that_nobody_reads_any_more_stops_no_delete() {
    let smh = Smh::start().await;
    let folder = Folder::new(GATEWAY_YAML, None, smh.address);
    let pipes: [fn(&mut Binary) -> &mut Output; 2] = [|b| &mut b.out, |b| &mut b.err];
    for pipe in pipes {
        let mut gateway = Binary::serve(&folder).await;
        pipe(&mut gateway).close();
        for round in 0..3 {
            // A delete is a line on standard output, this signal one on standard error.
            gateway.signal("HUP");
            assert_eq!(delete(gateway.data[0], "/v1/files/t1/a").await.status(), 404);
            if round == 0 {
                pipe(&mut gateway).whole().await;
            }
        }
        assert!(gateway.is_running());
        assert_eq!(gateway.stop().await.code, Some(0));
    }
    assert_eq!(smh.received().len(), 6);
}

#[tokio::test]
async fn without_an_admin_listener_there_is_none() {
    let smh = Smh::start().await;
    let yaml = GATEWAY_YAML.replace("admin:\n  address: 127.0.0.1:0", "admin: none");
    let mut gateway = Binary::serve(&Folder::new(&yaml, None, smh.address)).await;
    assert_eq!(gateway.admin, None);
    assert!(!gateway.says("serving").await.contains("operators"));
    assert_eq!(delete(gateway.data[0], "/v1/files/t1/a").await.status(), 404);
    let pid = gateway.id();
    // Two sockets of two workers, and no third.
    assert_eq!(listening(pid).len(), 2, "{:?}", listening(pid));
}

/// The inodes of the listening TCP sockets of a process.
fn listening(pid: u32) -> BTreeSet<String> {
    let sockets = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let links = sockets.filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok());
    let own: BTreeSet<_> = links.map(|link| link.display().to_string()).collect();
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap();
    let listen = table.lines().filter_map(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        (columns[3] == "0A").then(|| columns[9].to_owned())
    });
    listen.filter(|inode| own.contains(&format!("socket:[{inode}]"))).collect()
}

#[tokio::test]
async fn a_log_that_is_switched_off_leaves_standard_output_empty() {
    let smh = Smh::start().await;
    let yaml = format!("{GATEWAY_YAML}log: {{ deletes: off }}\n");
    let gateway = Binary::serve(&Folder::new(&yaml, None, smh.address)).await;
    assert_eq!(delete(gateway.data[0], "/v1/files/t1/a").await.status(), 404);
    assert_eq!(gateway.stop().await.out, "");
}

#[tokio::test]
async fn what_is_said_through_a_pipe_is_plain() {
    let smh = Smh::start().await;
    let folder = Folder::new(GATEWAY_YAML, None, smh.address);
    let ran = Binary::serve(&folder).await.stop().await;
    assert!(!ran.err.contains('\x1b'), "{:?}", ran.err);
    assert!(!ran.err.contains(KEY));
}
