//! A document from elsewhere than SMH: the keys of a token issuer. Nothing is followed, and nothing
//! of SMH's is in it.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{AUTHORIZATION, HeaderValue};
use zeroize::Zeroizing;

use crate::origin::Origin;
use crate::refusal::UpstreamFault;
use crate::secret::Secret;
use crate::upstream::answer::Answer;
use crate::upstream::connection::Failure;
use crate::upstream::tls::ClientTls;
use crate::upstream::{Failed, PrivateAddresses, blame, chain, connection, failed, request, whole};

/// What is to be fetched, and how.
pub(crate) struct Document<'a> {
    pub(crate) origin: &'a Origin,
    /// Path and query.
    pub(crate) target: &'a str,
    pub(crate) tls: &'a ClientTls,
    /// Sent to this origin alone.
    pub(crate) bearer: Option<&'a Secret>,
    /// For all of it.
    pub(crate) timeout: Duration,
    /// Largest body, in bytes.
    pub(crate) most: usize,
}

/// Fetches it, on a connection of its own.
///
/// # Errors
/// [`Failed`], of which only the cause is of use.
pub(crate) async fn fetch(document: Document<'_>) -> Result<Answer, Failed> {
    let Document { origin, target, tls, bearer, timeout, most } = document;
    let exchange = async {
        // An issuer is often of the same cluster.
        let private = PrivateAddresses::Allow;
        let connected = connection::connect(origin, tls, private, timeout).await;
        let mut connection =
            connected.map_err(|error| failed(UpstreamFault::Unreachable, &chain(&error)))?;
        let target = Zeroizing::new(target.as_bytes().to_vec());
        let mut request = request::plain(origin, Method::GET, target, connection.protocol())
            .ok_or_else(|| failed(UpstreamFault::Unreachable, "no target could be made"))?;
        if let Some(value) = bearer.and_then(authorization) {
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        match connection.send(request).await {
            Ok(response) => whole(response, most).await,
            Err(Failure::Closed(error) | Failure::Refused(error) | Failure::Lost(error)) => {
                Err(failed(blame(&error), &chain(&error)))
            }
        }
    };
    tokio::time::timeout(timeout, exchange).await.unwrap_or_else(|_| {
        Err(Failed { fault: UpstreamFault::Timeout, cause: format!("no answer in {timeout:?}") })
    })
}

pub(super) fn authorization(token: &Secret) -> Option<HeaderValue> {
    sensitive(b"Bearer ", token)
}

/// A field that does not show itself, and is wiped.
pub(super) fn sensitive(before: &[u8], secret: &Secret) -> Option<HeaderValue> {
    let value = Zeroizing::new([before, secret.expose()].concat());
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(value)).ok()?;
    value.set_sensitive(true);
    Some(value)
}
