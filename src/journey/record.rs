//! What is known of a delete so far, and the line it leaves in the log, whatever happens to it.

mod journal;
mod line;
mod seen;
mod trace;

pub(super) use self::trace::Wait;

use std::sync::Arc;
use std::time::Instant;

use http::request::Parts;
use http::{HeaderMap, HeaderValue};

use self::trace::Trace;
use super::Worker;
use crate::access_token::AccessToken;
use crate::audit::{DeleteId, Desk};
use crate::authenticate::{PeerAddress, Proof};
use crate::config::Snapshot;
use crate::delete::{Delete, DeletePath, Mode, TenantRef};
use crate::directory::{Caller, Tenant};
use crate::gateway::Gateway;
use crate::ids::{Citation, MAX_NAME_BYTES, RequestId, RuleName, UserId};
use crate::limits::{Admission, ShadowLimits, Told};
use crate::listener::Inbound;
use crate::log::Lines;
use crate::metrics::{Metrics, Via};
use crate::origin::Scheme;
use crate::policy::{Permit, Unheeded};
use crate::refusal::Refusal;
use crate::relay::Meaning;
use crate::traces::Context;
use crate::upstream::{Answer, Failed, Tries};

/// Written when it is dropped: a delete that is cut off leaves a line too.
pub(super) struct Record {
    gateway: Arc<Gateway>,
    lines: Lines,
    desk: Option<Desk>,
    id: RequestId,
    peer: PeerAddress,
    started: Instant,
    caller: Option<(Arc<Caller>, Proof)>,
    asked: Option<Asked>,
    tenant: Option<Arc<Tenant>>,
    allowed_by: Option<Arc<Citation>>,
    unheeded: Unheeded,
    shadow_limits: ShadowLimits,
    standings: Option<Told>,
    smh: Option<Smh>,
    meaning: Meaning,
    cause: Option<String>,
    tries: Arc<Tries>,
    ended: Option<Ended>,
    /// What the caller says that it is a part of.
    context: Option<Context>,
    /// Where it is traced.
    trace: Option<Box<Trace>>,
    via: Via,
    /// The configuration that decided.
    decided_by: Option<Arc<Snapshot>>,
    kept: Kept,
    /// What is known before it is sent, as JSON fields, from when that does not change any more.
    known: Option<Vec<u8>>,
}

/// How far the journal has it.
enum Kept {
    /// Nothing yet.
    Not,
    /// What is intended.
    Intent(DeleteId),
    /// All of it.
    Whole,
}

struct Asked {
    tenant: AskedTenant,
    path: DeletePath,
    mode: Mode,
    user_id: Option<UserId>,
}

/// As the caller wrote it: there may be no such tenant.
enum AskedTenant {
    Named(String),
    Space { library: String, space: String },
}

/// What SMH said of itself.
struct Smh {
    status: u16,
    code: Option<String>,
    request_id: Option<String>,
    /// What restores the file.
    recycled_item_id: Option<u64>,
}

enum Ended {
    Relayed(u16),
    Refused(Box<Refusal>),
    DryRun(Option<Box<Refusal>>),
}

impl Record {
    pub(super) fn start(
        worker: &Worker,
        id: RequestId,
        inbound: &Inbound,
        tries: Arc<Tries>,
    ) -> Self {
        let is_tls = inbound.listener.tls.is_some();
        Self {
            gateway: Arc::clone(&worker.gateway),
            lines: worker.lines.clone(),
            desk: worker.desk.clone(),
            id,
            peer: inbound.peer.address,
            started: Instant::now(),
            caller: None,
            asked: None,
            tenant: None,
            allowed_by: None,
            unheeded: Unheeded::new(),
            shadow_limits: ShadowLimits::new(),
            standings: None,
            smh: None,
            meaning: Meaning::AsItSays,
            cause: None,
            tries,
            ended: None,
            context: None,
            trace: None,
            via: Via::new(if is_tls { Scheme::Https } else { Scheme::Http }),
            decided_by: None,
            kept: Kept::Not,
            known: None,
        }
    }

    pub(super) fn id(&self) -> &RequestId {
        &self.id
    }

    pub(super) fn called_by(&mut self, caller: &Arc<Caller>, by: Proof) {
        self.caller = Some((Arc::clone(caller), by));
    }

    pub(super) fn asked(&mut self, delete: &Delete<'_>) {
        self.asked = Some(Asked {
            tenant: AskedTenant::of(delete.tenant),
            path: delete.path.clone(),
            mode: delete.mode,
            user_id: delete.user_id.clone(),
        });
    }

    /// How it was asked, and the trace that the caller says it is a part of.
    pub(super) fn came(&mut self, head: &Parts) {
        self.via = self.via.with_method(&head.method);
        self.context = Context::of(&head.headers);
    }

    /// What the rules that are not enforced would have said, and which configuration decided.
    pub(super) fn decided(&mut self, unheeded: Unheeded, by: &Arc<Snapshot>) {
        self.unheeded = unheeded;
        self.decided_by = Some(Arc::clone(by));
    }

    pub(super) fn admitted(&mut self, admission: &Admission) {
        self.shadow_limits.clone_from(admission.shadow());
        for limit in admission.warned() {
            self.gateway.metrics().policy.warned(limit);
            let of = admission.permit();
            tracing::warn!(
                %limit, caller = %of.caller().name, tenant = %of.tenant().name,
                "a limit is used up to its `warn_at`"
            );
        }
    }

    /// How the limits stand that it was charged to, where its caller is to be told.
    pub(super) fn stands(&mut self, told: Option<Told>) {
        self.standings = told;
    }

    /// Says how the limits stand that it was charged to.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        let Some(Told { policy, limit }) = &self.standings else { return };
        for (name, value) in [("ratelimit-policy", policy), ("ratelimit", limit)] {
            // Names and numbers: each is a field value.
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
    }

    /// The rule that lets a permanent delete through.
    pub(super) fn allowed_by(&self) -> Option<&RuleName> {
        self.allowed_by.as_ref().map(|cited| &cited.rule)
    }

    pub(super) fn permitted(&mut self, permit: &Permit) {
        self.tenant = Some(Arc::clone(permit.tenant()));
        self.allowed_by = permit.allowed_by().cloned();
        if let Some(asked) = &mut self.asked {
            // The tenant may have a user of its own.
            asked.user_id = permit.subject().user_id.cloned();
        }
    }

    /// Counted here, so that it is known also of a delete that is cut off.
    pub(super) fn tries(&self) -> &Tries {
        &self.tries
    }

    /// What stands in the answer is SMH's to choose: it is kept only where it holds no token.
    pub(super) fn heard(&mut self, answer: &Answer, tokens: &[&AccessToken]) {
        let harmless = |text: &str| {
            let holds_one = tokens.iter().any(|token| token.occurs_in(text.as_bytes()));
            (!holds_one).then(|| text.to_owned())
        };
        self.smh = Some(Smh {
            status: answer.head.status.as_u16(),
            code: answer.code().and_then(harmless),
            request_id: answer.request_id().and_then(harmless),
            recycled_item_id: answer.recycled_item_id(),
        });
    }

    /// Asks again: what SMH said of the first try says nothing of this one.
    pub(super) fn unheard(&mut self) {
        self.smh = None;
    }

    pub(super) fn means(&mut self, meaning: Meaning) {
        self.meaning = meaning;
    }

    pub(super) fn failed(&mut self, failed: Failed) -> Refusal {
        self.cause = Some(failed.cause);
        Refusal::Upstream(failed.fault)
    }

    pub(super) fn relayed(&mut self, status: u16) {
        self.ended = Some(Ended::Relayed(status));
    }

    pub(super) fn refused(&mut self, refusal: Refusal) {
        self.ended = Some(Ended::Refused(Box::new(refusal)));
    }

    pub(super) fn only_asked(&mut self, refusal: Option<Refusal>) {
        self.ended = Some(Ended::DryRun(refusal.map(Box::new)));
    }

    /// The rule that denied it, or let it through.
    fn cited(&self) -> Option<&Citation> {
        let denied_by = match &self.ended {
            Some(Ended::Refused(refusal) | Ended::DryRun(Some(refusal))) => refusal.cited(),
            Some(Ended::Relayed(_) | Ended::DryRun(None)) | None => None,
        };
        denied_by.or(self.allowed_by.as_deref())
    }

    /// A question that was only asked counts for no rule.
    fn count_rules(&self, metrics: &Metrics) {
        if matches!(self.ended, Some(Ended::DryRun(_))) {
            return;
        }
        if let Some(Citation { rule, .. }) = self.cited() {
            metrics.policy.decided(rule);
        }
        for cited in &self.unheeded {
            metrics.policy.would_have_decided(&cited.rule);
        }
        for limit in &self.shadow_limits {
            metrics.policy.would_have_refused(limit);
        }
    }
}

impl AskedTenant {
    /// No longer than a name can be: a caller does not choose how long a line is.
    fn of(tenant: TenantRef<'_>) -> Self {
        let cut = |text: &str| text.chars().take(MAX_NAME_BYTES).collect();
        match tenant {
            TenantRef::Named(name) => Self::Named(cut(name)),
            TenantRef::Space { library, space } => {
                Self::Space { library: cut(library), space: cut(space) }
            }
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.keep_at_last();
        let took = self.started.elapsed();
        let metrics = self.gateway.metrics();
        self.count_rules(metrics);
        match &self.ended {
            Some(Ended::Relayed(status)) => metrics.relayed(self.via, *status, took),
            Some(Ended::Refused(refusal)) => metrics.refused(self.via, refusal, took),
            Some(Ended::DryRun(_)) => metrics.dry_run(self.via, took),
            None => {
                metrics.abandoned.inc();
            }
        }
        if tracing::enabled!(target: "audit", tracing::Level::DEBUG) {
            let mut record = Vec::with_capacity(1_024);
            self.write(took, &mut record);
            tracing::debug!(target: "audit", record = %String::from_utf8_lossy(&record));
        }
        if !self.lines.append(|buffer| self.write(took, buffer)) {
            metrics.log_lines_dropped.inc();
        }
        self.export(took);
        self.show(took);
    }
}
