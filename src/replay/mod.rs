//! Past deletes, decided again by the policy at hand: what would change.
//!
//! Decides nothing itself: the answer is [`Policy::decide`]'s, for the moment at which the delete was
//! asked for. Limits are not charged, so what only a limit, a store, the audit or SMH refused counts
//! as allowed.
//!
//! [`Policy::decide`]: crate::policy::Policy::decide

mod changes;
mod shown;

pub use self::changes::{Change, Changes, Example, Group, Key};
pub use self::shown::grouped;

use std::sync::Arc;
use std::time::SystemTime;

use crate::config::Snapshot;
use crate::delete::{Delete, DeletePath, Mode, TenantRef};
use crate::directory::{Callers, Tenants};
use crate::ids::UserId;
use crate::journal::{Entry, Event};
use crate::policy::{Halts, moment};
use crate::refusal::{Code, CredentialFault, QueryFault, Refusal};

/// A configuration that past deletes are held to.
pub struct Replay<'s> {
    snapshot: &'s Snapshot,
    callers: Callers,
    tenants: Tenants,
    /// None: what SMH did then is not what it would do now.
    halts: Halts,
    totals: Totals,
    changes: Changes,
}

/// How many there were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Deletes that were decided again.
    pub deletes: u64,
    /// Those of them that were allowed.
    pub were_allowed: u64,
    /// Those that are allowed now.
    pub are_allowed: u64,
    /// Would now be denied.
    pub now_denied: u64,
    /// Those of them whose caller is not configured any more.
    pub unknown_caller: u64,
    /// Those of them whose tenant is not configured, or not granted, any more.
    pub not_granted: u64,
    /// Would now be allowed.
    pub now_allowed: u64,
    /// Left out: it was only asked what would become of them.
    pub dry_runs: u64,
    /// Left out: they were refused before anything was decided about them, or nobody knows when.
    pub undecided: u64,
    /// The time of the first.
    pub first: Option<String>,
    /// The time of the last.
    pub last: Option<String>,
}

impl<'s> Replay<'s> {
    /// By this configuration.
    #[must_use]
    pub fn by(snapshot: &'s Snapshot) -> Self {
        Self {
            snapshot,
            callers: snapshot.callers.iter().map(|one| Arc::clone(&one.caller)).collect(),
            tenants: snapshot.tenants.iter().map(Arc::clone).collect(),
            halts: Halts::default(),
            totals: Totals::default(),
            changes: Changes::default(),
        }
    }

    /// Decides a recorded delete again. Whatever else was recorded is left out.
    pub fn entry(&mut self, entry: &Entry<'_>) {
        if entry.event != Event::Delete {
            return;
        }
        if entry.dry_run == Some(true) {
            self.totals.dry_runs += 1;
            return;
        }
        let Some(asked) = Asked::of(entry) else {
            self.totals.undecided += 1;
            return;
        };
        let Ok(time) = moment(&entry.time, "") else {
            self.totals.undecided += 1;
            return;
        };
        let (was, is) = (refused_with(entry), self.decide(&asked, time));
        self.totals.see(&entry.time, was.is_none(), is.is_ok());
        match (was, is) {
            (None, Err(refusal)) => {
                let code = refusal.code();
                self.totals.unknown_caller += u64::from(code == Code::Unauthenticated);
                self.totals.not_granted += u64::from(code == Code::TenantNotGranted);
                let rule = refusal.cited().map(|cited| cited.rule.as_str());
                self.changes.add(Change::NowDenied, &asked, (code.name(), rule), entry);
            }
            (Some(code), Ok(())) => {
                let why = (code, entry.rule.as_deref());
                self.changes.add(Change::NowAllowed, &asked, why, entry);
            }
            (None, Ok(())) | (Some(_), Err(_)) => {}
        }
    }

    fn decide(&self, asked: &Asked<'_>, at: SystemTime) -> Result<(), Refusal> {
        let path = DeletePath::try_from(asked.path.to_owned()).map_err(Refusal::InvalidPath)?;
        let user_id = asked.user_id.map(UserId::try_from).transpose();
        let user_id = user_id.map_err(|_| Refusal::InvalidQuery(QueryFault::UserId))?;
        let delete = Delete { tenant: asked.tenant, path, mode: asked.mode, user_id };
        let caller = self.callers.get(asked.caller);
        let caller = caller.ok_or(Refusal::Unauthenticated(CredentialFault::Unknown))?;
        let decision = self.snapshot.policy.decide(&self.tenants, &self.halts, caller, delete, at);
        decision.outcome.map(|_| ())
    }

    /// How many there were, and what changes.
    #[must_use]
    pub fn end(self) -> (Totals, Changes) {
        (self.totals, self.changes)
    }
}

impl Totals {
    /// Whether anything changes.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.now_denied > 0 || self.now_allowed > 0
    }

    fn see(&mut self, time: &str, was_allowed: bool, is_allowed: bool) {
        self.deletes += 1;
        self.were_allowed += u64::from(was_allowed);
        self.are_allowed += u64::from(is_allowed);
        self.now_denied += u64::from(was_allowed && !is_allowed);
        self.now_allowed += u64::from(!was_allowed && is_allowed);
        // Files of several gateways are not in order.
        if self.first.as_deref().is_none_or(|first| time < first) {
            self.first = Some(time.to_owned());
        }
        if self.last.as_deref().is_none_or(|last| time > last) {
            self.last = Some(time.to_owned());
        }
    }
}

/// What was asked for, as it was recorded.
struct Asked<'e> {
    caller: &'e str,
    tenant: TenantRef<'e>,
    path: &'e str,
    mode: Mode,
    user_id: Option<&'e str>,
}

impl<'e> Asked<'e> {
    /// `None`: it was refused before anybody decided about it.
    fn of(entry: &'e Entry<'_>) -> Option<Self> {
        let tenant = match (&entry.tenant, &entry.library, &entry.space) {
            (Some(name), ..) => TenantRef::Named(name),
            (None, Some(library), Some(space)) => TenantRef::Space { library, space },
            (None, ..) => return None,
        };
        Some(Self {
            caller: entry.caller.as_deref()?,
            tenant,
            path: entry.path.as_deref()?,
            mode: if entry.permanent == Some(true) { Mode::Permanent } else { Mode::Recycle },
            user_id: entry.user_id.as_deref(),
        })
    }

    fn tenant(&self) -> String {
        match self.tenant {
            TenantRef::Named(name) => name.to_owned(),
            TenantRef::Space { library, space } => format!("{library}/{space}"),
        }
    }
}

/// The code with which the policy of then refused it; `None`: the policy let it through, whatever came
/// behind that.
fn refused_with<'e>(entry: &'e Entry<'_>) -> Option<&'e str> {
    const BY_POLICY: [Code; 5] = [
        Code::TenantNotGranted,
        Code::InvalidQuery,
        Code::Frozen,
        Code::PermanentDeleteBlocked,
        Code::DeniedByRule,
    ];
    let code = entry.code.as_deref()?;
    BY_POLICY.iter().any(|known| known.name() == code).then_some(code)
}

#[cfg(test)]
mod tests;
