//! Where the keys of issuers come from, and what goes wrong there.

use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::endpoint::{Endpoint, Reply};
use super::signer::{RSA, Signer, key_set};
use super::*;
use crate::support::KEY;
use crate::support::binary::Binary;

const TARGET: &str = "/v1/files/t1/a";

/// How long an issuer is left alone after it was asked, whatever callers send; a little more.
const LEAST_INTERVAL: Duration = Duration::from_millis(10_200);

/// [`YAML`] with the keys at this path of an endpoint.
fn keys_at(endpoint: &Endpoint, path: &str) -> String {
    YAML.replace("JWKS", &format!("{{ url: {} }}", endpoint.url(path)))
}

/// How many deletes with these tokens, sent together, had each status.
async fn at_once(gateway: &Gateway, tokens: &[String]) -> Vec<u16> {
    let mut asked = JoinSet::new();
    for token in tokens {
        let (address, bytes) = (gateway.address(), asking(TARGET, &[&bearer(token)]));
        asked.spawn(async move { send(address, bytes.as_bytes()).await.status() });
    }
    asked.join_all().await
}

async fn metric(gateway: &Gateway, line: &str) -> u64 {
    let metrics = String::from_utf8(gateway.admin("/metrics").await.body).unwrap();
    let value = metrics.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
    value.unwrap_or("0").parse().unwrap()
}

#[tokio::test]
async fn a_key_set_in_a_file_is_followed() {
    let smh = Smh::start().await;
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let gateway = start(&keys_in_file(), &[("jwks.json", &key_set(&[&old]))], &smh).await;
    let token = bearer(&new.sign(&projected(REPORTS)));
    assert_eq!(delete(&gateway, TARGET, &[&token]).await.status(), 401);
    gateway.folder.write("jwks.json", &key_set(&[&old, &new]));
    let written = Instant::now();
    becomes("the new key is known", async || {
        tokio::time::sleep(Duration::from_millis(100)).await;
        delete(&gateway, TARGET, &[&token]).await.status() == 404
    })
    .await;
    assert!(written.elapsed() < Duration::from_secs(3), "{:?}", written.elapsed());

    // A file that is gone, or half written, withdraws nothing.
    for content in [None, Some("{\"keys\":[")] {
        let failed = metric(&gateway, FAILED).await;
        match content {
            None => fs::remove_file(gateway.folder.path("jwks.json")).unwrap(),
            Some(content) => gateway.folder.write("jwks.json", content),
        }
        let noticed = async || metric(&gateway, FAILED).await > failed;
        becomes("it is noticed", noticed).await;
        assert_eq!(delete(&gateway, TARGET, &[&token]).await.status(), 404);
    }
    let issuer = &gateway.admin("/api/status").await.json()["jwt_issuers"][0];
    assert_eq!((&issuer["name"], &issuer["keys"]), (&json!("cluster"), &json!(2)), "{issuer}");
    assert!(issuer["last_error"].as_str().unwrap().contains("not a JSON object"), "{issuer}");
}

const FAILED: &str = "smh_gateway_jwks_fetches_total{issuer=\"cluster\",result=\"failed\"}";
const FETCHED: &str = "smh_gateway_jwks_fetches_total{issuer=\"cluster\",result=\"ok\"}";

#[tokio::test]
async fn without_any_keys_tokens_have_to_wait_and_other_callers_do_not() {
    let smh = Smh::start().await;
    let (signer, endpoint) = (Signer::new("k"), Endpoint::start().await);
    endpoint.says("/jwks", Reply::status("503 Service Unavailable"));
    // It is ready after its first look, although there are no keys.
    let gateway = start(&keys_at(&endpoint, "/jwks"), &[], &smh).await;
    let token = bearer(&signer.sign(&projected(REPORTS)));
    let answer = delete(&gateway, TARGET, &[&token]).await;
    assert_eq!((answer.status(), &*answer.code()), (503, "IssuerKeysUnavailable"));
    assert_eq!((&*answer.outcome(), answer.field("retry-after")), ("not_sent", Some("5")));
    assert_eq!(smh.received().len(), 0);
    assert_eq!(delete(&gateway, TARGET, &[&bearer(KEY)]).await.status(), 404);
    assert!(metric(&gateway, FAILED).await > 0);
    let issuer = &gateway.admin("/api/status").await.json()["jwt_issuers"][0];
    assert_eq!((&issuer["keys"], &issuer["seconds_since_fetched"]), (&json!(0), &Value::Null));
    let error = format!("http://{} answered 503", endpoint.address);
    assert_eq!(issuer["last_error"], error);

    endpoint.says("/jwks", Reply::keys(key_set(&[&signer])));
    becomes("the keys are there", async || metric(&gateway, FETCHED).await == 1).await;
    assert_eq!(delete(&gateway, TARGET, &[&token]).await.status(), 404);
    let issuer = &gateway.admin("/api/status").await.json()["jwt_issuers"][0];
    assert_eq!((&issuer["keys"], &issuer["last_error"]), (&json!(1), &Value::Null));
    let lines = gateway.stop().await;
    let refused = lines.iter().find(|line| line["status"] == 503).unwrap();
    let (code, outcome) = (&refused["code"], &refused["outcome"]);
    assert_eq!((code, outcome), (&json!("IssuerKeysUnavailable"), &json!("refused")), "{refused}");
}

#[tokio::test]
async fn a_key_that_is_new_at_its_issuer_is_known_by_the_first_requests_that_need_it() {
    let smh = Smh::start().await;
    let (old, new, endpoint) = (Signer::new("old"), Signer::new("new"), Endpoint::start().await);
    endpoint.says("/jwks", Reply::keys(key_set(&[&old])));
    let gateway = start(&keys_at(&endpoint, "/jwks"), &[], &smh).await;
    assert_eq!(endpoint.asked("/jwks").len(), 1);
    tokio::time::sleep(LEAST_INTERVAL).await;
    endpoint.says("/jwks", Reply::keys(key_set(&[&old, &new])));
    // Not one token over and over: none is known from before.
    let claims = |number| changed(projected(REPORTS), &json!({ "jti": number }));
    let tokens: Vec<_> = (0..50).map(|number| new.sign(&claims(number))).collect();
    let statuses = at_once(&gateway, &tokens).await;
    assert!(statuses.iter().all(|status| *status == 404), "{statuses:?}");
    assert_eq!((smh.received().len(), endpoint.asked("/jwks").len()), (50, 2));
    assert_eq!(metric(&gateway, FETCHED).await, 2);
}

#[tokio::test]
async fn tokens_of_unknown_keys_make_an_issuer_be_asked_once_in_a_while() {
    let smh = Smh::start().await;
    let (known, endpoint) = (Signer::new("known"), Endpoint::start().await);
    endpoint.says("/jwks", Reply::keys(key_set(&[&known])));
    let gateway = start(&keys_at(&endpoint, "/jwks"), &[], &smh).await;
    let tokens: Vec<_> = (0..50)
        .map(|number| Signer::new(&format!("unknown-{number}")).sign(&projected(REPORTS)))
        .collect();
    tokio::time::sleep(LEAST_INTERVAL).await;
    for round in ["at once", "again"] {
        let asked = Instant::now();
        let statuses = at_once(&gateway, &tokens).await;
        // So many wrong ones are held up at last.
        assert!(statuses.iter().all(|status| [401, 429].contains(status)), "{round} {statuses:?}");
        assert!(asked.elapsed() < Duration::from_secs(3), "{round}: {:?}", asked.elapsed());
        assert_eq!(endpoint.asked("/jwks").len(), 2, "{round}");
    }
    assert_eq!(smh.received().len(), 0);
}

/// What an endpoint says instead of the keys, by the path at which it does, and what is logged.
fn faults(endpoint: &Endpoint, keys: &str) -> Vec<(&'static str, Reply, &'static str)> {
    let one = Signer::new("k").jwk();
    let many: Vec<_> =
        (0..1000).map(|n| changed(one.clone(), &json!({ "kid": n.to_string() }))).collect();
    let huge = format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(10 * 1024 * 1024));
    vec![
        ("outage", Reply::status("500 Internal Server Error"), "answered 500"),
        ("empty", Reply::status("204 No Content"), "answered 204"),
        ("silent", Reply::Nothing, "closed before message completed"),
        ("redirect", Reply::redirect(&endpoint.url("/good")), "answered 302"),
        ("huge", Reply::keys(huge), "large"),
        ("many", Reply::keys(json!({ "keys": many }).to_string()), "more than 100 keys"),
        ("html", Reply::keys("<html>502</html>"), "not a JSON object"),
        ("none", Reply::keys("{\"keys\":[]}"), "none of its keys"),
        ("twice", Reply::keys(keys.replacen('{', "{\"keys\":[],", 1)), "a name stands twice"),
        ("drip", Reply::Drip, "no answer in 5s"),
    ]
}

#[tokio::test]
async fn whatever_an_issuer_says_instead_its_last_keys_stay_and_it_is_logged_once() {
    let smh = Smh::start().await;
    let (signer, endpoint) = (&*RSA, Endpoint::start().await);
    let keys = key_set(&[signer]);
    endpoint.says("/good", Reply::keys(&*keys));
    let faults = faults(&endpoint, &keys);
    let (mut callers, mut issuers) = (String::from("callers:\n"), String::from("jwt_issuers:\n"));
    for (name, _, _) in &faults {
        endpoint.says(&format!("/{name}"), Reply::keys(&*keys));
        callers +=
            &format!("  {name}: {{ jwt: {{ issuer: {name}, subject: x }}, tenants: [t1] }}\n");
        issuers += &format!(
            "  {name}: {{ issuer: \"https://{name}\", audience: x, jwks: {{ url: \"{}\" }} }}\n",
            endpoint.url(&format!("/{name}"))
        );
    }
    let yaml = keys_in_file().replace("callers:\n", &callers).replace("jwt_issuers:\n", &issuers);
    let folder = Folder::new(&yaml, None, smh.address);
    folder.write("jwks.json", &keys);
    let mut gateway = Binary::serve(&folder).await;
    for (name, _, _) in &faults {
        gateway.says(&format!("the keys of a JWT issuer are at hand issuer=\"{name}\"")).await;
    }
    tokio::time::sleep(LEAST_INTERVAL).await;

    let address = gateway.data[0];
    let claims = |name: &str| json!({"iss": format!("https://{name}"), "aud": "x", "sub": "x", "exp": in_seconds(600)});
    let mut asked = JoinSet::new();
    for (name, reply, _) in &faults {
        endpoint.says(&format!("/{name}"), reply.clone());
        let unknown = Signer::new("unknown").sign(&claims(name));
        let bytes = asking(TARGET, &[&bearer(&unknown)]);
        asked.spawn(async move { send(address, bytes.as_bytes()).await.status() });
    }
    // The issuer may have the key by now: nobody can say that the token is wrong.
    assert_eq!(asked.join_all().await, vec![503; faults.len()]);
    for (name, _, error) in &faults {
        let said = gateway.says(&format!("cannot be had issuer=\"{name}\"")).await;
        let line = said.lines().find(|line| line.contains(&format!("had issuer=\"{name}\"")));
        assert!(line.unwrap().contains(error), "{name}: {line:?}");
        let bytes = asking(TARGET, &[&bearer(&signer.sign(&claims(name)))]);
        assert_eq!(send(address, bytes.as_bytes()).await.status(), 404, "{name}");
        // The good one, the first failure, and a try or two soon after it.
        let (path, asks) = (format!("/{name}"), if *name == "drip" { 3 } else { 4 });
        becomes("it is tried again", async || endpoint.asked(&path).len() >= asks).await;
    }
    assert_eq!(endpoint.asked("/good"), [""; 0], "no redirect is followed");
    let ran = gateway.stop().await;
    for (name, _, _) in &faults {
        let said = ran.err.matches(&format!("cannot be had issuer=\"{name}\"")).count();
        assert_eq!(said, 1, "{name}: {}", ran.err);
    }
    assert!(!ran.err.contains("<html>"), "{}", ran.err);
}

/// The certificate of a CA in PEM, and a server at 127.0.0.1 with a certificate of it.
fn authority() -> (String, TlsAcceptor) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).unwrap().pem();
    let issuer = rcgen::Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap().into();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let config = rustls::ServerConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    (pem, TlsAcceptor::from(std::sync::Arc::new(config)))
}

#[tokio::test]
async fn the_api_server_of_a_cluster_is_asked_over_tls_with_the_token_of_the_hour() {
    const TOKENS: [&str; 2] =
        ["first-sentinel-of-the-gateway-1357", "second-sentinel-of-it-246802"];
    let smh = Smh::start().await;
    let (ca, acceptor) = authority();
    let endpoint = Endpoint::behind(Some(acceptor)).await;
    let signer = Signer::new("k");
    endpoint.says("/openid/v1/jwks", Reply::For(TOKENS[1], key_set(&[&signer])));
    let jwks = format!(
        "{{ url: \"https://{}/openid/v1/jwks\", ca_file: ca.crt, bearer_token: {{ file: sa }} }}",
        endpoint.address
    );
    let folder = Folder::new(&YAML.replace("JWKS", &jwks), None, smh.address);
    folder.write("ca.crt", &ca);
    folder.write("sa", &format!("{}\n", TOKENS[0]));
    let mut command = Binary::serve_command(&folder);
    command.env("SMH_GATEWAY_LOG", "trace");
    let mut gateway = Binary::serving(command).await;
    gateway.says("answered 401").await;
    folder.write("sa", TOKENS[1]);
    gateway.says("the keys of a JWT issuer are at hand").await;
    for token in TOKENS {
        let shown = format!(": Bearer {token}\r\n");
        let asked = endpoint.asked("/openid/v1/jwks");
        assert!(asked.iter().any(|head| head.contains(&shown)), "{asked:?}");
    }
    let bytes = asking(TARGET, &[&bearer(&signer.sign(&projected(REPORTS)))]);
    assert_eq!(send(gateway.data[0], bytes.as_bytes()).await.status(), 404);
    let mut seen = Vec::new();
    for path in ["/metrics", "/api/status", "/api/config", "/", "/readyz"] {
        let bytes = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = send(gateway.admin.unwrap(), bytes.as_bytes()).await;
        seen.push((path, String::from_utf8(answer.body).unwrap()));
    }
    let ran = gateway.stop().await;
    seen.extend([("standard output", ran.out), ("standard error", ran.err)]);
    for token in TOKENS {
        assert_nothing_of(token, "SMH", &received(&smh));
        for (place, text) in &seen {
            assert_nothing_of(token, place, text);
        }
    }
}

#[tokio::test]
async fn an_endpoint_that_another_ca_speaks_for_is_not_believed() {
    let smh = Smh::start().await;
    let ((_, acceptor), (other, _)) = (authority(), authority());
    let endpoint = Endpoint::behind(Some(acceptor)).await;
    let signer = Signer::new("k");
    endpoint.says("/jwks", Reply::keys(key_set(&[&signer])));
    let url = format!("https://{}/jwks", endpoint.address);
    for (jwks, files) in [
        (format!("{{ url: \"{url}\", ca_file: ca.crt }}"), vec![("ca.crt", &*other)]),
        (format!("{{ url: \"{url}\" }}"), vec![]),
    ] {
        let yaml = YAML.replace("JWKS", &jwks);
        let folder = Folder::new(&yaml, None, smh.address);
        for (name, content) in &files {
            folder.write(name, content);
        }
        let gateway = start(&yaml, &files, &smh).await;
        let token = bearer(&signer.sign(&projected(REPORTS)));
        assert_eq!(delete(&gateway, TARGET, &[&token]).await.status(), 503);
        let error =
            gateway.admin("/api/status").await.json()["jwt_issuers"][0]["last_error"].take();
        assert!(error.as_str().unwrap().contains("certificate"), "{error}");
    }
    assert_eq!(endpoint.asked("/jwks"), [""; 0]);
}
