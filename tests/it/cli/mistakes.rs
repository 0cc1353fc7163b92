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
async fn a_library_has_no_more_places_than_there_are_in_all() {
    let yaml = GATEWAY.replace("    token:", "    max_in_flight: 11\n    token:");
    let upstream = "upstream: { max_in_flight: 10 }\n";
    insta::assert_snapshot!(mistakes(format!("{yaml}{upstream}"), None).await, @r#"
    gateway.yaml:5:20: this is more than there may be in all: `upstream.max_in_flight` is 10
        5 |     max_in_flight: 11
          |                    ^^ raise that one, or lower this
    "#);
    // Where what there may be in all is not known, nothing is said about it.
    let broken = "upstream: { max_in_flight: 10, timeout: 5 }\n";
    let said = mistakes(format!("{yaml}{broken}"), None).await;
    assert!(said.contains("`5` is not a duration") && !said.contains("in all"), "{said}");
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

#[tokio::test]
async fn a_rule_says_what_is_wrong_with_its_end_its_mode_and_its_ticket() {
    let rule = "    deny: { tenants: [invoices], paths: [\"legal/**\"] }";
    let by = format!("{rule}\n    until: 31.12.2026\n    mode: off\n    ticket: \"\"");
    let said = policy_mistake(rule, &by).await;
    insta::assert_snapshot!(said, @r#"
    policy.yaml:5:12: `31.12.2026` is not an end: it is a day such as `2026-12-31`, or a moment such as `2026-12-31T18:00:00Z`
        5 |     until: 31.12.2026
          |            ^^^^^^^^^^
    policy.yaml:6:11: `off` is not a mode: one of `enforce`, `shadow`
        6 |     mode: off
          |           ^^^
    policy.yaml:7:13: an empty text is not a ticket: it is empty
        7 |     ticket: ""
          |             ^^
    "#);
}

#[tokio::test]
async fn a_freeze_says_what_is_wrong_with_it() {
    let policy = format!(
        "freeze:\n  - {{ everything: false }}\n  - {{ caller: jantior }}\n  - {{ tenant: photos, caller: app }}\n\
         \x20 - {{ reason: why }}\n  - everything\n{POLICY}"
    );
    insta::assert_snapshot!(mistakes(GATEWAY, Some(&policy)).await, @"
    policy.yaml:2:19: this freezes nothing
        2 |   - { everything: false }
          |                   ^^^^^ say `everything: true`, or take the entry out
    policy.yaml:3:15: unknown caller `jantior`
        3 |   - { caller: jantior }
          |               ^^^^^^^ did you mean `janitor`?
    policy.yaml:4:7: a freeze has both `caller` and `tenant`
        4 |   - { tenant: photos, caller: app }
          |       ^^^^^^ keep one of `everything`, `caller`, `tenant`
    policy.yaml:5:5: a freeze needs one of `everything`, `caller`, `tenant`
        5 |   - { reason: why }
          |     ^
    policy.yaml:6:5: expected the fields of a freeze, found a text
        6 |   - [redacted]
          |     ^^^^^^^^^^
    ");
}

#[tokio::test]
async fn settings_of_a_policy_say_what_they_may_be() {
    let policy = POLICY.replace(
        "permanent_deletes: by_rule",
        "permanent_deletes: by_rules\nirreversible_deletes: stop\ndry_run: on",
    );
    insta::assert_snapshot!(mistakes(GATEWAY, Some(&policy)).await, @"
    policy.yaml:1:20: `by_rules` is not a setting for permanent deletes: one of `deny`, `by_rule`
        1 | permanent_deletes: by_rules
          |                    ^^^^^^^^ did you mean `by_rule`?
    policy.yaml:2:23: `stop` is not a setting for irreversible deletes: one of `ignore`, `alarm`, `halt`
        2 | irreversible_deletes: stop
          |                       ^^^^
    policy.yaml:3:10: expected `true` or `false`, found `on`
        3 | dry_run: on
          |          ^^ write `true` or `false`
    ");
}

#[tokio::test]
async fn a_number_is_written_in_digits_and_not_below_one() {
    let mut said = String::new();
    for (text, by) in [
        ("limit: 100/s", "limit: 1_000/s"),
        ("limit: 100/s", "limit: -5/s"),
        ("limit: 100/s", "limit: 0/s"),
        ("limit: 100/s", "limit: 1.5/s"),
        ("burst: 200", "burst: 1_000"),
        ("burst: 200", "burst: 0"),
        ("burst: 200", "burst: -1"),
        ("burst: 200", "burst: 4294967295000"),
    ] {
        said.push_str(&policy_mistake(text, by).await);
    }
    insta::assert_snapshot!(said, @"
    policy.yaml:8:47: `1_000/s` is not a rate such as `100/s` or `50000/day`: the count is a whole number from 1 to 4294967295
        8 |   - { name: per caller, per: [caller], limit: 1_000/s, burst: 200 }
          |                                               ^^^^^^^
    policy.yaml:8:47: `-5/s` is not a rate such as `100/s` or `50000/day`: the count is a whole number from 1 to 4294967295
        8 |   - { name: per caller, per: [caller], limit: -5/s, burst: 200 }
          |                                               ^^^^
    policy.yaml:8:47: `0/s` is not a rate such as `100/s` or `50000/day`: the count is a whole number from 1 to 4294967295
        8 |   - { name: per caller, per: [caller], limit: 0/s, burst: 200 }
          |                                               ^^^
    policy.yaml:8:47: `1.5/s` is not a rate such as `100/s` or `50000/day`: the count is a whole number from 1 to 4294967295
        8 |   - { name: per caller, per: [caller], limit: 1.5/s, burst: 200 }
          |                                               ^^^^^
    policy.yaml:8:61: expected a whole number, found `1_000`
        8 |   - { name: per caller, per: [caller], limit: 100/s, burst: 1_000 }
          |                                                             ^^^^^ write it in digits alone
    policy.yaml:8:61: it must be at least 1
        8 |   - { name: per caller, per: [caller], limit: 100/s, burst: 0 }
          |                                                             ^
    policy.yaml:8:61: expected a whole number, found `-1`
        8 |   - { name: per caller, per: [caller], limit: 100/s, burst: -1 }
          |                                                             ^^ write it in digits alone
    policy.yaml:8:61: expected a whole number, found `4294967295000`
        8 |   - { name: per caller, per: [caller], limit: 100/s, burst: 4294967295000 }
          |                                                             ^^^^^^^^^^^^^
          = help: the largest one here is 4294967295
    ");
}

#[tokio::test]
async fn a_name_says_what_it_may_hold() {
    let yaml = GATEWAY
        .replace("  app:", "  \"app\\u001b[31m\":")
        .replace("  photos:", "  \"pho tos\":")
        .replace("  smhxxx:", "  smh/xxx:");
    let policy = POLICY.replace("name: legal hold", &format!("name: {}", "x".repeat(65)));
    insta::assert_snapshot!(mistakes(yaml, Some(&policy)).await, @r#"
    gateway.yaml:4:3: `smh/xxx` is not the name of a library: '/' is not allowed in it; use letters, digits and -
        4 |   smh/xxx:
          |   ^^^^^^^
    gateway.yaml:7:3: `pho tos` is not the name of a tenant: ' ' is not allowed in it; use letters, digits and - . _ ~
        7 |   "pho tos": { library: smhxxx, space: spacexxx }
          |   ^^^^^^^^^
    gateway.yaml:8:24: unknown library `smhxxx`
        8 |   invoices: { library: smhxxx, space: space2 }
          |                        ^^^^^^ no library is defined
    gateway.yaml:10:3: `app\u{1b}[31m` is not the name of a caller: '\u{1b}' is not allowed in it; use letters, digits and - . _ ~ @ : /
       10 |   "app\u001b[31m": { api_key: { file: app.key }, tenants: [photos] }
          |   ^^^^^^^^^^^^^^^
    gateway.yaml:11:56: unknown tenant `photos`
       11 |   janitor: { api_key: { file: janitor.key }, tenants: [photos, invoices] }
          |                                                        ^^^^^^ defined here: `invoices`
    policy.yaml:3:11: `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…` is not the name of a rule: it is longer than 64 bytes
        3 |   - name: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
          |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    "#);
}

#[tokio::test]
async fn two_rules_and_two_limits_of_one_name_are_errors() {
    let policy = format!("{POLICY}  - {{ name: per caller, limit: 1/s }}\n")
        .replace("janitor may purge", "legal hold");
    insta::assert_snapshot!(mistakes(GATEWAY, Some(&policy)).await, @"
    policy.yaml:5:11: another rule has this name, on line 3
        5 |   - name: legal hold
          |           ^^^^^^^^^^ answers and logs name it: give it a name of its own
    policy.yaml:9:13: another limit has this name, on line 8
        9 |   - { name: per caller, limit: 1/s }
          |             ^^^^^^^^^^ answers and logs name it: give it a name of its own
    ");
}

#[tokio::test]
async fn a_space_of_two_tenants_is_an_error_with_smh_paths() {
    let yaml = GATEWAY
        .replace("127.0.0.1:8080", "127.0.0.1:8080\n    smh_paths: true")
        .replace("space: space2", "space: spacexxx");
    insta::assert_snapshot!(mistakes(yaml, None).await, @"
    gateway.yaml:9:3: this is the space of tenant `photos`, too: a delete by an SMH path could be either's
        9 |   invoices: { library: smhxxx, space: spacexxx }
          |   ^^^^^^^^ keep one of the two, or leave `smh_paths` out
    ");
}

#[tokio::test]
async fn a_minted_token_says_what_it_needs() {
    let mint = "    token:\n      mint: { library_secret: { file: secret }, period: 5m, grant: \"delete_file,admin\" }";
    insta::assert_snapshot!(mistake("    token: { file: token }", mint).await, @r#"
    gateway.yaml:6:57: a period is whole seconds, from `20m`, the least that SMH gives
        6 |       mint: { library_secret: { file: secret }, period: 5m, grant: "delete_file,admin" }
          |                                                         ^^
    gateway.yaml:6:68: this grant is more than a delete needs
        6 |       mint: { library_secret: { file: secret }, period: 5m, grant: "delete_file,admin" }
          |                                                                    ^^^^^^^^^^^^^^^^^^^
          = help: say why in `grant_reason`, or leave `grant` out for `delete_file`
    "#);
}

#[tokio::test]
async fn a_rate_limit_store_says_what_is_wrong_with_it() {
    let mut said = String::new();
    for store in [
        "{ redis: { url: \"redis://:acctk-literal-sentinel@store:6379\" } }",
        "{ redis: { url: \"http://store\", response_timeout: 50 } }",
        "{ redis: { url: \"redis://store\", cluster: [] }, replicas: 0 }",
        "{ redis: { cluster: [\"redis://a\", \"rediss://b\"] }, when_unavailable: fail }",
        "{ redis: { sentinel: { urls: [] }, username: x } }",
        "{ redis: { url: \"redis://store\", password: acctk-literal-sentinel, key_prefix: \"{a}\" } }",
        "redis://store",
    ] {
        let by = format!("rate_limit_store: {store}");
        said.push_str(&mistake("workers: 2", &by).await);
    }
    assert!(!said.contains("sentinel@") && !said.contains("literal"), "{said}");
    insta::assert_snapshot!(said, @r#"
    gateway.yaml:12:35: the password of a store does not stand in its url
       12 | rate_limit_store: { redis: { url: [redacted] } }
          |                                   ^^^^^^^^^^
          = help: use `username` and `password: { file: … }` beside it
    gateway.yaml:12:35: `http://store` is not the address of a store, such as `redis://127.0.0.1:6379`: it begins with `redis://`, or with `rediss://` for TLS
       12 | rate_limit_store: { redis: { url: "http://store", response_timeout: 50 } }
          |                                   ^^^^^^^^^^^^^^
    gateway.yaml:12:69: `50` is not a duration
       12 | rate_limit_store: { redis: { url: "http://store", response_timeout: 50 } }
          |                                                                     ^^
          = help: it has no unit; the units are `ms`, `s`, `m`, `h` and `d`
    gateway.yaml:12:52: a Redis has both `url` and `cluster`
       12 | rate_limit_store: { redis: { url: "redis://store", cluster: [] }, replicas: 0 }
          |                                                    ^^^^^^^
          = help: keep one of `url`, `cluster`, `sentinel`
    gateway.yaml:12:77: it is a number from 1 to 10000
       12 | rate_limit_store: { redis: { url: "redis://store", cluster: [] }, replicas: 0 }
          |                                                                             ^
    gateway.yaml:12:53: it differs from the first in `redis`, `rediss` or the database
       12 | rate_limit_store: { redis: { cluster: ["redis://a", "rediss://b"] }, when_unavailable: fail }
          |                                                     ^^^^^^^^^^^^
    gateway.yaml:12:88: `fail` is not what to do without the store: one of `local`, `refuse`
       12 | rate_limit_store: { redis: { cluster: ["redis://a", "rediss://b"] }, when_unavailable: fail }
          |                                                                                        ^^^^
    gateway.yaml:12:40: the sentinels of a Redis needs `service`
       12 | rate_limit_store: { redis: { sentinel: { urls: [] }, username: x } }
          |                                        ^
    gateway.yaml:12:48: at least one address is needed
       12 | rate_limit_store: { redis: { sentinel: { urls: [] }, username: x } }
          |                                                ^
    gateway.yaml:12:64: a `username` proves nothing without `password`
       12 | rate_limit_store: { redis: { sentinel: { urls: [] }, username: x } }
          |                                                                ^ say where the password is
    gateway.yaml:12:62: a password does not stand in this file itself
       12 | …edis: { url: "redis://store", password: [redacted], key_prefix: [redacted] } }
          |                                          ^^^^^^^^^^
          = help: say where it is: `{ file: … }` or `{ env: … }`
    gateway.yaml:12:98: [redacted] is not what keys begin with
       12 | …ore", password: [redacted], key_prefix: [redacted] } }
          |                                          ^^^^^^^^^^
    gateway.yaml:12:19: expected the fields of the rate limit store, found a text
       12 | rate_limit_store: [redacted]
          |                   ^^^^^^^^^^
    "#);
}

#[tokio::test]
async fn a_jwt_caller_says_what_is_wrong_with_its_issuer() {
    let yaml = GATEWAY
        .replace("api_key: { file: app.key }", "jwt: { issuer: clutser, subject: a }")
        .replace("workers: 2", "jwt_issuers:\n  cluster:\n    issuer: https://issuer.example.com\n    algorithms: [HS256]\n    jwks: { url: http://issuer.example.com/keys }");
    insta::assert_snapshot!(mistakes(yaml, None).await, @"
    gateway.yaml:10:25: unknown issuer `clutser`
       10 |   app: { jwt: { issuer: clutser, subject: a }, tenants: [photos] }
          |                         ^^^^^^^ did you mean `cluster`?
    gateway.yaml:14:5: an issuer needs `audience`
       14 |     issuer: https://issuer.example.com
          |     ^^^^^^
    gateway.yaml:15:18: `HS256` is not an algorithm that signs with a private key, such as `RS256` or `ES256`: not one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 and EdDSA
       15 |     algorithms: [HS256]
          |                  ^^^^^
    ");
}

#[tokio::test]
async fn a_policy_that_fails_its_own_tests_says_which_and_why() {
    let folder = folder(format!("{GATEWAY}policy_tests: [cases.yaml]\n"), Some(POLICY));
    fs::write(
        folder.path().join("cases.yaml"),
        "cases:\n  - name: held\n    request: { caller: janitor, tenant: photos, path: legal/a.pdf }\n    \
         expect: { decision: deny, rule: legal hold }\n",
    )
    .unwrap();
    let ran = check_in(folder.path()).await;
    assert_eq!(ran.code, Some(1));
    insta::assert_snapshot!(ran.err, @r#"
    cases.yaml:2:5: `held` fails: expected deny by rule "legal hold", the policy decides allow
        2 |   - name: held
          |     ^^^^
    "#);
}

#[tokio::test]
async fn a_store_must_answer_before_a_delete_is_over_and_a_cluster_has_one_database() {
    let store = |redis: &str| {
        let store = format!("rate_limit_store:\n  when_unavailable: refuse\n  redis: {redis}");
        GATEWAY.replace("workers: 2", &store)
    };
    let slow = store("{ url: \"redis://store\", response_timeout: 10s }");
    insta::assert_snapshot!(mistakes(slow, Some(POLICY)).await, @"
    gateway.yaml:13:3: `response_timeout` is 10s, and a whole delete has 10s (`upstream.timeout`)
       13 |   when_unavailable: refuse
          |   ^^^^^^^^^^^^^^^^
    ");
    let database = store("{ cluster: [\"redis://store/3\"] }");
    insta::assert_snapshot!(mistakes(database, Some(POLICY)).await, @r#"
    gateway.yaml:14:21: a Cluster has one database alone: leave its number out
       14 |   redis: { cluster: ["redis://store/3"] }
          |                     ^
    "#);
}
