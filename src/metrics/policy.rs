//! Counters of what rules and limits did, or would have done.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::ids::{LimitName, RuleName};
use crate::metrics::{counter, family};

/// By names of the policy, so there are only so many.
pub struct PolicyMetrics {
    rules: Family<OfRule, Counter>,
    shadow_limits: Family<OfLimit, Counter>,
    warned: Family<OfLimit, Counter>,
    granted: Family<OfLimit, Counter>,
    /// Attempts to read or write the state of limits that failed.
    pub state_failures: Counter,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfRule {
    rule: String,
    mode: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfLimit {
    limit: String,
}

impl PolicyMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        Self {
            rules: family(
                registry,
                "rule_matches",
                "Deletes that a rule decided (enforce), or would have decided (shadow)",
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

    /// Counts a delete that a rule denied, or let through although it is permanent.
    pub fn decided(&self, rule: &RuleName) {
        self.count(rule, "enforce");
    }

    /// Counts a delete that a rule would have decided otherwise.
    pub fn would_have_decided(&self, rule: &RuleName) {
        self.count(rule, "shadow");
    }

    /// Counts a delete that a limit would have refused.
    pub fn would_have_refused(&self, limit: &LimitName) {
        self.shadow_limits.get_or_create(&OfLimit { limit: limit.to_string() }).inc();
    }

    /// Counts a limit that was used up to its `warn_at`.
    pub fn warned(&self, limit: &LimitName) {
        self.warned.get_or_create(&OfLimit { limit: limit.to_string() }).inc();
    }

    /// Counts a grant beyond a limit.
    pub fn granted(&self, limit: &LimitName) {
        self.granted.get_or_create(&OfLimit { limit: limit.to_string() }).inc();
    }

    fn count(&self, rule: &RuleName, mode: &'static str) {
        self.rules.get_or_create(&OfRule { rule: rule.to_string(), mode }).inc();
    }
}
