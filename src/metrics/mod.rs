//! The counters. Their names stand here and nowhere else; `docs/metrics.md` explains them.
//!
//! What a delete touches is resolved when the gateway starts, not for each delete. Labels are
//! enumerations, never anything a caller chose.

mod audit;
mod config;
mod http;
mod identity;
mod latency;
mod load;
mod names;
mod policy;
mod store;
mod tokens;
mod traces;

pub use self::audit::AuditMetrics;
pub use self::config::ConfigMetrics;
pub use self::http::{HttpMetrics, Via};
pub use self::identity::IdentityMetrics;
pub use self::latency::Latency;
pub use self::load::LoadMetrics;
pub use self::policy::PolicyMetrics;
pub use self::store::StoreMetrics;
pub use self::tokens::TokenMetrics;
pub use self::traces::TraceMetrics;

use std::sync::atomic::AtomicI64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::http::StatusCode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
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
    duration: Latency,
    now: Now,
    /// Answers to callers, and of SMH, by the names of everyone.
    pub http: HttpMetrics,
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
    /// Spans.
    pub traces: TraceMetrics,
    /// The configuration and its reloads.
    pub config: ConfigMetrics,
    /// Deletes of which no end is known: the process ended, or a bug ended the work on them.
    pub abandoned: Counter,
    dry_runs: Counter,
}

/// What is so while one looks.
struct Now {
    in_flight: Gauge<i64, AtomicI64>,
    connections: Gauge<i64, AtomicI64>,
    ready: Gauge<i64, AtomicI64>,
    halted: Gauge<i64, AtomicI64>,
    started: Gauge<i64, AtomicI64>,
}

/// The same, as it is told.
pub struct Seen {
    /// Deletes being worked on.
    pub in_flight: usize,
    /// Connections of callers.
    pub connections: usize,
    /// Whether it may be sent deletes.
    pub ready: bool,
    /// Tenants whose deletes are halted.
    pub halted: usize,
    /// When this process began to be a gateway.
    pub started: SystemTime,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Refused {
    code: &'static str,
    outcome: &'static str,
}

/// A configured name, so there are only so many.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Tenant {
    tenant: TenantName,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Status {
    status: u16,
}

impl Metrics {
    /// All counters at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let http = HttpMetrics::new(&mut registry);
        let started = gauge_of(
            &mut registry,
            "process_start_time",
            "Since when this gateway runs, in seconds since 1970",
            Unit::Seconds,
        );
        let ours = registry.sub_registry_with_prefix("smh_gateway");
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        ours.register("build", "What is running", build);
        let refusals = family(
            ours,
            "deletes_refused",
            "Answers that were the gateway's own, by code and by what became of the delete",
        );
        let relayed =
            family(ours, "deletes_relayed", "Answers of SMH that were relayed, by status");
        let duration = Latency::default();
        let help = "From the whole request head to the whole answer";
        ours.register_with_unit("delete_duration", help, Unit::Seconds, duration.clone());
        Self {
            refused: Code::ALL.map(|code| refused(&refusals, code)).into(),
            usual: [200, 204, 404]
                .map(|status| (status, relayed.get_or_create(&Status { status }).clone())),
            relayed,
            irreversible: family(
                ours,
                "irreversible_deletes",
                "Files that SMH destroyed although they should have gone to the recycle bin",
            ),
            misdirected: family(
                ours,
                "misdirected_deletes",
                "Deletes for a library, space or route that SMH does not know",
            ),
            duration,
            now: Now::new(ours, started),
            http,
            log_lines_dropped: counter(
                ours,
                "log_lines_dropped",
                "Lines of the delete log for which there was no room",
            ),
            tokens: TokenMetrics::new(ours),
            identity: IdentityMetrics::new(ours),
            load: LoadMetrics::new(ours),
            policy: PolicyMetrics::new(ours),
            store: StoreMetrics::new(ours),
            audit: AuditMetrics::new(ours),
            traces: TraceMetrics::new(ours),
            config: ConfigMetrics::new(ours),
            abandoned: counter(
                ours,
                "deletes_abandoned",
                "Deletes that were cut off by the end of the process or by a bug",
            ),
            dry_runs: counter(ours, "dry_runs", "Requests that asked for the decision alone"),
            registry,
        }
    }

    /// Makes the counters of a tenant, at zero: one that appears with its first event has not grown
    /// for whoever looks at how counters grow.
    pub fn has_tenant(&self, tenant: &TenantName) {
        let tenant = Tenant { tenant: tenant.clone() };
        drop(self.irreversible.get_or_create(&tenant));
        drop(self.misdirected.get_or_create(&tenant));
    }

    /// Counts an answer that was the gateway's own.
    pub fn refused(&self, via: Via, refusal: &Refusal, took: Duration) {
        let code = refusal.code();
        if let Some([not_sent, unknown]) = self.refused.get(code as usize) {
            match refusal.outcome() {
                Outcome::NotSent => not_sent.inc(),
                Outcome::Unknown => unknown.inc(),
            };
        }
        if let Some(limit) = refusal.limit() {
            self.policy.refused(limit);
        }
        self.duration.observe(took);
        self.http.answered(via, code.status().as_u16(), Some(code), took);
    }

    /// Counts an answer of SMH's.
    pub fn relayed(&self, via: Via, status: u16, took: Duration) {
        match self.usual.iter().find(|(usual, _)| *usual == status) {
            Some((_, counter)) => counter.inc(),
            None => self.relayed.get_or_create(&Status { status }).inc(),
        };
        self.duration.observe(took);
        self.http.relayed(via, status, took);
    }

    /// Counts the answer to a request with `X-Dry-Run: 1`.
    pub fn dry_run(&self, via: Via, took: Duration) {
        self.dry_runs.inc();
        self.http.answered(via, StatusCode::ACCEPTED.as_u16(), None, took);
    }

    /// Counts a file that is gone although it should have been recycled.
    pub fn irreversible(&self, tenant: &TenantName) {
        self.irreversible.get_or_create(&Tenant { tenant: tenant.clone() }).inc();
    }

    /// Counts a delete that went to a place that is not there.
    pub fn misdirected(&self, tenant: &TenantName) {
        self.misdirected.get_or_create(&Tenant { tenant: tenant.clone() }).inc();
    }

    /// Everything, as OpenMetrics text.
    ///
    /// # Errors
    /// If a value cannot be written, which none of ours can cause.
    pub fn encode(&self, seen: &Seen) -> Result<String, std::fmt::Error> {
        self.now.is(seen);
        let mut text = String::with_capacity(16 * 1024);
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Now {
    fn new(registry: &mut Registry, started: Gauge<i64, AtomicI64>) -> Self {
        Self {
            in_flight: gauge(registry, "deletes_in_flight", "Deletes being worked on"),
            connections: gauge(registry, "connections", "Open connections on the data listeners"),
            ready: gauge(registry, "ready", "Whether it may be sent deletes, as /readyz says"),
            halted: gauge(
                registry,
                "halted_tenants",
                "Tenants whose deletes are halted since SMH destroyed what it should have recycled",
            ),
            started,
        }
    }

    fn is(&self, seen: &Seen) {
        let count = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.in_flight.set(count(seen.in_flight));
        self.connections.set(count(seen.connections));
        self.ready.set(i64::from(seen.ready));
        self.halted.set(count(seen.halted));
        self.started.set(since_1970(seen.started));
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

/// A gauge whose name ends in its unit.
fn gauge_of<N>(registry: &mut Registry, name: &str, help: &str, unit: Unit) -> N
where
    N: Default + Clone + EncodeMetric + std::fmt::Debug + Send + Sync + 'static,
{
    let gauge = N::default();
    registry.register_with_unit(name, help, unit, gauge.clone());
    gauge
}

fn since_1970(time: SystemTime) -> i64 {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    i64::try_from(seconds).unwrap_or(i64::MAX)
}
