//! How soon a connection over HTTP/2 is read again, so that those who send the most do not keep a worker to themselves.
//!
//! HTTP/2 is read as long as there is something to read, and much of what may come is answered without a
//! request: settings, pings, resets. So each connection is read a little at a time. A caller that is known gives way
//! in between; whoever is not waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The strangers of one listener that wait to be read again.
#[derive(Debug, Clone, Default)]
pub struct Turns(Arc<AtomicUsize>);

/// One that waits, until it is dropped.
#[derive(Debug)]
pub struct Waiting(Arc<AtomicUsize>);

impl Turns {
    /// Lets one more wait. The time is that from one of its turns to the next: the more there are, the longer, so
    /// that all of them together are read no faster than eight of them alone.
    #[must_use]
    pub fn wait(&self) -> (Waiting, Duration) {
        let others = self.0.fetch_add(1, Ordering::Relaxed);
        let many = u32::try_from(others + 1).unwrap_or(u32::MAX).div_ceil(AT_FULL_RATE);
        (Waiting(Arc::clone(&self.0)), TURN.saturating_mul(many).min(LONGEST))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Read at once: a hundred heads of deletes, or the largest that there may be in a few turns. What comes of it
/// takes a worker less than a millisecond.
pub const TURN_BYTES: usize = 8 * 1024;

/// Of a stranger: 1 MiB a second. It needs one turn to prove itself.
const TURN: Duration = Duration::from_millis(8);

/// So many strangers may bring that much each.
const AT_FULL_RATE: u32 = 8;

/// Before a peer is taken for dead.
const LONGEST: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_strangers_together_are_read_no_faster_than_eight() {
        let turns = Turns::default();
        let (mut waiting, mut soonest) = (Vec::new(), Vec::new());
        for _ in 0..1_000 {
            let (one, next) = turns.wait();
            waiting.push(one);
            soonest.push(next);
        }
        assert_eq!(soonest[..8], [TURN; 8]);
        assert_eq!((soonest[8], soonest[16], soonest[999]), (TURN * 2, TURN * 3, TURN * 125));
        waiting.truncate(3);
        assert_eq!(turns.wait().1, TURN, "who has gone is not counted");
    }
}
