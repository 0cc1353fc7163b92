//! SMH, as a worker reaches it: an admitted delete and a token in, SMH's whole answer out.
//!
//! A delete is sent a second time only when SMH certainly did not act on the first: no connection
//! was made, or the request was handed back untouched by a connection that had closed, or the
//! stream was refused.

mod connection;
mod pool;
mod request;
pub mod tls;

pub use self::request::TokenPlace;

use std::error::Error;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use rustls::ClientConfig;
use tokio::time::{Instant, timeout_at};

use self::connection::{Failure, Sender};
use self::pool::Pool;
use crate::limits::Admission;
use crate::origin::Origin;
use crate::refusal::UpstreamFault;
use crate::token::AccessToken;

/// What gateway.yaml says under `upstream`, for every library.
#[derive(Debug, Clone)]
pub struct Settings {
    /// For one connection: TCP and TLS.
    pub connect_timeout: Duration,
    /// For one whole delete, its second try included.
    pub timeout: Duration,
    /// How the token travels.
    pub token_in: TokenPlace,
    /// Roots and protocols.
    pub tls: Arc<ClientConfig>,
}

/// A whole answer of SMH's, not yet judged.
#[derive(Debug)]
pub struct Answer {
    /// Status, fields, and what hyper remembers of how they were written.
    pub head: response::Parts,
    /// All of it.
    pub body: Bytes,
}

/// Why there is no whole answer.
#[derive(Debug)]
pub struct Failed {
    /// For the caller.
    pub fault: UpstreamFault,
    /// For the log: the chain of errors, which never holds a target.
    pub cause: String,
}

/// One worker's way to SMH.
#[derive(Default)]
pub struct Client {
    pool: Pool,
}

impl Client {
    /// Sends an admitted delete and waits for the whole answer, until `deadline` at the latest.
    ///
    /// # Errors
    /// [`Failed`] says whether the delete may have been carried out.
    pub async fn send(
        &self,
        admission: &Admission,
        token: &AccessToken,
        settings: &Settings,
        deadline: Instant,
    ) -> Result<Answer, Failed> {
        let sent = AtomicBool::new(false);
        let attempt = self.attempt(admission, token, settings, &sent);
        timeout_at(deadline, attempt).await.unwrap_or_else(|_| {
            let fault = if sent.load(Ordering::Relaxed) {
                UpstreamFault::Timeout
            } else {
                UpstreamFault::TimeoutBeforeSending
            };
            Err(Failed { fault, cause: format!("no answer within {:?}", settings.timeout) })
        })
    }

    async fn attempt(
        &self,
        admission: &Admission,
        token: &AccessToken,
        settings: &Settings,
        sent: &AtomicBool,
    ) -> Result<Answer, Failed> {
        let origin = &admission.permit().tenant().library.origin;
        loop {
            let (mut connection, fresh) = self.connection(origin, settings).await?;
            let request =
                request::build(admission, token, settings.token_in, connection.protocol())
                    .ok_or_else(|| failed(UpstreamFault::Unreachable, "no target could be made"))?;
            sent.store(true, Ordering::Relaxed);
            match connection.send(request).await {
                Ok(response) => {
                    let answer = whole(response).await?;
                    self.keep(origin, connection);
                    return Ok(answer);
                }
                Err(Failure::Unsent(error)) if fresh => {
                    return Err(failed(UpstreamFault::Unreachable, &chain(&error)));
                }
                // A kept connection had closed before it took the request: there are only so many.
                Err(Failure::Unsent(_)) => sent.store(false, Ordering::Relaxed),
                Err(Failure::Lost(error)) => return Err(failed(blame(&error), &chain(&error))),
            }
        }
    }

    /// A kept connection, or a new one and `true`.
    async fn connection(
        &self,
        origin: &Origin,
        settings: &Settings,
    ) -> Result<(Sender, bool), Failed> {
        if let Some(kept) = self.pool.take(origin) {
            return Ok((kept, false));
        }
        match connection::connect(origin, &settings.tls, settings.connect_timeout).await {
            Ok(made) => {
                if let Some(shared) = made.shared() {
                    self.pool.put(origin, shared);
                }
                Ok((made, true))
            }
            Err(error) => Err(failed(UpstreamFault::Unreachable, &chain(&error))),
        }
    }

    fn keep(&self, origin: &Origin, connection: Sender) {
        match connection {
            Sender::Http1(_) => self.pool.put(origin, connection),
            // It never left the pool.
            Sender::Http2(_) => {}
        }
    }
}

/// Waits for the whole body: half an answer must never look like one.
async fn whole(response: Response<Incoming>) -> Result<Answer, Failed> {
    let (head, body) = response.into_parts();
    match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => Ok(Answer { head, body: body.to_bytes() }),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            Err(failed(UpstreamFault::TooLarge, "the body is too large"))
        }
        Err(error) => Err(failed(UpstreamFault::Incomplete, &chain(&*error))),
    }
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

/// An error and what caused it, on one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a string cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

/// Largest body of an answer, in bytes. SMH's own are below 1 KiB.
const MAX_BODY_BYTES: usize = 1024 * 1024;
