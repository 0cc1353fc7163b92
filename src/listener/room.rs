//! The connections that a listener has at once, over all workers.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::tally::{Counted, Tally};

/// How many there may be, how many there are, and those that found no room.
#[derive(Debug)]
pub struct Room {
    open: Tally,
    most: usize,
    turned_away: Mutex<TurnedAway>,
}

#[derive(Debug, Default)]
struct TurnedAway {
    /// When an operator was told last.
    told: Option<Instant>,
    /// How many there were since.
    since: u64,
}

impl Room {
    /// Room for so many.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { open: Tally::default(), most, turned_away: Mutex::default() }
    }

    /// Lets one more in, if there is room.
    #[must_use]
    pub fn enter(&self) -> Option<Counted> {
        self.open.enter_below(self.most)
    }

    /// Notes one that found none. `Some`: an operator is to be told, of so many since the last time;
    /// whoever connects again and again must not fill the log.
    #[must_use]
    pub fn turn_away(&self, now: Instant) -> Option<u64> {
        let mut noted = self.turned_away.lock();
        noted.since += 1;
        if noted.told.is_some_and(|told| now.duration_since(told) < TELL_AGAIN) {
            return None;
        }
        noted.told = Some(now);
        Some(std::mem::take(&mut noted.since))
    }

    /// How many there may be.
    #[must_use]
    pub fn most(&self) -> usize {
        self.most
    }
}

const TELL_AGAIN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_again_for_each_that_leaves() {
        let room = Room::new(2);
        let (one, other) = (room.enter(), room.enter());
        assert!(one.is_some() && other.is_some() && room.enter().is_none());
        drop(one);
        let third = room.enter();
        assert!(third.is_some() && room.enter().is_none());
    }

    #[test]
    fn an_operator_is_told_once_a_minute_and_of_all() {
        let (room, start) = (Room::new(0), Instant::now());
        let mut told = Vec::new();
        for second in 0..150 {
            told.extend(room.turn_away(start + Duration::from_secs(second)));
        }
        assert_eq!(told, [1, 60, 60]);
    }
}
