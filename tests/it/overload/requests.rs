//! Requests: so many at once on one HTTP/2 connection, and each with a head of so many bytes.

use std::net::SocketAddr;

use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::*;
use crate::hostile::frames::{Frames, delete_of, kind};
use crate::support::{GATEWAY_YAML, KEY, Smh, request};
use crate::upstream::{Answering, RECYCLED};

/// RFC 9113, section 6.5.2.
const MAX_CONCURRENT_STREAMS: [u8; 2] = [0, 3];
/// Section 7.
const REFUSED_STREAM: [u8; 4] = [0, 0, 0, 7];

#[tokio::test]
async fn a_stream_past_the_bound_is_refused_and_those_before_it_are_carried_out() {
    let smh = Answering::start(|_| RECYCLED.into()).await;
    smh.leave.forget_permits(Semaphore::MAX_PERMITS);
    let yaml = GATEWAY_YAML
        .replace("  - address: 127.0.0.1:0\n", "  - { address: 127.0.0.1:0, streams: 2 }\n")
        .replace("  timeout: 3s", "  timeout: 20s");
    let gateway = Gateway::with(&yaml, None, smh.address).await;
    let mut frames = Frames::open(&gateway).await;
    let said = async |frames: &mut Frames, wanted: u8, of: u32| {
        let said = async {
            loop {
                let (kind, _, stream, payload) = frames.next().await.expect("still connected");
                if (kind, stream) == (wanted, of) && !payload.is_empty() {
                    return payload;
                }
            }
        };
        tokio::time::timeout(PATIENCE, said).await.expect("said in time")
    };
    let settings = said(&mut frames, kind::SETTINGS, 0).await;
    let bound = settings.chunks(6).find(|setting| setting[..2] == MAX_CONCURRENT_STREAMS);
    assert_eq!(bound.unwrap()[2..], [0, 0, 0, 2]);

    for stream in [1, 3] {
        frames.ask(stream, &delete_of(&format!("/v1/files/t1/held{stream}"), &[])).await;
    }
    becomes("they hang", async || smh.asked().len() == 2).await;
    frames.ask(5, &delete_of("/v1/files/t1/surplus", &[])).await;
    assert_eq!(said(&mut frames, kind::RST_STREAM, 5).await, REFUSED_STREAM);
    // Another connection has streams of its own.
    let mut other = Frames::open(&gateway).await;
    other.ask(1, &delete_of("/v1/files/t1/other", &[])).await;
    becomes("it hangs, too", async || smh.asked().len() == 3).await;
    smh.leave.add_permits(1000);
    assert!(other.told(1).await.is_recycled());
    // They may end in either order.
    assert!(frames.told(1).await.is_recycled());
    frames.ask(7, &delete_of("/v1/files/t1/after", &[])).await;
    assert!(frames.told(7).await.is_recycled());
    assert!(smh.asked().iter().all(|head| !head.contains("surplus")), "{:?}", smh.asked());
}

/// A delete with a head of so many bytes.
fn sized(bytes: usize) -> String {
    let padded =
        |padding: usize| request("/v1/files/t1/none", &[&format!("X: {}", "x".repeat(padding))]);
    padded(bytes - padded(0).len())
}

/// The status of a delete over HTTP/2 with a field of so many bytes, if there is an answer.
async fn over_http2(address: SocketAddr, bytes: usize) -> Option<u16> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, driver) = h2::client::handshake(stream).await.unwrap();
    let request = http::Request::delete("http://gateway/v1/files/t1/none")
        .header("x-api-key", KEY)
        .header("x", "x".repeat(bytes))
        .body(())
        .unwrap();
    let answer = async {
        let (answer, _) = sender.ready().await.ok()?.send_request(request, true).ok()?;
        Some(answer.await.ok()?.status().as_u16())
    };
    let answer = async {
        tokio::select! {
            answer = answer => answer,
            _ = driver => None,
        }
    };
    tokio::time::timeout(PATIENCE, answer).await.expect("an end in time")
}

#[tokio::test]
async fn a_head_may_be_as_large_as_its_listener_says_and_no_larger() {
    let smh = Smh::start().await;
    let listeners = "  - { address: 127.0.0.1:0, head_bytes: 1024 }\n\
                     \x20 - { address: 127.0.0.1:0, head_bytes: 262144 }\n\
                     \x20 - address: 127.0.0.1:0\n";
    let yaml = GATEWAY_YAML.replace("  - address: 127.0.0.1:0\n", listeners);
    let gateway = Gateway::with(&yaml, None, smh.address).await;
    let mut passed = 0;
    for (address, most) in gateway.running.addresses().iter().zip([1024, 262_144, 32_768]) {
        let mut caller = Kept::open(*address).await;
        for _ in 0..2 {
            caller.write(sized(most).as_bytes()).await;
            assert_eq!(caller.answer().await.status(), 404, "{most}");
        }
        caller.write(format!("{}{}", sized(most + 1), sized(500)).as_bytes()).await;
        let answer = caller.answer().await;
        assert_eq!((answer.status(), answer.code().as_str()), (431, "HeadersTooLarge"), "{most}");
        assert_eq!(
            (answer.outcome().as_str(), answer.field("connection")),
            ("not_sent", Some("close"))
        );
        let detail = format!("at most {most} bytes of request line and header fields are taken");
        assert_eq!(answer.json()["detail"], detail);
        assert_eq!(caller.until_closed().await, b"", "{most}");

        // In HTTP/2 each field counts for 32 bytes more.
        assert_eq!(over_http2(*address, most - 500).await, Some(404), "{most}");
        let told = over_http2(*address, most).await;
        assert!(matches!(told, None | Some(431)), "{most}: {told:?}");
        passed += 3;
        assert_eq!(smh.targets().len(), passed, "{most}");
    }
}
