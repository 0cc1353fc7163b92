//! Where callers come in: what a listener is configured to be, and what is known of a connection
//! that came in through it.

mod room;
mod tls;
mod unix;

pub use self::room::Room;
pub use self::tls::{Refreshed, ServerTls, TlsError, TlsFiles};
pub use self::unix::{Group, UnixError, UnixPlan, UnixSocket};

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use tokio::sync::Notify;

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

/// How much a listener takes of those whom nobody knows yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Most connections at once, over all workers.
    pub connections: usize,
    /// Most deletes at once on one HTTP/2 connection.
    pub streams: u32,
    /// Longest request head (request line and header section), in bytes.
    pub head_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            // Far more than well-meaning callers keep, and a bound on what others can take.
            connections: 10_000,
            // A client library opens another connection where that is not enough.
            streams: 200,
            // The longest target, a JWT and what proxies add.
            head_bytes: 32 * 1024,
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
        let room = Room::new(bounds.connections);
        Ok(Arc::new(Self { at: at.clone(), tls, paths: *paths, bounds: *bounds, room }))
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
    /// Told once it is to take no more requests.
    end: Notify,
}

impl Inbound {
    /// A connection on which nobody has proved anything yet.
    #[must_use]
    pub fn new(listener: Arc<Listener>, peer: Peer) -> Arc<Self> {
        Arc::new(Self { listener, peer, proven: AtomicBool::new(false), end: Notify::new() })
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
