//! Tokens, good and bad, and the callers they name.

use aws_lc_rs::hmac;

use super::endpoint::{Endpoint, Reply};
use super::signer::{RSA, Signer, base64url, key_set, unsigned};
use super::*;
use crate::support::TOKEN;
use crate::support::binary::Binary;

#[tokio::test]
async fn a_projected_service_account_token_names_its_caller_and_stays_here() {
    let smh = Smh::start().await.with_file("a").with_file("b");
    let curve = Signer::new("ec-1");
    let keys = key_set(&[&RSA, &curve]);
    let gateway = start(&keys_in_file(), &[("jwks.json", &keys)], &smh).await;
    let mut tokens = Vec::new();
    for (signer, path) in [(&*RSA, "a"), (&curve, "b")] {
        let token = signer.sign(&projected(REPORTS));
        let target = format!("/v1/files/t1/{path}");
        assert_eq!(delete(&gateway, &target, &[&bearer(&token)]).await.status(), 200, "{path}");
        tokens.push(token);
    }
    assert_eq!(smh.files(), [""; 0]);
    for request in smh.received() {
        assert!(request.target.contains(&format!("access_token={TOKEN}")), "{}", request.target);
        assert_eq!(request.header("authorization").count(), 0);
    }
    let lines = gateway.stop().await;
    assert_eq!(lines.len(), 2);
    for line in &lines {
        assert_eq!((&line["caller"], &line["proof"]), (&json!("reports"), &json!("jwt")), "{line}");
        assert_eq!(line["reason"], Value::Null);
    }
    for token in tokens {
        assert_nothing_of(&token, "SMH", &received(&smh));
        assert_nothing_of(&token, "the log", &format!("{lines:?}"));
    }
}

#[tokio::test]
async fn a_caller_is_named_by_its_subject_and_by_whatever_else_it_must_claim() {
    let smh = Smh::start().await;
    let signer = Signer::new("k");
    let nightly = "callers:\n  nightly: { jwt: { issuer: cluster, subject: \"job:*\", claims: \
                   { /kubernetes.io/namespace: batch, groups: \"ops-*\" } }, tenants: [t1] }\n";
    let yaml = keys_in_file().replace("callers:\n", nightly);
    let gateway = start(&yaml, &[("jwks.json", &key_set(&[&signer]))], &smh).await;
    let batch = json!({"namespace": "batch"});
    let cases = [
        (REPORTS, json!({}), Some("reports")),
        ("system:serviceaccount:media:thumbs", json!({}), Some("media")),
        ("system:serviceaccount:media:", json!({}), Some("media")),
        ("system:serviceaccount:reports:other", json!({}), None),
        ("system:serviceaccount:mediaX:thumbs", json!({}), None),
        ("xsystem:serviceaccount:media:thumbs", json!({}), None),
        ("SYSTEM:serviceaccount:reports:default", json!({}), None),
        ("job:1", json!({"kubernetes.io": batch, "groups": ["dev", "ops-db"]}), Some("nightly")),
        ("job:1", json!({"kubernetes.io": batch, "groups": "ops-"}), Some("nightly")),
        ("job:1", json!({"kubernetes.io": batch, "groups": ["dev", "xops-db"]}), None),
        ("job:1", json!({"kubernetes.io": batch, "groups": []}), None),
        ("job:1", json!({"kubernetes.io": batch, "groups": [["ops-db"]]}), None),
        ("job:1", json!({"kubernetes.io": batch, "groups": {"ops-db": "ops-db"}}), None),
        ("job:1", json!({"kubernetes.io": batch}), None),
        ("job:1", json!({"groups": "ops-db"}), None),
        ("job:1", json!({"kubernetes.io": {"namespace": "batch2"}, "groups": "ops-db"}), None),
        ("job:1", json!({"kubernetes.io": "batch", "groups": "ops-db"}), None),
    ];
    for (number, (subject, more, caller)) in cases.iter().enumerate() {
        let token = signer.sign(&changed(projected(subject), more));
        let fields = [&*bearer(&token), &format!("X-Request-Id: {number}")];
        let status = delete(&gateway, "/v1/files/t1/a", &fields).await.status();
        assert_eq!(status, if caller.is_some() { 404 } else { 401 }, "{subject} {more}");
    }
    let good = cases.iter().filter(|(_, _, caller)| caller.is_some()).count();
    assert_eq!(smh.received().len(), good);
    let lines = gateway.stop().await;
    for (number, (subject, more, caller)) in cases.iter().enumerate() {
        let line = line_of(&lines, &number.to_string());
        assert_eq!(line["caller"].as_str(), *caller, "{subject} {more}");
        let reason = "JWT: no caller has its subject and claims";
        let wanted = caller.is_none().then_some(reason);
        assert_eq!(line["reason"].as_str(), wanted, "{subject} {more}");
    }
}

/// A name, a token that proves nothing, and why.
type Bad = (&'static str, String, &'static str);

fn forged(signer: &Signer, elsewhere: &str) -> Vec<Bad> {
    let stranger = Signer::new("k");
    let claims = projected(REPORTS);
    let text = claims.to_string();
    let header = |more: &Value| changed(signer.header(), more);
    let symmetric = |key: &[u8]| {
        let signed = unsigned(&header(&json!({"alg": "HS256"})), &text);
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let signature = base64url(hmac::sign(&key, signed.as_bytes()));
        format!("{signed}.{signature}")
    };
    let jwk = signer.jwk();
    let none = unsigned(&header(&json!({"alg": "none"})), &text);
    let brings_key = json!({"jku": elsewhere, "x5u": elsewhere, "jwk": stranger.jwk()});
    let (algorithm, shape, signature) = (
        "JWT: its algorithm is not one that the issuer signs with",
        "JWT: it is not three parts of base64url, the first two of which are JSON objects",
        "JWT: its signature is wrong",
    );
    let good = signer.sign(&claims);
    let (signed, of_good) = good.rsplit_once('.').unwrap();
    let other = unsigned(&signer.header(), &changed(claims.clone(), &json!({"x": 1})).to_string());
    vec![
        ("none", format!("{none}.AA"), algorithm),
        ("none-unsigned", format!("{none}."), shape),
        ("hs256-jwk", symmetric(jwk.to_string().as_bytes()), algorithm),
        ("hs256-x", symmetric(jwk["x"].as_str().unwrap().as_bytes()), algorithm),
        ("rs256", signer.sign_text(&header(&json!({"alg": "RS256"})), &text), UNKNOWN_KEY),
        ("es384", signer.sign_text(&header(&json!({"alg": "ES384"})), &text), algorithm),
        ("unknown-kid", signer.sign_text(&header(&json!({"kid": "K"})), &text), UNKNOWN_KEY),
        ("stranger", stranger.sign(&claims), signature),
        ("jku", stranger.sign_text(&header(&brings_key), &text), signature),
        ("other-claims", format!("{other}.{of_good}"), signature),
        ("cut", format!("{signed}.{}", of_good.split_at(80).0), signature),
        ("padded", format!("{good}="), shape),
        (
            "crit",
            signer.sign_text(&header(&json!({"crit": ["exp"]})), &text),
            "JWT: its header has a `crit` or `b64` that is not understood",
        ),
        (
            "logout",
            signer.sign_text(&header(&json!({"typ": "logout+jwt"})), &text),
            "JWT: its header has an `alg`, `kid` or `typ` that is not understood",
        ),
    ]
}

const UNKNOWN_KEY: &str = "JWT: the issuer has no key of this name";

/// Signed as they should be, and yet no good.
fn misused(signer: &Signer) -> Vec<Bad> {
    let sign = |by: Value| signer.sign(&changed(projected(REPORTS), &by));
    let text = projected(REPORTS).to_string();
    let twice = text.replacen('{', &format!("{{\"sub\":\"{REPORTS}\","), 1);
    let (audience, expired, early, claim) = (
        "JWT: it is for another audience",
        "JWT: it has expired, or says not when it will",
        "JWT: it is not valid yet",
        "JWT: one of its claims is not of the type it should be",
    );
    let issuer = "JWT: no issuer of this name is configured";
    vec![
        ("aud-other", sign(json!({"aud": "smh-gateway2"})), audience),
        ("aud-others", sign(json!({"aud": ["api", "SMH-GATEWAY"]})), audience),
        ("aud-none", sign(json!({"aud": null})), audience),
        ("aud-empty", sign(json!({"aud": []})), audience),
        ("aud-object", sign(json!({"aud": {"smh-gateway": 1}})), claim),
        ("expired", sign(json!({"exp": in_seconds(-31)})), expired),
        ("no-exp", sign(json!({"exp": null})), expired),
        ("exp-text", sign(json!({"exp": in_seconds(600).to_string()})), claim),
        ("early", sign(json!({"nbf": in_seconds(300)})), early),
        (
            "no-sub",
            sign(json!({"sub": null})),
            "JWT: it has no subject, or one with control characters",
        ),
        ("iss-slash", sign(json!({"iss": format!("{KUBERNETES}/")})), issuer),
        ("iss-none", sign(json!({"iss": null})), issuer),
        (
            "twice",
            signer.sign_text(&signer.header(), &twice),
            "JWT: a name stands twice in its header or its claims",
        ),
        ("large", sign(json!({"x": "x".repeat(8 * 1024)})), "JWT: it is too large"),
    ]
}

#[tokio::test]
async fn a_bad_token_is_refused_like_any_other_and_only_the_log_says_why() {
    let smh = Smh::start().await.with_file("a");
    let (signer, elsewhere) = (Signer::new("k"), Endpoint::start().await);
    elsewhere.says("/jwks", Reply::keys(key_set(&[&Signer::new("k")])));
    let folder = Folder::new(&keys_in_file(), None, smh.address);
    folder.write("jwks.json", &key_set(&[&signer, &RSA]));
    let mut command = Binary::serve_command(&folder);
    command.env("SMH_GATEWAY_LOG", "trace");
    let mut gateway = Binary::serving(command).await;
    gateway.says("the keys of a JWT issuer are at hand").await;

    let bad = [forged(&signer, &elsewhere.url("/jwks")), misused(&signer)].concat();
    let mut alike = None;
    for (name, token, _) in &bad {
        let fields = [&*bearer(token), &format!("X-Request-Id: {name}")];
        let bytes = asking("/v1/files/t1/a", &fields);
        let answer = send(gateway.data[0], bytes.as_bytes()).await;
        assert_eq!(answer.status(), 401, "{name}");
        let mut body = answer.json();
        assert_eq!(body["requestId"].take(), *name);
        assert_eq!(body["code"], "Unauthenticated");
        let told = (answer.field("www-authenticate").unwrap().to_owned(), body);
        assert_eq!(told, *alike.get_or_insert(told.clone()), "{name}");
    }
    assert_eq!(elsewhere.asked("/jwks"), [""; 0], "a token does not say where its key is");
    assert_eq!((smh.received().len(), smh.files().len()), (0, 1));

    let ran = gateway.stop().await;
    let lines = ran.deletes();
    for (name, token, reason) in &bad {
        let line = line_of(&lines, name);
        assert_eq!(line["reason"], *reason, "{name}");
        assert_eq!((&line["caller"], &line["proof"]), (&Value::Null, &Value::Null), "{name}");
        // What anybody writes in a header is no secret: the rest is.
        let (_, secret) = token.split_once('.').unwrap();
        assert_nothing_of(secret, "standard output", &ran.out);
        assert_nothing_of(secret, "standard error", &ran.err);
    }
}

#[tokio::test]
async fn a_token_is_no_api_key() {
    let smh = Smh::start().await;
    let signer = Signer::new("k");
    let gateway = start(&keys_in_file(), &[("jwks.json", &key_set(&[&signer]))], &smh).await;
    let token = signer.sign(&projected(REPORTS));
    let target = "/v1/files/t1/a";
    assert_eq!(delete(&gateway, target, &[&format!("X-Api-Key: {token}")]).await.status(), 401);
    assert_eq!(delete(&gateway, target, &[&bearer(&token)]).await.status(), 404);
    assert_eq!(smh.received().len(), 1);
    let lines = gateway.stop().await;
    let reasons: Vec<_> = lines.iter().filter_map(|line| line["reason"].as_str()).collect();
    assert_eq!(reasons, ["a credential nobody has"]);
}

#[tokio::test]
async fn a_token_that_was_good_ends_with_its_key() {
    let smh = Smh::start().await;
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let gateway = start(&keys_in_file(), &[("jwks.json", &key_set(&[&old, &new]))], &smh).await;
    let target = "/v1/files/t1/a";
    let tokens = [&old, &new].map(|signer| bearer(&signer.sign(&projected(REPORTS))));
    for token in &tokens {
        assert_eq!(delete(&gateway, target, &[token]).await.status(), 404);
    }
    gateway.folder.write("jwks.json", &key_set(&[&new]));
    let withdrawn = async || delete(&gateway, target, &[&tokens[0]]).await.status() == 401;
    becomes("the key is withdrawn", withdrawn).await;
    let asked = smh.received().len();
    assert_eq!(delete(&gateway, target, &[&tokens[0]]).await.status(), 401);
    assert_eq!(smh.received().len(), asked);
    assert_eq!(delete(&gateway, target, &[&tokens[1]]).await.status(), 404);
}
