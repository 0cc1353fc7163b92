//! What a delete costs that can be counted: allocations, and system calls. Counts do not drift with the
//! machine as times do. A process of its own, since the allocator that counts is the whole process's.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
#![expect(clippy::expect_used, reason = "a test may fail loudly")]
#![expect(clippy::indexing_slicing, reason = "a test may fail loudly")]

use std::alloc::System;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;

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
    (0..count).map(|_| TcpStream::connect(address).unwrap()).collect()
}

/// Allocations of a delete, with what the gateway does besides in the meantime.
fn allocations(more: &str) -> usize {
    const ROUNDS: usize = 500;
    let (_folder, path) = folder(smh(), more);
    let snapshot = config::load(&path).into_result().expect("valid files").0;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.unwrap();
    let running = runtime.block_on(Running::start(snapshot, std::io::sink())).unwrap();
    let mut connections = connect(running.addresses()[0], 8);
    delete(&mut connections, 20);
    let region = Region::new(ALLOCATOR);
    delete(&mut connections, ROUNDS);
    let change = region.change();
    runtime.block_on(running.stop_in_time());
    (change.allocations + change.reallocations) / (ROUNDS * connections.len())
}

/// What one test allocates, the other one would count.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn a_delete_allocates_so_often_and_no_more() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (plain, recorded) =
        (allocations(""), allocations("audit: { file: a.jsonl, durability: buffered }\n"));
    assert!(plain <= MOST_ALLOCATIONS, "{plain}");
    assert!(recorded <= MOST_ALLOCATIONS + MORE_FOR_A_JOURNAL, "{recorded}");
}

/// hyper's own, on both sides, are most of them.
const MOST_ALLOCATIONS: usize = 24;

/// For two records.
const MORE_FOR_A_JOURNAL: usize = 6;

/// System calls of the one worker, as strace tells them.
fn system_calls(rounds: usize) -> usize {
    let (folder, path) = folder(smh(), "log: { deletes: off }\n");
    let traces = folder.path().join("trace");
    let mut gateway = Command::new("strace")
        .args(["-ff", "-qq", "-o"])
        .arg(&traces)
        .arg(env!("CARGO_BIN_EXE_smh-gateway"))
        .args(["serve", "--config"])
        .arg(&path)
        .stderr(Stdio::piped())
        .spawn()
        .expect("strace is installed by ./test");
    let mut lines = BufReader::new(gateway.stderr.take().unwrap()).lines();
    let address = lines.find_map(|line| Some(line.ok()?.split_once("address=")?.1.to_owned()));
    let mut connections = connect(address.unwrap().parse().unwrap(), CONNECTIONS);
    delete(&mut connections, rounds);
    drop(connections);
    // Signals are for the gateway, which strace started.
    let children = format!("/proc/{0}/task/{0}/children", gateway.id());
    let child = fs::read_to_string(children).unwrap().trim().to_owned();
    assert!(Command::new("kill").args(["-TERM", &child]).status().unwrap().success());
    drop(lines);
    gateway.wait().unwrap();
    calls_of_the_worker(folder.path())
}

/// The thread that accepts is the one that serves.
fn calls_of_the_worker(folder: &Path) -> usize {
    let traces = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_trace = |path: &PathBuf| path.file_stem().is_some_and(|stem| stem == "trace");
    let mut texts = traces.filter(is_trace).map(|path| fs::read_to_string(path).unwrap());
    let worker = texts.find(|text| text.contains("accept4(")).expect("one accepts");
    worker.lines().filter(|line| line.contains('(') && !line.starts_with("---")).count()
}

#[test]
fn a_delete_takes_no_more_system_calls_than_its_four_and_a_share_of_a_wait() {
    const ROUNDS: usize = 60;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // What it takes to start, to connect and to end is in both.
    let (few, many) = (system_calls(1), system_calls(1 + ROUNDS));
    let (calls, deletes) = (many - few, ROUNDS * CONNECTIONS);
    // Read and write, on both sides; and a wait for all that is ready at a time.
    assert!(calls * 10 <= deletes * 42, "{calls} for {deletes} deletes");
    assert!(calls >= deletes * 4, "{calls} for {deletes} deletes: not all were seen");
}

const CONNECTIONS: usize = 64;
