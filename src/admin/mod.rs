//! The admin listener: is it alive, is it ready, what is it doing, what is in force; and a page to look at it all.
//!
//! Plain HTTP on an address of its own, for the pod network or loopback. Nothing here deletes
//! anything, shows a secret, or calls SMH.

mod budget;
mod configuration;
mod events;
mod explain;
mod exposition;
mod guard;
mod page;
mod quit;
mod seen;
mod status;

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;

use self::events::Events;
use crate::gateway::Gateway;
use crate::limit_store::StoreClient;
use crate::reload::Reloads;

/// What the pages are made of.
pub struct Admin {
    gateway: Arc<Gateway>,
    reloads: Arc<Reloads>,
    limit_store: StoreClient,
    events: Events,
    allow_quit: bool,
}

/// Where an operator comes in.
pub enum Door {
    /// For everything that changes nothing.
    Tcp(TcpListener),
    /// For what changes something as well: whoever may connect to it is an operator.
    Unix(UnixListener),
}

/// What may be asked on a connection.
#[derive(Clone, Copy)]
enum Right {
    Look,
    /// With the user id of who is at the other end.
    Change(u32),
}

impl Admin {
    /// The pages of one gateway.
    #[must_use]
    pub fn new(gateway: Arc<Gateway>, reloads: Arc<Reloads>) -> Arc<Self> {
        // As it started: like the rest of `admin`, another choice takes a restart.
        let allow_quit = gateway.in_force().snapshot.admin.allow_quit;
        let limit_store = StoreClient::of_operators();
        Arc::new(Self { gateway, reloads, limit_store, events: Events::new(), allow_quit })
    }

    /// Serves one door until it is dropped.
    pub async fn serve(self: Arc<Self>, door: Door) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let accepted = match &door {
                Door::Tcp(listener) => listener.accept().await.map(|(stream, _)| {
                    Box::pin(Arc::clone(&self).connection(stream, Right::Look)) as Pin<Box<Served>>
                }),
                Door::Unix(listener) => listener.accept().await.and_then(|(stream, _)| {
                    let right = Right::Change(stream.peer_cred()?.uid());
                    Ok(Box::pin(Arc::clone(&self).connection(stream, right)) as Pin<Box<Served>>)
                }),
            };
            match accepted {
                Ok(served) => {
                    #[expect(
                        clippy::disallowed_methods,
                        reason = "ends with its runtime; owes nothing"
                    )]
                    tokio::spawn(async move {
                        served.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the admin listener cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn connection<S>(self: Arc<Self>, stream: S, right: Right)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let ends = tokio::time::Instant::now() + CONNECTION_DEADLINE;
        let service = service_fn(move |request: Request<Incoming>| {
            let this = Arc::clone(&self);
            async move {
                Ok::<_, std::convert::Infallible>(match request.uri().path() {
                    EVENTS if is_look(&request) && guard(&request, right).is_ok() => {
                        this.events(ends)
                    }
                    _ => this.respond(request, right).await.map(whole),
                })
            }
        });
        let served = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_DEADLINE)
            .max_buf_size(MAX_BUFFER_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        // What goes wrong here concerns the one who asked.
        let _ = tokio::time::timeout_at(ends, served).await;
    }

    async fn respond(&self, request: Request<Incoming>, right: Right) -> Response<Bytes> {
        if let Err((status, why)) = guard(&request, right) {
            return text(status, why);
        }
        let is_post = *request.method() == Method::POST;
        match (request.uri().path(), right) {
            (EXPLAIN, _) if is_post => explain::answer(request.into_body(), &self.gateway).await,
            (BUDGET, Right::Change(by)) if is_post => self.grant(request.into_body(), by).await,
            (BUDGET, Right::Look) if is_post => text(
                StatusCode::FORBIDDEN,
                "what changes something is asked on the unix socket of `admin.socket`\n",
            ),
            (quit::PATH, _) if self.allow_quit => quit::answer(&request, &self.gateway),
            (LIMITS, _) if is_look(&request) => json(StatusCode::OK, &self.limits().await),
            _ => answer(&request, &self.gateway, &self.reloads),
        }
    }
}

type Served = dyn Future<Output = ()> + Send;

/// Whole, or a stream.
type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;

fn whole(body: Bytes) -> Body {
    Full::new(body).boxed_unsync()
}

/// What was sent with a request, if it comes in time: who is slow must not keep a place that a probe needs.
async fn whole_body(body: Incoming, most: usize) -> Result<Bytes, String> {
    match tokio::time::timeout(HEAD_DEADLINE, Limited::new(body, most).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) => Err(format!("what was sent cannot be read: {error}")),
        Err(_) => Err(format!("what was sent did not come within {HEAD_DEADLINE:?}")),
    }
}

fn is_look<B>(request: &Request<B>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
}

/// No browser finds a unix socket, and what probes and scrapers ask for may be asked for by any name.
fn guard<B>(request: &Request<B>, right: Right) -> Result<(), guard::Refused> {
    match (request.uri().path(), right) {
        ("/livez" | "/readyz" | "/metrics", _) | (_, Right::Change(_)) => Ok(()),
        (_, Right::Look) => guard::check(request),
    }
}

fn answer<B>(request: &Request<B>, gateway: &Gateway, reloads: &Reloads) -> Response<Bytes> {
    let path = request.uri().path();
    let known =
        ["/", "/livez", "/readyz", "/metrics", "/api/status", "/api/config", LIMITS, EVENTS];
    let posted = [EXPLAIN, BUDGET];
    if !known.contains(&path) && !posted.contains(&path) {
        return text(StatusCode::NOT_FOUND, "no such page; see /\n");
    }
    let allowed = if posted.contains(&path) { "POST" } else { "GET, HEAD" };
    if posted.contains(&path) || !is_look(request) {
        let mut response =
            text(StatusCode::METHOD_NOT_ALLOWED, "see Allow for the method to use\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
        return response;
    }
    match path {
        "/livez" => text(StatusCode::OK, "ok\n"),
        "/readyz" => readiness(gateway),
        "/metrics" => exposition::answer(gateway, request.headers()),
        "/api/status" => json(StatusCode::OK, &status::status(gateway, reloads)),
        "/api/config" => json(StatusCode::OK, &gateway.shown()),
        _ if !page::wants_text(request.headers()) => page::answer(),
        _ => {
            let configuration = configuration::summary(gateway, reloads);
            let status = status::status(gateway, reloads);
            let page = format!("{configuration}\n{INDEX}\n{status:#}\n");
            body(StatusCode::OK, "text/plain; charset=utf-8", page.into())
        }
    }
}

/// 200 once deletes can be carried out, and until the gateway wants to leave, whatever is pending of
/// what a reload added. SMH is never asked: an outage there must not take every gateway out of
/// service at once.
fn readiness(gateway: &Gateway) -> Response<Bytes> {
    let (phase, ready) = (*gateway.phase().borrow(), gateway.is_ready());
    let pending = gateway.pending();
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(code, &json!({ "ready": ready, "phase": phase.as_str(), "pending": pending }))
}

/// How many days the certificate of each TLS listener is good for; negative where it is over.
fn certificates(gateway: &Gateway) -> impl Iterator<Item = (String, f64)> {
    const DAY: f64 = 24.0 * 60.0 * 60.0;
    let days = |expires: SystemTime| match expires.duration_since(SystemTime::now()) {
        Ok(left) => left.as_secs_f64() / DAY,
        Err(over) => -over.duration().as_secs_f64() / DAY,
    };
    gateway.listeners().iter().filter_map(move |listener| {
        let expires = listener.tls.as_ref()?.expires()?;
        Some((listener.at.to_string(), days(expires)))
    })
}

fn since(time: SystemTime) -> Duration {
    // A clock that was set back shows no time rather than an error.
    SystemTime::now().duration_since(time).unwrap_or_default()
}

fn text(status: StatusCode, text: &'static str) -> Response<Bytes> {
    body(status, "text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()))
}

fn json(status: StatusCode, value: &Value) -> Response<Bytes> {
    body(status, "application/json", format!("{value:#}\n").into())
}

fn body(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    keep_to_itself(headers);
    response
}

/// Taken for what it says it is, and by nobody else's page.
fn keep_to_itself(headers: &mut HeaderMap) {
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
}

const INDEX: &str = "\
smh-gateway, admin listener

GET /livez        200 while the process runs
GET /readyz       200 while deletes can be carried out, else 503 with what is pending
GET /metrics      OpenMetrics or Prometheus text, by Accept
GET /             all this as a page that keeps itself up to date
GET /api/status   what it is doing
GET /api/events   the same as server-sent events, once a second
GET /api/config   the configuration in force, secrets redacted
GET /api/limits   what is used of each limit, by whom
POST /api/budget  deletes beyond a limit, once; on the unix socket alone: `smh-gateway budget grant`
POST /quitquitquit  ends the gateway as SIGTERM does; only where `admin.allow_quit: true`
POST /api/explain what would become of a delete now, and why; nothing is sent or charged:
                  { caller, tenant, path } and perhaps { permanent, user_id, at }, as JSON
";

const EXPLAIN: &str = "/api/explain";

const EVENTS: &str = "/api/events";

const LIMITS: &str = "/api/limits";

const BUDGET: &str = "/api/budget";

/// Probes, a scraper and a person or two.
const MAX_CONNECTIONS: usize = 64;

const HEAD_DEADLINE: Duration = Duration::from_secs(10);

/// A scraper that keeps its connection makes a new one every ten minutes.
const CONNECTION_DEADLINE: Duration = Duration::from_secs(600);

const MAX_BUFFER_BYTES: usize = 16 * 1024;

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
