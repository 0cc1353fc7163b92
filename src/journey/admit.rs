//! Whether it is too much: the operator's limits, here or in a store that replicas share, and what SMH
//! was found to bear.

use std::time::{Duration, Instant};

use crate::gateway::InForce;
use crate::ids::LimitName;
use crate::journey::Worker;
use crate::journey::record::{Record, Wait};
use crate::limit_store::WhenUnavailable;
use crate::limits::{Admission, View};
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
        record: &mut Record,
    ) -> Result<Admission, Refusal> {
        let now = Instant::now();
        if !in_force.snapshot.ease_off || place.easing.rate(now).is_none() {
            return self.charge(permit, in_force, now, record).await;
        }
        // What the limits would refuse anyway takes nothing of what SMH bears. A store knows better than
        // this gateway what they would, and what was granted.
        let here = in_force.limit_store.is_none();
        if let Some(refusal) =
            here.then(|| in_force.limits.would_refuse(&permit, View::Alone, now)).flatten()
        {
            return Err(refusal);
        }
        let tenant = permit.tenant().fingerprint;
        place.easing.admit(tenant, now).map_err(|wait| eased(wait, place, now))?;
        let charged = self.charge(permit, in_force, now, record).await;
        charged.inspect_err(|_| place.easing.give_back(tenant))
    }

    async fn charge(
        &self,
        permit: Permit,
        in_force: &InForce,
        now: Instant,
        record: &mut Record,
    ) -> Result<Admission, Refusal> {
        let limits = &in_force.limits;
        let Some(store) = &in_force.limit_store else { return limits.admit(permit, now) };
        let claim = limits.claim(&permit, store.plan().response_timeout, now);
        if claim.is_empty() {
            self.limit_store.prepare(store);
            return limits.admit(permit, now);
        }
        let metrics = &self.gateway.metrics().store;
        // Boxed, as all that is seldom on the way: a delete's future is as large as its largest part.
        record.waits_for(Wait::LimitStore);
        let charged = Box::pin(self.limit_store.charge(store, claim)).await;
        record.waited(charged.is_err());
        match charged {
            Ok((claim, verdicts)) => {
                metrics.shared.inc();
                limits.settle(permit, &claim, &verdicts)
            }
            Err((not_charged, _)) => {
                if let Some(claim) = not_charged {
                    limits.unsettled(&claim);
                }
                // Nothing that could be undone is refused under `dry_run`.
                let refuses = store.plan().when_unavailable == WhenUnavailable::Refuse;
                if refuses && permit.enforcement() == Enforcement::Full {
                    return Err(Refusal::RateLimitStoreUnavailable);
                }
                metrics.alone.inc();
                limits.admit(permit, Instant::now())
            }
        }
    }

    /// What [`Worker::admit`] would refuse with. Charges nothing.
    pub(super) async fn would_refuse(
        &self,
        permit: &Permit,
        in_force: &InForce,
    ) -> Option<Refusal> {
        let now = Instant::now();
        if let Some(refusal) = self.limits_would_refuse(permit, in_force, now).await {
            return Some(refusal);
        }
        let tenant = permit.tenant();
        let easing = in_force.places.easing(&tenant.library.id)?;
        let wait = easing.would_hold(tenant.fingerprint, now)?;
        in_force.snapshot.ease_off.then(|| of_smh(wait, easing.rate(now).unwrap_or_default()))
    }

    async fn limits_would_refuse(
        &self,
        permit: &Permit,
        in_force: &InForce,
        now: Instant,
    ) -> Option<Refusal> {
        let limits = &in_force.limits;
        let alone = || limits.would_refuse(permit, View::Alone, now);
        let Some(store) = &in_force.limit_store else { return alone() };
        let question = limits.question(permit, store.plan().response_timeout, now);
        if question.is_empty() {
            return None;
        }
        match self.limit_store.ask(store, question).await {
            Ok((question, verdicts)) => limits.would_settle(&question, &verdicts),
            Err(_) if store.plan().when_unavailable == WhenUnavailable::Refuse => {
                let enforced = permit.enforcement() == Enforcement::Full;
                enforced.then_some(Refusal::RateLimitStoreUnavailable)
            }
            Err(_) => alone(),
        }
    }
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
