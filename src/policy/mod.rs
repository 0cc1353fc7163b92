//! What is allowed: the operator's rules, compiled, and the one function that decides by them.
//!
//! Pure: no clock, no file, no socket. Everything that decides (the server, `X-Dry-Run`, `explain`,
//! `test`, `replay`) calls [`Policy::decide`].

mod freeze;
mod hypothetical;
mod index;
mod moment;
mod rule;
mod rules;

pub use self::freeze::{Freeze, Freezes, Halts};
pub use self::hypothetical::Hypothetical;
pub use self::index::Known;
pub use self::moment::moment;
pub use self::rule::{Condition, Effect, Rule, RuleMode, Selector, Standing, Until};
pub use self::rules::Rules;
pub use crate::glob::{GlobError, NameGlob, PathGlob};

use std::sync::Arc;
use std::time::SystemTime;

use smallvec::SmallVec;

use crate::delete::{Delete, DeletePath, Mode};
use crate::directory::{Caller, RecycleBin, Tenant, Tenants};
use crate::ids::{Citation, UserId};
use crate::refusal::{Permanence, Refusal};

/// The policy in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Whether what could be undone is refused by rules and limits, or only counted and recorded.
    pub dry_run: bool,
    /// What is frozen.
    pub freezes: Freezes,
    /// What is asked of a delete that cannot be undone.
    pub permanent_deletes: PermanentDeletes,
    /// The rules.
    pub rules: Rules,
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

/// How far the policy is enforced on one delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enforcement {
    /// Rules and limits refuse.
    Full,
    /// `dry_run: true`: they are only counted and recorded. Never so for a delete that cannot be
    /// undone.
    DryRun,
}

/// Proof that the policy allows a delete. Only [`Policy::decide`] makes one.
#[derive(Debug)]
pub struct Permit {
    caller: Arc<Caller>,
    tenant: Arc<Tenant>,
    path: DeletePath,
    mode: Mode,
    user_id: Option<UserId>,
    enforcement: Enforcement,
    allowed_by: Option<Arc<Citation>>,
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

    /// Whether limits refuse it.
    #[must_use]
    pub fn enforcement(&self) -> Enforcement {
        self.enforcement
    }

    /// The rule that lets it through, where it is permanent.
    #[must_use]
    pub fn allowed_by(&self) -> Option<&Arc<Citation>> {
        self.allowed_by.as_ref()
    }
}

/// What the policy says to one delete.
#[derive(Debug)]
pub struct Decision {
    /// The answer.
    pub outcome: Result<Permit, Refusal>,
    /// The rules that would have made it another one, had they been enforced: in the order of the
    /// file.
    pub unheeded: Unheeded,
}

/// Rules that were only counted. Room for those that are usual, so that nothing is allocated.
pub type Unheeded = SmallVec<[Arc<Citation>; 2]>;

impl Policy {
    /// Decides one delete: the tenant's grant, the tenant's rule for `user_id`, freezes, permanence,
    /// rules. The first of them that refuses is the answer.
    #[must_use]
    pub fn decide(
        &self,
        tenants: &Tenants,
        halts: &Halts,
        caller: &Arc<Caller>,
        delete: Delete<'_>,
        now: SystemTime,
    ) -> Decision {
        let mut unheeded = Unheeded::new();
        let outcome = self
            .grant(tenants, halts, caller, delete)
            .and_then(|permit| self.apply_rules(permit, now, &mut unheeded));
        Decision { outcome, unheeded }
    }

    /// What comes before the rules. `dry_run` changes nothing here.
    fn grant(
        &self,
        tenants: &Tenants,
        halts: &Halts,
        caller: &Arc<Caller>,
        delete: Delete<'_>,
    ) -> Result<Permit, Refusal> {
        let tenant = tenants.granted(caller, delete.tenant).ok_or(Refusal::TenantNotGranted)?;
        let user_id = tenant.user_id.apply(delete.user_id).map_err(Refusal::InvalidQuery)?;
        halts.check(&tenant.name)?;
        self.freezes.check(caller, tenant)?;
        Ok(Permit {
            caller: Arc::clone(caller),
            tenant: Arc::clone(tenant),
            path: delete.path,
            mode: delete.mode,
            user_id,
            enforcement: Enforcement::Full,
            allowed_by: None,
        })
    }

    fn apply_rules(
        &self,
        mut permit: Permit,
        now: SystemTime,
        unheeded: &mut Unheeded,
    ) -> Result<Permit, Refusal> {
        match permanence(permit.mode, permit.tenant.library.recycle_bin) {
            Some(permanence) => {
                permit.allowed_by = Some(self.allow_permanent(&permit, permanence, now, unheeded)?);
            }
            None if self.dry_run => permit.enforcement = Enforcement::DryRun,
            None => {}
        }
        let subject = permit.subject();
        for rule in self.rules.that_may_apply(Effect::Deny, &subject) {
            let enforced =
                rule.mode == RuleMode::Enforce && permit.enforcement == Enforcement::Full;
            if !rule.applies(&subject, now) {
                continue;
            }
            if enforced {
                // It is denied anyway: no shadow rule would have changed that.
                unheeded.clear();
                return Err(Refusal::DeniedByRule(Arc::clone(&rule.cited)));
            }
            unheeded.push(Arc::clone(&rule.cited));
        }
        Ok(permit)
    }

    /// The rule that lets a permanent delete through.
    fn allow_permanent(
        &self,
        permit: &Permit,
        permanence: Permanence,
        now: SystemTime,
        unheeded: &mut Unheeded,
    ) -> Result<Arc<Citation>, Refusal> {
        if self.permanent_deletes == PermanentDeletes::ByRule {
            let subject = permit.subject();
            for rule in self.rules.that_may_apply(Effect::AllowPermanent, &subject) {
                match (rule.applies(&subject, now), rule.mode) {
                    (false, _) => {}
                    (true, RuleMode::Shadow) => unheeded.push(Arc::clone(&rule.cited)),
                    (true, RuleMode::Enforce) => {
                        unheeded.clear();
                        return Ok(Arc::clone(&rule.cited));
                    }
                }
            }
        }
        Err(Refusal::PermanentDeleteBlocked(permanence))
    }
}

/// Why a delete cannot be undone; `None`: it can. Where the bin is off, `permanent=0` destroys just as
/// well (smh-api.md 2.1). This is the one place where that is decided.
#[must_use]
pub fn permanence(mode: Mode, bin: RecycleBin) -> Option<Permanence> {
    match (mode, bin) {
        (Mode::Permanent, _) => Some(Permanence::Asked),
        (Mode::Recycle, RecycleBin::Off) => Some(Permanence::RecycleBinOff),
        (Mode::Recycle, RecycleBin::On) => None,
    }
}

#[cfg(test)]
mod tests;
