//! How much SMH bears, found out by its answers: after a 429 fewer deletes are sent to the library.
//!
//! SMH says neither how much it bears nor when to come again (smh-api.md 1.4). So the first 429
//! sets a rate a little below what it took in the last second, and from there the rate is felt out
//! as TCP does it: each further 429 takes three tenths away; each second without one adds a little if
//! the rate was used, and more beyond the rate that was last refused. Half a minute without a 429
//! ends it. What is let through is paced by one leaky bucket for the library. Tenants share it
//! fairly: whoever asked lately has an equal share of the rate. The lower half of the bucket is
//! anybody's to fill, so nothing is left unused; the upper half is for deletes within the share of
//! their tenant, so whoever asks for little gets it, however much others ask for.
//!
//! Pure: the time is a parameter.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};

use crate::directory::Fingerprint;

/// What a 429 leaves of the rate. TCP's half would waste more of what SMH bears; several gateways
/// come to equal shares with any.
const LEFT: f64 = 0.7;

/// What a second without a 429 adds, of the rate that was last refused: it takes six to come back.
const GROWTH: f64 = 0.05;

/// What it adds beyond that rate, of the rate itself. SMH bears more than it did, or the first 429
/// came before there was much to measure: either way nothing is known of how much more.
const FAST_GROWTH: f64 = 0.2;

/// It adds at least so many deletes a second.
const LEAST_GROWTH: f64 = 0.5;

/// Deletes a second that are always let through. They are also how it is found out that SMH takes
/// deletes again.
const LEAST_RATE: f64 = 1.0;

/// After so long without a 429 it is over. Where more is asked for than SMH bears, the rate comes
/// to what SMH refuses in less.
const OVER: Duration = Duration::from_secs(30);

/// How many seconds of the rate may pass at once, and as many again of those within their share.
const BURST: f64 = 0.1;

/// At least one delete may.
const LEAST_BURST: f64 = 1.0;

/// At least two more may within their share: tenants that ask for little meet by chance.
const LEAST_RESERVE: f64 = 2.0;

/// Deletes that a tenant can save up of its share. One that asks for less than its share, but
/// unevenly, would often ask too soon if less of it kept.
const SAVED: f64 = 5.0;

/// Whoever asked within this has a share.
const LATELY: Duration = Duration::from_secs(2);

/// How often it is looked who still asks.
const RECOUNT: Duration = Duration::from_millis(100);

/// The refusals of this time are one sign: their deletes were under way together.
const SECOND: Duration = Duration::from_secs(1);

/// Holds deletes of one library back while SMH finds them too many. Outlives reloads.
pub struct Easing {
    taken: Taken,
    eases: AtomicBool,
    /// `None` while it does not ease.
    eased: Mutex<Option<Eased>>,
}

impl Easing {
    /// SMH refused nothing yet.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { taken: Taken::new(now), eases: AtomicBool::new(false), eased: Mutex::new(None) }
    }

    /// Charges a delete of this tenant. Costs next to nothing while it does not ease.
    ///
    /// # Errors
    /// How long it has to wait: whoever comes again after that is let through, unless another delete
    /// or a 429 comes in between.
    pub fn admit(&self, tenant: Fingerprint, now: Instant) -> Result<(), Duration> {
        self.eased(now).map_or(Ok(()), |mut eased| eased.admit(tenant, now))
    }

    /// A delete that [`Easing::admit`] let through was not sent after all.
    pub fn give_back(&self, tenant: Fingerprint) {
        if let Some(eased) = self.eased.lock().as_mut() {
            eased.level = (eased.level - 1.0).max(0.0);
            eased.tenants.give_back(tenant);
        }
    }

    /// What [`Easing::admit`] would hold back. Charges nothing, and is no sign that the tenant asks.
    #[must_use]
    pub fn would_hold(&self, tenant: Fingerprint, now: Instant) -> Option<Duration> {
        self.eased(now)?.would_hold(tenant, now)
    }

    /// SMH took a delete: any answer but 429. Takes no lock.
    pub fn taken(&self, now: Instant) {
        self.taken.add(now);
    }

    /// SMH answered 429.
    pub fn refused(&self, now: Instant) {
        let borne = self.taken.a_second(now);
        let mut eased = self.eased.lock();
        self.settle(&mut eased, now);
        match eased.as_mut() {
            Some(eased) => eased.refused(borne, now),
            None => *eased = Some(Eased::new(borne, now)),
        }
        self.eases.store(true, Ordering::Relaxed);
    }

    /// Deletes a second that are let through; `None` while it does not ease.
    #[must_use]
    pub fn rate(&self, now: Instant) -> Option<f64> {
        Some(self.eased(now)?.rate)
    }

    fn eased(&self, now: Instant) -> Option<MappedMutexGuard<'_, Eased>> {
        // Relaxed: it guards nothing but itself. Who sees it late lets a delete through that came
        // at the same time as the 429.
        if !self.eases.load(Ordering::Relaxed) {
            return None;
        }
        let mut eased = self.eased.lock();
        self.settle(&mut eased, now);
        let mut eased = MutexGuard::try_map(eased, Option::as_mut).ok()?;
        eased.grow(&self.taken, now);
        Some(eased)
    }

    /// Brings it up to now, and ends it if it is over.
    fn settle(&self, eased: &mut Option<Eased>, now: Instant) {
        if eased.as_ref().is_some_and(|eased| eased.is_over(now)) {
            *eased = None;
            self.eases.store(false, Ordering::Relaxed);
        }
        if let Some(eased) = eased {
            eased.settle(now);
        }
    }
}

/// The rate, and what is used of it.
struct Eased {
    /// Deletes a second.
    rate: f64,
    /// The rate that was too much.
    refused_at: f64,
    /// The last 429.
    refused: Instant,
    lowered: Instant,
    /// Since then there was neither a 429 nor a growth.
    unchanged: Instant,
    /// Deletes let through that would not have been yet, were they sent evenly.
    level: f64,
    leaked: Instant,
    tenants: Tenants,
}

impl Eased {
    /// With nothing left for now: SMH has just had too much.
    fn new(borne: f64, now: Instant) -> Self {
        let refused_at = borne.max(LEAST_RATE);
        let rate = (LEFT * refused_at).max(LEAST_RATE);
        Self {
            rate,
            refused_at,
            refused: now,
            lowered: now,
            unchanged: now,
            level: burst(rate),
            leaked: now,
            tenants: Tenants::new(now),
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.refused) >= OVER
    }

    fn settle(&mut self, now: Instant) {
        self.level = (self.level - self.rate * seconds(self.leaked, now)).max(0.0);
        self.leaked = self.leaked.max(now);
        self.tenants.recount(self.rate, now);
    }

    /// Raises the rate, at most once a second, if half of it was used: a rate that nobody uses
    /// proves nothing about a higher one.
    fn grow(&mut self, taken: &Taken, now: Instant) {
        let is_due = now.saturating_duration_since(self.unchanged) >= SECOND;
        if is_due && taken.a_second(now) >= self.rate / 2.0 {
            let is_known = self.rate < self.refused_at;
            let more = if is_known { GROWTH * self.refused_at } else { FAST_GROWTH * self.rate };
            self.rate += more.max(LEAST_GROWTH);
            self.unchanged = now;
        }
    }

    /// Lowers the rate, but not below a little less than SMH `borne` in the last second: where its
    /// answers take longer than that, refusals still arrive of deletes sent before the rate fell.
    fn refused(&mut self, borne: f64, now: Instant) {
        (self.refused, self.unchanged) = (now, now);
        if now.saturating_duration_since(self.lowered) >= SECOND {
            self.refused_at = self.rate.max(borne);
            self.rate = self.rate.min(LEFT * self.refused_at).max(LEAST_RATE);
            self.lowered = now;
        }
    }

    fn admit(&mut self, tenant: Fingerprint, now: Instant) -> Result<(), Duration> {
        let share = self.tenants.asks(tenant, self.rate, now);
        if let Some(wait) = self.wait(&share) {
            return Err(wait);
        }
        self.level += 1.0;
        self.tenants.spend(tenant);
        Ok(())
    }

    fn would_hold(&self, tenant: Fingerprint, now: Instant) -> Option<Duration> {
        self.wait(&self.tenants.share(tenant, self.rate, now))
    }

    /// Until there is room in the lower half of the bucket, or until the delete is within its
    /// tenant's share and there is room in the upper one.
    ///
    /// If a share needed no room, many tenants that come seldom would get more than the rate: the
    /// shares add up to it only among those who ask at the same time.
    fn wait(&self, share: &Share) -> Option<Duration> {
        let room = |height: f64| (self.level + 1.0 - height) / self.rate;
        let within_share = (1.0 - share.left) / share.rate;
        let lower = burst(self.rate);
        let whole = lower + lower.max(LEAST_RESERVE);
        let wait = room(lower).min(within_share.max(room(whole)));
        // At least LEAST_RATE, among tenants that fit in memory: it is neither infinite nor large.
        let wait = Duration::try_from_secs_f64(wait.max(0.0)).unwrap_or(SECOND);
        // It was rounded to nanoseconds, and must be enough.
        (!wait.is_zero()).then(|| wait + Duration::from_nanos(1))
    }
}

/// The height of the lower half.
fn burst(rate: f64) -> f64 {
    (BURST * rate).max(LEAST_BURST)
}

fn seconds(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64()
}

/// Who asks. As many as are configured, so they need no bound.
struct Tenants {
    all: HashMap<Fingerprint, Tenant>,
    /// How many of them have a share.
    sharing: u32,
    recounted: Instant,
}

struct Tenant {
    asked: Instant,
    /// What was left of its share when it asked.
    left: f64,
    has_share: bool,
}

/// The share of one tenant.
struct Share {
    /// Deletes a second.
    rate: f64,
    /// Deletes that it may send now.
    left: f64,
}

impl Tenants {
    fn new(now: Instant) -> Self {
        Self { all: HashMap::new(), sharing: 0, recounted: now }
    }

    /// Takes the share away from those who asked for nothing lately, and forgets those that are like
    /// one that comes new.
    fn recount(&mut self, rate: f64, now: Instant) {
        if now.saturating_duration_since(self.recounted) < RECOUNT {
            return;
        }
        let share = rate / f64::from(self.sharing.max(1));
        let mut sharing = 0;
        self.all.retain(|_, tenant| {
            tenant.has_share = now.saturating_duration_since(tenant.asked) < LATELY;
            sharing += u32::from(tenant.has_share);
            tenant.has_share || tenant.left_by(share, now) < SAVED
        });
        (self.sharing, self.recounted) = (sharing, now);
    }

    /// The share of a tenant that asks now.
    fn asks(&mut self, tenant: Fingerprint, rate: f64, now: Instant) -> Share {
        let share = self.share(tenant, rate, now);
        let known = self.all.entry(tenant).or_insert_with(|| Tenant::new(now));
        self.sharing += u32::from(!known.has_share);
        known.has_share = true;
        known.left = share.left;
        known.asked = known.asked.max(now);
        share
    }

    /// The share that a tenant would have, were it to ask now.
    fn share(&self, tenant: Fingerprint, rate: f64, now: Instant) -> Share {
        let known = self.all.get(&tenant);
        let has_share = known.is_some_and(|tenant| tenant.has_share);
        let rate = rate / f64::from(self.sharing + u32::from(!has_share));
        let left = known.map_or(SAVED, |tenant| tenant.left_by(rate, now));
        Share { rate, left }
    }

    /// A delete of the tenant was let through. Where that was beyond its share it owes nothing: the
    /// others had left it.
    fn spend(&mut self, tenant: Fingerprint) {
        if let Some(tenant) = self.all.get_mut(&tenant) {
            tenant.left = (tenant.left - 1.0).max(0.0);
        }
    }

    fn give_back(&mut self, tenant: Fingerprint) {
        if let Some(tenant) = self.all.get_mut(&tenant) {
            tenant.left = (tenant.left + 1.0).min(SAVED.max(tenant.left));
        }
    }
}

impl Tenant {
    fn new(now: Instant) -> Self {
        Self { asked: now, left: SAVED, has_share: false }
    }

    /// What is left by then of its share of so many deletes a second.
    fn left_by(&self, rate: f64, now: Instant) -> f64 {
        (self.left + rate * seconds(self.asked, now)).min(SAVED.max(BURST * rate))
    }
}

/// Parts of a second in which is counted.
const PARTS: u64 = 10;

const PART: Duration = Duration::from_millis(100);

/// A second, the part that is not over, and a few that a late thread may still write.
const SLOTS: usize = 16;

/// The low bits of a slot count, the others say which part of time it is about.
const COUNT_BITS: u32 = 24;

/// What SMH took lately. Threads meet at one atomic number, and no lock.
struct Taken {
    start: Instant,
    slots: [AtomicU64; SLOTS],
}

impl Taken {
    fn new(now: Instant) -> Self {
        Self { start: now, slots: [const { AtomicU64::new(0) }; SLOTS] }
    }

    fn add(&self, now: Instant) {
        let part = self.part(now);
        let add = |held: u64| {
            let is_over = held >> COUNT_BITS < part;
            Some(1 + if is_over { part << COUNT_BITS } else { held })
        };
        // Relaxed: the count is all there is to it. It never fails: there is always another value.
        let _ = self.slot(part).fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Deletes a second, over the last one.
    fn a_second(&self, now: Instant) -> f64 {
        let last = self.part(now);
        let first = last.saturating_sub(PARTS);
        let counts = (first..=last).map(|part| {
            let held = self.slot(part).load(Ordering::Relaxed);
            if held >> COUNT_BITS == part { held - (part << COUNT_BITS) } else { 0 }
        });
        let count = u32::try_from(counts.sum::<u64>()).unwrap_or(u32::MAX);
        let begun = now.saturating_duration_since(self.start).as_secs_f64();
        let since_first = begun - PART.as_secs_f64() * first as f64;
        f64::from(count) / since_first.max(1.0)
    }

    /// Which part of time it is, from 0.
    fn part(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.start);
        since.as_secs() * PARTS + u64::from(since.subsec_millis()) / 100
    }

    fn slot(&self, part: u64) -> &AtomicU64 {
        // The remainder of a division by SLOTS fits in any integer.
        let index = usize::try_from(part % SLOTS as u64).unwrap_or(0);
        self.slots.get(index).unwrap_or(&self.slots[0])
    }
}

#[cfg(test)]
mod tests;
