//! Binding: every socket is had before the first request is taken, or the start fails.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::listener::{At, Listener, UnixError, UnixSocket};

/// The listening sockets of all workers.
pub struct Bound {
    /// For each worker, one socket a listener.
    sockets: Vec<Vec<Listening>>,
    /// Kept as long as the files are to be there.
    files: Vec<UnixSocket>,
    addresses: Vec<SocketAddr>,
}

/// One worker's share of a listener.
pub(super) struct Listening {
    pub(super) listener: Arc<Listener>,
    pub(super) socket: Share,
}

pub(super) enum Share {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// An address that could not be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {at}: {source}")]
pub struct BindError {
    at: At,
    source: BindFault,
}

#[derive(Debug, thiserror::Error)]
enum BindFault {
    #[error(transparent)]
    Tcp(#[from] io::Error),
    #[error(transparent)]
    Unix(#[from] UnixError),
}

impl Bound {
    /// Binds each listener once for every worker.
    ///
    /// # Errors
    /// The first address that could not be had, and why.
    pub fn bind(listeners: &[Arc<Listener>], workers: NonZeroUsize) -> Result<Self, BindError> {
        let mut bound = Self {
            sockets: (0..workers.get()).map(|_| Vec::new()).collect(),
            files: Vec::new(),
            addresses: Vec::new(),
        };
        for listener in listeners {
            let fail = |source| BindError { at: listener.at.clone(), source };
            let shares = bound.shares(listener).map_err(fail)?;
            for (socket, worker) in shares.into_iter().zip(&mut bound.sockets) {
                worker.push(Listening { listener: Arc::clone(listener), socket });
            }
        }
        Ok(bound)
    }

    fn shares(&mut self, listener: &Listener) -> Result<Vec<Share>, BindFault> {
        let workers = self.sockets.len();
        match &listener.at {
            At::Tcp(address) => {
                let shares = shares_of(*address, workers)?;
                if let Some(share) = shares.first() {
                    self.addresses.push(share.local_addr()?);
                }
                Ok(shares.into_iter().map(Share::Tcp).collect())
            }
            // There is no SO_REUSEPORT for these: all workers wait at the same queue.
            At::Unix(plan) => {
                let socket = UnixSocket::bind(plan, BACKLOG)?;
                let shares: io::Result<_> =
                    (0..workers).map(|_| socket.share().map(Share::Unix)).collect();
                self.files.push(socket);
                Ok(shares?)
            }
        }
    }

    /// The addresses, with the ports that were had.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The unix sockets.
    pub fn sockets(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(UnixSocket::path)
    }

    pub(super) fn into_sockets(self) -> (Vec<Vec<Listening>>, Vec<UnixSocket>) {
        (self.sockets, self.files)
    }
}

/// One socket a worker, on one address.
///
/// With SO_REUSEPORT a second process of the same user could listen on the same port without
/// either one noticing, so the port is first taken without it.
fn shares_of(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    let mut tries = if address.port() == 0 { TRIES_OF_ANY_PORT } else { 1 };
    loop {
        tries -= 1;
        match try_shares_of(address, workers) {
            // The port that the system gave was somebody else's a moment later. There are others.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => {}
            tried => return tried,
        }
    }
}

fn try_shares_of(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    let alone = TcpListener::bind(address)?;
    if workers == 1 {
        // Once more, for the length of the queue.
        SockRef::from(&alone).listen(BACKLOG)?;
        alone.set_nonblocking(true)?;
        return Ok(vec![alone]);
    }
    let address = alone.local_addr()?;
    drop(alone);
    (0..workers).map(|_| share(address)).collect()
}

fn share(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Each is unlikely to fail.
const TRIES_OF_ANY_PORT: u32 = 16;

/// Connections that wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delete::Paths;
    use crate::listener::{Bounds, Plan};

    fn on(address: SocketAddr) -> Arc<Listener> {
        let bounds = Bounds::default();
        let plan = Plan { at: At::Tcp(address), tls: None, paths: Paths::Own, bounds };
        Listener::open(&plan).unwrap()
    }

    fn loopback() -> Arc<Listener> {
        on(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    #[test]
    fn every_worker_has_a_socket_on_every_address() {
        let workers = NonZeroUsize::new(3).unwrap();
        let bound = Bound::bind(&[loopback(), loopback()], workers).unwrap();
        let addresses = bound.addresses().to_vec();
        assert_eq!(addresses.len(), 2);
        assert_ne!(addresses[0], addresses[1]);
        for worker in bound.into_sockets().0 {
            let had = worker.iter().map(|listening| match &listening.socket {
                Share::Tcp(socket) => socket.local_addr().unwrap(),
                Share::Unix(_) => panic!("no address"),
            });
            assert_eq!(had.collect::<Vec<_>>(), addresses);
        }
    }

    #[test]
    fn a_port_in_use_is_not_shared_with_whoever_has_it() {
        for (ours, theirs) in [(1, 1), (2, 2), (1, 2), (2, 1)] {
            let [ours, theirs] = [ours, theirs].map(|n| NonZeroUsize::new(n).unwrap());
            let theirs = Bound::bind(&[loopback()], theirs).unwrap();
            let Err(error) = Bound::bind(&[on(theirs.addresses()[0])], ours) else {
                panic!("shared")
            };
            assert!(error.to_string().contains("in use"), "{error}");
        }
    }
}
