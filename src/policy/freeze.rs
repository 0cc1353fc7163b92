//! What is frozen: by the policy, or because of what SMH did.

use std::collections::{BTreeMap, BTreeSet};

use crate::directory::{Caller, Tenant};
use crate::ids::{CallerName, FreezeReason, TenantName};
use crate::refusal::{FreezeFault, Frozen, Refusal};

/// One entry of `freeze`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Freeze {
    /// What the operator wrote to it, for callers.
    pub reason: Option<FreezeReason>,
    /// Where it stands, from 1.
    pub line: u32,
}

/// `freeze` of policy.yaml.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Freezes {
    /// Everything.
    pub everything: Option<Freeze>,
    /// What these callers ask for.
    pub callers: BTreeMap<CallerName, Freeze>,
    /// What is asked for in these tenants.
    pub tenants: BTreeMap<TenantName, Freeze>,
}

impl Freezes {
    pub(super) fn check(&self, caller: &Caller, tenant: &Tenant) -> Result<(), Refusal> {
        match self.of(caller, tenant) {
            None => Ok(()),
            Some((what, Freeze { reason, .. })) => {
                Err(Refusal::Frozen(FreezeFault::Operator { what, reason: reason.clone() }))
            }
        }
    }

    /// The entry that freezes what a caller asks for in a tenant: the widest, if there are several.
    #[must_use]
    pub fn of(&self, caller: &Caller, tenant: &Tenant) -> Option<(Frozen, &Freeze)> {
        let everything = self.everything.as_ref().map(|freeze| (Frozen::Everything, freeze));
        let of_caller = || Some((Frozen::Caller, self.callers.get(&caller.name)?));
        let of_tenant = || Some((Frozen::Tenant, self.tenants.get(&tenant.name)?));
        everything.or_else(of_caller).or_else(of_tenant)
    }
}

/// Tenants whose deletes were halted because of what SMH did, until an operator looks. Cheap to ask
/// while there are none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Halts(BTreeSet<TenantName>);

impl Halts {
    /// These, and one more: a tenant whose recycle bin turned out to be off.
    #[must_use]
    pub fn and(&self, tenant: &TenantName) -> Self {
        let mut more = self.clone();
        more.0.insert(tenant.clone());
        more
    }

    /// The tenants, by name.
    pub fn iter(&self) -> impl Iterator<Item = &TenantName> {
        self.0.iter()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this tenant was halted.
    #[must_use]
    pub fn contains(&self, tenant: &TenantName) -> bool {
        self.0.contains(tenant)
    }

    pub(super) fn check(&self, tenant: &TenantName) -> Result<(), Refusal> {
        if self.contains(tenant) {
            return Err(Refusal::Frozen(FreezeFault::Irreversible));
        }
        Ok(())
    }
}
