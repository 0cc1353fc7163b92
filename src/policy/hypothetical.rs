//! A delete that nobody sent: what would the policy say to it?

use std::time::SystemTime;

use crate::delete::{Delete, DeletePath, Mode, TenantRef, canonical_target};
use crate::directory::{Callers, Tenants};
use crate::ids::UserId;
use crate::policy::{Decision, Halts, Policy, Unheeded};
use crate::refusal::{CredentialFault, MAX_TARGET_BYTES, QueryFault, Refusal};

/// A delete as `explain` and `test` are asked about it: in the words of the configuration, with
/// the path decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hypothetical {
    /// Who would ask.
    pub caller: String,
    /// For which tenant.
    pub tenant: String,
    /// For which file: decoded, as policies and the audit name it.
    pub path: String,
    /// Whether it would be permanent.
    pub mode: Mode,
    /// On whose behalf.
    pub user_id: Option<String>,
}

impl Hypothetical {
    /// Whom it would be decided for, and what: as a request on a listener is parsed, and refused for
    /// the same reasons. How a caller would write the target is not known; it is measured in its
    /// canonical form.
    ///
    /// # Errors
    /// The [`Refusal`] that a request would be answered with.
    pub fn delete(&self) -> Result<Delete<'_>, Refusal> {
        let user_id = self.user_id.as_deref();
        if canonical_target(&self.tenant, &self.path, self.mode, user_id).len() > MAX_TARGET_BYTES {
            return Err(Refusal::TargetTooLong);
        }
        let path = DeletePath::try_from(self.path.clone()).map_err(Refusal::InvalidPath)?;
        let user_id = user_id.map(UserId::try_from).transpose();
        let user_id = user_id.map_err(|_| Refusal::InvalidQuery(QueryFault::UserId))?;
        Ok(Delete { tenant: TenantRef::Named(&self.tenant), path, mode: self.mode, user_id })
    }
}

impl Policy {
    /// Decides a delete that nobody sent, as [`Policy::decide`] decides one that came.
    #[must_use]
    pub fn decide_hypothetical(
        &self,
        (callers, tenants): (&Callers, &Tenants),
        halts: &Halts,
        asked: &Hypothetical,
        now: SystemTime,
    ) -> Decision {
        let known = asked.delete().and_then(|delete| {
            let unknown = Refusal::Unauthenticated(CredentialFault::Unknown);
            let caller = callers.get(&asked.caller).ok_or(unknown)?;
            Ok((caller, delete))
        });
        match known {
            Ok((caller, delete)) => self.decide(tenants, halts, caller, delete, now),
            Err(refusal) => Decision { outcome: Err(refusal), unheeded: Unheeded::new() },
        }
    }
}
