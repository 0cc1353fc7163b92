//! So many deletes in so long a time, and the arithmetic over it: GCRA, so there are no window
//! edges.
//!
//! What is used of a limit is a time: how long the limit takes to grow back whole. A delete adds
//! one interval to it, if there is room below the whole; every nanosecond takes one off.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// So many deletes in so long a time, as an operator writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    count: NonZeroU32,
    window: Duration,
    /// The time in which a share of one grows back. Not zero.
    interval: Duration,
}

impl Rate {
    /// `None` if a share of one would grow back in less than a nanosecond.
    #[must_use]
    pub fn new(count: NonZeroU32, window: Duration) -> Option<Self> {
        let interval = window / count.get();
        (!interval.is_zero()).then_some(Self { count, window, interval })
    }

    /// Whether so many may come at once: as long as it takes them to grow back, counting in
    /// nanoseconds must not come to an end.
    #[must_use]
    pub fn allows_burst(&self, burst: NonZeroU32) -> bool {
        self.interval.checked_mul(burst.get()).is_some_and(|whole| whole <= LONGEST_BURST)
    }

    /// Whether fewer may come by it in the same time.
    #[must_use]
    pub fn is_slower_than(&self, other: Self) -> bool {
        self.interval > other.interval
    }

    /// How many deletes a window.
    #[must_use]
    pub fn count(&self) -> NonZeroU32 {
        self.count
    }

    /// What an operator writes for the window.
    #[must_use]
    pub const fn unit(&self) -> &'static str {
        match self.window.as_secs() {
            1 => "s",
            60 => "min",
            3_600 => "h",
            86_400 => "day",
            _ => "other",
        }
    }

    /// How long a window is.
    #[must_use]
    pub fn window(&self) -> Duration {
        self.window
    }
}

/// As an operator would write it.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, window, .. } = self;
        match self.unit() {
            "other" => write!(f, "{count} in {window:?}"),
            unit => write!(f, "{count}/{unit}"),
        }
    }
}

/// Ten years.
const LONGEST_BURST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// A rate and a burst, in nanoseconds: that is all the arithmetic knows of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// What one delete uses. Not zero.
    interval: u64,
    /// What may be used at most: the burst.
    whole: u64,
}

impl Quota {
    /// Of a rate and a burst that the rate allows.
    #[must_use]
    pub fn new(rate: Rate, burst: NonZeroU32) -> Self {
        let interval = nanos(rate.interval).max(1);
        Self { interval, whole: interval.saturating_mul(u64::from(burst.get())) }
    }

    /// What one of several who cannot see each other may use, so that all of them together use no
    /// more than this; at least one delete at once.
    #[must_use]
    pub fn shared_among(self, replicas: NonZeroU32) -> Self {
        let interval = self.interval.saturating_mul(u64::from(replicas.get()));
        Self { interval, whole: (self.whole / interval).max(1).saturating_mul(interval) }
    }

    /// What one delete uses, in nanoseconds.
    #[must_use]
    pub fn interval(self) -> u64 {
        self.interval
    }

    /// What may be used at most, in nanoseconds.
    #[must_use]
    pub fn whole(self) -> u64 {
        self.whole
    }

    /// What is used once one more delete was charged.
    ///
    /// # Errors
    /// How long it takes until there is room for it.
    pub fn charge(self, used: u64) -> Result<u64, Duration> {
        let after = used.saturating_add(self.interval);
        match after.saturating_sub(self.whole) {
            0 => Ok(after),
            wait => Err(Duration::from_nanos(wait)),
        }
    }

    /// How many deletes there is room for.
    #[must_use]
    pub fn left(self, used: u64) -> u32 {
        let left = self.whole.saturating_sub(used) / self.interval;
        // The whole is a multiple of the interval by a 32-bit number.
        u32::try_from(left).unwrap_or(u32::MAX)
    }

    /// How many deletes are used, rounded up.
    #[must_use]
    pub fn used(self, used: u64) -> u64 {
        used.div_ceil(self.interval)
    }

    /// How much is used in percent, rounded down.
    #[must_use]
    pub fn percent(self, used: u64) -> u64 {
        let percent = u128::from(used) * 100 / u128::from(self.whole);
        u64::try_from(percent).unwrap_or(u64::MAX)
    }

    /// The same share of another quota, rounded up.
    #[must_use]
    pub fn share_of(self, used: u64, other: Self) -> u64 {
        if self == other {
            return used;
        }
        let share = u128::from(used) * u128::from(other.whole);
        u64::try_from(share.div_ceil(u128::from(self.whole))).unwrap_or(u64::MAX)
    }
}

/// 584 years at most.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::{Clock, FakeRelativeClock};
    use proptest::prelude::*;

    fn quota(count: u32, burst: u32) -> Quota {
        let rate = Rate::new(NonZeroU32::new(count).unwrap(), Duration::from_secs(1)).unwrap();
        Quota::new(rate, NonZeroU32::new(burst).unwrap())
    }

    #[test]
    fn a_rate_faster_than_the_clock_is_none() {
        let count = NonZeroU32::new(2_000_000_000).unwrap();
        assert_eq!(Rate::new(count, Duration::from_secs(1)), None);
        assert!(Rate::new(count, Duration::from_secs(86_400)).is_some());
    }

    #[test]
    fn the_shares_of_all_replicas_are_no_more_than_the_whole() {
        for (burst, replicas, left) in [(9, 3, 3), (10, 3, 3), (2, 3, 1), (1, 1, 1), (10, 1, 10)] {
            let share = quota(10, burst).shared_among(NonZeroU32::new(replicas).unwrap());
            assert_eq!(share.left(0), left, "{burst} among {replicas}");
            assert_eq!(share.interval(), quota(10, 1).interval() * u64::from(replicas));
        }
    }

    proptest! {
        /// governor is what others count by.
        #[test]
        fn it_admits_what_governor_admits(
            count in 1_u32..50,
            burst in 1_u32..20,
            pauses in prop::collection::vec(0_u64..300_000_000, 1..200),
        ) {
            let quota = quota(count, burst);
            let clock = FakeRelativeClock::default();
            let theirs = governor::Quota::with_period(Duration::from_nanos(quota.interval()))
                .unwrap()
                .allow_burst(NonZeroU32::new(burst).unwrap());
            let theirs = governor::RateLimiter::direct_with_clock(theirs, clock.clone());
            let mut used = 0_u64;
            for pause in pauses {
                clock.advance(Duration::from_nanos(pause));
                used = used.saturating_sub(pause);
                match (quota.charge(used), theirs.check()) {
                    (Ok(after), Ok(())) => used = after,
                    (Err(wait), Err(not_until)) => {
                        prop_assert_eq!(wait, not_until.wait_time_from(clock.now()));
                    }
                    (ours, theirs) => prop_assert!(false, "{:?} {:?}", ours, theirs.is_ok()),
                }
            }
        }

        /// In no window of any length do more than burst + rate × length pass.
        #[test]
        fn no_window_lets_more_through_than_it_may(
            count in 1_u32..20,
            burst in 1_u32..6,
            pauses in prop::collection::vec(0_u64..400_000_000, 1..200),
        ) {
            let quota = quota(count, burst);
            let (mut now, mut used, mut passed) = (0_u64, 0_u64, Vec::new());
            for pause in pauses {
                now += pause;
                used = used.saturating_sub(pause);
                if let Ok(after) = quota.charge(used) {
                    used = after;
                    passed.push(now);
                }
            }
            for (i, start) in passed.iter().enumerate() {
                for (j, end) in passed.iter().enumerate().skip(i) {
                    let allowed = u64::from(burst) + (end - start) / quota.interval();
                    prop_assert!((j - i + 1) as u64 <= allowed);
                }
            }
        }
    }
}
