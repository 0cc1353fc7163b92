//! Connections: so many on each listener, over all workers.

use std::net::SocketAddr;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::support::binary::Binary;
use crate::support::{Folder, GATEWAY_YAML, Smh, request, send};

const TARGET: &str = "/v1/files/t1/none";

/// A gateway's file with these listeners.
fn listening(listeners: &str) -> String {
    GATEWAY_YAML.replace("  - address: 127.0.0.1:0\n", listeners)
}

/// What comes of a delete on a connection of its own; empty where it is closed without a word.
async fn told(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let asked = request(TARGET, &["Connection: close"]);
    let _ = stream.write_all(asked.as_bytes()).await;
    let mut read = Vec::new();
    // What was sent is not read, so the end may be a reset.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut read)).await.expect("an end");
    String::from_utf8(read).unwrap()
}

/// A connection on which nothing is sent: it ends at once, and not a byte comes.
async fn assert_closed_at_once(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut read = Vec::new();
    let _ = tokio::time::timeout(AT_ONCE, stream.read_to_end(&mut read)).await.expect("an end");
    assert_eq!(read, b"");
}

/// How many connections this listener has turned away.
async fn refused(gateway: &Gateway, listener: &str) -> usize {
    let sample = format!("smh_gateway_connections_refused_total{{listener=\"{listener}\"}} ");
    let text = String::from_utf8(gateway.admin("/metrics").await.body).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(&sample));
    value.unwrap_or_else(|| panic!("no {sample} in {text}")).parse().unwrap()
}

async fn become_open(gateway: &Gateway, count: usize) {
    let open = gateway.running.gateway().connections();
    becomes("open", async || open.count() == count).await;
}

#[tokio::test]
async fn a_connection_past_the_bound_is_closed_and_the_others_stay() {
    let smh = Smh::start().await;
    let listeners = "  - { address: 127.0.0.1:0, connections: 3 }\n  - address: \"[::1]:0\"\n";
    let gateway = Gateway::with(&listening(listeners), None, smh.address).await;
    let (bounded, other) = (gateway.running.addresses()[0], gateway.running.addresses()[1]);
    let mut kept = Vec::new();
    for _ in 0..3 {
        kept.push(Kept::open(bounded).await);
    }
    // Also those that have said nothing yet.
    become_open(&gateway, 3).await;
    assert_eq!(refused(&gateway, "127.0.0.1:0").await, 0);
    for _ in 0..10 {
        assert_closed_at_once(bounded).await;
        assert_eq!(told(bounded).await, "");
    }
    assert_eq!(refused(&gateway, "127.0.0.1:0").await, 20);
    assert_eq!(smh.targets(), [""; 0]);
    for caller in &mut kept {
        assert_eq!(caller.delete(TARGET).await.status(), 404);
    }
    assert!(told(other).await.starts_with("HTTP/1.1 404"));
    assert_eq!(refused(&gateway, "[::1]:0").await, 0);

    for _ in 0..3 {
        become_open(&gateway, 3).await;
        kept.pop();
        become_open(&gateway, 2).await;
        let mut next = Kept::open(bounded).await;
        assert_eq!(next.delete(TARGET).await.status(), 404);
        assert_eq!(told(bounded).await, "");
        kept.insert(0, next);
    }
    assert_eq!(refused(&gateway, "127.0.0.1:0").await, 23);
    assert_eq!(smh.targets().len(), 7);
}

#[tokio::test]
async fn a_connection_counts_from_before_its_handshake() {
    let smh = Smh::start().await;
    let files = TempDir::new().unwrap();
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(files.path().join("tls.crt"), pair.cert.pem()).unwrap();
    std::fs::write(files.path().join("tls.key"), pair.signing_key.serialize_pem()).unwrap();
    let at = files.path().display();
    let tls = format!("{{ certificate: {at}/tls.crt, private_key: {at}/tls.key }}");
    let listener = format!("  - {{ address: 127.0.0.1:0, connections: 1, tls: {tls} }}\n");
    let gateway = Gateway::with(&listening(&listener), None, smh.address).await;
    let silent = TcpStream::connect(gateway.address()).await.unwrap();
    become_open(&gateway, 1).await;
    assert_closed_at_once(gateway.address()).await;
    assert_eq!(refused(&gateway, "127.0.0.1:0").await, 1);
    drop(silent);
    become_open(&gateway, 0).await;
    let _next = TcpStream::connect(gateway.address()).await.unwrap();
    become_open(&gateway, 1).await;
    assert_eq!(refused(&gateway, "127.0.0.1:0").await, 1);
}

#[tokio::test]
async fn an_operator_is_told_of_it_once_and_not_for_each_connection() {
    let smh = Smh::start().await;
    let yaml = listening("  - { address: 127.0.0.1:0, connections: 1 }\n");
    let folder = Folder::new(&yaml, None, smh.address);
    let mut gateway = Binary::serve(&folder).await;
    let mut caller = Kept::open(gateway.data[0]).await;
    assert_eq!(caller.delete(TARGET).await.status(), 404);
    for _ in 0..20 {
        assert_closed_at_once(gateway.data[0]).await;
    }
    let warned = "a listener has as many connections as it may have";
    gateway.says(warned).await;
    let ran = gateway.stop().await;
    let lines: Vec<_> = ran.err.lines().filter(|line| line.contains(warned)).collect();
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert!(
        line.contains("WARN") && line.contains("listener=127.0.0.1:0 most=1 closed=1"),
        "{line}"
    );
}

/// A delete on a connection of its own from one of this machine's addresses; empty where it is closed.
async fn told_from(from: [u8; 4], address: SocketAddr) -> (TcpStream, String) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let _ = stream.write_all(request(TARGET, &[]).as_bytes()).await;
    let mut read = vec![0; 12];
    let whole = stream.read_exact(&mut read);
    match tokio::time::timeout(PATIENCE, whole).await.expect("an answer or an end") {
        Ok(_) => (stream, String::from_utf8(read).unwrap()),
        Err(_) => (stream, String::new()),
    }
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_the_others_have_theirs() {
    let smh = Smh::start().await;
    let yaml =
        listening("  - { address: 127.0.0.1:0, connections: 9, connections_per_address: 2 }\n");
    let mut gateway = Binary::serve(&Folder::new(&yaml, None, smh.address)).await;
    let (greedy, other) = ([127, 0, 0, 1], [127, 0, 0, 2]);
    let mut kept = Vec::new();
    for from in [greedy, greedy, other, other] {
        let (stream, told) = told_from(from, gateway.data[0]).await;
        assert_eq!(told, "HTTP/1.1 404");
        kept.push(stream);
    }
    for from in [greedy, other, greedy] {
        assert_eq!(told_from(from, gateway.data[0]).await.1, "");
    }
    let scraped =
        send(gateway.admin.unwrap(), b"GET /metrics HTTP/1.1\r\nHost: admin\r\n\r\n").await;
    let text = String::from_utf8(scraped.body).unwrap();
    let counted = |name: &str| {
        let sample = format!("smh_gateway_{name}{{listener=\"127.0.0.1:0\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&sample)).map(str::to_owned)
    };
    assert_eq!(counted("connections_per_address_refused_total").as_deref(), Some("3"));
    assert_eq!(counted("connections_refused_total").as_deref(), Some("0"));
    // Room that is left is left to the same one, too.
    kept.remove(0);
    becomes("its place is free", async || {
        told_from(greedy, gateway.data[0]).await.1 == "HTTP/1.1 404"
    })
    .await;
    assert_eq!(smh.files(), [""; 0]);
    let warned = "an address has as many connections as it may have";
    gateway.says(warned).await;
    let ran = gateway.stop().await;
    let lines: Vec<_> = ran.err.lines().filter(|line| line.contains(warned)).collect();
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert!(line.contains("listener=127.0.0.1:0 most=2 closed=1 from=127.0.0.1"), "{line}");
}
