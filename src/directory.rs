//! Who and where, as configured: callers with their grants, tenants with their spaces, libraries.
//!
//! Nothing here changes after it was built: a reload builds a new directory.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::delete::TenantRef;
use crate::fast_map::FastMap;
use crate::ids::{CallerName, LibraryId, SpaceId, TenantName, UserId};
use crate::origin::Origin;
use crate::refusal::QueryFault;

/// Stands for a name where only equality counts, in the keys of limits.
///
/// The beginning of its SHA-256, so it is the same in every process. Whoever chooses names may find
/// two of their own that fall together, which gains nothing; one that falls together with a given
/// name takes 2^64 attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(NonZeroU64);

impl Fingerprint {
    /// The fingerprint of a name; equal names have equal ones, everywhere and always.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let digest = Sha256::digest(name.as_bytes());
        let first = digest.first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
        Self(NonZeroU64::new(first).unwrap_or(NonZeroU64::MIN))
    }

    /// Not 0.
    pub(crate) fn number(self) -> u64 {
        self.0.get()
    }
}

/// 16 hexadecimal digits.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// As it is displayed.
impl TryFrom<&str> for Fingerprint {
    type Error = ();

    fn try_from(text: &str) -> Result<Self, ()> {
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).ok().filter(|_| digits);
        number.and_then(NonZeroU64::new).map(Self).ok_or(())
    }
}

/// Someone who may ask for deletes.
#[derive(Debug, PartialEq, Eq)]
pub struct Caller {
    /// As gateway.yaml names it.
    pub name: CallerName,
    /// For the keys of limits.
    pub fingerprint: Fingerprint,
    /// The tenants granted to it.
    tenants: Vec<TenantName>,
}

impl Caller {
    /// A caller with its grants.
    #[must_use]
    pub fn new(name: CallerName, mut tenants: Vec<TenantName>) -> Self {
        tenants.sort_unstable();
        tenants.dedup();
        Self { fingerprint: Fingerprint::of(name.as_str()), name, tenants }
    }

    /// Whether this tenant is granted.
    #[must_use]
    pub fn may_use(&self, tenant: &TenantName) -> bool {
        self.tenants.binary_search(tenant).is_ok()
    }

    /// The tenants granted, in the order of their names.
    #[must_use]
    pub fn tenants(&self) -> &[TenantName] {
        &self.tenants
    }
}

/// What becomes of the `user_id` that a caller may send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserIdRule {
    /// Sent on as it came.
    Forward,
    /// Refused.
    Forbid,
    /// Always this one; a caller who sends another is refused.
    Fixed(UserId),
}

impl UserIdRule {
    /// What SMH is told, of what the caller sent.
    ///
    /// # Errors
    /// [`QueryFault::UserIdForbidden`] where the caller may not say that.
    pub fn apply(&self, given: Option<UserId>) -> Result<Option<UserId>, QueryFault> {
        match (self, given) {
            (Self::Forward, given) => Ok(given),
            (Self::Forbid, None) => Ok(None),
            (Self::Forbid, Some(_)) => Err(QueryFault::UserIdForbidden),
            (Self::Fixed(fixed), Some(given)) if given != *fixed => {
                Err(QueryFault::UserIdForbidden)
            }
            (Self::Fixed(fixed), _) => Ok(Some(fixed.clone())),
        }
    }
}

/// Whether a library keeps what is deleted (smh-api.md 5.1): what the operator says it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecycleBin {
    /// A delete without `permanent=1` can be undone.
    On,
    /// Every delete is final, whatever it asks for.
    Off,
}

impl RecycleBin {
    /// The word for it in gateway.yaml.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
        }
    }
}

/// An SMH library.
#[derive(Debug, PartialEq, Eq)]
pub struct Library {
    /// Its id at SMH.
    pub id: LibraryId,
    /// For the keys of limits.
    pub fingerprint: Fingerprint,
    /// Where it is reached.
    pub origin: Origin,
    /// What the operator expects of it.
    pub recycle_bin: RecycleBin,
}

impl Library {
    /// A library, to be shared by its tenants.
    #[must_use]
    pub fn new(id: LibraryId, origin: Origin, recycle_bin: RecycleBin) -> Self {
        Self { fingerprint: Fingerprint::of(id.as_str()), id, origin, recycle_bin }
    }
}

/// A space of a library, under the name that callers use.
#[derive(Debug, PartialEq, Eq)]
pub struct Tenant {
    /// As gateway.yaml names it and callers write it.
    pub name: TenantName,
    /// For the keys of limits.
    pub fingerprint: Fingerprint,
    /// Where its files are.
    pub library: Arc<Library>,
    /// Where in the library.
    pub space: SpaceId,
    /// What becomes of a caller's `user_id`.
    pub user_id: UserIdRule,
}

impl Tenant {
    /// A tenant of a library.
    #[must_use]
    pub fn new(
        name: TenantName,
        library: Arc<Library>,
        space: SpaceId,
        user_id: UserIdRule,
    ) -> Self {
        Self { fingerprint: Fingerprint::of(name.as_str()), name, library, space, user_id }
    }
}

/// The callers, by name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Callers(FastMap<CallerName, Arc<Caller>>);

impl Callers {
    /// The caller of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Caller>> {
        self.0.get(name)
    }

    /// Every caller, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Caller>> {
        self.0.values()
    }
}

impl FromIterator<Arc<Caller>> for Callers {
    fn from_iter<I: IntoIterator<Item = Arc<Caller>>>(callers: I) -> Self {
        Self(callers.into_iter().map(|caller| (caller.name.clone(), caller)).collect())
    }
}

/// The tenants, by name and by where their files are.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tenants {
    by_name: FastMap<TenantName, Arc<Tenant>>,
    /// Two maps, so that borrowed ids find a tenant. `None` where one space is two tenants': nobody
    /// could say by whose rules a delete is judged.
    by_space: FastMap<LibraryId, FastMap<SpaceId, Option<Arc<Tenant>>>>,
}

impl Tenants {
    /// The tenant that a caller names and holds. `None` tells no difference between a tenant that
    /// does not exist and one that is not granted.
    #[must_use]
    pub fn granted(&self, caller: &Caller, tenant: TenantRef<'_>) -> Option<&Arc<Tenant>> {
        let found = match tenant {
            TenantRef::Named(name) => self.by_name.get(name),
            TenantRef::Space { library, space } => self.by_space.get(library)?.get(space)?.as_ref(),
        };
        found.filter(|tenant| caller.may_use(&tenant.name))
    }

    /// Every tenant, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Tenant>> {
        self.by_name.values()
    }
}

impl FromIterator<Arc<Tenant>> for Tenants {
    fn from_iter<I: IntoIterator<Item = Arc<Tenant>>>(tenants: I) -> Self {
        let mut all = Self::default();
        for tenant in tenants {
            let spaces = all.by_space.entry(tenant.library.id.clone()).or_default();
            spaces
                .entry(tenant.space.clone())
                .and_modify(|held| *held = None)
                .or_insert_with(|| Some(Arc::clone(&tenant)));
            all.by_name.insert(tenant.name.clone(), tenant);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenants(listed: &[(&str, &str, &str)]) -> Tenants {
        let tenant = |&(name, library, space): &(&str, &str, &str)| {
            let origin = Origin::try_from("https://smh.test").unwrap();
            let library = LibraryId::try_from(library).unwrap();
            let library = Arc::new(Library::new(library, origin, RecycleBin::On));
            let name = TenantName::try_from(name).unwrap();
            let space = SpaceId::try_from(space).unwrap();
            Arc::new(Tenant::new(name, library, space, UserIdRule::Forward))
        };
        listed.iter().map(tenant).collect()
    }

    fn caller(granted: &[&str]) -> Caller {
        let granted = granted.iter().map(|&tenant| TenantName::try_from(tenant).unwrap());
        Caller::new(CallerName::try_from("app").unwrap(), granted.collect())
    }

    #[test]
    fn a_tenant_is_found_by_its_name_and_by_its_space() {
        let tenants =
            tenants(&[("one", "lib1", "-"), ("two", "lib2", "-"), ("three", "lib2", "space3")]);
        let app = caller(&["one", "three"]);
        for (library, space, wanted) in [
            ("lib1", "-", Some("one")),
            ("lib2", "space3", Some("three")),
            // Not granted.
            ("lib2", "-", None),
            // None such.
            ("lib1", "space3", None),
            ("lib3", "-", None),
            ("Lib1", "-", None),
            ("lib%31", "-", None),
            ("lib1", "%2D", None),
            ("", "", None),
        ] {
            let found = tenants.granted(&app, TenantRef::Space { library, space });
            assert_eq!(found.map(|tenant| tenant.name.as_str()), wanted, "{library} {space}");
        }
        for (name, wanted) in [("one", true), ("three", true), ("two", false), ("four", false)] {
            assert_eq!(tenants.granted(&app, TenantRef::Named(name)).is_some(), wanted, "{name}");
        }
    }

    #[test]
    fn a_space_of_two_tenants_is_nobodys() {
        let tenants = tenants(&[("one", "lib", "-"), ("two", "lib", "-"), ("three", "lib", "-")]);
        let space = TenantRef::Space { library: "lib", space: "-" };
        for granted in [&["one"][..], &["two"], &["three"], &["one", "two", "three"]] {
            assert_eq!(tenants.granted(&caller(granted), space), None, "{granted:?}");
        }
        assert!(tenants.granted(&caller(&["two"]), TenantRef::Named("two")).is_some());
    }
}
