//! The explanation for programs.

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::delete::Mode;
use crate::explain::{Check, Explanation, LimitSeen, RuleSeen};
use crate::ids::Ticket;

impl Explanation {
    /// As `X-Dry-Run` answers: `allow` or `deny`.
    #[must_use]
    pub fn decision(&self) -> &'static str {
        if self.refusal.is_none() { "allow" } else { "deny" }
    }

    /// The moment that it is about, in RFC 3339: [`moment`](super::moment) takes no other.
    #[must_use]
    pub fn moment(&self) -> String {
        let moment = OffsetDateTime::from(self.at).truncate_to_second();
        moment.format(&Rfc3339).unwrap_or_default()
    }

    /// For programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let unheeded = self.unheeded.iter().map(|cited| cited.rule.as_str());
        json!({
            "request": {
                "caller": self.asked.caller,
                "tenant": self.asked.tenant,
                "path": self.asked.path,
                "permanent": self.asked.mode == Mode::Permanent,
                "user_id": self.asked.user_id,
                "at": self.moment(),
            },
            "config_sha256": self.sha256,
            "decision": self.decision(),
            "code": self.refusal.as_ref().map(|refusal| refusal.code().name()),
            "status": self.refusal.as_ref().map(|refusal| refusal.code().status().as_u16()),
            "outcome": self.refusal.as_ref().map(|refusal| refusal.outcome().as_str()),
            "detail": self.refusal.as_ref().map(ToString::to_string),
            "rule": self.rule.as_ref().map(|cited| cited.rule.as_str()),
            "ticket": self.rule.as_ref().and_then(|cited| cited.ticket.as_ref()).map(Ticket::as_str),
            "shadow_rules": unheeded.collect::<Vec<_>>(),
            "checks": self.checks.iter().map(check).collect::<Vec<_>>(),
            "rules": self.rules.iter().map(rule).collect::<Vec<_>>(),
            "limits": self.limits.iter().map(limit).collect::<Vec<_>>(),
            "target": self.target,
        })
    }
}

fn check(check: &Check) -> Value {
    json!({
        "check": check.step.as_str(),
        "verdict": check.verdict.as_str(),
        "why": check.why,
        "place": check.place,
    })
}

fn rule(rule: &RuleSeen) -> Value {
    json!({
        "rule": rule.name.as_str(),
        "ticket": rule.ticket.as_ref().map(Ticket::as_str),
        "effect": rule.effect.as_str(),
        "mode": rule.mode.as_str(),
        "applies": rule.applies,
        "decides": rule.decides,
        "why": rule.why,
        "place": rule.place,
    })
}

fn limit(limit: &LimitSeen) -> Value {
    json!({
        "limit": limit.name.as_str(),
        "mode": limit.mode.as_str(),
        "quota": limit.quota,
        "charged": limit.charged,
        "counted_for": limit.counted_for,
        "wait_seconds": limit.wait.map(|wait| wait.as_secs_f64()),
        "place": limit.place,
    })
}
