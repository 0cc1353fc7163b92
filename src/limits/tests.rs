//! Limits by table, on a clock that moves when told.

use super::*;
use std::sync::Arc;
use std::time::SystemTime;

use governor::clock::FakeRelativeClock;
use proptest::prelude::*;

use crate::delete::{Paths, Route};
use crate::directory::{Caller, Library, RecycleBin, Tenant, Tenants, UserIdRule};
use crate::ids::{CallerName, LibraryId, SpaceId, TenantName};
use crate::origin::Origin;
use crate::policy::{Halts, NameGlob, Policy};

const SECOND: Duration = Duration::from_secs(1);

fn limit(name: &str, per: Per, count: u32, burst: u32) -> LimitRule {
    LimitRule {
        name: LimitName::try_from(name).unwrap(),
        per,
        matches: Selector::default(),
        rate: Rate::new(NonZeroU32::new(count).unwrap(), SECOND).unwrap(),
        burst: NonZeroU32::new(burst).unwrap(),
        mode: RuleMode::Enforce,
        line: 1,
    }
}

fn limits(rules: Vec<LimitRule>) -> (Limits<FakeRelativeClock>, FakeRelativeClock) {
    let clock = FakeRelativeClock::default();
    (Limits::with_clock(rules, clock.clone()), clock)
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
fn refused(limits: &Limits<FakeRelativeClock>, permit: Permit) -> Option<(String, Duration)> {
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
        let (limits, _) = limits(vec![limit("one", per, 1, 1)]);
        let first = if per.user_id { "photos/x?user_id=v" } else { "photos/x" };
        assert_eq!(refused(&limits, permit("a", first)), None, "{per:?}");
        assert!(refused(&limits, permit(same.0, same.1)).is_some(), "{per:?} {same:?}");
        assert_eq!(refused(&limits, permit(other.0, other.1)), None, "{per:?} {other:?}");
    }
}

#[test]
fn with_nothing_to_count_by_there_is_one_share_for_all() {
    let (limits, _) = limits(vec![limit("all", Per::default(), 1, 1)]);
    assert_eq!(refused(&limits, permit("a", "photos/x")), None);
    assert!(refused(&limits, permit("b", "mail/x?user_id=u")).is_some());
}

#[test]
fn a_limit_is_only_about_what_it_selects() {
    let globs = vec![NameGlob::try_from("jan*").unwrap()];
    let matches = Selector { callers: Some(globs), ..Selector::default() };
    let rule = LimitRule { matches, ..limit("janitors", Per::default(), 1, 1) };
    let (limits, _) = limits(vec![rule]);
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
        let (limits, _) = limits(order);
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
    let (limits, clock) =
        limits(vec![limit("fast", Per::default(), 10, 1), limit("slow", Per::default(), 1, 1)]);
    assert_eq!(refused(&limits, permit("a", "photos/x")), None);
    let (name, wait) = refused(&limits, permit("a", "photos/x")).unwrap();
    assert_eq!((name.as_str(), wait), ("slow", SECOND));
    clock.advance(wait - Duration::from_nanos(1));
    assert!(refused(&limits, permit("a", "photos/x")).is_some());
    clock.advance(Duration::from_nanos(1));
    assert_eq!(refused(&limits, permit("a", "photos/x")), None);
}

#[test]
fn a_rate_faster_than_the_clock_is_none() {
    let count = NonZeroU32::new(2_000_000_000).unwrap();
    assert_eq!(Rate::new(count, SECOND), None);
    assert!(Rate::new(count, SECOND * 86_400).is_some());
}

proptest! {
    /// In no window of any length do more than burst + rate × length pass.
    #[test]
    fn no_window_lets_more_through_than_it_may(
        burst in 1u32..6,
        count in 1u32..20,
        pauses in prop::collection::vec(0u64..400, 1..200),
    ) {
        let (limits, clock) = limits(vec![limit("l", Per::default(), count, burst)]);
        let (mut now, mut passed) = (0u64, Vec::new());
        for pause in pauses {
            clock.advance(Duration::from_millis(pause));
            now += pause;
            if refused(&limits, permit("a", "photos/x")).is_none() {
                passed.push(now);
            }
        }
        for (i, start) in passed.iter().enumerate() {
            for (j, end) in passed.iter().enumerate().skip(i) {
                let allowed = f64::from(burst) + f64::from(count) * (end - start) as f64 / 1000.0;
                prop_assert!((j - i + 1) as f64 <= allowed + 1e-6);
            }
        }
    }
}

#[test]
fn a_shadow_limit_is_counted_and_refuses_nobody() {
    let shadow = LimitRule { mode: RuleMode::Shadow, ..limit("shadow", Per::default(), 1, 1) };
    let (limits, _) = limits(vec![shadow, limit("all", Per::default(), 1, 3)]);
    let admitted = |_| limits.admit(permit("a", "photos/x")).map(|a| a.shadow().to_vec());
    let names: Vec<_> = (0..3).map(admitted).map(Result::unwrap).collect();
    let name = LimitName::try_from("shadow").unwrap();
    assert_eq!(names, [vec![], vec![name.clone()], vec![name]]);
    assert_eq!(refused(&limits, permit("a", "photos/x")).unwrap().0, "all");
    assert!(limits.would_refuse(&permit("a", "photos/x")).is_some());
}

#[test]
fn a_delete_that_an_enforced_limit_refuses_has_charged_no_shadow_limit() {
    let shadow = |burst| {
        let mode = RuleMode::Shadow;
        LimitRule { mode, ..limit(&format!("shadow {burst}"), Per::default(), 1, burst) }
    };
    let (limits, clock) = limits(vec![shadow(1), shadow(2), limit("all", Per::default(), 1, 1)]);
    assert!(refused(&limits, permit("a", "photos/x")).is_none());
    // The first is used up by now and not charged; the second is, and gets it back.
    for _ in 0..3 {
        assert_eq!(refused(&limits, permit("a", "photos/x")).unwrap().0, "all");
    }
    clock.advance(SECOND);
    let admission = limits.admit(permit("a", "photos/x")).unwrap();
    assert!(admission.shadow().is_empty());
}

fn per_caller(count: u32, burst: u32) -> LimitRule {
    limit("l", Per { caller: true, ..Per::default() }, count, burst)
}

/// How many deletes of this caller pass at once.
fn left(limits: &Limits<FakeRelativeClock>, caller: &str) -> usize {
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
        let (limits, clock) = limits(vec![per_caller(1, 10)]);
        clock.advance(SECOND * 1_000);
        for _ in 0..4 {
            assert_eq!(refused(&limits, permit("a", "photos/x")), None);
        }
        clock.advance(Duration::from_nanos(1));
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
    let (before, clock) = limits(vec![per_caller(1, 4)]);
    assert_eq!(refused(&before, permit("a", "photos/x")), None);
    clock.advance(SECOND / 2);
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
    let (before, clock) = limits(vec![per_caller(1, 10)]);
    assert_eq!(left(&before, "a"), 10);
    let after = before.succeeded_by(vec![per_caller(4, 2)]);
    assert_eq!(refused(&after, permit("a", "photos/x")).unwrap().1, SECOND / 4);
    clock.advance(SECOND / 4);
    assert_eq!(left(&after, "a"), 1);
    // And back: two of two are ten of ten.
    let after = after.succeeded_by(vec![per_caller(1, 10)]);
    assert_eq!(refused(&after, permit("a", "photos/x")).unwrap().1, SECOND);
}

#[test]
fn a_limit_that_went_and_came_back_is_a_new_one() {
    let (limits, _) = limits(vec![per_caller(1, 3)]);
    assert_eq!(left(&limits, "a"), 3);
    let again = limits.succeeded_by(Vec::new()).succeeded_by(vec![per_caller(1, 3)]);
    assert_eq!(left(&again, "a"), 3);
}
