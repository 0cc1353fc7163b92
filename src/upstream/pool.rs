//! Idle connections of one worker, by origin: last in, first out.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use parking_lot::Mutex;

use crate::origin::Origin;
use crate::upstream::connection::Connection;
use crate::upstream::request::Protocol;
use crate::upstream::tls::ClientTls;

/// Never locked across an await, and by one worker alone: there is no one to wait for.
#[derive(Default)]
pub(super) struct Pool(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    origins: HashMap<Origin, Kept, RandomState>,
    /// When connections that waited too long were looked for everywhere.
    swept: Option<Instant>,
}

/// The connections to one origin. All were made with the same TLS: none that was made under other
/// roots is used.
#[derive(Default)]
struct Kept {
    tls: u64,
    idle: Vec<Idle>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    /// The connection that was used last, since it is the least likely to be closed by now.
    pub(super) fn take(&self, origin: &Origin, tls: &ClientTls) -> Option<Connection> {
        let mut pool = self.0.lock();
        let idle = pool.origins.get_mut(origin)?.made_with(tls)?;
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
    pub(super) fn put(&self, origin: &Origin, tls: &ClientTls, connection: Connection) {
        if connection.is_closed() {
            return;
        }
        let now = Instant::now();
        let mut pool = self.0.lock();
        pool.sweep(now);
        if let Some(kept) = pool.origins.get_mut(origin) {
            kept.keep(connection, tls, now);
        } else {
            let mut kept = Kept::default();
            kept.keep(connection, tls, now);
            pool.origins.insert(origin.clone(), kept);
        }
    }
}

impl Inner {
    /// Now and then, for the origins that nobody asks for any more: they may be of no library.
    fn sweep(&mut self, now: Instant) {
        let swept = *self.swept.get_or_insert(now);
        if now.duration_since(swept) < IDLE_TIMEOUT {
            return;
        }
        self.swept = Some(now);
        self.origins.retain(|_, kept| {
            drop_stale(&mut kept.idle, now);
            !kept.idle.is_empty()
        });
    }
}

impl Kept {
    fn keep(&mut self, connection: Connection, tls: &ClientTls, now: Instant) {
        let Some(idle) = self.made_with(tls) else { return };
        if connection.protocol() == Protocol::Http2 {
            idle.retain(|idle| idle.connection.is_newer_than(&connection));
            if !idle.is_empty() {
                return;
            }
        }
        drop_stale(idle, now);
        if idle.len() < MAX_IDLE {
            idle.push(Idle { connection, since: now });
        }
    }

    /// What was made with this TLS. What was made with an older one is let go; `None` for a delete
    /// that began under an older one.
    fn made_with(&mut self, tls: &ClientTls) -> Option<&mut Vec<Idle>> {
        if tls.number() > self.tls {
            self.idle.clear();
            self.tls = tls.number();
        }
        (tls.number() == self.tls).then_some(&mut self.idle)
    }
}

fn drop_stale(idle: &mut Vec<Idle>, now: Instant) {
    let stale =
        idle.iter().take_while(|idle| now.duration_since(idle.since) > IDLE_TIMEOUT).count();
    idle.drain(..stale);
}

/// Shorter than the 75 s after which nginx, which SMH runs, closes an idle connection: a delete
/// must not be sent into one that is just being closed, since it could not be sent again.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Most idle connections to one origin, of one worker.
const MAX_IDLE: usize = 512;
