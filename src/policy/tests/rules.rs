//! Freezes, ends, shadows and dry runs; and that finding rules is the same as looking at all.

use proptest::prelude::*;
use time::macros::datetime;

use super::*;
use crate::ids::{FreezeReason, Ticket};
use crate::refusal::{FreezeFault, Frozen};

/// What came of it in words, and the rules that were only counted.
fn told(policy: &Policy, who: &str, target: &str, now: SystemTime) -> (String, Vec<String>) {
    let uri = format!("/v1/files/{target}").parse().unwrap();
    let delete = Route::of(&uri, Paths::Own).unwrap().delete().unwrap();
    let decision = policy.decide(&tenants(), &Halts::default(), &caller(who), delete, now);
    let outcome = match decision.outcome {
        Ok(permit) => permit
            .allowed_by()
            .map_or_else(|| "allow".to_owned(), |cited| format!("allow by {}", cited.rule)),
        Err(refusal) => match refusal.rule() {
            Some(rule) => format!("{} {rule}", refusal.code().name()),
            None => refusal.code().name().to_owned(),
        },
    };
    (outcome, decision.unheeded.iter().map(|cited| cited.rule.to_string()).collect())
}

fn now() -> SystemTime {
    datetime!(2026-06-01 12:00 UTC).into()
}

fn by_rule(rules: Vec<Rule>) -> Policy {
    let permanent_deletes = PermanentDeletes::ByRule;
    Policy { permanent_deletes, rules: compiled(rules), ..Policy::default() }
}

fn everything(name: &str, effect: Effect) -> Rule {
    rule(name, effect, Selector::default(), None)
}

#[test]
fn a_rule_that_has_ended_neither_denies_nor_allows() {
    let ending = |name, effect| {
        let until = Some(Until::try_from("2026-06-01").unwrap());
        Rule { until, ..everything(name, effect) }
    };
    let later = SystemTime::from(datetime!(2026-06-02 00:00 UTC));
    let deny = by_rule(vec![ending("d", Effect::Deny)]);
    assert_eq!(told(&deny, "app", "photos/a", now()).0, "DeniedByRule d");
    assert_eq!(told(&deny, "app", "photos/a", later).0, "allow");
    let allow = by_rule(vec![ending("a", Effect::AllowPermanent)]);
    assert_eq!(told(&allow, "app", "photos/a?permanent=1", now()).0, "allow by a");
    assert_eq!(told(&allow, "app", "photos/a?permanent=1", later).0, "PermanentDeleteBlocked");
}

#[test]
fn a_deny_wins_over_an_allow_wherever_it_stands() {
    let (deny, allow) = (everything("d", Effect::Deny), everything("a", Effect::AllowPermanent));
    for rules in [vec![deny.clone(), allow.clone()], vec![allow, deny]] {
        let told = told(&by_rule(rules), "app", "photos/a?permanent=1", now());
        assert_eq!(told.0, "DeniedByRule d");
    }
}

#[test]
fn a_shadow_rule_is_counted_only_where_it_would_have_changed_the_answer() {
    let shadow = |name, effect| Rule { mode: RuleMode::Shadow, ..everything(name, effect) };
    let policy = by_rule(vec![
        shadow("shadow deny", Effect::Deny),
        shadow("shadow allow", Effect::AllowPermanent),
        rule("tmp", Effect::Deny, selector(&[], &[], &["tmp/**"], &[]), None),
        rule("purge", Effect::AllowPermanent, selector(&["janitor"], &[], &[], &[]), None),
    ]);
    for (who, target, wanted, unheeded) in [
        ("app", "photos/a", "allow", &["shadow deny"][..]),
        ("app", "photos/tmp/a", "DeniedByRule tmp", &[]),
        ("app", "photos/a?permanent=1", "PermanentDeleteBlocked", &["shadow allow"]),
        ("janitor", "photos/a?permanent=1", "allow by purge", &["shadow deny"]),
        ("app", "nowhere/a", "TenantNotGranted", &[]),
    ] {
        let told = told(&policy, who, target, now());
        assert_eq!(
            (told.0.as_str(), told.1),
            (wanted, unheeded.iter().map(ToString::to_string).collect()),
            "{who} {target}"
        );
    }
}

#[test]
fn a_dry_run_refuses_nothing_but_what_cannot_be_undone_and_what_is_frozen() {
    let rules = vec![
        rule("tmp", Effect::Deny, selector(&[], &[], &["tmp/**"], &[]), None),
        rule("purge", Effect::AllowPermanent, selector(&["janitor"], &[], &[], &[]), None),
    ];
    let mut policy = Policy { dry_run: true, ..by_rule(rules) };
    for (who, target, wanted, unheeded) in [
        ("app", "photos/tmp/a", "allow", &["tmp"][..]),
        ("app", "photos/a", "allow", &[]),
        ("app", "photos/a?permanent=1", "PermanentDeleteBlocked", &[]),
        ("janitor", "photos/a?permanent=1", "allow by purge", &[]),
        // A deny holds for what cannot be undone: asked for, or because the bin is off.
        ("janitor", "photos/tmp/a?permanent=1", "DeniedByRule tmp", &[]),
        ("janitor", "scratch/tmp/a", "DeniedByRule tmp", &[]),
    ] {
        let told = told(&policy, who, target, now());
        assert_eq!(
            (told.0.as_str(), told.1),
            (wanted, unheeded.iter().map(ToString::to_string).collect()),
            "{who} {target}"
        );
    }
    policy.freezes.everything = Some(Freeze::default());
    assert_eq!(told(&policy, "app", "photos/a", now()).0, "Frozen");
}

#[test]
fn a_freeze_holds_for_what_it_names_and_says_why() {
    let reason = Some(FreezeReason::try_from("OPS-1: runaway job").unwrap());
    let of_caller = Freezes {
        callers: [(
            CallerName::try_from("app").unwrap(),
            Freeze { reason: reason.clone(), line: 1 },
        )]
        .into(),
        ..Freezes::default()
    };
    let of_tenant = Freezes {
        tenants: [(TenantName::try_from("photos").unwrap(), Freeze::default())].into(),
        ..Freezes::default()
    };
    let of_all = Freezes { everything: Some(Freeze::default()), ..Freezes::default() };
    for (freezes, who, target, frozen) in [
        (&of_caller, "app", "mail/a", Some(Frozen::Caller)),
        (&of_caller, "janitor", "mail/a", None),
        (&of_tenant, "app", "photos/a", Some(Frozen::Tenant)),
        (&of_tenant, "app", "mail/a", None),
        (&of_all, "janitor", "mail/a", Some(Frozen::Everything)),
    ] {
        let policy = Policy { freezes: freezes.clone(), ..Policy::default() };
        let uri = format!("/v1/files/{target}").parse().unwrap();
        let delete = Route::of(&uri, Paths::Own).unwrap().delete().unwrap();
        let decided = policy.decide(&tenants(), &Halts::default(), &caller(who), delete, now());
        let found = match decided.outcome {
            Err(Refusal::Frozen(FreezeFault::Operator { what, .. })) => Some(what),
            Ok(_) => None,
            Err(other) => panic!("{other}"),
        };
        assert_eq!(found, frozen, "{who} {target}");
    }
    let refusal = Refusal::Frozen(FreezeFault::Operator { what: Frozen::Caller, reason });
    assert_eq!(
        refusal.to_string(),
        "deletes of this caller are frozen by an operator: OPS-1: runaway job"
    );
}

#[test]
fn a_rule_is_cited_with_its_ticket() {
    let mut allow = everything("a", Effect::AllowPermanent);
    let ticket = Some(Ticket::try_from("OPS-1234").unwrap());
    allow.cited = Arc::new(Citation { ticket, ..Citation::clone(&allow.cited) });
    let permit = decide(&by_rule(vec![allow]), "app", "photos/a?permanent=1").unwrap();
    let ticket = permit.allowed_by().unwrap().ticket.as_ref();
    assert_eq!(ticket.map(Ticket::as_str), Some("OPS-1234"));
}

/// What the rules say, by looking at every one of them in order: the definition.
fn by_definition(
    rules: &[Rule],
    dry_run: bool,
    subject: &Subject<'_>,
    permanent: bool,
    now: SystemTime,
) -> (String, Vec<String>) {
    let about = |effect| {
        rules.iter().filter(move |rule| {
            rule.effect == effect && rule.standing(subject, now) == Standing::Applies
        })
    };
    let names = |rules: Vec<&Rule>| rules.iter().map(|r| r.cited.rule.to_string()).collect();
    let enforced = |rule: &&Rule| rule.mode == RuleMode::Enforce;
    let allowed = about(Effect::AllowPermanent).find(enforced);
    if permanent && allowed.is_none() {
        let shadow = about(Effect::AllowPermanent).collect();
        return ("PermanentDeleteBlocked".to_owned(), names(shadow));
    }
    let softened = dry_run && !permanent;
    match about(Effect::Deny).find(enforced) {
        Some(deny) if !softened => (format!("DeniedByRule {}", deny.cited.rule), Vec::new()),
        _ => {
            let allowed =
                allowed.filter(|_| permanent).map(|a| format!("allow by {}", a.cited.rule));
            (allowed.unwrap_or("allow".to_owned()), names(about(Effect::Deny).collect()))
        }
    }
}

fn any_selector() -> impl Strategy<Value = Selector> {
    let some = |choices: &'static [&'static str]| {
        prop::option::weighted(0.4, prop::collection::vec(prop::sample::select(choices), 1..3))
    };
    let callers = some(&["app", "janitor", "a*", "*", "*r"]);
    let tenants = some(&["photos", "mail", "scratch", "contracts", "*", "m*", "x*"]);
    let paths = some(&["tmp/**", "tmp/a", "**/a", "*", "**", "b/*", "t*/a"]);
    let users = some(&["guest*", "u1", "*"]);
    (callers, tenants, paths, users).prop_map(|(c, t, p, u)| {
        let list = |given: Option<Vec<&'static str>>| given.unwrap_or_default();
        selector(&list(c), &list(t), &list(p), &list(u))
    })
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let until =
        prop::option::weighted(0.3, prop::sample::select(&["2026-05-31", "2026-06-01"][..]));
    let except = prop::option::weighted(0.3, any_selector());
    (any_selector(), except, any::<bool>(), any::<bool>(), until).prop_map(
        |(matches, except, deny, shadow, until)| Rule {
            effect: if deny { Effect::Deny } else { Effect::AllowPermanent },
            mode: if shadow { RuleMode::Shadow } else { RuleMode::Enforce },
            until: until.map(|day| Until::try_from(day).unwrap()),
            ..rule("r", Effect::Deny, matches, except)
        },
    )
}

proptest! {
    #[test]
    fn looking_only_at_rules_that_may_apply_decides_as_looking_at_all_does(
        mut rules in prop::collection::vec(any_rule(), 0..12),
        dry_run: bool,
        permanent: bool,
        who in prop::sample::select(&["app", "janitor"][..]),
        tenant in prop::sample::select(&["photos", "mail", "scratch"][..]),
        path in prop::sample::select(&["tmp/a", "tmp", "a", "b/a", "b/b/a"][..]),
        user in prop::option::of(prop::sample::select(&["u1", "guest7"][..])),
    ) {
        for (position, rule) in rules.iter_mut().enumerate() {
            let name = RuleName::try_from(format!("rule {position}").as_str()).unwrap();
            rule.cited = Arc::new(Citation { rule: name, ticket: None });
        }
        let policy = Policy { dry_run, ..by_rule(rules.clone()) };
        let mut target = format!("{tenant}/{path}?permanent={}", u8::from(permanent));
        if let Some(user) = user.filter(|_| tenant != "mail") {
            target = format!("{target}&user_id={user}");
        }
        let (caller, tenants) = (caller(who), tenants());
        let held = tenants.granted(&caller, TenantRef::Named(tenant)).unwrap();
        let user_id = if tenant == "mail" { Some("u1") } else { user };
        let user_id = user_id.map(|user| UserId::try_from(user).unwrap());
        let path = DeletePath::parse(path).unwrap();
        let subject =
            Subject { caller: &caller, tenant: held, path: &path, user_id: user_id.as_ref() };
        let wanted = by_definition(
            &rules, dry_run, &subject, permanent || tenant == "scratch", now(),
        );
        prop_assert_eq!(told(&policy, who, &target, now()), wanted);
    }
}
