//! In no window of any length do more pass than the burst and what grows back in it: by one gateway and by
//! three, with a store and without.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::limits::{Claim, Claimed, Key, Quota, Taken, Verdict};

/// A store that counts as ours does, by the clock of the test.
#[derive(Default)]
struct Store {
    /// When nothing is used any more, in nanoseconds since the start.
    free_at: HashMap<(LimitName, Key), u64>,
}

impl Store {
    fn charge(&mut self, claim: &Claim, now: u64) -> Vec<Verdict> {
        let used = |of: &Claimed| {
            let free_at = self.free_at.get(&(of.limit.clone(), of.key)).copied().unwrap_or(0);
            free_at.saturating_sub(now).max(of.floor) + of.owed
        };
        let used: Vec<u64> = claim.iter().map(used).collect();
        let charged: Vec<_> =
            claim.iter().zip(&used).map(|(of, used)| of.quota.charge(*used)).collect();
        let refused = charged.iter().any(Result::is_err);
        let mut verdicts = Vec::new();
        for ((of, used), charged) in claim.iter().zip(used).zip(charged) {
            if let (Ok(after), false) = (charged, refused) {
                self.free_at.insert((of.limit.clone(), of.key), now + after);
            }
            let taken = if charged.is_ok() { Taken::Charged } else { Taken::Refused };
            verdicts.push(Verdict { used, taken });
        }
        verdicts
    }
}

/// Fails if more passed in any window.
fn check(passed: &[u64], quota: Quota, burst: u64) {
    for (first, from) in passed.iter().enumerate() {
        for (more, to) in passed.iter().skip(first).enumerate() {
            let (count, grown) = (more as u64 + 1, (to - from) / quota.interval());
            assert!(count <= burst + grown, "{count} in {} ns", to - from);
        }
    }
}

/// Deletes a second, burst, and when who is asked: nanoseconds since the one before, and which gateway.
fn asked() -> impl Strategy<Value = (u32, u32, Vec<(u64, usize)>)> {
    (1..40_u32, 1..12_u32).prop_flat_map(|(count, burst)| {
        let interval = 1_000_000_000 / u64::from(count);
        let pause = prop_oneof![0..1_000_u64, 0..interval, 0..3 * interval];
        (Just(count), Just(burst), prop::collection::vec((pause, 0..3_usize), 1..80))
    })
}

proptest! {
    #[test]
    fn by_one_process((count, burst, asked) in asked()) {
        let rule = per_caller(count, burst);
        let (quota, limits) = (rule.quota(), limits(vec![rule]));
        let (mut now, mut passed) = (0, Vec::new());
        for (pause, _) in asked {
            now += pause;
            limits.advance(Duration::from_nanos(pause));
            passed.extend(limits.admit(permit("a", "photos/x")).is_ok().then_some(now));
        }
        check(&passed, quota, u64::from(burst));
    }

    /// Without the store each has its share. At least one delete each, so of three that is three.
    #[test]
    fn by_three_that_do_not_see_each_other((count, burst, asked) in asked()) {
        let rule = per_caller(count, burst);
        let (quota, start) = (rule.quota(), Instant::now());
        let sharing = Sharing::Among(NonZeroU32::new(3).unwrap());
        let gateways = [(); 3].map(|()| Limits::new(vec![rule.clone()], sharing, start));
        let (mut now, mut passed) = (0, Vec::new());
        for (pause, which) in asked {
            now += pause;
            let at = start + Duration::from_nanos(now);
            passed.extend(gateways[which].admit(permit("a", "photos/x"), at).is_ok().then_some(now));
        }
        check(&passed, quota, u64::from(burst.max(3)) + 2);
    }

    /// What each remembers of what the store said makes it neither laxer nor stricter.
    #[test]
    fn by_one_or_three_with_a_store((count, burst, asked) in asked(), replicas in 1..=3_usize) {
        let rules = vec![per_caller(count, burst), limit("all", Per::default(), count, burst + 3)];
        let (quota, start) = (rules[0].quota(), Instant::now());
        let sharing = Sharing::Among(NonZeroU32::new(3).unwrap());
        let gateways = [(); 3].map(|()| Limits::new(rules.clone(), sharing, start));
        let alone = Limits::new(rules, Sharing::Alone, start);
        let (mut store, oracle) = (Store::default(), Timed { limits: alone, now: Rc::new(Cell::new(start)) });
        let (mut now, mut passed) = (0, Vec::new());
        for (pause, which) in asked {
            now += pause;
            let at = start + Duration::from_nanos(now);
            oracle.now.set(at);
            let (limits, caller) = (&gateways[which % replicas], if pause % 4 == 0 { "b" } else { "a" });
            let permit = || permit(caller, "photos/x");
            let claim = limits.claim(&permit(), Duration::ZERO, at);
            let settled = limits.settle(permit(), &claim, &store.charge(&claim, now));
            prop_assert_eq!(settled.is_ok(), oracle.admit(permit()).is_ok());
            passed.extend((settled.is_ok() && caller == "a").then_some(now));
        }
        check(&passed, quota, u64::from(burst));
    }
}
