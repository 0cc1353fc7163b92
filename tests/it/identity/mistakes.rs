//! Mistakes in what listeners and callers say of TLS, sockets and SPIFFE ids.

use crate::support::binary::run;

const GATEWAY: &str = "\
listeners:
  - address: 127.0.0.1:8443
    tls: { certificate: tls.crt, private_key: tls.key, client_ca: ca.crt }
libraries:
  smhxxx:
    token: { file: token }
tenants:
  photos: { library: smhxxx, space: spacexxx }
callers:
  app: { spiffe_id: spiffe://example.org/app, tenants: [photos] }
  other: { spiffe_id: spiffe://example.org/other, tenants: [photos] }
";

/// What `check` says of [`GATEWAY`] in which one text is replaced by another.
async fn mistake(text: &str, by: &str) -> String {
    assert_eq!(GATEWAY.matches(text).count(), 1, "{text}");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("gateway.yaml"), GATEWAY.replace(text, by)).unwrap();
    let ran = run(folder.path(), &["check", "--config", "gateway.yaml"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{}", ran.err);
    ran.err
}

const TLS: &str = "tls: { certificate: tls.crt, private_key: tls.key, client_ca: ca.crt }";

#[tokio::test]
async fn a_unix_socket_speaks_no_tls() {
    insta::assert_snapshot!(mistake("address: 127.0.0.1:8443", "unix: gateway.sock").await, @r#"
    gateway.yaml:3:10: a unix socket does not speak TLS
        3 |     tls: { certificate: tls.crt, private_key: [redacted], client_ca: ca.crt }
          |          ^ nothing on it leaves this machine; its mode and group say who may connect
    "#);
}

#[tokio::test]
async fn a_listener_is_in_plain_text_or_not() {
    let both = format!("{TLS}\n    plaintext: true");
    insta::assert_snapshot!(mistake(TLS, &both).await, @r#"
    gateway.yaml:3:10: with `tls` this listener is not in plain text
        3 |     tls: { certificate: tls.crt, private_key: [redacted], client_ca: ca.crt }
          |          ^ keep one of `tls` and `plaintext`
    "#);
}

#[tokio::test]
async fn half_of_tls_is_none() {
    insta::assert_snapshot!(mistake(TLS, "tls: { private_key: tls.key, ca: ca.crt }").await, @r#"
    gateway.yaml:3:10: the TLS of a listener needs `certificate`
        3 |     tls: { private_key: [redacted], ca: [redacted] }
          |          ^
    gateway.yaml:3:34: unknown field `ca` in the TLS of a listener
        3 |     tls: { private_key: [redacted], ca: [redacted] }
          |                                     ^^ it may have `certificate`, `private_key`, `client_ca`
    "#);
    insta::assert_snapshot!(mistake(TLS, "tls: tls.crt").await, @r#"
    gateway.yaml:3:10: expected the fields of the TLS of a listener, found a text
        3 |     tls: [redacted]
          |          ^^^^^^^^^^
    "#);
}

#[tokio::test]
async fn a_private_key_in_the_file_is_an_error_and_is_not_shown() {
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let block = format!(
        "tls:\n      certificate: tls.crt\n      client_ca: ca.crt\n      private_key: |\n{}",
        key.lines().map(|line| format!("        {line}\n")).collect::<String>().trim_end()
    );
    let escaped = key.replace('\n', "\\n");
    let quoted = format!("tls: {{ certificate: tls.crt, private_key: \"{escaped}\" }}");
    for by in [&block, &quoted] {
        let said = mistake(TLS, by).await;
        assert!(said.contains("a private key does not stand in this file itself"), "{said}");
        for line in key.lines().filter(|line| !line.starts_with('-')) {
            for part in line.as_bytes().windows(12) {
                assert!(!said.contains(std::str::from_utf8(part).unwrap()), "{said}");
            }
        }
    }
    insta::assert_snapshot!(mistake(TLS, &block).await, @r#"
    gateway.yaml:7:9: a private key does not stand in this file itself
        7 |         [redacted]
          |         ^^^^^^^^^^ say where it is: the path of its file
    "#);
    insta::assert_snapshot!(mistake(TLS, &quoted).await, @r#"
    gateway.yaml:3:47: a private key does not stand in this file itself
        3 |     tls: { certificate: tls.crt, private_key: [redacted]
          |                                               ^^^^^^^^^^ say where it is: the path of its file
    "#);
}

#[tokio::test]
async fn an_id_that_nobody_can_show_is_an_error() {
    let said = mistake(", client_ca: ca.crt", "").await;
    insta::assert_snapshot!(said, @r#"
    gateway.yaml:10:21: no listener asks for client certificates, so nobody can show this id
       10 |   app: { spiffe_id: spiffe://example.org/app, tenants: [photos] }
          |                     ^^^^^^^^^^^^^^^^^^^^^^^^ give a listener `tls: { …, client_ca: … }`
    "#);
}

#[tokio::test]
async fn an_id_is_one_callers() {
    insta::assert_snapshot!(mistake("spiffe://example.org/other", "spiffe://example.org/app").await, @r#"
    gateway.yaml:11:23: `app` has some of the same ids: who calls could not be told
       11 |   other: { spiffe_id: spiffe://example.org/app, tenants: [photos] }
          |                       ^^^^^^^^^^^^^^^^^^^^^^^^
    "#);
    let below = "\"spiffe://example.org/*\"";
    insta::assert_snapshot!(mistake("spiffe://example.org/other", below).await, @r#"
    gateway.yaml:11:23: `app` has some of the same ids: who calls could not be told
       11 |   other: { spiffe_id: "spiffe://example.org/*", tenants: [photos] }
          |                       ^^^^^^^^^^^^^^^^^^^^^^^^
    "#);
    let twice = "[spiffe://example.org/other, \"spiffe://example.org/other/*\", \"spiffe://example.org/other/x/*\"]";
    insta::assert_snapshot!(mistake("spiffe://example.org/other", twice).await, @r#"
    gateway.yaml:11:84: this caller has some of the same ids already
       11 | …/other, "spiffe://example.org/other/*", "spiffe://example.org/other/x/*"], tenants: [photos] }
          |                                          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    "#);
}

#[tokio::test]
async fn a_malformed_id_says_what_is_wrong_with_it() {
    let mut said = String::new();
    for id in [
        "spiffe://example.org:8443/other",
        "spiffe://example.org/other?x=1",
        "spiffe://example.org/other#x",
        "spiffe://*.example.org/other",
        "spiffe://example.org/*/other",
        "spiffe://example.org/oth*",
        "spiffe://example.org/**",
        "spiffe://example.org",
        "spiffe://example.org/other/",
        "spiffe://example.org//other",
        "spiffe://example.org/../other",
        "spiffe://example.org/%6fther",
        "spiffe://me@example.org/other",
        "spiffe://Example.org/other",
        "https://example.org/other",
        "example.org/other",
        "",
    ] {
        let whole = mistake("spiffe://example.org/other", &format!("\"{id}\"")).await;
        assert_eq!(whole.lines().filter(|line| line.starts_with("gateway.yaml:")).count(), 1);
        said.push_str(whole.lines().next().unwrap());
        said.push('\n');
    }
    insta::assert_snapshot!(said, @r#"
    gateway.yaml:11:23: `spiffe://example.org:8443/other` is not a SPIFFE id, or `spiffe://domain/path/*`: it has a port, or another `:` in its trust domain
    gateway.yaml:11:23: `spiffe://example.org/other?x=1` is not a SPIFFE id, or `spiffe://domain/path/*`: it has a query: a SPIFFE id ends with its path
    gateway.yaml:11:23: `spiffe://example.org/other#x` is not a SPIFFE id, or `spiffe://domain/path/*`: it has a fragment: a SPIFFE id ends with its path
    gateway.yaml:11:23: `spiffe://*.example.org/other` is not a SPIFFE id, or `spiffe://domain/path/*`: `*` stands for all that lies below: it can only be the whole last segment
    gateway.yaml:11:23: `spiffe://example.org/*/other` is not a SPIFFE id, or `spiffe://domain/path/*`: `*` stands for all that lies below: it can only be the whole last segment
    gateway.yaml:11:23: `spiffe://example.org/oth*` is not a SPIFFE id, or `spiffe://domain/path/*`: `*` stands for all that lies below: it can only be the whole last segment
    gateway.yaml:11:23: `spiffe://example.org/**` is not a SPIFFE id, or `spiffe://domain/path/*`: `*` stands for all that lies below: it can only be the whole last segment
    gateway.yaml:11:23: `spiffe://example.org` is not a SPIFFE id, or `spiffe://domain/path/*`: it has no path: it names a trust domain, and nobody within it
    gateway.yaml:11:23: `spiffe://example.org/other/` is not a SPIFFE id, or `spiffe://domain/path/*`: its path ends in a slash
    gateway.yaml:11:23: `spiffe://example.org//other` is not a SPIFFE id, or `spiffe://domain/path/*`: its path has an empty segment
    gateway.yaml:11:23: `spiffe://example.org/../other` is not a SPIFFE id, or `spiffe://domain/path/*`: `.` and `..` cannot be segments of its path
    gateway.yaml:11:23: `spiffe://example.org/%6fther` is not a SPIFFE id, or `spiffe://domain/path/*`: it has a percent sign: a SPIFFE id is written without escapes
    gateway.yaml:11:23: `spiffe://[redacted]@example.org/other` is not a SPIFFE id, or `spiffe://domain/path/*`: it has user information, which ends at the `@`
    gateway.yaml:11:23: `spiffe://Example.org/other` is not a SPIFFE id, or `spiffe://domain/path/*`: 'E' is not allowed in a trust domain; use lower-case letters, digits and - . _
    gateway.yaml:11:23: `https://example.org/other` is not a SPIFFE id, or `spiffe://domain/path/*`: it does not begin with `spiffe://`, in lower case
    gateway.yaml:11:23: `example.org/other` is not a SPIFFE id, or `spiffe://domain/path/*`: it does not begin with `spiffe://`, in lower case
    gateway.yaml:11:23: an empty text is not a SPIFFE id, or `spiffe://domain/path/*`: it does not begin with `spiffe://`, in lower case
    "#);
}

#[tokio::test]
async fn the_mode_of_a_socket_is_octal() {
    let mut said = String::new();
    for mode in ["\"0999\"", "0999", "66", "1777", "0o660", "rw-rw----", "\"\"", "-660", "+660"] {
        let by = format!("address: 127.0.0.1:8080\n  - unix: gateway.sock\n    mode: {mode}");
        let whole = mistake("address: 127.0.0.1:8443", &by).await;
        said.push_str(whole.lines().next().unwrap());
        said.push('\n');
    }
    insta::assert_snapshot!(said, @r#"
    gateway.yaml:4:11: `0999` is not permissions in octal digits, such as `0660`: three digits from 0 to 7, or four of which the first is 0
    gateway.yaml:4:11: `0999` is not permissions in octal digits, such as `0660`: three digits from 0 to 7, or four of which the first is 0
    gateway.yaml:4:11: `66` is not permissions in octal digits, such as `0660`: three digits from 0 to 7, or four of which the first is 0
    gateway.yaml:4:11: `1777` is not permissions in octal digits, such as `0660`: three digits from 0 to 7, or four of which the first is 0
    gateway.yaml:4:11: `0o660` is not permissions in octal digits, such as `0660`: three digits from 0 to 7, or four of which the first is 0
    gateway.yaml:4:11: `rw-rw----` is not permissions in octal digits, such as `0660`: three digits from 0 to 7, or four of which the first is 0
    gateway.yaml:4:11: an empty text is not permissions in octal digits, such as `0660`: three digits from 0 to 7, or four of which the first is 0
    gateway.yaml:4:11: `-660` is not permissions in octal digits, such as `0660`: three digits from 0 to 7, or four of which the first is 0
    gateway.yaml:4:11: `+660` is not permissions in octal digits, such as `0660`: three digits from 0 to 7, or four of which the first is 0
    "#);
    let on_tcp = format!("{TLS}\n    mode: \"0660\"\n    group: smh");
    insta::assert_snapshot!(mistake(TLS, &on_tcp).await, @r#"
    gateway.yaml:4:11: `mode` is for unix sockets
        4 |     mode: "0660"
          |           ^^^^^^
    gateway.yaml:5:12: `group` is for unix sockets
        5 |     group: smh
          |            ^^^
    "#);
}

#[tokio::test]
async fn loopback_is_not_trusted_beside_tls_for_others() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = GATEWAY
        .replace("127.0.0.1:8443", "0.0.0.0:8443")
        .replace("spiffe_id: spiffe://example.org/other", "trust: loopback");
    std::fs::write(folder.path().join("gateway.yaml"), yaml).unwrap();
    let ran = run(folder.path(), &["check", "--config", "gateway.yaml"]).await;
    assert_eq!(ran.code, Some(1));
    insta::assert_snapshot!(ran.err, @r#"
    gateway.yaml:11:19: `trust: loopback` is for a sidecar, but there is a listener on 0.0.0.0:8443
       11 |   other: { trust: loopback, tenants: [photos] }
          |                   ^^^^^^^^ let the caller prove itself, or listen on 127.0.0.1 or a unix socket
    "#);
}
