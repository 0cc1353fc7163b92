//! Where what is used of one limit is kept in this process: a bounded map from key to a time.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::limits::key::Key;
use crate::limits::shards::{SHARDS, Shards};

/// Most keys of one limit. A `user_id` is the caller's to choose, so the number must be bounded:
/// at about 100 bytes each this is some 10 MB a limit.
pub(super) const MAX_KEYS: usize = 100_000;

/// Below this, looking for idle keys costs more than it frees.
const FIRST_SWEEP: usize = 64;

/// Between two looks for idle keys: a tenth of a second.
const SWEEP_PAUSE: u64 = 100_000_000;

/// What is used of one limit by one key, now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Usage {
    /// In nanoseconds.
    pub(super) used: u64,
    /// Whether `warn_at` was told, and not taken back since.
    pub(super) warned: bool,
}

/// What becomes of keys past the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Surplus {
    /// They have one share together: nobody gets a fresh one for free.
    Shares,
    /// They are forgotten.
    Forgotten,
}

/// Times are nanoseconds since a moment that whoever asks has chosen.
pub(super) struct Store {
    surplus: Surplus,
    keys_a_shard: usize,
    shards: Shards<Shard>,
}

struct Shard {
    /// By the hash that chose the shard: a key is hashed once a charge.
    places: HashTable<Place>,
    /// Of all keys that found no place.
    surplus: State,
    sweep_at: usize,
    /// Not before this: where all are in use, every new key would look at each of them in vain.
    sweep_after: u64,
}

/// One key's own.
#[derive(Debug, Clone, Copy)]
struct Place {
    hash: u64,
    key: Key,
    state: State,
}

/// The moment at which nothing is used any more.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    free_at: u64,
    warned: bool,
}

impl State {
    fn usage(self, now: u64) -> Usage {
        Usage { used: self.free_at.saturating_sub(now), warned: self.warned }
    }
}

impl Store {
    pub(super) fn new(max_keys: usize, surplus: Surplus) -> Self {
        let shard = || Shard {
            places: HashTable::new(),
            surplus: State::default(),
            sweep_at: FIRST_SWEEP,
            sweep_after: 0,
        };
        Self { surplus, keys_a_shard: max_keys.div_ceil(SHARDS), shards: Shards::new(shard) }
    }

    /// Lets what is used be changed, in one step.
    pub(super) fn change<T>(&self, key: &Key, now: u64, change: impl FnOnce(&mut Usage) -> T) -> T {
        let hash = self.shards.hash(key);
        let mut shard = self.shards.lock_by(hash);
        let mut forgotten = State::default();
        let state = match shard.place(hash, key, now, self.keys_a_shard) {
            Ok(state) => state,
            Err(surplus) if self.surplus == Surplus::Shares => surplus,
            Err(_) => &mut forgotten,
        };
        let mut usage = state.usage(now);
        let outcome = change(&mut usage);
        *state = State { free_at: now.saturating_add(usage.used), warned: usage.warned };
        outcome
    }

    /// What is used. Changes nothing.
    pub(super) fn used(&self, key: &Key, now: u64) -> u64 {
        let hash = self.shards.hash(key);
        let shard = self.shards.lock_by(hash);
        let is_full = shard.places.len() >= self.keys_a_shard;
        let state = match shard.places.find(hash, |place| place.key == *key) {
            Some(place) => place.state,
            None if is_full && self.surplus == Surplus::Shares => shard.surplus,
            None => State::default(),
        };
        state.usage(now).used
    }

    /// Takes what is used in a place of the key's own: what others used in a common one is not its to take.
    pub(super) fn take(&self, key: &Key, now: u64) -> u64 {
        let hash = self.shards.hash(key);
        let mut shard = self.shards.lock_by(hash);
        let held = shard.places.find_entry(hash, |place| place.key == *key);
        held.map_or(0, |held| held.remove().0.state.usage(now).used)
    }

    /// Another one in which what is used is turned into something else. What is charged to this one
    /// meanwhile is not charged there.
    pub(super) fn turned(&self, now: u64, turn: impl Fn(u64) -> u64) -> Self {
        let turned = |state: State| State {
            free_at: now.saturating_add(turn(state.usage(now).used)),
            ..state
        };
        let shards = self.shards.map(|old| {
            let mut places = HashTable::new();
            for old in &old.places {
                let state = turned(old.state);
                if state.free_at > now {
                    places.insert_unique(old.hash, Place { state, ..*old }, |place| place.hash);
                }
            }
            let sweep_at = (places.len() * 2).max(FIRST_SWEEP);
            Shard { places, surplus: turned(old.surplus), sweep_at, sweep_after: 0 }
        });
        Self { surplus: self.surplus, keys_a_shard: self.keys_a_shard, shards }
    }

    /// Every key of which something is used. Looks at each: not for a request.
    pub(super) fn each(&self, now: u64, mut each: impl FnMut(&Key, u64)) {
        for mut shard in self.shards.iter() {
            shard.sweep(now);
            shard.places.iter().for_each(|place| each(&place.key, place.state.usage(now).used));
        }
    }

    /// How many keys are held.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.places.len()).sum()
    }
}

impl Shard {
    /// The key's own place, or the common one where there is none left.
    fn place(
        &mut self,
        hash: u64,
        key: &Key,
        now: u64,
        most: usize,
    ) -> Result<&mut State, &mut State> {
        let is_held = |place: &Place| place.key == *key;
        if self.places.len() >= self.sweep_at.min(most) && self.places.find(hash, is_held).is_none()
        {
            if now >= self.sweep_after {
                self.sweep(now);
                self.sweep_after = now.saturating_add(SWEEP_PAUSE);
            }
            if self.places.len() >= most {
                return Err(&mut self.surplus);
            }
        }
        let place = match self.places.entry(hash, is_held, |place| place.hash) {
            Entry::Occupied(held) => held.into_mut(),
            Entry::Vacant(free) => {
                free.insert(Place { hash, key: *key, state: State::default() }).into_mut()
            }
        };
        Ok(&mut place.state)
    }

    /// Drops the keys of which nothing is used: a fresh key has just the same. Gives the memory
    /// back, and looks again when twice as many are held.
    fn sweep(&mut self, now: u64) {
        self.places.retain(|place| place.state.free_at > now);
        self.places.shrink_to_fit(|place| place.hash);
        self.sweep_at = (self.places.len() * 2).max(FIRST_SWEEP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Fingerprint;

    const SECOND: u64 = 1_000_000_000;

    /// Two deletes at once, one more each second.
    fn charge(store: &Store, user: usize, now: u64) -> bool {
        store.change(&key(user), now, |usage| {
            let fits = usage.used <= SECOND;
            usage.used += u64::from(fits) * SECOND;
            fits
        })
    }

    fn key(user: usize) -> Key {
        Key { user_id: Some(Fingerprint::of(&user.to_string())), ..Key::default() }
    }

    #[test]
    fn keys_do_not_share() {
        let store = Store::new(MAX_KEYS, Surplus::Shares);
        assert!(charge(&store, 1, 0) && charge(&store, 1, 0) && !charge(&store, 1, 0));
        assert!(charge(&store, 2, 0));
        assert_eq!(
            (store.used(&key(1), 0), store.used(&key(1), SECOND / 2)),
            (2 * SECOND, 3 * SECOND / 2)
        );
        assert_eq!(store.used(&key(3), 0), 0);
    }

    #[test]
    fn the_number_of_keys_is_bounded_and_a_new_key_gets_no_full_share_for_free() {
        let store = Store::new(1_600, Surplus::Shares);
        let admitted = (0..100_000).filter(|&user| charge(&store, user, 0)).count();
        // One for each key that found a place, two from each shard's common share.
        assert!(admitted <= 1_600 + 2 * SHARDS, "{admitted}");
        assert!(store.len() <= 1_600);
    }

    #[test]
    fn past_the_bound_nothing_is_known_where_that_is_asked_for() {
        let store = Store::new(SHARDS, Surplus::Forgotten);
        for user in 0..1_000 {
            charge(&store, user, 0);
        }
        let known = (0..1_000).filter(|&user| store.used(&key(user), 0) > 0).count();
        assert_eq!(known, store.len());
        assert!(known <= SHARDS);
    }

    #[test]
    fn idle_keys_are_dropped() {
        let store = Store::new(MAX_KEYS, Surplus::Shares);
        for user in 0..20_000 {
            assert!(charge(&store, user, user as u64 * SECOND / 100));
        }
        assert!(store.len() < 4_000);
        let mut seen = 0;
        store.each(300 * SECOND, |_, _| seen += 1);
        assert_eq!((seen, store.len()), (0, 0));
    }
}
