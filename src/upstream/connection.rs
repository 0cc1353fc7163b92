//! One connection to SMH: made, spoken over, and judged fit for another delete or not.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::origin::{Origin, Scheme};
use crate::upstream::request::{Outgoing, Protocol};

/// The sending half of a connection; hyper's driver holds the other.
pub(super) enum Sender {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

/// What became of a request.
pub(super) enum Failure {
    /// Not a byte of it left, or SMH said that it did not look at it: it may be sent again.
    Unsent(hyper::Error),
    /// It left, at least in part.
    Lost(hyper::Error),
}

impl Sender {
    pub(super) fn protocol(&self) -> Protocol {
        match self {
            Self::Http1(_) => Protocol::Http1,
            Self::Http2(_) => Protocol::Http2,
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_ready(),
            Self::Http2(sender) => sender.is_ready(),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }

    /// Another handle to the same connection, where it carries several requests at once.
    pub(super) fn shared(&self) -> Option<Self> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(sender) => Some(Self::Http2(sender.clone())),
        }
    }

    /// Sends a request and waits for the head of the answer.
    pub(super) async fn send(&mut self, request: Outgoing) -> Result<Response<Incoming>, Failure> {
        let sent = match self {
            Self::Http1(sender) => sender.try_send_request(request).await,
            Self::Http2(sender) => sender.try_send_request(request).await,
        };
        sent.map_err(|mut failed| {
            let untouched = failed.take_message().is_some();
            let error = failed.into_error();
            if untouched || is_refused_stream(&error) {
                Failure::Unsent(error)
            } else {
                Failure::Lost(error)
            }
        })
    }
}

/// RFC 9113, section 8.7: a stream that is refused was not processed.
fn is_refused_stream(error: &hyper::Error) -> bool {
    std::error::Error::source(error)
        .and_then(|cause| cause.downcast_ref::<h2::Error>())
        .is_some_and(|cause| {
            cause.reason() == Some(h2::Reason::REFUSED_STREAM) && cause.is_remote()
        })
}

/// Dials, encrypts and shakes hands, all within `timeout`.
pub(super) async fn connect(
    origin: &Origin,
    tls: &Arc<ClientConfig>,
    timeout: Duration,
) -> Result<Sender, ConnectError> {
    tokio::time::timeout(timeout, dial(origin, tls))
        .await
        .unwrap_or_else(|_| Err(ConnectError::Timeout(timeout)))
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("cannot connect")]
    Io(#[source] io::Error),
    #[error("cannot agree on TLS")]
    Tls(#[source] io::Error),
    #[error("the host is no name that a certificate could hold")]
    ServerName,
    #[error("HTTP handshake failed")]
    Handshake(#[source] hyper::Error),
    #[error("no connection within {0:?}")]
    Timeout(Duration),
}

async fn dial(origin: &Origin, tls: &Arc<ClientConfig>) -> Result<Sender, ConnectError> {
    let tcp = TcpStream::connect((origin.host(), origin.port())).await.map_err(ConnectError::Io)?;
    // Without it a small request can wait for the other side's delayed acknowledgement.
    tcp.set_nodelay(true).map_err(ConnectError::Io)?;
    match origin.scheme() {
        Scheme::Http => handshake_http1(tcp).await,
        Scheme::Https => {
            let name = ServerName::try_from(origin.host().to_owned())
                .map_err(|_| ConnectError::ServerName)?;
            let stream = TlsConnector::from(Arc::clone(tls))
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
