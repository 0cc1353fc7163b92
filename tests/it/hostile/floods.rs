//! Floods of frames, and answers that are not taken: bounded in memory, and hardly noticed by others.

use std::fs;

use super::frames::{
    END_HEADERS, END_STREAM, Frames, PREFACE, Told, WHOLE, block, changed, delete_of, frame, kind,
};
use super::*;
use crate::support::binary::Binary;
use crate::support::{Folder, GATEWAY_YAML, KEY, Kept, becomes, send};

const PRIORITY: u8 = 2;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const REFUSED_STREAM: [u8; 4] = 7u32.to_be_bytes();

/// Resident memory of a process, in KiB.
fn resident(process: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// What each of them sends over and over again, a thousand times at once.
fn floods() -> Vec<(&'static str, Vec<u8>)> {
    let setting = [0, 4, 0, 0, 0x40, 0];
    // A window beyond all bounds is an error of that stream, for which the gateway has to reset it itself.
    let made_to_reset = |n: u32| {
        let fields = block(&delete_of("/v1/files/t1/none", &[]));
        let ask = frame(kind::HEADERS, END_HEADERS, 2 * n + 1, &fields);
        [ask, frame(WINDOW_UPDATE, 0, 2 * n + 1, &0x7fff_ffff_u32.to_be_bytes())].concat()
    };
    let bodies = |n: u32| {
        let ask = frame(kind::HEADERS, END_HEADERS, 2 * n + 1, &block(&changed("x-api-key", None)));
        [ask, frame(kind::DATA, 0, 2 * n + 1, &[0; 200])].concat()
    };
    let head = frame(kind::HEADERS, 0, 1, &block(&delete_of("/v1/files/t1/none", &[])));
    let mut endless = head;
    endless.extend(frame(kind::CONTINUATION, 0, 1, &[]).repeat(1000));
    vec![
        ("SETTINGS", frame(kind::SETTINGS, 0, 0, &setting).repeat(1000)),
        ("PING", frame(PING, 0, 0, &[0; 8]).repeat(1000)),
        ("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1]).repeat(1000)),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, &1u32.to_be_bytes()).repeat(1000)),
        ("CONTINUATION", endless),
        ("made to reset", (0..1000).flat_map(made_to_reset).collect()),
        ("bodies", (0..1000).flat_map(bodies).collect()),
    ]
}

#[tokio::test]
async fn floods_that_are_never_read_take_little_memory_and_harm_no_other_caller() {
    let smh = Smh::start().await;
    let yaml = GATEWAY_YAML.replace("workers: 2", "workers: 1");
    let gateway = Binary::serve(&Folder::new(&yaml, None, smh.address)).await;
    let mut caller = Kept::open(gateway.data[0]).await;
    assert_eq!(caller.delete("/v1/files/t1/first").await.status(), 404);
    let before = resident(gateway.id());
    let mut attackers = Vec::new();
    for (what, bytes) in floods() {
        for _ in 0..2 {
            let mut attacker = Frames::open_at(gateway.data[0]).await;
            // Until it is cut off, or nobody reads it any more.
            let flood = async {
                for _ in 0..20 {
                    attacker.write(&bytes).await;
                }
            };
            let (_, answer) = tokio::join!(
                tokio::time::timeout(A_MOMENT, flood),
                caller.delete("/v1/files/t1/x")
            );
            assert_eq!(answer.status(), 404, "{what}");
            attackers.push(attacker);
        }
    }
    let grown = resident(gateway.id()).saturating_sub(before);
    assert!(grown < 24 * 1024, "{grown} KiB for {} attackers", attackers.len());
    assert_eq!(caller.delete("/v1/files/t1/last").await.status(), 404);
    assert_eq!(smh.files(), [""; 0]);
}

#[tokio::test]
async fn nothing_is_held_for_who_is_not_known() {
    let (smh, gateway) = start().await;
    let mut stranger = Frames::open(&gateway).await;
    // No answer has room, so each of these streams stays; and none is ended by its caller.
    stranger.write(&frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await;
    let large = "y".repeat(8_000);
    let mut fields = delete_of("/v1/files/t1/bad", &[("x", &large)]);
    fields.retain(|field| field.0 != "x-api-key");
    for stream in (1..200).step_by(2) {
        stranger.write(&frame(kind::HEADERS, END_HEADERS, stream, &block(&fields))).await;
    }
    let mut answered = 0;
    let mut refused = 0;
    let told = async {
        while answered + refused < 100 {
            match stranger.next().await.expect("still connected") {
                (kind::HEADERS, ..) => answered += 1,
                (kind::RST_STREAM, _, _, reason) if reason == REFUSED_STREAM => refused += 1,
                _ => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, told).await.expect("all are told at once");
    assert_eq!((answered, refused), (20, 80));
    assert_eq!(smh.targets(), [""; 0]);

    // Who shows a credential with the first of them may have as many as the listener says.
    let mut caller = Frames::open(&gateway).await;
    caller.write(&frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await;
    for stream in (1..200).step_by(2) {
        let fields = block(&delete_of("/v1/files/t1/none", &[]));
        caller.write(&frame(kind::HEADERS, WHOLE, stream, &fields)).await;
    }
    becomes("all are carried out", async || smh.targets().len() == 100).await;
}

#[tokio::test]
async fn who_is_not_known_is_told_so_before_its_stream_ends() {
    let (smh, gateway) = start().await;
    let mut stranger = Frames::open(&gateway).await;
    let fields = block(&changed("x-api-key", Some("a key of nobody's")));
    stranger.write(&frame(kind::HEADERS, END_HEADERS, 1, &fields)).await;
    assert_eq!(stranger.told(1).await.code(), "Unauthenticated");
    assert_eq!(smh.targets(), [""; 0]);
}

/// A gateway that gives callers so much time for this.
async fn hurried(what: &str) -> (Smh, Gateway) {
    let smh = Smh::start().await.with_file("good").with_file("bad").with_file("hidden");
    let listener = format!("  - {{ address: 127.0.0.1:0, {what} }}\n");
    let yaml = GATEWAY_YAML.replace("  - address: 127.0.0.1:0\n", &listener);
    let gateway = Gateway::with(&yaml, None, smh.address).await;
    (smh, gateway)
}

async fn none_left(gateway: &Gateway) {
    let gateway = gateway.running.gateway();
    becomes("no connection is left", async || gateway.connections().count() == 0).await;
}

#[tokio::test]
async fn an_answer_over_http2_that_is_never_taken_ends_its_connection() {
    let (smh, gateway) = hurried("answer_timeout: 300ms").await;
    let mut caller = Frames::open(&gateway).await;
    caller.write(&frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await;
    caller.ask(1, &delete_of("/v1/files/t1/good", &[])).await;
    let told = tokio::time::timeout(SOON, caller.told(1)).await.expect("an end");
    assert_eq!(told, Told::Gone);
    none_left(&gateway).await;
    assert_eq!(smh.files(), ["bad", "hidden"]);
    assert_eq!(gateway.stop().await[0]["status"], 200, "it is recorded as it was");
}

#[tokio::test]
async fn a_caller_that_never_reads_loses_its_connection() {
    let smh = Smh::start().await;
    let folder = tempfile::TempDir::new().unwrap();
    // What the system keeps of answers that nobody reads is small there, and always as much.
    let socket = folder.path().join("gateway.sock");
    let listener =
        format!("  - {{ unix: {}, answer_timeout: 300ms, head_timeout: 5m }}\n", socket.display());
    let yaml = GATEWAY_YAML.replace("  - address: 127.0.0.1:0\n", &listener);
    let gateway = Gateway::with(&yaml, None, smh.address).await;
    for http2 in [false, true] {
        let stream = tokio::net::UnixStream::connect(&socket).await.unwrap();
        let mut caller = Kept::over(stream);
        let asked = async {
            if http2 {
                caller.write(PREFACE).await;
                caller.write(&frame(kind::SETTINGS, 0, 0, &[])).await;
                let ping = frame(PING, 0, 0, &[0; 8]).repeat(1000);
                for _ in 0..100 {
                    caller.write(&ping).await;
                }
            } else {
                let asked = "DELETE /nowhere HTTP/1.1\r\nHost: gateway\r\n\r\n".repeat(100);
                for _ in 0..100 {
                    caller.write(asked.as_bytes()).await;
                }
            }
        };
        tokio::time::timeout(SOON, asked).await.expect("it is cut off");
        none_left(&gateway).await;
    }
}

#[tokio::test]
async fn an_http2_connection_on_which_nothing_is_asked_is_ended() {
    let (smh, gateway) = hurried("idle_timeout: 300ms, head_timeout: 60s").await;
    let mut caller = Frames::open(&gateway).await;
    caller.ask(1, &delete_of("/v1/files/t1/good", &[])).await;
    assert!(caller.told(1).await.is_recycled());
    let ended = async {
        let mut kinds = Vec::new();
        while let Some((kind, flags, _, payload)) = caller.next().await {
            kinds.push(kind);
            if kind == PING && flags == 0 {
                caller.write(&frame(PING, 1, 0, &payload)).await;
            }
        }
        kinds
    };
    let kinds = tokio::time::timeout(PATIENCE, ended).await.expect("an end");
    assert!(kinds.contains(&kind::GOAWAY), "{kinds:?}");
    assert_eq!(smh.files(), ["bad", "hidden"]);

    // One that does not answer is not waited for.
    let mut silent = Frames::open(&gateway).await;
    silent.ask(1, &delete_of("/v1/files/t1/bad", &[])).await;
    assert!(silent.told(1).await.is_recycled());
    none_left(&gateway).await;
}

#[tokio::test]
async fn who_is_not_known_over_http2_has_no_longer_than_a_head_may_take() {
    let (smh, gateway) = hurried("head_timeout: 300ms").await;
    let fields = block(&delete_of("/v1/files/t1/bad", &[]));
    let (half, rest) = fields.split_at(20);
    for head in [
        Vec::new(),
        frame(kind::HEADERS, 0, 1, half),
        [frame(kind::HEADERS, 0, 1, half), frame(kind::CONTINUATION, 0, 1, rest)].concat(),
    ] {
        let mut stranger = Frames::open(&gateway).await;
        stranger.write(&head).await;
        let told = tokio::time::timeout(SOON, stranger.told(1)).await.expect("an end");
        assert_eq!(told, Told::Gone);
    }
    assert_eq!(smh.targets(), [""; 0]);
}

#[tokio::test]
async fn an_old_connection_ends_behind_an_answer_that_says_so() {
    let (smh, gateway) = hurried("max_age: 400ms").await;
    for _ in 0..2 {
        let mut caller = Kept::open(gateway.address()).await;
        loop {
            let answer = caller.delete("/v1/files/t1/none").await;
            assert_eq!(answer.status(), 404);
            if answer.field("connection") == Some("close") {
                break;
            }
        }
        assert_eq!(caller.until_closed().await, b"");
    }
    assert_eq!(smh.files(), ALL);
}

#[tokio::test]
async fn an_old_http2_connection_finishes_what_it_has_begun() {
    let (smh, gateway) = hurried("max_age: 200ms, answer_timeout: 2s").await;
    let slow = smh_gateway::simulator::Fault::Slow(Duration::from_secs(1));
    smh.simulator.inject(smh_gateway::simulator::Injection::once(slow));
    let mut caller = Frames::open(&gateway).await;
    caller.ask(1, &delete_of("/v1/files/t1/good", &[])).await;
    let mut kinds = Vec::new();
    let ended = async {
        while let Some((kind, _, stream, payload)) = caller.next().await {
            kinds.push((kind, stream));
            if kind == kind::DATA && !payload.is_empty() {
                let body: serde_json::Value = serde_json::from_slice(&payload).unwrap();
                assert!(body["recycledItemId"].is_u64());
            }
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("an end");
    let place = |wanted| kinds.iter().position(|kind| *kind == wanted).expect("it came");
    assert!(place((kind::GOAWAY, 0)) < place((kind::DATA, 1)), "{kinds:?}");
    assert_eq!(smh.files(), ["bad", "hidden"]);
}

#[tokio::test]
async fn an_answer_that_waits_for_its_caller_outlives_the_end_of_its_connection() {
    let (smh, gateway) = hurried("max_age: 200ms").await;
    let mut caller = Frames::open(&gateway).await;
    caller.write(&frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 1])).await;
    caller.ask(1, &delete_of("/v1/files/t1/good", &[])).await;
    let (mut body, mut leaves, mut is_whole) = (Vec::new(), false, false);
    let answered = async {
        while !is_whole {
            let (kind, flags, _, payload) = caller.next().await.expect("the rest of the answer");
            match kind {
                kind::DATA => {
                    body.extend_from_slice(&payload);
                    is_whole = flags & END_STREAM != 0;
                }
                kind::GOAWAY if !leaves => {
                    leaves = true;
                    assert_eq!(body.len(), 1, "there was room for no more");
                    // Longer than a caller is given to hear that the connection ends.
                    tokio::time::sleep(Duration::from_secs(3)).await;
                    caller.write(&frame(WINDOW_UPDATE, 0, 1, &0x1000_u32.to_be_bytes())).await;
                }
                PING if flags == 0 => caller.write(&frame(PING, 1, 0, &payload)).await,
                _ => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, answered).await.expect("an end");
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert!(body["recycledItemId"].is_u64() && leaves);
    assert_eq!(smh.files(), ["bad", "hidden"]);
}

/// As documented: what stands behind it never gets to the gateway.
#[tokio::test]
async fn a_fragment_of_an_http2_path_is_dropped_before_anything_is_decided() {
    let (smh, gateway) = start().await;
    for (target, file) in
        [("/v1/files/t1/good#x", "good"), ("/v1/files/t1/bad?permanent=0#&", "bad")]
    {
        assert!(Frames::ask_first(&gateway, &changed(":path", Some(target))).await.is_recycled());
        assert!(!smh.files().contains(&file.to_owned()));
    }
    let told = Frames::ask_first(&gateway, &changed(":path", Some("/v1/files/t9#/../t1/x"))).await;
    assert!(!told.is_recycled());
    // Escaped, it is part of the name.
    let told = Frames::ask_first(&gateway, &changed(":path", Some("/v1/files/t1/hidden%23"))).await;
    assert_eq!(told.code(), "FileNotFound");
    assert_eq!(smh.targets().len(), 3);
    // HTTP/1.1 refuses it.
    let asked =
        format!("DELETE /v1/files/t1/hidden#x HTTP/1.1\r\nHost: g\r\nX-Api-Key: {KEY}\r\n\r\n");
    assert_refused(&send(gateway.address(), asked.as_bytes()).await, 400, "InvalidRequest", "#");
    assert_eq!(smh.files(), ["hidden"]);
}

/// Longer than it takes to send a flood that is read.
const A_MOMENT: Duration = Duration::from_millis(200);

/// Before a ping that is not answered ends a connection.
const SOON: Duration = Duration::from_secs(20);
