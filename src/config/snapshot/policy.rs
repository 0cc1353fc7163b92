//! The policy for people: as it is in force, in the words of policy.yaml.

use std::fmt::Display;

use serde_json::{Map, Value, json};

use crate::limits::{LimitRule, Per};
use crate::policy::{
    Freeze, Freezes, IrreversibleDeletes, PermanentDeletes, Policy, Rule, Selector,
};

pub(super) fn shown(policy: &Policy, limits: &[LimitRule]) -> Value {
    json!({
        "dry_run": policy.dry_run,
        "freeze": freezes(&policy.freezes),
        "permanent_deletes": match policy.permanent_deletes {
            PermanentDeletes::Deny => "deny",
            PermanentDeletes::ByRule => "by_rule",
        },
        "irreversible_deletes": match policy.irreversible_deletes {
            IrreversibleDeletes::Ignore => "ignore",
            IrreversibleDeletes::Alarm => "alarm",
            IrreversibleDeletes::Halt => "halt",
        },
        "rules": policy.rules.iter().map(rule).collect::<Vec<_>>(),
        "rate_limits": limits.iter().map(limit).collect::<Vec<_>>(),
    })
}

fn freezes(freezes: &Freezes) -> Vec<Value> {
    let entry = |what: &str, name: Value, Freeze { reason, line }: &Freeze| {
        let reason = reason.as_ref().map(|reason| reason.as_str());
        json!({ what: name, "reason": reason, "line": line })
    };
    let everything = freezes.everything.iter().map(|why| entry("everything", json!(true), why));
    let callers =
        freezes.callers.iter().map(|(name, why)| entry("caller", json!(name.as_str()), why));
    let tenants =
        freezes.tenants.iter().map(|(name, why)| entry("tenant", json!(name.as_str()), why));
    everything.chain(callers).chain(tenants).collect()
}

fn rule(rule: &Rule) -> Value {
    let mut conditions = selector(&rule.matches);
    if let Some(except) = &rule.except {
        conditions.insert("except".to_owned(), Value::Object(selector(except)));
    }
    json!({
        "name": rule.cited.rule.as_str(),
        "line": rule.line,
        rule.effect.as_str(): conditions,
        "until": rule.until.as_ref().map(ToString::to_string),
        "ticket": rule.cited.ticket.as_ref().map(|ticket| ticket.as_str()),
        "mode": rule.mode.as_str(),
    })
}

fn limit(limit: &LimitRule) -> Value {
    let Per { caller, tenant, library, user_id } = limit.per;
    let per = [(caller, "caller"), (tenant, "tenant"), (library, "library"), (user_id, "user_id")];
    let per: Vec<_> = per.into_iter().filter_map(|(is, name)| is.then_some(name)).collect();
    let mut shown = Map::from_iter([
        ("name".to_owned(), json!(limit.name.as_str())),
        ("line".to_owned(), json!(limit.line)),
        ("per".to_owned(), json!(per)),
        ("limit".to_owned(), json!(limit.rate.to_string())),
        ("burst".to_owned(), json!(limit.burst)),
        ("mode".to_owned(), json!(limit.mode.as_str())),
    ]);
    shown.append(&mut selector(&limit.matches));
    Value::Object(shown)
}

/// The conditions that are given.
fn selector(selector: &Selector) -> Map<String, Value> {
    fn globs<G: Display>(globs: Option<&Vec<G>>) -> Option<Value> {
        globs.map(|globs| globs.iter().map(ToString::to_string).collect())
    }
    let conditions = [
        ("callers", globs(selector.callers.as_ref())),
        ("tenants", globs(selector.tenants.as_ref())),
        ("paths", globs(selector.paths.as_ref())),
        ("user_ids", globs(selector.user_ids.as_ref())),
    ];
    let given = conditions.into_iter().filter_map(|(name, globs)| Some((name.to_owned(), globs?)));
    given.collect()
}
