//! Who calls: by JWT, key or unix socket, as an SMH client writes it, and by guessing.

/// An issuer's private keys and the tokens it signs.
pub(crate) mod signer;
/// A server at which issuers publish their keys.
mod endpoint;
/// Tokens, good and bad, and the callers they name.
mod jwt;
/// Where the keys of issuers come from, and what goes wrong there.
mod issuers;
/// Callers of the same machine, over a unix socket.
mod unix;
/// Deletes as SMH's own clients write them.
mod smh_paths;
/// Wrong credentials are slowed down.
mod guesses;
/// Several credentials at once, of one caller and of two.
mod several;

use std::fs;

use serde_json::{Value, json};
use smh_gateway::run::Running;
use tempfile::TempDir;

use self::signer::in_seconds;
use crate::support::binary::run;
use crate::support::{Answer, Folder, Gateway, Lines, Smh, becomes, load, send};

/// What Kubernetes calls itself.
const KUBERNETES: &str = "https://kubernetes.default.svc";

/// The pod that most tests are about.
pub(crate) const REPORTS: &str = "system:serviceaccount:reports:default";

/// `JWKS` stands for where the keys of the issuer are.
const YAML: &str = "\
listeners:
  - address: 127.0.0.1:0
admin:
  address: 127.0.0.1:0
upstream:
  url: http://UPSTREAM
libraries:
  smhxxx:
    token: { file: token }
tenants:
  t1: { library: smhxxx, space: spacexxx }
  t2: { library: smhxxx, space: space2 }
callers:
  reports: { jwt: { issuer: cluster, subject: system:serviceaccount:reports:default }, tenants: [t1] }
  media: { jwt: { issuer: cluster, subject: \"system:serviceaccount:media:*\" }, tenants: [t1] }
  app: { api_key: { file: app.key }, tenants: [t1] }
jwt_issuers:
  cluster:
    issuer: https://kubernetes.default.svc
    audience: smh-gateway
    jwks: JWKS
workers: 2
shutdown: { delay: 0s, drain: 2s }
";

/// [`YAML`] with the keys in `jwks.json`.
pub(crate) fn keys_in_file() -> String {
    YAML.replace("JWKS", "{ file: jwks.json }")
}

/// A gateway with these files beside its own, once it is ready.
pub(crate) async fn start(yaml: &str, files: &[(&str, &str)], smh: &Smh) -> Gateway {
    let folder = Folder::new(yaml, None, smh.address);
    for (name, content) in files {
        folder.write(name, content);
    }
    let (snapshot, _) = load(&folder.path("gateway.yaml"));
    let log = Lines::default();
    let running = Running::start(snapshot, log.clone()).await.unwrap();
    let gateway = Gateway { running, folder, log };
    becomes("ready", async || gateway.admin("/readyz").await.status() == 200).await;
    gateway
}

/// The claims of a token that Kubernetes projects into a pod of this account.
pub(crate) fn projected(subject: &str) -> Value {
    let name = subject.rsplit(':').next().unwrap();
    let namespace = subject.split(':').nth(2).unwrap_or_default();
    json!({
        "aud": ["smh-gateway"],
        "exp": in_seconds(3607),
        "iat": in_seconds(0),
        "iss": KUBERNETES,
        "jti": "7b3b1f6a-0d3f-4f5e-9a55-2a3c9d6f2b10",
        "kubernetes.io": {
            "namespace": namespace,
            "node": {"name": "node-1", "uid": "4f1c0c6e-6a76-4f0a-9c4b-6f6f2b1b1a11"},
            "pod": {"name": "reports-6b9f-x2x7q", "uid": "0f6f8a33-8c3a-47d1-9d2f-8b1f0f1d9d52"},
            "serviceaccount": {"name": name, "uid": "8e1d0b5c-55d9-4d47-8d07-29d0a4c0e5aa"},
            "warnafter": in_seconds(3000),
        },
        "nbf": in_seconds(0),
        "sub": subject,
    })
}

/// The same with other members, or without those that are null.
fn changed(mut claims: Value, by: &Value) -> Value {
    let members = claims.as_object_mut().unwrap();
    members.extend(by.as_object().unwrap().clone());
    members.retain(|_, value| !value.is_null());
    claims
}

pub(crate) fn bearer(credential: &str) -> String {
    format!("Authorization: Bearer {credential}")
}

/// `DELETE {target}` with these header lines, as the last request of its connection.
fn asking(target: &str, fields: &[&str]) -> String {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    format!("DELETE {target} HTTP/1.1\r\nHost: gateway\r\n{fields}Connection: close\r\n\r\n")
}

pub(crate) async fn delete(gateway: &Gateway, target: &str, fields: &[&str]) -> Answer {
    send(gateway.address(), asking(target, fields).as_bytes()).await
}

/// The line of the request with this id.
#[track_caller]
fn line_of<'l>(lines: &'l [Value], id: &str) -> &'l Value {
    let mut found = lines.iter().filter(|line| line["request_id"] == id);
    match (found.next(), found.next()) {
        (Some(line), None) => line,
        _ => panic!("not one line of {id}: {lines:?}"),
    }
}

/// Everything that SMH received, as text.
fn received(smh: &Smh) -> String {
    let mut text = String::new();
    for request in smh.received() {
        text.push_str(&format!("{} {}\n", request.method, request.target));
        for (name, value) in &request.headers {
            text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value)));
        }
        text.push_str(&String::from_utf8_lossy(&request.body));
    }
    text
}

/// Asserts that not even a piece of a credential is in a text.
#[track_caller]
fn assert_nothing_of(credential: &str, place: &str, text: &str) {
    // The first letters of every JWT are the same: they tell nothing.
    for piece in credential.as_bytes().windows(16) {
        let piece = std::str::from_utf8(piece).unwrap();
        assert!(!text.contains(piece), "{piece} of a credential is in {place}: {text}");
    }
}

/// What `check` says of a gateway.yaml with a mistake.
async fn mistake(yaml: &str) -> String {
    let folder = TempDir::new().unwrap();
    let yaml = yaml.replace("UPSTREAM", "127.0.0.1:9");
    fs::write(folder.path().join("gateway.yaml"), yaml).unwrap();
    let ran = run(folder.path(), &["check", "--config", "gateway.yaml"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{}", ran.err);
    ran.err
}
