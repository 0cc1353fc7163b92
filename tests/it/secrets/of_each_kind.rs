//! A library secret, minted tokens, JWTs, a password of Redis and a private key: each is used, each goes wrong, and
//! nothing of it is in what comes out. For every command that reads the files as well.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::CertifiedKey;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use smh_gateway::simulator::{Fault, Injection, Matcher, RouteKind};
use tokio::io::AsyncReadExt;
use tokio_rustls::TlsConnector;

use super::*;
use crate::callers::signer::{Signer, in_seconds, key_set};
use crate::support::binary::{Binary, command};
use crate::support::redis::Redis;
use crate::support::{Folder, KEY, LIBRARY, SPACE, Smh, becomes};
use crate::tokens::{minted, mints};

const REDIS_PASSWORD: &str = "sentinel-password-of-redis-8642";
const WRONG_PASSWORD: &str = "sentinel-password-of-nobody-9753";
const WRONG_SECRET: &str = "sentinel-secret-of-no-library-1357";

const YAML: &str = "\
listeners:
  - address: 127.0.0.1:0
  - address: 127.0.0.1:0
    tls: { certificate: tls.crt, private_key: tls.key }
admin:
  address: 127.0.0.1:0
  socket: admin.sock
upstream:
  url: http://UPSTREAM
  timeout: 5s
libraries:
  smhxxx:
    token: { mint: { library_secret: { file: secret } } }
tenants:
  t1: { library: smhxxx, space: spacexxx }
callers:
  app: { api_key: { file: app.key }, tenants: [t1] }
  reports: { jwt: { issuer: corporate, subject: reports }, tenants: [t1] }
jwt_issuers:
  corporate: { issuer: https://id.example, audience: smh-gateway, jwks: { file: jwks.json } }
rate_limit_store:
  redis: { url: \"redis://127.0.0.1:REDIS\", password: { file: redis.password }, response_timeout: 1s }
  replicas: 1
audit: { file: audit.jsonl }
workers: 2
shutdown: { delay: 0s, drain: 1s }
";

const POLICY: &str = "\
rules: []
rate_limits:
  - { name: many, limit: 1000/day }
";

struct Stage {
    smh: Smh,
    redis: Redis,
    folder: Folder,
    gateway: Binary,
    signer: Signer,
    server: CertifiedKey<rcgen::KeyPair>,
    seen: Seen,
    /// What was used so far, and must be nowhere.
    secrets: Vec<Vec<u8>>,
}

impl Stage {
    async fn set() -> Self {
        let smh = Smh::start().await;
        let redis = Redis::with(&["--requirepass", REDIS_PASSWORD]).await;
        let yaml = YAML.replace("REDIS", &redis.port.to_string());
        let folder = Folder::new(&yaml, Some(POLICY), smh.address);
        let signer = Signer::new("k1");
        let server = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        for (name, content) in [
            ("secret", LIBRARY_SECRET),
            ("redis.password", REDIS_PASSWORD),
            ("jwks.json", &key_set(&[&signer])),
            ("tls.crt", &server.cert.pem()),
            ("tls.key", &server.signing_key.serialize_pem()),
        ] {
            folder.write(name, content);
        }
        let gateway = Binary::serving(traced(Binary::serve_command(&folder))).await;
        let secrets = [LIBRARY_SECRET, WRONG_SECRET, REDIS_PASSWORD, WRONG_PASSWORD, KEY, WRONG];
        let mut secrets: Vec<_> = secrets.map(|secret| secret.as_bytes().to_vec()).into();
        let pem = server.signing_key.serialize_pem();
        let pem = pem.lines().filter(|line| !line.starts_with('-')).collect::<String>();
        secrets.extend([pem.into_bytes(), server.signing_key.serialize_der()]);
        Self { smh, redis, folder, gateway, signer, server, seen: Seen::default(), secrets }
    }

    async fn asks(&self, path: &str) -> Vec<u8> {
        let bytes = format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
        exchange(self.gateway.admin.unwrap(), &bytes).await
    }

    async fn status(&self) -> Value {
        let answer = self.asks("/api/status").await;
        let (_, body) =
            String::from_utf8(answer).unwrap().split_once("\r\n\r\n").map(owned).unwrap();
        serde_json::from_str(&body).unwrap()
    }

    async fn deletes(&mut self, credential: &str, status: u16) {
        self.smh.simulator.put_file(LIBRARY, SPACE, "a");
        let credential = format!("Authorization: Bearer {credential}\r\n");
        let bytes = deletes("/v1/files/t1/a", &credential);
        let answer = exchange(self.gateway.data[0], &bytes).await;
        assert_eq!(status_of(&answer), status, "{}", String::from_utf8_lossy(&answer));
        self.seen.add("an answer", answer);
    }

    /// Each kind as it is meant to be.
    async fn use_each(&mut self) {
        becomes("ready", async || status_of(&self.asks("/readyz").await) == 200).await;
        becomes("the store is there", async || {
            self.status().await["rate_limit_store"]["connected_workers"] == 2
        })
        .await;
        self.deletes(KEY, 200).await;
        let mint = &mints(&self.smh)[0];
        assert_eq!(mint["library_secret"], LIBRARY_SECRET);
        let charged = self.redis.cli(&["-a", REDIS_PASSWORD, "KEYS", "*many*"]);
        assert!(charged.contains("many"), "{charged}");
        let jwt = self.jwt(&json!({}));
        self.deletes(&jwt, 200).await;
        let tokens = minted(&self.smh);
        let used = tokens.iter().filter(|token| {
            let place = format!("access_token={}", token.value);
            self.smh.targets().iter().any(|target| target.contains(&place))
        });
        assert_eq!(used.count(), 2, "each caller's token is used");
        self.secrets.extend(tokens.into_iter().map(|token| token.value.into_bytes()));
        let answer = self.over_tls().await;
        assert_eq!(status_of(&answer), 404, "{}", String::from_utf8_lossy(&answer));
        self.seen.add("an answer over TLS", answer);
    }

    /// A token with these claims instead of good ones. It is a secret, also where it is worth nothing.
    fn jwt(&mut self, other: &Value) -> String {
        let mut claims = json!({
            "iss": "https://id.example", "aud": "smh-gateway", "sub": "reports",
            "iat": in_seconds(0), "exp": in_seconds(600),
        });
        for (name, value) in other.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let jwt = self.signer.sign(&claims);
        self.secrets.push(jwt.clone().into_bytes());
        jwt
    }

    async fn over_tls(&self) -> Vec<u8> {
        let mut roots = RootCertStore::empty();
        roots.add(self.server.cert.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(self.gateway.data[1]).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        let credential = format!("Authorization: Bearer {KEY}\r\n");
        stream.write_all(deletes("/v1/files/t1/z", &credential).as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // Whoever closes without a word has answered all the same.
        let _ = stream.read_to_end(&mut answer).await;
        answer
    }

    /// Each kind as it must not be.
    async fn have_each_go_wrong(&mut self) {
        for claims in [
            json!({"exp": in_seconds(-600)}),
            json!({"aud": "somebody"}),
            json!({"iss": "https://elsewhere.example"}),
            json!({"sub": "nobody"}),
        ] {
            let jwt = self.jwt(&claims);
            self.deletes(&jwt, 401).await;
        }
        let mut altered = self.jwt(&json!({}));
        altered.replace_range(altered.len() - 8.., "AAAAAAAA");
        self.deletes(&altered, 401).await;
        self.deletes(WRONG, 401).await;

        let pem = self.server.signing_key.serialize_pem();
        self.folder.write("tls.key", pem.split_at(pem.len() / 2).0);
        self.gateway.says("tls.key: holds no private key in PEM").await;
        self.folder.write("tls.crt", &pem);
        self.gateway.says("tls.crt: holds no certificate in PEM").await;

        // A token that SMH repeats, and one that it does not take any more; then a secret that it does not take.
        self.smh.simulator.inject(Injection::once(Fault::EchoTokenInBody));
        self.deletes(KEY, 502).await;
        let mint = Injection::once(Fault::EchoTokenInBody);
        self.smh.simulator.inject(mint.when(Matcher::route(RouteKind::IssueToken)));
        let before = mints(&self.smh).len();
        self.folder.write("secret", WRONG_SECRET);
        becomes("the next secret is tried", async || {
            let tried = mints(&self.smh).split_off(before);
            tried.iter().any(|mint| mint["library_secret"] == WRONG_SECRET)
        })
        .await;

        self.folder.write("redis.password", WRONG_PASSWORD);
        self.redis.cli(&["-a", REDIS_PASSWORD, "CLIENT", "KILL", "TYPE", "normal"]);
        becomes("the store refuses the password", async || {
            self.deletes_to_ask_the_store().await;
            self.status().await["rate_limit_store"]["last_fault"] == "password"
        })
        .await;
    }

    async fn deletes_to_ask_the_store(&self) {
        let credential = format!("Authorization: Bearer {KEY}\r\n");
        let bytes = deletes("/v1/files/t1/y", &credential);
        let _ = exchange(self.gateway.data[0], &bytes).await;
    }

    async fn look_at_everything(&mut self) {
        for path in [
            "/",
            "/metrics",
            "/api/status",
            "/api/config",
            "/api/limits",
            "/api/explain?caller=app&tenant=t1&path=a",
        ] {
            let answer = self.asks(path).await;
            self.seen.add(path, answer);
        }
        let events = first_of_events(self.gateway.admin.unwrap()).await;
        assert!(events.windows(5).any(|part| part == b"data:"));
        self.seen.add("/api/events", events);
        let of_gateway = ["--config", "gateway.yaml"];
        let question = ["--caller", "app", "--tenant", "t1", "--path", "a"];
        for (words, more, good) in [
            (&["check"][..], &[][..], None),
            (&["check", "--format", "json"], &[], None),
            (&["explain"], &question[..], Some(0)),
            (&["doctor"], &[], None),
            (&["budget", "show"], &[], Some(0)),
        ] {
            let arguments = [words, &of_gateway, more].concat();
            let ran = self.runs(&arguments).await;
            assert!(good.is_none_or(|good| ran == Some(good)), "{arguments:?}: {ran:?}");
        }
        for words in [&["audit", "list", "audit.jsonl"][..], &["audit", "verify", "audit.jsonl"]] {
            assert_eq!(self.runs(words).await, Some(0), "{words:?}");
        }
    }

    async fn runs(&mut self, arguments: &[&str]) -> Option<i32> {
        let root = self.folder.path("");
        let ran = Binary::spawn(traced(command(&root, arguments))).ended().await;
        assert!(!ran.out.is_empty() || !ran.err.is_empty(), "{arguments:?} says something");
        self.seen.add(format!("standard output of {arguments:?}"), ran.out);
        self.seen.add(format!("standard error of {arguments:?}"), ran.err);
        ran.code
    }
}

fn owned((head, body): (&str, &str)) -> (String, String) {
    (head.to_owned(), body.to_owned())
}

fn traced(mut command: std::process::Command) -> std::process::Command {
    command.env("SMH_GATEWAY_LOG", "trace").env("RUST_LOG", "trace").env("RUST_BACKTRACE", "1");
    command
}

/// It has no end: what comes until it has told something.
async fn first_of_events(admin: SocketAddr) -> Vec<u8> {
    let mut stream = TcpStream::connect(admin).await.unwrap();
    let ask = b"GET /api/events HTTP/1.1\r\nHost: admin\r\nAccept: text/event-stream\r\n\r\n";
    stream.write_all(ask).await.unwrap();
    let mut all = Vec::new();
    let told = async {
        while !all.windows(5).any(|part| part == b"data:") {
            assert_ne!(stream.read_buf(&mut all).await.unwrap(), 0);
        }
    };
    tokio::time::timeout(PATIENCE, told).await.expect("something is told");
    all
}

#[tokio::test]
async fn nothing_of_a_secret_of_any_kind_comes_out_whether_it_is_good_or_not() {
    let mut stage = Stage::set().await;
    stage.use_each().await;
    stage.look_at_everything().await;
    stage.have_each_go_wrong().await;
    stage.look_at_everything().await;
    let Stage { gateway, folder, mut seen, mut secrets, smh, .. } = stage;
    secrets.extend(minted(&smh).into_iter().map(|token| token.value.into_bytes()));
    let ran = gateway.stop().await;
    assert_eq!(ran.code, Some(0));
    assert!(ran.deletes().len() > 8, "each left a line");
    let journal = fs::read(folder.path("audit.jsonl")).unwrap();
    assert!(journal.len() > 2_000, "each is in the journal");
    seen.add("the journal", journal);
    seen.add("standard output", ran.out);
    seen.add("standard error", ran.err);
    assert!(secrets.len() > 14);
    seen.hold_none_of(&secrets);
}
