//! The command line and what it prints.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::binary::{Binary, Ran, command, run, run_with_input};
use crate::support::{request, send};

/// A valid file, in the lines that the tests change.
const GATEWAY: &str = "\
listeners:
  - address: 127.0.0.1:8080
libraries:
  smhxxx:
    token: { file: token }
tenants:
  photos: { library: smhxxx, space: spacexxx }
  invoices: { library: smhxxx, space: space2 }
callers:
  app: { api_key: { file: app.key }, tenants: [photos] }
  janitor: { api_key: { file: janitor.key }, tenants: [photos, invoices] }
workers: 2
";

const POLICY: &str = "\
permanent_deletes: by_rule
rules:
  - name: legal hold
    deny: { tenants: [invoices], paths: [\"legal/**\"] }
  - name: janitor may purge
    allow_permanent: { callers: [janitor], paths: [\"tmp/**\"] }
rate_limits:
  - { name: per caller, per: [caller], limit: 100/s, burst: 200 }
";

/// What stands where a reference to a secret belongs.
const LITERAL: &str = "acctk-literal-sentinel-0123456789";

fn folder(gateway: impl AsRef<[u8]>, policy: Option<&str>) -> TempDir {
    let folder = TempDir::new().unwrap();
    let mut gateway = gateway.as_ref().to_vec();
    if let Some(policy) = policy {
        gateway.extend_from_slice(b"policy: policy.yaml\n");
        fs::write(folder.path().join("policy.yaml"), policy).unwrap();
    }
    fs::write(folder.path().join("gateway.yaml"), gateway).unwrap();
    folder
}

async fn check_in(folder: &Path) -> Ran {
    run(folder, &["check", "--config", "gateway.yaml"]).await
}

/// What `check` says of a file that is not valid.
async fn mistakes(gateway: impl AsRef<[u8]>, policy: Option<&str>) -> String {
    let ran = check_in(folder(gateway, policy).path()).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{}", ran.err);
    assert!(!ran.err.contains('\x1b'), "plain through a pipe: {:?}", ran.err);
    ran.err
}

/// The same with [`GATEWAY`], in which one text is replaced by another.
async fn mistake(text: &str, by: &str) -> String {
    assert_eq!(GATEWAY.matches(text).count(), 1, "{text}");
    mistakes(GATEWAY.replace(text, by), None).await
}

/// The same with [`POLICY`].
async fn policy_mistake(text: &str, by: &str) -> String {
    assert_eq!(POLICY.matches(text).count(), 1, "{text}");
    mistakes(GATEWAY, Some(&POLICY.replace(text, by))).await
}

#[tokio::test]
async fn check_says_what_a_valid_file_would_run() {
    let folder = folder(GATEWAY, Some(POLICY));
    let ran = check_in(folder.path()).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    insta::assert_snapshot!(ran.out, @r#"
    gateway.yaml: valid
    listeners         127.0.0.1:8080
    admin             127.0.0.1:9901
    workers           2
    library           smhxxx at https://smhxxx.api.tencentsmh.cn, recycle bin on
    tenant            photos in smhxxx/spacexxx
    tenant            invoices in smhxxx/space2
    caller            app: photos
    caller            janitor: invoices, photos
    policy            policy.yaml: permanent deletes by 1 rules, 1 deny rules, 1 limits
    "#);
}

#[tokio::test]
async fn check_for_programs_shows_the_configuration_and_no_secret() {
    let digest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let yaml = GATEWAY.replacen("file: app.key", &format!("sha256: {digest}"), 1);
    let folder = folder(&yaml, Some(POLICY));
    fs::write(folder.path().join("token"), LITERAL).unwrap();
    let arguments = ["check", "--format", "json", "--config", "gateway.yaml"];
    let ran = run(folder.path(), &arguments).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let found: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&found["valid"], &found["problems"]), (&json!(true), &json!([])));
    let configuration = &found["configuration"];
    assert_eq!(configuration["libraries"]["smhxxx"]["token"], json!({ "file": "token" }));
    let app = &configuration["callers"]["app"]["credentials"];
    assert_eq!(app, &json!([{ "api_key": { "sha256": "[redacted]" } }]));
    assert!(!ran.out.contains(LITERAL) && !ran.out.contains(digest), "{}", ran.out);
}

#[tokio::test]
async fn check_for_programs_lists_every_mistake_with_its_place() {
    let yaml = GATEWAY.replace("tenants: [photos] }", "tenants: [photo] }");
    let policy = POLICY.replace("callers: [janitor]", "callers: [janitors]");
    let folder = folder(yaml, Some(&policy));
    let arguments = ["check", "--format", "json", "--config", "gateway.yaml"];
    let ran = run(folder.path(), &arguments).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""));
    let found: Value = serde_json::from_str(&ran.out).unwrap();
    let problem = |file: &str, line: u32, column: u32, message: &str, help: &str| {
        json!({
            "file": file, "line": line, "column": column, "severity": "error", "code": null,
            "message": message, "help": help,
        })
    };
    let problems = [
        problem("gateway.yaml", 10, 48, "unknown tenant `photo`", "did you mean `photos`?"),
        problem("policy.yaml", 6, 34, "unknown caller `janitors`", "did you mean `janitor`?"),
    ];
    let wanted = json!({ "valid": false, "problems": problems, "configuration": null });
    assert_eq!(found, wanted);
}

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
          |              ^^^^^^^^^^^^ say `plaintext: true` if something else protects it
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
          |                 ^^^^^^^^ give the caller an `api_key`, or listen on 127.0.0.1
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
    let yaml = GATEWAY
        .replace("127.0.0.1:8080", "127.0.0.1:8080\n    tls: { certificate: a, private_key: b }")
        .replace("{ api_key: { file: app.key },", "{ jwt: { issuer: i, subject: s },")
        .replace("workers: 2", "audit: { file: audit.jsonl }");
    let policy = POLICY
        .replace("  - name: legal hold\n", "  - name: legal hold\n    mode: shadow\n")
        .replace(
            "  - name: janitor may purge\n",
            "  - name: janitor may purge\n    until: 2026-12-31\n",
        )
        .replace(
            "permanent_deletes",
            "dry_run: true\nfreeze: [{ everything: true }]\npermanent_deletes",
        );
    insta::assert_snapshot!(mistakes(yaml, Some(&policy)).await, @r#"
    gateway.yaml:3:5: `tls` is not yet supported
        3 |     tls: { certificate: a, private_key: [redacted] }
          |     ^^^
    gateway.yaml:11:10: `jwt` is not yet supported
       11 |   app: { jwt: { issuer: i, subject: s }, tenants: [photos] }
          |          ^^^
    gateway.yaml:13:1: `audit` is not yet supported
       13 | audit: { file: audit.jsonl }
          | ^^^^^
    policy.yaml:1:1: `dry_run` is not yet supported
        1 | dry_run: true
          | ^^^^^^^
    policy.yaml:2:1: `freeze` is not yet supported
        2 | freeze: [{ everything: true }]
          | ^^^^^^
    policy.yaml:6:11: `mode: shadow` is not yet supported
        6 |     mode: shadow
          |           ^^^^^^
    policy.yaml:9:5: `until` is not yet supported
        9 |     until: 2026-12-31
          |     ^^^^^
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

/// Wrong in every section, and yet each mistake can be told.
const WRONG_GATEWAY: &str = "\
listener:
  - address: 127.0.0.1:8080
libraries:
  smhxxx:
    token: { file: token, env: TOKEN }
    recycle_bin: maybe
tenants:
  photos: { library: smhxxx }
callers:
  app: { tenants: photos }
workers: two
";

const WRONG_POLICY: &str = "\
permanent_delete: deny
rules:
  - deny: { paths: [] }
  - name: a
    deny: {}
    allow_permanent: {}
  - name: a
    deny: { callers: [nobody], except: {} }
rate_limits:
  - { name: x, per: [callers], limit: 5/s, burst: 0 }
";

#[tokio::test]
async fn both_files_show_all_their_mistakes_in_one_run() {
    insta::assert_snapshot!(mistakes(WRONG_GATEWAY, Some(WRONG_POLICY)).await, @r#"
    gateway.yaml:1:1: gateway.yaml needs `listeners`
        1 | listener:
          | ^^^^^^^^
    gateway.yaml:1:1: unknown field `listener` in gateway.yaml
        1 | listener:
          | ^^^^^^^^ did you mean `listeners`?
    gateway.yaml:5:14: a token has both `env` and `file`
        5 |     token: { file: token, env: TOKEN }
          |              ^^^^ keep one of `env`, `file`, `mint`
    gateway.yaml:6:18: `maybe` is not a recycle bin setting: one of `on`, `off`
        6 |     recycle_bin: maybe
          |                  ^^^^^
    gateway.yaml:8:11: a tenant needs `space`
        8 |   photos: { library: smhxxx }
          |           ^
    gateway.yaml:10:8: this caller has no way to prove who it is
       10 |   app: { tenants: photos }
          |        ^ give it one of `api_key` and `trust: loopback`
    gateway.yaml:10:19: expected a list, found a text
       10 |   app: { tenants: photos }
          |                   ^^^^^^ an empty list is written `[]`
    gateway.yaml:11:10: expected a whole number, found `two`
       11 | workers: two
          |          ^^^ write it in digits alone
    policy.yaml:1:1: unknown field `permanent_delete` in policy.yaml
        1 | permanent_delete: deny
          | ^^^^^^^^^^^^^^^^ did you mean `permanent_deletes`?
    policy.yaml:3:5: a rule needs `name`
        3 |   - deny: { paths: [] }
          |     ^^^^
    policy.yaml:3:20: an empty `paths` matches nothing
        3 |   - deny: { paths: [] }
          |                    ^ leave it out to match everything, or name some
    policy.yaml:6:5: a rule has both `deny` and `allow_permanent`
        6 |     allow_permanent: {}
          |     ^^^^^^^^^^^^^^^ keep one of `deny`, `allow_permanent`
    policy.yaml:8:23: unknown caller `nobody`
        8 |     deny: { callers: [nobody], except: {} }
          |                       ^^^^^^ defined here: `app`
    policy.yaml:8:40: an empty exception excepts everything
        8 |     deny: { callers: [nobody], except: {} }
          |                                        ^ leave `except` out, or say what it is about
    policy.yaml:10:22: `callers` is not something to count by: one of `caller`, `tenant`, `library`, `user_id`
       10 |   - { name: x, per: [callers], limit: 5/s, burst: 0 }
          |                      ^^^^^^^ did you mean `caller`?
    policy.yaml:10:51: it must be at least 1
       10 |   - { name: x, per: [callers], limit: 5/s, burst: 0 }
          |                                                   ^
    "#);
}

#[tokio::test]
async fn text_that_is_not_yaml_says_where_and_shows_no_line() {
    let mut said = String::new();
    for text in [
        &b"listeners:\n\t- a\n"[..],
        b"a: [1, 2\n",
        b"a: \"never closed\n",
        b"a: b: c\n",
        b"---\na: 1\n---\nb: 2\n",
        b"a: *x\n",
        b"a: !secret x\n",
        b"\xff\xfe\n",
        b"a: \xff\n",
        b"a: \x07\n",
        b"- a\n",
    ] {
        said.push_str(&mistakes(text, None).await);
    }
    insta::assert_snapshot!(said, @r#"
    gateway.yaml:2:2: a tab cannot indent a line in YAML
          = help: use spaces
    gateway.yaml:1:4: a `[` or `{` is never closed
    gateway.yaml:1:4: this quote is never closed
    gateway.yaml:1:5: a `:` cannot stand here
          = help: look for wrong indentation or an open bracket, or put the value in quotes
    gateway.yaml:3:1: a second document (`---`) begins here; a file holds one
    gateway.yaml:1:4: anchors and aliases (`&`, `*`) are not supported
          = help: write the value out, or quote it
    gateway.yaml:1:1: gateway.yaml needs `callers`
        1 | a: !secret [redacted]
          | ^
    gateway.yaml:1:1: gateway.yaml needs `libraries`
        1 | a: !secret [redacted]
          | ^
    gateway.yaml:1:1: gateway.yaml needs `listeners`
        1 | a: !secret [redacted]
          | ^
    gateway.yaml:1:1: gateway.yaml needs `tenants`
        1 | a: !secret [redacted]
          | ^
    gateway.yaml:1:1: unknown field `a` in gateway.yaml
        1 | a: !secret [redacted]
          | ^
          = help: it may have `listeners`, `admin`, `upstream`, `libraries`, `tenants`, `callers`, `workers`, `shutdown`, …
    gateway.yaml:1:12: tags (`!`) are not supported
        1 | a: !secret [redacted]
          |            ^^^^^^^^^^ write the value without it
    gateway.yaml: the file is UTF-16 or UTF-32; save it as UTF-8
    gateway.yaml:1:4: the file is not UTF-8 from here on
    gateway.yaml:1:4: a control character, U+0007, stands here
    gateway.yaml:1:1: expected the fields of gateway.yaml, found a list
        1 | - [redacted]
          | ^
    "#);
}

/// Runs `check` where it must end with a message, and soon.
async fn ends_soon(what: &str, folder: &Path) -> String {
    let start = Instant::now();
    let ran = check_in(folder).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{what}: {}", ran.err);
    assert!(start.elapsed() < Duration::from_secs(10), "{what}: {:?}", start.elapsed());
    assert!(ran.err.starts_with("gateway.yaml:"), "{what}: {}", ran.err);
    assert!(ran.err.len() < 4096, "{what}: {} bytes", ran.err.len());
    ran.err.lines().next().unwrap().to_owned()
}

#[tokio::test]
async fn a_file_made_to_do_harm_ends_soon_and_with_a_message() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let of = format!("*a{}, ", level - 1).repeat(9);
        bomb.push_str(&format!("a{level}: &a{level} [{of}]\n"));
    }
    let mut keys: String = (0..30_000).map(|key| format!("key{key}: 1\n")).collect();
    keys.truncate(keys.len() - 1);
    let utf_16: Vec<u8> = GATEWAY.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let marked = [&[0xFF, 0xFE], utf_16.as_slice()].concat();
    for (what, text, wanted) in [
        ("aliases", bomb.into_bytes(), "anchors and aliases"),
        ("flow nesting", b"[".repeat(200_000), "nested more than 16 deep"),
        ("flow maps", b"{a: ".repeat(200_000), "nested more than 16 deep"),
        ("block nesting", b"- ".repeat(200_000), "nested more than 16 deep"),
        ("keys", format!("a: {}\n", "? ".repeat(200_000)).into_bytes(), ""),
        ("large", vec![b' '; (4 << 20) + 1], "the file is larger than 4 MiB"),
        ("larger", vec![b'#'; 16 << 20], "the file is larger than 4 MiB"),
        ("many keys", keys.into_bytes(), "the file holds more than 40000 keys and values"),
        ("one long key", format!("{}: 1\n", "k".repeat(1 << 20)).into_bytes(), ""),
        ("UTF-16", utf_16, "the file is UTF-16 or UTF-32"),
        ("UTF-16 with its mark", marked, "the file is UTF-16 or UTF-32"),
        ("zeros", vec![0; 4096], "the file is UTF-16 or UTF-32"),
    ] {
        let said = ends_soon(what, folder(text, None).path()).await;
        assert!(said.contains(wanted), "{what}: {said}");
    }
}

#[tokio::test]
async fn what_is_no_file_is_an_error_and_is_not_waited_for() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("gateway.yaml");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let said = ends_soon("FIFO", folder.path()).await;
    assert_eq!(said, "gateway.yaml: the file cannot be read: it is not a regular file");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let said = ends_soon("directory", folder.path()).await;
    assert_eq!(said, "gateway.yaml: the file cannot be read: it is not a regular file");
    let yaml = format!("{GATEWAY}upstream: {{ ca_file: roots.pem }}\n");
    fs::remove_dir(&path).unwrap();
    fs::write(&path, yaml).unwrap();
    let roots = folder.path().join("roots.pem");
    assert!(Command::new("mkfifo").arg(&roots).status().unwrap().success());
    let said = ends_soon("FIFO of roots", folder.path()).await;
    assert!(said.starts_with("gateway.yaml:13:22: "), "{said}");
    let ran = run(folder.path(), &["check", "--config", "/dev/zero"]).await;
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.err, "/dev/zero: the file cannot be read: it is not a regular file\n");
}

#[tokio::test]
async fn a_policy_made_to_do_harm_ends_soon_too() {
    let glob =
        format!("rules: [{{ name: a, deny: {{ paths: [\"{}\"] }} }}]", "**/a/".repeat(20_000));
    let long = format!("rules: [{{ name: {}, deny: {{}} }}]", "n".repeat(100_000));
    for policy in ["[".repeat(200_000), glob, long] {
        let start = Instant::now();
        let said = mistakes(GATEWAY, Some(&policy)).await;
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
        assert!(said.starts_with("policy.yaml:1:") && said.len() < 4096, "{said}");
    }
}

#[tokio::test]
async fn wrong_usage_ends_with_2_and_says_how_it_is_used() {
    let folder = TempDir::new().unwrap();
    for arguments in [
        &[][..],
        &["check"],
        &["serve"],
        &["no-such-command"],
        &["serve", "--config"],
        &["check", "--config", "a", "--format", "xml"],
        &["serve", "--config", "a", "--no-such-flag"],
        &["demo", "twice"],
        &["simulate", "--listen", "here"],
    ] {
        let ran = run(folder.path(), arguments).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains("--help") || ran.err.contains("Usage:"), "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["--version"], &["serve", "--help"]] {
        let ran = run(folder.path(), arguments).await;
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{arguments:?}");
    }
    let ran = run(folder.path(), &["--version"]).await;
    assert_eq!(ran.out, format!("smh-gateway {}\n", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn hash_key_prints_what_the_configuration_takes() {
    let key = "an-api-key-0123456789";
    let wanted = "de7545b1b02f8126d4b3455465509ab2f0958f3eef798dd29b81752bf98c1207\n";
    for input in [key.to_owned(), format!("{key}\n"), format!("{key}\r\n")] {
        let ran = run_with_input(&["hash-key"], input.as_bytes()).await;
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
        assert_eq!(ran.out, wanted);
    }
    let yaml = GATEWAY.replacen("file: app.key", &format!("sha256: {}", wanted.trim()), 1);
    assert_eq!(check_in(folder(yaml, None).path()).await.code, Some(0));
}

#[tokio::test]
async fn hash_key_repeats_no_key_that_is_given_as_an_argument() {
    let ran = run(Path::new("/"), &["hash-key", "sentinel-key-as-an-argument"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""));
    assert!(!ran.err.contains("sentinel"), "{}", ran.err);
}

#[tokio::test]
async fn hash_key_refuses_what_is_no_key_and_repeats_nothing_of_it() {
    let [short, long, huge] = [15, 4097, 1 << 20].map(|length| "k".repeat(length));
    for (input, why) in [
        (&b""[..], "16 to 4096 bytes"),
        (b"\n", "16 to 4096 bytes"),
        (short.as_bytes(), "16 to 4096 bytes"),
        (long.as_bytes(), "16 to 4096 bytes"),
        (huge.as_bytes(), "16 to 4096 bytes"),
        (b"sentinel-key with-a-space", "one line of visible ASCII"),
        (b"sentinel-key-0123\nsentinel-key-0123\n", "one line of visible ASCII"),
        (b"sentinel-key-0123456789\n\n", "one line of visible ASCII"),
        (b"sentinel-key-\0-0123456789", "one line of visible ASCII"),
        (b"sentinel-key-\xff\xfe-0123456789", "one line of visible ASCII"),
        ("sentinel-kéy-0123456789".as_bytes(), "one line of visible ASCII"),
    ] {
        let ran = run_with_input(&["hash-key"], input).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{}", ran.err);
        assert!(ran.err.contains(why), "{}", ran.err);
        assert!(!ran.err.contains("sentinel") && !ran.err.contains("kkkk"), "{}", ran.err);
    }
}

/// A folder for temporary files, of which a test can see whether it is empty again.
fn with_temp<A: AsRef<OsStr>>(temp: &Path, arguments: &[A]) -> Command {
    let mut command = command(Path::new("/"), arguments);
    command.env("TMPDIR", temp);
    command
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn the_tour_ends_well_is_plain_through_a_pipe_and_shows_no_token() {
    let temp = TempDir::new().unwrap();
    let ran = Binary::spawn(with_temp(temp.path(), &["demo", "--once"])).ended().await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{}", ran.out);
    assert!(ran.out.contains("6 of 6 steps ended as they should"), "{}", ran.out);
    let controls = |c: char| c.is_control() && c != '\n';
    assert!(!ran.out.contains(controls), "{:?}", ran.out);
    assert!(!ran.out.contains("acctk"), "{}", ran.out);
    let received = ran.out.lines().filter(|line| line.contains("access_token="));
    assert!(received.clone().count() >= 3, "{}", ran.out);
    for line in received {
        assert!(line.ends_with("access_token=[redacted]"), "{line}");
    }
    assert_eq!(entries(temp.path()), [""; 0], "its files are gone");
}

#[tokio::test]
async fn the_demo_stays_up_until_a_signal_and_takes_its_files_along() {
    for signal in ["INT", "TERM"] {
        let temp = TempDir::new().unwrap();
        let mut demo = Binary::spawn(with_temp(temp.path(), &["demo"]));
        let shown = demo.prints("/_simulator/received\n").await;
        let [folder] = &*entries(temp.path()) else { panic!("one folder") };
        let mode = fs::metadata(temp.path().join(folder)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "its keys and tokens are for this user alone");

        // The first line to try, as a caller would.
        let line = shown.lines().find(|line| line.contains("curl -i -X DELETE")).unwrap();
        let (_, url) = line.rsplit_once("http://").unwrap();
        let (address, target) = url.split_once('/').unwrap();
        let (_, key) = line.split_once("Authorization: Bearer ").unwrap();
        let (key, _) = key.split_once('\'').unwrap();
        let bytes = format!(
            "DELETE /{target} HTTP/1.1\r\nHost: demo\r\nAuthorization: Bearer {key}\r\n\
             Connection: close\r\n\r\n"
        );
        let answer = send(address.parse().unwrap(), bytes.as_bytes()).await;
        assert_eq!(answer.status(), 200);

        demo.signal(signal);
        let ran = demo.ended().await;
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{signal}");
        assert!(!ran.out.contains("acctk"), "{}", ran.out);
        assert_eq!(entries(temp.path()), [""; 0], "its files are gone after {signal}");
    }
}

#[tokio::test]
async fn the_demo_says_why_when_it_cannot_have_a_folder() {
    let temp = TempDir::new().unwrap();
    let none = temp.path().join("file");
    fs::write(&none, "").unwrap();
    let ran = Binary::spawn(with_temp(&none, &["demo", "--once"])).ended().await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert!(ran.err.starts_with("smh-gateway: ") && ran.err.lines().count() == 1, "{}", ran.err);
}

#[tokio::test]
async fn the_simulator_alone_serves_until_a_signal() {
    for signal in ["INT", "TERM"] {
        let arguments = [
            "simulate",
            "--listen",
            "127.0.0.1:0",
            "--library",
            "smh1",
            "--space",
            "space9",
            "--token",
            "acctk-given-0123456789",
            "--file",
            "a",
            "--file",
            "b/c d",
        ];
        let mut simulator = Binary::spawn(command(Path::new("/"), &arguments));
        let shown = simulator.prints("_simulator/received").await;
        let (_, rest) = shown.split_once("simulated SMH on http://").unwrap();
        let address = rest.lines().next().unwrap().parse().unwrap();
        for (target, status) in [
            ("/api/v1/file/smh1/space9/b/c%20d?access_token=acctk-given-0123456789", 200),
            ("/api/v1/file/smh1/space9/b/c%20d?access_token=acctk-given-0123456789", 404),
            ("/api/v1/file/smh1/space9/a?access_token=acctk-wrong", 403),
        ] {
            let bytes = request(target, &["Connection: close"]);
            let bytes =
                bytes.replace(&format!("Authorization: Bearer {}\r\n", crate::support::KEY), "");
            assert_eq!(send(address, bytes.as_bytes()).await.status(), status, "{target}");
        }
        simulator.signal(signal);
        assert_eq!(simulator.ended().await.code, Some(0), "{signal}");
    }
}

#[tokio::test]
async fn the_simulator_names_the_address_that_it_cannot_have() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ran = run(Path::new("/"), &["simulate", "--listen", &address]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert!(
        ran.err.starts_with(&format!("smh-gateway: cannot listen on {address}: ")),
        "{}",
        ran.err
    );
}
