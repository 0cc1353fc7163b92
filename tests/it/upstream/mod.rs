//! Pools, deadlines, second tries, TLS: what happens between the gateway and SMH.

/// Connections: kept, used again, and given up.
mod pool;
/// What takes too long, before there is a connection and after.
mod deadlines;
/// Whatever goes wrong at SMH.
mod faults;
/// Tokens from files: rejected, replaced, gone.
mod tokens;
/// Too many deletes at once.
mod surplus;
/// TLS: to whom a delete is sent, and by which protocol.
mod tls;
/// HTTP/2 to SMH.
mod http2;
/// Callers that hang up.
mod hangup;
/// Answers that are broken, endless, or cut off wherever they can be.
mod broken;
/// Names: where they lead, and what becomes of that.
mod names;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use smh_gateway::simulator::{Fault, Simulator};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::support::ports;
use crate::support::{Answer, GATEWAY_YAML, Gateway, Kept, Smh};

pub(crate) const RECYCLED: &str =
    "HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n{\"recycledItemId\":17}";
const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\n\r\n";

const FORBIDDEN: &str = "HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nForbidden";

/// Longer than any deadline that a test sets; where this ends a test, something hung.
const PATIENCE: Duration = Duration::from_secs(60);

/// One worker, so that there is one pool: the kernel spreads callers over workers as it likes.
fn one_worker() -> String {
    GATEWAY_YAML.replace("workers: 2", "workers: 1")
}

fn with_timeouts(connect: &str, whole: &str) -> String {
    one_worker()
        .replace("connect_timeout: 1s", &format!("connect_timeout: {connect}"))
        .replace("  timeout: 3s", &format!("  timeout: {whole}"))
}

async fn start(yaml: &str, upstream: SocketAddr) -> Gateway {
    Gateway::with(yaml, None, upstream).await
}

/// Status, `code` and `outcome` of an answer that is the gateway's own.
fn told(answer: &Answer) -> (u16, String, String) {
    (answer.status(), answer.code(), answer.outcome())
}

fn refusal(status: u16, code: &str, outcome: &str) -> (u16, String, String) {
    (status, code.to_owned(), outcome.to_owned())
}

/// One delete on a connection of its own.
async fn delete(gateway: SocketAddr, target: &str) -> Answer {
    Kept::open(gateway).await.delete(target).await
}

/// One delete for each target, all at once, in the order of the targets.
async fn delete_all(gateway: SocketAddr, targets: impl IntoIterator<Item = String>) -> Vec<Answer> {
    let mut tasks = JoinSet::new();
    for (index, target) in targets.into_iter().enumerate() {
        tasks.spawn(async move { (index, delete(gateway, &target).await) });
    }
    let mut answers = tasks.join_all().await;
    answers.sort_by_key(|(index, _)| *index);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// Waits for what comes soon, without saying when.
async fn until<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("it comes soon")
}

/// An upstream that is played by the test itself, connection by connection.
struct ByHand(TcpListener);

impl ByHand {
    async fn listen() -> Self {
        Self(ports::listen())
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    async fn accept(&self) -> Played {
        let accepted = tokio::time::timeout(PATIENCE, self.0.accept()).await;
        let (stream, _) = accepted.expect("a connection in time").unwrap();
        stream.set_nodelay(true).unwrap();
        Played { stream, read: Vec::new() }
    }

    /// No connection was made besides those that were accepted.
    fn assert_no_more_connections(self) {
        let error = self.0.into_std().unwrap().accept().map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}

/// SMH's end of a connection.
struct Played {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Played {
    /// The next request, by its head; empty where the gateway ended the connection.
    async fn request(&mut self) -> String {
        let head = async {
            loop {
                if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                    let rest = self.read.split_off(end + 4);
                    return String::from_utf8(std::mem::replace(&mut self.read, rest)).unwrap();
                }
                match self.stream.read_buf(&mut self.read).await {
                    Ok(0) | Err(_) => return String::new(),
                    Ok(_) => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, head).await.expect("a request in time")
    }

    async fn answer(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).await.unwrap();
    }

    /// Ends the connection by a reset instead of in good order.
    fn reset(self) {
        reset(self.stream);
    }
}

fn reset(stream: TcpStream) {
    stream.set_zero_linger().unwrap();
    drop(stream);
}

/// An upstream that makes each answer of the request's head, once it has leave to.
pub(crate) struct Answering {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    pub(crate) leave: Arc<Semaphore>,
    _tasks: JoinSet<()>,
}

impl Answering {
    pub(crate) async fn start(answer: fn(&str) -> String) -> Self {
        let listener = ports::listen();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let leave = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        let (heard, granted) = (Arc::clone(&asked), Arc::clone(&leave));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (heard, granted) = (Arc::clone(&heard), Arc::clone(&granted));
                connections.spawn(async move {
                    let mut played = Played { stream, read: Vec::new() };
                    loop {
                        let mut head = Vec::new();
                        while !head.ends_with(b"\r\n\r\n") {
                            match played.stream.read_buf(&mut head).await {
                                Ok(0) | Err(_) => return,
                                Ok(_) => {}
                            }
                        }
                        let head = String::from_utf8(head).unwrap();
                        heard.lock().unwrap().push(head.clone());
                        let _leave = granted.acquire().await.unwrap();
                        if played.stream.write_all(answer(&head).as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, asked, leave, _tasks: tasks }
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn times_asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

/// What a caller must be told of a fault, and whether the file is gone then.
struct Expected {
    status: u16,
    /// SMH's, where its answer is relayed.
    code: &'static str,
    /// Empty where SMH's answer is relayed.
    outcome: &'static str,
    gone: bool,
}

/// Exhaustive, so that a new fault is a new row.
fn expected(fault: &Fault) -> Expected {
    let (status, code, outcome, gone) = match fault {
        Fault::InvalidAccessToken | Fault::AccessTokenVersionNotMatch | Fault::PlainForbidden => {
            (502, "UpstreamCredentialRejected", "not_sent", false)
        }
        Fault::RateLimited => (429, "RateLimitExceeded", "", false),
        Fault::InternalServerError => (500, "InternalServerError", "", false),
        Fault::ServerOverloaded => (503, "ServerOverloaded", "", false),
        Fault::BadGatewayHtml => (502, "", "", false),
        Fault::GatewayTimeoutHtml => (504, "", "", false),
        Fault::GatewayTimeoutAfterActing => (504, "", "", true),
        Fault::PathConflict => (409, "PathConflict", "", false),
        Fault::LibraryServiceExpired => (403, "LibraryServiceExpired", "", false),
        Fault::Error { .. } => (403, "NoPermission", "", false),
        Fault::BareError { .. } => (418, "SpaceBanned", "", false),
        Fault::CutBeforeActing => (502, "UpstreamProtocolError", "unknown", false),
        Fault::CutAfterActing | Fault::CutMidBody => {
            (502, "UpstreamProtocolError", "unknown", true)
        }
        Fault::HangBeforeActing => (504, "UpstreamTimeout", "unknown", false),
        Fault::HangAfterActing => (504, "UpstreamTimeout", "unknown", true),
        Fault::Redirect { .. } => (502, "UpstreamRedirected", "unknown", false),
        Fault::EchoTokenInBody | Fault::EchoTokenInHeader => {
            (502, "UpstreamProtocolError", "unknown", true)
        }
        Fault::HugeBody { .. } => (502, "UpstreamProtocolError", "unknown", false),
        Fault::NotJson | Fault::MissingFields => (200, "", "", false),
        Fault::Slow(_) | Fault::ExtraFields | Fault::LargeRecycledItemId | Fault::ExpiresIn(_) => {
            (200, "", "", true)
        }
    };
    Expected { status, code, outcome, gone }
}

/// A certificate authority of the test's own.
pub(crate) struct Authority {
    pub(crate) folder: TempDir,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap();
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("ca.pem"), root.pem()).unwrap();
        Self { folder, issuer: rcgen::Issuer::new(params, key) }
    }

    /// For a server of these names that offers these protocols.
    pub(crate) fn acceptor(&self, names: &[&str], protocols: &[&str]) -> TlsAcceptor {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(names).unwrap();
        let certificate: CertificateDer<'static> =
            params.signed_by(&key, &self.issuer).unwrap().into();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }

    /// A gateway's file that names this authority; the host of the upstream as it is given.
    pub(crate) fn trusted(&self, host: &str) -> String {
        let file = self.folder.path().join("ca.pem");
        let upstream = format!("https://{host}\n  ca_file: {}", file.display());
        one_worker().replace("http://UPSTREAM", &upstream)
    }
}

/// The simulated SMH behind TLS.
pub(crate) struct Encrypted {
    pub(crate) simulator: Simulator,
    pub(crate) address: SocketAddr,
    _plain: Smh,
    _tasks: JoinSet<()>,
}

impl Encrypted {
    pub(crate) async fn start(acceptor: TlsAcceptor) -> Self {
        let plain = Smh::start().await.with_file("a").with_file("b");
        let listener = ports::listen();
        let address = listener.local_addr().unwrap();
        let (simulator, served) = (plain.simulator.clone(), plain.simulator.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, simulator) = (acceptor.clone(), served.clone());
                connections.spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        simulator.serve_connection(stream).await;
                    }
                });
            }
        });
        Self { simulator, address, _plain: plain, _tasks: tasks }
    }
}
