//! What `serve` and `check` say of TLS files, good and bad; and that no key is in any of it.

use smh_gateway::listener::TlsError;
use smh_gateway::run::{Running, StartError};
use time::OffsetDateTime;

use super::*;
use crate::support::binary::{Binary, Ran, run};
use crate::support::{Folder, Lines, load, send};

const TLS: &str = "127.0.0.1:0\n    tls: { certificate: tls.crt, private_key: tls.key, \
                   client_ca: ca.crt }";

/// A gateway's folder with the TLS files in it.
struct Prepared {
    smh: Smh,
    folder: Folder,
    server_ca: Ca,
    client_ca: Ca,
    server: Identity,
}

impl Prepared {
    async fn new() -> Self {
        let (smh, server_ca, client_ca) = (Smh::start().await, Ca::new(), Ca::new());
        let yaml = GATEWAY_YAML.replacen("127.0.0.1:0", TLS, 1).replace("callers:\n", CALLERS);
        let folder = Folder::new(&yaml, None, smh.address);
        let server = server_ca.server();
        let prepared = Self { smh, folder, server_ca, client_ca, server };
        prepared.put(&prepared.server);
        prepared.folder.write("ca.crt", &prepared.client_ca.pem);
        prepared
    }

    fn put(&self, server: &Identity) {
        self.folder.write("tls.crt", &server.pem);
        self.folder.write("tls.key", &server.key.serialize_pem());
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.folder.path(name)).unwrap();
    }

    async fn run(&self, arguments: &[&str]) -> Ran {
        let (at, arguments) = (self.folder.path(""), [arguments, &["--config", "gateway.yaml"]]);
        let ran = run(&at, &arguments.concat()).await;
        holds_no_key(&self.server, &[&ran.out, &ran.err]);
        ran
    }

    /// What `serve` says where it does not start.
    async fn refused(&self) -> String {
        let ran = self.run(&["serve"]).await;
        assert_eq!((ran.code, &*ran.out), (Some(1), ""), "{}", ran.err);
        assert_eq!(ran.failure().lines().count(), 1, "{}", ran.err);
        ran.failure()
    }

    /// The exit code of `check`, what it says of the listener, and that for programs.
    async fn checked(&self) -> (i32, String, Value) {
        let ran = self.run(&["check"]).await;
        let line = ran.out.lines().find(|line| line.starts_with("listener")).expect(&ran.err);
        let json = self.run(&["check", "--format", "json"]).await;
        assert_eq!(json.code, ran.code, "{}", json.out);
        let mut found: Value = serde_json::from_str(&json.out).unwrap();
        assert_eq!(found["valid"], ran.code == Some(0), "{found:#}");
        let valid = if ran.code == Some(0) { "valid" } else { "not valid" };
        assert!(ran.out.starts_with(&format!("gateway.yaml: {valid}")), "{}", ran.out);
        let said = line.trim_start_matches("listener").trim_start().to_owned();
        (ran.code.unwrap(), said, found["mounted"]["tls"][0].take())
    }
}

/// Asserts that nothing of the key's base64 is in any of these.
fn holds_no_key(identity: &Identity, texts: &[&str]) {
    let pem = identity.key.serialize_pem();
    let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    assert!(base64.len() > 100);
    for part in base64.as_bytes().windows(16) {
        let part = std::str::from_utf8(part).unwrap();
        for text in texts {
            assert!(!text.contains(part), "{part}: {text}");
        }
    }
    let der = identity.key.serialize_der();
    let hexadecimal = hex::encode(&der[der.len() - 32..]);
    for text in texts {
        assert!(!text.contains("PRIVATE KEY"), "{text}");
        assert!(!text.contains(&hexadecimal), "{text}");
    }
}

/// A change to the files, and what is said of it in one line.
type Mistake<'a> = (&'a dyn Fn(&Prepared), &'a str);

const MISSING: [Mistake<'_>; 3] = [
    (&|it| it.remove("tls.crt"), "tls.crt: cannot be read"),
    (&|it| it.remove("tls.key"), "tls.key: cannot be read"),
    (&|it| it.remove("ca.crt"), "ca.crt: cannot be read"),
];

const WRONG: [Mistake<'_>; 8] = [
    (
        &|it| it.folder.write("tls.key", &KeyPair::generate().unwrap().serialize_pem()),
        "tls.crt and tls.key: cannot be used together: keys may not be consistent: KeyMismatch",
    ),
    (&|it| it.folder.write("tls.crt", "garbage"), "tls.crt: holds no certificate in PEM"),
    (&|it| it.folder.write("tls.crt", ""), "tls.crt: holds no certificate in PEM"),
    (
        &|it| it.folder.write("tls.crt", &it.server.key.serialize_pem()),
        "tls.crt: holds no certificate in PEM",
    ),
    (&|it| it.folder.write("tls.key", &it.server.pem), "tls.key: holds no private key in PEM"),
    (&|it| it.folder.write("ca.crt", "garbage"), "ca.crt: holds no certificate in PEM"),
    (
        &|it| it.folder.write("ca.crt", &it.client_ca.caller(WHOLE).pem),
        "ca.crt: holds a certificate that is no CA's",
    ),
    (
        // One that is right does not make up for it.
        &|it| {
            let leaf = it.client_ca.caller(WHOLE).pem;
            it.folder.write("ca.crt", &format!("{}{leaf}", it.client_ca.pem));
        },
        "ca.crt: holds a certificate that is no CA's",
    ),
];

#[tokio::test]
async fn without_its_tls_files_a_gateway_does_not_start_and_names_them() {
    for (nth, (change, said)) in MISSING.iter().chain(&WRONG).enumerate() {
        let prepared = Prepared::new().await;
        change(&prepared);
        let error = prepared.refused().await;
        let wanted = format!("smh-gateway: a listener cannot speak TLS: {said}");
        assert!(error.starts_with(&wanted), "{nth}: {error}");
        let why = error.contains("No such file or directory");
        assert_eq!(why, nth < MISSING.len(), "{error}");
    }
}

#[tokio::test]
async fn a_leaf_among_the_client_cas_is_refused_at_the_start() {
    let prepared = Prepared::new().await;
    prepared.folder.write("ca.crt", &prepared.client_ca.caller(WHOLE).pem);
    let (snapshot, _) = load(&prepared.folder.path("gateway.yaml"));
    let Err(error) = Running::start(snapshot, Lines::default()).await else { panic!("started") };
    assert!(matches!(error, StartError::Tls(TlsError::Leaf(_))), "{error}");
}

#[tokio::test]
async fn check_says_how_long_the_certificate_is_good_for() {
    let prepared = Prepared::new().await;
    let for_days = |days: i64| {
        prepared.server_ca.issue(|params| {
            params.subject_alt_names = vec![localhost()];
            // Half a day more, so that it is this day whatever the hour.
            let hours = time::Duration::hours(days * 24 + 12);
            params.not_after = OffsetDateTime::now_utc() + hours;
        })
    };
    for (days, said, shown) in [
        (30, "127.0.0.1:0, TLS, certificate good for 30 days", 30),
        (1, "127.0.0.1:0, TLS, certificate good for 1 days", 1),
        (0, "127.0.0.1:0, TLS, certificate good for 0 days", 0),
        (-3, "127.0.0.1:0, TLS, certificate EXPIRED 3 days ago", -3),
    ] {
        prepared.put(&for_days(days));
        let wanted = serde_json::json!({
            "listener": "127.0.0.1:0", "expires_in_days": shown, "problem": null,
        });
        assert_eq!(prepared.checked().await, (0, said.to_owned(), wanted), "{days}");
    }
}

#[tokio::test]
async fn check_does_not_mind_files_that_are_only_where_the_gateway_runs() {
    for (change, said) in MISSING {
        let prepared = Prepared::new().await;
        change(&prepared);
        let (code, line, json) = prepared.checked().await;
        assert_eq!(code, 0);
        assert!(line.starts_with(&format!("127.0.0.1:0, TLS, not checked here: {said}")), "{line}");
        assert!(json["problem"].as_str().unwrap().starts_with(said), "{json}");
        assert_eq!(json["expires_in_days"], Value::Null);
    }
}

#[tokio::test]
async fn check_finds_tls_files_that_cannot_be_used() {
    for (change, said) in WRONG {
        let prepared = Prepared::new().await;
        change(&prepared);
        let (code, line, json) = prepared.checked().await;
        assert_eq!(code, 1, "{said}");
        assert!(line.starts_with(&format!("127.0.0.1:0, TLS: {said}")), "{line}");
        assert!(json["problem"].as_str().unwrap().starts_with(said), "{json}");
    }
}

#[tokio::test]
async fn an_expired_certificate_of_its_own_keeps_no_gateway_from_starting() {
    let prepared = Prepared::new().await;
    let expired = prepared.server_ca.issue(|params| {
        params.subject_alt_names = vec![localhost()];
        params.not_after = OffsetDateTime::now_utc() - time::Duration::days(1);
    });
    prepared.put(&expired);
    let gateway = Binary::serve(&prepared.folder).await;
    let config = client(&prepared.server_ca, None, &VERSIONS);
    assert!(handshake(gateway.data[0], &config).await.is_err(), "the caller does not want it");
    assert_eq!(gateway.stop().await.code, Some(0));
}

#[tokio::test]
async fn nothing_of_a_private_key_is_written_or_sent() {
    let prepared = Prepared::new().await;
    let mut command = Binary::serve_command(&prepared.folder);
    command.env("SMH_GATEWAY_LOG", "trace").env("RUST_LOG", "trace").env("RUST_BACKTRACE", "1");
    let mut gateway = Binary::serving(command).await;
    let config = client(&prepared.server_ca, Some(&prepared.client_ca.caller(WHOLE)), &VERSIONS);
    let mut kept = open(gateway.data[0], &config).await;
    let answer = ask(&mut kept, "/v1/files/t1/a", &[]).await;
    assert_eq!(answer.status(), 404);
    assert_eq!(prepared.smh.received().len(), 1);
    // The key where the certificate belongs, half a key, and a key that is another's.
    let pem = prepared.server.key.serialize_pem();
    prepared.folder.write("tls.crt", &pem);
    gateway.says("tls.crt: holds no certificate in PEM").await;
    prepared.folder.write("tls.key", pem.split_at(pem.len() / 2).0);
    prepared.folder.write("tls.crt", &prepared.server_ca.server().pem);
    gateway.says("tls.key: holds no private key in PEM").await;
    prepared.folder.write("tls.key", &pem);
    gateway.says("cannot be used together").await;

    let mut seen = Vec::new();
    for path in ["/metrics", "/api/status", "/api/config", "/readyz", "/"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
        let answer = send(gateway.admin.unwrap(), request.as_bytes()).await;
        seen.push(String::from_utf8(answer.body).unwrap());
    }
    assert!(seen[2].contains("\"listeners\""), "{}", seen[2]);
    let ran = gateway.stop().await;
    seen.extend([ran.out, ran.err, answer.head]);
    let seen: Vec<_> = seen.iter().map(String::as_str).collect();
    holds_no_key(&prepared.server, &seen);
}
