//! What is counted of traces.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use crate::metrics::{counter, family};

/// What became of spans.
#[derive(Clone)]
pub struct TraceMetrics {
    /// A collector took them.
    pub exported: Counter,
    /// There was no room for them.
    pub no_room: Counter,
    /// The collector was gone for too long.
    pub undelivered: Counter,
    /// The collector did not want them.
    pub rejected: Counter,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Dropped {
    reason: &'static str,
}

impl TraceMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let dropped = family(
            registry,
            "spans_dropped",
            "Spans that no collector has, by what kept it from it",
        );
        let counted = |reason| dropped.get_or_create(&Dropped { reason }).clone();
        Self {
            exported: counter(registry, "spans_exported", "Spans that a collector took"),
            no_room: counted("no_room"),
            undelivered: counted("undelivered"),
            rejected: counted("rejected"),
        }
    }
}
