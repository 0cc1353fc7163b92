//! What is frozen: by the policy, or because of what SMH did.

use std::collections::{BTreeMap, BTreeSet};

use crate::directory::{Caller, Tenant};
use crate::ids::{CallerName, FreezeReason, TenantName};
use crate::refusal::{FreezeFault, Frozen, Refusal};

/// `freeze` of policy.yaml.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Freezes {
    /// Everything, and perhaps why.
    pub everything: Option<Option<FreezeReason>>,
    /// What these callers ask for.
    pub callers: BTreeMap<CallerName, Option<FreezeReason>>,
    /// What is asked for in these tenants.
    pub tenants: BTreeMap<TenantName, Option<FreezeReason>>,
}

impl Freezes {
    pub(super) fn check(&self, caller: &Caller, tenant: &Tenant) -> Result<(), Refusal> {
        let frozen = |what, reason: &Option<FreezeReason>| {
            Err(Refusal::Frozen(FreezeFault::Operator { what, reason: reason.clone() }))
        };
        if let Some(reason) = &self.everything {
            return frozen(Frozen::Everything, reason);
        }
        if let Some(reason) = self.callers.get(&caller.name) {
            return frozen(Frozen::Caller, reason);
        }
        if let Some(reason) = self.tenants.get(&tenant.name) {
            return frozen(Frozen::Tenant, reason);
        }
        Ok(())
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
