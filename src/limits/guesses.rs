//! Guessing at credentials is slowed down: failed authentications, counted for each source.
//!
//! A token bucket a source, by GCRA: all that is kept of one is the moment at which it is full
//! again. Pure: the time is a parameter. What succeeds costs nothing here, so a source that never
//! failed is never refused, whatever others do.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::authenticate::PeerAddress;
use crate::ids::LimitName;
use crate::limits::shards::{SHARDS, Shards};
use crate::refusal::{Exhausted, Refusal};

/// Failures at once. A job with a wrong key shares its node's address with others: so many leave
/// time to notice before they are all held up.
const BURST: u32 = 60;

/// The time in which one more failure is allowed. A key has at least 16 bytes: at one guess a
/// second a random one is never found.
const INTERVAL: Duration = Duration::from_secs(1);

/// An empty bucket is full again after this.
const WHOLE: Duration = INTERVAL.saturating_mul(BURST);

/// Who owes no more than this has one attempt left.
const LEEWAY: Duration = INTERVAL.saturating_mul(BURST - 1);

/// Nobody waits longer than this for an attempt, however many failures were under way together.
/// What is paid for beyond it would slow down nobody who guesses one by one, and would lock out
/// those behind the same address for as long as a flood was large.
const LONGEST_WAIT: Duration = Duration::from_secs(2 * 60);

/// Most sources that are remembered; under a megabyte.
///
/// When all places are taken, a source that fails takes the place of the one that owes least, and
/// takes over what that one owes, short of being refused for it. So whoever lost its place owes as
/// much when it is back: nobody gets a fresh burst by having itself forgotten.
///
/// The alternative is one bucket for all without a place. That would bound the guesses of all
/// sources together, but 10 000 addresses, which any larger IPv6 allocation has, could hold it
/// empty and lock out every caller that never failed. Here the worst is that somebody with more
/// addresses than there are places tries once from each that has none. It takes 10 000 failures a
/// second to come that far, and a thousand times as many would find no key: nothing worth a
/// lock-out.
const MAX_SOURCES: usize = 10_000;

/// Below this, looking for idle sources costs more than it frees.
const FIRST_SWEEP: usize = 64;

/// Where an attempt comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuessSource {
    /// Over the network. IPv6 addresses of one /64 count as one: who has one has them all. An
    /// IPv4-mapped address counts as what it maps.
    Address(IpAddr),
    /// Through a Unix socket: the user id of the process at the other end.
    UnixUser(u32),
}

impl From<PeerAddress> for GuessSource {
    fn from(address: PeerAddress) -> Self {
        match address {
            PeerAddress::Tcp(address) => Self::Address(address.ip()),
            PeerAddress::Unix { uid, .. } => Self::UnixUser(uid),
        }
    }
}

/// A source as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Ipv4(Ipv4Addr),
    Ipv6Network([u16; 4]),
    UnixUser(u32),
}

impl From<GuessSource> for Key {
    fn from(source: GuessSource) -> Self {
        match source {
            GuessSource::Address(address) => match address.to_canonical() {
                IpAddr::V4(address) => Self::Ipv4(address),
                IpAddr::V6(address) => {
                    let [a, b, c, d, ..] = address.segments();
                    Self::Ipv6Network([a, b, c, d])
                }
            },
            GuessSource::UnixUser(id) => Self::UnixUser(id),
        }
    }
}

/// The sources that failed lately. Time is counted from when this was made.
pub struct Guesses {
    start: Instant,
    /// In nanoseconds: from then on nobody is refused, if nobody fails any more.
    all_clear: AtomicU64,
    places_a_shard: usize,
    shards: Shards<Shard>,
}

struct Shard {
    full_at: HashMap<Key, Duration>,
    sweep_at: usize,
}

impl Guesses {
    /// Nobody failed yet.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self::with_places(MAX_SOURCES, now)
    }

    fn with_places(places: usize, now: Instant) -> Self {
        Self {
            start: now,
            all_clear: AtomicU64::new(0),
            places_a_shard: places.div_ceil(SHARDS),
            shards: Shards::new(|| Shard { full_at: HashMap::new(), sweep_at: FIRST_SWEEP }),
        }
    }

    /// Whether a source may try to authenticate. Changes nothing, and takes no lock while nobody
    /// is refused.
    ///
    /// # Errors
    /// How long it has to wait.
    pub fn may_try(&self, source: GuessSource, now: Instant) -> Result<(), Duration> {
        let now = self.since_start(now);
        // Relaxed: it guards nothing but itself. Who sees it late lets through an attempt that was
        // made at the same time as the failure.
        if now >= Duration::from_nanos(self.all_clear.load(Ordering::Relaxed)) {
            return Ok(());
        }
        let key = Key::from(source);
        let full_at = self.shards.lock(&key).full_at.get(&key).copied();
        let refused_until = full_at.unwrap_or_default().saturating_sub(LEEWAY);
        match refused_until.saturating_sub(now) {
            Duration::ZERO => Ok(()),
            wait => Err(wait),
        }
    }

    /// Counts a failure. Also one too many: attempts that were under way together are paid for, up
    /// to two minutes. Between [`Guesses::may_try`] and this an attempt may wait for the keys of
    /// an issuer, so there can be as many as there are connections.
    pub fn failed(&self, source: GuessSource, now: Instant) {
        let now = self.since_start(now);
        let key = Key::from(source);
        let full_at = self.shards.lock(&key).charge(key, now, self.places_a_shard);
        let refused_until = full_at.saturating_sub(LEEWAY).as_nanos();
        // A u64 of nanoseconds lasts for 584 years.
        let refused_until = u64::try_from(refused_until).unwrap_or(u64::MAX);
        self.all_clear.fetch_max(refused_until, Ordering::Relaxed);
    }

    /// How many sources failed lately. Looks at each of them and forgets those that are idle: it is
    /// for a scrape, not for a request.
    #[must_use]
    pub fn count(&self, now: Instant) -> usize {
        let now = self.since_start(now);
        let left = self.shards.iter().map(|mut shard| {
            shard.sweep(now);
            shard.full_at.len()
        });
        left.sum()
    }

    /// What a source is told that has to wait.
    #[must_use]
    pub fn refusal(wait: Duration) -> Refusal {
        Refusal::RateLimited(Box::new(Exhausted {
            limit: LimitName::authentication_failures(),
            wait,
            quota: BURST,
            window: WHOLE,
        }))
    }

    fn since_start(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }
}

impl Shard {
    /// Takes one from the bucket of a source, and says when that one is full again.
    fn charge(&mut self, source: Key, now: Duration, places: usize) -> Duration {
        let held = self.full_at.get(&source).copied();
        let owed = held.unwrap_or_else(|| {
            // After one failure of its own nobody waits for more than one interval.
            self.make_room(now, places).min(now.saturating_add(LEEWAY))
        });
        let most = now.saturating_add(LEEWAY + LONGEST_WAIT);
        let full_at = owed.max(now).saturating_add(INTERVAL).min(most);
        self.full_at.insert(source, full_at);
        full_at
    }

    /// Frees a place for one more source, and says what that one takes over.
    fn make_room(&mut self, now: Duration, places: usize) -> Duration {
        if self.full_at.len() >= self.sweep_at.min(places) {
            self.sweep(now);
        }
        if self.full_at.len() < places {
            return Duration::ZERO;
        }
        let least = self.full_at.iter().min_by_key(|(_, full_at)| **full_at);
        let least = least.map(|(source, _)| *source);
        least.and_then(|source| self.full_at.remove(&source)).unwrap_or_default()
    }

    /// Forgets the sources whose bucket is full: they are like any that never failed. Gives the
    /// memory back, and looks again when twice as many are held.
    fn sweep(&mut self, now: Duration) {
        self.full_at.retain(|_, full_at| *full_at > now);
        self.full_at.shrink_to_fit();
        self.sweep_at = (self.full_at.len() * 2).max(FIRST_SWEEP);
    }
}

#[cfg(test)]
mod tests;
