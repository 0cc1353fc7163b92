//! How much is too much: rate limits in this process.
//!
//! GCRA by governor, so there are no window edges. Several limits may apply to one delete: it
//! passes all or charges none. Pure but for the clock, which is a parameter. Apart from them stand
//! [`Guesses`], which are about who may ask at all.

mod counted;
mod easing;
mod guesses;
mod shards;
mod store;

pub use self::easing::Easing;
pub use self::guesses::{GuessSource, Guesses};

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::NotUntil;
use governor::clock::{Clock, MonotonicClock};
use smallvec::SmallVec;

use self::counted::Counted;
use self::store::Key;
use crate::directory::Fingerprint;
use crate::ids::LimitName;
use crate::policy::{Enforcement, Permit, RuleMode, Selector, Subject};
use crate::refusal::{Exhausted, Refusal};

/// What a limit counts for each of: with nothing chosen, one count for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "a set of four: each is in it or not")]
pub struct Per {
    /// For each caller.
    pub caller: bool,
    /// For each tenant.
    pub tenant: bool,
    /// For each library.
    pub library: bool,
    /// For each `user_id`; deletes without one are counted together.
    pub user_id: bool,
}

/// One limit, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitRule {
    /// How answers call it.
    pub name: LimitName,
    /// What it counts for each of.
    pub per: Per,
    /// Which deletes it is about.
    pub matches: Selector,
    /// How many deletes a window.
    pub rate: Rate,
    /// How many at once after a pause.
    pub burst: NonZeroU32,
    /// Whether it refuses.
    pub mode: RuleMode,
    /// Where it stands, from 1.
    pub line: u32,
}

/// So many deletes in so long a time.
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
}

/// As an operator would write it.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, window, .. } = self;
        match window.as_secs() {
            1 => write!(f, "{count}/s"),
            60 => write!(f, "{count}/min"),
            3_600 => write!(f, "{count}/h"),
            86_400 => write!(f, "{count}/day"),
            _ => write!(f, "{count} in {window:?}"),
        }
    }
}

/// Ten years.
const LONGEST_BURST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Proof that the limits let a delete through. Only [`Limits::admit`] makes one.
#[derive(Debug)]
pub struct Admission {
    permit: Permit,
    shadow: ShadowLimits,
}

/// Limits that would have refused a delete, had they been enforced. They were not charged.
pub type ShadowLimits = SmallVec<[LimitName; 1]>;

impl Admission {
    /// What was admitted.
    #[must_use]
    pub fn permit(&self) -> &Permit {
        &self.permit
    }

    /// Limits that would have refused it.
    #[must_use]
    pub fn shadow(&self) -> &ShadowLimits {
        &self.shadow
    }
}

/// The limits in force, and what is used of each.
pub struct Limits<C: Clock = MonotonicClock> {
    limits: Vec<Limit<C>>,
    clock: C,
}

struct Limit<C: Clock> {
    rule: LimitRule,
    /// Shared with the limit that this one succeeds, where both count alike.
    counted: Arc<Counted<C>>,
}

impl Limits {
    /// Limits of which nothing is used yet, on the monotonic clock.
    #[must_use]
    pub fn new(rules: Vec<LimitRule>) -> Self {
        Self::with_clock(rules, MonotonicClock)
    }
}

impl<C: Clock + Clone> Limits<C> {
    /// As [`Limits::new`], on a clock of the caller's.
    #[must_use]
    pub fn with_clock(rules: Vec<LimitRule>, clock: C) -> Self {
        let limits = rules.into_iter().map(|rule| Limit::new(rule, &clock)).collect();
        Self { limits, clock }
    }

    /// Other limits that come after these. One that keeps its name and what it is `per` goes on where
    /// it was: with the very state while rate and burst stay, and from the same share of them where
    /// they do not. Any other is a new one, of which nothing is used.
    #[must_use]
    pub fn succeeded_by(&self, rules: Vec<LimitRule>) -> Self {
        let succeed = |rule: LimitRule| {
            let same = |old: &&Limit<C>| old.rule.name == rule.name && old.rule.per == rule.per;
            match self.limits.iter().find(same) {
                Some(old) => old.succeeded_by(rule, &self.clock),
                None => Limit::new(rule, &self.clock),
            }
        };
        Self { limits: rules.into_iter().map(succeed).collect(), clock: self.clock.clone() }
    }

    /// Charges a delete to every limit that is about it, or to none.
    ///
    /// # Errors
    /// [`Refusal::RateLimited`] with, of the limits that are used up, the one that takes longest.
    pub fn admit(&self, permit: Permit) -> Result<Admission, Refusal> {
        match self.charge(&permit) {
            Ok(shadow) => Ok(Admission { permit, shadow }),
            Err(exhausted) => Err(Refusal::RateLimited(Box::new(exhausted))),
        }
    }

    /// What [`Limits::admit`] would refuse with. Charges nothing.
    #[must_use]
    pub fn would_refuse(&self, permit: &Permit) -> Option<Refusal> {
        let exhausted = self.longest_wait(&self.limits, permit)?;
        Some(Refusal::RateLimited(Box::new(exhausted)))
    }

    /// How long a limit is used up for a delete. Charges nothing.
    #[must_use]
    pub fn wait(&self, name: &LimitName, subject: &Subject<'_>) -> Option<Duration> {
        let limit = self.limits.iter().find(|limit| limit.rule.name == *name)?;
        let until = limit.peek(subject).err()?;
        Some(until.wait_time_from(self.clock.now()))
    }

    fn charge(&self, permit: &Permit) -> Result<ShadowLimits, Exhausted> {
        let (subject, mut shadow) = (permit.subject(), ShadowLimits::new());
        for (position, limit) in self.limits.iter().enumerate() {
            match limit.charge(&subject) {
                Ok(()) => {}
                Err(_) if limit.is_shadow(permit) => shadow.push(limit.rule.name.clone()),
                Err(_) => {
                    let before = self.limits.get(..position).unwrap_or_default();
                    for charged in before.iter().filter(|one| !shadow.contains(&one.rule.name)) {
                        charged.refund(&subject);
                    }
                    // The caller is told the longest wait, so those behind it are asked as well.
                    let rest = self.limits.get(position..).unwrap_or_default();
                    // Its share may have grown back in between: then the next try will pass.
                    return Err(self
                        .longest_wait(rest, permit)
                        .unwrap_or_else(|| limit.exhausted(Duration::ZERO)));
                }
            }
        }
        Ok(shadow)
    }

    fn longest_wait(&self, limits: &[Limit<C>], permit: &Permit) -> Option<Exhausted> {
        limits
            .iter()
            .filter(|limit| !limit.is_shadow(permit))
            .filter_map(|limit| {
                let until = limit.peek(&permit.subject()).err()?;
                Some(limit.exhausted(until.wait_time_from(self.clock.now())))
            })
            .max_by_key(|exhausted| exhausted.wait)
    }
}

impl<C: Clock + Clone> Limit<C> {
    fn new(rule: LimitRule, clock: &C) -> Self {
        let counted = Arc::new(Counted::new(rule.rate.interval, rule.burst, clock));
        Self { rule, counted }
    }

    fn succeeded_by(&self, rule: LimitRule, clock: &C) -> Self {
        let (interval, burst) = (rule.rate.interval, rule.burst);
        let counted = if self.counted.is(interval, burst) {
            Arc::clone(&self.counted)
        } else {
            Arc::new(self.counted.rescaled(interval, burst, clock))
        };
        Self { rule, counted }
    }

    /// Whether it only counts what it would refuse.
    fn is_shadow(&self, permit: &Permit) -> bool {
        self.rule.mode == RuleMode::Shadow || permit.enforcement() == Enforcement::DryRun
    }

    fn charge(&self, subject: &Subject<'_>) -> Result<(), NotUntil<C::Instant>> {
        if self.rule.matches.matches(subject) {
            self.counted.charge(&self.key(subject))
        } else {
            Ok(())
        }
    }

    fn peek(&self, subject: &Subject<'_>) -> Result<(), NotUntil<C::Instant>> {
        if self.rule.matches.matches(subject) {
            self.counted.peek(&self.key(subject))
        } else {
            Ok(())
        }
    }

    fn refund(&self, subject: &Subject<'_>) {
        if self.rule.matches.matches(subject) {
            self.counted.refund(&self.key(subject));
        }
    }

    fn key(&self, subject: &Subject<'_>) -> Key {
        let Subject { caller, tenant, user_id, .. } = subject;
        let Per { caller: per_caller, tenant: per_tenant, library, user_id: per_user } =
            self.rule.per;
        Key {
            caller: per_caller.then_some(caller.fingerprint),
            tenant: per_tenant.then_some(tenant.fingerprint),
            library: library.then_some(tenant.library.fingerprint),
            user_id: per_user.then(|| user_id.map(|user| Fingerprint::of(user.as_str()))).flatten(),
        }
    }

    fn exhausted(&self, wait: Duration) -> Exhausted {
        let Rate { count, window, .. } = self.rule.rate;
        Exhausted { limit: self.rule.name.clone(), wait, quota: count.get(), window }
    }
}

#[cfg(test)]
mod tests;
