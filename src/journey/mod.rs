//! One delete, top to bottom. Read this first.
//!
//! [`Worker::delete`] is the journey: each line spends what the one before it proved. Around it,
//! [`Worker::answer`] turns a refusal into its answer and keeps the record.

mod record;
mod wellformed;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::json;
use tokio::time::Instant;

use self::record::Record;
use self::wellformed::Intent;
use crate::authenticate::Peer;
use crate::delete::Route;
use crate::gateway::{Gateway, InForce};
use crate::ids::{RequestId, RuleName};
use crate::limits::Admission;
use crate::log::Lines;
use crate::policy::Permit;
use crate::refusal::{Refusal, UpstreamFault, render};
use crate::relay;
use crate::upstream::Client;

/// What one thread that serves has of its own.
pub(crate) struct Worker {
    gateway: Arc<Gateway>,
    upstream: Client,
    lines: Lines,
}

impl Worker {
    pub(crate) fn new(gateway: Arc<Gateway>, lines: Lines) -> Arc<Self> {
        Arc::new(Self { gateway, upstream: Client::default(), lines })
    }

    /// Answers one request, and sees it through even if the caller hangs up.
    pub(crate) fn serve(self: Arc<Self>, request: Request<Incoming>, peer: Peer) -> UntilDone {
        UntilDone(Some(Box::pin(self.answer(request, peer))))
    }

    async fn answer(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        peer: Peer,
    ) -> Response<Full<Bytes>> {
        let mut record = self.record(request_id(request.headers()), peer);
        let response = match self.delete(&mut request, peer, &mut record).await {
            Ok(response) => response,
            Err(refusal) => {
                let response = render::answer(&refusal, record.id());
                record.refused(refusal);
                response
            }
        };
        response.map(Full::new)
    }

    /// Refuses what never became a request: the head was not HTTP.
    pub(crate) fn refuse(&self, refusal: Refusal, peer: Peer) -> Response<Bytes> {
        let mut record = self.record(RequestId::random(), peer);
        let response = render::answer(&refusal, record.id());
        record.refused(refusal);
        response
    }

    /// The journey.
    async fn delete(
        &self,
        request: &mut Request<Incoming>,
        peer: Peer,
        record: &mut Record,
    ) -> Result<Response<Bytes>, Refusal> {
        let in_force = self.gateway.in_force(); // One version, start to end.
        let deadline = Instant::now() + in_force.upstream.timeout;

        Route::of(request.uri())?.method(request.method())?;
        let intent = wellformed::head(request)?;
        wellformed::no_body(request.body_mut()).await?;
        let delete = Route::of(request.uri())?.delete()?;
        record.asked(request.uri(), &delete);

        let caller = in_force.authenticator.authenticate(request.headers(), peer)?;
        record.called_by(caller);
        let decision = in_force.policy.decide(&in_force.tenants, caller, delete);
        if intent == Intent::DryRun {
            return Ok(dry_run(decision, &in_force, record));
        }
        let permit = decision?;
        record.permitted(&permit);

        let most = in_force.max_in_flight;
        let _place = self.gateway.in_flight().enter_below(most).ok_or(Refusal::Overloaded)?;
        let admission = in_force.limits.admit(permit)?;
        self.forward(&admission, &in_force, deadline, record).await
    }

    /// Sends what was admitted, a second time if SMH rejected the token and there is another one.
    async fn forward(
        &self,
        admission: &Admission,
        in_force: &InForce,
        deadline: Instant,
        record: &mut Record,
    ) -> Result<Response<Bytes>, Refusal> {
        let library = &admission.permit().tenant().library.id;
        let settings = &in_force.upstream;
        let mut token = in_force.tokens.current(library)?;

        record.attempt();
        let sent = self.upstream.send(admission, &token, settings, deadline).await;
        let mut answer = sent.map_err(|failed| record.failed(failed))?;
        if answer.rejects_token() {
            record.heard(&answer);
            self.gateway.metrics().tokens_rejected.inc();
            token = in_force
                .tokens
                .instead_of(library, &token)
                .await
                .ok_or(Refusal::Upstream(UpstreamFault::CredentialRejected))?;

            record.attempt();
            let sent = self.upstream.send(admission, &token, settings, deadline).await;
            answer = sent.map_err(|failed| record.failed(failed))?;
        }
        record.heard(&answer);
        if answer.rejects_token() {
            return Err(Refusal::Upstream(UpstreamFault::CredentialRejected));
        }
        let response = relay::to_caller(answer, &token).map_err(Refusal::Upstream)?;
        record.relayed(response.status().as_u16());
        Ok(response)
    }

    fn record(&self, id: RequestId, peer: Peer) -> Record {
        Record::start(&self.gateway, &self.lines, id, peer)
    }
}

/// The caller's own id, or a new one.
fn request_id(headers: &HeaderMap) -> RequestId {
    let mut given = headers.get_all("x-request-id").iter();
    match (given.next(), given.next()) {
        (Some(id), None) => RequestId::from_caller(id).unwrap_or_else(RequestId::random),
        _ => RequestId::random(),
    }
}

/// The decision alone: nothing is sent, and no limit is charged.
fn dry_run(
    decision: Result<Permit, Refusal>,
    in_force: &InForce,
    record: &mut Record,
) -> Response<Bytes> {
    let refusal = decision
        .map(|permit| {
            record.permitted(&permit);
            in_force.limits.would_refuse(&permit)
        })
        .unwrap_or_else(Some);
    let body = json!({
        "decision": if refusal.is_none() { "allow" } else { "deny" },
        "code": refusal.as_ref().map(|refusal| refusal.code().name()),
        "rule": refusal.as_ref().and_then(Refusal::rule).map(RuleName::as_str),
    });
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = StatusCode::ACCEPTED;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-request-id", record.id().as_header());
    record.only_asked(refusal);
    response
}

/// The work on one request. hyper drops it when the caller hangs up; the rest of it then goes on in
/// a task of its own, so that what SMH did with a delete that was sent is still recorded.
pub(crate) struct UntilDone(Option<Pin<Box<Journey>>>);

type Journey = dyn Future<Output = Response<Full<Bytes>>> + Send;

impl Future for UntilDone {
    type Output = Result<Response<Full<Bytes>>, std::convert::Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(journey) = &mut self.0 else { return Poll::Pending };
        let response = std::task::ready!(journey.as_mut().poll(cx));
        self.0 = None;
        Poll::Ready(Ok(response))
    }
}

impl Drop for UntilDone {
    fn drop(&mut self) {
        let Some(journey) = self.0.take() else { return };
        // There is no runtime only when the process is about to end.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // Draining waits for it by its place in flight.
            runtime.spawn(journey);
        }
    }
}
