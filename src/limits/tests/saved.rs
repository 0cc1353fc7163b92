//! What outlives the process.

use super::*;
use crate::limits::Saved;

fn daily(count: u32, burst: u32) -> LimitRule {
    let window = SECOND * 86_400;
    let rate = Rate::new(NonZeroU32::new(count).unwrap(), window).unwrap();
    LimitRule { rate, ..per_caller(count, burst) }
}

fn restarted(before: &Timed, rules: Vec<LimitRule>, after: Duration) -> Timed {
    let stopped = SystemTime::now();
    let saved = before.limits.saved(before.now.get(), stopped).to_bytes();
    let limits = limits(rules);
    let saved = Saved::parse(&saved).unwrap();
    limits.limits.restore(&saved, limits.now.get(), stopped + after);
    limits
}

#[test]
fn a_budget_goes_on_after_a_restart_where_it_was() {
    let before = limits(vec![daily(10, 10), per_caller(1, 10)]);
    for _ in 0..4 {
        assert_eq!(refused(&before, permit("a", "photos/x")), None);
    }
    for (rules, pause, wanted) in [
        (vec![daily(10, 10)], Duration::ZERO, 6),
        (vec![daily(10, 10)], SECOND * 8_640, 7),
        (vec![daily(10, 10)], SECOND * 86_400, 10),
        (vec![daily(100, 100)], Duration::ZERO, 60),
        (
            vec![LimitRule { name: LimitName::try_from("new").unwrap(), ..daily(10, 10) }],
            Duration::ZERO,
            10,
        ),
        (vec![LimitRule { per: Per::default(), ..daily(10, 10) }], Duration::ZERO, 10),
        // What grows back within a minute is not kept.
        (vec![per_caller(1, 10)], Duration::ZERO, 10),
    ] {
        let after = restarted(&before, rules.clone(), pause);
        assert_eq!(left(&after, "a"), wanted, "{rules:?} after {pause:?}");
    }
}

#[test]
fn a_clock_that_was_set_back_gives_nothing_back() {
    let before = limits(vec![daily(10, 10)]);
    assert_eq!(left(&before, "a"), 10);
    let stopped = SystemTime::now();
    let saved = before.limits.saved(before.now.get(), stopped);
    let after = limits(vec![daily(10, 10)]);
    after.limits.restore(&saved, after.now.get(), stopped - SECOND * 86_400);
    assert_eq!(left(&after, "a"), 0);
}

#[test]
fn what_was_not_written_there_is_refused_and_not_repeated() {
    let good = String::from_utf8(
        limits(vec![daily(1, 1)]).limits.saved(Instant::now(), SystemTime::now()).to_bytes(),
    )
    .unwrap();
    assert!(Saved::parse(good.as_bytes()).is_ok());
    for wrong in [
        String::new(),
        "{}".to_owned(),
        "sentinel".to_owned(),
        good.replace("\"version\":1", "\"version\":2"),
        good.replace("\"limits\"", "\"sentinel\""),
        good.chars().take(good.len() / 2).collect(),
        format!("{good}{good}"),
    ] {
        let error = Saved::parse(wrong.as_bytes()).unwrap_err();
        assert!(!error.contains("sentinel") && !error.is_empty(), "{error}");
    }
    // A key or a number that makes no sense harms nobody.
    let odd = good.replace("\"used\":{}", "\"used\":{\"x\":5,\"-.-.-.-\":18446744073709551615}");
    assert_ne!(odd, good);
    let after = limits(vec![daily(1, 1)]);
    after.limits.restore(
        &Saved::parse(odd.as_bytes()).unwrap(),
        after.now.get(),
        SystemTime::now(),
    );
    assert_eq!(left(&after, "a"), 1);
}
