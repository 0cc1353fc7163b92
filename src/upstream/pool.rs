//! Idle connections of one worker, by origin: last in, first out.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::origin::Origin;
use crate::upstream::connection::Connection;
use crate::upstream::request::Protocol;

/// Never locked across an await, and by one worker alone: there is no one to wait for.
#[derive(Default)]
pub(super) struct Pool(Mutex<HashMap<Origin, Vec<Idle>>>);

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    /// The connection that was used last, since it is the least likely to be closed by now.
    pub(super) fn take(&self, origin: &Origin) -> Option<Connection> {
        let mut pool = self.0.lock();
        let idle = pool.get_mut(origin)?;
        while let Some(Idle { connection, since }) = idle.pop() {
            if !connection.is_fit() || since.elapsed() > IDLE_TIMEOUT {
                continue;
            }
            if let Some(shared) = connection.shared() {
                idle.push(Idle { connection, since: Instant::now() });
                return Some(shared);
            }
            return Some(connection);
        }
        None
    }

    /// Keeps a connection for the next delete. Those that waited too long are let go: they lie at
    /// the bottom. Of connections that can be shared the newest is kept, and is enough.
    pub(super) fn put(&self, origin: &Origin, connection: Connection) {
        if connection.is_closed() {
            return;
        }
        let now = Instant::now();
        let mut pool = self.0.lock();
        let Some(idle) = pool.get_mut(origin) else {
            pool.insert(origin.clone(), vec![Idle { connection, since: now }]);
            return;
        };
        if connection.protocol() == Protocol::Http2 {
            idle.retain(|idle| idle.connection.is_newer_than(&connection));
            if !idle.is_empty() {
                return;
            }
        }
        let stale =
            idle.iter().take_while(|idle| now.duration_since(idle.since) > IDLE_TIMEOUT).count();
        idle.drain(..stale);
        if idle.len() < MAX_IDLE {
            idle.push(Idle { connection, since: now });
        }
    }
}

/// Shorter than the 75 s after which nginx, which SMH runs, closes an idle connection: a delete
/// must not be sent into one that is just being closed, since it could not be sent again.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Most idle connections to one origin, of one worker.
const MAX_IDLE: usize = 512;
