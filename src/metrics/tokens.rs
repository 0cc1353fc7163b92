//! What is counted of the gateway's own tokens.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::ids::{CallerName, TenantName};
use crate::metrics::{counter, family, gauge_of};

/// Rejected, minted, revoked; and of each minted one how old it is and how long it still lives.
pub struct TokenMetrics {
    /// Answers of SMH that rejected the gateway's token.
    pub rejected: Counter,
    mints: Family<Ended, Counter>,
    revocations: Family<Ended, Counter>,
    secrets: Family<Ended, Counter>,
    age: Family<Pair, Seconds>,
    expires_in: Family<Pair, Seconds>,
    failures: Family<Pair, Gauge<u64, AtomicU64>>,
}

type Seconds = Gauge<f64, AtomicU64>;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Ended {
    result: &'static str,
}

/// Configured names, so there are only so many.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Pair {
    caller: CallerName,
    tenant: TenantName,
}

impl TokenMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let failures = Family::default();
        let about = "Mints that failed since the last one that did not";
        registry.register("token_mint_failures", about, Family::clone(&failures));
        Self {
            rejected: counter(
                registry,
                "tokens_rejected",
                "Answers of SMH that rejected the gateway's token",
            ),
            mints: family(registry, "token_mints", "Tokens asked for, by how it ended"),
            revocations: family(
                registry,
                "token_revocations",
                "Tokens given back, by how it ended",
            ),
            secrets: family(
                registry,
                "library_secrets",
                "New library secrets, by whether they minted a token",
            ),
            age: gauge_of(
                registry,
                "token_age",
                "How old a minted token is, in seconds",
                Unit::Seconds,
            ),
            expires_in: gauge_of(
                registry,
                "token_expires_in",
                "How long a minted token lives at least, in seconds; every use adds to it",
                Unit::Seconds,
            ),
            failures,
        }
    }

    /// Makes the counters of tokens that are minted, at zero.
    pub fn are_minted(&self, errors: impl Iterator<Item = &'static str>) {
        let results = errors.chain(["ok"]);
        results.for_each(|result| drop(self.mints.get_or_create(&Ended { result })));
        for (family, result) in [
            (&self.revocations, "ok"),
            (&self.revocations, "failed"),
            (&self.secrets, "accepted"),
            (&self.secrets, "rejected"),
        ] {
            drop(family.get_or_create(&Ended { result }));
        }
    }

    /// Counts a mint, by how it ended.
    pub fn minted(&self, error: Option<&'static str>) {
        self.mints.get_or_create(&Ended { result: error.unwrap_or("ok") }).inc();
    }

    /// Counts a token that was given back, or could not be.
    pub fn revoked(&self, taken: bool) {
        let result = if taken { "ok" } else { "failed" };
        self.revocations.get_or_create(&Ended { result }).inc();
    }

    /// Counts a new library secret, by whether it minted a token.
    pub fn secret_proved(&self, works: bool) {
        let result = if works { "accepted" } else { "rejected" };
        self.secrets.get_or_create(&Ended { result }).inc();
    }

    /// Forgets the pairs of the last scrape: one without a token has no age.
    pub fn begin_scrape(&self) {
        self.age.clear();
        self.expires_in.clear();
        self.failures.clear();
    }

    /// Says how it is about one pair.
    pub fn pair(
        &self,
        caller: &CallerName,
        tenant: &TenantName,
        life: Option<(Duration, Duration)>,
        failures: u32,
    ) {
        let pair = Pair { caller: caller.clone(), tenant: tenant.clone() };
        if let Some((age, expires_in)) = life {
            self.age.get_or_create(&pair).set(age.as_secs_f64());
            self.expires_in.get_or_create(&pair).set(expires_in.as_secs_f64());
        }
        self.failures.get_or_create(&pair).set(u64::from(failures));
    }
}
