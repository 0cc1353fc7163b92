//! No secret in anything that is written or sent.
//!
//! Every secret here is a sentinel: a text that is nowhere else. It is searched for as it is, in
//! every piece of twelve bytes, percent-encoded, in base64 and in hexadecimal digits.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sha2::{Digest, Sha256};
use smh_gateway::simulator::{Fault, Injection, TokenSpec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::binary::{Binary, PATIENCE, command};
use crate::support::{
    Canned, Folder, GATEWAY_YAML, Gateway, KEY, LIBRARY, OTHER_KEY, SPACE, Smh, TOKEN,
};

/// A token with bytes that are not the same once they are encoded for a query.
const ODD_TOKEN: &str = "acctk/sentinel+odd==0123456789abcdef";
const NEXT_TOKEN: &str = "acctk-sentinel-that-comes-next-56789";
const HASHED_KEY: &str = "sentinel-key-of-hashed-0123456789";
const LIBRARY_SECRET: &str = "sentinel-library-secret";
/// What callers present, and is nobody's.
const WRONG: &str = "presentedSENTINELofNobody13579xyz";
const COOKIE: &str = "cookie-sentinel-of-a-browser-24680";
/// What stands where a secret is looked for, and is none.
const BROKEN_TOKEN: &str = "broken-sentinel-of-two\nlines-sentinel-0123";
const BROKEN_VALUE: &str = "variable-sentinel with a space-97531";

/// What a caller knows and SMH must not hear of.
const OF_CALLERS: [&str; 5] = [KEY, OTHER_KEY, HASHED_KEY, WRONG, COOKIE];
/// What neither callers nor operators nor logs may see.
const ALL: [&str; 11] = [
    KEY,
    OTHER_KEY,
    HASHED_KEY,
    WRONG,
    COOKIE,
    TOKEN,
    ODD_TOKEN,
    NEXT_TOKEN,
    LIBRARY_SECRET,
    BROKEN_TOKEN,
    BROKEN_VALUE,
];

const YAML: &str = "\
listeners:
  - address: 127.0.0.1:0
admin:
  address: 127.0.0.1:0
upstream:
  url: http://UPSTREAM
  timeout: 1s
libraries:
  smhxxx:
    token: { file: token }
  smhdead:
    url: http://127.0.0.1:1
    token: { file: token }
  smhbroken:
    token: { file: broken.token }
  smhvariable:
    token: { env: SMH_BROKEN_VALUE }
tenants:
  t1: { library: smhxxx, space: spacexxx }
  t2: { library: smhxxx, space: space2, user_id: forbid }
  dead: { library: smhdead, space: s }
  broken: { library: smhbroken, space: s }
  variable: { library: smhvariable, space: s }
callers:
  app: { api_key: { file: app.key }, tenants: [t1, t2, dead, broken, variable] }
  other: { api_key: [{ file: other.key }, { file: broken.key }], tenants: [] }
  hashed: { api_key: { sha256: DIGEST }, tenants: [t1] }
workers: 2
shutdown: { delay: 0s, drain: 100ms }
";

const POLICY: &str = "\
rules:
  - { name: hold, deny: { paths: [\"legal/**\"] } }
rate_limits:
  - { name: few, tenants: [t2], limit: 1/h, burst: 1 }
";

/// Everything that came out of somewhere, and where.
#[derive(Default)]
struct Seen(Vec<(String, Vec<u8>)>);

impl Seen {
    fn add(&mut self, place: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.push((place.into(), bytes.into()));
    }

    /// Asserts that no secret is in any of it.
    fn hold_none_of(&self, secrets: &[&str]) {
        for secret in secrets {
            for (form, needle) in forms(secret.as_bytes()) {
                for (place, bytes) in &self.0 {
                    let found = memchr::memmem::find(bytes, &needle);
                    let shown = || String::from_utf8_lossy(bytes).into_owned();
                    assert_eq!(found, None, "{secret:?}, {form}, in {place}: {}", shown());
                }
            }
        }
    }
}

/// A secret in every form in which it might be written.
fn forms(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut forms: Vec<_> = secret.windows(12).map(|part| ("a part", part.to_vec())).collect();
    let (mut upper, mut lower, mut hexadecimal) = (String::new(), String::new(), String::new());
    for byte in secret {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
        if plain {
            upper.push(char::from(*byte));
            lower.push(char::from(*byte));
        } else {
            write!(upper, "%{byte:02X}").unwrap();
            write!(lower, "%{byte:02x}").unwrap();
        }
        write!(hexadecimal, "{byte:02x}").unwrap();
    }
    for (form, text) in [("encoded", upper), ("encoded in lower case", lower)] {
        forms.push((form, text.into_bytes()));
    }
    forms.push(("hexadecimal", hexadecimal.into_bytes()));
    for skipped in 0..3 {
        // Wherever it begins in what was encoded, whole groups of three bytes look the same.
        let groups = &secret[skipped..][..(secret.len() - skipped) / 3 * 3];
        for alphabet in [b"+/", b"-_"] {
            forms.push(("base64", base64(groups, *alphabet)));
        }
    }
    forms
}

fn base64(bytes: &[u8], last: [u8; 2]) -> Vec<u8> {
    let letters = (b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9').chain(last);
    let letters: Vec<u8> = letters.collect();
    let groups = bytes.chunks_exact(3).flat_map(|group| {
        let bits = group.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        [18, 12, 6, 0].map(|shift| letters[bits >> shift & 63])
    });
    groups.collect()
}

#[test]
fn the_search_finds_a_secret_in_every_form() {
    assert_eq!(base64(b"app:sentinel", *b"+/"), b"YXBwOnNlbnRpbmVs");
    for written in [
        "x acctk/sentinel+odd==0123456789abcdef x",
        "only a part: sentinel+odd== of it",
        "?access_token=acctk%2Fsentinel%2Bodd%3D%3D0123456789abcdef&",
        "?access_token=acctk%2fsentinel%2bodd%3d%3d0123456789abcdef&",
        // `app:` and the token, as Basic authentication has it.
        "Basic YXBwOmFjY3RrL3NlbnRpbmVsK29kZD09MDEyMzQ1Njc4OWFiY2RlZg==",
        "616363746b2f73656e74696e656c2b6f64643d3d30313233343536373839616263646566",
    ] {
        let mut seen = Seen::default();
        seen.add("a log", written);
        let searched = std::panic::catch_unwind(|| seen.hold_none_of(&[ODD_TOKEN]));
        assert!(searched.is_err(), "{written}");
        seen.hold_none_of(&[KEY]);
    }
}

/// Sends bytes on a connection of their own and returns all that comes until its end.
async fn exchange(address: SocketAddr, bytes: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A gateway may answer and close before it has read everything.
    let _ = stream.write_all(bytes.as_bytes()).await;
    let mut all = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut all)).await;
    // A reset behind the answer ends it too.
    let _ = read.expect("the connection ends");
    all
}

fn deletes(target: &str, credential: &str) -> String {
    format!(
        "DELETE {target} HTTP/1.1\r\nHost: gateway\r\n{credential}Cookie: session={COOKIE}\r\n\
         User-Agent: {COOKIE}\r\nX-Forwarded-For: {COOKIE}\r\nConnection: close\r\n\r\n"
    )
}

/// Every way to present a credential, right and wrong, with the status it has.
fn presented() -> Vec<(u16, String)> {
    let bearer = |key: &str| format!("Authorization: Bearer {key}\r\n");
    let basic = String::from_utf8(base64(format!("app:{KEY}xx").as_bytes(), *b"+/")).unwrap();
    let a = "/v1/files/t1/a";
    vec![
        (404, deletes(a, &bearer(KEY))),
        (404, deletes(a, &format!("X-Api-Key: {KEY}\r\n"))),
        (404, deletes(a, &bearer(HASHED_KEY))),
        (403, deletes(a, &bearer(OTHER_KEY))),
        (401, deletes(a, &bearer(WRONG))),
        (401, deletes(a, &format!("X-Api-Key: {WRONG}\r\n"))),
        (401, deletes(a, &format!("Authorization: {WRONG}\r\n"))),
        (401, deletes(a, &format!("Authorization: Basic {basic}\r\n"))),
        (401, deletes(a, &format!("{}X-Api-Key: {WRONG}\r\n", bearer(KEY)))),
        (401, deletes(a, &format!("{}{}", bearer(KEY), bearer(WRONG)))),
        (401, deletes(a, &format!("Proxy-Authorization: Bearer {WRONG}\r\n"))),
        (400, deletes(&format!("{a}?access_token={WRONG}"), &bearer(KEY))),
        (400, deletes(&format!("{a}?library_secret={WRONG}"), &bearer(KEY))),
        (400, deletes(&format!("{a}?permanent={WRONG}"), &bearer(KEY))),
        (400, deletes(&format!("{a}?%zz={WRONG}"), &bearer(KEY))),
        (400, deletes(&format!("/{WRONG}"), &bearer(KEY))),
        (400, deletes(&format!("/v1/files/t1/%zz{WRONG}"), &bearer(KEY))),
        (400, deletes(&format!("http://u:{WRONG}@gateway{a}"), &bearer(KEY))),
        (400, deletes(a, &format!("Authorization : Bearer {WRONG}\r\n"))),
        (400, deletes(a, &format!("Host: {WRONG}\r\n"))),
        (400, deletes(a, &format!("{}Content-Length: 1{WRONG}\r\n", bearer(KEY)))),
        (400, deletes(a, &format!("{}X-Dry-Run: {WRONG}\r\n", bearer(KEY)))),
        (414, deletes(&format!("{a}?access_token={}", WRONG.repeat(300)), &bearer(KEY))),
        (431, deletes(a, &format!("Authorization: Bearer {}\r\n", WRONG.repeat(1000)))),
        (405, deletes(a, &bearer(WRONG)).replacen("DELETE", "GET", 1)),
        (400, format!("{WRONG}\r\n\r\n")),
    ]
}

/// The same over HTTP/2: status, fields and body as text.
async fn exchange_http2(address: SocketAddr, target: &str, key: &str) -> String {
    let stream = TcpStream::connect(address).await.unwrap();
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    let request = http::Request::delete(format!("http://gateway{target}"))
        .header("authorization", format!("Bearer {key}"))
        .header("x-api-key", key)
        .header("cookie", COOKIE)
        .body(Empty::<Bytes>::new())
        .unwrap();
    let answer = async {
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        drop(sender);
        format!("{head:?} {}", String::from_utf8_lossy(&body))
    };
    tokio::join!(answer, connection).0
}

fn status_of(answer: &[u8]) -> u16 {
    let text = String::from_utf8_lossy(answer);
    text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}

fn as_app(target: &str) -> String {
    deletes(target, &format!("Authorization: Bearer {KEY}\r\n"))
}

/// A gateway at the level of detail that shows most, and all that came out of it so far.
struct Stage {
    smh: Smh,
    folder: Folder,
    gateway: Binary,
    data: SocketAddr,
    seen: Seen,
}

impl Stage {
    async fn set() -> Self {
        let smh = Smh::start().await.with_file("a");
        for token in [ODD_TOKEN, NEXT_TOKEN] {
            let spec = TokenSpec::new(LIBRARY).with_grant("delete_file").with_value(token);
            smh.simulator.issue_token(spec);
        }
        let folder = Folder::new(&YAML.replace("DIGEST", &digest()), Some(POLICY), smh.address);
        folder.write("token", ODD_TOKEN);
        folder.write("broken.token", BROKEN_TOKEN);
        folder.write("broken.key", BROKEN_TOKEN);
        let mut command = Binary::serve_command(&folder);
        command.env("SMH_GATEWAY_LOG", "trace").env("RUST_BACKTRACE", "1");
        command.env("RUST_LOG", "trace").env("SMH_BROKEN_VALUE", BROKEN_VALUE);
        let gateway = Binary::serving(command).await;
        let data = gateway.data[0];
        Self { smh, folder, gateway, data, seen: Seen::default() }
    }

    /// Sends one request, which must end with this status.
    async fn act(&mut self, what: &str, bytes: &str, status: u16) {
        let answer = exchange(self.data, bytes).await;
        assert_eq!(status_of(&answer), status, "{what}: {}", String::from_utf8_lossy(&answer));
        self.seen.add(what, answer);
    }

    async fn look_at_admin(&mut self) {
        let admin = self.gateway.admin.unwrap();
        for path in ["/metrics", "/api/status", "/api/config", "/readyz", "/livez", "/", "/none"] {
            for accept in ["application/openmetrics-text", "text/plain"] {
                let bytes = format!(
                    "GET {path} HTTP/1.1\r\nHost: admin\r\nAccept: {accept}\r\n\
                     Authorization: Bearer {WRONG}\r\nConnection: close\r\n\r\n"
                );
                self.seen.add(format!("admin {path}"), exchange(admin, &bytes).await);
            }
        }
    }

    async fn present_credentials(&mut self) {
        self.act("a delete", &as_app("/v1/files/t1/a"), 200).await;
        for (status, bytes) in presented() {
            self.act(&bytes, &bytes, status).await;
        }
        for (target, key) in [
            ("/v1/files/t1/c", KEY),
            ("/v1/files/t1/c", WRONG),
            (&*format!("/v1/files/t1/c?access_token={WRONG}"), KEY),
            (&*format!("/{WRONG}"), KEY),
        ] {
            let answer = exchange_http2(self.data, target, key).await;
            self.seen.add(format!("HTTP/2 {target}"), answer);
        }
    }

    async fn be_refused(&mut self) {
        for (target, status) in [
            ("/v1/files/t1/legal/x", 403),
            ("/v1/files/t1/x?permanent=1", 403),
            ("/v1/files/t2/x", 404),
            ("/v1/files/t2/x", 429),
            ("/v1/files/dead/x", 502),
            ("/v1/files/broken/x", 503),
            ("/v1/files/variable/x", 503),
            ("/v1/files/nobody/x", 403),
        ] {
            self.act(target, &as_app(target), status).await;
        }
    }

    async fn meet_every_fault(&mut self) {
        for (fault, status) in [
            (Fault::EchoTokenInBody, 502),
            (Fault::EchoTokenInHeader, 502),
            (Fault::Redirect { to: format!("http://{}", self.smh.address) }, 502),
            (Fault::PlainForbidden, 502),
            (Fault::InvalidAccessToken, 502),
            (Fault::AccessTokenVersionNotMatch, 502),
            (Fault::CutBeforeActing, 502),
            (Fault::CutMidBody, 502),
            (Fault::HugeBody { bytes: 2_000_000 }, 502),
            (Fault::HangBeforeActing, 504),
            (Fault::InternalServerError, 500),
            (Fault::BadGatewayHtml, 502),
            (Fault::NotJson, 200),
            (Fault::RateLimited, 429),
        ] {
            self.smh.simulator.put_file(LIBRARY, SPACE, "b");
            self.smh.simulator.inject(Injection::once(fault.clone()));
            self.act(&format!("{fault:?}"), &as_app("/v1/files/t1/b"), status).await;
        }
    }

    /// A token that SMH no longer takes, and then another one.
    async fn have_the_token_replaced(&mut self) {
        self.smh.simulator.revoke_token(ODD_TOKEN);
        self.act("a revoked token", &as_app("/v1/files/t1/d"), 502).await;
        self.folder.write("token", NEXT_TOKEN);
        self.act("the next token", &as_app("/v1/files/t1/d"), 404).await;
    }

    /// Ends while a delete is on its way.
    async fn end(mut self) -> (Smh, Seen) {
        self.smh.simulator.inject(Injection::once(Fault::HangBeforeActing));
        let before = self.smh.received().len();
        let mut cut_off = TcpStream::connect(self.data).await.unwrap();
        cut_off.write_all(as_app("/v1/files/t1/e").as_bytes()).await.unwrap();
        let until = Instant::now() + PATIENCE;
        while self.smh.received().len() == before {
            assert!(Instant::now() < until, "SMH never has the delete");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let ran = self.gateway.stop().await;
        assert_eq!(ran.code, Some(0));
        assert!(ran.err.contains("a secret cannot be read"), "{}", ran.err);
        assert!(ran.out.contains("\"Abandoned\""), "{}", ran.out);
        assert!(ran.deletes().len() > 50, "each left a line");
        self.seen.add("standard output", ran.out);
        self.seen.add("standard error", ran.err);
        (self.smh, self.seen)
    }
}

fn digest() -> String {
    hex::encode(Sha256::digest(HASHED_KEY))
}

#[tokio::test]
async fn no_secret_leaves_by_any_way_whatever_happens() {
    let mut stage = Stage::set().await;
    stage.look_at_admin().await;
    stage.present_credentials().await;
    stage.be_refused().await;
    stage.meet_every_fault().await;
    stage.have_the_token_replaced().await;
    stage.look_at_admin().await;
    let (smh, seen) = stage.end().await;
    seen.hold_none_of(&ALL);
    seen.hold_none_of(&[&digest()]);
    hold_smh_to_what_it_may_hear(&smh);
}

/// No caller's credential, and the token in its one place.
fn hold_smh_to_what_it_may_hear(smh: &Smh) {
    let received = smh.received();
    assert!(received.len() > 20);
    let mut heard = Seen::default();
    for request in &received {
        let (_, query) = request.target.split_once('?').unwrap();
        assert!(query.starts_with("permanent=0&access_token=acctk"), "{query}");
        assert_eq!(query.matches('&').count(), 1, "{query}");
        heard.add("a target", request.target.clone());
        heard.add("a body", request.body.to_vec());
        let mut in_fields = Seen::default();
        for (name, value) in &request.headers {
            heard.add("the name of a field", name.clone());
            heard.add(name.clone(), value.clone());
            in_fields.add(name.clone(), value.clone());
        }
        in_fields.hold_none_of(&[ODD_TOKEN, NEXT_TOKEN]);
    }
    heard.hold_none_of(&OF_CALLERS);
}

/// An SMH that repeats the token wherever it can. What it says of itself is kept in the log.
#[tokio::test]
async fn a_token_that_smh_repeats_is_neither_relayed_nor_logged() {
    let json = format!("{{\"code\":\"{TOKEN}\",\"message\":\"x\"}}");
    let rejected = "{\"code\":\"InvalidAccessToken\",\"message\":\"x\"}";
    let length = |body: &str| format!("Content-Length: {}\r\n\r\n{body}", body.len());
    for answer in [
        format!("HTTP/1.1 200 OK\r\nX-Request-Id: {TOKEN}\r\n{}", length("{}")),
        format!("HTTP/1.1 404 Not Found\r\nX-Request-Id: t={TOKEN}\r\n{}", length("{}")),
        format!("HTTP/1.1 400 Bad Request\r\n{}", length(&json)),
        format!("HTTP/1.1 400 Bad {TOKEN}\r\n{}", length("{}")),
        format!("HTTP/1.1 400 Bad Request\r\nX-{TOKEN}: 1\r\n{}", length("{}")),
        format!("HTTP/1.1 403 Forbidden\r\nX-Request-Id: {TOKEN}\r\n{}", length(rejected)),
        format!(
            "HTTP/1.1 302 Found\r\nX-Request-Id: {TOKEN}\r\nLocation: /?{TOKEN}\r\n{}",
            length("")
        ),
        format!("HTTP/1.1 {TOKEN}\r\n{}", length("")),
        format!("{TOKEN}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\n{TOKEN}\r\n{}", length("{}")),
        format!("HTTP/1.1 200 OK\r\nContent-Length: {TOKEN}\r\n\r\n{{}}"),
    ] {
        let what = answer.replace(TOKEN, "TOKEN");
        let smh = Canned::start(answer.into_bytes(), true).await;
        let gateway = Gateway::start(smh.address).await;
        let got = gateway.delete("/v1/files/t1/x").await;
        assert_eq!(got.status(), 502, "{what}: {}", got.head.replace(TOKEN, "TOKEN"));
        let mut seen = Seen::default();
        seen.add(format!("the head for {what}"), got.head);
        seen.add(format!("the body for {what}"), got.body);
        let log = gateway.log.clone();
        assert_eq!(gateway.stop().await.len(), 1, "{what}");
        seen.add(format!("the log for {what}"), log.text());
        seen.hold_none_of(&[TOKEN, KEY]);
    }
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_is_not_shown_at_start() {
    let smh = Smh::start().await;
    for broken in [BROKEN_TOKEN, "", "\n", &*WRONG.repeat(200), "sentinel-\u{e9}-broken-0123456789"]
    {
        let folder = Folder::new(GATEWAY_YAML, None, smh.address);
        folder.write("token", broken);
        folder.write("app.key", broken);
        let mut command = Binary::serve_command(&folder);
        command.env("SMH_GATEWAY_LOG", "trace");
        let mut gateway = Binary::serving(command).await;
        let said = gateway.says("not ready yet pending=\"API key of caller app\"").await;
        assert!(said.contains("what=\"token of library\" of=\"smhxxx\""), "{said}");
        let ran = gateway.stop().await;
        let mut seen = Seen::default();
        seen.add("standard error", ran.err);
        seen.add("standard output", ran.out);
        seen.hold_none_of(&[BROKEN_TOKEN, WRONG, "sentinel-\u{e9}-broken-0123456789"]);
    }
}

#[tokio::test]
async fn a_key_that_is_hashed_wrongly_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    // The key itself where its digest belongs, and a digest with one digit too many.
    for wrong in [WRONG.to_owned(), format!("{}0", hex::encode(Sha256::digest(WRONG)))] {
        let yaml = YAML.replace("DIGEST", &wrong).replace("UPSTREAM", "127.0.0.1:1");
        fs::write(folder.path().join("gateway.yaml"), yaml).unwrap();
        for arguments in [
            &["check", "--config", "gateway.yaml"][..],
            &["check", "--config", "gateway.yaml", "--format", "json"],
            &["serve", "--config", "gateway.yaml"],
        ] {
            let mut command = command(folder.path(), arguments);
            command.env("SMH_GATEWAY_LOG", "trace");
            let ran = Binary::spawn(command).ended().await;
            assert_eq!(ran.code, Some(1), "{}", ran.err);
            let mut seen = Seen::default();
            seen.add("standard error", ran.err);
            seen.add("standard output", ran.out);
            seen.hold_none_of(&[&wrong]);
        }
    }
}

#[tokio::test]
async fn the_simulator_shows_no_credential_that_it_was_sent() {
    let arguments =
        ["simulate", "--listen", "127.0.0.1:0", "--library", "smh1", "--token", ODD_TOKEN];
    let mut command = command(Path::new("/"), &arguments);
    command.env("SMH_GATEWAY_LOG", "trace");
    let mut simulator = Binary::spawn(command);
    let shown = simulator.prints("_simulator/received").await;
    let address = shown.lines().next().unwrap().rsplit_once('/').unwrap().1.parse().unwrap();
    let encoded = "acctk%2Fsentinel%2Bodd%3D%3D0123456789abcdef";
    let mut seen = Seen::default();
    for target in [
        &*format!("/api/v1/file/smh1/space1/a?access_token={encoded}"),
        &*format!("/api/v1/file/smh1/space1/a?access_token={WRONG}"),
        "/api/v1/file/smh1/space1/a?library_secret=secret-of-smh1",
    ] {
        exchange(address, &deletes(target, &format!("Authorization: Bearer {KEY}\r\n"))).await;
    }
    for path in ["/_simulator/received", "/_simulator/tokens"] {
        let bytes = format!("GET {path} HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n");
        let answer = exchange(address, &bytes).await;
        assert_eq!(status_of(&answer), 200);
        seen.add(path, answer);
    }
    seen.add("standard error", simulator.stop().await.err);
    seen.hold_none_of(&[ODD_TOKEN, WRONG, KEY, "secret-of-smh1"]);
}
