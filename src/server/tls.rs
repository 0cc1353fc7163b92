//! The TLS handshake of a caller, and what its certificate is kept for.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::authenticate::{Peer, PeerAddress, Presented};
use crate::listener::Listener;

/// Shakes hands by what is in force for the listener now.
pub(super) async fn handshake(
    stream: TcpStream,
    address: SocketAddr,
    listener: &Listener,
) -> io::Result<(TlsStream<TcpStream>, Peer)> {
    let Some(tls) = &listener.tls else {
        return Err(io::Error::other("the listener speaks plain text"));
    };
    let (config, vouching) = tls.for_handshake();
    let accepting = TlsAcceptor::from(config).accept(stream);
    let stream = tokio::time::timeout(HANDSHAKE_DEADLINE, accepting)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let chain = stream.get_ref().1.peer_certificates();
    let certificate = chain.zip(vouching).map(|(chain, vouching)| Presented::new(chain, vouching));
    Ok((stream, Peer { address: PeerAddress::Tcp(address), certificate }))
}

/// Time for two round trips to the other end of the world, and for one packet that was lost.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
