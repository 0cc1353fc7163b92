//! Why a delete would be answered as it would: every check and every rule, in words.
//!
//! Decides nothing: the answer is [`Policy::decide_hypothetical`]'s and [`Limits`]', as it is for
//! one that came. What is told of each check follows from that answer.
//!
//! [`Policy::decide_hypothetical`]: crate::policy::Policy::decide_hypothetical

mod checks;
mod limits;
mod question;
mod rules;
mod shown;
mod step;

pub use self::checks::{Check, Verdict};
pub use self::limits::LimitSeen;
pub use self::question::{Question, moment};
pub use self::rules::RuleSeen;
pub use self::step::Step;

use std::time::{Instant, SystemTime};

use crate::config::Snapshot;
use crate::delete::Delete;
use crate::directory::{Caller, Callers, Tenant, Tenants};
use crate::ids::{Citation, LibraryId, UserId};
use crate::limits::{Limits, View};
use crate::policy::{Decision, Halts, Hypothetical, Subject, Unheeded};
use crate::refusal::Refusal;
use crate::upstream;

/// What a delete would be decided by.
#[derive(Clone, Copy)]
pub struct Version<'v> {
    /// The configuration.
    pub snapshot: &'v Snapshot,
    /// Its callers, by name.
    pub callers: &'v Callers,
    /// Its tenants, by name.
    pub tenants: &'v Tenants,
    /// What is halted.
    pub halts: &'v Halts,
    /// What is used of the limits. Nothing is charged.
    pub limits: &'v Limits,
    /// When that is asked.
    pub asked_at: Instant,
    /// Libraries whose token is not at hand.
    pub without_token: &'v [LibraryId],
}

/// What would become of a delete, and why.
#[derive(Debug)]
pub struct Explanation {
    /// What was asked.
    pub asked: Hypothetical,
    /// For which moment.
    pub at: SystemTime,
    /// The configuration that answers, by its hash.
    pub sha256: String,
    /// Every check, in the order in which they are made.
    pub checks: Vec<Check>,
    /// Every rule, in the order of the file.
    pub rules: Vec<RuleSeen>,
    /// Every limit, in the order of the file.
    pub limits: Vec<LimitSeen>,
    /// What SMH would be sent, with the token redacted; `None` where nothing would be.
    pub target: Option<String>,
    /// The refusal, if it is one.
    pub refusal: Option<Refusal>,
    /// The rule that denied it, or let it through.
    pub rule: Option<Citation>,
    /// Rules that would have made it another answer, had they been enforced.
    pub unheeded: Unheeded,
}

/// What the words of a [`Hypothetical`] mean here, as far as they mean anything.
#[derive(Clone, Copy)]
struct Meant<'m> {
    caller: Option<&'m Caller>,
    tenant: Option<&'m Tenant>,
    subject: Option<Subject<'m>>,
}

/// Explains what would become of a delete at a moment.
#[must_use]
pub fn explain(version: Version<'_>, asked: &Hypothetical, now: SystemTime) -> Explanation {
    let Version { snapshot, callers, tenants, halts, limits, .. } = version;
    let known = (callers, tenants);
    let Decision { outcome, unheeded } =
        snapshot.policy.decide_hypothetical(known, halts, asked, now);
    let (permit, refusal) = match outcome {
        Ok(permit) => {
            let refusal = limits.would_refuse(&permit, View::Shared, version.asked_at);
            (Some(permit), refusal)
        }
        Err(refusal) => (None, Some(refusal)),
    };
    let allowed_by = permit.as_ref().and_then(|permit| permit.allowed_by());
    let rule = refusal.as_ref().and_then(Refusal::cited).or(allowed_by.map(AsRef::as_ref)).cloned();

    let delete = asked.delete().ok();
    let caller = callers.get(&asked.caller);
    let tenant = delete
        .as_ref()
        .zip(caller)
        .and_then(|(delete, caller)| tenants.granted(caller, delete.tenant));
    let user_id = delete.as_ref().zip(tenant).and_then(|(delete, tenant)| user_id(delete, tenant));
    let subject = delete.as_ref().zip(caller.zip(tenant)).map(|(delete, (caller, tenant))| {
        Subject { caller, tenant, path: &delete.path, user_id: user_id.as_ref() }
    });
    let meant =
        Meant { caller: caller.map(AsRef::as_ref), tenant: tenant.map(AsRef::as_ref), subject };

    let sent = subject.filter(|_| refusal.is_none());
    let token_in = snapshot.upstream.token_in;
    Explanation {
        checks: checks::all(version, asked, meant, refusal.as_ref(), rule.as_ref()),
        rules: rules::all(snapshot, meant.subject, asked.mode, rule.as_ref(), now),
        limits: limits::all(version, meant.subject),
        target: sent.map(|subject| upstream::shown(&subject, asked.mode, token_in)),
        asked: asked.clone(),
        at: now,
        sha256: snapshot.sha256.clone(),
        refusal,
        rule,
        unheeded,
    }
}

/// What SMH would be told, where the tenant takes what is asked.
fn user_id(delete: &Delete<'_>, tenant: &Tenant) -> Option<UserId> {
    tenant.user_id.apply(delete.user_id.clone()).ok().flatten()
}

/// `config/policy.yaml:12`.
fn place(file: &std::path::Path, line: Option<u32>) -> String {
    match line {
        Some(line) => format!("{}:{line}", file.display()),
        None => file.display().to_string(),
    }
}
