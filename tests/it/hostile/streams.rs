//! Many streams of one HTTP/2 connection, and frames out of place.

use std::time::Duration;

use serde_json::Value;

use super::frames::{END_HEADERS, END_STREAM, Frames, Told, WHOLE, block, delete_of, frame, kind};
use super::*;
use crate::support::{Kept, LIBRARY, SPACE};

#[tokio::test]
async fn streams_at_once_are_answered_each_with_its_own_answer() {
    let (smh, gateway) = start().await;
    let mut frames = Frames::open(&gateway).await;
    let mut bytes = Vec::new();
    let targets: Vec<String> = (0..50).map(|n| format!("/v1/files/t1/f{n}")).collect();
    for (stream, target) in (1..).step_by(2).zip(&targets) {
        let name = target.strip_prefix("/v1/files/t1/").unwrap();
        smh.simulator.put_file(LIBRARY, SPACE, name);
        let fields = block(&delete_of(target, &[]));
        bytes.extend(frame(kind::HEADERS, WHOLE, stream, &fields));
    }
    frames.write(&bytes).await;
    let mut ids = std::collections::HashMap::new();
    let all = async {
        while ids.len() < targets.len() {
            let (kind, _, stream, payload) = frames.next().await.expect("still connected");
            assert_ne!(kind, kind::RST_STREAM);
            if kind == kind::DATA && !payload.is_empty() {
                let body: Value = serde_json::from_slice(&payload).unwrap();
                ids.insert(body["recycledItemId"].as_u64().unwrap(), stream);
            }
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("all answers in time");
    for item in smh.simulator.recycled(LIBRARY, SPACE) {
        let stream = usize::try_from(ids[&item.id]).unwrap();
        assert_eq!(targets[stream / 2], format!("/v1/files/t1/{}", item.original_path));
    }
    assert_eq!(smh.files(), ALL);
}

#[tokio::test]
async fn a_thousand_streams_that_are_reset_at_once_harm_no_other_caller() {
    let (smh, gateway) = start().await;
    let mut attacker = Frames::open(&gateway).await;
    let cancel = 8u32.to_be_bytes();
    let mut bytes = Vec::new();
    for stream in (1..2001).step_by(2) {
        let fields = block(&delete_of("/v1/files/t1/none", &[]));
        bytes.extend(frame(kind::HEADERS, WHOLE, stream, &fields));
        bytes.extend(frame(kind::RST_STREAM, 0, stream, &cancel));
    }
    let mut caller = Kept::open(gateway.address()).await;
    let (_, answer) = tokio::join!(attacker.write(&bytes), caller.delete("/v1/files/t1/good"));
    assert_eq!(answer.status(), 200);
    // Whoever does that is sent away, or at least all of it comes to an end.
    attacker.write(&frame(kind::HEADERS, WHOLE, 2001, &block(&delete_of("/", &[])))).await;
    let told = attacker.told(2001).await;
    assert!(told == Told::Gone || told.code() == "UnknownRoute", "{told:?}");
    drop(attacker);
    assert_eq!(caller.delete("/v1/files/t1/bad").await.status(), 200);
    drop(caller);
    let idle = async {
        while gateway.running.gateway().in_flight().count() > 0
            || gateway.running.gateway().connections().count() > 0
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, idle).await.expect("everything comes to an end");
    assert_eq!(smh.files(), ["hidden"]);
}

#[tokio::test]
async fn frames_that_break_the_protocol_end_the_connection_and_nothing_else() {
    let (smh, gateway) = start().await;
    let good = block(&delete_of("/v1/files/t1/bad", &[]));
    for bad in [
        frame(kind::HEADERS, WHOLE, 0, &good),
        frame(kind::HEADERS, WHOLE, 2, &good),
        frame(kind::DATA, END_STREAM, 1, b"x"),
        frame(kind::CONTINUATION, END_HEADERS, 1, &good),
        frame(kind::HEADERS, WHOLE, 1, &[0xff; 20]),
        frame(kind::SETTINGS, 0, 1, &[]),
        frame(kind::SETTINGS, 0, 0, &[0; 5]),
        frame(kind::GOAWAY, 0, 1, &[0; 8]),
        vec![0xff; 64],
    ] {
        let mut frames = Frames::open(&gateway).await;
        frames.write(&bad).await;
        // Nothing is answered on a stream that never was.
        assert_eq!(frames.told(u32::MAX).await, Told::Gone, "{bad:?}");
    }
    assert_eq!(smh.targets(), [""; 0]);
    assert_eq!(gateway.delete("/v1/files/t1/good").await.status(), 200);
}
