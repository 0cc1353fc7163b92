use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::support::binary::{Ran, run};

const GATEWAY: &str = "\
listeners: [{ address: 127.0.0.1:8080 }]
libraries:
  smhxxx: { token: { env: SMH_TOKEN } }
tenants:
  photos: { library: smhxxx, space: spacexxx }
  contracts: { library: smhxxx, space: space2, user_id: forbid }
callers:
  app: { trust: loopback, tenants: [photos, contracts] }
  janitor: { api_key: { file: janitor.key }, tenants: [photos] }
policy: policy.yaml
";

const POLICY: &str = "\
permanent_deletes: by_rule
freeze:
  - { tenant: contracts, reason: audit until Friday }
rules:
  - name: only the janitor clears tmp
    deny: { paths: [\"tmp/**\"], except: { callers: [janitor] } }
  - name: janitor may purge tmp
    allow_permanent: { callers: [janitor], tenants: [photos], paths: [\"tmp/**\"] }
    until: 2026-12-31
    ticket: OPS-1234
  - name: would this hurt anyone
    mode: shadow
    deny: { user_ids: [\"guest*\"] }
rate_limits:
  - { name: per caller, per: [caller], limit: 100/s, burst: 200 }
  - { name: batch job, per: [caller], callers: [janitor], limit: 10/s, mode: shadow }
";

fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("gateway.yaml"), GATEWAY).unwrap();
    fs::write(folder.path().join("policy.yaml"), POLICY).unwrap();
    folder
}

async fn explain(folder: &Path, arguments: &str) -> Ran {
    let mut all = vec!["explain", "--config", "gateway.yaml", "--at", "2026-06-01T12:00:00Z"];
    all.extend(arguments.split(' '));
    run(folder, &all).await
}

#[tokio::test]
async fn a_permanent_delete_that_a_rule_allows_is_explained_whole() {
    let folder = folder();
    let arguments = "--caller janitor --tenant photos --path tmp/a --permanent --user-id guest1";
    let ran = explain(folder.path(), arguments).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    insta::assert_snapshot!(ran.out, @r#"
    DELETE tmp/a in photos, permanent=1, user_id=guest1
    by janitor, at 2026-06-01T12:00:00Z

    ok   path               `tmp/a` is one file
    ok   query              user_id is `guest1`
    ok   authentication     `janitor` proves itself by the API key from janitor.key  gateway.yaml:9
    ok   tenant grant       `photos` is granted: space spacexxx of library smhxxx  gateway.yaml:5
    ok   user_id            this tenant forwards what the caller sends  gateway.yaml:5
    ok   freeze             nothing that concerns it is frozen
    ok   permanent deletes  the rule "janitor may purge tmp" lets it through  policy.yaml:7
    ok   rules              no `deny` rule denies it
    ok   rate limits        2 limits are charged
    ok   token              the library's own, from the environment variable SMH_TOKEN  gateway.yaml:3

    rules
    no   deny "only the janitor clears tmp": its `except` covers it  policy.yaml:5
    =>   allow_permanent "janitor may purge tmp": lets it through  policy.yaml:7
    yes  deny "would this hurt anyone" (shadow): would deny it, but is a shadow  policy.yaml:11

    limits
    yes  "per caller": 100/s, burst 200, counted for caller janitor  policy.yaml:15
    yes  "batch job" (shadow): 10/s, burst 10, counted for caller janitor  policy.yaml:16

    SMH would see  DELETE https://smhxxx.api.tencentsmh.cn/api/v1/file/smhxxx/spacexxx/tmp/a?permanent=1&access_token=[redacted]&user_id=guest1
    allowed: the caller gets SMH's own answer (ticket OPS-1234)
    "#);
}

#[tokio::test]
async fn a_denied_delete_says_which_rule_on_which_line_and_exits_with_one() {
    let folder = folder();
    let ran = explain(folder.path(), "--caller app --tenant photos --path tmp/a").await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""));
    insta::assert_snapshot!(ran.out, @r#"
    DELETE tmp/a in photos
    by app, at 2026-06-01T12:00:00Z

    ok   path               `tmp/a` is one file
    ok   query              no user_id
    ok   authentication     `app` proves itself by coming from a loopback address or a unix socket  gateway.yaml:8
    ok   tenant grant       `photos` is granted: space spacexxx of library smhxxx  gateway.yaml:5
    ok   user_id            this tenant forwards what the caller sends  gateway.yaml:5
    ok   freeze             nothing that concerns it is frozen
    ok   permanent deletes  it is not permanent: the file goes to the recycle bin
    DENY rules              the rule "only the janitor clears tmp" denies it  policy.yaml:5
    -    rate limits        not reached
    -    token              not reached

    rules
    =>   deny "only the janitor clears tmp": denies it  policy.yaml:5
    no   allow_permanent "janitor may purge tmp": `callers`: app is none of janitor  policy.yaml:7
    no   deny "would this hurt anyone" (shadow): `user_ids`: there is no user_id, so none of guest*  policy.yaml:11

    limits (none is charged: the delete is refused)
    yes  "per caller": 100/s, burst 200, counted for caller app  policy.yaml:15
    no   "batch job" (shadow): 10/s, burst 10, not about it  policy.yaml:16

    403 DeniedByRule, not_sent: the rule "only the janitor clears tmp" denies it
    "#);
}

/// The check that refused, and why.
async fn refused(arguments: &str) -> String {
    let ran = explain(folder().path(), arguments).await;
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    let line = ran.out.lines().find(|line| line.starts_with("DENY")).unwrap();
    line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn each_check_that_refuses_says_why() {
    for (arguments, wanted) in [
        (
            "--caller app --tenant photos --path a/../b",
            "path `.` and `..` are not allowed as segments, in any encoding",
        ),
        (
            "--caller ap --tenant photos --path a",
            "authentication no caller is called `ap`; did you mean `app`? gateway.yaml",
        ),
        (
            "--caller app --tenant photo --path a",
            "tenant grant no tenant is called `photo`; did you mean `photos`? gateway.yaml",
        ),
        (
            "--caller janitor --tenant contracts --path a",
            "tenant grant `janitor` is granted only photos gateway.yaml:9",
        ),
        (
            "--caller app --tenant contracts --path a --user-id u",
            "user_id this tenant takes no `user_id` from callers gateway.yaml:6",
        ),
        (
            "--caller app --tenant contracts --path a",
            "freeze deletes for this tenant are frozen by an operator: audit until Friday \
             policy.yaml:3",
        ),
        (
            "--caller app --tenant photos --path a --permanent",
            "permanent deletes permanent=1 was asked for, and no rule of the policy allows it; no \
             `allow_permanent` rule applies policy.yaml",
        ),
    ] {
        assert_eq!(refused(arguments).await, wanted, "{arguments}");
    }
}

#[tokio::test]
async fn a_rule_that_has_ended_says_so() {
    let folder = folder();
    let arguments = [
        "explain",
        "--config",
        "gateway.yaml",
        "--caller",
        "janitor",
        "--tenant",
        "photos",
        "--path",
        "tmp/a",
        "--permanent",
        "--at",
        "2027-01-01T00:00:00Z",
    ];
    let ran = run(folder.path(), &arguments).await;
    assert_eq!(ran.code, Some(1));
    let said = "no   allow_permanent \"janitor may purge tmp\": it ended: until 2026-12-31";
    assert!(ran.out.contains(said), "{}", ran.out);
}

#[tokio::test]
async fn a_dry_run_makes_rules_only_count_unless_there_is_no_bin() {
    let folder = folder();
    let policy = "dry_run: true\npermanent_deletes: by_rule\nrules:\n\
                  - { name: legal hold, deny: { paths: [\"legal/**\"] } }\n\
                  - { name: any, allow_permanent: {} }\n";
    fs::write(folder.path().join("policy.yaml"), policy).unwrap();
    for (bin, path, code, told) in [
        ("on", "a", 0, "ok   rules              `dry_run: true`: rules only count"),
        ("on", "legal/a", 0, "would deny it, but for `dry_run: true`"),
        ("off", "a", 0, "ok   rules              no `deny` rule denies it"),
        ("off", "legal/a", 1, "DENY rules              the rule \"legal hold\" denies it"),
    ] {
        let library = format!("{{ token: {{ env: SMH_TOKEN }}, recycle_bin: {bin} }}");
        let gateway = GATEWAY.replace("{ token: { env: SMH_TOKEN } }", &library);
        fs::write(folder.path().join("gateway.yaml"), gateway).unwrap();
        let arguments = format!("--caller app --tenant photos --path {path}");
        let ran = explain(folder.path(), &arguments).await;
        assert_eq!(ran.code, Some(code), "{}", ran.out);
        assert!(ran.out.contains(told), "{bin} {path}: {}", ran.out);
    }
}

#[tokio::test]
async fn a_rule_that_allows_is_not_said_to_have_let_through_what_was_refused() {
    let folder = folder();
    let policy = "permanent_deletes: by_rule\nfreeze: [{ tenant: contracts }]\nrules:\n\
                  - { name: legal hold, deny: { paths: [\"legal/**\"] } }\n\
                  - { name: one, allow_permanent: {} }\n\
                  - { name: two, allow_permanent: {} }\n";
    fs::write(folder.path().join("policy.yaml"), policy).unwrap();
    for (tenant, path, one, two) in [
        ("photos", "a", "lets it through", "would let it through, too"),
        (
            "photos",
            "legal/a",
            "would let it through, but a deny wins",
            "would let it through, but a deny wins",
        ),
        (
            "contracts",
            "legal/a",
            "would let it through, but it is refused before rules are asked",
            "would let it through, but it is refused before rules are asked",
        ),
    ] {
        let arguments = format!("--caller app --tenant {tenant} --path {path} --permanent");
        let ran = explain(folder.path(), &arguments).await;
        for (rule, why) in [("one", one), ("two", two)] {
            let told = format!("allow_permanent \"{rule}\": {why}  policy.yaml");
            assert!(ran.out.contains(&told), "{told}: {}", ran.out);
        }
        assert!(!ran.out.contains("\"legal hold\" lets it through"), "{}", ran.out);
    }
}

#[tokio::test]
async fn what_a_terminal_would_act_on_is_escaped() {
    let (hostile, escaped) = ("a\u{1b}[31mb\u{202E}\u{7}", r"a\u{1b}[31mb\u{202e}\u{7}");
    let folder = folder();
    for [caller, tenant, path, user_id] in [
        [hostile, "photos", "a", "u"],
        ["app", hostile, "a", "u"],
        ["app", "photos", hostile, "u"],
        ["app", "photos", "a", hostile],
        // What is no control character can be in a path, and then rules speak of it.
        ["app", "photos", "a\u{202E}", "u\u{202E}"],
    ] {
        let asked = ["--caller", caller, "--tenant", tenant, "--path", path, "--user-id", user_id];
        let arguments = [&["explain", "--config", "gateway.yaml"][..], &asked[..]].concat();
        let ran = run(folder.path(), &arguments).await;
        let acts = |c: &char| (c.is_control() && *c != '\n') || *c == '\u{202E}';
        assert_eq!(ran.out.chars().find(acts), None, "{asked:?}: {:?}", ran.out);
        let shown = if asked.contains(&hostile) { escaped } else { r"a\u{202e}" };
        assert!(ran.out.contains(shown), "{asked:?}: {}", ran.out);
    }
}

#[tokio::test]
async fn for_programs_it_is_one_json_object() {
    let folder = folder();
    let arguments = "--caller app --tenant photos --path tmp/a --format json";
    let ran = explain(folder.path(), arguments).await;
    assert_eq!(ran.code, Some(1));
    let told: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(told["decision"], "deny");
    assert_eq!(told["code"], "DeniedByRule");
    assert_eq!(told["status"], 403);
    assert_eq!(told["rules"][0]["decides"], true);
    assert_eq!(told["rules"][0]["place"], "policy.yaml:5");
    assert_eq!(told["checks"].as_array().unwrap().len(), 10);
    assert_eq!(told["request"]["at"], "2026-06-01T12:00:00Z");
}

#[tokio::test]
async fn a_file_with_mistakes_is_reported_and_a_wrong_moment_is_wrong_usage() {
    let folder = folder();
    for moment in ["noon", "9999-12-31T23:59:59-23:59", "0000-01-01T00:00:00+23:59"] {
        let arguments =
            ["explain", "--config", "gateway.yaml", "--caller", "app", "--tenant", "photos"];
        let arguments = [&arguments[..], &["--path", "a", "--at", moment]].concat();
        let ran = run(folder.path(), &arguments).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{}", ran.err);
        assert!(ran.err.contains("`at` is a moment"), "{}", ran.err);
    }
    fs::write(folder.path().join("policy.yaml"), "rules: 7\n").unwrap();
    let ran = explain(folder.path(), "--caller app --tenant photos --path a").await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert!(ran.err.contains("policy.yaml:1:8: expected a list"), "{}", ran.err);
}
