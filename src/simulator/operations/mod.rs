//! What SMH's operations do: from a request that passed the common checks to its outcome.

mod batch;
mod file;
mod recycled;
mod removal;
mod space;
mod token;

use serde::de::DeserializeOwned;

use crate::simulator::access::{Access, Credential};
use crate::simulator::answer::Outcome;
use crate::simulator::clock::Moment;
use crate::simulator::errors::{ApiError, Code};
use crate::simulator::routes::{LibraryOperation, Route, SpaceOperation};
use crate::simulator::space::Space;
use crate::simulator::target::Query;
use crate::simulator::world::World;

pub(crate) use batch::{ItemResult, MAX_BATCH_ITEMS};

/// What a request says besides its route.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) query: &'a Query,
    pub(crate) authorization: Option<&'a str>,
    pub(crate) body: &'a [u8],
    pub(crate) now: Moment,
}

/// A request that passed the checks common to all operations on a library or a space.
struct Visit<'a> {
    world: &'a mut World,
    library: &'a str,
    /// Empty for an operation on the library itself.
    space: &'a str,
    access: Access,
    asked: Asked<'a>,
}

/// Does what a request asks, or says why not. The checks come in the order that SMH most likely
/// has: a token, the library, the token's validity, the space, the token's spaces; then, in each
/// operation, parameters, grant, file.
pub(crate) fn perform(
    world: &mut World,
    route: &Route,
    asked: Asked<'_>,
) -> Result<Outcome, ApiError> {
    match route {
        Route::Token(operation) => token::perform(world, operation, asked),
        Route::Library { library, operation } => {
            let access = admit(world, library, asked)?;
            on_library(operation, &mut Visit { world, library, space: "", access, asked })
        }
        Route::Space { library, space, operation } => {
            let access = admit(world, library, asked)?;
            world.space_mut(library, space)?.forget_expired(asked.now);
            access.check_space(space, world.library(library)?.tenancy, &world.behaviour)?;
            on_space(operation, &mut Visit { world, library, space, access, asked })
        }
    }
}

fn admit(world: &mut World, library: &str, asked: Asked<'_>) -> Result<Access, ApiError> {
    let places = world.behaviour.credentials;
    let credential = Credential::find(places, asked.query, asked.authorization)?;
    world.library(library)?;
    credential.verify(world, library, asked.now)
}

fn on_library(operation: &LibraryOperation, visit: &mut Visit<'_>) -> Result<Outcome, ApiError> {
    match operation {
        LibraryOperation::CreateSpace => space::create(visit),
        LibraryOperation::ListSpaces => space::list(visit),
        LibraryOperation::QueryTasks { ids } => batch::query_tasks(visit, None, ids),
    }
}

fn on_space(operation: &SpaceOperation, visit: &mut Visit<'_>) -> Result<Outcome, ApiError> {
    match operation {
        SpaceOperation::DeleteFile { path } => file::delete(visit, path),
        SpaceOperation::AbortUpload { .. } => file::abort_upload(visit),
        SpaceOperation::HeadFile { path } => file::head(visit, path),
        SpaceOperation::DeleteDirectory { path } => file::delete_directory(visit, path),
        SpaceOperation::DeleteBatch => batch::delete(visit),
        SpaceOperation::ListRecycled => recycled::list(visit),
        SpaceOperation::ShowRecycled { id } => recycled::show(visit, id),
        SpaceOperation::RestoreRecycled { id } => recycled::restore(visit, id),
        SpaceOperation::RestoreBatch => batch::restore(visit),
        SpaceOperation::PurgeRecycled { id } => recycled::purge(visit, id),
        SpaceOperation::PurgeBatch => batch::purge(visit),
        SpaceOperation::EmptyRecycleBin => recycled::empty(visit),
        SpaceOperation::SetRetention => recycled::set_retention(visit),
        SpaceOperation::DeleteSpace => space::delete(visit),
        SpaceOperation::QueryTasks { ids } => {
            let space = visit.space;
            batch::query_tasks(visit, Some(space), ids)
        }
    }
}

impl Visit<'_> {
    fn space(&self) -> Result<&Space, ApiError> {
        self.world.space(self.library, self.space)
    }

    fn space_mut(&mut self) -> Result<&mut Space, ApiError> {
        self.world.space_mut(self.library, self.space)
    }

    fn json_body<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        serde_json::from_slice(self.asked.body).map_err(|_| Code::ParamInvalid.into())
    }

    /// A whole number in the query, or its default.
    fn number(&self, name: &str, default: usize) -> Result<usize, ApiError> {
        match self.asked.query.text(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| Code::ParamInvalid.into()),
        }
    }
}

/// A path as SMH answers it: an array of names.
fn names(path: &str) -> Vec<String> {
    path.split('/').map(str::to_owned).collect()
}
