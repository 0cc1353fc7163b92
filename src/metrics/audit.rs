//! What is counted of the journal.

use std::sync::atomic::AtomicI64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::metrics::{counter, gauge};

/// How the journal is doing.
#[derive(Clone)]
pub struct AuditMetrics {
    records: Counter,
    commits: Histogram,
    /// Times that it could not be written, or opened again.
    pub failures: Counter,
    /// Records that are not there.
    pub lost: Counter,
    /// Records on which a caller's answer did not wait any longer.
    pub late: Counter,
    /// Requests of nobody known that have no record: there were too many in that second.
    pub strangers: Counter,
    /// 1: it is written; 0: it cannot be, or there is none.
    pub is_up: Gauge<i64, AtomicI64>,
}

impl AuditMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let commits = Histogram::new(SECONDS);
        let help = "One write of the journal, with the flush to disk, for all records that waited";
        registry.register_with_unit("audit_commit", help, Unit::Seconds, commits.clone());
        Self {
            records: counter(registry, "audit_records", "Records that were written to the journal"),
            commits,
            failures: counter(
                registry,
                "audit_failures",
                "Times that the journal could not be written, or opened again",
            ),
            lost: counter(registry, "audit_records_lost", "Records that could not be written"),
            strangers: counter(
                registry,
                "audit_strangers_left_out",
                "Requests of no known caller that have no record: there were too many in that second",
            ),
            late: counter(
                registry,
                "audit_records_late",
                "Records that took longer than a caller's answer waits for them",
            ),
            is_up: gauge(registry, "audit_up", "Whether the journal is written"),
        }
    }

    /// So many records are there.
    pub fn written(&self, records: u64) {
        self.records.inc_by(records);
    }

    /// One write took so long.
    pub fn committed(&self, took: Duration) {
        self.commits.observe(took.as_secs_f64());
    }
}

/// From a disk that only says so to one that is busy.
const SECONDS: [f64; 12] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5];
