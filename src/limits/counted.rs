//! What is used of one limit: the state, and the arithmetic over it.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::{NotUntil, Quota, RateLimiter};

use crate::limits::store::{BoundedStore, Key, MAX_KEYS, Peek};

/// A limit's state with its limiters. These measure time from when they were made, so the state is of
/// no use without them.
pub(super) struct Counted<C: Clock> {
    interval: Duration,
    burst: NonZeroU32,
    store: BoundedStore,
    limiter: RateLimiter<Key, BoundedStore, C, NoOpMiddleware<C::Instant>>,
    /// Over the same state. It was made a moment later, so it sees a moment less of time gone by: it
    /// may be a microsecond too strict, never too lenient.
    looker: RateLimiter<Key, Peek, C, NoOpMiddleware<C::Instant>>,
    /// A moment after the limiter began to measure, for the same reason.
    began: C::Instant,
}

impl<C: Clock + Clone> Counted<C> {
    /// Nothing is used yet. The interval is not zero.
    pub(super) fn new(interval: Duration, burst: NonZeroU32, clock: &C) -> Self {
        Self::over(BoundedStore::new(interval, MAX_KEYS), interval, burst, clock)
    }

    /// The same share of another rate or burst is used: whoever used 40 % before has used 40 %. What a
    /// delete charges to the old state after this is not charged here.
    pub(super) fn rescaled(&self, interval: Duration, burst: NonZeroU32, clock: &C) -> Self {
        let now = clock.now().duration_since(self.began).as_u64();
        let (old, new) = (whole(self.interval, self.burst), whole(interval, burst));
        let share = |arrival: Nanos| {
            let used = u128::from(arrival.as_u64().saturating_sub(now)).min(old);
            let used = (used * new).div_ceil(old.max(1));
            // At most the whole, which is ten years.
            Nanos::new(u64::try_from(used).unwrap_or(u64::MAX))
        };
        Self::over(self.store.rescaled(interval, share), interval, burst, clock)
    }

    fn over(store: BoundedStore, interval: Duration, burst: NonZeroU32, clock: &C) -> Self {
        // `Rate` has no interval of zero, which is all that governor refuses.
        let quota = Quota::with_period(interval)
            .unwrap_or(Quota::per_second(NonZeroU32::MIN))
            .allow_burst(burst);
        let limiter = RateLimiter::new(quota, store.clone(), clock.clone());
        let looker = RateLimiter::new(quota, Peek(store.clone()), clock.clone());
        Self { interval, burst, store, limiter, looker, began: clock.now() }
    }

    /// Whether its state means the same under this rate and burst.
    pub(super) fn is(&self, interval: Duration, burst: NonZeroU32) -> bool {
        (self.interval, self.burst) == (interval, burst)
    }

    pub(super) fn charge(&self, key: &Key) -> Result<(), NotUntil<C::Instant>> {
        self.limiter.check_key(key)
    }

    pub(super) fn peek(&self, key: &Key) -> Result<(), NotUntil<C::Instant>> {
        self.looker.check_key(key)
    }

    pub(super) fn refund(&self, key: &Key) {
        self.store.refund(key);
    }
}

/// How long a whole burst takes to grow back, in nanoseconds.
fn whole(interval: Duration, burst: NonZeroU32) -> u128 {
    interval.as_nanos() * u128::from(burst.get())
}
