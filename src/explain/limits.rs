//! Each limit: whether it would be charged, and for whom.

use std::time::Duration;

use crate::explain::{Version, place};
use crate::ids::{LimitName, UserId};
use crate::limits::{LimitRule, Per, View};
use crate::policy::{RuleMode, Subject};

/// How one limit stands to the delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitSeen {
    /// Which limit.
    pub name: LimitName,
    /// Whether it refuses.
    pub mode: RuleMode,
    /// Where it stands.
    pub place: Option<String>,
    /// `100/s, burst 200`.
    pub quota: String,
    /// Whether it is about the delete; `None` where it is not known what the delete is.
    pub charged: Option<bool>,
    /// For whom: `caller app, tenant photos`.
    pub counted_for: String,
    /// How long it is used up for.
    pub wait: Option<Duration>,
}

pub(super) fn all(version: Version<'_>, subject: Option<Subject<'_>>) -> Vec<LimitSeen> {
    let policy_file = version.snapshot.policy_file.as_ref();
    let seen = |rule: &LimitRule| {
        let charged = subject.map(|subject| rule.matches.matches(&subject));
        LimitSeen {
            name: rule.name.clone(),
            mode: rule.mode,
            place: policy_file.map(|file| place(file, Some(rule.line))),
            quota: format!("{}, burst {}", rule.rate, rule.burst),
            charged,
            counted_for: subject.map(|subject| counted_for(rule.per, &subject)).unwrap_or_default(),
            wait: subject.and_then(|subject| {
                version.limits.wait(&rule.name, &subject, View::Shared, version.asked_at)
            }),
        }
    };
    version.snapshot.limits.iter().map(seen).collect()
}

fn counted_for(per: Per, subject: &Subject<'_>) -> String {
    let Subject { caller, tenant, user_id, .. } = subject;
    let user_id = user_id.map_or("none", UserId::as_str);
    let parts = [
        (per.caller, "caller", caller.name.as_str()),
        (per.tenant, "tenant", tenant.name.as_str()),
        (per.library, "library", tenant.library.id.as_str()),
        (per.user_id, "user_id", user_id),
    ];
    let parts: Vec<_> = parts
        .into_iter()
        .filter(|(is_counted, ..)| *is_counted)
        .map(|(_, what, name)| format!("{what} {name}"))
        .collect();
    if parts.is_empty() { "all together".to_owned() } else { parts.join(", ") }
}
