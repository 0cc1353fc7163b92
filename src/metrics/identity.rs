//! What is counted of callers proving who they are.

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::metrics::{counter, family, gauge, gauge_of};

/// Handshakes, certificates, issuers' keys, and those who guess.
pub struct IdentityMetrics {
    /// Connections that came to no TLS session.
    pub handshakes_failed: Counter,
    certificate_days: Family<Listener, Gauge<f64, AtomicU64>>,
    tls_reloads: Family<Reload, Counter>,
    jwks_fetches: Family<Fetch, Counter>,
    jwks_age: Family<Issuer, Gauge<f64, AtomicU64>>,
    guessing: Gauge<i64, AtomicI64>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Issuer {
    issuer: String,
}

/// As configured, so there are only so many.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Listener {
    listener: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reload {
    listener: String,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Fetch {
    issuer: String,
    result: &'static str,
}

impl IdentityMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        Self {
            handshakes_failed: counter(
                registry,
                "tls_handshakes_failed",
                "Connections of callers that came to no TLS session",
            ),
            certificate_days: gauge_of(
                registry,
                "tls_certificate_expires_in",
                "Until the certificate of a listener expires, in days; negative once it has",
                Unit::Other("days".to_owned()),
            ),
            tls_reloads: family(
                registry,
                "tls_reloads",
                "Certificates, keys and client CAs that changed, by whether they could be used",
            ),
            jwks_fetches: family(
                registry,
                "jwks_fetches",
                "Looks at the keys of JWT issuers, by how they ended",
            ),
            jwks_age: gauge_of(
                registry,
                "jwks_age",
                "Since the keys of a JWT issuer were had last, in seconds",
                Unit::Seconds,
            ),
            guessing: gauge(
                registry,
                "authentication_failure_sources",
                "Addresses from which wrong credentials came lately",
            ),
        }
    }

    /// Says how long a listener's certificate is good for.
    pub fn certificate_expires(&self, listener: &str, days: f64) {
        let listener = Listener { listener: listener.to_owned() };
        self.certificate_days.get_or_create(&listener).set(days);
    }

    /// Makes the counters of a listener with TLS, at zero.
    pub fn has_tls(&self, listener: &str) {
        for result in RELOADED {
            let labels = Reload { listener: listener.to_owned(), result };
            drop(self.tls_reloads.get_or_create(&labels));
        }
    }

    /// Makes the counters of an issuer, at zero.
    pub fn has_issuer(&self, issuer: &str) {
        for result in FETCHED {
            let labels = Fetch { issuer: issuer.to_owned(), result };
            drop(self.jwks_fetches.get_or_create(&labels));
        }
    }

    /// Counts changed TLS files.
    pub fn tls_reloaded(&self, listener: &str, taken: bool) {
        let [accepted, rejected] = RELOADED;
        let result = if taken { accepted } else { rejected };
        let labels = Reload { listener: listener.to_owned(), result };
        self.tls_reloads.get_or_create(&labels).inc();
    }

    /// Counts a look at an issuer's keys.
    pub fn jwks_fetched(&self, issuer: &str, taken: bool) {
        let [ok, failed] = FETCHED;
        let result = if taken { ok } else { failed };
        self.jwks_fetches.get_or_create(&Fetch { issuer: issuer.to_owned(), result }).inc();
    }

    /// Forgets how old keys are: an issuer may be gone since the last scrape.
    pub fn begin_scrape(&self) {
        self.jwks_age.clear();
    }

    /// Says how old the keys of an issuer are.
    pub fn jwks_age(&self, issuer: &str, age: Duration) {
        let issuer = Issuer { issuer: issuer.to_owned() };
        self.jwks_age.get_or_create(&issuer).set(age.as_secs_f64());
    }

    /// Says how many guess.
    pub fn guessing(&self, sources: usize) {
        self.guessing.set(i64::try_from(sources).unwrap_or(i64::MAX));
    }
}

const RELOADED: [&str; 2] = ["accepted", "rejected"];

const FETCHED: [&str; 2] = ["ok", "failed"];
