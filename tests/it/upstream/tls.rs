//! TLS: to whom a delete is sent, and by which protocol.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use http::Version;

use super::*;
use crate::support::{LIBRARY, SPACE};

#[tokio::test]
async fn smh_is_reached_over_tls_by_the_newest_protocol_that_it_offers() {
    let authority = Authority::new();
    for (protocols, version) in [
        (&["h2", "http/1.1"][..], Version::HTTP_2),
        (&["http/1.1", "h2"][..], Version::HTTP_11),
        (&["h2"][..], Version::HTTP_2),
        (&["http/1.1"][..], Version::HTTP_11),
        (&[][..], Version::HTTP_11),
    ] {
        let smh = Encrypted::start(authority.acceptor(&["127.0.0.1"], protocols)).await;
        let gateway = start(&authority.trusted("UPSTREAM"), smh.address).await;
        for name in ["a", "b"] {
            let answer = delete(gateway.address(), &format!("/v1/files/t1/{name}")).await;
            assert_eq!(answer.status(), 200, "{:?}", answer.json());
            assert!(answer.head.starts_with("HTTP/1.1 200 "), "{}", answer.head);
        }
        let received = smh.simulator.received();
        assert_eq!(received.len(), 2);
        for request in received {
            assert_eq!((request.version, request.connection), (version, 1), "{protocols:?}");
            let host = smh.address.to_string();
            match version {
                Version::HTTP_2 => assert_eq!(request.authority, Some(host)),
                _ => assert_eq!(request.header("host").collect::<Vec<_>>(), [host.as_bytes()]),
            }
            let names: BTreeSet<&str> = request.headers.iter().map(|(n, _)| n.as_str()).collect();
            let known = ["accept", "accept-encoding", "host", "user-agent"];
            assert!(names.iter().all(|name| known.contains(name)), "{names:?}");
        }
    }
}

#[tokio::test]
async fn a_server_that_cannot_prove_to_be_smh_gets_nothing() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let localhost = IpAddr::from(Ipv4Addr::LOCALHOST).to_string();
    for (names, yaml) in [
        (["elsewhere.example"], authority.trusted("UPSTREAM")),
        (["localhost"], authority.trusted("UPSTREAM")),
        ([&*localhost], stranger.trusted("UPSTREAM")),
        ([&*localhost], one_worker().replace("http://", "https://")),
    ] {
        let smh = Encrypted::start(authority.acceptor(&names, &["h2", "http/1.1"])).await;
        let gateway = start(&yaml, smh.address).await;
        let answer = delete(gateway.address(), "/v1/files/t1/a").await;
        assert_eq!(told(&answer), refusal(502, "UpstreamUnreachable", "not_sent"), "{names:?}");
        assert_eq!(smh.simulator.received(), [], "{names:?}");
        assert_eq!(smh.simulator.files(LIBRARY, SPACE), ["a", "b"]);
        let lines = gateway.stop().await;
        assert!(lines[0]["cause"].as_str().unwrap().contains("certificate"), "{}", lines[0]);
    }
}

#[tokio::test]
async fn a_name_is_verified_as_a_name() {
    let authority = Authority::new();
    let smh = Encrypted::start(authority.acceptor(&["localhost"], &["h2"])).await;
    let host = format!("localhost:{}", smh.address.port());
    let gateway = start(&authority.trusted(&host), smh.address).await;
    assert_eq!(delete(gateway.address(), "/v1/files/t1/a").await.status(), 200);
    assert_eq!(smh.simulator.received()[0].authority, Some(host));
}
