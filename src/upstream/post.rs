//! What is sent elsewhere than to SMH: traces, to a collector. Nothing is followed, and nothing of SMH's
//! is in it.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use http_body_util::Full;
use zeroize::Zeroizing;

use crate::origin::Origin;
use crate::refusal::UpstreamFault;
use crate::secret::Secret;
use crate::upstream::address::PrivateAddresses;
use crate::upstream::answer::Answer;
use crate::upstream::connection::{Connection, Failure};
use crate::upstream::fetch::{authorization, sensitive};
use crate::upstream::tls::ClientTls;
use crate::upstream::{Failed, blame, chain, connection, failed, request, whole};

/// What is to be sent, and how.
pub(crate) struct Posting<'a> {
    pub(crate) origin: &'a Origin,
    pub(crate) target: &'a str,
    /// For a connection that is new.
    pub(crate) tls: &'a ClientTls,
    /// Sent to this origin alone.
    pub(crate) fields: Vec<(HeaderName, HeaderValue)>,
    /// Protocol Buffers.
    pub(crate) body: Bytes,
    /// For all of it.
    pub(crate) timeout: Duration,
    /// Largest body of an answer, in bytes.
    pub(crate) most: usize,
}

/// Posts one thing after the other, over one connection while that is good.
#[derive(Default)]
pub(crate) struct Poster {
    kept: Option<Connection>,
}

impl Poster {
    /// Posts it, and waits for the whole answer.
    ///
    /// # Errors
    /// [`Failed`], of which only the cause is of use.
    pub(crate) async fn post(&mut self, posting: Posting<'_>) -> Result<Answer, Failed> {
        let timeout = posting.timeout;
        // Where it is cut off, so is the connection.
        let kept = self.kept.take().filter(Connection::is_fit);
        let (answer, connection) =
            tokio::time::timeout(timeout, exchange(posting, kept)).await.unwrap_or_else(|_| {
                let cause = format!("no answer in {timeout:?}");
                Err(Failed { fault: UpstreamFault::Timeout, cause })
            })?;
        self.kept = Some(connection);
        Ok(answer)
    }
}

async fn exchange(
    posting: Posting<'_>,
    kept: Option<Connection>,
) -> Result<(Answer, Connection), Failed> {
    if let Some(kept) = kept {
        match once(&posting, kept).await {
            // It had closed, and nobody had noticed.
            Err(Failure::Closed(_)) => {}
            other => return other.unwrap_or_else(lost),
        }
    }
    // A collector is mostly of the same cluster.
    let private = PrivateAddresses::Allow;
    let Posting { origin, tls, timeout, .. } = posting;
    let connected = connection::connect(origin, tls, private, timeout).await;
    let connected = connected.map_err(|e| failed(UpstreamFault::Unreachable, &chain(&e)))?;
    once(&posting, connected).await.unwrap_or_else(lost)
}

/// The inner result is the answer, whole or broken.
async fn once(
    posting: &Posting<'_>,
    mut connection: Connection,
) -> Result<Result<(Answer, Connection), Failed>, Failure> {
    let Posting { origin, target, fields, body, most, .. } = posting;
    let target = Zeroizing::new(target.as_bytes().to_vec());
    let built = request::plain(origin, Method::POST, target, connection.protocol());
    let Some(mut request) = built else {
        return Ok(Err(failed(UpstreamFault::Unreachable, "no target could be made")));
    };
    request.headers_mut().extend(fields.iter().cloned());
    let protobuf = HeaderValue::from_static("application/x-protobuf");
    request.headers_mut().insert(CONTENT_TYPE, protobuf);
    *request.body_mut() = Full::new(body.clone());
    let response = connection.send(request).await?;
    Ok(whole(response, *most).await.map(|answer| (answer, connection)))
}

fn lost<T>(failure: Failure) -> Result<T, Failed> {
    let (Failure::Closed(error) | Failure::Refused(error) | Failure::Lost(error)) = failure;
    Err(failed(blame(&error), &chain(&error)))
}

/// Secrets as header fields, which do not show themselves. What cannot be one is left out.
pub(crate) fn sensitive_fields(
    bearer: Option<&Secret>,
    others: &[(HeaderName, Secret)],
) -> Vec<(HeaderName, HeaderValue)> {
    let bearer = bearer.and_then(authorization).map(|value| (AUTHORIZATION, value));
    let others =
        others.iter().filter_map(|(name, secret)| Some((name.clone(), sensitive(&[], secret)?)));
    bearer.into_iter().chain(others).collect()
}
