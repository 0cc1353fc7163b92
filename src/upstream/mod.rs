//! SMH, as a worker reaches it: an admitted delete and a token in, SMH's whole answer out.
//!
//! A delete is sent a second time only when SMH certainly did not act on the first: a kept connection
//! had closed before it took the request, or SMH refused to take it. The second try is the last.

mod address;
mod answer;
mod attempts;
mod connection;
mod fetch;
mod pool;
#[cfg(feature = "otlp")]
mod post;
mod request;
pub mod tls;
mod whole;

pub use self::address::PrivateAddresses;
pub use self::answer::Answer;
pub(crate) use self::attempts::Attempt;
pub(crate) use self::fetch::{Document, fetch};
#[cfg(feature = "otlp")]
pub(crate) use self::post::{Poster, Posting, sensitive_fields};
pub(crate) use self::request::Question;
pub use self::request::{TokenPlace, shown};

use std::error::Error;
use std::fmt::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::Method;
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use self::attempts::Attempts;
use self::connection::{ConnectError, Connection, Failure};
use self::pool::Pool;
use self::tls::ClientTls;
use self::whole::whole;
use crate::access_token::AccessToken;
use crate::limits::Admission;
use crate::origin::Origin;
use crate::refusal::UpstreamFault;

/// What gateway.yaml says under `upstream`, for every library.
#[derive(Debug, Clone)]
pub struct Settings {
    /// For one connection: TCP and TLS.
    pub connect_timeout: Duration,
    /// For one whole delete, its second try included.
    pub timeout: Duration,
    /// How the token travels.
    pub token_in: TokenPlace,
    /// Whether the name of a library may lead to a private address.
    pub private_addresses: PrivateAddresses,
    /// Roots and protocols.
    pub tls: ClientTls,
}

impl Settings {
    /// These, over the connections of those before as far as they may be used.
    #[must_use]
    pub fn after(self, before: &Self) -> Self {
        Self { tls: self.tls.or_same(&before.tls), ..self }
    }
}

/// Why there is no whole answer.
#[derive(Debug)]
pub struct Failed {
    /// For the caller.
    pub fault: UpstreamFault,
    /// For the log: the chain of errors, of which none holds a target.
    pub cause: String,
}

/// How often one delete was given to a connection, whatever became of it.
#[derive(Debug, Default)]
pub struct Tries {
    given: AtomicU32,
    /// Those of which SMH certainly took nothing.
    untaken: AtomicU32,
    pub(crate) attempts: Attempts,
}

impl Tries {
    /// How often it left, as far as is known.
    #[must_use]
    pub fn sent(&self) -> u32 {
        self.given.load(Ordering::Relaxed).saturating_sub(self.untaken.load(Ordering::Relaxed))
    }

    /// How often it was tried.
    #[must_use]
    pub fn given(&self) -> u32 {
        self.given.load(Ordering::Relaxed)
    }
}

/// One delete on its way.
struct Order<'a> {
    admission: &'a Admission,
    token: &'a AccessToken,
    settings: &'a Settings,
    tries: &'a Tries,
    may_send: &'a (dyn Fn() -> bool + Sync),
}

/// One worker's way to SMH.
#[derive(Default)]
pub struct Client {
    pool: Pool,
}

impl Client {
    /// Sends an admitted delete and waits for the whole answer, until `deadline` at the latest.
    /// `may_send` is asked at the last moment: much can have happened while a token or a connection
    /// was waited for.
    ///
    /// # Errors
    /// [`Failed`] says whether the delete may have been carried out.
    pub async fn send(
        &self,
        admission: &Admission,
        token: &AccessToken,
        settings: &Settings,
        deadline: Instant,
        tries: &Tries,
        may_send: &(dyn Fn() -> bool + Sync),
    ) -> Result<Answer, Failed> {
        let before = tries.sent();
        tries.attempts.begin();
        let attempt = self.attempt(Order { admission, token, settings, tries, may_send });
        let sent = timeout_at(deadline, attempt).await.unwrap_or_else(|_| {
            let fault = if tries.sent() > before {
                UpstreamFault::Timeout
            } else {
                UpstreamFault::TimeoutBeforeSending
            };
            Err(Failed { fault, cause: format!("no answer within {:?}", settings.timeout) })
        });
        let status = |answer: &Answer| answer.head.status.as_u16();
        tries.attempts.end(|| sent.as_ref().map(status).map_err(|failed| failed.fault.as_str()));
        sent
    }

    async fn attempt(&self, order: Order<'_>) -> Result<Answer, Failed> {
        let origin = &order.admission.permit().tenant().library.origin;
        let settings = order.settings;
        let first = match self.pool.take(origin, &settings.tls) {
            Some(kept) => kept,
            None => self.connect(origin, settings).await?,
        };
        let again = match self.once(first, &order).await {
            Ok(answer) => return answer,
            Err(Failure::Lost(error)) => return Err(failed(blame(&error), &chain(&error))),
            // Another of the kept ones may have closed as well.
            Err(Failure::Closed(_)) => None,
            // One stream was refused, but the connection may still be good.
            Err(Failure::Refused(_)) => self.pool.take(origin, &settings.tls),
        };
        order.tries.attempts.again();
        let second = match again {
            Some(same) => same,
            None => self.connect(origin, settings).await?,
        };
        match Box::pin(self.once(second, &order)).await {
            Ok(answer) => answer,
            Err(Failure::Lost(error)) => Err(failed(blame(&error), &chain(&error))),
            Err(Failure::Closed(error)) => Err(failed(UpstreamFault::Unreachable, &chain(&error))),
            Err(Failure::Refused(error)) => Err(failed(UpstreamFault::Refused, &chain(&error))),
        }
    }

    /// Sends once, on this connection. The inner result is SMH's answer, whole or broken.
    async fn once(
        &self,
        mut connection: Connection,
        order: &Order<'_>,
    ) -> Result<Result<Answer, Failed>, Failure> {
        let Order { admission, token, settings, tries, may_send } = order;
        let origin = &admission.permit().tenant().library.origin;
        let built = request::build(admission, token, settings.token_in, connection.protocol());
        let Some(request) = built else {
            return Ok(Err(failed(UpstreamFault::Unreachable, "no target could be made")));
        };
        if !may_send() {
            return Ok(Err(failed(UpstreamFault::Halted, "halted while it waited")));
        }
        tries.given.fetch_add(1, Ordering::Relaxed);
        match connection.send(request).await {
            Ok(response) => {
                let answer = whole(response, MAX_BODY_BYTES).await;
                if answer.is_ok() {
                    self.pool.put(origin, &settings.tls, connection);
                }
                Ok(answer)
            }
            Err(failure) => {
                if !matches!(failure, Failure::Lost(_)) {
                    tries.untaken.fetch_add(1, Ordering::Relaxed);
                }
                Err(failure)
            }
        }
    }

    async fn connect(&self, origin: &Origin, settings: &Settings) -> Result<Connection, Failed> {
        // Boxed: it is seldom on the way of a delete, and would be most of each one's future.
        let made = dial(origin, settings);
        let made = Box::pin(made).await;
        let made = made.map_err(|error| failed(UpstreamFault::Unreachable, &chain(&error)))?;
        if let Some(shared) = made.shared() {
            self.pool.put(origin, &settings.tls, shared);
        }
        Ok(made)
    }
}

async fn dial(origin: &Origin, settings: &Settings) -> Result<Connection, ConnectError> {
    let Settings { tls, private_addresses, connect_timeout, .. } = settings;
    connection::connect(origin, tls, *private_addresses, *connect_timeout).await
}

/// Whether an origin can be reached, and its certificate is good.
///
/// # Errors
/// [`Failed`], with the cause in words.
pub(crate) async fn reach(origin: &Origin, settings: &Settings) -> Result<(), Failed> {
    let connected = dial(origin, settings).await;
    connected.map(|_| ()).map_err(|error| failed(UpstreamFault::Unreachable, &chain(&error)))
}

/// One call that is no delete, on a connection of its own: tokens, and what `doctor` asks.
///
/// # Errors
/// [`Failed`], of which only the kind is of use: nothing was lost.
pub(crate) async fn call(
    origin: &Origin,
    settings: &Settings,
    method: Method,
    target: Zeroizing<Vec<u8>>,
    timeout: Duration,
) -> Result<Answer, Failed> {
    let exchange = async {
        let connected = dial(origin, settings).await;
        let mut connection =
            connected.map_err(|error| failed(UpstreamFault::Unreachable, &chain(&error)))?;
        let request = request::plain(origin, method, target, connection.protocol())
            .ok_or_else(|| failed(UpstreamFault::Unreachable, "no target could be made"))?;
        match connection.send(request).await {
            Ok(response) => whole(response, MAX_BODY_BYTES).await,
            Err(Failure::Closed(error) | Failure::Refused(error) | Failure::Lost(error)) => {
                Err(failed(blame(&error), &chain(&error)))
            }
        }
    };
    tokio::time::timeout(timeout, exchange).await.unwrap_or_else(|_| {
        Err(Failed { fault: UpstreamFault::Timeout, cause: format!("no answer in {timeout:?}") })
    })
}

/// One question to a space, with a token, on a connection of its own: none that is kept can close while
/// it is being asked, so whoever has no answer knows more of what became of it.
///
/// # Errors
/// [`Failed`]. After `Unreachable` SMH certainly did not act.
pub(crate) async fn ask(
    origin: &Origin,
    settings: &Settings,
    question: &Question,
    token: &AccessToken,
    timeout: Duration,
) -> Result<Answer, Failed> {
    let exchange = async {
        let connected = dial(origin, settings).await;
        let mut connection =
            connected.map_err(|error| failed(UpstreamFault::Unreachable, &chain(&error)))?;
        let protocol = connection.protocol();
        let request = request::question(origin, question, token, settings.token_in, protocol)
            .ok_or_else(|| failed(UpstreamFault::Unreachable, "no target could be made"))?;
        match connection.send(request).await {
            Ok(response) => whole(response, MAX_LIST_BYTES).await,
            Err(Failure::Closed(error)) => Err(failed(UpstreamFault::Unreachable, &chain(&error))),
            Err(Failure::Refused(error)) => Err(failed(UpstreamFault::Refused, &chain(&error))),
            Err(Failure::Lost(error)) => Err(failed(blame(&error), &chain(&error))),
        }
    };
    tokio::time::timeout(timeout, exchange).await.unwrap_or_else(|_| {
        Err(Failed { fault: UpstreamFault::Timeout, cause: format!("no answer in {timeout:?}") })
    })
}

/// Whose fault a lost answer is, as far as hyper can tell.
fn blame(error: &hyper::Error) -> UpstreamFault {
    if error.is_parse_too_large() {
        UpstreamFault::TooLarge
    } else if error.is_parse() {
        UpstreamFault::NotHttp
    } else {
        UpstreamFault::Incomplete
    }
}

fn failed(fault: UpstreamFault, cause: &str) -> Failed {
    Failed { fault, cause: cause.to_owned() }
}

/// An error and what caused it, on one line. Of an HTTP/2 error only its reason: what the peer sends
/// along with it can be anything, and so our request.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let separator = if text.is_empty() { "" } else { ": " };
        // Writing to a string cannot fail.
        let _ = match error.downcast_ref::<h2::Error>() {
            Some(http2) => match http2.reason() {
                Some(reason) => write!(text, "{separator}HTTP/2 {reason:?}"),
                None => write!(text, "{separator}HTTP/2 connection lost"),
            },
            None => write!(text, "{separator}{error}"),
        };
        next = if error.is::<h2::Error>() { None } else { error.source() };
    }
    text
}

/// Largest body of an answer, in bytes. SMH's own are below 1 KiB.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// The same for a list of a hundred items, whose paths SMH may write in escapes.
const MAX_LIST_BYTES: usize = 4 * 1024 * 1024;
