//! Which certificate is whose, and which is nobody's.

use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose};
use smh_gateway::simulator::{Fault, Injection};
use time::OffsetDateTime;

use super::*;
use crate::support::{KEY, OTHER_KEY};

const NOBODYS: &str = "spiffe://example.org/nobody";

#[tokio::test]
async fn a_caller_has_a_whole_id_or_all_that_lie_below_one() {
    let stage = Stage::set().await;
    let unknown = "client certificate: no caller has its SPIFFE id";
    let mut wanted = Vec::new();
    let mut deletes = 0;
    for (id, status, caller) in [
        (WHOLE, 404, "whole"),
        ("spiffe://example.org/ns/media/sa/whole/more", 401, ""),
        ("spiffe://example.org/ns/media/sa/whol", 401, ""),
        ("spiffe://example.org/ns/media/sa/Whole", 401, ""),
        ("spiffe://example.org.evil/ns/media/sa/whole", 401, ""),
        ("spiffe://evil/spiffe.example.org/ns/media/sa/whole", 401, ""),
        (BELOW, 404, "below"),
        ("spiffe://example.org/ns/batch/x", 404, "below"),
        ("spiffe://example.org/ns/batch/a/b/c/d", 404, "below"),
        ("spiffe://example.org/ns/batch", 401, ""),
        ("spiffe://example.org/ns/batches/sa/x", 401, ""),
        ("spiffe://example.org/ns/batch.evil/sa/x", 401, ""),
        ("spiffe://example.com/ns/batch/sa/x", 401, ""),
        ("spiffe://example.org/ns", 401, ""),
        // Known, and allowed nothing.
        ("spiffe://example.org/idle", 403, "idle"),
    ] {
        let answer = stage.send(&stage.caller(id), &[]).await;
        assert_eq!(answer.status(), status, "{id}: {:?}", answer.json());
        deletes += usize::from(status == 404);
        assert_eq!(stage.smh.targets().len(), deletes, "{id}");
        wanted.push(match caller {
            "" => ["", "", unknown],
            name => [name, "spiffe_id", ""],
        });
    }
    wanted.sort_unstable();
    assert_eq!(told(&stage.stop().await), wanted);
}

/// An answer, without the one thing in it that is another each time.
fn without_id(answer: &Answer) -> Value {
    let mut body = answer.json();
    assert!(body.as_object_mut().unwrap().remove("requestId").is_some());
    body
}

#[tokio::test]
async fn a_certificate_that_names_nobody_is_refused_and_only_the_log_says_why() {
    let stage = Stage::set().await;
    let leaf = |names: Vec<SanType>| {
        stage.with(&stage.client_ca.issue(|params| params.subject_alt_names = names))
    };
    let named = |text: &str| {
        let identity =
            stage.client_ca.issue(|params| params.distinguished_name = common_name(text));
        stage.with(&identity)
    };
    let dns = || SanType::DnsName("example.org".try_into().unwrap());
    let mail = SanType::Rfc822Name("whole@example.org".try_into().unwrap());
    let may_sign = stage.client_ca.issue(|params| {
        params.subject_alt_names = vec![uri(WHOLE)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
    });
    let none = "client certificate: it has no URI in its subject alternative names";
    let several = "client certificate: it has more than one URI in its subject alternative names";
    let foreign = "client certificate: its URI is not a SPIFFE id";
    let mut wanted = Vec::new();
    let mut bodies = Vec::new();
    for (config, reason) in [
        (stage.anonymous(), "no credential"),
        (leaf(Vec::new()), none),
        (leaf(vec![localhost()]), none),
        (leaf(vec![dns(), mail]), none),
        (named(WHOLE), none),
        (leaf(vec![uri(WHOLE), uri(BELOW)]), several),
        (leaf(vec![uri(WHOLE), uri(WHOLE)]), several),
        (leaf(vec![uri(WHOLE), dns(), uri("https://example.org/")]), several),
        (leaf(vec![uri("https://example.org/ns/media/sa/whole")]), foreign),
        (leaf(vec![uri("SPIFFE://example.org/ns/media/sa/whole")]), foreign),
        (leaf(vec![uri("spiffe://example.org:443/ns/media/sa/whole")]), foreign),
        (leaf(vec![uri("spiffe://example.org/ns/media//sa/whole")]), foreign),
        (leaf(vec![uri("spiffe://example.org/ns/batch/../media/sa/whole")]), foreign),
        (leaf(vec![uri("spiffe://example.org/ns/batch/%2e%2e/x")]), foreign),
        (leaf(vec![uri("spiffe://example.org")]), foreign),
        (stage.with(&may_sign), "client certificate: it is a CA's own"),
    ] {
        let answer = stage.send(&config, &[]).await;
        assert_eq!((answer.status(), &*answer.code()), (401, "Unauthenticated"), "{reason}");
        assert_eq!(answer.fields("www-authenticate"), ["Bearer realm=\"smh-gateway\""]);
        assert_eq!(answer.field("connection"), None, "{reason}");
        bodies.push(without_id(&answer));
        wanted.push(["", "", reason]);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "they tell apart: {bodies:?}");
    assert_eq!(bodies[0]["outcome"], "not_sent");
    assert_eq!(stage.smh.received(), []);
    wanted.sort_unstable();
    assert_eq!(told(&stage.stop().await), wanted);
}

#[tokio::test]
async fn other_names_beside_the_id_do_no_harm() {
    let stage = Stage::set().await;
    let identity = stage.client_ca.issue(|params| {
        let dns = SanType::DnsName("whole.media.svc".try_into().unwrap());
        params.subject_alt_names = vec![dns, uri(WHOLE), localhost()];
        params.distinguished_name = common_name("spiffe://example.org/idle");
    });
    assert_eq!(stage.send(&stage.with(&identity), &[]).await.status(), 404);
    assert_eq!(told(&stage.stop().await), [["whole", "spiffe_id", ""]]);
}

#[tokio::test]
async fn a_certificate_that_does_not_verify_ends_the_handshake() {
    let stage = Stage::set().await;
    let ca = &stage.client_ca;
    let day = time::Duration::days(1);
    let now = OffsetDateTime::now_utc();
    let with_id = |change: &dyn Fn(&mut CertificateParams)| {
        ca.issue(|params| {
            params.subject_alt_names = vec![uri(WHOLE)];
            change(params);
        })
    };
    let self_signed = {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![uri(WHOLE)];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Identity { pem: certificate.pem(), chain: vec![certificate.into()], key }
    };
    let of_another_key = {
        let certificate = with_id(&|_| {});
        Identity { key: KeyPair::generate().unwrap(), ..certificate }
    };
    let below = ca.intermediate();
    let itself_a_ca = with_id(&|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    for (identity, what) in [
        (Ca::new().caller(WHOLE), "a CA of the same name"),
        (stage.server_ca.caller(WHOLE), "the CA of the gateway's own certificate"),
        (self_signed, "self-signed"),
        (with_id(&|params| params.not_after = now - day), "expired"),
        (with_id(&|params| params.not_before = now + day), "not yet valid"),
        (itself_a_ca, "a CA as a leaf"),
        (with_id(&|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]), "usage"),
        (below.caller(WHOLE), "the certificate between is missing"),
    ] {
        for version in VERSIONS {
            let config = client(&stage.server_ca, Some(&identity), &[version]);
            stage.refuses(&config, what).await;
        }
    }
    // rustls does not let a client have another's key so easily.
    let key = PrivateKeyDer::try_from(of_another_key.key.serialize_der()).unwrap();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let certified = rustls::sign::CertifiedKey::new(of_another_key.chain, key);
    let resolver = Arc::new(rustls::sign::SingleCertAndKey::from(certified));
    for version in VERSIONS {
        let mut config = client(&stage.server_ca, None, &[version]);
        config.client_auth_cert_resolver = Arc::clone(&resolver) as _;
        stage.refuses(&config, "the certificate of another key").await;
    }
    assert!(stage.stop().await.is_empty(), "none of it was a delete");
}

#[tokio::test]
async fn a_chain_is_followed_to_a_trusted_ca() {
    let stage = Stage::set().await;
    let between = stage.client_ca.intermediate();
    let mut identity = between.caller(WHOLE);
    identity.chain.push(between.certificate);
    for version in VERSIONS {
        let config = client(&stage.server_ca, Some(&identity), &[version]);
        assert_eq!(stage.send(&config, &[]).await.status(), 404);
    }
    assert_eq!(told(&stage.stop().await), [["whole", "spiffe_id", ""]; 2]);
}

#[tokio::test]
async fn a_certificate_and_a_key_must_not_contradict_each_other() {
    let both = |yaml: String| {
        let app = "app: { api_key: { file: app.key }";
        assert!(yaml.contains(app));
        yaml.replace(app, &format!("{app}, spiffe_id: spiffe://example.org/app"))
    };
    let stage = Stage::set_with(both).await;
    let leaf = |names: Vec<SanType>| {
        stage.with(&stage.client_ca.issue(|params| params.subject_alt_names = names))
    };
    let bearer = |key: &str| format!("Authorization: Bearer {key}");
    let (app, other, wrong) = (bearer(KEY), bearer(OTHER_KEY), bearer("nobody's-key-0123456789"));
    let in_field = format!("X-Api-Key: {KEY}");
    let two_uris = || leaf(vec![uri(WHOLE), uri(BELOW)]);
    let conflict = ["", "", "two credentials that name different callers"];
    let nobodys = ["", "", "a credential nobody has"];
    let several =
        ["", "", "client certificate: it has more than one URI in its subject alternative names"];
    let mut wanted = Vec::new();
    for (config, field, status, line) in [
        (stage.caller("spiffe://example.org/app"), &app, 404, ["app", "spiffe_id", ""]),
        (stage.caller(WHOLE), &app, 401, conflict),
        (stage.caller(WHOLE), &in_field, 401, conflict),
        (stage.caller("spiffe://example.org/app"), &other, 401, conflict),
        (stage.caller(WHOLE), &wrong, 401, nobodys),
        // What is nobody's here spoils nothing.
        (stage.caller(NOBODYS), &app, 404, ["app", "api_key", ""]),
        (stage.caller(NOBODYS), &in_field, 404, ["app", "api_key", ""]),
        (leaf(Vec::new()), &app, 404, ["app", "api_key", ""]),
        (stage.caller(NOBODYS), &wrong, 401, nobodys),
        // What is wrong does.
        (two_uris(), &app, 401, several),
        (stage.anonymous(), &app, 404, ["app", "api_key", ""]),
    ] {
        let before = stage.smh.received().len();
        let answer = stage.send(&config, &[field]).await;
        assert_eq!(answer.status(), status, "{line:?}: {:?}", answer.json());
        let sent = stage.smh.received().len() - before;
        assert_eq!(sent, usize::from(status == 404), "{line:?}");
        wanted.push(line);
    }
    wanted.sort_unstable();
    assert_eq!(told(&stage.stop().await), wanted);
}

#[tokio::test]
async fn one_wrong_request_does_not_spoil_the_next_one_of_its_connection() {
    let stage = Stage::set().await;
    let mut kept = stage.open(&stage.caller(WHOLE)).await;
    let other = format!("Authorization: Bearer {OTHER_KEY}");
    for (fields, status) in [(&[][..], 404), (&[&*other], 401), (&[], 404)] {
        assert_eq!(ask(&mut kept, "/v1/files/t1/a", fields).await.status(), status);
    }
    assert_eq!(stage.smh.received().len(), 2);
}

#[tokio::test]
async fn loopback_does_not_make_up_for_a_certificate_that_is_nobodys() {
    let trusting = |yaml: String| yaml.replace("api_key: { file: app.key }", "trust: loopback");
    let stage = Stage::set_with(trusting).await;
    assert_eq!(stage.send(&stage.caller(NOBODYS), &[]).await.status(), 401);
    assert_eq!(stage.smh.received(), []);
    assert_eq!(stage.send(&stage.anonymous(), &[]).await.status(), 404);
    assert_eq!(stage.send(&stage.caller(WHOLE), &[]).await.status(), 404);
    let nobodys = ["", "", "client certificate: no caller has its SPIFFE id"];
    let wanted = [nobodys, ["app", "loopback", ""], ["whole", "spiffe_id", ""]];
    assert_eq!(told(&stage.stop().await), wanted);
}

#[tokio::test]
async fn a_listener_without_a_client_ca_asks_nobody_for_a_certificate() {
    let with_another = |yaml: String| {
        let (_, listeners) = yaml.split_once("listeners:\n").unwrap();
        let (keep, _) = listeners.split_once(", client_ca").unwrap();
        let another = format!("{keep} }}\n");
        yaml.replacen("admin:", &format!("{another}admin:"), 1)
    };
    let stage = Stage::set_with(with_another).await;
    let [asking, silent] = *stage.gateway.running.addresses() else { panic!("two listeners") };
    for (address, status) in [(asking, 404), (silent, 401)] {
        let mut kept = open(address, &stage.caller(WHOLE)).await;
        assert_eq!(ask(&mut kept, "/v1/files/t1/a", &[]).await.status(), status);
    }
    assert_eq!(stage.smh.received().len(), 1);
    assert_eq!(told(&stage.stop().await)[0], ["", "", "no credential"]);
}

#[tokio::test]
async fn a_connection_ends_with_the_certificate_that_it_was_made_with() {
    let stage = Stage::set_with(|yaml| yaml.replace("  timeout: 3s", "  timeout: 10s")).await;
    // In a certificate time has no fractions.
    let end = OffsetDateTime::now_utc().replace_nanosecond(0).unwrap() + time::Duration::seconds(5);
    let identity = stage.client_ca.issue(|params| {
        params.subject_alt_names = vec![uri(WHOLE)];
        params.not_after = end;
    });
    let config = stage.with(&identity);
    let mut http1 = stage.open(&config).await;
    assert_eq!(ask(&mut http1, "/v1/files/t1/a", &[]).await.status(), 404);
    let mut unused = stage.open(&config).await;
    let mut http2 = Http2::open(stage.address(), &config).await;
    assert_eq!(http2.delete("/v1/files/t1/a").await.unwrap().0, 404);
    // One delete that SMH still has a second after the end.
    let mut busy = stage.open(&config).await;
    stage.smh.simulator.inject(Injection::once(Fault::Slow(Duration::from_secs(3))));
    let asked_at = end - time::Duration::seconds(2);
    let wait = asked_at - OffsetDateTime::now_utc();
    tokio::time::sleep(wait.try_into().expect("the machine is too slow for this test")).await;
    busy.write(delete("/v1/files/t1/a", &[]).as_bytes()).await;
    let deletes = 3;
    until("SMH has it", async || stage.smh.received().len() == deletes).await;

    assert!(http1.until_closed().await.is_empty());
    assert!(unused.until_closed().await.is_empty());
    http2.until_closed().await;
    assert_eq!(busy.answer().await.status(), 404, "it was asked for in time");
    assert!(busy.until_closed().await.is_empty());

    // A session is resumed without another look at the certificate, and yet nothing comes of it.
    if let Ok(stream) = handshake(stage.address(), &config).await {
        let mut kept = Kept::over(stream);
        kept.write(delete("/v1/files/t1/a", &[]).as_bytes()).await;
        let mut read = Vec::new();
        let end = tokio::time::timeout(PATIENCE, kept.stream.read_to_end(&mut read)).await;
        end.expect("it ends").unwrap_or_default();
        assert!(read.is_empty() || read.starts_with(b"HTTP/1.1 401 "), "{read:?}");
    }
    stage.refuses(&stage.with(&identity), "expired").await;
    assert_eq!(stage.smh.received().len(), deletes);
    let lines = stage.stop().await;
    let served = lines.iter().filter(|line| line["caller"] == "whole");
    assert_eq!(served.count(), deletes, "{lines:?}");
}
