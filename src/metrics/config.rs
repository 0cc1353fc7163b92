//! What is counted of the configuration and its reloads.

use std::sync::atomic::AtomicI64;
use std::time::SystemTime;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::metrics::{family, gauge, gauge_of, since_1970};

/// Which configuration is in force, and what became of the others.
pub struct ConfigMetrics {
    applied: Counter,
    rejected: Counter,
    last_successful: Gauge<i64, AtomicI64>,
    last_applied: Gauge<i64, AtomicI64>,
    restart_needed: Gauge<i64, AtomicI64>,
    info: Family<Hash, Gauge<i64, AtomicI64>>,
    /// The only label of `info`.
    shown: Mutex<Option<String>>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reload {
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Hash {
    sha256: String,
}

impl ConfigMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let reloads = family(
            registry,
            "config_reloads",
            "Changed configurations, by whether they were put in force",
        );
        let counted = |result| reloads.get_or_create(&Reload { result }).clone();
        let info = Family::default();
        registry.register(
            "config_info",
            "The configuration in force, by the SHA-256 of both files",
            Family::clone(&info),
        );
        let last_successful = gauge(
            registry,
            "config_last_reload_successful",
            "Whether the files are those in force: 0 while what stands in them is rejected",
        );
        last_successful.set(1);
        Self {
            applied: counted("applied"),
            rejected: counted("rejected"),
            last_successful,
            last_applied: gauge_of(
                registry,
                "config_last_applied_timestamp",
                "Since when the configuration in force is, in seconds since 1970",
                Unit::Seconds,
            ),
            restart_needed: gauge(
                registry,
                "config_restart_needed",
                "Whether a part of the configuration takes effect only after a restart",
            ),
            info,
            shown: Mutex::default(),
        }
    }

    /// Counts a configuration that was put in force.
    pub fn applied(&self) {
        self.applied.inc();
        self.last_successful.set(1);
    }

    /// Counts one that was not.
    pub fn rejected(&self) {
        self.rejected.inc();
        self.last_successful.set(0);
    }

    /// The files are again those in force.
    pub fn restored(&self) {
        self.last_successful.set(1);
    }

    /// Says what is in force.
    pub fn in_force(&self, sha256: &str, since: SystemTime, restart_needed: bool) {
        self.last_applied.set(since_1970(since));
        self.restart_needed.set(i64::from(restart_needed));
        let mut shown = self.shown.lock();
        if shown.as_deref() != Some(sha256) {
            self.info.clear();
            self.info.get_or_create(&Hash { sha256: sha256.to_owned() }).set(1);
            *shown = Some(sha256.to_owned());
        }
    }
}
