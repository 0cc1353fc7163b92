//! TLS listeners, and callers that are known by their certificates.

/// TLS itself: versions, protocols, sessions, and what is no TLS.
mod tls;
/// Which certificate is whose, and which is nobody's.
mod spiffe;
/// What `serve` and `check` say of TLS files, good and bad.
mod starting;
/// Mistakes in what listeners and callers say of TLS, sockets and SPIFFE ids.
mod mistakes;
/// Certificates, keys and client CAs that are replaced while it runs.
mod rotation;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use serde_json::Value;
use smh_gateway::run::Ended;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{Answer, GATEWAY_YAML, Gateway, Kept, Smh};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// Longer than anything here takes; where this ends a test, something hung.
const PATIENCE: Duration = Duration::from_secs(60);

/// The caller `whole`.
const WHOLE: &str = "spiffe://example.org/ns/media/sa/whole";
/// One of the caller `below`, who has all that lie below `spiffe://example.org/ns/batch`.
const BELOW: &str = "spiffe://example.org/ns/batch/sa/x";

const CALLERS: &str = "\
callers:
  whole: { spiffe_id: spiffe://example.org/ns/media/sa/whole, tenants: [t1] }
  below: { spiffe_id: \"spiffe://example.org/ns/batch/*\", tenants: [t1] }
  idle: { spiffe_id: spiffe://example.org/idle, tenants: [] }
";

/// A certificate with its key.
struct Identity {
    /// The leaf first.
    chain: Vec<CertificateDer<'static>>,
    pem: String,
    key: KeyPair,
}

/// A CA, or a CA below one.
struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    certificate: CertificateDer<'static>,
}

impl Ca {
    fn new() -> Self {
        let (params, key) = (ca("a CA"), KeyPair::generate().unwrap());
        Self::of(params.self_signed(&key).unwrap(), params, key)
    }

    /// One that this one has signed.
    fn intermediate(&self) -> Self {
        let (params, key) = (ca("a CA below another"), KeyPair::generate().unwrap());
        Self::of(params.signed_by(&key, &self.issuer).unwrap(), params, key)
    }

    fn of(certificate: rcgen::Certificate, params: CertificateParams, key: KeyPair) -> Self {
        Self {
            pem: certificate.pem(),
            certificate: certificate.into(),
            issuer: Issuer::new(params, key),
        }
    }

    fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        self.issue_for(KeyPair::generate().unwrap(), change)
    }

    fn issue_for(&self, key: KeyPair, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params = CertificateParams::default();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity { pem: certificate.pem(), chain: vec![certificate.into()], key }
    }

    /// For the gateway.
    fn server(&self) -> Identity {
        self.issue(|params| params.subject_alt_names = vec![localhost()])
    }

    /// For a caller.
    fn caller(&self, id: &str) -> Identity {
        self.issue(|params| params.subject_alt_names = vec![uri(id)])
    }
}

fn ca(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name = common_name(name);
    params
}

fn common_name(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn localhost() -> SanType {
    SanType::IpAddress(IpAddr::from(Ipv4Addr::LOCALHOST))
}

/// The files that a TLS listener is made of.
struct Files(TempDir);

impl Files {
    fn new(server: &Identity, client_cas: &[&Ca]) -> Self {
        let files = Self(TempDir::new().unwrap());
        files.put_pair(server);
        files.put_cas(client_cas);
        files
    }

    fn put_pair(&self, identity: &Identity) {
        self.put("tls.key", &identity.key.serialize_pem());
        self.put("tls.crt", &identity.pem);
    }

    fn put_cas(&self, cas: &[&Ca]) {
        self.put("ca.crt", &cas.iter().map(|ca| ca.pem.as_str()).collect::<String>());
    }

    /// Replaces a file as a whole.
    fn put(&self, name: &str, content: &str) {
        let path = self.0.path().join(name);
        let next = path.with_extension("next");
        fs::write(&next, content).unwrap();
        fs::rename(next, path).unwrap();
    }

    /// A gateway's file with one listener that has these.
    fn yaml(&self) -> String {
        yaml(self.0.path())
    }
}

/// A gateway's file whose listener has the TLS files of this folder.
fn yaml(folder: &Path) -> String {
    let at = folder.display();
    let tls = format!(
        "127.0.0.1:0\n    tls: {{ certificate: {at}/tls.crt, private_key: {at}/tls.key, \
         client_ca: {at}/ca.crt }}"
    );
    GATEWAY_YAML.replacen("127.0.0.1:0", &tls, 1).replace("callers:\n", CALLERS)
}

/// A gateway that speaks TLS and asks for certificates, between a simulated SMH and callers.
struct Stage {
    smh: Smh,
    /// Has signed the gateway's certificate.
    server_ca: Ca,
    /// Signs those of callers.
    client_ca: Ca,
    server: Identity,
    files: Files,
    gateway: Gateway,
}

impl Stage {
    async fn set() -> Self {
        Self::set_with(|yaml| yaml).await
    }

    async fn set_with(change: impl FnOnce(String) -> String) -> Self {
        let (smh, server_ca, client_ca) = (Smh::start().await, Ca::new(), Ca::new());
        let server = server_ca.server();
        let files = Files::new(&server, &[&client_ca]);
        let gateway = Gateway::with(&change(files.yaml()), None, smh.address).await;
        Self { smh, server_ca, client_ca, server, files, gateway }
    }

    fn address(&self) -> SocketAddr {
        self.gateway.address()
    }

    /// A caller without a certificate.
    fn anonymous(&self) -> ClientConfig {
        client(&self.server_ca, None, &VERSIONS)
    }

    /// A caller with this certificate.
    fn with(&self, identity: &Identity) -> ClientConfig {
        client(&self.server_ca, Some(identity), &VERSIONS)
    }

    /// A caller with a certificate for this id.
    fn caller(&self, id: &str) -> ClientConfig {
        self.with(&self.client_ca.caller(id))
    }

    async fn open(&self, config: &ClientConfig) -> Kept<TlsStream<TcpStream>> {
        open(self.address(), config).await
    }

    /// Sends one delete on a connection of its own, with these header lines besides `Host`.
    async fn send(&self, config: &ClientConfig, fields: &[&str]) -> Answer {
        ask(&mut self.open(config).await, "/v1/files/t1/a", fields).await
    }

    /// Has the files looked at now, and not only within the next second.
    async fn refresh(&self) {
        let gateway = Arc::clone(self.gateway.running.gateway());
        tokio::task::spawn_blocking(move || gateway.refresh_secrets()).await.unwrap();
    }

    /// The sample of a metric with these labels.
    async fn metric(&self, sample: &str) -> Option<f64> {
        sample_of(&self.gateway.admin("/metrics").await, sample)
    }

    async fn handshakes_failed(&self) -> f64 {
        self.metric("smh_gateway_tls_handshakes_failed_total").await.unwrap()
    }

    /// Asserts that nobody gets through a handshake with this, whether it is told so in the
    /// handshake or with the first read after it, and that nothing comes of what is sent.
    async fn refuses(&self, config: &ClientConfig, what: &str) {
        let before = (self.smh.received().len(), self.handshakes_failed().await);
        if let Ok(stream) = handshake(self.address(), config).await {
            let mut kept = Kept::over(stream);
            kept.write(delete("/v1/files/t1/a", &[]).as_bytes()).await;
            let mut read = Vec::new();
            let end = tokio::time::timeout(PATIENCE, kept.stream.read_to_end(&mut read)).await;
            assert!(end.expect(what).is_err() && read.is_empty(), "{what}: {read:?}");
        }
        until(what, async || self.handshakes_failed().await == before.1 + 1.0).await;
        assert_eq!(self.smh.received().len(), before.0, "{what}");
    }

    /// Ends the gateway and returns the lines that its deletes left.
    async fn stop(self) -> Vec<Value> {
        let Gateway { running, log, .. } = self.gateway;
        assert_eq!(running.stop_in_time().await, Ended::Finished);
        log.all()
    }
}

fn sample_of(metrics: &Answer, sample: &str) -> Option<f64> {
    let text = String::from_utf8(metrics.body.clone()).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '))?;
    Some(value.parse().unwrap())
}

/// A client that trusts this CA, and shows this certificate if it is asked for one.
fn client(
    server_ca: &Ca,
    identity: Option<&Identity>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(server_ca.certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { chain, key, .. }) => {
            let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
            builder.with_client_auth_cert(chain.clone(), key).unwrap()
        }
    }
}

fn offering(mut config: ClientConfig, protocols: &[&str]) -> ClientConfig {
    config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
    config
}

async fn handshake(
    address: SocketAddr,
    config: &ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let name = ServerName::from(address.ip());
    let shaken = TlsConnector::from(Arc::new(config.clone())).connect(name, stream);
    tokio::time::timeout(PATIENCE, shaken).await.expect("a handshake in time")
}

async fn open(address: SocketAddr, config: &ClientConfig) -> Kept<TlsStream<TcpStream>> {
    Kept::over(handshake(address, config).await.unwrap())
}

/// A delete with these header lines besides `Host`.
fn delete(target: &str, fields: &[&str]) -> String {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    format!("DELETE {target} HTTP/1.1\r\nHost: gateway\r\n{fields}\r\n")
}

async fn ask(kept: &mut Kept<TlsStream<TcpStream>>, target: &str, fields: &[&str]) -> Answer {
    kept.write(delete(target, fields).as_bytes()).await;
    kept.answer().await
}

/// A connection of HTTP/2, and what ends with it.
struct Http2 {
    sender: http2::SendRequest<Empty<Bytes>>,
    ended: tokio::task::JoinHandle<Result<(), hyper::Error>>,
}

impl Http2 {
    #[expect(clippy::disallowed_methods, reason = "it ends with the runtime of the test")]
    async fn open(address: SocketAddr, config: &ClientConfig) -> Self {
        let stream = handshake(address, &offering(config.clone(), &["h2"])).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        Self { sender, ended: tokio::spawn(connection) }
    }

    /// The status of one delete, and its body.
    async fn delete(&mut self, target: &str) -> Result<(u16, Value), hyper::Error> {
        let request = http::Request::delete(format!("https://gateway{target}"));
        let request = request.body(Empty::new()).unwrap();
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok((head.status.as_u16(), serde_json::from_slice(&body).unwrap_or_default()))
    }

    /// Waits until the gateway ends it in good order.
    async fn until_closed(self) {
        let ended = tokio::time::timeout(PATIENCE, self.ended).await;
        ended.expect("the connection is closed").unwrap().unwrap();
    }
}

/// Waits until this is so, as it must be soon.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Caller, proof and reason of each line, sorted: workers write their lines as they come.
fn told(lines: &[Value]) -> Vec<[&str; 3]> {
    let fields = ["caller", "proof", "reason"];
    let texts = lines.iter().map(|line| fields.map(|name| line[name].as_str().unwrap_or("")));
    let mut told: Vec<_> = texts.collect();
    told.sort();
    told
}
