//! The TLS handshake of a caller, and what its certificate is kept for.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use rustls::HandshakeKind;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::authenticate::{Peer, PeerAddress, Presented};
use crate::listener::Listener;
use crate::refusal::CertificateFault;
use crate::server::patient::Patient;

/// Shakes hands by what is in force for the listener now. The stream is boxed: it is moved from hand to
/// hand, and each that held it would have room for its kilobyte.
pub(super) async fn handshake(
    stream: Patient<TcpStream>,
    address: SocketAddr,
    listener: &Listener,
) -> io::Result<(Box<TlsStream<Patient<TcpStream>>>, Peer)> {
    let Some(tls) = &listener.tls else {
        return Err(io::Error::other("the listener speaks plain text"));
    };
    let (config, vouching) = tls.for_handshake();
    let accepting = TlsAcceptor::from(config).accept(stream);
    let stream = tokio::time::timeout(HANDSHAKE_DEADLINE, accepting)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let session = stream.get_ref().1;
    // A session that is resumed brings the certificate of its first handshake, unverified.
    let is_resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
    let verified = (!is_resumed).then(SystemTime::now);
    let certificate = session
        .peer_certificates()
        .zip(vouching)
        .map(|(chain, vouching)| Presented::new(chain, vouching, verified));
    let fault = certificate.as_ref().and_then(|one| one.spiffe_id(SystemTime::now()).err());
    if is_resumed && matches!(fault, Some(CertificateFault::Expired | CertificateFault::Distrusted))
    {
        // The caller may have another one by now, which it shows only in a full handshake.
        tls.forget_sessions();
    }
    Ok((Box::new(stream), Peer { address: PeerAddress::Tcp(address), certificate }))
}

/// Time for two round trips to the other end of the world, and for one packet that was lost.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
