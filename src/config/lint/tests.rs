//! Warnings are about what is surely so: held to what the policy decides.

use std::fmt::Write;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::config::{self, Loaded};
use crate::delete::{Paths, Route};
use crate::directory::Tenants;
use crate::limits::{Limits, Sharing, View};
use crate::policy::Halts;
use crate::refusal::Refusal;

const GATEWAY: &str = "\
listeners: [{ address: 127.0.0.1:8080 }]
libraries:
  l1: { token: { file: token } }
  l2: { token: { file: token } }
tenants:
  t1: { library: l1, space: s1 }
  t2: { library: l1, space: s2 }
  t3: { library: l2, space: s1 }
callers:
  a: { api_key: { file: a }, tenants: [t1, t2] }
  ab: { api_key: { file: ab }, tenants: [t2, t3] }
  b: { api_key: { file: b }, tenants: [t3] }
policy: policy.yaml
";

fn loaded(policy: &str) -> Loaded {
    let folder = TempDir::new().unwrap();
    for (name, text) in [("gateway.yaml", GATEWAY), ("policy.yaml", policy)] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    config::load(&folder.path().join("gateway.yaml")).linted()
}

/// The codes and lines of the warnings.
fn warnings(loaded: &Loaded) -> Vec<(Warning, u32)> {
    let problems = loaded.report.problems().into_iter();
    problems.map(|problem| (problem.code().unwrap(), problem.place().unwrap().line)).collect()
}

/// Rules and limits by line, without anything about the rest.
fn said(policy: &str) -> Vec<(Warning, u32)> {
    warnings(&loaded(policy))
}

#[test]
fn a_rule_that_never_decides_is_told_with_why() {
    for (rules, wanted) in [
        (
            &["deny: { paths: [\"a/**\"] }", "deny: { paths: [\"a/b/*\"] }"][..],
            Some(Warning::ShadowedRule),
        ),
        (
            &[
                "deny: { paths: [\"a/**\"], except: { callers: [b] } }",
                "deny: { callers: [a], paths: [\"a/b\"] }",
            ],
            Some(Warning::ShadowedRule),
        ),
        (
            &[
                "deny: { paths: [\"a/**\"], except: { callers: [b] } }",
                "deny: { paths: [\"a/b\"] }",
            ],
            None,
        ),
        (&["deny: { paths: [\"a/b/*\"] }", "deny: { paths: [\"a/**\"] }"], None),
        // Named in another order than that of gateway.yaml.
        (&["deny: { callers: [b, \"*b\"], tenants: [t1, t2] }"], None),
        (
            &["deny: { callers: [\"a*\"] }", "deny: { callers: [a, ab] }"],
            Some(Warning::ShadowedRule),
        ),
        (
            &["deny: { user_ids: [\"u*\"] }", "deny: { user_ids: [u1] }"],
            Some(Warning::ShadowedRule),
        ),
        (&["deny: { user_ids: [\"*\"] }", "deny: {}"], None),
        (
            &["deny: { paths: [\"**\"], callers: [a] }", "deny: { callers: [a] }"],
            Some(Warning::ShadowedRule),
        ),
        // For a while only, or only counted.
        (&["deny: { callers: [a] }\n    until: 2999-01-01", "deny: { callers: [a] }"], None),
        (
            &[
                "deny: { callers: [a] }\n    until: 2999-01-01",
                "deny: { callers: [a] }\n    until: 2999-01-01",
            ],
            Some(Warning::ShadowedRule),
        ),
        (&["deny: { callers: [a] }\n    mode: shadow", "deny: { callers: [a] }"], None),
        (
            &["deny: { callers: [a] }", "deny: { callers: [a] }\n    mode: shadow"],
            Some(Warning::ShadowedRule),
        ),
        // One kind of rule does not go before another.
        (&["allow_permanent: {}", "deny: { callers: [a] }"], None),
        (
            &["deny: { callers: [a] }", "allow_permanent: { callers: [a], paths: [\"x/*\"] }"],
            Some(Warning::BeatenAllow),
        ),
        (&["deny: { paths: [\"x/*\"] }", "allow_permanent: { callers: [a] }"], None),
        (
            &["deny: { callers: [b] }", "deny: { callers: [a], tenants: [t3] }"],
            Some(Warning::NotGranted),
        ),
        (
            &["deny: { callers: [b] }", "deny: { callers: [a], except: { callers: [\"a*\"] } }"],
            Some(Warning::ExceptsEverything),
        ),
        (
            &["deny: { callers: [b] }", "deny: { callers: [a] }\n    until: 2020-02-29"],
            Some(Warning::ExpiredRule),
        ),
        (&["deny: { callers: [b] }", "deny: { callers: [\"x*\"] }"], Some(Warning::MatchesNothing)),
        (&["deny: { callers: [b] }", "deny: { paths: [\"^a/.*$\"] }"], Some(Warning::OddGlob)),
    ] {
        let mut policy = String::from("permanent_deletes: by_rule\nrules:\n");
        for (position, rule) in rules.iter().enumerate() {
            write!(policy, "  - name: r{position}\n    {rule}\n").unwrap();
        }
        let told: Vec<_> = said(&policy).into_iter().map(|(code, _)| code).collect();
        assert_eq!(told, Vec::from_iter(wanted), "{rules:?}");
    }
    let unheeded = "rules:\n  - { name: r, allow_permanent: {} }\n  - { name: q, allow_permanent: { callers: [a] } }\n";
    assert_eq!(said(unheeded), [(Warning::UnheededAllow, 2), (Warning::ShadowedRule, 3)]);
}

#[test]
fn a_limit_that_another_one_goes_before_is_told() {
    for (limit, other, told) in [
        ("per: [caller], limit: 100/s", "limit: 90/s", true),
        ("per: [caller], limit: 100/s", "limit: 90/s, mode: shadow", false),
        ("per: [caller], limit: 90/s", "limit: 90/s", false),
        ("per: [caller], limit: 100/s, burst: 10", "limit: 90/s", false),
        ("per: [caller], limit: 100/s", "per: [tenant], limit: 90/s", false),
        ("per: [caller, tenant], limit: 100/s", "per: [tenant], limit: 90/s", true),
        ("per: [tenant], limit: 100/s", "per: [library], limit: 90/s", true),
        ("per: [caller], callers: [a], limit: 100/s", "per: [library], limit: 90/s", true),
        ("per: [caller], callers: [ab], limit: 100/s", "per: [library], limit: 90/s", false),
        ("per: [caller], limit: 100/s", "callers: [a], limit: 90/s", false),
        ("per: [user_id], limit: 100/s", "per: [caller], limit: 90/s", false),
    ] {
        let policy =
            format!("rate_limits:\n  - {{ name: x, {limit} }}\n  - {{ name: y, {other} }}\n");
        let wanted: &[_] = if told { &[(Warning::LimitNeverReached, 2)] } else { &[] };
        assert_eq!(said(&policy), wanted, "{limit}; {other}");
    }
}

#[test]
fn a_name_that_nobody_uses_is_told() {
    let folder = TempDir::new().unwrap();
    let yaml = GATEWAY
        .replace("[t3] }", "[] }")
        .replace("[t2, t3]", "[t2]")
        .replace("policy: policy.yaml", "");
    fs::write(folder.path().join("gateway.yaml"), yaml).unwrap();
    let loaded = config::load(&folder.path().join("gateway.yaml")).linted();
    let wanted = [(Warning::TenantWithoutCallers, 8), (Warning::CallerWithoutTenants, 12)];
    assert_eq!(warnings(&loaded), wanted);
}

fn selector() -> impl Strategy<Value = String> {
    let one_of = |names: &'static [&'static str]| prop::sample::subsequence(names, 1..=2);
    let field = |name: &'static str, names| {
        prop::option::weighted(0.5, one_of(names)).prop_map(move |chosen| {
            chosen.map(|globs| format!("{name}: [\"{}\"]", globs.join("\", \"")))
        })
    };
    (
        field("callers", &["a", "ab", "b", "a*", "*b", "*"]),
        field("tenants", &["t1", "t2", "t3", "t*"]),
        field("paths", &["x", "x/*", "x/**", "**", "*/y", "**/y", "z*"]),
        field("user_ids", &["u1", "u*", "*"]),
    )
        .prop_map(|(callers, tenants, paths, user_ids)| {
            let fields = [callers, tenants, paths, user_ids].into_iter().flatten();
            fields.collect::<Vec<_>>().join(", ")
        })
}

fn rule() -> impl Strategy<Value = String> {
    let except = prop::option::weighted(0.3, selector());
    let until =
        prop::sample::select(vec!["", "", "    until: 2999-01-01\n", "    until: 2020-01-01\n"]);
    let mode = prop::sample::select(vec!["", "", "    mode: shadow\n"]);
    let effect = prop::sample::select(vec!["deny", "allow_permanent"]);
    (effect, selector(), except, until, mode).prop_map(|(effect, matches, except, until, mode)| {
        let except = except.filter(|except| !except.is_empty());
        let except = except.map(|except| format!("except: {{ {except} }}"));
        let fields: Vec<_> =
            [Some(matches).filter(|m| !m.is_empty()), except].into_iter().flatten().collect();
        format!("{effect}: {{ {} }}\n{until}{mode}", fields.join(", "))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Every delete that there can be, decided: a rule of which it is said that it never decides does not.
    #[test]
    fn a_rule_that_is_told_never_to_decide_never_does(rules in prop::collection::vec(rule(), 1..6)) {
        let mut policy = String::from("permanent_deletes: by_rule\nrules:\n");
        for (position, rule) in rules.iter().enumerate() {
            write!(policy, "  - name: r{position}\n    {rule}").unwrap();
        }
        let loaded = loaded(&policy);
        let warned = warnings(&loaded);
        let snapshot = loaded.snapshot.unwrap();
        let tenants: Tenants = snapshot.tenants.iter().cloned().collect();
        let lines: std::collections::HashMap<_, _> =
            snapshot.policy.rules.iter().map(|rule| (rule.cited.rule.clone(), rule.line)).collect();
        let told = |kinds: &[Warning], line| {
            warned.iter().any(|(code, at)| kinds.contains(code) && *at == line)
        };
        const NEVER: [Warning; 4] =
            [Warning::ShadowedRule, Warning::NotGranted, Warning::ExpiredRule, Warning::ExceptsEverything];
        for caller in snapshot.callers.iter().map(|one| &one.caller) {
            for tenant in ["t1", "t2", "t3"] {
                for path in ["x", "x/y", "x/y/z", "y", "q/y", "zz", "q"] {
                    for query in ["", "?user_id=u1", "?user_id=v", "?permanent=1", "?permanent=1&user_id=u1"] {
                        let uri = format!("/v1/files/{tenant}/{path}{query}").parse().unwrap();
                        let delete = Route::of(&uri, Paths::Own).unwrap().delete().unwrap();
                        let decision = snapshot.policy.decide(&tenants, &Halts::default(), caller, delete, SystemTime::now());
                        for cited in &decision.unheeded {
                            prop_assert!(!told(&NEVER, lines[&cited.rule]), "{} {uri}", cited.rule);
                        }
                        match decision.outcome {
                            Ok(permit) => if let Some(cited) = permit.allowed_by() {
                                prop_assert!(!told(&NEVER, lines[&cited.rule]), "{} {uri}", cited.rule);
                                prop_assert!(!told(&[Warning::BeatenAllow], lines[&cited.rule]), "{} {uri}", cited.rule);
                            },
                            Err(Refusal::DeniedByRule(cited)) => {
                                prop_assert!(!told(&NEVER, lines[&cited.rule]), "{} {uri}", cited.rule);
                            }
                            Err(_) => {}
                        }
                    }
                }
            }
        }
    }

    /// Whatever comes: a limit of which it is said that it is never reached is never the one that
    /// refuses alone.
    #[test]
    fn a_limit_that_is_told_never_to_be_reached_never_is(
        limits in prop::collection::vec((selector(), 0_u8..16, 1_u32..6, 1_u32..4), 2..4),
        deletes in prop::collection::vec((0_usize..3, 0_usize..3, 0_usize..3, 0_u64..400), 1..60),
    ) {
        let mut policy = String::from("rate_limits:\n");
        for (position, (matches, per, count, burst)) in limits.iter().enumerate() {
            let dimensions = ["caller", "tenant", "library", "user_id"].into_iter().enumerate();
            let per: Vec<_> = dimensions.filter(|(bit, _)| per & (1 << bit) != 0).map(|(_, name)| name).collect();
            let matches = if matches.is_empty() { String::new() } else { format!(", {matches}") };
            writeln!(policy, "  - {{ name: l{position}, per: [{}], limit: {count}/s, burst: {burst}{matches} }}", per.join(", ")).unwrap();
        }
        let loaded = loaded(&policy);
        let warned = warnings(&loaded);
        let snapshot = loaded.snapshot.unwrap();
        let never: Vec<_> = snapshot.limits.iter()
            .filter(|limit| warned.contains(&(Warning::LimitNeverReached, limit.line)))
            .map(|limit| limit.name.clone()).collect();
        let tenants: Tenants = snapshot.tenants.iter().cloned().collect();
        let mut now = Instant::now();
        let limits = Limits::new(snapshot.limits.clone(), Sharing::Alone, now);
        for (caller, tenant, user, pause) in deletes {
            now += Duration::from_millis(pause);
            let uri = format!("/v1/files/t{}/x{}", tenant + 1, ["", "?user_id=u1", "?user_id=v"][user]).parse().unwrap();
            let caller: &Arc<_> = &snapshot.callers[caller].caller;
            let delete = Route::of(&uri, Paths::Own).unwrap().delete().unwrap();
            let decision = snapshot.policy.decide(&tenants, &Halts::default(), caller, delete, SystemTime::now());
            let Ok(permit) = decision.outcome else { continue };
            let subject = permit.subject();
            let used_up: Vec<_> = snapshot.limits.iter()
                .filter(|limit| limits.wait(&limit.name, &subject, View::Alone, now).is_some())
                .map(|limit| &limit.name).collect();
            prop_assert!(used_up.is_empty() || used_up.iter().any(|name| !never.contains(name)), "{used_up:?}");
            let _ = limits.admit(permit, now);
        }
    }
}
