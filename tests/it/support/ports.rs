//! Addresses of servers that a test plays or starts.
//!
//! The system hands a port out again as soon as nobody has it, and whoever still asks for a server that has
//! gone then asks the server of another test. So these are below the ports that it hands out, and each is
//! given once.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// A port that nobody has. Not one of a Redis cluster either, whose bus is 10,000 ports further.
pub(crate) fn free() -> u16 {
    taken().local_addr().unwrap().port()
}

/// An address at which nobody listens.
pub(crate) fn nobody() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, free()))
}

/// A server's end, in a runtime.
pub(crate) fn listen() -> tokio::net::TcpListener {
    let listener = listen_std();
    listener.set_nonblocking(true).unwrap();
    tokio::net::TcpListener::from_std(listener).unwrap()
}

/// A server's end.
pub(crate) fn listen_std() -> TcpListener {
    taken()
}

/// It is not let go of in between: a process that is just being started by another test would still have it
/// for a moment.
fn taken() -> TcpListener {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let take = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    loop {
        // Two runs at once begin far from each other.
        let offset = std::process::id() * 131 + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 12_000 + u16::try_from(offset % 10_000).unwrap();
        if let (Ok(taken), Ok(_)) = (take(port), take(port + 10_000)) {
            return taken;
        }
    }
}
