//! All that the simulator knows: libraries, spaces, tokens, tasks.

use std::collections::{BTreeMap, VecDeque};

use crate::simulator::behaviour::Behaviour;
use crate::simulator::errors::{ApiError, Code};
use crate::simulator::library::{Library, RecycleBin, Tenancy};
use crate::simulator::operations::ItemResult;
use crate::simulator::space::{Full, Space};
use crate::simulator::tokens::TokenStore;

/// The state behind SMH's surface.
#[derive(Default)]
pub(crate) struct World {
    libraries: BTreeMap<String, LibraryState>,
    pub(crate) tokens: TokenStore,
    pub(crate) tasks: Tasks,
    pub(crate) behaviour: Behaviour,
    last_recycled_id: u64,
}

/// One library.
pub(crate) struct LibraryState {
    pub(crate) secret: String,
    pub(crate) recycle_bin: RecycleBin,
    pub(crate) tenancy: Tenancy,
    spaces: BTreeMap<String, Space>,
}

/// Why a set-up call changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotSetUp {
    NoSuchLibrary,
    Full,
}

impl World {
    /// Adds a library, or replaces one of the same id with all that is in it.
    pub(crate) fn add_library(&mut self, library: Library) -> Result<(), NotSetUp> {
        if self.libraries.len() >= MAX_LIBRARIES {
            return Err(NotSetUp::Full);
        }
        let mut spaces = BTreeMap::new();
        if library.tenancy == Tenancy::Single {
            spaces.insert(SINGLE_SPACE.to_owned(), Space::default());
        }
        let Library { id, secret, recycle_bin, tenancy } = library;
        self.libraries.insert(id, LibraryState { secret, recycle_bin, tenancy, spaces });
        Ok(())
    }

    pub(crate) fn set_recycle_bin(&mut self, id: &str, bin: RecycleBin) -> Result<(), NotSetUp> {
        let library = self.libraries.get_mut(id).ok_or(NotSetUp::NoSuchLibrary)?;
        library.recycle_bin = bin;
        Ok(())
    }

    pub(crate) fn set_secret(&mut self, id: &str, secret: &str) -> Result<(), NotSetUp> {
        let library = self.libraries.get_mut(id).ok_or(NotSetUp::NoSuchLibrary)?;
        library.secret = secret.to_owned();
        Ok(())
    }

    /// The space of this name, made if it is missing.
    pub(crate) fn ensure_space(&mut self, id: &str, name: &str) -> Result<&mut Space, NotSetUp> {
        let library = self.libraries.get_mut(id).ok_or(NotSetUp::NoSuchLibrary)?;
        library.ensure_space(name).map_err(|Full| NotSetUp::Full)
    }

    /// The library, or SMH's refusal.
    pub(crate) fn library(&self, id: &str) -> Result<&LibraryState, ApiError> {
        self.libraries.get(id).ok_or_else(|| Code::LibraryNotFound.into())
    }

    pub(crate) fn library_mut(&mut self, id: &str) -> Result<&mut LibraryState, ApiError> {
        self.libraries.get_mut(id).ok_or_else(|| Code::LibraryNotFound.into())
    }

    /// The space, or SMH's refusal.
    pub(crate) fn space(&self, library: &str, space: &str) -> Result<&Space, ApiError> {
        self.library(library)?.spaces.get(space).ok_or_else(|| Code::SpaceNotFound.into())
    }

    pub(crate) fn space_mut(&mut self, library: &str, space: &str) -> Result<&mut Space, ApiError> {
        let library = self.library_mut(library)?;
        library.spaces.get_mut(space).ok_or_else(|| Code::SpaceNotFound.into())
    }

    /// An id that no recycled item had before.
    pub(crate) fn next_recycled_id(&mut self) -> u64 {
        self.last_recycled_id = self.last_recycled_id.saturating_add(1);
        self.last_recycled_id
    }

    /// Makes later ids larger than `floor`, if they are not yet.
    pub(crate) fn raise_recycled_ids(&mut self, floor: u64) {
        self.last_recycled_id = self.last_recycled_id.max(floor);
    }

    /// Every string that must not be shown, for redaction.
    pub(crate) fn library_secrets(&self) -> impl Iterator<Item = &str> {
        self.libraries.values().map(|library| library.secret.as_str())
    }
}

impl LibraryState {
    pub(crate) fn ensure_space(&mut self, name: &str) -> Result<&mut Space, Full> {
        if !self.spaces.contains_key(name) && self.spaces.len() >= MAX_SPACES {
            return Err(Full);
        }
        Ok(self.spaces.entry(name.to_owned()).or_default())
    }

    pub(crate) fn space_names(&self) -> impl Iterator<Item = &String> {
        self.spaces.keys()
    }

    pub(crate) fn remove_space(&mut self, name: &str) -> Option<Space> {
        self.spaces.remove(name)
    }
}

/// What became of an asynchronous batch. The simulator does the work at once and tells it when
/// asked.
pub(crate) struct Task {
    pub(crate) id: u64,
    pub(crate) library: String,
    pub(crate) space: String,
    pub(crate) results: Vec<ItemResult>,
}

/// The newest tasks.
#[derive(Default)]
pub(crate) struct Tasks {
    newest: VecDeque<Task>,
    last_id: u64,
}

impl Tasks {
    /// Keeps the results of a batch; the id of its task.
    pub(crate) fn add(&mut self, library: &str, space: &str, results: Vec<ItemResult>) -> u64 {
        self.last_id = self.last_id.saturating_add(1);
        if self.newest.len() >= MAX_TASKS {
            self.newest.pop_front();
        }
        self.newest.push_back(Task {
            id: self.last_id,
            library: library.to_owned(),
            space: space.to_owned(),
            results,
        });
        self.last_id
    }

    /// A task of this library, and of this space if one is named.
    pub(crate) fn find(&self, library: &str, space: Option<&str>, id: u64) -> Option<&Task> {
        self.newest.iter().find(|task| {
            task.id == id
                && task.library == library
                && space.is_none_or(|space| task.space == space)
        })
    }
}

/// The name of the one space of a single-tenant library.
pub(crate) const SINGLE_SPACE: &str = "-";

/// These bound what callers of the control interface, and clients that create spaces, can make the
/// simulator keep.
const MAX_LIBRARIES: usize = 1000;
const MAX_SPACES: usize = 10_000;
const MAX_TASKS: usize = 1000;
