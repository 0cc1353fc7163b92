//! Where the limits' state lives in this process: a bounded map from key to GCRA state.
//!
//! governor does the arithmetic and stores through [`StateStore`]; this store adds what its own
//! lacks: a bound, memory given back, and a refund.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use governor::nanos::Nanos;
use governor::state::StateStore;

use crate::directory::Fingerprint;
use crate::limits::shards::{SHARDS, Shards};

/// Whose share is counted: what a limit is `per`, the rest left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Key {
    pub(super) caller: Option<Fingerprint>,
    pub(super) tenant: Option<Fingerprint>,
    pub(super) library: Option<Fingerprint>,
    pub(super) user_id: Option<Fingerprint>,
}

/// Most keys of one limit. A `user_id` is the caller's to choose, so the number must be bounded:
/// at about 100 bytes each this is some 10 MB a limit.
pub(super) const MAX_KEYS: usize = 100_000;

/// Below this, looking for idle keys costs more than it frees.
const FIRST_SWEEP: usize = 64;

/// The state of one limit; clones share it.
#[derive(Clone)]
pub(super) struct BoundedStore(Arc<State>);

struct State {
    /// What one delete costs: the time in which a share of one grows back.
    interval: Nanos,
    keys_a_shard: usize,
    shards: Shards<Shard>,
}

/// GCRA's state is one number a key: the theoretical arrival time, in nanoseconds.
struct Shard {
    arrivals: HashMap<Key, Nanos>,
    /// The one share of all keys that found no place: nobody gets a fresh one for free.
    overflow: Option<Nanos>,
    sweep_at: usize,
}

impl BoundedStore {
    pub(super) fn new(interval: Duration, max_keys: usize) -> Self {
        let shard = || Shard { arrivals: HashMap::new(), overflow: None, sweep_at: FIRST_SWEEP };
        Self(Arc::new(State {
            interval: interval.into(),
            keys_a_shard: max_keys.div_ceil(SHARDS),
            shards: Shards::new(shard),
        }))
    }

    /// The state of a limit that succeeds this one, each arrival turned into what it is there: nothing
    /// for a key whose share is whole. Nothing is charged to this one meanwhile but by deletes that
    /// began before.
    pub(super) fn rescaled(&self, interval: Duration, turn: impl Fn(Nanos) -> Nanos) -> Self {
        let used = |arrival: Nanos| Some(turn(arrival)).filter(|used| *used > Nanos::default());
        let shards = self.0.shards.map(|old| {
            let arrivals = old.arrivals.iter().filter_map(|(key, at)| Some((*key, used(*at)?)));
            let arrivals: HashMap<_, _> = arrivals.collect();
            let sweep_at = (arrivals.len() * 2).max(FIRST_SWEEP);
            Shard { arrivals, overflow: old.overflow.and_then(used), sweep_at }
        });
        let keys_a_shard = self.0.keys_a_shard;
        Self(Arc::new(State { interval: interval.into(), keys_a_shard, shards }))
    }

    /// Takes back one charge. Exact: it leaves what would be there had the delete never come.
    pub(super) fn refund(&self, key: &Key) {
        let mut shard = self.0.shards.lock(key);
        let interval = self.0.interval;
        match shard.arrivals.get_mut(key) {
            Some(arrival) => *arrival = arrival.saturating_sub(interval),
            None => {
                shard.overflow = shard.overflow.map(|arrival| arrival.saturating_sub(interval));
            }
        }
    }

    /// How many keys are held.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.shards.iter().map(|shard| shard.arrivals.len()).sum()
    }
}

/// Looks at the state of a limit without changing it.
pub(super) struct Peek(pub(super) BoundedStore);

impl StateStore for Peek {
    type Key = Key;

    fn measure_and_replace<T, F, E>(&self, key: &Key, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let state = &*self.0.0;
        let shard = state.shards.lock(key);
        let held = shard.arrivals.get(key).copied();
        let full = shard.arrivals.len() >= state.keys_a_shard;
        let arrival = if held.is_none() && full { shard.overflow } else { held };
        measure(arrival).map(|(outcome, _)| outcome)
    }
}

impl StateStore for BoundedStore {
    type Key = Key;

    fn measure_and_replace<T, F, E>(&self, key: &Key, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let state = &*self.0;
        let mut shard = state.shards.lock(key);
        let shard = &mut *shard;
        if shard.arrivals.len() >= shard.sweep_at.min(state.keys_a_shard)
            && !shard.arrivals.contains_key(key)
        {
            // For a fresh key the new state is now plus one interval: that is how "now" is known.
            let (_, fresh) = measure(None)?;
            shard.sweep(fresh.saturating_sub(state.interval));
            if shard.arrivals.len() >= state.keys_a_shard {
                let (outcome, next) = measure(shard.overflow)?;
                shard.overflow = Some(next);
                return Ok(outcome);
            }
        }
        match shard.arrivals.entry(*key) {
            Entry::Occupied(mut held) => {
                let (outcome, next) = measure(Some(*held.get()))?;
                held.insert(next);
                Ok(outcome)
            }
            Entry::Vacant(free) => {
                let (outcome, next) = measure(None)?;
                free.insert(next);
                Ok(outcome)
            }
        }
    }
}

impl Shard {
    /// Drops the keys whose share is whole again: a fresh key has just the same. Gives the memory
    /// back, and looks again when twice as many are held.
    fn sweep(&mut self, now: Nanos) {
        self.arrivals.retain(|_, arrival| *arrival > now);
        self.arrivals.shrink_to_fit();
        self.sweep_at = (self.arrivals.len() * 2).max(FIRST_SWEEP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;
    use governor::middleware::NoOpMiddleware;
    use governor::{Quota, RateLimiter};
    use std::num::NonZeroU32;

    const SECOND: Duration = Duration::from_secs(1);

    type Limiter = RateLimiter<Key, BoundedStore, FakeRelativeClock, NoOpMiddleware<Nanos>>;

    /// Two deletes at once, one more each second.
    fn limiter(max_keys: usize) -> (Limiter, BoundedStore, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let quota = Quota::with_period(SECOND).unwrap().allow_burst(NonZeroU32::new(2).unwrap());
        let store = BoundedStore::new(SECOND, max_keys);
        (RateLimiter::new(quota, store.clone(), clock.clone()), store, clock)
    }

    fn key(user: usize) -> Key {
        Key { user_id: Some(Fingerprint::of(&user.to_string())), ..Key::default() }
    }

    #[test]
    fn keys_do_not_share() {
        let (limiter, _, _) = limiter(MAX_KEYS);
        assert!(limiter.check_key(&key(1)).is_ok());
        assert!(limiter.check_key(&key(1)).is_ok());
        assert!(limiter.check_key(&key(1)).is_err());
        assert!(limiter.check_key(&key(2)).is_ok());
    }

    #[test]
    fn the_number_of_keys_is_bounded_and_a_new_key_gets_no_full_share_for_free() {
        let (limiter, store, _) = limiter(1_600);
        let admitted = (0..100_000).filter(|&user| limiter.check_key(&key(user)).is_ok()).count();
        // One for each key that found a place, two from each shard's common share.
        assert!(admitted <= 1_600 + 2 * SHARDS, "{admitted}");
        assert!(store.len() <= 1_600);
    }

    #[test]
    fn idle_keys_are_dropped() {
        let (limiter, store, clock) = limiter(MAX_KEYS);
        for user in 0..20_000 {
            assert!(limiter.check_key(&key(user)).is_ok());
            if user % 100 == 0 {
                clock.advance(SECOND);
            }
        }
        assert!(store.len() < 4_000);
    }

    #[test]
    fn a_refund_leaves_what_was_there_before() {
        let (limiter, store, clock) = limiter(MAX_KEYS);
        assert!(limiter.check_key(&key(1)).is_ok());
        clock.advance(SECOND / 2);
        for _ in 0..10 {
            assert!(limiter.check_key(&key(1)).is_ok());
            store.refund(&key(1));
        }
        assert!(limiter.check_key(&key(1)).is_ok());
        assert!(limiter.check_key(&key(1)).is_err());
    }
}
