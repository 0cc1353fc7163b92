//! `test`, and `policy_tests` of gateway.yaml.

use std::fs;

use roxmltree::{Document, Node};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::support::binary::run;

const PASSING: &str = "\
cases:
  - name: nobody but the janitor purges
    request: { caller: app, tenant: photos, path: tmp/a.jpg, permanent: true }
    expect: { decision: deny, code: PermanentDeleteBlocked }
  - name: the janitor does
    request: { caller: janitor, tenant: photos, path: tmp/a.jpg, permanent: true }
    expect: { decision: allow, rule: janitor may purge }
  - request: { caller: janitor, tenant: invoices, path: legal/a.pdf, user_id: u1, at: 2027-01-01T00:00:00Z }
    expect: { decision: deny, rule: legal hold }
  - request: { caller: app, tenant: invoices, path: a.pdf }
    expect: { decision: deny, code: TenantNotGranted }
";

const FAILING: &str = "\
cases:
  - name: held for good
    request: { caller: janitor, tenant: invoices, path: legal/a.pdf }
    expect: { decision: allow }
  - request: { caller: janitor, tenant: photos, path: tmp/a.jpg, permanent: true }
    expect: { decision: deny, rule: legal hold }
  - name: 照片 <a> & \"b\"
    request: { caller: app, tenant: photos, path: '<b>&\"c\".jpg', permanent: true }
    expect: { decision: allow }
  - name: a good one
    request: { caller: app, tenant: photos, path: a.jpg }
    expect: { decision: allow }
";

/// gateway.yaml and policy.yaml, and the files of cases that are named under `policy_tests`.
fn held_to(policy: &str, named: &[&str], files: &[(&str, &str)]) -> TempDir {
    let gateway = match named {
        [] => GATEWAY.to_owned(),
        named => format!("{GATEWAY}policy_tests: [{}]\n", named.join(", ")),
    };
    let folder = folder(gateway, Some(policy));
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

async fn test_in(folder: &TempDir, arguments: &[&str]) -> Ran {
    let command = ["test", "--config", "gateway.yaml"];
    run(folder.path(), &[&command, arguments].concat()).await
}

#[tokio::test]
async fn cases_that_hold_are_listed_and_end_with_0() {
    let folder = held_to(POLICY, &[], &[("cases.yaml", PASSING)]);
    let ran = test_in(&folder, &["cases.yaml"]).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    insta::assert_snapshot!(ran.out, @r#"
    cases.yaml
      ok    nobody but the janitor purges  app: photos/tmp/a.jpg, permanent      deny PermanentDeleteBlocked
      ok    the janitor does               janitor: photos/tmp/a.jpg, permanent  allow
      ok    case 3                         janitor: invoices/legal/a.pdf, user_id u1, at 2027-01-01T00:00:00Z  deny DeniedByRule
      ok    case 4                         app: invoices/a.pdf                   deny TenantNotGranted
    4 of 4 cases pass
    "#);
}

#[tokio::test]
async fn a_case_that_fails_shows_what_was_expected_and_which_rule_decides() {
    let folder = held_to(POLICY, &[], &[("failing.yaml", FAILING)]);
    let ran = test_in(&folder, &["failing.yaml"]).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""));
    insta::assert_snapshot!(ran.out, @r#"
    failing.yaml
      FAIL  held for good   janitor: invoices/legal/a.pdf         deny DeniedByRule
            - expected allow
            + decided deny DeniedByRule by rule "legal hold" (policy.yaml:3)
      FAIL  case 2          janitor: photos/tmp/a.jpg, permanent  allow
            - expected deny by rule "legal hold"
            + decided allow by rule "janitor may purge" (policy.yaml:5)
      FAIL  照片 <a> & "b"  app: photos/<b>&"c".jpg, permanent    deny PermanentDeleteBlocked
            - expected allow
            + decided deny PermanentDeleteBlocked: permanent=1 was asked for, and no rule of the policy allows it
      ok    a good one      app: photos/a.jpg                     allow
    1 of 4 cases pass
    "#);
}

#[tokio::test]
async fn a_rule_that_is_not_enforced_is_named_where_a_case_counts_on_it() {
    let cases = "\
cases:
  - request: { caller: janitor, tenant: invoices, path: legal/a.pdf }
    expect: { decision: deny }
";
    let shadow =
        POLICY.replace("  - name: legal hold\n", "  - name: legal hold\n    mode: shadow\n");
    for (policy, why) in
        [(format!("dry_run: true\n{POLICY}"), "dry_run: true"), (shadow, "mode: shadow")]
    {
        let folder = held_to(&policy, &[], &[("cases.yaml", cases)]);
        let ran = test_in(&folder, &["cases.yaml"]).await;
        let line = policy.lines().position(|line| line.contains("legal hold")).unwrap() + 1;
        let wanted = format!("rule \"legal hold\" (policy.yaml:{line}) is not enforced: `{why}`");
        assert!(ran.out.contains(&wanted), "{wanted}\n{}", ran.out);
        assert!(ran.out.contains("+ decided allow\n"), "{}", ran.out);
        assert_eq!(ran.code, Some(1));
    }
}

#[tokio::test]
async fn a_file_that_is_not_valid_ends_with_1_and_the_others_are_run() {
    let wrong = PASSING.replace("caller: app, tenant: photos", "caller: apq, tenant: photos");
    let files = [("wrong.yaml", wrong.as_str()), ("cases.yaml", PASSING)];
    let folder = held_to(POLICY, &[], &files);
    let ran = test_in(&folder, &["wrong.yaml", "cases.yaml", "missing.yaml"]).await;
    assert_eq!(ran.code, Some(1));
    insta::assert_snapshot!(ran.err, @r#"
    wrong.yaml:3:24: unknown caller `apq`
        3 |     request: { caller: apq, tenant: photos, path: tmp/a.jpg, permanent: true }
          |                        ^^^ did you mean `app`?
    missing.yaml: the file cannot be read: No such file or directory (os error 2)
    "#);
    let told: Vec<_> = ran.out.lines().filter(|line| !line.starts_with("  ok")).collect();
    assert_eq!(
        told,
        [
            "wrong.yaml",
            "  not valid: nothing was run",
            "cases.yaml",
            "missing.yaml",
            "  not valid: nothing was run",
            "4 of 4 cases pass; not valid: wrong.yaml, missing.yaml",
        ]
    );
}

#[tokio::test]
async fn a_field_that_nobody_knows_leaves_nothing_to_pass() {
    let cases = PASSING.replacen("permanent: true", "permanently: true", 1);
    let folder = held_to(POLICY, &[], &[("cases.yaml", &cases)]);
    let ran = test_in(&folder, &["cases.yaml"]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("unknown field `permanently` in a request"), "{}", ran.err);
    assert!(ran.out.contains("not valid: nothing was run"), "{}", ran.out);
}

#[tokio::test]
async fn without_cases_those_of_the_configuration_are_run_also_where_they_fail() {
    let files = [("failing.yaml", FAILING), ("passing.yaml", PASSING)];
    let folder = held_to(POLICY, &["passing.yaml", "failing.yaml"], &files);
    let ran = test_in(&folder, &[]).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""));
    assert!(ran.out.contains("  FAIL  held for good"), "{}", ran.out);
    assert!(ran.out.ends_with("\n5 of 8 cases pass\n"), "{}", ran.out);
}

#[tokio::test]
async fn cases_that_are_given_are_run_in_place_of_those_of_the_configuration() {
    let folder = held_to(POLICY, &["missing.yaml"], &[("passing.yaml", PASSING)]);
    let ran = test_in(&folder, &["passing.yaml"]).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{}", ran.out);
    assert!(ran.out.ends_with("\n4 of 4 cases pass\n"), "{}", ran.out);
}

#[tokio::test]
async fn no_cases_anywhere_is_wrong_usage() {
    let folder = held_to(POLICY, &[], &[]);
    let ran = test_in(&folder, &[]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""));
    assert!(
        ran.err.contains("give files of them, or name them under `policy_tests`"),
        "{}",
        ran.err
    );
    assert_eq!(test_in(&folder, &["--format", "html", "a.yaml"]).await.code, Some(2));
}

#[tokio::test]
async fn a_configuration_that_is_not_valid_is_reported_and_nothing_is_run() {
    let policy = POLICY.replace("callers: [janitor]", "callers: [jantior]");
    let folder = held_to(&policy, &[], &[("cases.yaml", PASSING)]);
    for format in ["text", "json", "junit"] {
        let ran = test_in(&folder, &["cases.yaml", "--format", format]).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{format}");
        assert!(ran.err.contains("unknown caller `jantior`"), "{}", ran.err);
    }
}

#[tokio::test]
async fn a_terminal_is_sent_nothing_that_it_would_act_on() {
    let cases = "\
cases:
  - name: \"a\\u202Eb\"
    request: { caller: app, tenant: photos, path: \"a\\e[31m\", user_id: \"\\e]0;x\\a\" }
    expect: { decision: deny, code: InvalidPath }
";
    let folder = held_to(POLICY, &[], &[("cases.yaml", cases)]);
    let ran = test_in(&folder, &["cases.yaml"]).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert!(!ran.out.contains(['\u{1b}', '\u{7}', '\u{202E}']), "{:?}", ran.out);
    assert!(ran.out.contains("a\\u{202e}b  app: photos/a\\u{1b}[31m, user_id"), "{}", ran.out);
}

#[tokio::test]
async fn programs_get_a_list() {
    let folder = held_to(POLICY, &[], &[("failing.yaml", FAILING)]);
    let ran = test_in(&folder, &["failing.yaml", "--format", "json"]).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""));
    let all: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(all.as_array().unwrap().len(), 4);
    let wanted = json!({
        "file": "failing.yaml",
        "line": 2,
        "name": "held for good",
        "position": 1,
        "passed": false,
        "request": {
            "caller": "janitor", "tenant": "invoices", "path": "legal/a.pdf", "permanent": false,
            "user_id": null, "at": null,
        },
        "expected": { "decision": "allow", "rule": null },
        "decided": {
            "decision": "deny", "code": "DeniedByRule",
            "by": { "rule": "legal hold", "at": "policy.yaml:3" },
            "detail": "the rule \"legal hold\" denies it",
        },
        "not_enforced": [],
    });
    assert_eq!(all[0], wanted);
    let passed: Vec<_> = all.as_array().unwrap().iter().map(|case| &case["passed"]).collect();
    assert_eq!(passed, [false, false, false, true]);
}

fn elements<'a, 'i>(of: Node<'a, 'i>, name: &'static str) -> Vec<Node<'a, 'i>> {
    of.children().filter(|child| child.has_tag_name(name)).collect()
}

#[tokio::test]
async fn ci_gets_a_suite_for_each_file_with_the_difference_of_each_failure() {
    let files =
        [("passing.yaml", PASSING), ("failing.yaml", FAILING), ("wrong.yaml", "cases: 1\n")];
    let folder = held_to(POLICY, &[], &files);
    let arguments = ["passing.yaml", "failing.yaml", "wrong.yaml", "--format", "junit"];
    let ran = test_in(&folder, &arguments).await;
    assert_eq!(ran.code, Some(1));
    let document = Document::parse(&ran.out).unwrap();
    let root = document.root_element();
    let counts = |node: Node<'_, '_>| {
        ["tests", "failures", "errors"].map(|name| node.attribute(name).unwrap().to_owned())
    };
    assert_eq!(root.tag_name().name(), "testsuites");
    assert_eq!(counts(root), ["9", "3", "1"]);

    let suites = elements(root, "testsuite");
    let names: Vec<_> = suites.iter().map(|suite| suite.attribute("name").unwrap()).collect();
    assert_eq!(names, ["passing.yaml", "failing.yaml", "wrong.yaml"]);
    for (suite, wanted) in suites.iter().zip([["4", "0", "0"], ["4", "3", "0"], ["1", "0", "1"]]) {
        assert_eq!(counts(*suite), wanted);
        let cases = elements(*suite, "testcase");
        assert_eq!(cases.len().to_string(), wanted[0]);
        let inner = |name| cases.iter().map(|case| elements(*case, name).len()).sum::<usize>();
        assert_eq!([inner("failure").to_string(), inner("error").to_string()], wanted[1..]);
    }

    let third = elements(suites[1], "testcase")[2];
    assert_eq!(third.attribute("name"), Some("照片 <a> & \"b\""));
    let failure = elements(third, "failure")[0];
    let told = "permanent=1 was asked for, and no rule of the policy allows it";
    let decided = format!("deny PermanentDeleteBlocked: {told}");
    let wanted =
        format!("app: photos/<b>&\"c\".jpg, permanent\n- expected allow\n+ decided {decided}");
    assert_eq!(failure.text(), Some(wanted.as_str()));
    let message = format!("expected allow, decided {decided}");
    assert_eq!(failure.attribute("message"), Some(message.as_str()));
    let error = elements(elements(suites[2], "testcase")[0], "error")[0];
    assert!(error.text().unwrap().contains("wrong.yaml:1:8: expected a list"), "{}", ran.out);
}

#[tokio::test]
async fn a_policy_that_fails_its_tests_is_not_valid() {
    let files = [("failing.yaml", FAILING), ("passing.yaml", PASSING)];
    let folder = held_to(POLICY, &["passing.yaml", "failing.yaml"], &files);
    let ran = check_in(folder.path()).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    insta::assert_snapshot!(ran.err, @r#"
    failing.yaml:2:5: `held for good` fails: expected allow, the policy decides deny DeniedByRule by rule "legal hold" (policy.yaml:3)
        2 |   - name: held for good
          |     ^^^^
    failing.yaml:5:5: case 2 fails: expected deny by rule "legal hold", the policy decides allow by rule "janitor may purge" (policy.yaml:5)
        5 |   - request: { caller: janitor, tenant: photos, path: tmp/a.jpg, permanent: true }
          |     ^^^^^^^
    failing.yaml:7:5: `照片 <a> & "b"` fails: expected allow, the policy decides deny PermanentDeleteBlocked: permanent=1 was asked for, and no rule of the policy allows it
        7 |   - name: 照片 <a> & "b"
          |     ^^^^
    "#);

    let served = run(folder.path(), &["serve", "--config", "gateway.yaml"]).await;
    assert_eq!((served.code, served.out.as_str()), (Some(1), ""));
    assert_eq!(served.err, ran.err, "it does not start, and says the same");
}

#[tokio::test]
async fn a_case_that_fails_can_be_explained() {
    let folder = held_to(POLICY, &["failing.yaml"], &[("failing.yaml", FAILING)]);
    let asked = ["--caller", "janitor", "--tenant", "invoices", "--path", "legal/a.pdf"];
    let arguments = [&["explain", "--config", "gateway.yaml"], &asked[..]].concat();
    let ran = run(folder.path(), &arguments).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""));
    assert!(ran.out.contains("403 DeniedByRule"), "{}", ran.out);
}

#[tokio::test]
async fn a_policy_that_passes_its_tests_is_valid() {
    let folder = held_to(POLICY, &["passing.yaml"], &[("passing.yaml", PASSING)]);
    let ran = check_in(folder.path()).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn a_file_of_tests_that_is_missing_is_an_error_where_it_is_named() {
    let folder = held_to(POLICY, &["tests/missing.yaml"], &[]);
    let ran = check_in(folder.path()).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    insta::assert_snapshot!(ran.err, @r#"
    gateway.yaml:13:16: tests/missing.yaml: the file cannot be read: No such file or directory (os error 2)
       13 | policy_tests: [tests/missing.yaml]
          |                ^^^^^^^^^^^^^^^^^^
    "#);
}

#[tokio::test]
async fn mistakes_in_tests_are_shown_beside_those_of_the_policy_and_nothing_is_run() {
    let policy = POLICY.replace("callers: [janitor]", "callers: [jantior]");
    let cases = FAILING.replacen("decision: allow", "decision: allowed", 1);
    let folder = held_to(&policy, &["failing.yaml"], &[("failing.yaml", &cases)]);
    let ran = check_in(folder.path()).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    insta::assert_snapshot!(ran.err, @r#"
    policy.yaml:6:34: unknown caller `jantior`
        6 |     allow_permanent: { callers: [jantior], paths: ["tmp/**"] }
          |                                  ^^^^^^^ did you mean `janitor`?
    failing.yaml:4:25: `allowed` is not a decision: one of `allow`, `deny`
        4 |     expect: { decision: allowed }
          |                         ^^^^^^^ did you mean `allow`?
    "#);
}
