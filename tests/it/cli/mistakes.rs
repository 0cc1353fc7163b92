//! Each mistake, and what is said of it.

use std::fs;

use super::*;
use crate::support::binary::{Binary, command};

#[tokio::test]
async fn an_unknown_field_is_shown_with_what_was_meant() {
    let said = mistake("library: smhxxx, space: spacexxx", "libary: smhxxx, space: spacexxx").await;
    insta::assert_snapshot!(said, @r#"
    gateway.yaml:7:11: a tenant needs `library`
        7 |   photos: { libary: smhxxx, space: spacexxx }
          |           ^
    gateway.yaml:7:13: unknown field `libary` in a tenant
        7 |   photos: { libary: smhxxx, space: spacexxx }
          |             ^^^^^^ did you mean `library`?
    "#);
}

#[tokio::test]
async fn a_name_that_nothing_has_is_shown_with_what_was_meant() {
    let yaml = GATEWAY
        .replace("tenants: [photos] }", "tenants: [photo, archive] }")
        .replace("library: smhxxx, space: spacexxx", "library: smhxx, space: spacexxx");
    let policy = POLICY.replace("callers: [janitor]", "callers: [jantior]");
    insta::assert_snapshot!(mistakes(yaml, Some(&policy)).await, @r#"
    gateway.yaml:7:22: unknown library `smhxx`
        7 |   photos: { library: smhxx, space: spacexxx }
          |                      ^^^^^ did you mean `smhxxx`?
    gateway.yaml:10:48: unknown tenant `photo`
       10 |   app: { api_key: { file: app.key }, tenants: [photo, archive] }
          |                                                ^^^^^ did you mean `photos`?
    gateway.yaml:10:55: unknown tenant `archive`
       10 |   app: { api_key: { file: app.key }, tenants: [photo, archive] }
          |                                                       ^^^^^^^ defined here: `photos`, `invoices`
    policy.yaml:6:34: unknown caller `jantior`
        6 |     allow_permanent: { callers: [jantior], paths: ["tmp/**"] }
          |                                  ^^^^^^^ did you mean `janitor`?
    "#);
}

#[tokio::test]
async fn a_tenant_that_is_given_twice_is_an_error() {
    let said = mistake("  invoices: {", "  photos: {").await;
    insta::assert_snapshot!(said, @r#"
    gateway.yaml:8:3: `photos` is already given on line 7
        8 |   photos: { library: smhxxx, space: space2 }
          |   ^^^^^^
    gateway.yaml:11:64: unknown tenant `invoices`
       11 |   janitor: { api_key: { file: janitor.key }, tenants: [photos, invoices] }
          |                                                                ^^^^^^^^ defined here: `photos`
    "#);
}

#[tokio::test]
async fn a_secret_in_the_file_is_an_error_and_is_not_shown() {
    let mut said = String::new();
    for (text, by) in [
        ("{ file: token }", LITERAL),
        ("{ file: token }", "{ acctk-literal-sentinel-0123456789 }"),
        ("{ file: token }", "{ env: acctk-literal-sentinel-0123456789 }"),
        ("{ file: token }", "{ value: acctk-literal-sentinel-0123456789 }"),
        ("{ file: app.key }", LITERAL),
        ("{ file: app.key }", "{ sha256: acctk-literal-sentinel-0123456789 }"),
        ("token: { file: token }", "token:acctk-literal-sentinel-0123456789"),
        ("    token: { file: token }", "    acctk-literal-sentinel-0123456789"),
    ] {
        said.push_str(&mistake(text, by).await);
        for what in ["check", "serve"] {
            let folder = folder(GATEWAY.replace(text, by), None);
            let json: &[&str] = if what == "check" { &["--format", "json"] } else { &[] };
            let arguments = [&[what, "--config", "gateway.yaml"], json].concat();
            let mut command = command(folder.path(), &arguments);
            command.env("SMH_GATEWAY_LOG", "trace");
            let ran = Binary::spawn(command).ended().await;
            assert_eq!(ran.code, Some(1));
            let shown = ran.out + &ran.err;
            assert!(!shown.contains("sentinel") && !shown.contains("01234567"), "{what}: {shown}");
        }
    }
    assert!(!said.contains("sentinel") && !said.contains("01234567"), "{said}");
    for literal in
        [&mistake("{ file: token }", LITERAL).await, &mistake("{ file: app.key }", LITERAL).await]
    {
        assert!(literal.contains("{ file:"), "it says where the secret belongs: {literal}");
    }
    insta::assert_snapshot!(said, @r#"
    gateway.yaml:5:12: a token does not stand in this file itself
        5 |     token: [redacted]
          |            ^^^^^^^^^^ say where it is: `{ file: … }` or `{ env: … }`
    gateway.yaml:5:12: a token needs one of `env`, `file`, `mint`
        5 |     token: { [redacted] }
          |            ^
    gateway.yaml:5:19: [redacted] is not the name of an environment variable
        5 |     token: { env: [redacted] }
          |                   ^^^^^^^^^^
    gateway.yaml:5:12: a token needs one of `env`, `file`, `mint`
        5 |     token: { value: [redacted] }
          |            ^
    gateway.yaml:10:19: an API key does not stand in this file itself
       10 |   app: { api_key: [redacted], tenants: [photos] }
          |                   ^^^^^^^^^^ say where it is: `{ file: … }` or `{ sha256: … }`
    gateway.yaml:10:29: [redacted] is not the SHA-256 of an API key: 64 hexadecimal digits, as `smh-gateway hash-key` prints them
       10 |   app: { api_key: { sha256: [redacted] }, tenants: [photos] }
          |                             ^^^^^^^^^^
    gateway.yaml:5:5: expected the fields of a library, found a text
        5 |     [redacted]
          |     ^^^^^^^^^^
    gateway.yaml:5:5: expected the fields of a library, found a text
        5 |     [redacted]
          |     ^^^^^^^^^^
    "#);
}

#[tokio::test]
async fn a_plain_listener_that_others_reach_is_an_error() {
    let said = mistake("127.0.0.1:8080", "0.0.0.0:8080").await;
    insta::assert_snapshot!(said, @r#"
    gateway.yaml:2:14: a plain-text listener on an address that is not loopback shows every credential to the network
        2 |   - address: 0.0.0.0:8080
          |              ^^^^^^^^^^^^ give it `tls`, or say `plaintext: true` if something else protects it
    "#);
}

#[tokio::test]
async fn loopback_is_not_trusted_where_others_reach_a_listener() {
    let yaml = GATEWAY
        .replace("127.0.0.1:8080", "\"[::]:8080\"\n    plaintext: true")
        .replace("api_key: { file: app.key }", "trust: loopback");
    insta::assert_snapshot!(mistakes(yaml, None).await, @r#"
    gateway.yaml:11:17: `trust: loopback` is for a sidecar, but there is a listener on [::]:8080
       11 |   app: { trust: loopback, tenants: [photos] }
          |                 ^^^^^^^^ let the caller prove itself, or listen on 127.0.0.1 or a unix socket
    "#);
}

#[tokio::test]
async fn a_key_that_two_callers_have_is_an_error() {
    let said = mistake("janitor.key", "app.key").await;
    insta::assert_snapshot!(said, @r#"
    gateway.yaml:11:23: `app` has the same key: who calls could not be told
       11 |   janitor: { api_key: { file: app.key }, tenants: [photos, invoices] }
          |                       ^
    "#);
}

#[tokio::test]
async fn values_of_the_wrong_form_say_what_the_form_is() {
    let more = "upstream:\n  connect_timeout: 2\n  timeout: 1.5s\n  max_in_flight: 1e3\n  token_in: Query\n\
                shutdown: { delay: 2 s, drain: 25S }\n";
    let yaml = GATEWAY
        .replace("127.0.0.1:8080", "localhost:8080\n    plaintext: yes")
        .replace("workers: 2", "workers: 0");
    insta::assert_snapshot!(mistakes(format!("{yaml}{more}"), None).await, @r#"
    gateway.yaml:2:14: `localhost:8080` is not an address with a port, such as `127.0.0.1:8080` or `[::]:8080`: names are not looked up here
        2 |   - address: localhost:8080
          |              ^^^^^^^^^^^^^^
    gateway.yaml:3:16: expected `true` or `false`, found `yes`
        3 |     plaintext: yes
          |                ^^^ write `true` or `false`
    gateway.yaml:13:10: it must be at least 1
       13 | workers: 0
          |          ^
    gateway.yaml:15:20: `2` is not a duration
       15 |   connect_timeout: 2
          |                    ^ it has no unit; the units are `ms`, `s`, `m`, `h` and `d`
    gateway.yaml:16:12: `1.5s` is not a duration
       16 |   timeout: 1.5s
          |            ^^^^
          = help: write a whole number and a smaller unit; the units are `ms`, `s`, `m`, `h` and `d`
    gateway.yaml:17:18: expected a whole number, found `1e3`
       17 |   max_in_flight: 1e3
          |                  ^^^ write it in digits alone
    gateway.yaml:18:13: `Query` is not a place for the token: one of `query`, `header`
       18 |   token_in: Query
          |             ^^^^^ did you mean `query`?
    gateway.yaml:19:20: `2 s` is not a duration
       19 | shutdown: { delay: 2 s, drain: 25S }
          |                    ^^^ the units are `ms`, `s`, `m`, `h` and `d`
    gateway.yaml:19:32: `25S` is not a duration
       19 | shutdown: { delay: 2 s, drain: 25S }
          |                                ^^^ the units are `ms`, `s`, `m`, `h` and `d`
    "#);
}

#[tokio::test]
async fn a_rate_says_what_a_rate_is() {
    let said = policy_mistake("100/s", "100/sec").await;
    insta::assert_snapshot!(said, @r#"
    policy.yaml:8:47: `100/sec` is not a rate such as `100/s` or `50000/day`: the units are `s`, `min`, `h` and `day`
        8 |   - { name: per caller, per: [caller], limit: 100/sec, burst: 200 }
          |                                               ^^^^^^^
    "#);
    assert!(policy_mistake("100/s", "0/s").await.contains("`0/s` is not a rate"));
    assert!(policy_mistake("100/s", "100").await.contains("`100` is not a rate"));
}

#[tokio::test]
async fn a_glob_says_what_is_wrong_with_it() {
    let said = policy_mistake("\"legal/**\"", "\"legal/**.pdf\", \"/a\", \"\", \"a//b\"").await;
    insta::assert_snapshot!(said, @r#"
    policy.yaml:4:42: `legal/**.pdf` is not a glob for paths: `**` stands for whole segments: write `**/x` or `x/**`
        4 |     deny: { tenants: [invoices], paths: ["legal/**.pdf", "/a", "", "a//b"] }
          |                                          ^^^^^^^^^^^^^^
    policy.yaml:4:58: `/a` is not a glob for paths: paths have no leading or trailing slash, and no empty segment
        4 |     deny: { tenants: [invoices], paths: ["legal/**.pdf", "/a", "", "a//b"] }
          |                                                          ^^^^
    policy.yaml:4:64: an empty text is not a glob for paths: it is empty
        4 |     deny: { tenants: [invoices], paths: ["legal/**.pdf", "/a", "", "a//b"] }
          |                                                                ^^
    policy.yaml:4:68: `a//b` is not a glob for paths: paths have no leading or trailing slash, and no empty segment
        4 |     deny: { tenants: [invoices], paths: ["legal/**.pdf", "/a", "", "a//b"] }
          |                                                                    ^^^^^^
    "#);
}

#[tokio::test]
async fn what_this_version_lacks_is_not_yet_supported() {
    let yaml = GATEWAY.replace("workers: 2", "audit: { file: audit.jsonl }");
    insta::assert_snapshot!(mistakes(yaml, Some(POLICY)).await, @r#"
    gateway.yaml:12:1: `audit` is not yet supported
       12 | audit: { file: audit.jsonl }
          | ^^^^^
    "#);
}

#[tokio::test]
async fn an_upstream_over_plain_http_must_be_on_loopback() {
    let said = mistake("    token:", "    url: http://smh.example.com\n    token:").await;
    insta::assert_snapshot!(said, @r#"
    gateway.yaml:5:10: over plain http the token could be read on its way
        5 |     url: http://smh.example.com
          |          ^^^^^^^^^^^^^^^^^^^^^^ use https; http is for loopback
    "#);
}

#[tokio::test]
async fn a_boolean_is_true_or_false_and_nothing_else() {
    let said = mistake("127.0.0.1:8080", "0.0.0.0:8080\n    plaintext: yes").await;
    insta::assert_snapshot!(said, @r#"
    gateway.yaml:3:16: expected `true` or `false`, found `yes`
        3 |     plaintext: yes
          |                ^^^ write `true` or `false`
    "#);
    for word in ["on", "y", "True", "\"true\"", "1", "~"] {
        let by = format!("0.0.0.0:8080\n    plaintext: {word}");
        let said = mistake("127.0.0.1:8080", &by).await;
        assert!(said.starts_with("gateway.yaml:3:"), "{word}: {said}");
    }
}

#[tokio::test]
async fn a_policy_that_cannot_be_read_is_named_where_it_is_asked_for() {
    let folder = folder(format!("{GATEWAY}policy: policy.yaml\n"), None);
    let ran = check_in(folder.path()).await;
    assert_eq!(ran.code, Some(1));
    insta::assert_snapshot!(ran.err, @r#"
    gateway.yaml:13:9: policy.yaml: the file cannot be read: No such file or directory (os error 2)
       13 | policy: policy.yaml
          |         ^^^^^^^^^^^
    "#);
    fs::create_dir(folder.path().join("policy.yaml")).unwrap();
    let ran = check_in(folder.path()).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("it is not a regular file"), "{}", ran.err);
}
