//! Deletes that an operator granted beyond a limit, once, for a while: the way through a budget that
//! is used up. Only a delete that the limit would refuse takes one.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::ids::LimitName;
use crate::limits::key::Key;

/// Most grants at once: they are made by hand.
pub(super) const MAX_GRANTS: usize = 1_000;

/// One grant in this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Beyond which limit.
    pub limit: LimitName,
    /// For whose deletes.
    pub key: Key,
    /// How many are left.
    pub left: u32,
    /// Until when, in nanoseconds since the limits began.
    pub(super) until: u64,
}

/// Those that are in force.
#[derive(Default)]
pub(super) struct Grants {
    any: AtomicBool,
    held: Mutex<Vec<Grant>>,
}

impl Grants {
    /// One more, unless there are too many.
    pub(super) fn add(&self, grant: Grant, now: u64) -> bool {
        let mut held = self.held.lock();
        held.retain(|grant| grant.until > now && grant.left > 0);
        let has_room = held.len() < MAX_GRANTS;
        if has_room {
            held.push(grant);
            self.any.store(true, Ordering::Relaxed);
        }
        has_room
    }

    /// Takes one delete, if there is one.
    pub(super) fn take(&self, limit: &LimitName, key: &Key, now: u64) -> bool {
        self.with(limit, key, now, |left| {
            *left -= 1;
        })
    }

    /// Whether there is one to take.
    pub(super) fn has(&self, limit: &LimitName, key: &Key, now: u64) -> bool {
        self.with(limit, key, now, |_| ())
    }

    /// Gives back what was taken.
    pub(super) fn give_back(&self, limit: &LimitName, key: &Key, now: u64) {
        let mut held = self.held.lock();
        // The one that it was taken from, or another that is good: of those that are over nothing can be taken.
        let mut good =
            held.iter_mut().filter(|g| g.limit == *limit && g.key == *key && g.until > now);
        if let Some(grant) = good.next() {
            grant.left = grant.left.saturating_add(1);
        }
    }

    /// Those that are left.
    pub(super) fn held(&self, now: u64) -> Vec<Grant> {
        let held = self.held.lock();
        held.iter().filter(|grant| grant.until > now && grant.left > 0).cloned().collect()
    }

    fn with(&self, limit: &LimitName, key: &Key, now: u64, take: impl FnOnce(&mut u32)) -> bool {
        if !self.any.load(Ordering::Relaxed) {
            return false;
        }
        let mut held = self.held.lock();
        let is_good = |grant: &&mut Grant| {
            grant.left > 0 && grant.until > now && grant.limit == *limit && grant.key == *key
        };
        let Some(grant) = held.iter_mut().find(is_good) else { return false };
        take(&mut grant.left);
        true
    }
}
