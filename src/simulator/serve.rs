//! Serves HTTP/1.1 and HTTP/2, and cuts connections when a fault says so.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::Builder;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::simulator::Simulator;
use crate::simulator::answer::{Answer, new_request_id};
use crate::simulator::body::AnswerBody;
use crate::simulator::control;
use crate::simulator::exchange::{Call, Delivery, Exchange};
use crate::simulator::record::Answered;

/// A connection, as its requests see it.
struct Connection {
    number: u64,
    /// Wakes whoever serves the connection, to drop it.
    cut: Arc<Notify>,
}

impl Simulator {
    /// Accepts connections until `shutdown` completes, then ends those that are open and returns.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        // An answer is small; waiting for more to send would only slow tests down.
                        if let Err(error) = stream.set_nodelay(true) {
                            debug!(%error, "no TCP_NODELAY on a connection");
                        }
                        let simulator = self.clone();
                        connections.spawn(async move { simulator.serve_connection(stream).await });
                    }
                    Err(error) => {
                        warn!(%error, "accepting a connection failed");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
        connections.shutdown().await;
    }

    /// Serves one connection, HTTP/1.1 or HTTP/2 by prior knowledge, until its client or a fault
    /// ends it. Whatever carries the bytes will do: a socket, TLS on one, a pipe in memory.
    pub async fn serve_connection<I>(&self, io: I)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let cut = Arc::new(Notify::new());
        let connection = Arc::new(Connection {
            number: self.inner.lock().next_connection(),
            cut: Arc::clone(&cut),
        });
        let mut builder = Builder::new(OwnedTasks::default()).title_case_headers(true);
        // The date is written by the answer itself, to stand where SMH has it.
        builder.http1().auto_date_header(false);
        builder.http2().auto_date_header(false);
        let service = service_fn(|request| {
            let simulator = self.clone();
            let connection = Arc::clone(&connection);
            async move { Ok::<_, Infallible>(simulator.respond(request, &connection).await) }
        });
        let served = builder.serve_connection(TokioIo::new(io), service);
        tokio::select! {
            served = served => if let Err(error) = served {
                debug!(error, "a connection ended early");
            },
            // Dropping what serves the connection closes it, with all that was not yet answered.
            () = cut.notified() => {}
        }
    }

    async fn respond(
        &self,
        request: Request<Incoming>,
        connection: &Connection,
    ) -> Response<AnswerBody> {
        let call = receive(request, connection.number).await;
        if let Some(answer) = control::answer(self, &call) {
            let date = self.inner.lock().clock.now().wall;
            return answer.into_response(&call.method, &new_request_id(), date);
        }
        let exchange = self.inner.lock().exchange(&call);
        let Exchange { number, request_id, delivery } = exchange;
        let send = |answer: Answer, answered: fn(u16) -> Answered| {
            let status = answered(answer.status.as_u16());
            let mut inner = self.inner.lock();
            inner.record.amend(number, |received| received.answered = status);
            answer.into_response(&call.method, &request_id, inner.clock.now().wall)
        };
        match delivery {
            Delivery::Answer(answer) => send(answer, Answered::Status),
            Delivery::Late(wait, answer) => {
                sleep(wait).await;
                send(answer, Answered::Status)
            }
            Delivery::CutMidBody(answer) => send(answer, Answered::Partly)
                .map(|body| body.cut_short(Arc::clone(&connection.cut))),
            Delivery::Cut => {
                connection.cut.notify_one();
                pending().await
            }
            Delivery::Hang => pending().await,
        }
    }
}

/// Takes a request off the wire, target and header fields untouched.
async fn receive(request: Request<Incoming>, connection: u64) -> Call {
    let (parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let body = Limited::new(body, MAX_BODY_BYTES).collect().await;
    Call {
        method: parts.method,
        target: target.to_owned(),
        authority: parts.uri.authority().map(ToString::to_string),
        version: parts.version,
        headers: parts.headers,
        body: body.ok().map(http_body_util::Collected::to_bytes),
        connection,
    }
}

/// Runs the streams of an HTTP/2 connection, and ends them with it.
#[derive(Clone, Default)]
struct OwnedTasks(Arc<Mutex<JoinSet<()>>>);

impl<F> Executor<F> for OwnedTasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let mut tasks = self.0.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(stream);
    }
}

/// What accepting waits after an error: most likely too many files are open, and some will be
/// closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A thousand items of the longest paths fit; more is no request that SMH knows.
const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;
