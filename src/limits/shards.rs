//! State in several parts, each behind a lock of its own, so that workers seldom meet at one.

use std::hash::{BuildHasher, Hash};

use foldhash::quality::RandomState;
use parking_lot::{Mutex, MutexGuard};

pub(super) const SHARDS: usize = 16;

/// Keyed with random numbers: who chooses keys cannot choose them for one part.
pub(super) struct Shards<T> {
    hasher: RandomState,
    shards: [Mutex<T>; SHARDS],
}

impl<T> Shards<T> {
    pub(super) fn new(shard: impl Fn() -> T) -> Self {
        Self {
            hasher: RandomState::default(),
            shards: std::array::from_fn(|_| Mutex::new(shard())),
        }
    }

    /// Others in their place, each made of one of these: a key belongs to the same part.
    pub(super) fn map(&self, turn: impl Fn(&T) -> T) -> Self {
        let shards = self.shards.each_ref().map(|shard| Mutex::new(turn(&shard.lock())));
        Self { hasher: self.hasher.clone(), shards }
    }

    /// The part that a key belongs to.
    pub(super) fn lock(&self, key: &impl Hash) -> MutexGuard<'_, T> {
        self.lock_by(self.hash(key))
    }

    /// What decides on a key's part, and can decide on its place there as well.
    pub(super) fn hash(&self, key: &impl Hash) -> u64 {
        self.hasher.hash_one(key)
    }

    /// The part that a key with this hash belongs to.
    pub(super) fn lock_by(&self, hash: u64) -> MutexGuard<'_, T> {
        // In the middle: a table looks at both ends. The remainder of a division by SHARDS fits in any integer.
        let index = usize::try_from((hash >> 32) % SHARDS as u64).unwrap_or(0);
        self.shards.get(index).unwrap_or(&self.shards[0]).lock()
    }

    /// Every part, one after the other.
    pub(super) fn iter(&self) -> impl Iterator<Item = MutexGuard<'_, T>> {
        self.shards.iter().map(Mutex::lock)
    }
}
