//! The real binary: starting, draining, leaving.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use smh_gateway::simulator::{Fault, Injection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::binary::{Binary, Output, PATIENCE, Ran, command};
use crate::support::{
    Answer, Folder, GATEWAY_YAML, KEY, LIBRARY, SPACE, Smh, read_answer, request, send,
};

/// [`GATEWAY_YAML`] with another `shutdown`, and with time for a delete that is held up.
fn leaving(shutdown: &str) -> String {
    GATEWAY_YAML
        .replace("{ delay: 0s, drain: 2s }", shutdown)
        .replace("  timeout: 3s", "  timeout: 60s")
}

/// One delete as `app`, on a connection of its own.
async fn delete(address: SocketAddr, target: &str) -> Answer {
    send(address, request(target, &["Connection: close"]).as_bytes()).await
}

async fn get(address: SocketAddr, path: &str) -> Answer {
    let request = format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
    send(address, request.as_bytes()).await
}

/// Asks until the answer is this, which it must be soon.
async fn becomes(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < until, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
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
struct Holding {
    address: SocketAddr,
    held: watch::Receiver<bool>,
    go: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

impl Holding {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
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
    let rest = json!({
        "event": "delete", "request_id": "mine", "caller": "app", "tenant": "t1",
        "library": "smhxxx", "path": "2025/a b.jpg", "permanent": false, "user_id": "u1",
        "status": 200, "outcome": "relayed", "smh_status": 200, "smh_request_id": peer_of_smh,
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
    insta::assert_snapshot!(gists, @r#"
    502 UpstreamProtocolError unknown [caller cause library path permanent tenant]
    404 - relayed [caller library path permanent smh_code smh_request_id smh_status tenant]
    403 PermanentDeleteBlocked not_sent [caller path permanent tenant]
    403 DeniedByRule not_sent [caller path permanent rule tenant]
    400 InvalidPath not_sent []
    403 TenantNotGranted not_sent [caller path permanent tenant]
    404 - relayed [caller library path permanent smh_code smh_request_id smh_status tenant]
    429 RateLimited not_sent [caller library limit path permanent tenant]
    401 Unauthenticated not_sent [path permanent reason tenant]
    202 DeniedByRule not_sent [caller dry_run path permanent rule tenant]
    400 InvalidRequest not_sent []
    "#);
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
async fn a_hang_up_signal_changes_nothing_and_says_so() {
    let smh = Smh::start().await.with_file("a");
    let folder = Folder::new(&leaving("{ delay: 1h, drain: 1h }"), None, smh.address);
    let mut gateway = Binary::serve(&folder).await;
    gateway.signal("HUP");
    gateway.says("SIGHUP: reloading is not yet supported").await;
    assert_eq!(delete(gateway.data[0], "/v1/files/t1/a").await.status(), 200);
    gateway.signal("TERM");
    gateway.says("leaving;").await;
    gateway.signal("HUP");
    assert_eq!(delete(gateway.data[0], "/v1/files/t1/a").await.status(), 404, "no second TERM");
    gateway.signal("TERM");
    assert_eq!(gateway.ended().await.code, Some(0));
}

/// Runs `serve` where it cannot start.
async fn refused(folder: &Folder) -> Ran {
    let ran = Binary::spawn(Binary::serve_command(folder)).ended().await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{}", ran.err);
    assert!(!ran.err.contains("serving"), "{}", ran.err);
    ran
}

#[tokio::test]
async fn an_address_in_use_is_an_error_that_names_it() {
    let smh = Smh::start().await;
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let by = std::net::TcpListener::bind(taken).unwrap();
    let address = format!("  - address: {taken}");
    for workers in ["workers: 1", "workers: 2"] {
        let yaml = GATEWAY_YAML.replace("workers: 2", workers);
        let data = yaml.replacen("  - address: 127.0.0.1:0", &address, 1);
        let ran = refused(&Folder::new(&data, None, smh.address)).await;
        let wanted = format!("smh-gateway: cannot listen on {taken}: Address already in use");
        assert!(ran.err.contains(&wanted), "{}", ran.err);
        assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);

        let admin = yaml
            .replace("admin:\n  address: 127.0.0.1:0", &format!("admin: {{ address: {taken} }}"));
        let ran = refused(&Folder::new(&admin, None, smh.address)).await;
        let wanted =
            format!("smh-gateway: cannot listen on {taken} for the admin listener: Address");
        assert!(ran.err.contains(&wanted), "{}", ran.err);
    }
    drop(by);
}

#[tokio::test]
async fn two_gateways_never_share_an_address() {
    let smh = Smh::start().await;
    let mut first = Binary::serve(&Folder::new(GATEWAY_YAML, None, smh.address)).await;
    let (data, admin) = (first.data[0], first.admin.unwrap());
    for (listener, operators) in [
        (data, SocketAddr::from(([127, 0, 0, 1], 0))),
        (SocketAddr::from(([127, 0, 0, 1], 0)), admin),
        (admin, SocketAddr::from(([127, 0, 0, 1], 0))),
        (SocketAddr::from(([127, 0, 0, 1], 0)), data),
    ] {
        let yaml = GATEWAY_YAML.replacen("127.0.0.1:0", &listener.to_string(), 1).replace(
            "admin:\n  address: 127.0.0.1:0",
            &format!("admin: {{ address: {operators} }}"),
        );
        let ran = refused(&Folder::new(&yaml, None, smh.address)).await;
        assert!(ran.err.contains("in use"), "{}", ran.err);
    }
    assert!(first.is_running());
    for _ in 0..8 {
        assert_eq!(delete(data, "/v1/files/t1/a").await.status(), 404);
    }
    assert_eq!(first.stop().await.deletes().len(), 8, "each was served by the first");
}

#[tokio::test]
async fn a_file_with_a_mistake_serves_nothing_and_says_where_it_is() {
    let smh = Smh::start().await;
    let yaml = GATEWAY_YAML.replace("library: smhxxx, space: spacexxx", "library: smhxx, space: s");
    let ran = refused(&Folder::new(&yaml, None, smh.address)).await;
    assert_eq!(
        ran.err,
        "gateway.yaml:13:18: unknown library `smhxx`\n   \
         13 |   t1: { library: smhxx, space: s }\n      \
         |                  ^^^^^ did you mean `smhxxx`?\n"
    );
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

#[tokio::test]
async fn a_file_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let ran =
        Binary::spawn(command(folder.path(), &["serve", "--config", "no.yaml"])).ended().await;
    assert_eq!(ran.code, Some(1));
    assert_eq!(
        ran.err,
        "no.yaml: the file cannot be read: No such file or directory (os error 2)\n"
    );
}

/// Opening one would wait for somebody to write to it, at the start or a second later.
#[tokio::test]
async fn a_secret_that_is_a_pipe_holds_nobody_up() {
    let smh = Smh::start().await;
    let folder = Folder::new(GATEWAY_YAML, None, smh.address);
    for name in ["token", "other.key"] {
        std::fs::remove_file(folder.path(name)).unwrap();
        let made = std::process::Command::new("mkfifo").arg(folder.path(name)).status().unwrap();
        assert!(made.success());
    }
    let mut gateway = Binary::serve(&folder).await;
    let pending = json!(["token of library smhxxx", "API key of caller other"]);
    // By then the files were looked at again.
    folder.write("app.key", "another-key-of-app-0123456789");
    gateway.says("another API key was read from its file").await;
    let answer = get(gateway.admin.unwrap(), "/readyz").await;
    assert_eq!((answer.status(), &answer.json()["pending"]), (503, &pending));
    assert_eq!(gateway.stop().await.code, Some(0));
}

#[tokio::test]
async fn a_secret_that_breaks_while_it_runs_is_complained_about_once() {
    let smh = Smh::start().await.with_file("a");
    let folder = Folder::new(GATEWAY_YAML, None, smh.address);
    let mut gateway = Binary::serve(&folder).await;
    folder.write("token", "two\nlines");
    gateway.says("a secret cannot be read; it is looked for again what=\"token of library\"").await;
    // The next one is noticed in a later round, and the first is looked at again in it.
    folder.write("other.key", "");
    gateway.says("what=\"API key of caller\" of=\"other\"").await;
    folder.write("token", crate::support::TOKEN);
    gateway.says("it can be read again secret=\"token of library smhxxx\"").await;
    // All the while the token that was good is used.
    assert_eq!(
        send(gateway.data[0], request("/v1/files/t1/a", &[]).as_bytes()).await.status(),
        200
    );
    let ran = gateway.stop().await;
    assert_eq!(ran.err.matches("cannot be read").count(), 2, "{}", ran.err);
}
