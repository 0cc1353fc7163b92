//! Whether it is too much: the operator's limits, here or in a store that replicas share, and what SMH
//! was found to bear.

use std::time::{Duration, Instant};

use crate::gateway::InForce;
use crate::ids::LimitName;
use crate::journey::Worker;
use crate::limit_store::WhenUnavailable;
use crate::limits::Admission;
use crate::places::Place;
use crate::policy::{Enforcement, Permit};
use crate::refusal::{Exhausted, Refusal};

impl Worker {
    /// Charges a delete to all limits, or refuses it and charges none.
    pub(super) async fn admit(
        &self,
        permit: Permit,
        place: &Place,
        in_force: &InForce,
    ) -> Result<Admission, Refusal> {
        let now = Instant::now();
        if !in_force.snapshot.ease_off || place.easing.rate(now).is_none() {
            return self.charge(permit, in_force, now).await;
        }
        // What the limits would refuse anyway takes nothing of what SMH bears. A store knows better than
        // this gateway what they would, and what was granted.
        let here = in_force.limit_store.is_none();
        if let Some(refusal) = here.then(|| in_force.limits.would_refuse(&permit, now)).flatten() {
            return Err(refusal);
        }
        let tenant = permit.tenant().fingerprint;
        place.easing.admit(tenant, now).map_err(|wait| eased(wait, place, now))?;
        let charged = self.charge(permit, in_force, now).await;
        charged.inspect_err(|_| place.easing.give_back(tenant))
    }

    async fn charge(
        &self,
        permit: Permit,
        in_force: &InForce,
        now: Instant,
    ) -> Result<Admission, Refusal> {
        let limits = &in_force.limits;
        let Some(store) = &in_force.limit_store else { return limits.admit(permit, now) };
        let claim = limits.claim(&permit, now);
        if claim.is_empty() {
            self.limit_store.prepare(store);
            return limits.admit(permit, now);
        }
        let metrics = &self.gateway.metrics().store;
        match self.limit_store.charge(store, claim).await {
            Ok((claim, verdicts)) => {
                metrics.shared.inc();
                limits.settle(permit, &claim, &verdicts)
            }
            // Nothing that could be undone is refused under `dry_run`.
            Err(_)
                if store.plan().when_unavailable == WhenUnavailable::Refuse
                    && permit.enforcement() == Enforcement::Full =>
            {
                Err(Refusal::RateLimitStoreUnavailable)
            }
            Err(_) => {
                metrics.alone.inc();
                limits.admit(permit, Instant::now())
            }
        }
    }
}

/// What [`Worker::admit`] would refuse with, as far as it is known here. Charges nothing.
pub(super) fn would_refuse(permit: &Permit, in_force: &InForce) -> Option<Refusal> {
    let now = Instant::now();
    in_force.limits.would_refuse(permit, now).or_else(|| {
        let tenant = permit.tenant();
        let easing = in_force.places.easing(&tenant.library.id)?;
        let wait = easing.would_hold(tenant.fingerprint, now)?;
        in_force.snapshot.ease_off.then(|| of_smh(wait, easing.rate(now).unwrap_or_default()))
    })
}

fn eased(wait: Duration, place: &Place, now: Instant) -> Refusal {
    of_smh(wait, place.easing.rate(now).unwrap_or_default())
}

/// It is told like any other limit.
fn of_smh(wait: Duration, rate: f64) -> Refusal {
    // A rate is a small number, and at least one is let through.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
    let quota = (rate.floor() as u32).max(1);
    Refusal::RateLimited(Box::new(Exhausted {
        limit: LimitName::smhs_own(),
        wait,
        quota,
        window: Duration::from_secs(1),
    }))
}
