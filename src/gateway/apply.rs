//! From one version of the configuration to the next: what it takes over, and what needs a restart.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use parking_lot::Mutex;

use crate::authenticate::{Keyring, read_all};
use crate::complaints::Round;
use crate::config::Snapshot;
use crate::gateway::{Gateway, InForce, Phase};
use crate::issuer_keys::IssuerKeys;
use crate::limits::{Limits, Sharing};
use crate::metrics::Metrics;
use crate::token::{Grantee, Tokens};
use crate::upstream::Settings;

/// What became of a new configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The parts of gateway.yaml that differ from what the process was started with, and stay as they
    /// were until it is started again.
    pub needs_restart: Vec<&'static str>,
}

/// The state that one version hands on to the next.
pub(super) struct Before<'b> {
    pub(super) limits: &'b Limits,
    pub(super) tokens: &'b Tokens,
    pub(super) issuer_keys: &'b IssuerKeys,
    pub(super) upstream: &'b Settings,
    pub(super) keyring: &'b Mutex<Keyring>,
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
            before.succeeded_by(snapshot.credentials(), Arc::new(issuers))
        };
        keyring.take(read_all(keyring.sources()), &mut |caller, error| {
            round.unreadable("API key of caller", caller.name.as_str(), error);
        });
        let in_force = InForce {
            tenants: Arc::new(snapshot.tenants.iter().cloned().collect()),
            authenticator: Arc::new(keyring.authenticator()),
            issuer_keys: Arc::new(issuer_keys),
            policy: Arc::new(snapshot.policy.clone()),
            limits: Arc::new(self.limits.succeeded_by(
                snapshot.limits.clone(),
                Sharing::Alone,
                Instant::now(),
            )),
            tokens: Arc::new(tokens),
            upstream,
            max_in_flight: snapshot.max_in_flight,
            snapshot,
            since: SystemTime::now(),
        };
        (in_force, keyring)
    }
}

impl Gateway {
    /// Puts another configuration in force, in one step: a delete that began before sees nothing of
    /// it. What is used of limits, tokens, connections and verified JWTs outlives it as far as the
    /// configuration still means the same by them. What needs a restart is left as it is, and the
    /// rest is applied.
    ///
    /// Blocks on files, so not for a thread that serves; to be called in the runtime of the helpers,
    /// which then has the tasks of what is new. Nothing is put in force any more once the gateway is
    /// draining.
    pub fn apply(self: &Arc<Self>, snapshot: Arc<Snapshot>) -> Applied {
        let _turn = self.changing.lock();
        if *self.phase.borrow() >= Phase::Draining {
            return Applied { needs_restart: self.needs_restart() };
        }
        // Whatever this adds, a gateway that was ready stays so.
        self.is_ready();
        let before = self.in_force();
        let held = Before {
            limits: &before.limits,
            tokens: &before.tokens,
            issuer_keys: &before.issuer_keys,
            upstream: &before.upstream,
            keyring: &self.keyring,
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
        next.tokens.settle(&before.tokens, &grantees, &next.upstream);
        Applied { needs_restart: self.needs_restart() }
    }

    /// The parts of gateway.yaml in force that are not what the process was started with: they wait
    /// for a restart.
    #[must_use]
    pub fn needs_restart(&self) -> Vec<&'static str> {
        let (now, first) = (&self.in_force().snapshot, &self.started_with);
        let differs = [
            ("listeners", now.listeners != first.listeners),
            ("admin", now.admin != first.admin),
            ("workers", now.workers != first.workers),
            ("log", now.log != first.log),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }
}
