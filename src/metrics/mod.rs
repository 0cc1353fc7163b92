//! The counters. Their names stand here and nowhere else; `docs/operating.md` explains them.
//!
//! What a delete touches is resolved when the gateway starts, not for each delete. Labels are
//! enumerations, never anything a caller chose.

mod audit;
mod config;
mod identity;
mod load;
mod policy;
mod store;
mod tokens;

pub use self::audit::AuditMetrics;
pub use self::config::ConfigMetrics;
pub use self::identity::IdentityMetrics;
pub use self::load::LoadMetrics;
pub use self::policy::PolicyMetrics;
pub use self::store::StoreMetrics;
pub use self::tokens::TokenMetrics;

use std::sync::atomic::AtomicI64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::ids::TenantName;
use crate::refusal::{Code, Outcome, Refusal};

/// Every counter of a running gateway.
pub struct Metrics {
    registry: Registry,
    /// By code, then by outcome.
    refused: Vec<[Counter; 2]>,
    relayed: Family<Status, Counter>,
    /// 200, 204 and 404, which are nearly all there is.
    usual: [(u16, Counter); 3],
    irreversible: Family<Tenant, Counter>,
    misdirected: Family<Tenant, Counter>,
    duration: Histogram,
    in_flight: Gauge<i64, AtomicI64>,
    connections: Gauge<i64, AtomicI64>,
    /// Lines of the delete log that found no room.
    pub log_lines_dropped: Counter,
    /// The gateway's own tokens.
    pub tokens: TokenMetrics,
    /// Callers proving who they are.
    pub identity: IdentityMetrics,
    /// What is under way where, and what found no room.
    pub load: LoadMetrics,
    /// What rules and limits did, or would have done.
    pub policy: PolicyMetrics,
    /// The store that limits are shared by.
    pub store: StoreMetrics,
    /// The journal.
    pub audit: AuditMetrics,
    /// The configuration and its reloads.
    pub config: ConfigMetrics,
    /// Deletes of which no end is known: the process ended, or a bug ended the work on them.
    pub abandoned: Counter,
    /// Requests with `X-Dry-Run: 1`.
    pub dry_runs: Counter,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Refused {
    code: &'static str,
    outcome: &'static str,
}

/// A configured name, so there are only so many.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Tenant {
    tenant: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Status {
    status: u16,
}

impl Metrics {
    /// All counters at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("smh_gateway");
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "What is running", build);

        let refusals = family(
            &mut registry,
            "deletes_refused",
            "Answers that were the gateway's own, by code and by what became of the delete",
        );
        let relayed =
            family(&mut registry, "deletes_relayed", "Answers of SMH that were relayed, by status");
        let irreversible = family(
            &mut registry,
            "irreversible_deletes",
            "Files that SMH destroyed although they should have gone to the recycle bin",
        );
        let misdirected = family(
            &mut registry,
            "misdirected_deletes",
            "Deletes for a library, space or route that SMH does not know",
        );
        let duration = duration(&mut registry);
        let in_flight = gauge(&mut registry, "deletes_in_flight", "Deletes being worked on");
        let connections =
            gauge(&mut registry, "connections", "Open connections on the data listeners");
        Self {
            refused: Code::ALL.map(|code| refused(&refusals, code)).into(),
            usual: [200, 204, 404]
                .map(|status| (status, relayed.get_or_create(&Status { status }).clone())),
            relayed,
            irreversible,
            misdirected,
            duration,
            in_flight,
            connections,
            log_lines_dropped: counter(
                &mut registry,
                "log_lines_dropped",
                "Lines of the delete log for which there was no room",
            ),
            tokens: TokenMetrics::new(&mut registry),
            identity: IdentityMetrics::new(&mut registry),
            load: LoadMetrics::new(&mut registry),
            policy: PolicyMetrics::new(&mut registry),
            store: StoreMetrics::new(&mut registry),
            audit: AuditMetrics::new(&mut registry),
            config: ConfigMetrics::new(&mut registry),
            abandoned: counter(
                &mut registry,
                "deletes_abandoned",
                "Deletes that were cut off by the end of the process or by a bug",
            ),
            dry_runs: counter(
                &mut registry,
                "dry_runs",
                "Requests that asked for the decision alone",
            ),
            registry,
        }
    }

    /// Counts an answer that was the gateway's own.
    pub fn refused(&self, refusal: &Refusal, took: Duration) {
        if let Some([not_sent, unknown]) = self.refused.get(refusal.code() as usize) {
            match refusal.outcome() {
                Outcome::NotSent => not_sent.inc(),
                Outcome::Unknown => unknown.inc(),
            };
        }
        self.duration.observe(took.as_secs_f64());
    }

    /// Counts an answer of SMH's.
    pub fn relayed(&self, status: u16, took: Duration) {
        match self.usual.iter().find(|(usual, _)| *usual == status) {
            Some((_, counter)) => counter.inc(),
            None => self.relayed.get_or_create(&Status { status }).inc(),
        };
        self.duration.observe(took.as_secs_f64());
    }

    /// Counts a file that is gone although it should have been recycled.
    pub fn irreversible(&self, tenant: &TenantName) {
        self.irreversible.get_or_create(&Tenant { tenant: tenant.to_string() }).inc();
    }

    /// Counts a delete that went to a place that is not there.
    pub fn misdirected(&self, tenant: &TenantName) {
        self.misdirected.get_or_create(&Tenant { tenant: tenant.to_string() }).inc();
    }

    /// Everything, as OpenMetrics text.
    ///
    /// # Errors
    /// If a value cannot be written, which none of ours can cause.
    pub fn encode(&self, in_flight: usize, connections: usize) -> Result<String, std::fmt::Error> {
        let count = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.in_flight.set(count(in_flight));
        self.connections.set(count(connections));
        let mut text = String::with_capacity(8 * 1024);
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn refused(family: &Family<Refused, Counter>, code: Code) -> [Counter; 2] {
    [Outcome::NotSent, Outcome::Unknown].map(|outcome| {
        let labels = Refused { code: code.name(), outcome: outcome.as_str() };
        family.get_or_create(&labels).clone()
    })
}

fn family<L>(registry: &mut Registry, name: &str, help: &str) -> Family<L, Counter>
where
    L: EncodeLabelSet + Clone + std::hash::Hash + Eq + std::fmt::Debug + Send + Sync + 'static,
{
    let family = Family::default();
    registry.register(name, help, Family::clone(&family));
    family
}

fn duration(registry: &mut Registry) -> Histogram {
    let duration = Histogram::new(SECONDS);
    let help = "From the whole request head to the whole answer";
    registry.register_with_unit("delete_duration", help, Unit::Seconds, duration.clone());
    duration
}

fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge<i64, AtomicI64> {
    let gauge = Gauge::default();
    registry.register(name, help, gauge.clone());
    gauge
}

/// The buckets that OpenTelemetry advises for `http.server.request.duration`.
const SECONDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
