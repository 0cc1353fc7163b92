//! Guesses by table, at times made up.

use super::*;
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

fn address(text: &str) -> GuessSource {
    GuessSource::Address(text.parse().unwrap())
}

/// One of as many sources as there are numbers.
fn number(number: u32) -> GuessSource {
    GuessSource::Address(Ipv4Addr::from(number).into())
}

fn fail(guesses: &Guesses, source: GuessSource, times: u32, now: Instant) {
    for _ in 0..times {
        guesses.failed(source, now);
    }
}

#[test]
fn a_burst_is_free_and_then_it_is_one_a_second() {
    let start = Instant::now();
    let guesses = Guesses::new(start);
    let guesser = address("192.0.2.1");
    // After so many milliseconds, so many more failures: how many more milliseconds to wait.
    for (at, failures, wait) in [
        (0, 0, 0),
        (0, 59, 0),
        (0, 1, 1_000),
        (1, 0, 999),
        (999, 0, 1),
        (1_000, 0, 0),
        (1_000, 1, 1_000),
        // Two are back, one is used.
        (3_000, 1, 0),
        (3_000, 1, 1_000),
        // Attempts that were under way together.
        (4_000, 3, 3_000),
        (6_999, 0, 1),
        (7_000, 0, 0),
        // All are back, and no more than all.
        (1_000_000, 59, 0),
        (1_000_000, 1, 1_000),
    ] {
        let now = start + Duration::from_millis(at);
        fail(&guesses, guesser, failures, now);
        let wanted = if wait == 0 { Ok(()) } else { Err(Duration::from_millis(wait)) };
        assert_eq!(guesses.may_try(guesser, now), wanted, "at {at} ms");
        assert_eq!(guesses.may_try(guesser, now), wanted, "asking changes nothing");
    }
}

#[test]
fn however_many_fail_together_nobody_waits_for_longer_than_two_minutes() {
    let start = Instant::now();
    let guesses = Guesses::new(start);
    let (guesser, neighbour) = (address("192.0.2.1"), address("192.0.2.2"));
    fail(&guesses, guesser, 100_000, start);
    assert_eq!(guesses.may_try(guesser, start), Err(2 * 60 * SECOND));
    assert_eq!(guesses.may_try(neighbour, start), Ok(()));

    // It is paid off like any other debt, and there is no fresh burst at its end.
    let end = start + 2 * 60 * SECOND;
    assert_eq!(guesses.may_try(guesser, end - SECOND), Err(SECOND));
    assert_eq!(guesses.may_try(guesser, end), Ok(()));
    guesses.failed(guesser, end);
    assert_eq!(guesses.may_try(guesser, end), Err(SECOND));
    assert_eq!((guesses.count(end), guesses.count(end + WHOLE)), (1, 0));
}

#[test]
fn sources_are_told_apart_as_far_as_nobody_can_choose_another() {
    let now = Instant::now();
    let user = GuessSource::UnixUser;
    for (guesser, other, is_same) in [
        (address("192.0.2.1"), address("192.0.2.1"), true),
        (address("192.0.2.1"), address("::ffff:192.0.2.1"), true),
        (address("192.0.2.1"), address("192.0.2.2"), false),
        (address("2001:db8:0:1::1"), address("2001:db8:0:1:ffff:ffff:ffff:ffff"), true),
        (address("2001:db8:0:1::1"), address("2001:db8:0:2::1"), false),
        (address("::ffff:192.0.2.1"), address("::ffff:192.0.2.2"), false),
        (user(1), user(1), true),
        (user(1), user(2), false),
        (user(1), number(1), false),
    ] {
        let guesses = Guesses::new(now);
        fail(&guesses, guesser, BURST, now);
        assert!(guesses.may_try(guesser, now).is_err(), "{guesser:?}");
        assert_eq!(guesses.may_try(other, now).is_err(), is_same, "{guesser:?} {other:?}");
    }
}

#[test]
fn the_number_of_sources_is_bounded_and_memory_is_given_back() {
    let start = Instant::now();
    let guesses = Guesses::new(start);
    for source in 0..50_000 {
        guesses.failed(number(source), start);
    }
    let held = guesses.count(start);
    assert!((9_000..=MAX_SOURCES).contains(&held), "{held}");

    let room = |guesses: &Guesses| -> usize {
        guesses.shards.iter().map(|shard| shard.full_at.capacity()).sum()
    };
    assert!(room(&guesses) >= held);
    assert_eq!(guesses.count(start + WHOLE), 0);
    assert_eq!(room(&guesses), 0);
}

#[test]
fn idle_sources_are_forgotten_without_being_counted() {
    let start = Instant::now();
    let guesses = Guesses::new(start);
    for source in 0..20_000 {
        guesses.failed(number(source), start + SECOND * (source / 10));
    }
    let held: usize = guesses.shards.iter().map(|shard| shard.full_at.len()).sum();
    assert!(held <= FIRST_SWEEP * SHARDS, "{held}");
}

#[test]
fn many_who_fail_lock_out_nobody_who_does_not() {
    let now = Instant::now();
    let guesses = Guesses::with_places(160, now);
    for source in 0..1_000 {
        fail(&guesses, number(source), BURST, now);
    }
    for source in 1_000..2_000 {
        assert_eq!(guesses.may_try(number(source), now), Ok(()));
        // A slip of its own is no long wait either, though all others have no attempt left.
        guesses.failed(number(source), now);
        assert_eq!(guesses.may_try(number(source), now), Err(SECOND));
    }
}

#[test]
fn many_who_fail_get_nobody_forgotten_who_owes_more() {
    let now = Instant::now();
    let guesses = Guesses::with_places(160, now);
    let guesser = address("2001:db8::1");
    fail(&guesses, guesser, 2 * BURST, now);
    for source in 0..5_000 {
        guesses.failed(number(source), now);
    }
    assert_eq!(guesses.may_try(guesser, now), Err(SECOND * (BURST + 1)));
}

#[test]
fn who_is_refused_is_told_the_limit() {
    let Refusal::RateLimited(exhausted) = Guesses::refusal(SECOND) else { panic!() };
    assert_eq!(exhausted.limit.as_str(), "authentication failures");
    assert_eq!((exhausted.quota, exhausted.window), (60, 60 * SECOND));
    assert_eq!(exhausted.wait, SECOND);
}

/// What each source owes, with places for all: the moment at which its bucket is full.
#[derive(Default)]
struct Exact(HashMap<u32, Instant>);

impl Exact {
    fn failed(&mut self, source: u32, now: Instant) {
        let full_at = self.0.entry(source).or_insert(now);
        *full_at = ((*full_at).max(now) + INTERVAL).min(now + LEEWAY + LONGEST_WAIT);
    }

    fn may_try(&self, source: u32, now: Instant) -> Result<(), Duration> {
        let owed = self.0.get(&source).map_or(Duration::ZERO, |full_at| *full_at - now);
        if owed <= LEEWAY { Ok(()) } else { Err(owed - LEEWAY) }
    }
}

proptest! {
    #[test]
    fn with_places_for_all_each_has_exactly_its_own(
        steps in prop::collection::vec((0u32..4, 0u32..80, 0u64..40_000), 1..60),
    ) {
        let mut now = Instant::now();
        let (guesses, mut exact) = (Guesses::new(now), Exact::default());
        for (source, failures, pause) in steps {
            now += Duration::from_millis(pause);
            for _ in 0..failures {
                guesses.failed(number(source), now);
                exact.failed(source, now);
            }
            for source in 0..5 {
                let wanted = exact.may_try(source, now);
                prop_assert_eq!(guesses.may_try(number(source), now), wanted);
            }
        }
    }

    #[test]
    fn with_too_few_places_nobody_has_more_attempts_once_it_is_back(
        steps in prop::collection::vec((0u32..100, 1u32..80, 0u64..40_000), 1..100),
    ) {
        let mut now = Instant::now();
        let (guesses, mut exact) = (Guesses::with_places(SHARDS, now), Exact::default());
        for (source, failures, pause) in steps {
            now += Duration::from_millis(pause);
            for _ in 0..failures {
                guesses.failed(number(source), now);
                exact.failed(source, now);
            }
            let least = exact.may_try(source, now).err().map(|wait| wait.min(INTERVAL));
            prop_assert!(guesses.may_try(number(source), now).err() >= least);
            prop_assert!(guesses.count(now) <= SHARDS);
        }
    }
}
