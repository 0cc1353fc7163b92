//! One connection of a caller's, from its first byte to its last.

use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;

use futures_util::TryFutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use http::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;

use crate::authenticate::PeerAddress;
use crate::gateway::Phase;
use crate::journey::Worker;
use crate::listener::{Inbound, Listener};
use crate::refusal::MAX_FIELDS;
use crate::server::gate::{Gate, Spoken};
use crate::server::leaving::{draining, leaving};
use crate::server::patient::Patient;
use crate::server::{http2, tls};

/// What a listener accepted.
pub(super) enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream, PeerAddress),
}

impl Accepted {
    /// Where it comes from, if that is an address.
    pub(super) fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(_, address) => Some(address.ip()),
            Self::Unix(..) => None,
        }
    }
}

/// Serves a connection until the caller leaves, or draining ends it.
pub(super) async fn serve(
    accepted: Accepted,
    listener: Arc<Listener>,
    worker: Arc<Worker>,
    mut phase: watch::Receiver<Phase>,
) {
    let patience = listener.bounds.answer_timeout;
    match accepted {
        Accepted::Unix(stream, address) => {
            let stream = Patient::new(stream, patience);
            speak(stream, Inbound::new(listener, address.into()), worker, phase).await;
        }
        Accepted::Tcp(stream, address) if listener.tls.is_none() => {
            let stream = Patient::new(stream, patience);
            speak(stream, Inbound::new(listener, address.into()), worker, phase).await;
        }
        Accepted::Tcp(stream, address) => {
            let secured = tokio::select! {
                secured = tls::handshake(Patient::new(stream, patience), address, &listener) => secured,
                () = draining(&mut phase) => return,
            };
            match secured {
                Ok((stream, peer)) => {
                    speak(stream, Inbound::new(listener, peer), worker, phase).await;
                }
                Err(error) => {
                    worker.handshake_failed();
                    tracing::debug!(listener = %listener.at, %address, %error, "no TLS handshake");
                }
            }
        }
    }
}

/// Finds out which protocol is spoken, and speaks it.
async fn speak<S>(
    stream: S,
    inbound: Arc<Inbound>,
    worker: Arc<Worker>,
    mut phase: watch::Receiver<Phase>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut gate = Gate::new(stream, Arc::clone(&inbound));
    let spoken = tokio::select! {
        spoken = gate.listen() => spoken,
        // Nothing was asked yet, so nothing is owed.
        () = leaving(&mut phase, &inbound) => None,
    };
    match spoken {
        Some(Spoken::Http1) => serve_http1(gate, inbound, worker, phase).await,
        // Boxed, as it is larger than the rest: the connections that are many speak HTTP/1.
        Some(Spoken::Http2) => {
            Box::pin(http2::serve(gate.into_unvetted(), inbound, worker, phase)).await;
        }
        // Over TLS, an end that is not said looks like an attack.
        None => gate.finish(|refusal| worker.refuse(refusal, &inbound)).await,
    }
}

/// Between two requests that are far apart, the connection is taken out of hyper's hands, and with it the
/// memory that hyper keeps for each.
async fn serve_http1<S>(
    mut gate: Gate<S>,
    inbound: Arc<Inbound>,
    worker: Arc<Worker>,
    mut phase: watch::Receiver<Phase>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    while let Some(mut idle) = converse(gate, &inbound, &worker, &mut phase).await {
        let asks_again = tokio::select! {
            asks_again = idle.rest() => asks_again,
            () = leaving(&mut phase, &inbound) => false,
        };
        if !asks_again {
            idle.finish(|refusal| worker.refuse(refusal, &inbound)).await;
            return;
        }
        gate = idle;
    }
}

/// Lets hyper speak until it has no more to say. `None`: after an error the caller is gone, or hyper has
/// said what there was to say.
async fn converse<S>(
    gate: Gate<S>,
    inbound: &Arc<Inbound>,
    worker: &Arc<Worker>,
    phase: &mut watch::Receiver<Phase>,
) -> Option<Gate<S>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (deletes, from) = (Arc::clone(worker), Arc::clone(inbound));
    let head_bytes = inbound.listener.bounds.head_bytes;
    let service = service_fn(move |request| {
        let (worker, connection) = (Arc::clone(&deletes), Arc::clone(&from));
        let answered = Arc::clone(&deletes).serve(request, Arc::clone(&from));
        answered.map_ok(move |mut answer| {
            // Long before draining closes it: else a busy caller's next request would cross the end of its
            // connection, and nobody could tell it that nothing was deleted. So with one that is old.
            if worker.is_leaving() || connection.is_old() {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            answer
        })
    });
    // hyper takes as many fields as the gate lets through. Asked for any number, it would allocate room for them twice.
    const { assert!(MAX_FIELDS == 100) };
    let mut connection = http1::Builder::new()
        // To hyper the gate's "no more" is the caller's: what is owed is still to be answered.
        .half_close(true)
        .writev(false)
        .auto_date_header(false)
        .max_buf_size(MIN_BUFFER_BYTES.max(head_bytes * 2))
        .serve_connection(TokioIo::new(gate), service);

    let served = std::future::poll_fn(|cx| connection.poll_without_shutdown(cx));
    let mut served = pin!(served);
    // Looked at when it wakes, not at each step of each request.
    let mut leaving: FuturesUnordered<_> = std::iter::once(leaving(phase, inbound)).collect();
    let ended = tokio::select! {
        biased;
        ended = &mut served => Some(ended),
        Some(()) = leaving.next() => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            Pin::new(&mut connection).graceful_shutdown();
            std::future::poll_fn(|cx| connection.poll_without_shutdown(cx)).await
        }
    };
    ended.ok().map(|()| connection.into_parts().io.into_inner())
}

/// hyper takes no less.
const MIN_BUFFER_BYTES: usize = 8 * 1024;
