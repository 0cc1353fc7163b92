//! What is counted of the store that gateways share.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
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
    connected: Connected,
}

/// Workers that are connected. Negative: there is no store, and nothing is shown.
#[derive(Clone, Debug)]
struct Connected(Arc<AtomicI64>);

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Failed {
    reason: &'static str,
}

impl StoreMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let connected = Connected(Arc::new(AtomicI64::new(NO_STORE)));
        registry.register(
            "rate_limit_store_connected_workers",
            "Workers that have a connection to the rate limit store which is of use",
            connected.clone(),
        );
        Self {
            connected,
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

    /// Makes the counters of failures, at zero, by their words.
    pub fn has_store(&self, reasons: impl Iterator<Item = &'static str>) {
        reasons.for_each(|reason| drop(self.failures.get_or_create(&Failed { reason })));
    }

    /// Says how many workers are connected to the store, where there is one.
    pub fn connected(&self, workers: Option<usize>) {
        let workers = workers.map(|workers| i64::try_from(workers).unwrap_or(i64::MAX));
        self.connected.0.store(workers.unwrap_or(NO_STORE), Ordering::Relaxed);
    }

    /// Counts a failure, by its word.
    pub fn failed(&self, reason: &'static str) {
        self.failures.get_or_create(&Failed { reason }).inc();
    }
}

impl EncodeMetric for Connected {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        encoder.encode_gauge(&self.0.load(Ordering::Relaxed))
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }

    fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed) == NO_STORE
    }
}

const NO_STORE: i64 = -1;
