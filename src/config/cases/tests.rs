//! Mistakes in files of cases, and what passes.

use std::fs;

use proptest::prelude::*;
use proptest::sample::select;
use tempfile::TempDir;

use super::*;
use crate::config::load_untested;
use crate::config::report::{Color, Severity};
use crate::glob::{NameGlob, PathGlob};
use crate::policy::{Effect, Known, PermanentDeletes, Rule, Rules, Selector, Until};

const GATEWAY: &str = "\
listeners: [{ address: 127.0.0.1:8080 }]
libraries:
  smhxxx: { token: { file: token } }
  smhyyy: { token: { file: token }, recycle_bin: off }
tenants:
  photos: { library: smhxxx, space: one }
  invoices: { library: smhxxx, space: two, user_id: forbid }
  archive: { library: smhyyy, space: one }
callers:
  app: { api_key: { file: app.key }, tenants: [photos, invoices] }
  janitor: { api_key: { file: janitor.key }, tenants: [photos, archive] }
policy: policy.yaml
";

const POLICY: &str = "\
permanent_deletes: by_rule
rules:
  - name: legal hold
    deny: { paths: [\"legal/**\"] }
  - name: janitor may purge
    allow_permanent: { callers: [janitor], paths: [\"tmp/**\"] }
";

fn configured() -> Snapshot {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("policy.yaml"), POLICY).unwrap();
    fs::write(folder.path().join("gateway.yaml"), GATEWAY).unwrap();
    let (mut snapshot, _) =
        load_untested(&folder.path().join("gateway.yaml")).into_result().unwrap();
    snapshot.policy_file = Some("policy.yaml".into());
    snapshot
}

/// The cases of a text, and what is said of it.
fn read_text(snapshot: &Snapshot, yaml: &str) -> (Option<Vec<Case>>, Report) {
    let mut report = Report::new();
    let cases = decode("cases.yaml", yaml.as_bytes(), Some(&Bench::of(snapshot)), &mut report);
    assert_eq!(cases.is_none(), report.has_errors(), "{}", report.render(Color::Plain));
    (cases, report)
}

/// `line:column: message (help)` of each problem.
fn said(snapshot: &Snapshot, yaml: &str) -> Vec<String> {
    let (_, report) = read_text(snapshot, yaml);
    let problems = report.to_json();
    let problems = problems.as_array().unwrap().iter();
    let text = |value: &serde_json::Value| value.as_str().map(ToOwned::to_owned);
    let line = |problem: &serde_json::Value| {
        let (line, column) = (&problem["line"], &problem["column"]);
        let help = text(&problem["help"]).map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{line}:{column}: {}{help}", text(&problem["message"]).unwrap())
    };
    problems.map(line).collect()
}

const PHOTO: &str = "{ caller: app, tenant: photos, path: a }";

/// Each text has the one mistake that is told.
fn assert_each_told(table: &[(String, &str)]) {
    let snapshot = configured();
    for (yaml, wanted) in table {
        assert_eq!(said(&snapshot, yaml), [*wanted], "{yaml}");
    }
}

fn allowed(request: &str) -> String {
    format!("cases:\n  - request: {request}\n    expect: {{ decision: allow }}\n")
}

fn expected(expect: &str) -> String {
    format!("cases:\n  - request: {PHOTO}\n    expect: {expect}\n")
}

#[test]
fn each_mistake_in_a_file_or_a_case_is_told_with_its_place() {
    assert_each_told(&[
        ("[]".to_owned(), "1:1: expected the fields of a file of test cases, found a list"),
        ("{}".into(), "1:1: a file of test cases needs `cases`"),
        ("cases: {}".into(), "1:8: expected a list, found a map (an empty list is written `[]`)"),
        ("cases: [a]".into(), "1:9: expected the fields of a test case, found a text"),
        (
            "case: []\ncases: [{ request: { caller: app, tenant: photos, path: a }, expect: { decision: allow } }]".into(),
            "1:1: unknown field `case` in a file of test cases (did you mean `cases`?)",
        ),
        (format!("cases: [{{ request: {PHOTO} }}]"), "1:9: a test case needs `expect`"),
        ("cases: [{ expect: { decision: deny } }]".into(), "1:9: a test case needs `request`"),
        (
            format!("cases: [{{ name: '', request: {PHOTO}, expect: {{ decision: allow }} }}]"),
            "1:17: an empty text is not the name of a test case: it is empty",
        ),
    ]);
}

#[test]
fn each_mistake_in_a_request_is_told_with_its_place_and_what_to_do() {
    assert_each_told(&[
        (allowed("{ tenant: photos, path: a }"), "2:14: a request needs `caller`"),
        (allowed("{ caller: app, path: a }"), "2:14: a request needs `tenant`"),
        (allowed("{ caller: app, tenant: photos }"), "2:14: a request needs `path`"),
        (
            allowed("{ caller: app, tenant: photos, path: a, permanently: true }"),
            "2:54: unknown field `permanently` in a request (did you mean `permanent`?)",
        ),
        (
            allowed("{ caller: app, tenant: photos, path: a, permanent: 1 }"),
            "2:65: expected `true` or `false`, found `1` (write `true` or `false`)",
        ),
        (
            allowed("{ caller: app, tenant: photos, path: a, at: 2027-01-01 }"),
            "2:58: `2027-01-01` is not a moment such as `2027-01-01T00:00:00Z`: it needs a day, a time with seconds, and `Z` or an offset",
        ),
        (
            allowed("{ caller: app, tenant: photos, path: a, at: 9999-12-31T23:59:59-23:59 }"),
            "2:58: `9999-12-31T23:59:59-23:59` is not a moment such as `2027-01-01T00:00:00Z`: in UTC it is outside the years 0 to 9999",
        ),
        (
            allowed("{ caller: apq, tenant: photos, path: a }"),
            "2:24: unknown caller `apq` (did you mean `app`?)",
        ),
        (
            allowed("{ caller: app, tenant: photo, path: a }"),
            "2:37: unknown tenant `photo` (did you mean `photos`?)",
        ),
        (
            allowed("{ caller: app, tenant: photos, path: /a }"),
            "2:51: `/a` names no file: a segment is empty: no leading, trailing or double slash (to test that it is refused, expect `code: InvalidPath`)",
        ),
        (
            allowed("{ caller: app, tenant: photos, path: a, user_id: '' }"),
            "2:63: `` is no user id: `user_id` is 1 to 256 bytes of percent-encoded UTF-8 without control characters (to test that it is refused, expect `code: InvalidQuery`)",
        ),
    ]);
}

#[test]
fn a_delete_that_nobody_could_ask_for_is_a_mistake_unless_its_code_is_expected() {
    // `/v1/files/photos/` is 17 bytes of 8192, and `%C3%A9` six for each letter.
    let (fits, too_long) = ("é".repeat(1362), "é".repeat(1363));
    let snapshot = configured();
    let request = |path: &str| format!("{{ caller: app, tenant: photos, path: {path} }}");
    assert_eq!(said(&snapshot, &allowed(&request(&fits))), [""; 0]);
    assert_eq!(
        said(&snapshot, &allowed(&request(&too_long))),
        [format!(
            "2:51: `{}…` makes too long a target, percent-encoded: at most 8192 bytes are taken (to test that it is refused, expect `code: TargetTooLong`)",
            "é".repeat(64)
        )]
    );
    let refused = allowed(&request(&too_long))
        .replace("decision: allow", "decision: deny, code: TargetTooLong");
    let (cases, _) = read_text(&snapshot, &refused);
    let ran = cases.unwrap()[0].run(&Bench::of(&snapshot), SystemTime::now());
    assert!(ran.passed, "{}", ran.verdict);
}

#[test]
fn each_mistake_in_an_expectation_is_told_with_its_place_and_what_to_do() {
    assert_each_told(&[
        (expected("{ code: Frozen }"), "3:13: an expectation needs `decision`"),
        (
            expected("{ decision: dney }"),
            "3:25: `dney` is not a decision: one of `allow`, `deny` (did you mean `deny`?)",
        ),
        (
            expected("{ decision: deny, code: PermanentDeleteBlock }"),
            "3:37: `PermanentDeleteBlock` is not a code that a policy decides: one of `InvalidPath`, `InvalidQuery`, `Unauthenticated`, `TenantNotGranted`, `PermanentDeleteBlocked`, `DeniedByRule`, `Frozen`, `TargetTooLong` (did you mean `PermanentDeleteBlocked`?)",
        ),
        (
            expected("{ decision: deny, code: RateLimited }"),
            "3:37: `RateLimited` is not a code that a policy decides: one of `InvalidPath`, `InvalidQuery`, `Unauthenticated`, `TenantNotGranted`, `PermanentDeleteBlocked`, `DeniedByRule`, `Frozen`, `TargetTooLong`",
        ),
        (
            expected("{ decision: allow, code: Frozen }"),
            "3:38: a delete that is allowed has no code (leave `code` out, or expect `decision: deny`)",
        ),
        (
            expected("{ decision: deny, code: Frozen, rule: legal hold }"),
            "3:51: no rule decides `Frozen` (leave `rule` or `code` out)",
        ),
        (
            expected("{ decision: deny, rule: legal hld }"),
            "3:37: unknown deny rule `legal hld` (did you mean `legal hold`?)",
        ),
        (
            expected("{ decision: allow, rule: janitor may purg }"),
            "3:38: unknown allow_permanent rule `janitor may purg` (did you mean `janitor may purge`?)",
        ),
        (
            expected("{ decision: allow, rule: legal hold }"),
            "3:38: `legal hold` is a `deny` rule (policy.yaml:3): it lets nothing through",
        ),
        (
            expected("{ decision: deny, rule: janitor may purge }"),
            "3:37: `janitor may purge` is an `allow_permanent` rule (policy.yaml:5): it denies nothing",
        ),
    ]);
}

#[test]
fn one_run_shows_the_mistakes_of_every_case() {
    let yaml = "\
cases:
  - { request: { caller: app }, expect: { decision: no } }
  - { request: { caller: nobody, tenant: nowhere, path: a }, expect: { decision: allow, rule: none } }
";
    let lines: Vec<_> = said(&configured(), yaml);
    assert_eq!(lines.len(), 6, "{lines:#?}");
}

#[test]
fn a_list_without_cases_is_a_warning() {
    for yaml in ["", "# nothing yet\n", "cases: []\n"] {
        let (cases, report) = read_text(&configured(), yaml);
        assert_eq!(cases, Some(Vec::new()));
        let problems = report.problems();
        assert_eq!(problems.len(), 1, "{yaml:?}");
        assert_eq!(problems[0].severity(), Severity::Warning);
        assert_eq!(problems[0].message(), "there is no test case here");
    }
}

#[test]
fn what_nobody_knows_can_be_expected_to_be_refused() {
    let yaml = "\
cases:
  - { request: { caller: nobody, tenant: photos, path: a }, expect: { decision: deny, code: Unauthenticated } }
  - { request: { caller: app, tenant: nowhere, path: a }, expect: { decision: deny, code: TenantNotGranted } }
  - { request: { caller: app, tenant: archive, path: a }, expect: { decision: deny, code: TenantNotGranted } }
  - { request: { caller: app, tenant: photos, path: a/../b }, expect: { decision: deny, code: InvalidPath } }
  - { request: { caller: app, tenant: photos, path: a, user_id: '' }, expect: { decision: deny, code: InvalidQuery } }
  - { request: { caller: app, tenant: invoices, path: a, user_id: u }, expect: { decision: deny, code: InvalidQuery } }
";
    let snapshot = configured();
    let (cases, report) = read_text(&snapshot, yaml);
    assert!(report.problems().is_empty(), "{}", report.render(Color::Plain));
    for case in cases.unwrap() {
        let ran = case.run(&Bench::of(&snapshot), SystemTime::now());
        assert!(ran.passed, "{}: {}", case.label(), ran.verdict);
    }
}

#[test]
fn a_case_that_expects_somebody_unknown_fails_where_there_is_one() {
    let yaml = "cases: [{ request: { caller: app, tenant: photos, path: a }, expect: { decision: deny, code: Unauthenticated } }]";
    let snapshot = configured();
    let (cases, _) = read_text(&snapshot, yaml);
    let ran = cases.unwrap()[0].run(&Bench::of(&snapshot), SystemTime::now());
    assert!(!ran.passed);
    assert_eq!(ran.verdict, Verdict::Allow { rule: None });
}

#[test]
fn a_path_is_taken_literally() {
    let yaml = "cases: [{ request: { caller: app, tenant: photos, path: legal%2Fa }, expect: { decision: allow } }]";
    let snapshot = configured();
    let (cases, _) = read_text(&snapshot, yaml);
    assert!(cases.unwrap()[0].run(&Bench::of(&snapshot), SystemTime::now()).passed);
}

fn any_rule() -> impl Strategy<Value = (Effect, RuleMode, Option<Until>, Selector)> {
    let names = |of: &'static [&'static str]| prop::option::weighted(0.4, select(of));
    let until = prop::option::weighted(0.3, select(&["2026-05-31", "2026-06-01"][..]));
    (
        select(&[Effect::Deny, Effect::AllowPermanent][..]),
        select(&[RuleMode::Enforce, RuleMode::Shadow][..]),
        until,
        names(&["app", "janitor", "*"]),
        names(&["photos", "archive", "*"]),
        prop::option::weighted(0.4, select(&["tmp/**", "a", "**"][..])),
    )
        .prop_map(|(effect, mode, until, caller, tenant, path)| {
            let glob = |name: &str| vec![NameGlob::try_from(name).unwrap()];
            let matches = Selector {
                callers: caller.map(glob),
                tenants: tenant.map(glob),
                paths: path.map(|path| vec![PathGlob::try_from(path).unwrap()]),
                user_ids: None,
            };
            (effect, mode, until.map(|day| Until::try_from(day).unwrap()), matches)
        })
}

fn any_request() -> impl Strategy<Value = Hypothetical> {
    (
        select(&["app", "janitor", "nobody"][..]),
        select(&["photos", "invoices", "archive", "nowhere"][..]),
        select(&["tmp/a", "a", "/a"][..]),
        any::<bool>(),
        prop::option::of(select(&["u1", ""][..])),
    )
        .prop_map(|(caller, tenant, path, permanent, user_id)| Hypothetical {
            caller: caller.into(),
            tenant: tenant.into(),
            path: path.into(),
            mode: if permanent { Mode::Permanent } else { Mode::Recycle },
            user_id: user_id.map(Into::into),
        })
}

/// Everything that a case can expect, in the words of its file.
fn every_expectation(rules: &[RuleName]) -> Vec<(bool, Option<Code>, Option<RuleName>)> {
    let rules = || std::iter::once(None).chain(rules.iter().cloned().map(Some));
    let codes = || std::iter::once(None).chain(Code::ALL.into_iter().map(Some));
    let denied = codes().flat_map(|code| rules().map(move |rule| (false, code, rule)));
    rules().map(|rule| (true, None, rule)).chain(denied).collect()
}

proptest! {
    #[test]
    fn a_case_passes_exactly_if_it_expects_what_the_policy_decides(
        rules in prop::collection::vec(any_rule(), 0..6),
        dry_run: bool,
        asked in any_request(),
        at in select(&["2026-05-31T23:59:59Z", "2026-06-01T12:00:00+02:00", "2026-07-01T00:00:00Z"][..]),
    ) {
        let names: Vec<_> = (0..rules.len())
            .map(|at| RuleName::try_from(format!("rule {at}").as_str()).unwrap())
            .collect();
        let rules = rules.into_iter().zip(&names).map(|((effect, mode, until, matches), name)| Rule {
            cited: Arc::new(Citation { rule: name.clone(), ticket: None }),
            effect, matches, except: None, until, mode, line: 7,
        });
        let mut snapshot = configured();
        let known = Known {
            callers: ["app", "janitor"].into_iter().collect(),
            tenants: ["photos", "invoices", "archive"].into_iter().collect(),
        };
        let rules = Rules::new(rules.collect(), &known);
        snapshot.policy = Policy {
            dry_run, permanent_deletes: PermanentDeletes::ByRule, rules, ..Policy::default()
        };
        let bench = Bench::of(&snapshot);
        let written: Box<str> = at.into();
        let time = time::OffsetDateTime::parse(at, &time::format_description::well_known::Rfc3339);
        let time = SystemTime::from(time.unwrap());
        let directory = (&bench.callers, &bench.tenants);
        let decided =
            bench.policy.decide_hypothetical(directory, &Halts::default(), &asked, time).outcome;
        let (allowed, code, rule) = match &decided {
            Ok(permit) => (true, None, permit.allowed_by().map(|cited| &cited.rule)),
            Err(refusal) => (false, Some(refusal.code()), refusal.rule()),
        };

        for (allow, expected_code, expected_rule) in every_expectation(&names) {
            let wanted = allow == allowed
                && (expected_code.is_none() || expected_code == code)
                && (expected_rule.is_none() || expected_rule.as_ref() == rule);
            let expected = if allow {
                Expected::Allow { rule: expected_rule }
            } else {
                Expected::Deny { code: expected_code, rule: expected_rule }
            };
            let place = Place { file: Report::new().add_unread(""), line: 1, column: 1, width: 1 };
            let moment = Moment { written: written.clone(), time };
            let case = Case {
                name: None, position: 1, place, asked: asked.clone(), at: Some(moment), expected,
            };
            let ran = case.run(&bench, SystemTime::UNIX_EPOCH);
            prop_assert_eq!(ran.passed, wanted, "{} and {}", case.expected, ran.verdict);
        }
    }
}
