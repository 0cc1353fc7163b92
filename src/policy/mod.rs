//! What is allowed: the operator's rules, compiled, and the one function that decides by them.
//!
//! Pure: no clock, no file, no socket. Everything that decides (the server now; `explain`, `test`
//! and `replay` later) calls [`Policy::decide`].

mod freeze;

pub use self::freeze::Freezes;
pub use crate::glob::{GlobError, NameGlob, PathGlob};

use std::sync::Arc;

use crate::delete::{Delete, DeletePath, Mode};
use crate::directory::{Caller, RecycleBin, Tenant, Tenants, UserIdRule};
use crate::ids::{RuleName, UserId};
use crate::refusal::{Permanence, QueryFault, Refusal};

/// The policy in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// What is asked of a delete that cannot be undone.
    pub permanent_deletes: PermanentDeletes,
    /// Rules that deny; any one that matches decides.
    pub deny: Vec<Rule>,
    /// Rules that let permanent deletes through; heeded with [`PermanentDeletes::ByRule`] alone.
    pub allow_permanent: Vec<Rule>,
    /// What follows when SMH destroyed what it should have recycled.
    pub irreversible_deletes: IrreversibleDeletes,
}

/// `irreversible_deletes` of policy.yaml: SMH answered 204 to a delete that asked for the recycle
/// bin, so the bin is off, and nobody knew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IrreversibleDeletes {
    /// Counted.
    Ignore,
    /// Counted, and logged as an error.
    #[default]
    Alarm,
    /// As `Alarm`, and the tenant is frozen until an operator looks.
    Halt,
}

/// `permanent_deletes` of policy.yaml.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PermanentDeletes {
    /// None, whatever the rules say.
    #[default]
    Deny,
    /// Those that an `allow_permanent` rule matches.
    ByRule,
}

/// One rule: what it matches, and what it leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// How answers and the audit call it.
    pub name: RuleName,
    /// What the rule is about.
    pub matches: Selector,
    /// What it is not about although it matches.
    pub except: Option<Selector>,
}

/// Conditions on a delete: all that are given must hold, and of each any one glob.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    /// The caller's name.
    pub callers: Option<Vec<NameGlob>>,
    /// The tenant's name.
    pub tenants: Option<Vec<NameGlob>>,
    /// The decoded path.
    pub paths: Option<Vec<PathGlob>>,
    /// The `user_id` that SMH would be told; a delete without one never matches.
    pub user_ids: Option<Vec<NameGlob>>,
}

/// A delete as policy sees it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// For which tenant.
    pub tenant: &'a Tenant,
    /// For which file.
    pub path: &'a DeletePath,
    /// On whose behalf.
    pub user_id: Option<&'a UserId>,
}

impl Selector {
    /// Whether the delete fulfils every condition.
    #[must_use]
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        fn any(globs: Option<&[NameGlob]>, name: Option<&str>) -> bool {
            globs.is_none_or(|globs| name.is_some_and(|n| globs.iter().any(|g| g.matches(n))))
        }
        any(self.callers.as_deref(), Some(subject.caller.name.as_str()))
            && any(self.tenants.as_deref(), Some(subject.tenant.name.as_str()))
            && any(self.user_ids.as_deref(), subject.user_id.map(UserId::as_str))
            && self
                .paths
                .as_ref()
                .is_none_or(|globs| globs.iter().any(|glob| glob.matches(subject.path.as_str())))
    }
}

impl Rule {
    fn applies(&self, subject: &Subject<'_>) -> bool {
        self.matches.matches(subject)
            && !self.except.as_ref().is_some_and(|except| except.matches(subject))
    }
}

/// Proof that the policy allows a delete. Only [`Policy::decide`] makes one.
#[derive(Debug)]
pub struct Permit {
    caller: Arc<Caller>,
    tenant: Arc<Tenant>,
    path: DeletePath,
    mode: Mode,
    user_id: Option<UserId>,
}

impl Permit {
    /// The delete as limits see it.
    #[must_use]
    pub fn subject(&self) -> Subject<'_> {
        Subject {
            caller: &self.caller,
            tenant: &self.tenant,
            path: &self.path,
            user_id: self.user_id.as_ref(),
        }
    }

    /// Who asks.
    #[must_use]
    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    /// For which tenant.
    #[must_use]
    pub fn tenant(&self) -> &Arc<Tenant> {
        &self.tenant
    }

    /// Whether SMH is asked for a permanent delete.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }
}

impl Policy {
    /// Decides one delete: the tenant's grant, the tenant's rule for `user_id`, freezes, permanence,
    /// rules.
    ///
    /// # Errors
    /// The first [`Refusal`] in this order.
    pub fn decide(
        &self,
        tenants: &Tenants,
        freezes: &Freezes,
        caller: &Arc<Caller>,
        delete: Delete<'_>,
    ) -> Result<Permit, Refusal> {
        let tenant = tenants.granted(caller, delete.tenant).ok_or(Refusal::TenantNotGranted)?;
        let user_id = user_id(&tenant.user_id, delete.user_id)?;
        freezes.check(&tenant.name)?;
        let permit = Permit {
            caller: Arc::clone(caller),
            tenant: Arc::clone(tenant),
            path: delete.path,
            mode: delete.mode,
            user_id,
        };
        let subject = permit.subject();
        if let Some(permanence) = permanence(permit.mode, tenant.library.recycle_bin) {
            self.allow_permanent(&subject, permanence)?;
        }
        match self.deny.iter().find(|rule| rule.applies(&subject)) {
            Some(rule) => Err(Refusal::DeniedByRule(rule.name.clone())),
            None => Ok(permit),
        }
    }

    fn allow_permanent(
        &self,
        subject: &Subject<'_>,
        permanence: Permanence,
    ) -> Result<(), Refusal> {
        let allowed = match self.permanent_deletes {
            PermanentDeletes::Deny => false,
            PermanentDeletes::ByRule => {
                self.allow_permanent.iter().any(|rule| rule.applies(subject))
            }
        };
        if allowed { Ok(()) } else { Err(Refusal::PermanentDeleteBlocked(permanence)) }
    }
}

/// Where the bin is off, `permanent=0` destroys just as well (smh-api.md 2.1).
fn permanence(mode: Mode, bin: RecycleBin) -> Option<Permanence> {
    match (mode, bin) {
        (Mode::Permanent, _) => Some(Permanence::Asked),
        (Mode::Recycle, RecycleBin::Off) => Some(Permanence::RecycleBinOff),
        (Mode::Recycle, RecycleBin::On) => None,
    }
}

fn user_id(rule: &UserIdRule, given: Option<UserId>) -> Result<Option<UserId>, Refusal> {
    let forbidden = Refusal::InvalidQuery(QueryFault::UserIdForbidden);
    match (rule, given) {
        (UserIdRule::Forward, given) => Ok(given),
        (UserIdRule::Forbid, None) => Ok(None),
        (UserIdRule::Forbid, Some(_)) => Err(forbidden),
        (UserIdRule::Fixed(fixed), Some(given)) if given != *fixed => Err(forbidden),
        (UserIdRule::Fixed(fixed), _) => Ok(Some(fixed.clone())),
    }
}

#[cfg(test)]
mod tests;
