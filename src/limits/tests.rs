//! Limits by table, on a clock that moves when told.

use super::*;
use std::cell::Cell;
use std::num::{NonZeroU8, NonZeroU32};
use std::rc::Rc;
use std::time::SystemTime;

use crate::delete::{Paths, Route};
use crate::directory::{Caller, Library, RecycleBin, Tenant, Tenants, UserIdRule};
use crate::ids::{CallerName, LibraryId, SpaceId, TenantName};
use crate::origin::Origin;
use crate::policy::{Halts, NameGlob, Policy, Selector};

mod saved;
mod shared;
mod windows;

const SECOND: Duration = Duration::from_secs(1);

fn limit(name: &str, per: Per, count: u32, burst: u32) -> LimitRule {
    LimitRule {
        name: LimitName::try_from(name).unwrap(),
        per,
        matches: Selector::default(),
        rate: Rate::new(NonZeroU32::new(count).unwrap(), SECOND).unwrap(),
        burst: NonZeroU32::new(burst).unwrap(),
        warn_at: None,
        mode: RuleMode::Enforce,
        line: 1,
    }
}

/// Limits with a clock that moves when told.
struct Timed {
    limits: Limits,
    now: Rc<Cell<Instant>>,
}

impl Timed {
    fn advance(&self, by: Duration) {
        self.now.set(self.now.get() + by);
    }

    fn admit(&self, permit: Permit) -> Result<Admission, Refusal> {
        self.limits.admit(permit, self.now.get())
    }

    fn succeeded_by(&self, rules: Vec<LimitRule>) -> Self {
        let now = self.now.get();
        let limits = self.limits.succeeded_by(rules, Sharing::Alone, now);
        Self { limits, now: Rc::clone(&self.now) }
    }
}

fn limits(rules: Vec<LimitRule>) -> Timed {
    let now = Instant::now();
    Timed { limits: Limits::new(rules, Sharing::Alone, now), now: Rc::new(Cell::new(now)) }
}

/// A permit for `tenant/path?user_id=…`; every tenant is granted.
fn permit(caller: &str, target: &str) -> Permit {
    let names = ["photos", "mail"].map(|name| TenantName::try_from(name).unwrap());
    let origin = Origin::try_from("https://smh.test").unwrap();
    let id = LibraryId::try_from("smhx").unwrap();
    let library = Arc::new(Library::new(id, origin, RecycleBin::On));
    let tenant = |name: TenantName| {
        let space = SpaceId::try_from("s").unwrap();
        Tenant::new(name, Arc::clone(&library), space, UserIdRule::Forward)
    };
    let tenants: Tenants = names.clone().into_iter().map(tenant).map(Arc::new).collect();
    let caller = Arc::new(Caller::new(CallerName::try_from(caller).unwrap(), names.to_vec()));
    let uri = format!("/v1/files/{target}").parse().unwrap();
    Policy::default()
        .decide(
            &tenants,
            &Halts::default(),
            &caller,
            Route::of(&uri, Paths::Own).unwrap().delete().unwrap(),
            SystemTime::now(),
        )
        .outcome
        .unwrap()
}

/// The wait and the limit's name, or nothing where the delete was admitted.
fn refused(limits: &Timed, permit: Permit) -> Option<(String, Duration)> {
    match limits.admit(permit) {
        Ok(_) => None,
        Err(Refusal::RateLimited(hit)) => Some((hit.limit.to_string(), hit.wait)),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_limit_counts_for_each_of_what_it_is_per() {
    let per = |caller, tenant, library, user_id| Per { caller, tenant, library, user_id };
    for (per, same, other) in [
        (per(true, false, false, false), ("a", "mail/y?user_id=u"), ("b", "photos/x")),
        (per(false, true, false, false), ("b", "photos/y"), ("a", "mail/x")),
        (per(false, false, false, true), ("b", "mail/y?user_id=v"), ("a", "photos/x?user_id=w")),
        (per(true, true, false, false), ("a", "photos/y"), ("a", "mail/x")),
    ] {
        let limits = limits(vec![limit("one", per, 1, 1)]);
        let first = if per.user_id { "photos/x?user_id=v" } else { "photos/x" };
        assert_eq!(refused(&limits, permit("a", first)), None, "{per:?}");
        assert!(refused(&limits, permit(same.0, same.1)).is_some(), "{per:?} {same:?}");
        assert_eq!(refused(&limits, permit(other.0, other.1)), None, "{per:?} {other:?}");
    }
}

#[test]
fn with_nothing_to_count_by_there_is_one_share_for_all() {
    let limits = limits(vec![limit("all", Per::default(), 1, 1)]);
    assert_eq!(refused(&limits, permit("a", "photos/x")), None);
    assert!(refused(&limits, permit("b", "mail/x?user_id=u")).is_some());
}

#[test]
fn a_limit_is_only_about_what_it_selects() {
    let globs = vec![NameGlob::try_from("jan*").unwrap()];
    let matches = Selector { callers: Some(globs), ..Selector::default() };
    let rule = LimitRule { matches, ..limit("janitors", Per::default(), 1, 1) };
    let limits = limits(vec![rule]);
    for _ in 0..3 {
        assert_eq!(refused(&limits, permit("app", "photos/x")), None);
    }
    assert_eq!(refused(&limits, permit("janitor", "photos/x")), None);
    assert!(refused(&limits, permit("janitor", "photos/x")).is_some());
}

#[test]
fn a_delete_refused_by_one_limit_has_charged_no_other() {
    let wide = limit("wide", Per::default(), 1, 3);
    let narrow = limit("narrow", Per { caller: true, ..Per::default() }, 1, 1);
    for order in [vec![wide.clone(), narrow.clone()], vec![narrow, wide]] {
        let limits = limits(order);
        assert_eq!(refused(&limits, permit("a", "photos/x")), None);
        for _ in 0..5 {
            assert_eq!(refused(&limits, permit("a", "photos/x")).unwrap().0, "narrow");
        }
        // Two of the wide limit's three are left.
        assert_eq!(refused(&limits, permit("b", "photos/x")), None);
        assert_eq!(refused(&limits, permit("c", "photos/x")), None);
        assert_eq!(refused(&limits, permit("d", "photos/x")).unwrap().0, "wide");
    }
}

#[test]
fn the_longest_wait_is_told_and_waiting_it_is_enough() {
    let limits =
        limits(vec![limit("fast", Per::default(), 10, 1), limit("slow", Per::default(), 1, 1)]);
    assert_eq!(refused(&limits, permit("a", "photos/x")), None);
    let (name, wait) = refused(&limits, permit("a", "photos/x")).unwrap();
    assert_eq!((name.as_str(), wait), ("slow", SECOND));
    limits.advance(wait - Duration::from_nanos(1));
    assert!(refused(&limits, permit("a", "photos/x")).is_some());
    limits.advance(Duration::from_nanos(1));
    assert_eq!(refused(&limits, permit("a", "photos/x")), None);
}

#[test]
fn a_shadow_limit_is_counted_and_refuses_nobody() {
    let shadow = LimitRule { mode: RuleMode::Shadow, ..limit("shadow", Per::default(), 1, 1) };
    let limits = limits(vec![shadow, limit("all", Per::default(), 1, 3)]);
    let admitted = |_| limits.admit(permit("a", "photos/x")).map(|a| a.shadow().to_vec());
    let names: Vec<_> = (0..3).map(admitted).map(Result::unwrap).collect();
    let name = LimitName::try_from("shadow").unwrap();
    assert_eq!(names, [vec![], vec![name.clone()], vec![name]]);
    assert_eq!(refused(&limits, permit("a", "photos/x")).unwrap().0, "all");
    assert!(
        limits
            .limits
            .would_refuse(&permit("a", "photos/x"), View::Alone, limits.now.get())
            .is_some()
    );
}

#[test]
fn a_delete_that_an_enforced_limit_refuses_has_charged_no_shadow_limit() {
    let shadow = |burst| {
        let mode = RuleMode::Shadow;
        LimitRule { mode, ..limit(&format!("shadow {burst}"), Per::default(), 1, burst) }
    };
    let limits = limits(vec![shadow(1), shadow(2), limit("all", Per::default(), 1, 1)]);
    assert!(refused(&limits, permit("a", "photos/x")).is_none());
    // The first is used up by now and not charged; the second is, and gets it back.
    for _ in 0..3 {
        assert_eq!(refused(&limits, permit("a", "photos/x")).unwrap().0, "all");
    }
    limits.advance(SECOND);
    let admission = limits.admit(permit("a", "photos/x")).unwrap();
    assert!(admission.shadow().is_empty());
}

fn per_caller(count: u32, burst: u32) -> LimitRule {
    limit("l", Per { caller: true, ..Per::default() }, count, burst)
}

/// How many deletes of this caller pass at once.
fn left(limits: &Timed, caller: &str) -> usize {
    (0..1_000).take_while(|_| refused(limits, permit(caller, "photos/x")).is_none()).count()
}

#[test]
fn a_limit_that_succeeds_another_starts_from_the_same_used_share() {
    let renamed = LimitRule { name: LimitName::try_from("other").unwrap(), ..per_caller(1, 10) };
    let per_tenant = Per { tenant: true, ..Per::default() };
    let narrower =
        Selector { callers: Some(vec![NameGlob::try_from("a").unwrap()]), ..Selector::default() };
    // Of ten, four are used.
    for (rule, wanted) in [
        (per_caller(1, 10), 6),
        (LimitRule { matches: narrower, ..per_caller(1, 10) }, 6),
        (per_caller(7, 10), 6),
        (per_caller(1, 100), 60),
        (per_caller(50, 100), 60),
        (per_caller(1, 5), 3),
        // Two fifths of one are used, so it is not there any more.
        (per_caller(1, 1), 0),
        (renamed, 10),
        (limit("l", per_tenant, 1, 10), 10),
    ] {
        let limits = limits(vec![per_caller(1, 10)]);
        limits.advance(SECOND * 1_000);
        for _ in 0..4 {
            assert_eq!(refused(&limits, permit("a", "photos/x")), None);
        }
        limits.advance(Duration::from_nanos(1));
        let before = limits;
        let limits = before.succeeded_by(vec![rule.clone()]);
        assert_eq!(left(&limits, "a"), wanted, "{rule:?}");
        // Nobody else is touched by it.
        if rule.per.caller {
            assert_eq!(
                left(&limits, "b"),
                if rule.matches.callers.is_some() { 1_000 } else { rule.burst.get() as usize }
            );
        }
    }
}

#[test]
fn a_limit_that_stays_is_charged_by_deletes_of_either_version() {
    let before = limits(vec![per_caller(1, 4)]);
    assert_eq!(refused(&before, permit("a", "photos/x")), None);
    before.advance(SECOND / 2);
    let after = before.succeeded_by(vec![limit("new", Per::default(), 1, 9), per_caller(1, 4)]);
    assert_eq!(refused(&after, permit("a", "photos/x")), None);
    assert_eq!(refused(&before, permit("a", "photos/x")), None);
    // Half of the first one has grown back; the last is not whole before the other half has.
    assert_eq!(left(&after, "a"), 1);
    let (_, wait) = refused(&before, permit("a", "photos/x")).unwrap();
    assert_eq!(wait, SECOND / 2);
}

#[test]
fn a_used_up_limit_stays_used_up_and_grows_back_at_the_new_rate() {
    let before = limits(vec![per_caller(1, 10)]);
    assert_eq!(left(&before, "a"), 10);
    let after = before.succeeded_by(vec![per_caller(4, 2)]);
    assert_eq!(refused(&after, permit("a", "photos/x")).unwrap().1, SECOND / 4);
    after.advance(SECOND / 4);
    assert_eq!(left(&after, "a"), 1);
    // And back: two of two are ten of ten.
    let after = after.succeeded_by(vec![per_caller(1, 10)]);
    assert_eq!(refused(&after, permit("a", "photos/x")).unwrap().1, SECOND);
}

#[test]
fn a_limit_that_went_and_came_back_is_a_new_one() {
    let limits = limits(vec![per_caller(1, 3)]);
    assert_eq!(left(&limits, "a"), 3);
    let again = limits.succeeded_by(Vec::new()).succeeded_by(vec![per_caller(1, 3)]);
    assert_eq!(left(&again, "a"), 3);
}

#[test]
fn a_limit_warns_once_and_again_after_half_of_it_has_grown_back() {
    let warn_at = NonZeroU8::new(80);
    let limits = limits(vec![LimitRule { warn_at, ..per_caller(1, 10) }]);
    let warns = || limits.admit(permit("a", "photos/x")).map(|a| a.warned().len()).ok();
    let told: Vec<_> = (0..11).map(|_| warns()).collect();
    let once = [0, 0, 0, 0, 0, 0, 0, 1, 0, 0].map(Some);
    assert_eq!(told, [&once[..], &[None]].concat());
    // Around the mark, up and down.
    for _ in 0..5 {
        limits.advance(SECOND * 3);
        assert_eq!([warns(), warns(), warns(), warns()], [Some(0), Some(0), Some(0), None]);
    }
    limits.advance(SECOND * 8);
    let told: Vec<_> = (0..7).map(|_| warns()).collect();
    assert_eq!(told, [0, 0, 0, 0, 0, 1, 0].map(Some));
    assert_eq!(limits.admit(permit("b", "photos/x")).unwrap().warned().len(), 0, "another key");
}

#[test]
fn a_grant_lets_so_many_more_through_for_a_while_and_only_where_the_limit_would_refuse() {
    let limits = limits(vec![per_caller(1, 2), limit("all", Per::default(), 1, 6)]);
    let name = LimitName::try_from("l").unwrap();
    let subject = permit("a", "photos/x");
    let key = Per { caller: true, ..Per::default() }.key(&subject.subject());
    let now = limits.now.get();
    assert!(limits.limits.grant(&name, key, 3, SECOND * 60, now));
    assert!(!limits.limits.grant(&LimitName::try_from("none").unwrap(), key, 3, SECOND, now));
    // Two of its own, three granted; the other limit is charged by all of them.
    assert_eq!(left(&limits, "a"), 5);
    assert_eq!(limits.limits.grants(now), []);
    assert_eq!(refused(&limits, permit("b", "photos/x")), None);
    assert_eq!(refused(&limits, permit("b", "photos/x")).unwrap().0, "all");

    // What another limit refuses takes none; and what is not taken ends.
    assert!(limits.limits.grant(&name, key, 3, SECOND * 60, now));
    assert_eq!(refused(&limits, permit("a", "photos/x")).unwrap().0, "all");
    assert_eq!(limits.limits.grants(now)[0].0.left, 3);
    limits.advance(SECOND * 60);
    assert_eq!(limits.limits.grants(limits.now.get()), []);
    assert_eq!(left(&limits, "a"), 2);
}

#[test]
fn a_grant_outlives_a_reload() {
    let before = limits(vec![per_caller(1, 1)]);
    let name = LimitName::try_from("l").unwrap();
    let key = Per { caller: true, ..Per::default() }.key(&permit("a", "photos/x").subject());
    assert!(before.limits.grant(&name, key, 1, SECOND, before.now.get()));
    let after = before.succeeded_by(vec![per_caller(1, 1)]);
    assert_eq!(left(&after, "a"), 2);
}

#[test]
fn an_admitted_delete_is_told_how_its_limits_stand() {
    let limits = limits(vec![per_caller(2, 10), limit("all of it", Per::default(), 1, 4)]);
    limits.admit(permit("b", "photos/x")).unwrap();
    let admission = limits.admit(permit("a", "photos/x")).unwrap();
    let told = limits.limits.told(&admission).unwrap();
    assert_eq!(told.policy, "\"l\";q=2;w=1, \"all of it\";q=1;w=1");
    assert_eq!(told.limit, "\"l\";r=9;t=1, \"all of it\";r=2;t=2");
    let none = limits.succeeded_by(Vec::new());
    let admission = none.admit(permit("a", "photos/x")).unwrap();
    assert_eq!(none.limits.told(&admission), None);
}
