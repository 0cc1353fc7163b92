//! What is counted of the store that gateways share.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::metrics::{counter, family};

/// How the store is doing, and who decided without it.
#[derive(Clone)]
pub struct StoreMetrics {
    failures: Family<Failed, Counter>,
    /// Deletes whose limits were decided by the store.
    pub shared: Counter,
    /// Deletes whose limits this gateway decided by itself, since the store did not answer.
    pub alone: Counter,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Failed {
    reason: &'static str,
}

impl StoreMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        Self {
            failures: family(
                registry,
                "rate_limit_store_failures",
                "Calls of the rate limit store that failed, and attempts to connect to it",
            ),
            shared: counter(
                registry,
                "rate_limit_store_decisions",
                "Deletes whose limits the rate limit store decided",
            ),
            alone: counter(
                registry,
                "rate_limit_store_fallbacks",
                "Deletes whose limits this gateway decided by itself: the store did not answer",
            ),
        }
    }

    /// Counts a failure, by its word.
    pub fn failed(&self, reason: &'static str) {
        self.failures.get_or_create(&Failed { reason }).inc();
    }
}
