//! Each rule: whether it is about the delete, and what it does to it.

use std::fmt::Display;
use std::time::SystemTime;

use crate::config::Snapshot;
use crate::delete::Mode;
use crate::explain::place;
use crate::ids::{Citation, RuleName, Ticket, UserId};
use crate::policy::{
    Condition, Effect, PermanentDeletes, Policy, Rule, RuleMode, Selector, Standing, Subject,
    permanence,
};

/// How one rule stands to the delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSeen {
    /// Which rule.
    pub name: RuleName,
    /// What stands behind it.
    pub ticket: Option<Ticket>,
    /// What it does.
    pub effect: Effect,
    /// Whether it counts.
    pub mode: RuleMode,
    /// Where it stands.
    pub place: Option<String>,
    /// Whether it is about the delete; `None` where it is not known what the delete is.
    pub applies: Option<bool>,
    /// Whether it is the one that decided.
    pub decides: bool,
    /// Why.
    pub why: String,
}

pub(super) fn all(
    snapshot: &Snapshot,
    subject: Option<Subject<'_>>,
    mode: Mode,
    cited: Option<&Citation>,
    now: SystemTime,
) -> Vec<RuleSeen> {
    let policy = &snapshot.policy;
    let is_cited = |rule: &Rule| Some(&*rule.cited) == cited;
    let decided = policy.rules.iter().find(|rule| is_cited(rule)).map(|rule| rule.effect);
    let seen = |rule: &Rule| {
        let standing = subject.map(|subject| rule.standing(&subject, now));
        let decides = is_cited(rule);
        let why = match subject.zip(standing) {
            Some((subject, Standing::Applies)) => {
                let is_permanent = permanence(mode, subject.tenant.library.recycle_bin).is_some();
                applies(policy, rule, is_permanent, decides, decided).to_owned()
            }
            Some((_, Standing::Excepted)) => "its `except` covers it".to_owned(),
            Some((_, Standing::Expired)) => {
                let until = rule.until.as_ref().map(ToString::to_string).unwrap_or_default();
                format!("it ended: until {until}")
            }
            Some((subject, Standing::Mismatch(condition))) => {
                mismatch(condition, &rule.matches, &subject)
            }
            None => "not looked at".to_owned(),
        };
        RuleSeen {
            name: rule.cited.rule.clone(),
            ticket: rule.cited.ticket.clone(),
            effect: rule.effect,
            mode: rule.mode,
            place: snapshot.policy_file.as_ref().map(|file| place(file, Some(rule.line))),
            applies: standing.map(|standing| standing == Standing::Applies),
            decides,
            why,
        }
    };
    policy.rules.iter().map(seen).collect()
}

/// What a rule does that is about the delete: whether it decides, or a rule of which effect does.
fn applies(
    policy: &Policy,
    rule: &Rule,
    is_permanent: bool,
    decides: bool,
    decided: Option<Effect>,
) -> &'static str {
    match (rule.effect, rule.mode) {
        (Effect::Deny, _) if decides => "denies it",
        (Effect::AllowPermanent, _) if decides => "lets it through",
        (Effect::AllowPermanent, _) if !is_permanent => "is about it, but it is not permanent",
        (Effect::AllowPermanent, _) if policy.permanent_deletes == PermanentDeletes::Deny => {
            "would let it through, but `permanent_deletes: deny` heeds no such rule"
        }
        (Effect::Deny, RuleMode::Shadow) => "would deny it, but is a shadow",
        (Effect::AllowPermanent, RuleMode::Shadow) => "would let it through, but is a shadow",
        (Effect::Deny, RuleMode::Enforce) if policy.dry_run && !is_permanent => {
            "would deny it, but for `dry_run: true`"
        }
        (Effect::Deny, RuleMode::Enforce) => "would deny it, too",
        (Effect::AllowPermanent, RuleMode::Enforce) => match decided {
            Some(Effect::AllowPermanent) => "would let it through, too",
            Some(Effect::Deny) => "would let it through, but a deny wins",
            None => "would let it through, but it is refused before rules are asked",
        },
    }
}

/// `callers: app is none of janitor, batch*`.
fn mismatch(condition: Condition, selector: &Selector, subject: &Subject<'_>) -> String {
    let (value, globs) = match condition {
        Condition::Callers => (Some(subject.caller.name.as_str()), listed(&selector.callers)),
        Condition::Tenants => (Some(subject.tenant.name.as_str()), listed(&selector.tenants)),
        Condition::UserIds => (subject.user_id.map(UserId::as_str), listed(&selector.user_ids)),
        Condition::Paths => (Some(subject.path.as_str()), listed(&selector.paths)),
    };
    let field = condition.as_str();
    match value {
        Some(value) => format!("`{field}`: {value} is none of {globs}"),
        None => format!("`{field}`: there is no user_id, so none of {globs}"),
    }
}

fn listed<G: Display>(globs: &Option<Vec<G>>) -> String {
    let globs = globs.iter().flatten().map(ToString::to_string);
    globs.collect::<Vec<_>>().join(", ")
}
