//! Several credentials at once, of one caller and of two.

use sha2::{Digest, Sha256};

use super::signer::{Signer, key_set};
use super::*;
use crate::support::binary::Binary;
use crate::support::{KEY, OTHER_KEY};

const TARGET: &str = "/v1/files/t1/a";
const HASHED_KEY: &str = "sentinel-key-of-which-the-hash-is-known";

/// [`YAML`], where `reports` has a JWT and two keys, and `media` two ways to have a JWT.
fn yaml() -> String {
    let digest = hex::encode(Sha256::digest(HASHED_KEY));
    keys_in_file()
        .replace(
            "  reports: { jwt:",
            &format!("  reports: {{ api_key: [{{ file: other.key }}, {{ sha256: {digest} }}], jwt:"),
        )
        .replace(
            "  media: {",
            "  nightly: { jwt: { issuer: cluster, subject: \"*:nightly\" }, tenants: [t1] }\n  media: {",
        )
}

#[tokio::test]
async fn credentials_of_one_caller_agree_and_those_of_two_do_not() {
    let smh = Smh::start().await;
    let signer = Signer::new("k");
    let gateway = start(&yaml(), &[("jwks.json", &key_set(&[&signer]))], &smh).await;
    let token = bearer(&signer.sign(&projected(REPORTS)));
    let media = bearer(&signer.sign(&projected("system:serviceaccount:media:thumbs")));
    let both = bearer(&signer.sign(&projected("system:serviceaccount:media:nightly")));
    let key = |key: &str| format!("X-Api-Key: {key}");
    let conflict = "two credentials that name different callers";
    let cases = [
        ("jwt", vec![token.clone()], Ok(("reports", "jwt"))),
        ("key", vec![key(OTHER_KEY)], Ok(("reports", "api_key"))),
        ("bearer-key", vec![bearer(HASHED_KEY)], Ok(("reports", "api_key"))),
        ("jwt-and-key", vec![token.clone(), key(OTHER_KEY)], Ok(("reports", "jwt"))),
        ("keys", vec![bearer(OTHER_KEY), key(HASHED_KEY)], Ok(("reports", "api_key"))),
        ("jwt-and-others-key", vec![token.clone(), key(KEY)], Err(conflict)),
        ("others-jwt-and-key", vec![media, key(OTHER_KEY)], Err(conflict)),
        ("two-keys", vec![bearer(KEY), key(OTHER_KEY)], Err(conflict)),
        ("jwt-and-nobodys-key", vec![token.clone(), key("x")], Err("a credential nobody has")),
        ("two-callers", vec![both], Err("a credential of more than one caller")),
        ("twice", vec![token.clone(), token], Err("a credential field is given twice")),
        ("basic", vec!["Authorization: Basic eDp5".into()], Err("Authorization is not `Bearer …`")),
        ("nothing", vec![], Err("no credential")),
    ];
    for (id, fields, wanted) in &cases {
        let id = format!("X-Request-Id: {id}");
        let fields: Vec<&str> = fields.iter().map(|f| &**f).chain([&*id]).collect();
        let status = delete(&gateway, TARGET, &fields).await.status();
        assert_eq!(status, if wanted.is_ok() { 404 } else { 401 }, "{id}");
    }
    let good = cases.iter().filter(|(_, _, wanted)| wanted.is_ok()).count();
    assert_eq!(smh.received().len(), good);
    let lines = gateway.stop().await;
    for (id, _, wanted) in cases {
        let line = line_of(&lines, id);
        let who = line["caller"].as_str().zip(line["proof"].as_str());
        assert_eq!(who.ok_or_else(|| line["reason"].as_str().unwrap()), wanted, "{line}");
    }
}

#[tokio::test]
async fn each_of_two_keys_is_rotated_by_itself() {
    const NEXT: &str = "sentinel-key-that-is-next-0123456789";
    let smh = Smh::start().await;
    let keys = "{ file: app.key }, { file: other.key }";
    let yaml = keys_in_file().replace("{ file: app.key }", &format!("[{keys}]"));
    let signer = Signer::new("k");
    let gateway = start(&yaml, &[("jwks.json", &key_set(&[&signer]))], &smh).await;
    let works = async |key: &str| delete(&gateway, TARGET, &[&bearer(key)]).await.status() == 404;
    assert!(works(KEY).await && works(OTHER_KEY).await);

    gateway.folder.write("app.key", NEXT);
    // Asking with the new one until it works would be guessing.
    becomes("the old one is over", async || !works(KEY).await).await;
    assert!(works(NEXT).await && works(OTHER_KEY).await);

    // One that is too short could be guessed: it replaces nothing.
    gateway.folder.write("other.key", "fifteen-letters");
    gateway.folder.write("app.key", KEY);
    becomes("the files were looked at again", async || !works(NEXT).await).await;
    assert!(works(KEY).await && works(OTHER_KEY).await && !works("fifteen-letters").await);
}

#[tokio::test]
async fn a_key_that_is_too_short_is_reported_and_is_none() {
    let smh = Smh::start().await;
    let folder = Folder::new(&yaml(), None, smh.address);
    folder.write("jwks.json", &key_set(&[&Signer::new("k")]));
    folder.write("other.key", "fifteen-letters");
    let mut gateway = Binary::serve(&folder).await;
    let said = gateway.says("of=\"reports\"").await;
    let line = said.lines().find(|line| line.contains("of=\"reports\"")).unwrap();
    assert!(line.contains("other.key: an API key has at least 16 bytes"), "{line}");
    let asked = async |key: &str| {
        let bytes = asking(TARGET, &[&bearer(key)]);
        send(gateway.data[0], bytes.as_bytes()).await.status()
    };
    assert_eq!((asked("fifteen-letters").await, asked(HASHED_KEY).await), (401, 404));
    let ran = gateway.stop().await;
    assert!(!ran.err.contains("fifteen") && !ran.out.contains("fifteen"), "{}", ran.err);
}

#[tokio::test]
async fn no_credential_of_a_caller_is_written_or_sent() {
    let smh = Smh::start().await.with_file("a");
    let signer = Signer::new("k");
    let folder = Folder::new(&yaml(), None, smh.address);
    folder.write("jwks.json", &key_set(&[&signer]));
    let mut command = Binary::serve_command(&folder);
    command.env("SMH_GATEWAY_LOG", "trace");
    let mut gateway = Binary::serving(command).await;
    gateway.says("the keys of a JWT issuer are at hand").await;

    let token = signer.sign(&projected(REPORTS));
    let wrong = "presented-sentinel-of-nobody-13579";
    let mut seen = Vec::new();
    for fields in [
        vec![bearer(&token), format!("X-Api-Key: {OTHER_KEY}")],
        vec![bearer(&token), format!("X-Api-Key: {KEY}")],
        vec![bearer(HASHED_KEY)],
        vec![bearer(wrong)],
        vec![format!("Authorization: {token}")],
        vec![bearer(&token), bearer(wrong)],
    ] {
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let answer = send(gateway.data[0], asking(TARGET, &fields).as_bytes()).await;
        seen.push(("an answer", answer.head + &String::from_utf8(answer.body).unwrap()));
    }
    for path in ["/metrics", "/api/status", "/api/config", "/", "/readyz"] {
        let bytes = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = send(gateway.admin.unwrap(), bytes.as_bytes()).await;
        seen.push((path, String::from_utf8(answer.body).unwrap()));
    }
    let ran = gateway.stop().await;
    assert_eq!(ran.deletes().len(), 6);
    seen.extend([("standard output", ran.out), ("standard error", ran.err)]);
    seen.push(("SMH", received(&smh)));
    let (_, secret) = token.split_once('.').unwrap();
    for credential in [secret, KEY, OTHER_KEY, HASHED_KEY, wrong] {
        for (place, text) in &seen {
            assert_nothing_of(credential, place, text);
        }
    }
}

#[tokio::test]
async fn a_jwt_that_could_never_name_a_caller_is_a_mistake() {
    let url = |url: &str| YAML.replace("JWKS", &format!("{{ url: \"{url}\" }}"));
    let file = keys_in_file();
    let mut said = String::new();
    for yaml in [
        file.replacen("issuer: cluster", "issuer: clutser", 1),
        file.replace("workers", "  other:\n    issuer: https://kubernetes.default.svc\n    audience: x\n    jwks: { file: x }\nworkers"),
        file.replace("    jwks", "    algorithms: [RS256, HS256]\n    jwks"),
        file.replace("    audience: smh-gateway\n", ""),
        url("http://issuer.example/jwks"),
        url("https://user:sesame-open@issuer.example/jwks"),
        YAML.replace("JWKS", "{ url: https://issuer.example, bearer_token: sentinel-0123456789 }"),
        file.replace("\"system:serviceaccount:media:*\"", REPORTS),
    ] {
        said += &mistake(&yaml).await;
        said += "\n";
    }
    assert!(!said.contains("sentinel") && !said.contains("sesame"), "{said}");
    insta::assert_snapshot!(said, @"
    gateway.yaml:14:29: unknown issuer `clutser`
       14 |   reports: { jwt: { issuer: clutser, subject: system:serviceaccount:reports:default }, tenants: …
          |                             ^^^^^^^ did you mean `cluster`?

    gateway.yaml:23:13: `cluster` is this issuer, too
       23 |     issuer: https://kubernetes.default.svc
          |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ one entry may have several audiences

    gateway.yaml:21:25: `HS256` is not an algorithm that signs with a private key, such as `RS256` or `ES256`: not one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 and EdDSA
       21 |     algorithms: [RS256, HS256]
          |                         ^^^^^

    gateway.yaml:19:5: an issuer needs `audience`
       19 |     issuer: https://kubernetes.default.svc
          |     ^^^^^^

    gateway.yaml:21:18: over plain http the keys could be exchanged on their way
       21 |     jwks: { url: [redacted] }
          |                  ^^^^^^^^^^ use https; http is for loopback

    gateway.yaml:21:18: this is no URL of a JWKS: user names and passwords do not belong in a URL
       21 |     jwks: { url: [redacted] }
          |                  ^^^^^^^^^^

    gateway.yaml:21:56: a bearer token does not stand in this file itself
       21 |     jwks: { url: [redacted], bearer_token: [redacted] }
          |                                            ^^^^^^^^^^
          = help: say where it is: `{ file: … }` or `{ env: … }`

    gateway.yaml:15:17: this can be a JWT of `reports`: who calls could not be told
       15 |   media: { jwt: { issuer: cluster, subject: system:serviceaccount:reports:default }, tenants: [t…
          |                 ^ give each subjects of its own, or `claims` that tell them apart
    ");
}
