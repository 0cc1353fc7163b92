//! Removing files and directories, shared by the single and the batch delete.

use crate::simulator::behaviour::BadPermanent;
use crate::simulator::errors::{ApiError, Code};
use crate::simulator::library::RecycleBin;
use crate::simulator::operations::Visit;
use crate::simulator::record::Effect;
use crate::simulator::space::{Content, RecycledEntry, Space};

/// What a request asks for; what happens depends on the recycle bin too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permanence {
    Recyclable,
    Permanent,
}

/// What is to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Recycled(u64),
    Destroyed,
}

impl Permanence {
    /// Reads the `permanent` parameter of a single delete.
    pub(super) fn of(visit: &Visit<'_>) -> Result<Self, ApiError> {
        match (visit.asked.query.value("permanent"), visit.world.behaviour.bad_permanent) {
            (None | Some("0"), _) => Ok(Self::Recyclable),
            (Some("1"), _) => Ok(Self::Permanent),
            (Some(_), BadPermanent::TreatAsZero) => Ok(Self::Recyclable),
            (Some(_), BadPermanent::Refuse) => Err(Code::ParamInvalid.into()),
        }
    }
}

impl Kind {
    /// The grants that allow a plain and a permanent delete.
    fn grants(self) -> (&'static str, &'static str) {
        match self {
            Self::File => ("delete_file", "delete_file_permanent"),
            Self::Directory => ("delete_directory", "delete_directory_permanent"),
        }
    }

    fn missing(self) -> Code {
        match self {
            Self::File => Code::FileNotFound,
            Self::Directory => Code::DirectoryNotFound,
        }
    }

    fn take(self, space: &mut Space, path: &str) -> Option<Content> {
        match self {
            Self::File => space.take_file(path),
            Self::Directory => space.take_directory(path),
        }
    }
}

impl Fate {
    pub(super) fn effect(self, path: &str) -> Effect {
        match self {
            Self::Recycled(id) => Effect::Recycled { path: path.to_owned(), id },
            Self::Destroyed => Effect::Destroyed { path: path.to_owned() },
        }
    }
}

/// Removes what a path names: checks the grant, then that it is there.
///
/// With the recycle bin off, the plain grant is enough to destroy: that is how SMH has it.
pub(super) fn remove(
    visit: &mut Visit<'_>,
    path: &str,
    kind: Kind,
    permanence: Permanence,
) -> Result<Fate, ApiError> {
    let (plain, permanent) = kind.grants();
    let bin = visit.world.library(visit.library)?.recycle_bin;
    match (bin, permanence) {
        (RecycleBin::Off, _) => {
            visit.access.require_in_space(&[plain])?;
            kind.take(visit.space_mut()?, path).ok_or(kind.missing())?;
            Ok(Fate::Destroyed)
        }
        (RecycleBin::On { .. }, Permanence::Permanent) => {
            visit.access.require_in_space(&[permanent])?;
            kind.take(visit.space_mut()?, path).ok_or(kind.missing())?;
            Ok(Fate::Destroyed)
        }
        (RecycleBin::On { retention_days }, Permanence::Recyclable) => {
            let rule = visit.world.behaviour.soft_delete_grants;
            visit.access.require_soft_delete(plain, permanent, rule)?;
            let content = kind.take(visit.space_mut()?, path).ok_or(kind.missing())?;
            recycle(visit, path, content, retention_days).map(Fate::Recycled)
        }
    }
}

fn recycle(
    visit: &mut Visit<'_>,
    path: &str,
    content: Content,
    retention_days: u32,
) -> Result<u64, ApiError> {
    let id = visit.world.next_recycled_id();
    let entry = RecycledEntry {
        original_path: path.to_owned(),
        content,
        removed: visit.asked.now,
        removed_by: visit.access.acting_user(visit.asked.query.text("user_id")),
        expires: None,
    };
    let space = visit.space_mut()?;
    let days = space.retention_days(retention_days);
    space.recycle(id, entry, days);
    Ok(id)
}
