//! What an operator must hear of: deletes that destroyed what they should have recycled, and
//! deletes that went to a place that is not there. Counted each, logged now and then.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::ids::{RequestId, TenantName};
use crate::metrics::Metrics;
use crate::policy::{Halts, IrreversibleDeletes, Permit};
use crate::relay::Meaning;

/// The halts that were caused by what SMH did, and when what was logged last. Outlives a reload.
#[derive(Default)]
pub struct Alarms {
    halts: ArcSwap<Halts>,
    /// Keyed by configured names alone.
    logged: Mutex<HashMap<(Meaning, TenantName), Instant>>,
}

impl Alarms {
    /// What is halted now.
    #[must_use]
    pub fn halts(&self) -> Arc<Halts> {
        self.halts.load_full()
    }

    /// Draws the conclusions from an answer of SMH's.
    pub fn notice(
        &self,
        meaning: Meaning,
        permit: &Permit,
        id: &RequestId,
        rule: IrreversibleDeletes,
        metrics: &Metrics,
    ) {
        let tenant = &permit.tenant().name;
        match meaning {
            Meaning::AsItSays => {}
            Meaning::Misdirected => {
                metrics.misdirected(tenant);
                if self.is_due(meaning, tenant) {
                    tracing::error!(
                        %tenant, library = %permit.tenant().library.id, request_id = ?id,
                        "a 404 that is not about the file: SMH knows no such library, space or route, or \
                         something before it answers. Callers take it for \"already gone\": compare \
                         gateway.yaml with the console"
                    );
                }
            }
            Meaning::Irreversible => {
                metrics.irreversible(tenant);
                if rule == IrreversibleDeletes::Halt {
                    self.halt(tenant);
                }
                if rule != IrreversibleDeletes::Ignore && self.is_due(meaning, tenant) {
                    tracing::error!(
                        %tenant, library = %permit.tenant().library.id, request_id = ?id,
                        path = permit.subject().path.as_str(),
                        halted = rule == IrreversibleDeletes::Halt,
                        "SMH destroyed a file that should have gone to the recycle bin: the \
                         library's recycle bin is off"
                    );
                }
            }
        }
    }

    /// An operator has looked: what was halted goes on.
    pub fn resume(&self) {
        let halted = self.halts.swap(Arc::default());
        for tenant in halted.iter() {
            tracing::warn!(%tenant, "deletes are resumed: another configuration is in force");
        }
    }

    fn halt(&self, tenant: &TenantName) {
        self.halts.rcu(|halts| halts.and(tenant));
    }

    /// Whether this kind of thing was not logged for this tenant just now.
    fn is_due(&self, meaning: Meaning, tenant: &TenantName) -> bool {
        let now = Instant::now();
        let mut logged = self.logged.lock();
        let last = logged.insert((meaning, tenant.clone()), now);
        match last {
            Some(last) if now.duration_since(last) < PAUSE => {
                // The pause counts from the last line, not from the last event.
                logged.insert((meaning, tenant.clone()), last);
                false
            }
            _ => true,
        }
    }
}

/// A misconfigured tenant fails with every delete: one line in ten seconds says as much.
const PAUSE: Duration = Duration::from_secs(10);
