//! What is counted of load: where deletes are under way, and who found no room.

use std::sync::atomic::{AtomicI64, AtomicU64};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::ids::LibraryId;
use crate::metrics::family;

/// Deletes of each library, and connections that were turned away.
pub struct LoadMetrics {
    library_in_flight: Family<Library, Gauge<i64, AtomicI64>>,
    library_max_in_flight: Family<Library, Gauge<i64, AtomicI64>>,
    connections_refused: Family<Listener, Counter>,
    connections_per_address_refused: Family<Listener, Counter>,
    smh_refused: Family<Library, Counter>,
    eased_to: Family<Library, Gauge<f64, AtomicU64>>,
}

/// As configured, so there are only so many.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Library {
    library: LibraryId,
}

/// As configured, too.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Listener {
    listener: String,
}

impl LoadMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let library_in_flight = Family::default();
        registry.register(
            "library_in_flight",
            "Deletes being worked on, by library",
            Family::clone(&library_in_flight),
        );
        let library_max_in_flight = Family::default();
        registry.register(
            "library_max_in_flight",
            "How many deletes of a library may be worked on",
            Family::clone(&library_max_in_flight),
        );
        let eased_to = Family::default();
        registry.register(
            "eased_deletes_per_second",
            "What a library is found to bear, while deletes are held back because it answered 429",
            Family::clone(&eased_to),
        );
        Self {
            library_in_flight,
            library_max_in_flight,
            eased_to,
            smh_refused: family(registry, "smh_rate_limited", "Answers 429 of SMH, by library"),
            connections_refused: family(
                registry,
                "connections_refused",
                "Connections that were closed at once: the listener had as many as it may have",
            ),
            connections_per_address_refused: family(
                registry,
                "connections_per_address_refused",
                "Connections that were closed at once: their address had as many as it may have",
            ),
        }
    }

    /// Forgets what is under way: a library may be gone since the last scrape.
    pub fn begin_scrape(&self) {
        self.library_in_flight.clear();
        self.library_max_in_flight.clear();
        self.eased_to.clear();
    }

    /// Makes the counters of a library, at zero.
    pub fn has_library(&self, library: &LibraryId) {
        drop(self.smh_refused.get_or_create(&Library { library: library.clone() }));
    }

    /// Says how many deletes of a library are under way, and how many may be while it is configured.
    pub fn library(&self, library: &LibraryId, in_flight: usize, most: Option<usize>) {
        let library = Library { library: library.clone() };
        let count = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.library_in_flight.get_or_create(&library).set(count(in_flight));
        if let Some(most) = most {
            self.library_max_in_flight.get_or_create(&library).set(count(most));
        }
    }

    /// Says what a library is found to bear.
    pub fn eased_to(&self, library: &LibraryId, rate: f64) {
        self.eased_to.get_or_create(&Library { library: library.clone() }).set(rate);
    }

    /// Counts an answer of SMH's that it is too much.
    pub fn smh_refused(&self, library: &LibraryId) {
        self.smh_refused.get_or_create(&Library { library: library.clone() }).inc();
    }

    /// The counter of a listener, which is there from now on.
    pub fn connections_refused(&self, listener: String) -> Counter {
        self.connections_refused.get_or_create(&Listener { listener }).clone()
    }

    /// The same, of those whose address had too many.
    pub fn connections_per_address_refused(&self, listener: String) -> Counter {
        self.connections_per_address_refused.get_or_create(&Listener { listener }).clone()
    }
}
