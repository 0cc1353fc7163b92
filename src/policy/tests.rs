//! Decisions by table.

mod rules;

use super::*;
use crate::delete::{Paths, Route, TenantRef};
use crate::directory::{Library, UserIdRule};
use crate::ids::{CallerName, LibraryId, RuleName, SpaceId, TenantName};
use crate::origin::Origin;

fn globs(names: &[&str]) -> Option<Vec<NameGlob>> {
    (!names.is_empty()).then(|| names.iter().map(|&n| NameGlob::try_from(n).unwrap()).collect())
}

fn selector(callers: &[&str], tenants: &[&str], paths: &[&str], users: &[&str]) -> Selector {
    let path_globs = |globs: &[&str]| {
        globs.iter().map(|&glob| PathGlob::try_from(glob).unwrap()).collect::<Vec<_>>()
    };
    Selector {
        callers: globs(callers),
        tenants: globs(tenants),
        paths: (!paths.is_empty()).then(|| path_globs(paths)),
        user_ids: globs(users),
    }
}

fn rule(name: &str, effect: Effect, matches: Selector, except: Option<Selector>) -> Rule {
    let rule = RuleName::try_from(name).unwrap();
    let cited = Arc::new(Citation { rule, ticket: None });
    Rule { cited, effect, matches, except, until: None, mode: RuleMode::Enforce, line: 1 }
}

fn tenants() -> Tenants {
    let library = |id: &str, bin| {
        let origin = Origin::try_from("https://smh.test").unwrap();
        Arc::new(Library::new(LibraryId::try_from(id).unwrap(), origin, bin))
    };
    let (kept, final_) = (library("smhkept", RecycleBin::On), library("smhfinal", RecycleBin::Off));
    let tenant = |name: &str, library: &Arc<Library>, user_id| {
        Tenant::new(
            TenantName::try_from(name).unwrap(),
            Arc::clone(library),
            SpaceId::try_from("space").unwrap(),
            user_id,
        )
    };
    [
        tenant("photos", &kept, UserIdRule::Forward),
        tenant("contracts", &kept, UserIdRule::Forbid),
        tenant("mail", &kept, UserIdRule::Fixed(UserId::try_from("u1").unwrap())),
        tenant("scratch", &final_, UserIdRule::Forward),
    ]
    .into_iter()
    .map(Arc::new)
    .collect()
}

fn caller(name: &str) -> Arc<Caller> {
    let granted = ["photos", "contracts", "mail", "scratch"];
    let granted = granted.iter().map(|&tenant| TenantName::try_from(tenant).unwrap()).collect();
    Arc::new(Caller::new(CallerName::try_from(name).unwrap(), granted))
}

/// The policy of interface.md, section 5, as far as it is about rules.
fn policy() -> Policy {
    Policy {
        permanent_deletes: PermanentDeletes::ByRule,
        rules: compiled(all_rules()),
        ..Policy::default()
    }
}

fn all_rules() -> Vec<Rule> {
    use Effect::{AllowPermanent, Deny};
    let janitor = selector(&["janitor"], &[], &[], &[]);
    vec![
        rule("legal hold", Deny, selector(&[], &["contracts"], &["legal/**"], &[]), None),
        rule(
            "only the janitor clears tmp",
            Deny,
            selector(&[], &[], &["tmp/**"], &[]),
            Some(janitor),
        ),
        rule("no guests", Deny, selector(&[], &[], &[], &["guest*"]), None),
        rule(
            "purge tmp",
            AllowPermanent,
            selector(&["janitor"], &["photos"], &["tmp/**"], &[]),
            None,
        ),
        rule("scratch is final", AllowPermanent, selector(&[], &["scratch"], &[], &[]), None),
    ]
}

fn compiled(rules: Vec<Rule>) -> Rules {
    let known = Known {
        callers: ["app", "janitor"].into_iter().collect(),
        tenants: ["photos", "contracts", "mail", "scratch"].into_iter().collect(),
    };
    Rules::new(rules, &known)
}

fn decide(policy: &Policy, who: &str, target: &str) -> Result<Permit, &'static str> {
    let uri = format!("/v1/files/{target}").parse().unwrap();
    let delete = Route::of(&uri, Paths::Own).unwrap().delete().unwrap();
    policy
        .decide(&tenants(), &Halts::default(), &caller(who), delete, SystemTime::now())
        .outcome
        .map_err(|refusal| refusal.code().name())
}

#[test]
fn rules_decide_as_the_operator_wrote_them() {
    let policy = policy();
    for (who, target, wanted) in [
        ("app", "photos/a.jpg", Ok(())),
        ("app", "nowhere/a.jpg", Err("TenantNotGranted")),
        ("app", "contracts/legal/a.pdf", Err("DeniedByRule")),
        ("app", "contracts/legal", Ok(())),
        ("app", "photos/legal/a.pdf", Ok(())),
        ("app", "photos/tmp/a", Err("DeniedByRule")),
        ("janitor", "photos/tmp/a", Ok(())),
        ("janitor", "photos/tmp/a?permanent=1", Ok(())),
        ("app", "photos/tmp/a?permanent=1", Err("PermanentDeleteBlocked")),
        ("janitor", "photos/a?permanent=1", Err("PermanentDeleteBlocked")),
        ("janitor", "contracts/legal/a.pdf?permanent=1", Err("PermanentDeleteBlocked")),
        ("app", "photos/a?user_id=guest7", Err("DeniedByRule")),
        ("app", "photos/a?user_id=member", Ok(())),
        ("app", "contracts/a?user_id=member", Err("InvalidQuery")),
        ("app", "mail/a?user_id=u2", Err("InvalidQuery")),
    ] {
        assert_eq!(decide(&policy, who, target).map(|_| ()), wanted, "{who} {target}");
    }
}

#[test]
fn a_library_without_a_recycle_bin_has_permanent_deletes_alone() {
    let allowed = policy();
    assert!(decide(&allowed, "app", "scratch/a").is_ok());
    let blocked = Policy { rules: Rules::default(), ..policy() };
    assert_eq!(decide(&blocked, "app", "scratch/a").unwrap_err(), "PermanentDeleteBlocked");
}

#[test]
fn with_deny_no_rule_lets_a_permanent_delete_through() {
    let policy = Policy { permanent_deletes: PermanentDeletes::Deny, ..policy() };
    let verdict = decide(&policy, "janitor", "photos/tmp/a?permanent=1");
    assert_eq!(verdict.unwrap_err(), "PermanentDeleteBlocked");
}

#[test]
fn with_no_policy_permanent_deletes_are_denied_and_all_else_is_allowed() {
    let policy = Policy::default();
    assert!(decide(&policy, "app", "contracts/legal/a.pdf").is_ok());
    let verdict = decide(&policy, "app", "photos/a?permanent=1");
    assert_eq!(verdict.unwrap_err(), "PermanentDeleteBlocked");
}

#[test]
fn a_tenant_not_granted_looks_like_one_that_does_not_exist() {
    let stranger = Arc::new(Caller::new(CallerName::try_from("stranger").unwrap(), Vec::new()));
    let refused = |target: &str| {
        let uri = format!("/v1/files/{target}/a").parse().unwrap();
        let delete = Route::of(&uri, Paths::Own).unwrap().delete().unwrap();
        let now = SystemTime::now();
        let decided = policy().decide(&tenants(), &Halts::default(), &stranger, delete, now);
        decided.outcome.unwrap_err()
    };
    assert_eq!(refused("photos"), refused("nowhere"));
}

#[test]
fn a_delete_by_its_space_is_decided_like_one_by_its_tenants_name() {
    let policy = policy();
    for (by_name, by_space) in [
        ("scratch/a", "smhfinal/space/a"),
        ("scratch/tmp/a", "smhfinal/space/tmp/a"),
        ("scratch/a?permanent=1&user_id=u1", "smhfinal/space/%2Fa?permanent=1&user_id=u1"),
        ("nowhere/a", "smhfinal/nowhere/a"),
        ("nowhere/a", "nowhere/space/a"),
        // Three tenants have this one.
        ("nowhere/a", "smhkept/space/a"),
    ] {
        let uri = format!("/api/v1/file/{by_space}").parse().unwrap();
        let delete = Route::of(&uri, Paths::OwnAndSmh).unwrap().delete().unwrap();
        let now = SystemTime::now();
        let decided = policy.decide(&tenants(), &Halts::default(), &caller("app"), delete, now);
        let decided = decided.outcome.map(|permit| permit.tenant().name.clone());
        let wanted = decide(&policy, "app", by_name).map(|permit| permit.tenant().name.clone());
        assert_eq!(decided.map_err(|refusal| refusal.code().name()), wanted, "{by_space}");
    }
}

#[test]
fn a_fixed_user_is_sent_whatever_the_caller_leaves_out() {
    let permit = decide(&policy(), "app", "mail/a").unwrap();
    assert_eq!(permit.subject().user_id.unwrap().as_str(), "u1");
}

#[test]
fn a_deny_by_user_does_not_touch_deletes_without_one() {
    assert!(decide(&policy(), "app", "photos/guest").is_ok());
}

#[test]
fn a_halted_tenant_is_frozen_and_no_other() {
    let halts = Halts::default().and(&TenantName::try_from("photos").unwrap());
    let decide = |target: &str| {
        let uri = format!("/v1/files/{target}").parse().unwrap();
        let delete = Route::of(&uri, Paths::Own).unwrap().delete().unwrap();
        let now = SystemTime::now();
        let decided = policy().decide(&tenants(), &halts, &caller("app"), delete, now);
        decided.outcome.map(|_| ()).map_err(|refusal| refusal.code().name())
    };
    assert_eq!(decide("photos/a"), Err("Frozen"));
    assert_eq!(decide("photos/a?permanent=1"), Err("Frozen"), "before the rules are asked");
    assert_eq!(decide("contracts/a"), Ok(()));
    assert_eq!(decide("nowhere/a"), Err("TenantNotGranted"));
}
