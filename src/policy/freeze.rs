//! What is frozen: tenants whose deletes were halted, until an operator looks.

use std::collections::BTreeSet;

use crate::ids::TenantName;
use crate::refusal::{FreezeFault, Refusal};

/// The freezes in force. Cheap to ask while there are none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Freezes {
    halted: BTreeSet<TenantName>,
}

impl Freezes {
    /// These freezes, and one more: a tenant whose recycle bin turned out to be off.
    #[must_use]
    pub fn and_halted(&self, tenant: &TenantName) -> Self {
        let mut more = self.clone();
        more.halted.insert(tenant.clone());
        more
    }

    /// The tenants that were halted, by name.
    pub fn halted(&self) -> impl Iterator<Item = &TenantName> {
        self.halted.iter()
    }

    /// Whether nothing is frozen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.halted.is_empty()
    }

    /// Whether this tenant was halted.
    #[must_use]
    pub fn is_halted(&self, tenant: &TenantName) -> bool {
        self.halted.contains(tenant)
    }

    pub(super) fn check(&self, tenant: &TenantName) -> Result<(), Refusal> {
        if self.is_halted(tenant) {
            return Err(Refusal::Frozen(FreezeFault::Irreversible));
        }
        Ok(())
    }
}
