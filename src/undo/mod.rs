//! Brings back what was deleted: from journals to a plan, and from the plan out of SMH's recycle bin.
//!
//! Journals say what was deleted (`gather`), the bins what is still there (`bin`), an undo's own journal
//! what was brought back before (`ledger`). From these `plan` decides, without any I/O. `restore` does it.

mod bin;
mod files;
mod gather;
mod ledger;
mod order;
mod plan;
mod restore;
mod seen;
mod select;
mod smh;

pub use self::bin::{View, look};
pub use self::files::{Unreadable, read_files, read_journal};
pub use self::gather::{Deleted, Gathered, Gatherer, Notes, What};
pub use self::ledger::{Done, Ledger, LedgerError};
pub use self::plan::{Facts, Fate, Item, Plan, Why, plan};
pub use self::restore::{Outcome, Progress, Restored, restore};
pub use self::seen::Missing;
pub use self::select::Selection;
pub use self::smh::{NotOpen, Smh};

use std::fmt;

use crate::ids::{LibraryId, SpaceId};

/// A space of a library.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Space {
    /// The library.
    pub library: LibraryId,
    /// The space.
    pub space: SpaceId,
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.library, self.space)
    }
}

/// What a restore does when something else is where the file was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnConflict {
    /// The file comes back under another name.
    Rename,
    /// It does not come back, and that is told.
    Ask,
    /// What is there is replaced.
    Overwrite,
}

impl OnConflict {
    /// SMH's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rename => "rename",
            Self::Ask => "ask",
            Self::Overwrite => "overwrite",
        }
    }
}

/// How files come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct How {
    /// With something else in the way.
    pub on_conflict: OnConflict,
    /// With the folder gone.
    pub on_lost_parent: OnLostParent,
}

/// Where a file comes back whose folder is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnLostParent {
    /// Nowhere, and that is told.
    Refuse,
    /// In the root of its space.
    ToRoot,
}

impl OnLostParent {
    /// SMH's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "originalPath",
            Self::ToRoot => "fallbackToRoot",
        }
    }
}
