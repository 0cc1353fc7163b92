//! How much is too much: rate limits.
//!
//! Several limits may apply to one delete: it passes all or charges none. Pure: time is a parameter,
//! and nothing here waits. Where a store is shared by several gateways, [`Limits::claim`] says what it
//! is to charge and [`Limits::settle`] makes the admission of its answer; where it does not answer,
//! [`Limits::admit`] goes on by what is known here. Apart from them stand [`Guesses`], which are about
//! who may ask at all.

mod claim;
mod easing;
mod grants;
mod guesses;
mod key;
mod limit;
mod quota;
mod saved;
mod shards;
mod standing;
mod store;

pub use self::claim::{Claim, Claimed, Taken, Verdict};
pub use self::easing::Easing;
pub use self::grants::Grant;
pub use self::guesses::{GuessSource, Guesses};
pub use self::key::{Key, Per};
pub use self::limit::{LimitRule, Sharing, View};
pub use self::quota::{Quota, Rate};
pub use self::saved::Saved;
pub use self::standing::{Standing, Told};

use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use self::grants::Grants;
use self::limit::{Charged, Limit};
use crate::ids::LimitName;
use crate::policy::{Enforcement, Permit, RuleMode, Subject};
use crate::refusal::{Exhausted, Refusal};

/// Proof that the limits let a delete through. Only [`Limits::admit`] and [`Limits::settle`] make one.
#[derive(Debug)]
pub struct Admission {
    permit: Permit,
    shadow: ShadowLimits,
    warned: ShadowLimits,
    standings: Standings,
}

/// Names of limits. Room for those that are usual, so that nothing is allocated.
pub type ShadowLimits = SmallVec<[LimitName; 1]>;

/// How the limits of one delete stand after it.
type Standings = SmallVec<[Standing; 4]>;

impl Admission {
    /// What was admitted.
    #[must_use]
    pub fn permit(&self) -> &Permit {
        &self.permit
    }

    /// What was admitted, as it was before.
    #[must_use]
    pub fn into_permit(self) -> Permit {
        self.permit
    }

    /// Limits that would have refused it, had they been enforced. They were not charged.
    #[must_use]
    pub fn shadow(&self) -> &ShadowLimits {
        &self.shadow
    }

    /// Limits whose `warn_at` it crossed.
    #[must_use]
    pub fn warned(&self) -> &ShadowLimits {
        &self.warned
    }
}

/// The limits in force, and what is used of each.
pub struct Limits {
    limits: Vec<Limit>,
    grants: Arc<Grants>,
    /// From when on time is counted.
    epoch: Instant,
}

impl Limits {
    /// Limits of which nothing is used yet.
    #[must_use]
    pub fn new(rules: Vec<LimitRule>, sharing: Sharing, now: Instant) -> Self {
        let limits = rules.into_iter().map(|rule| Limit::new(rule, sharing)).collect();
        Self { limits, grants: Arc::default(), epoch: now }
    }

    /// Other limits that come after these. One that keeps its name and what it is `per` goes on where
    /// it was: with the very state while rate and burst stay, and from the same share of them where
    /// they do not. Any other is a new one, of which nothing is used.
    #[must_use]
    pub fn succeeded_by(&self, rules: Vec<LimitRule>, sharing: Sharing, now: Instant) -> Self {
        let at = self.at(now);
        let succeed =
            |rule: LimitRule| match self.limits.iter().find(|old| rule.continues(&old.rule)) {
                Some(old) => old.succeeded_by(rule, sharing, at),
                None => Limit::new(rule, sharing),
            };
        Self {
            limits: rules.into_iter().map(succeed).collect(),
            grants: Arc::clone(&self.grants),
            epoch: self.epoch,
        }
    }

    /// Charges a delete to every limit that is about it, or to none, by what is known here.
    ///
    /// # Errors
    /// [`Refusal::RateLimited`] with, of the limits that are used up, the one that takes longest.
    pub fn admit(&self, permit: Permit, now: Instant) -> Result<Admission, Refusal> {
        let now = self.at(now);
        let (mut shadow, mut warned) = (ShadowLimits::new(), ShadowLimits::new());
        let (mut standings, mut charges) = (Standings::new(), Charges::new());
        let subject = permit.subject();
        for (position, limit) in self.about(&subject) {
            let key = limit.rule.per.key(&subject);
            match limit.charge(&key, now) {
                Ok(Charged { used, warns }) => {
                    warned.extend(warns.then(|| limit.rule.name.clone()));
                    standings.push(Standing::new(position, limit.alone(), used));
                    charges.push(Charge { position, key, by: ChargedBy::Limit { warned: warns } });
                }
                Err(_) if is_shadow(limit, &permit) => shadow.push(limit.rule.name.clone()),
                Err(_) if self.grants.take(&limit.rule.name, &key, now) => {
                    charges.push(Charge { position, key, by: ChargedBy::Grant });
                }
                Err(wait) => {
                    charges.iter().for_each(|charge| self.take_back(charge, now));
                    // The caller is told the longest wait, so those behind it are asked as well.
                    let exhausted = self.longest_wait(position, &permit, View::Alone, now);
                    // Its share may have grown back in between, or was charged by a delete that another
                    // limit refused: then the next try will pass.
                    let soon = || limit.rule.exhausted(wait.min(SOON));
                    let exhausted = exhausted.unwrap_or_else(soon);
                    return Err(Refusal::RateLimited(Box::new(exhausted)));
                }
            }
        }
        Ok(Admission { permit, shadow, warned, standings })
    }

    /// What [`Limits::admit`] would refuse with. Charges nothing.
    #[must_use]
    pub fn would_refuse(&self, permit: &Permit, view: View, now: Instant) -> Option<Refusal> {
        let exhausted = self.longest_wait(0, permit, view, self.at(now))?;
        Some(Refusal::RateLimited(Box::new(exhausted)))
    }

    /// How long a limit is used up for a delete, as far as it is known here. Charges nothing.
    #[must_use]
    pub fn wait(
        &self,
        name: &LimitName,
        subject: &Subject<'_>,
        view: View,
        now: Instant,
    ) -> Option<Duration> {
        let limit = self.limits.iter().find(|limit| limit.rule.name == *name)?;
        let is_about = limit.rule.matches.matches(subject);
        is_about.then(|| limit.wait(&limit.rule.per.key(subject), view, self.at(now))).flatten()
    }

    /// Grants deletes beyond a limit of this process, for a while. `false`: there is no such limit, or
    /// there are too many grants.
    #[must_use]
    pub fn grant(
        &self,
        limit: &LimitName,
        key: Key,
        add: u32,
        lasts: Duration,
        now: Instant,
    ) -> bool {
        let now = self.at(now);
        let until = now.saturating_add(quota::nanos(lasts));
        let grant = Grant { limit: limit.clone(), key, left: add, until };
        self.rule(limit).is_some() && self.grants.add(grant, now)
    }

    /// What is left of grants in this process.
    #[must_use]
    pub fn grants(&self, now: Instant) -> Vec<(Grant, Duration)> {
        let now = self.at(now);
        let left = |grant: &Grant| Duration::from_nanos(grant.until.saturating_sub(now));
        self.grants.held(now).into_iter().map(|grant| (grant.clone(), left(&grant))).collect()
    }

    /// The limit of this name.
    #[must_use]
    pub fn rule(&self, name: &LimitName) -> Option<&LimitRule> {
        self.rules().find(|rule| rule.name == *name)
    }

    /// Every limit, in the order of the file.
    pub fn rules(&self) -> impl Iterator<Item = &LimitRule> {
        self.limits.iter().map(|limit| &limit.rule)
    }

    /// What is used of a limit by a key, as far as it is known here.
    #[must_use]
    pub fn used(&self, name: &LimitName, key: &Key, now: Instant) -> u64 {
        let limit = self.limits.iter().find(|limit| limit.rule.name == *name);
        limit.map_or(0, |limit| limit.used(key, self.at(now)))
    }

    /// The keys of a limit of which something is used here. Looks at each: not for a request.
    #[must_use]
    pub fn keys_used(&self, name: &LimitName, now: Instant) -> Vec<(Key, u64)> {
        let mut keys = Vec::new();
        if let Some(limit) = self.limits.iter().find(|limit| limit.rule.name == *name) {
            limit.each(self.at(now), |key, used| keys.push((*key, used)));
        }
        keys
    }

    /// What is used of each limit by whoever uses most of it, as a share. Looks at each key: not for a
    /// request.
    pub fn shares_used(&self, now: Instant) -> impl Iterator<Item = (&LimitRule, f64)> {
        let now = self.at(now);
        self.limits.iter().map(move |limit| {
            let (used, whole) = (limit.most_used(now), limit.quota.whole());
            (&limit.rule, Duration::from_nanos(used).div_duration_f64(Duration::from_nanos(whole)))
        })
    }

    /// How many keys each limit holds.
    pub fn key_counts(&self) -> impl Iterator<Item = (&LimitName, usize)> {
        self.limits.iter().map(|limit| (&limit.rule.name, limit.keys()))
    }

    fn at(&self, now: Instant) -> u64 {
        quota::nanos(now.saturating_duration_since(self.epoch))
    }

    fn about<'l>(&'l self, subject: &Subject<'_>) -> impl Iterator<Item = (usize, &'l Limit)> {
        let limits = self.limits.iter().enumerate();
        limits.filter(move |(_, limit)| limit.rule.matches.matches(subject))
    }

    fn take_back(&self, charge: &Charge, now: u64) {
        let Some(limit) = self.limits.get(charge.position) else { return };
        match charge.by {
            ChargedBy::Grant => self.grants.give_back(&limit.rule.name, &charge.key, now),
            ChargedBy::Limit { warned } => limit.refund(&charge.key, warned, now),
        }
    }

    /// Of the enforced limits from a position on.
    fn longest_wait(
        &self,
        from: usize,
        permit: &Permit,
        view: View,
        now: u64,
    ) -> Option<Exhausted> {
        let subject = permit.subject();
        self.about(&subject)
            .filter(|(position, limit)| *position >= from && !is_shadow(limit, permit))
            .filter_map(|(_, limit)| {
                let key = limit.rule.per.key(&subject);
                let wait = limit.wait(&key, view, now)?;
                let granted = self.grants.has(&limit.rule.name, &key, now);
                (!granted).then(|| limit.rule.exhausted(wait))
            })
            .max_by_key(|exhausted| exhausted.wait)
    }
}

/// The shortest time that a caller can be told to wait.
const SOON: Duration = Duration::from_secs(1);

/// What was charged, to be taken back where a later limit refuses.
struct Charge {
    position: usize,
    key: Key,
    by: ChargedBy,
}

enum ChargedBy {
    Limit { warned: bool },
    Grant,
}

type Charges = SmallVec<[Charge; 4]>;

/// Whether it only counts what it would refuse.
fn is_shadow(limit: &Limit, permit: &Permit) -> bool {
    limit.rule.mode == RuleMode::Shadow || permit.enforcement() == Enforcement::DryRun
}

#[cfg(test)]
mod tests;
