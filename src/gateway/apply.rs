//! From one version of the configuration to the next: what it takes over, and what needs a restart.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use parking_lot::Mutex;
use serde_json::Value;

use crate::authenticate::{Credential, Keyring, read_all};
use crate::complaints::Round;
use crate::config::Snapshot;
use crate::directory::Caller;
use crate::gateway::{Gateway, InForce, Phase};
use crate::ids::CallerName;
use crate::issuer_keys::IssuerKeys;
use crate::limit_store::{SharedStore, StoreFault};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::places::Places;
use crate::token::{Grantee, MintError, TokenSource, Tokens};
use crate::traces::Exporter;
use crate::upstream::Settings;

/// A new configuration was put in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The parts of gateway.yaml that differ from what the process was started with, and stay as they
    /// were until it is started again.
    pub needs_restart: Vec<&'static str>,
}

/// How callers may prove themselves rests on the listeners that run: loopback is no proof where others
/// reach one, and a CA vouches for every SPIFFE id. So while the listeners of the configuration wait
/// for a restart, such ways are those of the last one that fitted the listeners that run, as far as
/// they are still there.
struct Fitting<'s>(Option<HashMap<&'s CallerName, &'s [Credential]>>);

impl<'s> Fitting<'s> {
    fn of(snapshot: &Snapshot, last: &'s Snapshot) -> Self {
        if snapshot.listeners == last.listeners {
            return Self(None);
        }
        let callers = last.callers.iter();
        Self(Some(callers.map(|one| (&one.caller.name, one.credentials.as_slice())).collect()))
    }

    fn takes(&self, caller: &Caller, way: &Credential) -> bool {
        let rests_on_listeners = matches!(way, Credential::Loopback | Credential::SpiffeId(_));
        let Some(fitted) = self.0.as_ref().filter(|_| rests_on_listeners) else { return true };
        fitted.get(&caller.name).is_some_and(|ways| ways.contains(way))
    }
}

/// The state that one version hands on to the next.
pub(super) struct Before<'b> {
    pub(super) places: &'b Places,
    pub(super) limits: &'b Limits,
    pub(super) limit_store: Option<&'b Arc<SharedStore>>,
    pub(super) traces: Option<&'b Arc<Exporter>>,
    pub(super) tokens: &'b Tokens,
    pub(super) issuer_keys: &'b IssuerKeys,
    pub(super) upstream: &'b Settings,
    pub(super) keyring: &'b Mutex<Keyring>,
    /// The last configuration that fitted the listeners that run.
    pub(super) fitted: &'b Arc<Snapshot>,
}

impl Before<'_> {
    /// The next version; `grantees` are those of the snapshot. Blocks on the files of secrets that
    /// are new.
    pub(super) fn succeeded_by(
        &self,
        snapshot: Arc<Snapshot>,
        grantees: &[Grantee],
        metrics: &Arc<Metrics>,
        round: &mut Round<'_>,
    ) -> (InForce, Keyring) {
        count_from_zero(&snapshot, metrics);
        let upstream = snapshot.upstream.clone().after(self.upstream);
        let sources = snapshot.token_sources();
        let tokens =
            self.tokens.succeeded_by(sources, grantees, &upstream, &mut |library, error| {
                round.unreadable("token of library", library.as_str(), &error);
            });
        let issuer_keys = self.issuer_keys.succeeded_by(&snapshot.issuers, metrics);
        let mut keyring = {
            let before = self.keyring.lock();
            let issuers = before.issuers().succeeded_by(issuer_keys.issuers());
            let fitting = Fitting::of(&snapshot, self.fitted);
            let ways = snapshot.credentials().filter(|(caller, way)| fitting.takes(caller, way));
            before.succeeded_by(ways, Arc::new(issuers))
        };
        keyring.take(read_all(keyring.sources()), &mut |caller, error| {
            round.unreadable("API key of caller", caller.name.as_str(), error);
        });
        let fits = snapshot.listeners == self.fitted.listeners;
        let in_force = InForce {
            fitted: Arc::clone(if fits { &snapshot } else { self.fitted }),
            tenants: Arc::new(snapshot.tenants.iter().cloned().collect()),
            authenticator: Arc::new(keyring.authenticator()),
            issuer_keys: Arc::new(issuer_keys),
            places: Arc::new(self.places.succeeded_by(snapshot.max_in_flight, snapshot.shares())),
            limits: Arc::new(self.limits.succeeded_by(
                snapshot.limits.clone(),
                snapshot.sharing(),
                Instant::now(),
            )),
            limit_store: self.store_of(&snapshot, metrics),
            traces: self.exporter_of(&snapshot, metrics),
            tokens: Arc::new(tokens),
            upstream,
            snapshot,
            since: SystemTime::now(),
        };
        (in_force, keyring)
    }

    /// The same one while its plan is the same: its connections stay.
    fn store_of(&self, snapshot: &Snapshot, metrics: &Metrics) -> Option<Arc<SharedStore>> {
        let plan = snapshot.limit_store.as_ref()?;
        match self.limit_store {
            Some(store) if store.plan() == plan => Some(Arc::clone(store)),
            _ => Some(SharedStore::new(plan.clone(), &metrics.store)),
        }
    }

    /// The same one while its plan is the same: nothing is sent early, and its connection stays.
    fn exporter_of(&self, snapshot: &Snapshot, metrics: &Metrics) -> Option<Arc<Exporter>> {
        let plan = snapshot.traces.as_ref()?;
        match self.traces {
            Some(exporter) if exporter.plan() == plan => Some(Arc::clone(exporter)),
            _ => Exporter::start(plan.clone(), &metrics.traces),
        }
    }
}

/// Makes the counters of what is configured, before anything is counted: whoever looks at how a counter
/// grows does not see the event by which it appears.
fn count_from_zero(snapshot: &Snapshot, metrics: &Metrics) {
    snapshot.tenants.iter().for_each(|tenant| metrics.has_tenant(&tenant.name));
    snapshot.libraries.iter().for_each(|one| metrics.load.has_library(&one.library.id));
    for rule in snapshot.policy.rules.iter() {
        metrics.policy.has_rule(&rule.cited.rule, rule.mode);
    }
    for limit in &snapshot.limits {
        metrics.policy.has_limit(&limit.name, limit.mode, limit.warn_at.is_some());
    }
    snapshot.issuers.iter().for_each(|issuer| metrics.identity.has_issuer(&issuer.terms.name));
    if snapshot.limit_store.is_some() {
        metrics.store.has_store(StoreFault::ALL.into_iter().map(StoreFault::as_str));
    }
    let is_minted = |(_, source): (_, TokenSource)| matches!(source, TokenSource::Minted(_));
    if snapshot.token_sources().into_iter().any(is_minted) {
        metrics.tokens.are_minted(MintError::ALL.into_iter().map(MintError::name));
    }
}

impl Gateway {
    /// Puts another configuration in force, in one step: a delete that began before sees nothing of
    /// it. What is used of limits, tokens, connections and verified JWTs outlives it as far as the
    /// configuration still means the same by them. What needs a restart is left as it is, and the
    /// rest is applied.
    ///
    /// Blocks on files, so not for a thread that serves; to be called in the runtime of the helpers,
    /// which then has the tasks of what is new. `None`: the gateway is draining, and nothing is put in
    /// force any more.
    pub fn apply(self: &Arc<Self>, snapshot: Arc<Snapshot>) -> Option<Applied> {
        let _turn = self.changing.lock();
        if *self.phase.borrow() >= Phase::Draining {
            return None;
        }
        // Whatever this adds, a gateway that was ready stays so.
        self.is_ready();
        let before = self.in_force();
        let held = Before {
            places: &before.places,
            limits: &before.limits,
            limit_store: before.limit_store.as_ref(),
            traces: before.traces.as_ref(),
            tokens: &before.tokens,
            issuer_keys: &before.issuer_keys,
            upstream: &before.upstream,
            keyring: &self.keyring,
            fitted: &before.fitted,
        };
        // Not ended: it looks at what is new alone, and tells nothing of the rest.
        let mut round = self.complaints.round();
        let grantees = snapshot.grantees();
        let (mut next, keyring) = held.succeeded_by(snapshot, &grantees, &self.metrics, &mut round);
        if next.snapshot.sha256 == before.snapshot.sha256 {
            next.since = before.since;
        }
        let next = Arc::new(next);
        *self.keyring.lock() = keyring;
        self.in_force.store(Arc::clone(&next));
        self.log_level.send_if_modified(|level| {
            let wanted = next.snapshot.log.level;
            std::mem::replace(level, wanted) != wanted
        });
        next.tokens.settle(&before.tokens, &grantees, &next.upstream);
        if next.snapshot.sha256 != before.snapshot.sha256 {
            // An operator has looked, and what was written is valid.
            self.alarms.resume();
        }
        Some(Applied { needs_restart: self.needs_restart() })
    }

    /// The parts of gateway.yaml in force that are not what the process was started with: they wait
    /// for a restart.
    #[must_use]
    pub fn needs_restart(&self) -> Vec<&'static str> {
        let in_force = self.in_force();
        let (now, first) = (&in_force.snapshot, &self.started_with);
        let fitting = Fitting::of(now, &in_force.fitted);
        let mut ways = now.credentials();
        let differs = [
            ("callers", ways.any(|(caller, way)| !fitting.takes(&caller, &way))),
            ("listeners", now.listeners != first.listeners),
            ("admin", now.admin != first.admin),
            ("workers", now.workers != first.workers),
            ("log", now.log.deletes != first.log.deletes),
            ("audit", now.audit != first.audit),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }

    /// The configuration in force, for people: what waits for a restart is as it runs.
    #[must_use]
    pub fn shown(&self) -> Value {
        let mut shown = self.in_force().snapshot.redacted();
        let mut first = self.started_with.redacted();
        for part in ["listeners", "admin", "workers", "audit"] {
            if let (Some(shown), Some(first)) = (shown.get_mut(part), first.get_mut(part)) {
                *shown = first.take();
            }
        }
        shown
    }
}
