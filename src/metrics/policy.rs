//! Counters of what rules and limits did, or would have done.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::ids::{LimitName, RuleName};
use crate::metrics::{counter, family, gauge_of};
use crate::policy::RuleMode;

/// By names of the policy, so there are only so many.
pub struct PolicyMetrics {
    rules: Family<OfRule, Counter>,
    refused: Family<OfLimit, Counter>,
    used: Family<Share, Gauge<f64, AtomicU64>>,
    shadow_limits: Family<OfLimit, Counter>,
    warned: Family<OfLimit, Counter>,
    granted: Family<OfLimit, Counter>,
    /// Attempts to read or write the state of limits that failed.
    pub state_failures: Counter,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfRule {
    rule: RuleName,
    mode: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfLimit {
    limit: LimitName,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Share {
    limit: LimitName,
    window: &'static str,
    mode: &'static str,
}

impl PolicyMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        Self {
            rules: family(
                registry,
                "rule_matches",
                "Deletes that a rule decided (enforce), or would have decided (shadow)",
            ),
            refused: family(registry, "rate_limited_deletes", "Deletes that a limit refused"),
            used: gauge_of(
                registry,
                "limit_used",
                "What is used of a limit by whoever uses most of it, as a share of its burst",
                Unit::Other("ratio".to_owned()),
            ),
            shadow_limits: family(
                registry,
                "shadow_limit_exceeded",
                "Deletes that a limit would have refused, had it been enforced",
            ),
            warned: family(
                registry,
                "limit_warnings",
                "Times that a limit was used up to its warn_at, by a caller, tenant, library or user",
            ),
            granted: family(
                registry,
                "budget_grants",
                "Times that an operator granted more than a limit",
            ),
            state_failures: counter(
                registry,
                "rate_limit_state_failures",
                "Times that rate_limit_state could not be read or written",
            ),
        }
    }

    /// Makes the counters of a rule, at zero.
    pub fn has_rule(&self, rule: &RuleName, mode: RuleMode) {
        let rule = OfRule { rule: rule.clone(), mode: mode.as_str() };
        drop(self.rules.get_or_create(&rule));
    }

    /// Makes the counters of a limit, at zero.
    pub fn has_limit(&self, limit: &LimitName, mode: RuleMode, warns: bool) {
        let limit = OfLimit { limit: limit.clone() };
        drop(self.granted.get_or_create(&limit));
        drop(match mode {
            RuleMode::Enforce => self.refused.get_or_create(&limit),
            RuleMode::Shadow => self.shadow_limits.get_or_create(&limit),
        });
        if warns {
            drop(self.warned.get_or_create(&limit));
        }
    }

    /// Forgets what is used: a limit may be gone since the last scrape.
    pub fn begin_scrape(&self) {
        self.used.clear();
    }

    /// Says what is used of a limit.
    pub fn used(&self, limit: &LimitName, window: &'static str, mode: RuleMode, share: f64) {
        let of = Share { limit: limit.clone(), window, mode: mode.as_str() };
        self.used.get_or_create(&of).set(share);
    }

    /// Counts a delete that a limit refused.
    pub fn refused(&self, limit: &LimitName) {
        self.refused.get_or_create(&OfLimit { limit: limit.clone() }).inc();
    }

    /// Counts a delete that a rule denied, or let through although it is permanent.
    pub fn decided(&self, rule: &RuleName) {
        self.count(rule, RuleMode::Enforce);
    }

    /// Counts a delete that a rule would have decided otherwise.
    pub fn would_have_decided(&self, rule: &RuleName) {
        self.count(rule, RuleMode::Shadow);
    }

    /// Counts a delete that a limit would have refused.
    pub fn would_have_refused(&self, limit: &LimitName) {
        self.shadow_limits.get_or_create(&OfLimit { limit: limit.clone() }).inc();
    }

    /// Counts a limit that was used up to its `warn_at`.
    pub fn warned(&self, limit: &LimitName) {
        self.warned.get_or_create(&OfLimit { limit: limit.clone() }).inc();
    }

    /// Counts a grant beyond a limit.
    pub fn granted(&self, limit: &LimitName) {
        self.granted.get_or_create(&OfLimit { limit: limit.clone() }).inc();
    }

    fn count(&self, rule: &RuleName, mode: RuleMode) {
        self.rules.get_or_create(&OfRule { rule: rule.clone(), mode: mode.as_str() }).inc();
    }
}
