//! Easing step by step, at times made up; whole seconds of it in `simulated`.

mod simulated;

use std::thread;

use super::*;
use proptest::prelude::*;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn tenant(name: &str) -> Fingerprint {
    Fingerprint::of(name)
}

fn tenants(count: usize) -> Vec<Fingerprint> {
    (0..count).map(|number| tenant(&number.to_string())).collect()
}

/// One that eases at this rate since `now`, by a 429 after a second in which SMH took evenly what it
/// takes to come to that.
fn easing_at(rate: u32, now: Instant) -> Easing {
    let start = now - SECOND;
    let easing = Easing::new(start);
    let count = (rate * 10).div_ceil(7);
    for number in 0..count {
        easing.taken(start + SECOND * number / count);
    }
    easing.refused(now);
    easing
}

fn rate(easing: &Easing, now: Instant) -> f64 {
    easing.rate(now).unwrap()
}

/// SMH takes so many, evenly over this second.
fn take(easing: &Easing, count: u32, from: Instant) {
    for number in 0..count {
        easing.taken(from + SECOND * number / count);
    }
}

#[track_caller]
fn assert_near(found: f64, wanted: f64) {
    assert!((found - wanted).abs() <= 0.02 * wanted, "{found} is not near {wanted}");
}

#[test]
fn nothing_is_held_back_before_the_first_429() {
    let now = Instant::now();
    let easing = Easing::new(now);
    for number in 0..10_000 {
        let now = now + Duration::from_micros(number);
        assert_eq!(easing.admit(tenant("a"), now), Ok(()));
        assert_eq!(easing.would_hold(tenant("a"), now), None);
        easing.taken(now);
        assert_eq!(easing.rate(now), None);
    }
    assert!(easing.eased.lock().is_none());
}

#[test]
fn what_is_given_back_is_there_for_the_next_one() {
    let now = Instant::now();
    let easing = easing_at(10, now);
    for _ in 0..100 {
        assert_eq!(easing.admit(tenant("a"), now), Ok(()));
        easing.give_back(tenant("a"));
    }
    // And no more than that.
    let passed = (0..100).filter(|_| easing.admit(tenant("a"), now).is_ok()).count();
    let fresh = easing_at(10, now);
    let wanted = (0..100).filter(|_| fresh.admit(tenant("a"), now).is_ok()).count();
    assert_eq!(passed, wanted);
}

#[test]
fn the_first_429_sets_a_little_less_than_smh_took_in_the_last_second() {
    let start = Instant::now();
    let easing = Easing::new(start);
    for (from, count) in [(0, 500), (1, 300), (2, 100)] {
        take(&easing, count, start + SECOND * from);
    }
    easing.refused(start + SECOND * 3);
    assert_near(rate(&easing, start + SECOND * 3), 70.0);
    // For the moment there is no burst, only what a tenant has of its own.
    let passed = (0..100).filter(|_| easing.admit(tenant("a"), start + SECOND * 3).is_ok());
    assert_eq!(passed.count(), 5);
}

#[test]
fn one_a_second_is_let_through_even_where_smh_took_nothing() {
    let now = Instant::now();
    let easing = Easing::new(now);
    for second in 0..20 {
        easing.refused(now + SECOND * second);
    }
    let now = now + SECOND * 19;
    assert_near(rate(&easing, now), LEAST_RATE);
    let passed = (0..100).filter(|_| easing.admit(tenant("a"), now).is_ok()).count();
    assert!((1..=3).contains(&passed), "{passed}");
    assert!(easing.admit(tenant("a"), now).unwrap_err() <= SECOND + millis(1));
}

#[test]
fn refusals_of_one_second_are_one_sign() {
    let start = Instant::now();
    let easing = easing_at(70, start);
    for (at, wanted) in [(0, 70.0), (10, 70.0), (999, 70.0), (1_000, 49.0), (1_900, 49.0)] {
        easing.refused(start + millis(at));
        assert_near(rate(&easing, start + millis(at)), wanted);
    }
}

#[test]
fn late_refusals_do_not_lower_it_below_what_smh_takes() {
    let start = Instant::now();
    let easing = easing_at(70, start);
    // Answers of five seconds ago: SMH took a hundred a second, and refused others.
    for second in 0..5 {
        take(&easing, 100, start + SECOND * second);
        easing.refused(start + SECOND * (second + 1));
        assert_near(rate(&easing, start + SECOND * (second + 1)), 70.0);
    }
    // What it takes now is less.
    take(&easing, 40, start + SECOND * 5);
    easing.refused(start + SECOND * 6 + millis(90));
    assert_near(rate(&easing, start + SECOND * 6 + millis(90)), 49.0);
}

#[test]
fn it_grows_while_half_of_it_is_used_and_smh_refuses_nothing() {
    let start = Instant::now();
    for (taken, grows) in [(0, false), (30, false), (40, true), (70, true)] {
        let easing = easing_at(70, start);
        take(&easing, taken, start + PART);
        let now = start + SECOND + PART;
        assert_near(rate(&easing, now), if grows { 75.0 } else { 70.0 });
        assert_near(rate(&easing, now + millis(900)), if grows { 75.0 } else { 70.0 });
    }
    let easing = easing_at(70, start);
    take(&easing, 70, start);
    easing.refused(start + millis(500));
    assert_near(rate(&easing, start + SECOND), 70.0);
}

#[test]
fn beyond_what_was_refused_it_grows_faster() {
    let start = Instant::now();
    let easing = easing_at(70, start);
    let mut rates = Vec::new();
    for second in 0..9 {
        let now = start + SECOND * second;
        rates.push(rate(&easing, now).round());
        take(&easing, 80, now);
    }
    assert_eq!(rates, [70.0, 75.0, 80.0, 85.0, 90.0, 95.0, 100.0, 120.0, 144.0]);
}

#[test]
fn it_is_over_when_smh_refused_nothing_for_a_while() {
    let start = Instant::now();
    let easing = easing_at(70, start);
    let last = start + SECOND * 20;
    easing.refused(last);
    let almost = last + OVER - millis(1);
    assert!((0..100).any(|_| easing.admit(tenant("a"), almost).is_err()));
    assert_eq!(easing.would_hold(tenant("a"), last + OVER), None);
    assert_eq!(easing.rate(last + OVER), None);
    assert!((0..1_000).all(|_| easing.admit(tenant("a"), last + OVER).is_ok()));
    // The next one starts from what is taken then.
    take(&easing, 10, last + OVER);
    easing.refused(last + OVER + SECOND);
    assert_near(rate(&easing, last + OVER + SECOND), 7.0);
    // Also where nobody asked in between.
    take(&easing, 100, last + OVER * 3);
    easing.refused(last + OVER * 3 + SECOND);
    assert_near(rate(&easing, last + OVER * 3 + SECOND), 70.0);
}

#[test]
fn to_ask_whether_it_would_be_held_back_changes_nothing() {
    let start = Instant::now();
    let easing = easing_at(50, start);
    let now = start + SECOND;
    for number in tenants(100) {
        assert_eq!(easing.would_hold(number, now), None);
    }
    let passed = (0..100).filter(|_| easing.admit(tenant("a"), now).is_ok()).count();
    assert_eq!(passed, 5); // A tenth of a second.
    let held = easing.would_hold(tenant("a"), now);
    assert_eq!(easing.admit(tenant("a"), now).err(), held);
    // A tenant with its share untouched is told so.
    assert_eq!(easing.would_hold(tenant("b"), now), None);
}

#[test]
fn who_asks_no_more_has_no_share_and_is_forgotten() {
    let start = Instant::now();
    let easing = easing_at(50, start);
    for tenant in tenants(100) {
        let _ = easing.admit(tenant, start);
    }
    let held = |now| {
        let eased = easing.eased(now).unwrap();
        (eased.tenants.sharing, eased.tenants.all.len())
    };
    assert_eq!(held(start + SECOND), (100, 100));
    assert_eq!(held(start + LATELY + PART), (0, 0));
    let _ = easing.admit(tenant("a"), start + LATELY + PART);
    assert_eq!(held(start + LATELY + PART), (1, 1));
}

#[test]
fn who_used_its_share_up_is_remembered_until_it_is_back() {
    let start = Instant::now();
    let easing = easing_at(2, start);
    // Each asks every three seconds, so that few of them ask at the same time.
    let tenants = tenants(30);
    let mut passed = 0;
    for number in 0..290 {
        let now = start + millis(100) * number;
        passed += u32::from(easing.admit(tenants[number as usize % 30], now).is_ok());
    }
    // Two a second, though they ask for ten.
    assert!((55..=63).contains(&passed), "{passed}");
}

#[test]
fn many_threads_at_once_get_what_one_would() {
    let start = Instant::now();
    let easing = &easing_at(50, start);
    let passed: usize = thread::scope(|scope| {
        let hammer = |thread: usize| {
            move || {
                let tenant = tenants(8)[thread];
                let through = (0..20_000).filter(|number| {
                    let now = start + Duration::from_micros(50 * number);
                    let through = easing.admit(tenant, now).is_ok();
                    if number % 100 == 0 {
                        easing.refused(start);
                        let _ = (easing.would_hold(tenant, now), easing.rate(now));
                    }
                    through
                });
                through.count()
            }
        };
        let threads: Vec<_> = (0..8).map(|thread| scope.spawn(hammer(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!((40..=60).contains(&passed), "{passed}");
}

#[test]
fn threads_that_count_at_once_lose_nothing() {
    let start = Instant::now();
    let taken = &Taken::new(start);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..1_000).for_each(|at| taken.add(start + SECOND + millis(at))));
        }
    });
    // Seconds are counted to the end of their last part, and one part back.
    assert_near(taken.a_second(start + SECOND * 2 - millis(1)), 4_000.0 / 1.099);
    assert_near(taken.a_second(start + SECOND * 2), 4_000.0);
    assert_eq!(taken.a_second(start + SECOND * 4), 0.0);
}

/// What somebody does next: who asks, and after how many microseconds.
fn asks() -> impl Strategy<Value = Vec<(usize, u64)>> {
    prop::collection::vec((0usize..5, prop_oneof![Just(0), 0u64..3_000, 0u64..200_000]), 1..400)
}

proptest! {
    #[test]
    fn no_window_lets_more_through_than_the_rate_and_the_bucket(
        wanted in 1u32..300,
        asks in asks(),
    ) {
        let mut now = Instant::now();
        let easing = easing_at(wanted, now);
        let (rate, tenants) = (rate(&easing, now), tenants(5));
        let bucket = burst(rate) + burst(rate).max(LEAST_RESERVE);
        let mut passed = Vec::new();
        for (who, pause) in asks {
            // Nobody takes anything, so it does not grow.
            now += Duration::from_micros(pause);
            match easing.rate(now) {
                Some(found) => prop_assert_eq!(found, rate),
                None => break,
            }
            if easing.admit(tenants[who], now).is_ok() {
                passed.push(now);
            }
        }
        for (first, from) in passed.iter().enumerate() {
            for (more, to) in passed[first..].iter().enumerate() {
                let most = rate * seconds(*from, *to) + bucket;
                prop_assert!((more + 1) as f64 <= most + 1e-6, "{} in {:?}", more + 1, *to - *from);
            }
        }
    }

    #[test]
    fn who_waits_as_long_as_told_gets_through_and_not_sooner(
        wanted in 1u32..3_000,
        asks in asks(),
        taken in prop::bool::ANY,
    ) {
        let mut now = Instant::now();
        let (easing, tenants) = (easing_at(wanted, now), tenants(5));
        for (who, pause) in asks {
            now += Duration::from_micros(pause);
            if taken {
                // It may grow meanwhile.
                easing.taken(now);
            }
            let told = easing.would_hold(tenants[who], now);
            let Err(wait) = easing.admit(tenants[who], now) else {
                prop_assert_eq!(told, None);
                continue;
            };
            prop_assert_eq!(told, Some(wait));
            if who == 0 {
                let almost = wait.saturating_sub(Duration::from_micros(1));
                if !taken && almost < RECOUNT && !almost.is_zero() {
                    prop_assert!(easing.would_hold(tenants[who], now + almost).is_some());
                }
                now += wait;
                prop_assert_eq!(easing.admit(tenants[who], now), Ok(()));
            }
        }
    }
}
