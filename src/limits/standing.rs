//! How a limit stands after a delete, for those who are told: `RateLimit` and `RateLimit-Policy` of
//! draft-ietf-httpapi-ratelimit-headers-10.

use std::fmt::Write;
use std::time::Duration;

use crate::limits::quota::Quota;
use crate::limits::{Admission, Limits};
use crate::refusal::render::whole_seconds;

/// One limit after a delete was charged to it: what that means is worked out for those who are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    position: usize,
    quota: Quota,
    /// Until nothing is used of it any more, in nanoseconds.
    whole_in: u64,
}

impl Standing {
    pub(super) fn new(position: usize, quota: Quota, used: u64) -> Self {
        Self { position, quota, whole_in: used }
    }
}

/// The values of both fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// `"per caller";q=100;w=1`: what there is.
    pub policy: String,
    /// `"per caller";r=41;t=1`: what is left of it, and in how many seconds it is whole again.
    pub limit: String,
}

impl Limits {
    /// What an admitted delete's caller may be told of its limits; `None` where none was charged.
    #[must_use]
    pub fn told(&self, admission: &Admission) -> Option<Told> {
        let mut told = Told { policy: String::new(), limit: String::new() };
        for standing in &admission.standings {
            let Some(limit) = self.limits.get(standing.position) else { continue };
            let rule = &limit.rule;
            let separator = if told.policy.is_empty() { "" } else { ", " };
            let window = whole_seconds(rule.rate.window());
            let left = standing.quota.left(standing.whole_in);
            let whole_in = whole_seconds(Duration::from_nanos(standing.whole_in));
            // Writing to a string cannot fail. A name has neither quotes nor backslashes.
            let _ = write!(
                told.policy,
                "{separator}\"{}\";q={};w={window}",
                rule.name,
                rule.rate.count()
            );
            let _ = write!(told.limit, "{separator}\"{}\";r={};t={whole_in}", rule.name, left);
        }
        (!told.policy.is_empty()).then_some(told)
    }
}
