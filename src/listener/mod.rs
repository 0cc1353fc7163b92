//! Where callers come in: what a listener is configured to be, and what is known of a connection
//! that came in through it.

mod room;
mod tls;
mod turns;
mod unix;

pub use self::room::{NoRoom, Place, Room};
pub use self::tls::{Refreshed, ServerTls, TlsError, TlsFiles};
pub use self::turns::{TURN_BYTES, Turns, Waiting};
pub use self::unix::{Group, UnixError, UnixPlan, UnixSocket};

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::authenticate::Peer;
use crate::delete::Paths;

/// A listener as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Where it listens.
    pub at: At,
    /// With which certificate; `None`: in plain text.
    pub tls: Option<TlsFiles>,
    /// Which paths it serves.
    pub paths: Paths,
    /// How much it takes.
    pub bounds: Bounds,
}

/// How much a listener takes of those whom nobody knows yet, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Most connections at once, over all workers.
    pub connections: usize,
    /// And of one address.
    pub per_address: PerAddress,
    /// Most deletes at once on one HTTP/2 connection.
    pub streams: u32,
    /// Longest request head (request line and header section), in bytes.
    pub head_bytes: usize,
    /// For a request head, from its first byte; for the first one, from the connection on.
    pub head_timeout: Duration,
    /// How long a connection may wait between two requests.
    pub idle_timeout: Duration,
    /// How long a caller may take nothing of what is written to it.
    pub answer_timeout: Duration,
    /// A connection that is older ends at the next opportunity.
    pub max_age: Duration,
}

/// How many connections one address may have at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PerAddress {
    /// So many, but for loopback: a proxy beside the gateway is all callers.
    Others(usize),
    /// So many, whichever it is.
    All(usize),
}

impl PerAddress {
    /// Where nothing is said: one address alone must not take all the places, and a load balancer in front may
    /// be the only one.
    #[must_use]
    pub const fn of(connections: usize) -> Self {
        Self::Others(connections.div_ceil(2))
    }
}

impl Default for Bounds {
    fn default() -> Self {
        // Far more than well-meaning callers keep, and a bound on what others can take.
        const CONNECTIONS: usize = 10_000;
        Self {
            connections: CONNECTIONS,
            per_address: PerAddress::of(CONNECTIONS),
            // A client library opens another connection where that is not enough.
            streams: 200,
            // The longest target, a JWT and what proxies add.
            head_bytes: 32 * 1024,
            // A head is a few packets.
            head_timeout: Duration::from_secs(10),
            // Longer than the minute after which many clients and proxies let go by themselves.
            idle_timeout: Duration::from_secs(75),
            // Several times what it takes to find a way again that was lost.
            answer_timeout: Duration::from_secs(30),
            // So that callers spread over new replicas, and hardly notice.
            max_age: Duration::from_secs(60 * 60),
        }
    }
}

/// Where a listener listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// On an address and port.
    Tcp(SocketAddr),
    /// On a socket of the file system.
    Unix(UnixPlan),
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(plan) => write!(f, "unix:{}", plan.path.display()),
        }
    }
}

/// A listener with what it has read of its files.
#[derive(Debug)]
pub struct Listener {
    /// Where it listens, as the configuration says it: its name in logs and metrics.
    pub at: At,
    /// How it speaks TLS, if it does.
    pub tls: Option<ServerTls>,
    /// Which paths it serves.
    pub paths: Paths,
    /// How much it takes.
    pub bounds: Bounds,
    /// Its connections, as many as there are and may be.
    pub room: Room,
    /// Its strangers over HTTP/2.
    pub turns: Turns,
}

impl Listener {
    /// Reads the files that the plan names.
    ///
    /// # Errors
    /// [`TlsError`]: without a certificate there is nothing to listen with.
    pub fn open(plan: &Plan) -> Result<Arc<Self>, TlsError> {
        let tls = plan.tls.clone().map(ServerTls::read).transpose()?;
        let expires = tls.as_ref().and_then(ServerTls::expires);
        if expires.is_some_and(|expires| expires <= SystemTime::now()) {
            tracing::error!(listener = %plan.at, "its certificate has expired: callers will refuse it");
        }
        let Plan { at, paths, bounds, .. } = plan;
        let room = Room::new(bounds.connections, bounds.per_address);
        let turns = Turns::default();
        Ok(Arc::new(Self { at: at.clone(), tls, paths: *paths, bounds: *bounds, room, turns }))
    }
}

/// A connection of a caller: where it came in, and from whom.
#[derive(Debug)]
pub struct Inbound {
    /// The listener that accepted it.
    pub listener: Arc<Listener>,
    /// Its other end.
    pub peer: Peer,
    /// Whether of the API keys presented on it the last one was right, and nothing wrong came after it.
    proven: AtomicBool,
    /// Whether anybody proved itself on it, in whichever way.
    known: AtomicBool,
    /// When it has lived long enough.
    old_from: Instant,
    old: AtomicBool,
    /// Told once it is to take no more requests.
    end: Notify,
}

impl Inbound {
    /// A connection on which nobody has proved anything yet.
    #[must_use]
    pub fn new(listener: Arc<Listener>, peer: Peer) -> Arc<Self> {
        // Those that came together, after a restart say, do not go together.
        let age = listener.bounds.max_age.mul_f64(0.75 + rand::random::<f64>() / 4.0);
        Arc::new(Self {
            listener,
            peer,
            proven: AtomicBool::new(false),
            known: AtomicBool::new(false),
            old_from: Instant::now() + age,
            old: AtomicBool::new(false),
            end: Notify::new(),
        })
    }

    /// Whether a caller proved itself on this connection, at any time and in any way: what is held for others is
    /// bounded more tightly.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.known.load(Ordering::Relaxed)
    }

    /// Keeps that one did.
    pub fn set_known(&self) {
        if !self.is_known() {
            self.known.store(true, Ordering::Relaxed);
        }
    }

    /// Keeps whether it has become old.
    pub fn grow_old(&self, now: Instant) {
        if now >= self.old_from {
            self.old.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it was seen to be old: its next answer should be the last.
    #[must_use]
    pub fn is_old(&self) -> bool {
        self.old.load(Ordering::Relaxed)
    }

    /// Whether a caller proved itself on this connection by its key, and nobody failed to since: a
    /// neighbour who guesses keys from the same address does not stop it.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Relaxed)
    }

    /// Keeps how the last attempt went.
    pub fn set_proven(&self, proven: bool) {
        if self.is_proven() != proven {
            self.proven.store(proven, Ordering::Relaxed);
        }
    }

    /// Has the connection end behind what it has taken already. An answer of HTTP/1.1 says so by
    /// itself; HTTP/2 has no field for it.
    pub fn end(&self) {
        if let Some(tls) = &self.listener.tls {
            // A resumed session would bring the same certificate again.
            tls.forget_sessions();
        }
        self.end.notify_one();
    }

    /// Returns when the connection is to end. For one who waits.
    pub async fn ended(&self) {
        self.end.notified().await;
    }
}
