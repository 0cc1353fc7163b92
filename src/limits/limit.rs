//! One limit, and what is used of it.

use std::num::{NonZeroU8, NonZeroU32};
use std::sync::Arc;
use std::time::Duration;

use crate::ids::LimitName;
use crate::limits::key::{Key, Per};
use crate::limits::quota::{Quota, Rate};
use crate::limits::store::{MAX_KEYS, Store, Surplus, Usage};
use crate::policy::{RuleMode, Selector};
use crate::refusal::Exhausted;

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
    /// At how many percent an operator is told, once.
    pub warn_at: Option<NonZeroU8>,
    /// Whether it refuses.
    pub mode: RuleMode,
    /// Where it stands, from 1.
    pub line: u32,
}

impl LimitRule {
    /// Its arithmetic.
    #[must_use]
    pub fn quota(&self) -> Quota {
        Quota::new(self.rate, self.burst)
    }

    /// Where this limit and another one count the same deletes for the same keys.
    pub(super) fn continues(&self, other: &Self) -> bool {
        self.name == other.name && self.per == other.per
    }

    pub(super) fn exhausted(&self, wait: Duration) -> Exhausted {
        Exhausted {
            limit: self.name.clone(),
            wait,
            quota: self.rate.count().get(),
            window: self.rate.window(),
        }
    }
}

/// By what a limit is looked at, without charging it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// By this process alone: its share, where there are others.
    Alone,
    /// By what is known here of all who share it.
    Shared,
}

/// Who else counts the same deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sharing {
    /// Nobody: what is counted here is all there is.
    #[default]
    Alone,
    /// So many replicas, by a store that all of them ask. What is counted here is for when it does
    /// not answer.
    Among(NonZeroU32),
}

pub(super) struct Limit {
    pub(super) rule: LimitRule,
    pub(super) quota: Quota,
    /// What is enforced by this process alone: the quota, or its share of it.
    alone: Quota,
    /// What is used of that. Shared with the limit that this one succeeds, where both count alike.
    own: Arc<Store>,
    /// What the shared store said last, of the whole quota.
    seen: Option<Arc<Store>>,
}

/// What a charge came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Charged {
    /// What is used now, of the quota by which it was charged.
    pub(super) used: u64,
    /// Whether `warn_at` was crossed by it.
    pub(super) warns: bool,
}

impl Limit {
    pub(super) fn new(rule: LimitRule, sharing: Sharing) -> Self {
        Self::with_keys(rule, sharing, MAX_KEYS)
    }

    fn with_keys(rule: LimitRule, sharing: Sharing, most: usize) -> Self {
        let quota = rule.quota();
        let (alone, seen) = match sharing {
            Sharing::Alone => (quota, None),
            Sharing::Among(replicas) => {
                let seen = Arc::new(Store::new(most, Surplus::Forgotten));
                (quota.shared_among(replicas), Some(seen))
            }
        };
        let own = Arc::new(Store::new(most, Surplus::Shares));
        Self { rule, quota, alone, own, seen }
    }

    /// Another one that goes on where this one is: with the very state while the quotas stay, and from
    /// the same share of them where they do not.
    pub(super) fn succeeded_by(&self, rule: LimitRule, sharing: Sharing, now: u64) -> Self {
        let fresh = Self::new(rule, sharing);
        let turned = |store: &Arc<Store>, from: Quota, to: Quota| {
            if from == to {
                Arc::clone(store)
            } else {
                Arc::new(store.turned(now, |used| from.share_of(used.min(from.whole()), to)))
            }
        };
        let seen = match (&self.seen, fresh.seen) {
            (Some(seen), Some(_)) => Some(turned(seen, self.quota, fresh.quota)),
            (_, seen) => seen,
        };
        let own = turned(&self.own, self.alone, fresh.alone);
        if let (Some(before), None) = (&self.seen, &seen) {
            // There is no store any more: what it said is what is used.
            before.each(now, |key, used| {
                let used = self.quota.share_of(used.min(self.quota.whole()), fresh.alone);
                own.change(key, now, |usage| usage.used = usage.used.max(used));
            });
        }
        Self { own, seen, ..fresh }
    }

    /// Charges by what is known here.
    pub(super) fn charge(&self, key: &Key, now: u64) -> Result<Charged, Duration> {
        let at_least = self.seen_share(key, now);
        self.own.change(key, now, |usage| {
            let used = self.alone.charge(usage.used.max(at_least))?;
            usage.used = used;
            Ok(Charged { used, warns: self.warns(usage, self.alone) })
        })
    }

    /// How long there is no room, by what is known here. Charges nothing.
    pub(super) fn wait(&self, key: &Key, view: View, now: u64) -> Option<Duration> {
        match (view, &self.seen) {
            (View::Shared, Some(_)) => self.quota.charge(self.used(key, now)).err(),
            _ => self.alone.charge(self.used_alone(key, now)).err(),
        }
    }

    /// Takes back one charge. Exact: it leaves what would be there had the delete never come, and who was
    /// to be told by it is told by the next.
    pub(super) fn refund(&self, key: &Key, warned: bool, now: u64) {
        let interval = self.alone.interval();
        self.own.change(key, now, |usage| {
            usage.used = usage.used.saturating_sub(interval);
            usage.warned &= !warned;
        });
    }

    /// What the shared store is to take for used at least: it may have lost what it knew.
    pub(super) fn floor(&self, key: &Key, now: u64) -> u64 {
        self.seen.as_ref().map_or(0, |seen| seen.used(key, now)).min(self.quota.whole())
    }

    /// Takes what was charged here while the shared store did not answer, to tell it: of the whole quota.
    pub(super) fn take_owed(&self, key: &Key, now: u64) -> u64 {
        if self.seen.is_none() { 0 } else { self.owed(key, self.own.take(key, now), now) }
    }

    /// The store did not take it.
    pub(super) fn owe_again(&self, key: &Key, owed: u64, now: u64) {
        if owed > 0 {
            let used = owed.saturating_mul(self.replicas());
            let (whole, at_least) = (self.alone.whole(), self.seen_share(key, now));
            self.own.change(key, now, |usage| {
                usage.used = usage.used.max(at_least).saturating_add(used).min(whole);
            });
        }
    }

    /// What was charged here began where the store was, and a delete used as many times as much of the
    /// share as there are replicas.
    fn owed(&self, key: &Key, own: u64, now: u64) -> u64 {
        own.saturating_sub(self.seen_share(key, now)) / self.replicas()
    }

    fn replicas(&self) -> u64 {
        (self.alone.interval() / self.quota.interval()).max(1)
    }

    /// Keeps what the shared store says is used. Returns whether a delete that was charged is the one that
    /// an operator is told of.
    pub(super) fn see(&self, key: &Key, used: u64, charged: bool, now: u64) -> bool {
        let Some(seen) = &self.seen else { return false };
        seen.change(key, now, |usage| {
            usage.used = usage.used.max(used.min(self.quota.whole()));
            charged && self.warns(usage, self.quota)
        })
    }

    /// What is used of the whole quota, as far as it is known here.
    pub(super) fn used(&self, key: &Key, now: u64) -> u64 {
        match &self.seen {
            Some(_) => {
                let owed = self.owed(key, self.own.used(key, now), now);
                self.floor(key, now).saturating_add(owed).min(self.quota.whole())
            }
            None => self.own.used(key, now),
        }
    }

    /// Every key of which something is used here.
    pub(super) fn each(&self, now: u64, mut each: impl FnMut(&Key, u64)) {
        let mut keys = Vec::new();
        self.own.each(now, |key, _| keys.push(*key));
        if let Some(seen) = &self.seen {
            seen.each(now, |key, _| keys.push(*key));
        }
        keys.sort_unstable();
        keys.dedup();
        keys.iter().for_each(|key| each(key, self.used(key, now)));
    }

    /// What is used of the whole quota by whoever uses most of it, as far as it is known here.
    pub(super) fn most_used(&self, now: u64) -> u64 {
        let mut most = 0;
        match &self.seen {
            // Nothing is held for this, however many keys there are.
            None => self.own.each(now, |_, used| most = used.max(most)),
            Some(_) => self.each(now, |_, used| most = used.max(most)),
        }
        most
    }

    /// How many keys are held.
    pub(super) fn keys(&self) -> usize {
        self.own.len() + self.seen.as_ref().map_or(0, |seen| seen.len())
    }

    /// Takes over what was used when the process ended.
    pub(super) fn restore(&self, key: &Key, used: u64, now: u64) {
        let used = used.min(self.quota.whole());
        if self.seen.is_some() {
            self.see(key, used, false, now);
        } else {
            self.own.change(key, now, |usage| usage.used = usage.used.max(used));
        }
    }

    /// What is enforced by this process alone, by which a charge is told.
    pub(super) fn alone(&self) -> Quota {
        self.alone
    }

    fn used_alone(&self, key: &Key, now: u64) -> u64 {
        self.own.used(key, now).max(self.seen_share(key, now))
    }

    fn seen_share(&self, key: &Key, now: u64) -> u64 {
        let share = |seen: &Arc<Store>| self.quota.share_of(seen.used(key, now), self.alone);
        self.seen.as_ref().map_or(0, share)
    }

    /// Told once, and again only after half of it has grown back: what is used goes up and down around
    /// it with every delete.
    fn warns(&self, usage: &mut Usage, quota: Quota) -> bool {
        let Some(at) = self.rule.warn_at.map(|at| u64::from(at.get())) else { return false };
        let percent = quota.percent(usage.used);
        let crosses = percent >= at && !usage.warned;
        usage.warned = percent >= at || (usage.warned && percent >= at / 2);
        crosses
    }
}
