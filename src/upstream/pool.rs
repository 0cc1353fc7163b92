//! Idle connections of one worker, by origin: last in, first out.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::origin::Origin;
use crate::upstream::connection::Sender;

/// Never locked across an await, and by one worker alone: there is no one to wait for.
#[derive(Default)]
pub(super) struct Pool(Mutex<HashMap<Origin, Vec<Idle>>>);

struct Idle {
    sender: Sender,
    since: Instant,
}

impl Pool {
    /// The connection that was used last, since it is the least likely to be closed by now.
    pub(super) fn take(&self, origin: &Origin) -> Option<Sender> {
        let mut pool = self.0.lock();
        let idle = pool.get_mut(origin)?;
        while let Some(Idle { sender, since }) = idle.pop() {
            if !sender.is_ready() || since.elapsed() > IDLE_TIMEOUT {
                continue;
            }
            if let Some(shared) = sender.shared() {
                idle.push(Idle { sender, since });
                return Some(shared);
            }
            return Some(sender);
        }
        None
    }

    /// Keeps a connection for the next delete. Those that waited too long are let go: they lie at
    /// the bottom.
    pub(super) fn put(&self, origin: &Origin, sender: Sender) {
        if sender.is_closed() {
            return;
        }
        let now = Instant::now();
        let mut pool = self.0.lock();
        let Some(idle) = pool.get_mut(origin) else {
            pool.insert(origin.clone(), vec![Idle { sender, since: now }]);
            return;
        };
        let stale =
            idle.iter().take_while(|idle| now.duration_since(idle.since) > IDLE_TIMEOUT).count();
        idle.drain(..stale);
        if idle.len() < MAX_IDLE {
            idle.push(Idle { sender, since: now });
        }
    }
}

/// Shorter than the 75 s after which nginx, which SMH runs, closes an idle connection: a delete
/// must not be sent into one that is just being closed, since it could not be sent again.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Most idle connections to one origin, of one worker.
const MAX_IDLE: usize = 512;
