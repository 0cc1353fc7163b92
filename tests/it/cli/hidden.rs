//! What is not shown, whatever is wrong on its line.

use super::*;

/// Its path may be what only its owner should know.
#[tokio::test]
async fn the_url_of_a_jwks_is_not_shown_whatever_is_wrong_on_its_line() {
    let issuer = |jwks: &str| {
        let issuers = format!(
            "jwt_issuers:\n  cluster: {{ issuer: https://issuer, audience: a, jwks: {{ {jwks} }} }}"
        );
        GATEWAY.replace("workers: 2", &issuers)
    };
    insta::assert_snapshot!(
        mistakes(issuer("url: \"https://h/SECRET?a=SECRET\", ca_fil: ca.crt"), None).await,
        @"
    gateway.yaml:13:93: unknown field `ca_fil` in the keys of an issuer
       13 |   cluster: { issuer: https://issuer, audience: a, jwks: { url: [redacted], ca_fil: ca.crt } }
          |                                                                            ^^^^^^
          = help: did you mean `ca_file`?
    "
    );
    insta::assert_snapshot!(mistakes(issuer("url: http://h/SECRET"), None).await, @"
    gateway.yaml:13:64: over plain http the keys could be exchanged on their way
       13 |   cluster: { issuer: https://issuer, audience: a, jwks: { url: [redacted] } }
          |                                                                ^^^^^^^^^^
          = help: use https; http is for loopback
    ");
    insta::assert_snapshot!(mistakes(issuer("url: https://h/a SECRET"), None).await, @"
    gateway.yaml:13:64: this is no URL of a JWKS: its path has a character that must be percent-encoded
       13 |   cluster: { issuer: https://issuer, audience: a, jwks: { url: [redacted] } }
          |                                                                ^^^^^^^^^^
    ");
    for jwks in [
        "urll: https://h/SECRET",
        "file: keys.json, url: https://h/SECRET",
        "url: [https://h/SECRET]",
        "url: https://h/SECRET, ca_file: ''",
        "url: https://h/SECRET, bearer_token: abc",
    ] {
        let said = mistakes(issuer(jwks), None).await;
        assert!(!said.contains("SECRET"), "{said}");
    }
}
