//! Binding: every socket is had before the first request is taken, or the start fails.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// The listening sockets of all workers.
pub struct Bound {
    /// For each worker, one socket an address.
    sockets: Vec<Vec<TcpListener>>,
    addresses: Vec<SocketAddr>,
}

/// An address that could not be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct BindError {
    address: SocketAddr,
    source: io::Error,
}

impl Bound {
    /// Binds each address once for every worker.
    ///
    /// # Errors
    /// The first address that could not be had, and why.
    pub fn bind(addresses: &[SocketAddr], workers: NonZeroUsize) -> Result<Self, BindError> {
        let mut sockets: Vec<_> = (0..workers.get()).map(|_| Vec::new()).collect();
        let mut bound = Vec::new();
        for &address in addresses {
            let fail = |source| BindError { address, source };
            let shares = shares_of(address, sockets.len()).map_err(fail)?;
            if let Some(share) = shares.first() {
                bound.push(share.local_addr().map_err(fail)?);
            }
            for (share, worker) in shares.into_iter().zip(&mut sockets) {
                worker.push(share);
            }
        }
        Ok(Self { sockets, addresses: bound })
    }

    /// The addresses, with the ports that were had.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    pub(super) fn into_sockets(self) -> Vec<Vec<TcpListener>> {
        self.sockets
    }
}

/// One socket a worker, on one address.
///
/// With SO_REUSEPORT a second process of the same user could listen on the same port without
/// either one noticing, so the port is first taken without it.
fn shares_of(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
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

/// Connections that wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    #[test]
    fn every_worker_has_a_socket_on_every_address() {
        let workers = NonZeroUsize::new(3).unwrap();
        let bound = Bound::bind(&[loopback(), loopback()], workers).unwrap();
        let addresses = bound.addresses().to_vec();
        assert_eq!(addresses.len(), 2);
        assert_ne!(addresses[0], addresses[1]);
        for worker in bound.into_sockets() {
            let had: Vec<_> = worker.iter().map(|s| s.local_addr().unwrap()).collect();
            assert_eq!(had, addresses);
        }
    }

    #[test]
    fn a_port_in_use_is_not_shared_with_whoever_has_it() {
        for (ours, theirs) in [(1, 1), (2, 2), (1, 2), (2, 1)] {
            let [ours, theirs] = [ours, theirs].map(|n| NonZeroUsize::new(n).unwrap());
            let theirs = Bound::bind(&[loopback()], theirs).unwrap();
            let Err(error) = Bound::bind(theirs.addresses(), ours) else { panic!("shared") };
            assert!(error.to_string().contains("in use"), "{error}");
        }
    }
}
