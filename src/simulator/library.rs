//! What a library is made of when it is set up.

use std::fmt;

use serde::Deserialize;

/// A library to simulate.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Library {
    /// The LibraryId, as in `smh0q8nrvsg7t6y6`.
    pub id: String,
    /// The library secret, by which tokens are minted.
    pub secret: String,
    /// Whether deleted files go to the recycle bin.
    #[serde(default)]
    pub recycle_bin: RecycleBin,
    /// Whether it has one space, named `-`, or many.
    #[serde(default)]
    pub tenancy: Tenancy,
}

impl Library {
    /// A library with spaces of its own naming and, as SMH has it by default, no recycle bin.
    pub fn multi_tenant(id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            secret: secret.into(),
            recycle_bin: RecycleBin::Off,
            tenancy: Tenancy::Multi,
        }
    }

    /// A library whose one space is named `-`, and, as SMH has it by default, no recycle bin.
    pub fn single_tenant(id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { tenancy: Tenancy::Single, ..Self::multi_tenant(id, secret) }
    }

    /// The same library with this recycle bin.
    #[must_use]
    pub fn with_recycle_bin(self, recycle_bin: RecycleBin) -> Self {
        Self { recycle_bin, ..self }
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Library")
            .field("id", &self.id)
            .field("secret", &"[redacted]")
            .field("recycle_bin", &self.recycle_bin)
            .field("tenancy", &self.tenancy)
            .finish()
    }
}

/// The recycle bin of a library.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RecycleBin {
    /// Every delete destroys. SMH's default.
    #[default]
    Off,
    /// A delete that is not permanent can be undone.
    On {
        /// Days until an item is removed for good; 0: it stays until removed by hand.
        retention_days: u32,
    },
}

impl RecycleBin {
    /// A recycle bin that keeps its items until they are removed by hand.
    pub const KEEPING: Self = Self::On { retention_days: 0 };
}

/// How many spaces a library has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tenancy {
    /// One, named `-`.
    Single,
    /// Those that are created.
    #[default]
    Multi,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_does_not_print_its_secret() {
        let library = Library::multi_tenant("smh1", "sentinel-secret");

        assert!(!format!("{library:?}").contains("sentinel-secret"));
    }
}
