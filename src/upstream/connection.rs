//! One connection to SMH: made, spoken over, and judged fit for another delete or not.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use crate::origin::{Origin, Scheme};
use crate::upstream::address::{self, PrivateAddresses};
use crate::upstream::request::{Outgoing, Protocol};
use crate::upstream::tls::ClientTls;

/// A connection that can take deletes: the sending half; hyper's driver holds the other.
pub(super) struct Connection {
    sender: Sender,
    made: Instant,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// What became of a request that has no answer.
pub(super) enum Failure {
    /// Handed back: not a byte of it left.
    Closed(hyper::Error),
    /// SMH said that it did not look at it.
    Refused(hyper::Error),
    /// It left, at least in part.
    Lost(hyper::Error),
}

impl Connection {
    pub(super) fn protocol(&self) -> Protocol {
        match &self.sender {
            Sender::Http1(_) => Protocol::Http1,
            Sender::Http2(_) => Protocol::Http2,
        }
    }

    /// Fit to be used again: open, ready, and not so old that the world around it has changed.
    pub(super) fn is_fit(&self) -> bool {
        let ready = match &self.sender {
            Sender::Http1(sender) => sender.is_ready(),
            Sender::Http2(sender) => sender.is_ready(),
        };
        ready && self.made.elapsed() < MAX_AGE
    }

    /// Made later, and still open.
    pub(super) fn is_newer_than(&self, other: &Self) -> bool {
        self.made > other.made && !self.is_closed()
    }

    pub(super) fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
        }
    }

    /// Another handle to the same connection, where it carries several requests at once.
    pub(super) fn shared(&self) -> Option<Self> {
        match &self.sender {
            Sender::Http1(_) => None,
            Sender::Http2(sender) => {
                Some(Self { sender: Sender::Http2(sender.clone()), made: self.made })
            }
        }
    }

    /// Sends a request and waits for the head of the answer.
    pub(super) async fn send(&mut self, request: Outgoing) -> Result<Response<Incoming>, Failure> {
        let sent = match &mut self.sender {
            Sender::Http1(sender) => sender.try_send_request(request).await,
            Sender::Http2(sender) => sender.try_send_request(request).await,
        };
        sent.map_err(|mut failed| {
            let untouched = failed.take_message().is_some();
            let error = failed.into_error();
            if untouched {
                Failure::Closed(error)
            } else if was_refused(&error) {
                Failure::Refused(error)
            } else {
                Failure::Lost(error)
            }
        })
    }
}

/// RFC 9113, section 8.7: neither a stream that is refused was processed, nor one above the last
/// that a GOAWAY names, and h2 tells of a GOAWAY only to those above.
fn was_refused(error: &hyper::Error) -> bool {
    let cause =
        std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.is_some_and(|cause| {
        let refused = cause.is_reset() && cause.reason() == Some(h2::Reason::REFUSED_STREAM);
        cause.is_remote() && (refused || cause.is_go_away())
    })
}

/// Dials, encrypts and shakes hands, all within `timeout`.
pub(super) async fn connect(
    origin: &Origin,
    tls: &ClientTls,
    private: PrivateAddresses,
    timeout: Duration,
) -> Result<Connection, ConnectError> {
    let sender = tokio::time::timeout(timeout, dial(origin, tls, private))
        .await
        .unwrap_or_else(|_| Err(ConnectError::Timeout(timeout)))?;
    Ok(Connection { sender, made: Instant::now() })
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("cannot connect")]
    Io(#[source] io::Error),
    #[error("its name leads to {0}, a private address: see `upstream.private_addresses`")]
    PrivateAddress(IpAddr),
    #[error("its name leads to {0}, which is link-local or of a metadata service: never dialled")]
    ForbiddenAddress(IpAddr),
    #[error("cannot agree on TLS")]
    Tls(#[source] io::Error),
    #[error("the host is no name that a certificate could hold")]
    ServerName,
    #[error("HTTP handshake failed")]
    Handshake(#[source] hyper::Error),
    #[error("no connection within {0:?}")]
    Timeout(Duration),
}

async fn dial(
    origin: &Origin,
    tls: &ClientTls,
    private: PrivateAddresses,
) -> Result<Sender, ConnectError> {
    let tcp = address::connect(origin, private).await?;
    // Without it a small request can wait for the other side's delayed acknowledgement.
    tcp.set_nodelay(true).map_err(ConnectError::Io)?;
    match origin.scheme() {
        Scheme::Http => handshake_http1(tcp).await,
        Scheme::Https => {
            let name = ServerName::try_from(origin.host().to_owned())
                .map_err(|_| ConnectError::ServerName)?;
            let stream = TlsConnector::from(Arc::clone(&tls.config))
                .connect(name, tcp)
                .await
                .map_err(ConnectError::Tls)?;
            match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => handshake_http2(stream).await,
                _ => handshake_http1(stream).await,
            }
        }
    }
}

async fn handshake_http1<S>(stream: S) -> Result<Sender, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, driver) = http1::Builder::new()
        .writev(false)
        // For the answer: hyper's server writes its names as they were read here.
        .preserve_header_case(true)
        .max_buf_size(MAX_HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(ConnectError::Handshake)?;
    drive(driver);
    Ok(Sender::Http1(sender))
}

async fn handshake_http2<S>(stream: S) -> Result<Sender, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, driver) = http2::Builder::new(TokioExecutor::new())
        .max_header_list_size(MAX_HEAD_BYTES_H2)
        // A connection that has silently died must not swallow deletes until they time out.
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(ConnectError::Handshake)?;
    drive(driver);
    Ok(Sender::Http2(sender))
}

/// Moves the bytes of a connection until it ends.
#[expect(
    clippy::disallowed_methods,
    reason = "a driver ends with its connection: draining waits for the deletes, not for idle ones"
)]
fn drive(driver: impl Future<Output = Result<(), hyper::Error>> + Send + 'static) {
    tokio::spawn(async move {
        // What goes wrong in a delete is told to that delete; the rest is an idle connection.
        let _ = driver.await;
    });
}

/// Largest head of an answer, in bytes. SMH's own are below 1 KiB.
const MAX_HEAD_BYTES: usize = 64 * 1024;
const MAX_HEAD_BYTES_H2: u32 = 64 * 1024;

/// Then it makes room for one that follows the host's name, roots and certificates as they are.
const MAX_AGE: Duration = Duration::from_secs(5 * 60);

const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
