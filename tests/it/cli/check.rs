//! `check`, of a valid file and of both files at once.

use std::fs;

use serde_json::{Value, json};

use super::*;
use crate::support::binary::run;

#[tokio::test]
async fn check_says_what_a_valid_file_would_run() {
    let folder = folder(GATEWAY, Some(POLICY));
    let ran = check_in(folder.path()).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    insta::assert_snapshot!(ran.out, @r#"
    gateway.yaml: valid
    listener          127.0.0.1:8080
    admin             127.0.0.1:9901
    workers           2
    library           smhxxx at https://smhxxx.api.tencentsmh.cn, recycle bin on
    tenant            photos in smhxxx/spacexxx
    tenant            invoices in smhxxx/space2
    caller            app: photos
    caller            janitor: invoices, photos
    API key           app: not checked here: file app.key: it cannot be read
    API key           janitor: not checked here: file janitor.key: it cannot be read
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
    let wanted = json!({
        "valid": false, "problems": problems, "dropped": { "errors": 0, "warnings": 0 },
        "configuration": null, "mounted": null,
    });
    assert_eq!(found, wanted);
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
          |        ^ give it one of `spiffe_id`, `jwt`, `api_key` and `trust: loopback`
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
