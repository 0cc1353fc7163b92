//! What a delete costs that can be counted: allocations, and system calls. Counts do not drift with the
//! machine as times do. A process of its own, since the allocator that counts is the whole process's: a worker
//! is another thread, and tests/allocations.rs counts one alone.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
#![expect(clippy::expect_used, reason = "a test may fail loudly")]
#![expect(clippy::indexing_slicing, reason = "a test may fail loudly")]

use std::alloc::System;
use std::fs;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use smh_gateway::config;
use smh_gateway::run::Running;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tempfile::TempDir;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const KEY: &str = "a-key-of-an-app-0123456789";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: application/json\r\n\
    Content-Length: 23\r\nConnection: keep-alive\r\n\r\n{\"recycledItemId\":1221}";

/// SMH, in a thread for each connection, none of which allocates for a request.
fn smh() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            thread::spawn(move || {
                let mut buffer = [0; 4_096];
                // A request of the gateway's is small: it comes in one piece.
                while let Ok(1..) = stream.read(&mut buffer) {
                    stream.write_all(ANSWER).unwrap();
                }
            });
        }
    });
    address
}

/// The files of a gateway that charges each delete to three limits, and asks rules.
fn folder(smh: SocketAddr, more: &str) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("token", "acctk-of-a-test-0123456789");
    write("app.key", KEY);
    write(
        "gateway.yaml",
        &format!(
            "listeners: [{{ address: 127.0.0.1:0 }}]\nadmin: none\nupstream: {{ url: \"http://{smh}\" }}\n\
             libraries: {{ lib: {{ token: {{ file: token }} }} }}\n\
             tenants: {{ t1: {{ library: lib, space: s1 }} }}\n\
             callers: {{ app: {{ api_key: {{ file: app.key }}, tenants: [t1] }} }}\n\
             policy: policy.yaml\nworkers: 1\n{more}"
        ),
    );
    write(
        "policy.yaml",
        "rules:\n  - { name: originals, deny: { paths: [\"originals/**\"] } }\n  \
         - { name: backups, deny: { paths: [\"**/*.bak\"] } }\nrate_limits:\n  \
         - { name: caller, per: [caller], limit: 100000/s, burst: 100000 }\n  \
         - { name: tenant, per: [tenant], limit: 100000/s, burst: 100000 }\n  \
         - { name: all, per: [], limit: 100000/s, burst: 100000 }\n",
    );
    let path = folder.path().join("gateway.yaml");
    (folder, path)
}

/// Sends this many deletes over each of some connections: all of a round, then all answers to it. Nothing is
/// allocated for a delete.
fn delete(connections: &mut [TcpStream], rounds: usize) {
    let request = format!(
        "DELETE /v1/files/t1/2026/report%20one.docx HTTP/1.1\r\nHost: gateway:8080\r\n\
         Authorization: Bearer {KEY}\r\nX-Request-Id: r1\r\n\r\n"
    );
    let mut buffer = [0; 4_096];
    for _ in 0..rounds {
        for connection in &mut *connections {
            connection.write_all(request.as_bytes()).unwrap();
        }
        for connection in &mut *connections {
            let read = connection.read(&mut buffer).unwrap();
            let answer = &buffer[..read];
            assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n") && answer.ends_with(b"1221}"));
        }
    }
}

fn connect(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let connect = |_| {
        let stream = TcpStream::connect(address).unwrap();
        // An answer that does not come is a failure, not a wait.
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    };
    (0..count).map(connect).collect()
}

/// A gateway in this process, while something is done with its address.
fn with_gateway<T>(more: &str, then: impl FnOnce(SocketAddr) -> T) -> T {
    let (_folder, path) = folder(smh(), more);
    let snapshot = config::load(&path).into_result().expect("valid files").0;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.unwrap();
    let running = runtime.block_on(Running::start(snapshot, std::io::sink())).unwrap();
    let outcome = then(running.addresses()[0]);
    runtime.block_on(running.stop_in_time());
    outcome
}

/// Allocations of so many deletes, with what the gateway does besides in the meantime.
fn allocations(more: &str) -> (usize, usize) {
    const ROUNDS: usize = 500;
    with_gateway(more, |address| {
        let mut connections = connect(address, 8);
        delete(&mut connections, 20);
        let region = Region::new(ALLOCATOR);
        delete(&mut connections, ROUNDS);
        let change = region.change();
        (change.allocations + change.reallocations, ROUNDS * connections.len())
    })
}

/// What one test allocates, the other one would count.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn a_delete_allocates_no_more_often_than_it_did() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for (more, most) in [
        ("", MOST_ALLOCATIONS),
        ("audit: { file: a.jsonl, durability: buffered }\n", MOST_ALLOCATIONS_WITH_A_JOURNAL),
    ] {
        let (counted, deletes) = allocations(more);
        let bounds = most * deletes / 2..=most * deletes;
        assert!(bounds.contains(&counted), "{counted} for {deletes} deletes; {more}");
    }
}

/// 18.0 on 2026-12-01, of which hyper's, on both sides, are most.
const MOST_ALLOCATIONS: usize = 20;

/// 24.0 then.
const MOST_ALLOCATIONS_WITH_A_JOURNAL: usize = 26;

/// The socket itself is the kernel's. Before it rests, hyper holds 16 KiB for it.
#[test]
fn a_connection_that_waits_after_a_delete_holds_no_more_memory_than_it_did() {
    const CONNECTIONS: usize = 400;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let held = with_gateway("", |address| {
        let mut early = connect(address, 8);
        delete(&mut early, 20);
        let region = Region::new(ALLOCATOR);
        let mut waiting = connect(address, CONNECTIONS);
        for connection in &mut waiting {
            delete(std::slice::from_mut(connection), 1);
        }
        let each = || {
            let change = region.change();
            (change.bytes_allocated - change.bytes_deallocated) / CONNECTIONS
        };
        let late = Instant::now() + Duration::from_secs(30);
        while each() > MOST_BYTES_WAITING && Instant::now() < late {
            thread::sleep(Duration::from_millis(100));
        }
        let held = each();
        // They are all there still.
        delete(&mut early, 1);
        delete(&mut waiting, 1);
        held
    });
    assert!((MOST_BYTES_WAITING / 2..=MOST_BYTES_WAITING).contains(&held), "{held} bytes");
}

/// 5.1 kB on 2026-11-30.
const MOST_BYTES_WAITING: usize = 6 * 1024;

/// Calls of the one worker that move bytes, as strace tells them. How often it waits depends on who is
/// scheduled when, and is no count.
fn transfers(rounds: usize) -> usize {
    let (folder, path) = folder(smh(), "log: { deletes: off }\n");
    let mut traced = Traced::start(folder.path(), &path);
    let mut connections = connect(traced.address, CONNECTIONS);
    delete(&mut connections, rounds);
    drop(connections);
    traced.stop();
    let traces = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let is_trace = |path: &PathBuf| path.file_stem().is_some_and(|stem| stem == "trace");
    let mut texts = traces.filter(is_trace).map(|path| fs::read_to_string(path).unwrap());
    // The thread that accepts is the one that serves.
    let worker = texts.find(|text| text.contains("accept4(")).expect("one accepts");
    let moves = |line: &&str| MOVES.iter().any(|call| line.starts_with(call));
    worker.lines().filter(moves).count()
}

const MOVES: [&str; 8] =
    ["read(", "readv(", "recvfrom(", "recvmsg(", "write(", "writev(", "sendto(", "sendmsg("];

/// A gateway under strace. It ends with the test, also with one that fails: it holds what `./test` reads.
struct Traced {
    strace: Child,
    gateway: String,
    address: SocketAddr,
    said: Lines<BufReader<ChildStderr>>,
}

impl Traced {
    fn start(folder: &Path, config: &Path) -> Self {
        let mut strace = Command::new("strace")
            // A file for each thread: in one for all, calls would be split into two lines.
            .args(["-ff", "-qq", "-o"])
            .arg(folder.join("trace"))
            .args([
                "sh",
                "-c",
                "echo pid=$$ >&2; SMH_GATEWAY_LOG_FORMAT=text exec \"$0\" serve --config \"$1\"",
            ])
            .arg(env!("CARGO_BIN_EXE_smh-gateway"))
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace is installed by ./test");
        let mut said = BufReader::new(strace.stderr.take().unwrap()).lines();
        let mut find = |name: &str| {
            let found = said.find_map(|line| Some(line.ok()?.split_once(name)?.1.to_owned()));
            found.expect("it says where it serves: may strace trace here (ptrace)?")
        };
        let (gateway, address) = (find("pid="), find("address=").parse().unwrap());
        Self { strace, gateway, address, said }
    }

    fn stop(&mut self) {
        assert!(self.signal("-TERM"));
        self.said.by_ref().for_each(drop);
        assert!(self.strace.wait().unwrap().success());
    }

    fn signal(&self, signal: &str) -> bool {
        Command::new("kill").args([signal, &self.gateway]).status().is_ok_and(|it| it.success())
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        if matches!(self.strace.try_wait(), Ok(None)) {
            self.signal("-KILL");
            let _ = self.strace.wait();
        }
    }
}

#[test]
fn a_delete_takes_two_reads_and_two_writes() {
    const WARM_UP: usize = 5;
    const ROUNDS: usize = 60;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // What it takes to start, to connect and to end is in both.
    let (few, many) = (transfers(WARM_UP), transfers(WARM_UP + ROUNDS));
    let transfers = many.checked_sub(few).expect("more deletes, more calls");
    let deletes = ROUNDS * CONNECTIONS;
    // A read that finds nothing, and a connection that is made later, are seldom, and may be in either.
    assert!(
        (deletes * 39 / 10..=deletes * 42 / 10).contains(&transfers),
        "{transfers} of {deletes}"
    );
}

const CONNECTIONS: usize = 64;
