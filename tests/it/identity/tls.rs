//! TLS itself: versions, protocols, sessions, and what is no TLS.

use std::sync::Mutex;

use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use rustls::{HandshakeKind, ProtocolVersion, SignatureScheme};
use time::OffsetDateTime;
use tokio::io::AsyncWriteExt;

use super::*;
use crate::support::{KEY, TOKEN, request};

#[tokio::test]
async fn either_version_of_tls_carries_either_version_of_http() {
    let stage = Stage::set().await;
    let identity = stage.client_ca.caller(WHOLE);
    let target = format!("/api/v1/file/smhxxx/spacexxx/a?permanent=0&access_token={TOKEN}");
    let mut deletes = 0;
    for version in VERSIONS {
        for (offered, chosen) in [
            (&[][..], None),
            (&["http/1.1"], Some("http/1.1")),
            (&["h2"], Some("h2")),
            (&["http/1.1", "h2"], Some("h2")),
            (&["spdy/1", "http/1.1"], Some("http/1.1")),
        ] {
            let config = client(&stage.server_ca, Some(&identity), &[version]);
            let config = offering(config, offered);
            let mut kept = stage.open(&config).await;
            let session = kept.stream.get_ref().1;
            assert_eq!(session.protocol_version(), Some(version.version), "{offered:?}");
            assert_eq!(session.alpn_protocol(), chosen.map(str::as_bytes), "{offered:?}");
            let certificates = session.peer_certificates().unwrap();
            assert_eq!(certificates, stage.server.chain, "nothing but what was configured");
            if chosen == Some("h2") {
                let mut http2 = Http2::open(stage.address(), &config).await;
                assert_eq!(http2.delete("/v1/files/t1/a").await.unwrap().0, 404);
            } else {
                let answer = ask(&mut kept, "/v1/files/t1/a", &[]).await;
                assert_eq!(answer.status(), 404, "{offered:?}");
            }
            deletes += 1;
            assert_eq!(stage.smh.targets(), vec![target.clone(); deletes], "{offered:?}");
        }
    }
    assert_eq!(stage.handshakes_failed().await, 0.0);
    assert_eq!(told(&stage.stop().await), vec![["whole", "spiffe_id", ""]; deletes]);
}

#[tokio::test]
async fn the_end_of_a_connection_is_told_within_tls() {
    let stage = Stage::set().await;
    let config = stage.caller(WHOLE);
    for (bytes, status) in [
        (delete("/v1/files/t1/a", &["Connection: close"]), 404),
        (delete("/v1/files/t1/a", &["Host: another"]), 400),
        ("no HTTP at all\r\n\r\n".to_owned(), 400),
    ] {
        let mut kept = stage.open(&config).await;
        kept.write(bytes.as_bytes()).await;
        assert_eq!(kept.answer().await.status(), status, "{bytes}");
        // Without a `close_notify` this would be an error: the answer might have been cut off.
        assert!(kept.until_closed().await.is_empty(), "{bytes}");
    }
    assert_eq!(stage.smh.received().len(), 1);

    let mut idle = stage.open(&config).await;
    assert_eq!(ask(&mut idle, "/v1/files/t1/a", &[]).await.status(), 404);
    let (lines, _) = tokio::join!(stage.stop(), idle.until_closed());
    assert_eq!(lines.len(), 4, "{lines:?}");
}

#[tokio::test]
async fn requests_at_once_on_one_connection_are_all_the_callers() {
    let stage = Stage::set().await;
    let config = stage.caller(BELOW);
    let http2 = Http2::open(stage.address(), &config).await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..100 {
        let sender = http2.sender.clone();
        tasks.spawn(async move {
            let request = http::Request::delete(format!("https://gateway/v1/files/t1/{n}"));
            let mut sender = sender;
            let answer = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await;
            answer.unwrap().status().as_u16()
        });
    }
    assert_eq!(tasks.join_all().await, [404; 100]);

    let mut kept = stage.open(&config).await;
    kept.write(delete("/v1/files/t1/a", &[]).repeat(100).as_bytes()).await;
    for _ in 0..100 {
        assert_eq!(kept.answer().await.status(), 404);
    }
    assert_eq!(stage.smh.received().len(), 200);
    drop((kept, http2));
    assert_eq!(told(&stage.stop().await), [["below", "spiffe_id", ""]; 200]);
}

#[tokio::test]
async fn a_protocol_that_is_not_spoken_here_is_refused_in_the_handshake() {
    let stage = Stage::set().await;
    for protocol in ["spdy/1", "h3", "http/1.0", "acme-tls/1"] {
        stage.refuses(&offering(stage.caller(WHOLE), &[protocol]), protocol).await;
    }
    assert!(stage.stop().await.is_empty());
}

/// All that comes before the end, however it ends.
async fn until_end(mut stream: TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut read)).await;
    let _ = end.expect("the connection ends");
    read
}

#[tokio::test]
async fn what_is_not_tls_gets_nothing_but_an_end() {
    let stage = Stage::set().await;
    let http1 = request("/v1/files/t1/a", &["Connection: close"]);
    let http2 = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
    let ssl3 = [&[0x16, 3, 0, 0, 4][..], &[1, 0, 0, 0]].concat();
    let junk = vec![0xff; 5000];
    let kinds = [http1.as_bytes(), &http2, &ssl3, &junk];
    for (nth, bytes) in kinds.iter().enumerate() {
        let mut stream = TcpStream::connect(stage.address()).await.unwrap();
        let _ = stream.write_all(bytes).await;
        let read = until_end(stream).await;
        // An alert, and nothing of HTTP.
        assert!(read.is_empty() || read.starts_with(&[0x15, 3]), "{nth}: {read:?}");
        assert!(read.len() <= 7, "{nth}: {read:?}");
    }
    let expected = kinds.len();
    until("it counts them", async || stage.handshakes_failed().await == expected as f64).await;
    assert_eq!(stage.smh.received(), []);

    // With the same key, over TLS.
    let key = format!("Authorization: Bearer {KEY}");
    assert_eq!(stage.send(&stage.anonymous(), &[&key]).await.status(), 404);
    assert_eq!(told(&stage.stop().await), [["app", "api_key", ""]]);
}

#[tokio::test]
async fn tls_on_a_plain_listener_is_answered_with_no_handshake() {
    let smh = Smh::start().await;
    let gateway = Gateway::start(smh.address).await;
    let (server_ca, client_ca) = (Ca::new(), Ca::new());
    let config = client(&server_ca, Some(&client_ca.caller(WHOLE)), &VERSIONS);
    assert!(handshake(gateway.address(), &config).await.is_err());
    assert_eq!(smh.received(), []);
}

#[tokio::test]
async fn a_handshake_that_stalls_holds_up_nobody() {
    let stage = Stage::set().await;
    let mut stalled = Vec::new();
    // More than there are workers, at each place where one can stop.
    for length in [0, 1, 5, 6, 100] {
        let mut stream = TcpStream::connect(stage.address()).await.unwrap();
        let hello = [&[0x16, 3, 1, 1, 0, 1, 0, 0, 0xfc, 3, 3][..], &[7; 200]].concat();
        stream.write_all(&hello[..length]).await.unwrap();
        stalled.push(stream);
    }
    assert_eq!(stage.send(&stage.caller(WHOLE), &[]).await.status(), 404);
    let begun = Instant::now();
    assert_eq!(stage.stop().await.len(), 1, "it finishes although they are still there");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    for stream in stalled {
        assert!(until_end(stream).await.is_empty());
    }
}

/// One delete on a connection of its own, and how its handshake was made.
async fn kind(stage: &Stage, config: &ClientConfig) -> Option<HandshakeKind> {
    let mut kept = stage.open(config).await;
    // A ticket of TLS 1.3 comes with what is read first.
    assert_eq!(ask(&mut kept, "/v1/files/t1/a", &[]).await.status(), 404);
    kept.stream.get_ref().1.handshake_kind()
}

#[tokio::test]
async fn a_session_is_resumed_and_its_caller_is_still_known() {
    let stage = Stage::set().await;
    for version in VERSIONS {
        for (identity, caller) in [(WHOLE, "whole"), (BELOW, "below")] {
            let identity = stage.client_ca.caller(identity);
            let config = client(&stage.server_ca, Some(&identity), &[version]);
            // The kernel spreads them over the workers.
            for nth in 0..8 {
                let wanted = if nth == 0 { HandshakeKind::Full } else { HandshakeKind::Resumed };
                let found = kind(&stage, &config).await;
                assert_eq!(found, Some(wanted), "{version:?} {caller} {nth}");
            }
        }
    }
    assert_eq!(stage.smh.received().len(), 32);
    let lines = stage.stop().await;
    let callers = told(&lines);
    let of = |name| callers.iter().filter(|line| **line == [name, "spiffe_id", ""]).count();
    assert_eq!((of("whole"), of("below")), (16, 16), "{callers:?}");
}

#[tokio::test]
async fn a_resumed_session_without_a_certificate_is_still_nobodys() {
    let stage = Stage::set().await;
    for version in VERSIONS {
        let config = client(&stage.server_ca, None, &[version]);
        for wanted in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut kept = stage.open(&config).await;
            assert_eq!(ask(&mut kept, "/v1/files/t1/a", &[]).await.status(), 401);
            assert_eq!(kept.stream.get_ref().1.handshake_kind(), Some(wanted), "{version:?}");
        }
    }
    assert_eq!(stage.smh.received(), []);
}

#[tokio::test]
async fn a_session_ends_with_the_client_ca_that_vouched_for_it() {
    for version in VERSIONS {
        let stage = Stage::set().await;
        let (old, another) = (stage.client_ca.caller(WHOLE), Ca::new());
        let config = client(&stage.server_ca, Some(&old), &[version]);
        assert_eq!(kind(&stage, &config).await, Some(HandshakeKind::Full));
        assert_eq!(kind(&stage, &config).await, Some(HandshakeKind::Resumed));

        // One more is trusted: the session is not resumed, but who calls is known anew.
        stage.files.put_cas(&[&stage.client_ca, &another]);
        stage.refresh().await;
        assert_eq!(kind(&stage, &config).await, Some(HandshakeKind::Full));
        assert_eq!(kind(&stage, &config).await, Some(HandshakeKind::Resumed));

        stage.files.put_cas(&[&another]);
        stage.refresh().await;
        stage.refuses(&config, "a session of a CA that has gone").await;
        let new = client(&stage.server_ca, Some(&another.caller(BELOW)), &[version]);
        assert_eq!(kind(&stage, &new).await, Some(HandshakeKind::Full));
        assert_eq!(stage.smh.received().len(), 5);
        let mut wanted = vec![["below", "spiffe_id", ""]];
        wanted.extend([["whole", "spiffe_id", ""]; 4]);
        assert_eq!(told(&stage.stop().await), wanted, "{version:?}");
    }
}

/// A caller that replaces its certificate as it goes, and keeps its sessions.
#[derive(Debug)]
struct Rotating(Mutex<Arc<CertifiedKey>>);

impl ResolvesClientCert for Rotating {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.lock().unwrap()))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn certified(identity: &Identity) -> Arc<CertifiedKey> {
    let key = identity.key.serialize_der().try_into().unwrap();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    Arc::new(CertifiedKey::from_der(identity.chain.clone(), key, &provider).unwrap())
}

#[tokio::test]
async fn a_caller_that_keeps_its_session_is_known_by_its_new_certificate() {
    for version in VERSIONS {
        let stage = Stage::set().await;
        let end = OffsetDateTime::now_utc() + time::Duration::seconds(3);
        let old = stage.client_ca.issue(|params| {
            params.subject_alt_names = vec![uri(WHOLE)];
            params.not_after = end;
        });
        let rotating = Arc::new(Rotating(Mutex::new(certified(&old))));
        let mut config = client(&stage.server_ca, Some(&old), &[version]);
        config.client_auth_cert_resolver = Arc::clone(&rotating) as _;
        assert_eq!(kind(&stage, &config).await, Some(HandshakeKind::Full));

        let new = stage.client_ca.caller(WHOLE);
        *rotating.0.lock().unwrap() = certified(&new);
        let left = end - OffsetDateTime::now_utc();
        tokio::time::sleep(left.try_into().unwrap_or_default()).await;
        // The session still brings the old certificate: nothing comes of it, and it is forgotten.
        drop(handshake(stage.address(), &config).await);
        until("a full handshake", async || {
            let Ok(stream) = handshake(stage.address(), &config).await else { return false };
            stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Full)
        })
        .await;
        let mut kept = stage.open(&config).await;
        assert_eq!(ask(&mut kept, "/v1/files/t1/a", &[]).await.status(), 404, "{version:?}");
        let served = stage.smh.received().len();
        assert_eq!(served, 2, "{version:?}");
    }
}

#[tokio::test]
async fn a_session_is_not_resumed_across_a_new_certificate_of_the_gateway() {
    let stage = Stage::set().await;
    let config = stage.caller(WHOLE);
    assert_eq!(kind(&stage, &config).await, Some(HandshakeKind::Full));
    let next = stage.server_ca.server();
    stage.files.put_pair(&next);
    stage.refresh().await;
    let mut kept = stage.open(&config).await;
    assert_eq!(ask(&mut kept, "/v1/files/t1/a", &[]).await.status(), 404);
    let session = kept.stream.get_ref().1;
    assert_eq!(session.handshake_kind(), Some(HandshakeKind::Full));
    assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(session.peer_certificates().unwrap(), next.chain);
}
