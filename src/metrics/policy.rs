//! Counters of what rules and limits did, or would have done.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::ids::{LimitName, RuleName};
use crate::metrics::family;

/// By names of the policy, so there are only so many.
pub struct PolicyMetrics {
    rules: Family<OfRule, Counter>,
    shadow_limits: Family<OfLimit, Counter>,
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

    fn count(&self, rule: &RuleName, mode: &'static str) {
        self.rules.get_or_create(&OfRule { rule: rule.to_string(), mode }).inc();
    }
}
