//! Limits that several replicas share, without a store: what is claimed, what is made of an answer,
//! and what goes on alone.

use super::*;
use crate::limits::{Taken, Verdict};

/// What a store tells is rounded up by less than this.
const ROUNDED: Duration = Duration::from_micros(1);

fn among(replicas: u32) -> Sharing {
    Sharing::Among(NonZeroU32::new(replicas).unwrap())
}

fn shared(rules: Vec<LimitRule>, replicas: u32) -> Timed {
    let now = Instant::now();
    let limits = Limits::new(rules, among(replicas), now);
    Timed { limits, now: Rc::new(Cell::new(now)) }
}

/// What a store says that has used so much of each limit.
fn answered(
    limits: &Timed,
    permit: Permit,
    verdicts: &[(Duration, Taken)],
) -> Result<Admission, Refusal> {
    let claim = limits.limits.claim(&permit, Duration::ZERO, limits.now.get());
    let nanos = |used: &Duration| u64::try_from(used.as_nanos()).unwrap();
    let verdicts: Vec<_> =
        verdicts.iter().map(|(used, taken)| Verdict { used: nanos(used), taken: *taken }).collect();
    assert_eq!(claim.iter().len(), verdicts.len());
    limits.limits.settle(permit, &claim, &verdicts)
}

#[test]
fn alone_each_replica_lets_its_share_through() {
    for (burst, replicas, each) in [(9, 3, 3), (10, 3, 3), (1, 3, 1), (4, 1, 4)] {
        let limits = shared(vec![per_caller(1, burst)], replicas);
        assert_eq!(left(&limits, "a"), each, "{burst} among {replicas}");
        // Grows back at its share of the rate.
        limits.advance(SECOND * replicas);
        assert_eq!(left(&limits, "a"), 1, "{burst} among {replicas}");
    }
}

#[test]
fn alone_a_replica_begins_where_the_store_was() {
    let limits = shared(vec![per_caller(1, 9)], 3);
    answered(&limits, permit("a", "photos/x"), &[(SECOND * 5, Taken::Charged)]).unwrap();
    // Six of nine are used: of its own three, two.
    assert_eq!(left(&limits, "a"), 1);
    assert_eq!(left(&limits, "b"), 3);
}

#[test]
fn the_store_is_told_what_it_may_have_lost() {
    let limits = shared(vec![per_caller(1, 9)], 3);
    let floor = |limits: &Timed| {
        let claim =
            limits.limits.question(&permit("a", "photos/x"), Duration::ZERO, limits.now.get());
        Duration::from_nanos(claim.iter().next().unwrap().floor)
    };
    assert_eq!(floor(&limits), Duration::ZERO);
    answered(&limits, permit("a", "photos/x"), &[(SECOND * 5, Taken::Charged)]).unwrap();
    assert_eq!(floor(&limits), SECOND * 6 - ROUNDED);
    limits.advance(SECOND * 2);
    assert_eq!(floor(&limits), SECOND * 4 - ROUNDED, "it grows back");
}

/// Told once, whatever becomes of the other replicas.
#[test]
fn the_store_is_told_what_was_used_without_it() {
    let limits = shared(vec![per_caller(1, 9)], 3);
    let owed = |limits: &Timed, permit: &Permit| {
        let claim = limits.limits.claim(permit, Duration::ZERO, limits.now.get());
        let owed = claim.iter().next().unwrap().owed / 1_000_000_000;
        (owed, claim)
    };
    answered(&limits, permit("a", "photos/x"), &[(SECOND * 2, Taken::Charged)]).unwrap();
    // A third of three are used; two more are let through alone.
    assert_eq!(left(&limits, "a"), 2);
    let permit = permit("a", "photos/x");
    let (first, claim) = owed(&limits, &permit);
    assert_eq!((first, owed(&limits, &permit).0), (2, 0), "one claim takes it");
    limits.limits.unsettled(&claim);
    assert_eq!(owed(&limits, &permit).0, 2, "and gives it back, if it was not charged");
    assert_eq!(left(&limits, "a"), 2, "what the store said was seen before that");
    limits.advance(SECOND * 20);
    assert_eq!(owed(&limits, &permit).0, 0, "it grows back like any other");
}

#[test]
fn an_answer_is_an_admission_or_the_longest_wait() {
    let rules = vec![
        per_caller(1, 4),
        LimitRule { mode: RuleMode::Shadow, ..limit("shadow", Per::default(), 1, 1) },
        limit("all", Per::default(), 1, 8),
    ];
    let limits = shared(rules, 1);
    let ask = |verdicts: &[(Duration, Taken)]| answered(&limits, permit("a", "photos/x"), verdicts);
    let admission =
        ask(&[(SECOND, Taken::Charged), (SECOND, Taken::Shadow), (SECOND * 5, Taken::Charged)])
            .unwrap();
    assert_eq!(admission.shadow().len(), 1);
    let told = limits.limits.told(&admission).unwrap();
    assert_eq!(told.limit, "\"l\";r=2;t=2, \"all\";r=2;t=6");
    let refused = ask(&[
        (SECOND * 4, Taken::Refused),
        (SECOND / 2, Taken::Shadow),
        (SECOND * 17 / 2, Taken::Refused),
    ]);
    let Err(Refusal::RateLimited(exhausted)) = refused else { panic!("{refused:?}") };
    assert_eq!((exhausted.limit.as_str(), exhausted.wait), ("all", SECOND * 3 / 2));
    let granted = ask(&[
        (SECOND * 4, Taken::Granted),
        (Duration::ZERO, Taken::Charged),
        (SECOND, Taken::Charged),
    ]);
    assert!(granted.is_ok());
}

#[test]
fn a_store_that_is_taken_away_or_put_there_keeps_the_share_that_is_used() {
    let before = limits(vec![per_caller(1, 9)]);
    for _ in 0..6 {
        assert_eq!(refused(&before, permit("a", "photos/x")), None);
    }
    let now = before.now.get();
    let after = before.limits.succeeded_by(vec![per_caller(1, 9)], among(3), now);
    let after = Timed { limits: after, now: Rc::clone(&before.now) };
    let claim = after.limits.question(&permit("a", "photos/x"), Duration::ZERO, now);
    assert_eq!(claim.iter().next().unwrap().floor, 0);
    assert_eq!(left(&after, "a"), 1);
    // Each of three tells its part, with what it has let through since.
    let claim = after.limits.claim(&permit("a", "photos/x"), Duration::ZERO, now);
    assert_eq!(claim.iter().next().unwrap().owed, 3_000_000_000);
    after.limits.unsettled(&claim);
    let back = after.succeeded_by(vec![per_caller(1, 9)]);
    assert_eq!(left(&back, "a"), 0);
}

/// The answer takes its time, and the store decided somewhere in it.
#[test]
fn what_is_remembered_is_never_more_than_what_the_store_knows() {
    let limits = shared(vec![per_caller(100, 100)], 1);
    let mut real = Duration::ZERO;
    for _ in 0..50 {
        let (permit, now) = (permit("a", "photos/x"), limits.now.get());
        let claim = limits.limits.claim(&permit, Duration::ZERO, now);
        let floor = Duration::from_nanos(claim.iter().next().unwrap().floor);
        assert!(floor <= real, "{floor:?} of {real:?}");
        let used = u64::try_from(real.as_nanos().next_multiple_of(1_000)).unwrap();
        let verdict = Verdict { used, taken: Taken::Charged };
        real += Duration::from_millis(10);
        limits.advance(Duration::from_millis(3));
        limits.limits.settle(permit, &claim, &[verdict]).unwrap();
        real = real.saturating_sub(Duration::from_millis(3));
    }
}

#[test]
fn what_a_store_said_is_not_forgotten_with_the_store() {
    let before = shared(vec![per_caller(1, 9)], 3);
    answered(&before, permit("a", "photos/x"), &[(SECOND * 5, Taken::Charged)]).unwrap();
    let key = Per { caller: true, ..Per::default() }.key(&permit("a", "photos/x").subject());
    let listed = before.limits.keys_used(&per_caller(1, 9).name, before.now.get());
    assert_eq!(listed, [(key, 5_999_999_000)]);
    let after = before.succeeded_by(vec![per_caller(1, 9)]);
    assert_eq!(left(&after, "a"), 3);
    assert_eq!(left(&after, "b"), 9);
}

#[test]
fn a_grant_that_is_over_takes_nothing_back() {
    let limits = limits(vec![per_caller(1, 1), limit("all", Per::default(), 1, 2)]);
    let (name, start) = (LimitName::try_from("l").unwrap(), limits.now.get());
    let key = Per { caller: true, ..Per::default() }.key(&permit("a", "photos/x").subject());
    assert!(limits.limits.grant(&name, key, 1, SECOND, start));
    assert!(limits.limits.grant(&name, key, 2, SECOND * 900, start));
    limits.advance(SECOND * 2);
    assert_eq!(left(&limits, "a"), 2, "one of its own, one granted; then all is used up");
    for _ in 0..5 {
        assert_eq!(refused(&limits, permit("a", "photos/x")).unwrap().0, "all");
    }
    let held = limits.limits.grants(limits.now.get());
    assert_eq!(held.iter().map(|(grant, _)| grant.left).collect::<Vec<_>>(), [1]);
}

/// Whom a limit refuses may still be the one by whom another passed its mark: the next one is told then.
#[test]
fn a_delete_that_was_not_charged_takes_no_warning_with_it() {
    let warns = LimitRule { warn_at: NonZeroU8::new(80), ..per_caller(1, 10) };
    let limits = shared(vec![warns, limit("narrow", Per::default(), 1, 10)], 1);
    let asked = |taken| {
        let verdicts = [(SECOND * 8, taken), (SECOND * 9, taken)];
        answered(&limits, permit("a", "photos/x"), &verdicts).map(|a| a.warned().len()).ok()
    };
    assert_eq!(asked(Taken::Refused), None);
    assert_eq!([asked(Taken::Charged), asked(Taken::Charged)], [Some(1), Some(0)]);
}
