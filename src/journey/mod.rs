//! One delete, top to bottom. Read this first.
//!
//! [`Worker::delete`] is the journey: each line spends what the one before it proved. Around it,
//! [`Worker::answer`] turns a refusal into its answer and keeps the record.

mod admit;
mod record;
mod until_done;
mod wellformed;

pub(crate) use self::until_done::UntilDone;

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::json;
use smallvec::SmallVec;
use tokio::time::Instant;

use self::record::{Record, Wait};
use self::until_done::Spare;
use self::wellformed::Intent;
use crate::access_token::AccessToken;
use crate::audit::{Attendant, Desk};
use crate::authenticate::{Identified, Proof, Unproven};
use crate::config::RateLimitHeaders;
use crate::delete::Route;
use crate::directory::Caller;
use crate::gateway::{Gateway, InForce};
use crate::header_fields;
use crate::ids::{RequestId, RuleName};
use crate::limit_store::StoreClient;
use crate::limits::{Admission, GuessSource, Guesses};
use crate::listener::Inbound;
use crate::log::Lines;
use crate::places::Place;
use crate::policy::Permit;
use crate::refusal::{JwtFault, Refusal, UpstreamFault, render};
use crate::relay::{self, Meaning};
use crate::upstream::{Answer, Client, Failed, Tries};

/// What one thread that serves has of its own.
pub(crate) struct Worker {
    gateway: Arc<Gateway>,
    upstream: Client,
    limit_store: StoreClient,
    lines: Lines,
    desk: Option<Desk>,
    spare: Spare,
}

impl Worker {
    /// With what has to run beside it where there is a journal.
    pub(crate) fn new(gateway: Arc<Gateway>, lines: Lines) -> (Arc<Self>, Option<Attendant>) {
        let (desk, attendant) = gateway.audit().cloned().map(Desk::of).unzip();
        let worker = Arc::new(Self {
            desk,
            gateway,
            upstream: Client::default(),
            limit_store: StoreClient::of_worker(),
            lines,
            spare: Spare::default(),
        });
        (worker, attendant)
    }

    /// To be called once in the worker's runtime, before it serves.
    pub(crate) fn prepare(&self) {
        if let Some(store) = &self.gateway.in_force().limit_store {
            self.limit_store.prepare(store);
        }
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.gateway.is_leaving()
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        inbound: Arc<Inbound>,
        tries: Arc<Tries>,
    ) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let mut record = self.record(request_id(&head.headers), &inbound, tries);
        record.came(&head);
        let response = match self.delete(&head, body, &inbound, &mut record).await {
            Ok(response) => response,
            Err(refusal) => {
                if refusal.asks_for_another_certificate() {
                    inbound.end();
                }
                let mut response = render::answer(&refusal, record.id());
                record.tell(response.headers_mut());
                record.refused(refusal);
                response
            }
        };
        drop(head); // Large, perhaps, and of no more use.
        // Before the caller hears, it is in the journal.
        record.conclude().await;
        response.map(Full::new)
    }

    /// Refuses what never became a request: the head was not HTTP.
    pub(crate) fn refuse(&self, refusal: Refusal, inbound: &Inbound) -> Response<Bytes> {
        let mut record = self.record(RequestId::random(), inbound, Arc::default());
        let response = render::answer(&refusal, record.id());
        record.refused(refusal);
        response
    }

    /// The journey.
    async fn delete(
        &self,
        head: &Parts,
        body: Incoming,
        inbound: &Inbound,
        record: &mut Record,
    ) -> Result<Response<Bytes>, Refusal> {
        let in_force = self.gateway.in_force(); // One version, start to end.
        let deadline = Instant::now() + in_force.upstream.timeout;
        record.trace(&in_force);

        let route = Route::of(&head.uri, inbound.listener.paths)?.method(&head.method)?;
        let intent = wellformed::head(head)?;
        let mut known = None;
        if let Some(stream) = wellformed::no_body(head.version, body)? {
            // Its head is held until it ends: for nobody unknown.
            let caller = Box::pin(self.caller(&in_force, head, inbound, deadline, record)).await?;
            known = Some(caller);
            Box::pin(stream.ended()).await?;
        }
        let delete = route.delete()?;
        record.asked(&delete);

        let caller = match known {
            Some(caller) => caller,
            None => self.caller(&in_force, head, inbound, deadline, record).await?,
        };
        let (halts, now) = (self.gateway.alarms().halts(), SystemTime::now());
        let decision =
            in_force.snapshot.policy.decide(&in_force.tenants, &halts, caller, delete, now);
        record.decided(decision.unheeded, &in_force.snapshot);
        if intent == Intent::DryRun {
            return Ok(Box::pin(self.dry_run(decision.outcome, &in_force, record)).await);
        }
        let permit = decision.outcome?;
        record.permitted(&permit);

        let library = &permit.tenant().library.id;
        let place = in_force.places.take(library).ok_or(Refusal::Overloaded)?;
        record.can_be_kept()?; // Before it is charged to a limit.
        let admission = self.admit(permit, &place, &in_force, record).await?;
        record.admitted(&admission);
        let mut answered = self.forward(&admission, &place, &in_force, deadline, record).await;
        if answered.is_err() || in_force.snapshot.limit_headers == RateLimitHeaders::All {
            record.stands(in_force.limits.told(&admission)); // Made only for who is told.
        }
        if let Ok(response) = &mut answered {
            record.tell(response.headers_mut());
        }
        answered
    }

    /// The decision alone: nothing is sent, and no limit is charged.
    async fn dry_run(
        &self,
        decision: Result<Permit, Refusal>,
        in_force: &InForce,
        record: &mut Record,
    ) -> Response<Bytes> {
        let refusal = match decision {
            Ok(permit) => {
                record.permitted(&permit);
                self.would_refuse(&permit, in_force).await
            }
            Err(refusal) => Some(refusal),
        };
        decided(refusal, record)
    }

    /// Who calls. Guessing is slowed by source: where it was guessed too often a right API key is
    /// refused like a wrong one. Whoever proved itself on this connection is spared, and who shows
    /// what cannot be guessed.
    async fn caller<'f>(
        &self,
        in_force: &'f InForce,
        head: &Parts,
        inbound: &Inbound,
        deadline: Instant,
        record: &mut Record,
    ) -> Result<&'f Arc<Caller>, Refusal> {
        let (peer, guesses) = (&inbound.peer, self.gateway.guesses());
        let source = GuessSource::from(peer.address);
        let look = || in_force.authenticator.authenticate(&head.headers, peer, SystemTime::now());
        let (mut found, mut are_fresh) = (look(), true);
        if let Err(Unproven::UnknownKey(issuer)) = &found {
            // A key that is new at its issuer becomes known here by this very request.
            are_fresh = Box::pin(in_force.issuer_keys.look_again(issuer, deadline)).await;
            found = look();
        }
        let could_be_a_guess = match &found {
            Ok(identified) => identified.by == Proof::ApiKey,
            Err(Unproven::Fault(fault)) => fault.is_guess(),
            Err(Unproven::KeysUnavailable | Unproven::UnknownKey(_)) => false,
        };
        if could_be_a_guess && !inbound.is_proven() {
            guesses.may_try(source, Instant::now().into_std()).map_err(Guesses::refusal)?;
        }
        let fault = match found {
            Ok(Identified { caller, by }) => {
                if by == Proof::ApiKey {
                    // No other proof: it would excuse guesses at a key, one after each.
                    inbound.set_proven(true);
                }
                inbound.set_known();
                record.called_by(caller, by);
                return Ok(caller);
            }
            Err(Unproven::KeysUnavailable) => return Err(Refusal::IssuerKeysUnavailable),
            Err(Unproven::UnknownKey(_)) if !are_fresh => {
                return Err(Refusal::IssuerKeysUnavailable);
            }
            Err(Unproven::UnknownKey(_)) => JwtFault::Key.into(),
            Err(Unproven::Fault(fault)) => fault,
        };
        // The answer tells no reason, the log does; neither shows anything of the credential.
        let request_id = record.id().as_str();
        tracing::debug!(request_id, ?source, reason = %fault, "a caller is not recognised");
        inbound.set_proven(false);
        if fault.is_guess() {
            guesses.failed(source, Instant::now().into_std());
        }
        Err(Refusal::Unauthenticated(fault))
    }

    /// Counts a caller that could not agree on TLS with us.
    pub(crate) fn handshake_failed(&self) {
        self.gateway.metrics().identity.handshakes_failed.inc();
    }

    /// Records and sends what was admitted, a second time if SMH rejected the token and there is another one.
    async fn forward(
        &self,
        admission: &Admission,
        place: &Place,
        in_force: &InForce,
        deadline: Instant,
        record: &mut Record,
    ) -> Result<Response<Bytes>, Refusal> {
        record.intend(deadline).await?; // Before it is sent, it is in the journal.
        let permit = admission.permit();
        record.waits_for(Wait::Token);
        let first = in_force.tokens.current(permit, deadline).await;
        record.waited(first.is_err());
        let first = first?;

        let sent = self.send(admission, first.token(), in_force, deadline, record.tries()).await;
        let mut answer = sent.map_err(|failed| record.failed(failed))?;
        let second;
        let mut tokens = SmallVec::<[&AccessToken; 2]>::from_slice(&[first.token()]);
        if answer.rejects_token() {
            record.heard(&answer, &tokens);
            self.gateway.metrics().tokens.rejected.inc();
            record.waits_for(Wait::NextToken);
            let next = Box::pin(in_force.tokens.instead_of(permit, &first, deadline)).await;
            record.waited(next.is_none());
            second = next.ok_or(Refusal::Upstream(UpstreamFault::CredentialRejected))?;

            record.unheard();
            let sent = self.send(admission, second.token(), in_force, deadline, record.tries());
            answer = Box::pin(sent).await.map_err(|failed| record.failed(failed))?;
            in_force.tokens.replaced(permit, &second, !answer.rejects_token());
            tokens.push(second.token());
        }
        record.heard(&answer, &tokens);
        if answer.rejects_token() {
            return Err(Refusal::Upstream(UpstreamFault::CredentialRejected));
        }
        self.notice(&answer, permit, place, in_force, record);
        let response = relay::to_caller(answer, &tokens).map_err(Refusal::Upstream)?;
        record.relayed(response.status().as_u16());
        Ok(response)
    }

    /// Sends with one token, and measures how long SMH takes.
    async fn send(
        &self,
        admission: &Admission,
        token: &AccessToken,
        in_force: &InForce,
        deadline: Instant,
        tries: &Tries,
    ) -> Result<Answer, Failed> {
        let tenant = admission.permit().tenant();
        let may_send = || !self.gateway.alarms().halts().contains(&tenant.name);
        let (started, settings) = (Instant::now(), &in_force.upstream);
        let sent = self.upstream.send(admission, token, settings, deadline, tries, &may_send).await;
        let ended = match &sent {
            Ok(answer) => Ok(answer.head.status.as_u16()),
            Err(Failed { fault: UpstreamFault::Halted, .. }) => return sent, // Never asked.
            Err(failed) => Err(failed.fault),
        };
        self.gateway.metrics().http.called(&tenant.library, ended, started.elapsed());
        sent
    }

    /// What the answer means for the caller's file, whether or not it can be relayed.
    fn notice(
        &self,
        answer: &Answer,
        permit: &Permit,
        place: &Place,
        in_force: &InForce,
        record: &mut Record,
    ) {
        let now = Instant::now().into_std();
        if answer.head.status == StatusCode::TOO_MANY_REQUESTS {
            self.gateway.metrics().load.smh_refused(&permit.tenant().library.id);
            if in_force.snapshot.ease_off {
                place.easing.refused(now);
            }
        } else {
            place.easing.taken(now);
        }
        let rule = in_force.snapshot.policy.irreversible_deletes;
        let meaning = Meaning::of(answer, permit);
        let (alarms, metrics) = (self.gateway.alarms(), self.gateway.metrics());
        alarms.notice(meaning, permit, record.id(), rule, metrics);
        record.means(meaning);
    }

    fn record(&self, id: RequestId, inbound: &Inbound, tries: Arc<Tries>) -> Record {
        Record::start(self, id, inbound, tries)
    }
}

/// The caller's own id, or a new one.
fn request_id(headers: &HeaderMap) -> RequestId {
    let name = RequestId::FIELD;
    let mut given = header_fields::named(headers, &name);
    match (given.next(), given.next()) {
        (Some(id), None) => RequestId::from_caller(id).unwrap_or_else(RequestId::random),
        _ => RequestId::random(),
    }
}

/// The answer to a question.
fn decided(refusal: Option<Refusal>, record: &mut Record) -> Response<Bytes> {
    let rule = match &refusal {
        Some(refusal) => refusal.rule(),
        None => record.allowed_by(),
    };
    let body = json!({
        "decision": if refusal.is_none() { "allow" } else { "deny" },
        "code": refusal.as_ref().map(|refusal| refusal.code().name()),
        "rule": rule.map(RuleName::as_str),
    });
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = StatusCode::ACCEPTED;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(RequestId::FIELD, record.id().as_header());
    record.only_asked(refusal);
    response
}
