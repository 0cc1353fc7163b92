//! What is valid, and likely a mistake.

use serde_json::{Value, json};
use smh_gateway::config::report::Warning;

use super::*;

/// A policy with something odd in each entry, for [`ODD_GATEWAY`].
const ODD_POLICY: &str = "\
permanent_deletes: by_rule
freeze:
  - { caller: app }
  - { caller: app, reason: again }
rules:
  - name: legal hold
    deny: { paths: [\"legal/**\"] }
  - name: pdfs of the legal hold
    deny: { tenants: [invoices], paths: [\"legal/*.pdf\"] }
  - name: the janitor purges what is held
    allow_permanent: { callers: [janitor], paths: [\"legal/old/**\"] }
  - name: last year's
    deny: { paths: [\"a\"] }
    until: 2025-12-31
  - name: app has no invoices
    deny: { callers: [app], tenants: [invoices] }
  - name: nobody is meant
    deny: { callers: [\"batch-*\"] }
  - name: nothing is left
    deny: { tenants: [photos], except: { tenants: [\"ph*\"] } }
  - name: regular
    deny: { paths: [\"^tmp/.*$\", \"img/*.{jpg,png}\"] }
rate_limits:
  - { name: per caller, per: [caller], limit: 100/s, burst: 200 }
  - { name: all of it, limit: 90/s }
";

fn odd_gateway() -> String {
    GATEWAY
        .replace("workers: 2\n", "  idle: { api_key: { file: idle.key }, tenants: [] }\n")
        .replace("callers:\n", "  unused: { library: smhxxx, space: spacexxx }\ncallers:\n")
}

#[tokio::test]
async fn each_is_shown_with_its_place_its_code_and_what_to_do() {
    let ran = check_in(folder(odd_gateway(), Some(ODD_POLICY)).path()).await;
    assert_eq!(ran.code, Some(0));
    insta::assert_snapshot!(ran.err, @r#"
    gateway.yaml:9:3: warning[shared-space]: this is the space of tenant `photos`, too
        9 |   unused: { library: smhxxx, space: spacexxx }
          |   ^^^^^^ a rule for one of them is walked around through the other
    gateway.yaml:9:3: warning[tenant-without-callers]: this tenant is granted to no caller: nobody can delete in it
        9 |   unused: { library: smhxxx, space: spacexxx }
          |   ^^^^^^ name it in the `tenants` of a caller, or take it out
    gateway.yaml:13:3: warning[caller-without-tenants]: this caller is granted no tenant: every delete it asks for is refused
       13 |   idle: { api_key: { file: idle.key }, tenants: [] }
          |   ^^^^ name its tenants, or take it out
    policy.yaml:4:15: warning[frozen-twice]: this is frozen already
        4 |   - { caller: app, reason: again }
          |               ^^^ to thaw it, take out both entries
    policy.yaml:8:11: warning[shadowed-rule]: the rule `legal hold` on line 6 is about all that this is about, and goes before it
        8 |   - name: pdfs of the legal hold
          |           ^^^^^^^^^^^^^^^^^^^^^^
          = help: it is never the one that decides: take it out, or put it before that
    policy.yaml:10:11: warning[beaten-allow]: the rule `legal hold` on line 6 denies everything that this allows: a deny wins
       10 |   - name: the janitor purges what is held
          |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ except it from the deny, or take one of the two out
    policy.yaml:12:11: warning[expired-rule]: this rule ended with 2025-12-31: it applies to nothing any more
       12 |   - name: last year's
          |           ^^^^^^^^^^^ take it out, or give it a later `until`
    policy.yaml:15:11: warning[not-granted]: none of the callers of this rule is granted any of its tenants
       15 |   - name: app has no invoices
          |           ^^^^^^^^^^^^^^^^^^^
          = help: it can never match; look at the `tenants` of the callers in gateway.yaml
    policy.yaml:18:23: warning[matches-nothing]: no caller has a name that matches `batch-*`
       18 |     deny: { callers: ["batch-*"] }
          |                       ^^^^^^^^^ defined here: `app`, `janitor`, `idle`
    policy.yaml:19:11: warning[excepts-everything]: `except` takes out everything that this rule is about
       19 |   - name: nothing is left
          |           ^^^^^^^^^^^^^^^ make the exception narrower, or take the rule out
    policy.yaml:22:21: warning[odd-glob]: `^` has no special meaning in a glob: it stands for itself
       22 |     deny: { paths: ["^tmp/.*$", "img/*.{jpg,png}"] }
          |                     ^^^^^^^^^^
          = help: a glob always matches the whole; put `*` or `**` where anything may stand
    policy.yaml:22:33: warning[odd-glob]: `{…,…}` has no special meaning in a glob: it stands for itself
       22 |     deny: { paths: ["^tmp/.*$", "img/*.{jpg,png}"] }
          |                                 ^^^^^^^^^^^^^^^^^ write one glob for each
    policy.yaml:24:13: warning[limit-never-reached]: this limit is never reached: `all of it` on line 25 allows only 90/s, and all that is counted here is counted there
       24 |   - { name: per caller, per: [caller], limit: 100/s, burst: 200 }
          |             ^^^^^^^^^^ make it stricter than that, or take it out
    "#);
    assert!(ran.out.starts_with("gateway.yaml: valid, with 13 warnings\n"), "{}", ran.out);
}

#[tokio::test]
async fn a_minted_token_that_cannot_do_what_the_files_say_is_warned_of() {
    let mint = "token: { mint: { library_secret: { file: secret } } }";
    let gateway = GATEWAY.replace("token: { file: token }", mint).replace(
        "invoices: { library: smhxxx, space: space2 }",
        "invoices: { library: smhxxx, space: space2, user_id: forbid }",
    );
    let ran = check_in(folder(gateway, Some(POLICY)).path()).await;
    insta::assert_snapshot!(ran.err, @"
    gateway.yaml:7:22: warning[minted-grant]: the policy may allow permanent deletes, but the tokens of this library are minted with `delete_file`, and SMH will refuse them
        7 |   photos: { library: smhxxx, space: spacexxx }
          |                      ^^^^^^ say `grant: delete_file,delete_file_permanent`, and why
    gateway.yaml:7:22: warning[minted-user-id]: this tenant forwards `user_id`, but SMH heeds it only for an admin token that was issued without a user, which is not what is minted
        7 |   photos: { library: smhxxx, space: spacexxx }
          |                      ^^^^^^ say `user_id: forbid`, or give the library a `token`
    gateway.yaml:8:24: warning[minted-grant]: the policy may allow permanent deletes, but the tokens of this library are minted with `delete_file`, and SMH will refuse them
        8 |   invoices: { library: smhxxx, space: space2, user_id: forbid }
          |                        ^^^^^^ say `grant: delete_file,delete_file_permanent`, and why
    ");
}

#[tokio::test]
async fn several_client_cas_are_warned_of() {
    let tls = |port, ca| {
        let tls = format!("certificate: tls.crt, private_key: tls.key, client_ca: {ca}");
        format!("  - {{ address: 127.0.0.1:{port}, tls: {{ {tls} }} }}\n")
    };
    let listeners = tls(8443, "one.crt") + &tls(8444, "two.crt");
    let gateway = GATEWAY
        .replace("  - address: 127.0.0.1:8080\n", &listeners)
        .replace("api_key: { file: app.key }", "spiffe_id: spiffe://domain/app");
    let ran = check_in(folder(gateway, None).path()).await;
    insta::assert_snapshot!(ran.err, @"
    gateway.yaml:3:16: warning[several-client-cas]: this listener has another `client_ca`, which can vouch for every SPIFFE id as well
        3 |   - { address: 127.0.0.1:8444, tls: { certificate: tls.crt, private_key: [redacted], client_ca: …
          |                ^^^^^^^^^^^^^^ any CA of any listener can name any caller
    ");
}

#[tokio::test]
async fn a_file_without_cases_and_an_allow_that_nobody_heeds_are_warned_of() {
    let gateway = format!("{GATEWAY}policy_tests: [empty.yaml]\n");
    let policy = POLICY.replace("permanent_deletes: by_rule\n", "");
    let folder = folder(gateway, Some(&policy));
    fs::write(folder.path().join("empty.yaml"), "cases: []\n").unwrap();
    let ran = check_in(folder.path()).await;
    insta::assert_snapshot!(ran.err, @"
    policy.yaml:4:11: warning[unheeded-allow]: `permanent_deletes` is `deny`, so no `allow_permanent` rule is heeded
        4 |   - name: janitor may purge
          |           ^^^^^^^^^^^^^^^^^ say `permanent_deletes: by_rule`, or take them out
    empty.yaml:1:8: warning[no-cases]: there is no test case here
        1 | cases: []
          |        ^ a file without cases tests nothing
    ");
}

#[tokio::test]
async fn a_store_without_the_number_of_those_who_share_it_is_warned_of() {
    let gateway =
        format!("{GATEWAY}rate_limit_store: {{ redis: {{ url: \"redis://127.0.0.1:6379\" }} }}\n");
    let ran = check_in(folder(gateway, Some(POLICY)).path()).await;
    insta::assert_snapshot!(ran.err, @r#"
    gateway.yaml:13:19: warning[unknown-replicas]: without the store each gateway enforces its share of each limit, and nothing says how many there are
       13 | rate_limit_store: { redis: { url: "redis://127.0.0.1:6379" } }
          |                   ^ say `replicas: 3`, or `when_unavailable: refuse`
    "#);
}

/// Rules of which nothing tells at once that none covers another.
#[tokio::test]
async fn more_rules_than_are_compared_are_told_of() {
    let rules: Vec<_> = (0..3_300)
        .map(|n| format!("{{ name: r{n}, deny: {{ paths: [\"*/x{n}/**\"] }} }}"))
        .collect();
    let policy = format!("rules: [{}]\n", rules.join(",\n"));
    let ran = check_in(folder(GATEWAY, Some(&policy)).path()).await;
    assert_eq!(ran.code, Some(0));
    let first = ran.err.lines().next().unwrap();
    assert_eq!(
        first,
        "policy.yaml:1:17: warning[too-many-to-compare]: there are too many of these to compare each with \
         each: some warnings may be missing"
    );
}

/// A new one belongs into a test above.
#[test]
fn every_warning_is_shown_by_a_test() {
    let shown = include_str!("warnings.rs");
    for warning in Warning::ALL {
        let code = format!("warning[{}]", warning.as_str());
        assert!(shown.contains(&code), "{code}");
    }
}

#[tokio::test]
async fn strict_makes_errors_of_them_and_allow_takes_some_out() {
    let policy = POLICY.replace("legal/**", "legal/.*");
    let folder = folder(GATEWAY, Some(&policy));
    let check = async |more: &[&str]| {
        run(folder.path(), &[&["check", "--config", "gateway.yaml"], more].concat()).await
    };
    let strict = check(&["--strict"]).await;
    assert_eq!(strict.code, Some(1));
    assert!(strict.err.contains("policy.yaml:4:42: error[odd-glob]: "), "{}", strict.err);
    assert!(strict.out.starts_with("gateway.yaml: not valid with --strict\n"), "{}", strict.out);
    let allowed = check(&["--strict", "--allow", "odd-glob"]).await;
    assert_eq!((allowed.code, allowed.err.as_str()), (Some(0), ""));
    assert!(allowed.out.starts_with("gateway.yaml: valid\n"), "{}", allowed.out);
    let other = check(&["--strict", "--allow", "shared-space", "--format", "json"]).await;
    assert_eq!(other.code, Some(1));
    let found: Value = serde_json::from_str(&other.out).unwrap();
    assert_eq!(found["valid"], false);
    let problem = &found["problems"][0];
    assert_eq!((&problem["code"], &problem["severity"]), (&json!("odd-glob"), &json!("error")));
    let lax = check(&["--allow", "odd-glob"]).await;
    assert_eq!((lax.code, lax.err.as_str()), (Some(0), ""));
    let usage = check(&["--allow", "odd-globs"]).await;
    assert_eq!(usage.code, Some(2));
    assert!(usage.err.contains("odd-glob"), "{}", usage.err);
}

/// A policy of six hundred odd globs.
fn many_odd_globs() -> String {
    let globs: String = (0..600).map(|at| format!("      - \"{at}/.*\"\n")).collect();
    format!("rules:\n  - name: odd\n    deny:\n      paths:\n{globs}")
}

#[tokio::test]
async fn many_warnings_hide_no_error() {
    let policy = many_odd_globs() + "  - { name: held, deny: { callers: [nobody] } }\n";
    let folder = folder(GATEWAY, Some(&policy));
    let ran = check_in(folder.path()).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("\npolicy.yaml:605:37: unknown caller `nobody`\n"), "{}", ran.err);
    assert!(ran.err.ends_with("\nand 100 more warnings\n"), "{}", ran.err);
    let json = ["check", "--config", "gateway.yaml", "--format", "json"];
    let found: Value = serde_json::from_str(&run(folder.path(), &json).await.out).unwrap();
    assert_eq!(found["dropped"], json!({ "errors": 0, "warnings": 100 }));
    let problems = found["problems"].as_array().unwrap();
    assert_eq!(problems.iter().filter(|problem| problem["severity"] == "error").count(), 1);
}

#[tokio::test]
async fn many_warnings_that_are_allowed_hide_none_that_is_not() {
    let policy = many_odd_globs() + "freeze:\n  - { caller: app }\n  - { caller: app }\n";
    let folder = folder(GATEWAY, Some(&policy));
    let check = async |more: &[&str]| {
        run(folder.path(), &[&["check", "--config", "gateway.yaml"], more].concat()).await
    };
    let strict = check(&["--strict", "--allow", "odd-glob"]).await;
    assert_eq!(strict.code, Some(1), "{}", strict.out);
    assert!(strict.err.starts_with("policy.yaml:607:15: error[frozen-twice]: "), "{}", strict.err);
    assert!(!strict.err.contains("odd-glob"), "{}", strict.err);
    let both = check(&["--strict", "--allow", "odd-glob", "--allow", "frozen-twice"]).await;
    assert_eq!((both.code, both.err.as_str()), (Some(0), ""));
    // None of those that are not shown is forgotten.
    let lax = check(&[]).await;
    assert!(lax.out.starts_with("gateway.yaml: valid, with 601 warnings\n"), "{}", lax.out);
    let strict = check(&["--strict"]).await;
    assert!(strict.err.ends_with("\nand 101 more errors\n"), "{}", strict.err);
}

#[tokio::test]
async fn what_is_valid_without_a_warning_is_valid_strictly() {
    let folder = folder(GATEWAY, Some(POLICY));
    let ran = run(folder.path(), &["check", "--strict", "--config", "gateway.yaml"]).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
}
