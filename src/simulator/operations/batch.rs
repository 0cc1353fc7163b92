//! Batches of deletes, restores and purges, and the tasks that large ones become.

use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::simulator::answer::{Answer, Outcome};
use crate::simulator::errors::{ApiError, Code};
use crate::simulator::operations::recycled::{Strategies, require_bin};
use crate::simulator::operations::removal::{Fate, Kind, Permanence, remove};
use crate::simulator::operations::{Visit, names};
use crate::simulator::record::Effect;
use crate::simulator::target::comma_separated;

/// What became of one item of a batch.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ItemResult {
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recycled_item_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<Vec<String>>,
}

/// A batch that is done.
#[derive(Default)]
struct Done {
    results: Vec<ItemResult>,
    effects: Vec<Effect>,
}

#[derive(Deserialize)]
struct ToDelete {
    path: String,
    #[serde(default)]
    permanent: bool,
}

#[derive(Serialize)]
struct Results<'a> {
    result: &'a [ItemResult],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Accepted {
    task_id: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TaskState<'a> {
    task_id: u64,
    status: u16,
    result: &'a [ItemResult],
}

pub(super) fn delete(visit: &mut Visit<'_>) -> Result<Outcome, ApiError> {
    let items: Vec<ToDelete> = visit.json_body()?;
    check_size(items.len())?;
    let mut done = Done::default();
    for item in &items {
        let path = item.path.strip_prefix('/').unwrap_or(&item.path);
        match delete_item(visit, path, item.permanent) {
            Ok(fate) => done.removed(path, fate),
            Err(error) => done.failed(&error, None, Some(path)),
        }
    }
    done.outcome(visit)
}

pub(super) fn restore(visit: &mut Visit<'_>) -> Result<Outcome, ApiError> {
    require_bin(visit)?;
    let ids: Vec<u64> = visit.json_body()?;
    check_size(ids.len())?;
    let strategies = Strategies::of(visit)?;
    visit.access.require_in_space(&["restore_recycled"])?;
    let mut done = Done::default();
    for id in ids {
        match strategies.restore(visit, id) {
            Ok(path) => done.restored(path, id),
            Err(error) => done.failed(&error, Some(id), None),
        }
    }
    done.outcome(visit)
}

/// Ids that are not there are passed over: the answer has no room to name them.
pub(super) fn purge(visit: &mut Visit<'_>) -> Result<Outcome, ApiError> {
    require_bin(visit)?;
    let ids: Vec<u64> = visit.json_body()?;
    check_size(ids.len())?;
    visit.access.require_in_space(&["delete_recycled"])?;
    let space = visit.space_mut()?;
    let purged = ids.into_iter().filter(|id| space.purge(*id).is_some());
    let effects = purged.map(|id| Effect::Purged { id }).collect();
    Ok(Outcome { answer: Answer::no_content(), effects })
}

pub(super) fn query_tasks(
    visit: &Visit<'_>,
    space: Option<&str>,
    ids: &str,
) -> Result<Outcome, ApiError> {
    let mut states = Vec::new();
    for id in comma_separated(ids) {
        let id = id.parse().map_err(|_| Code::ParamInvalid)?;
        let found = visit.world.tasks.find(visit.library, space, id);
        let task = found.ok_or(Code::TaskNotFound)?;
        let status = overall(&task.results).as_u16();
        states.push(TaskState { task_id: task.id, status, result: &task.results });
    }
    Ok(Outcome::unchanged(Answer::json(StatusCode::OK, &states)))
}

fn delete_item(visit: &mut Visit<'_>, path: &str, permanent: bool) -> Result<Fate, ApiError> {
    if path.is_empty() {
        return Err(Code::RootDirectoryNotAllowed.into());
    }
    let permanence = if permanent { Permanence::Permanent } else { Permanence::Recyclable };
    let kind = if visit.space()?.has_directory(path) { Kind::Directory } else { Kind::File };
    remove(visit, path, kind, permanence)
}

impl Done {
    fn removed(&mut self, path: &str, fate: Fate) {
        let (status, recycled_item_id) = match fate {
            Fate::Recycled(id) => (200, Some(id)),
            Fate::Destroyed => (204, None),
        };
        let path_names = Some(names(path));
        let (code, message) = (None, None);
        self.results.push(ItemResult { status, code, message, recycled_item_id, path: path_names });
        self.effects.push(fate.effect(path));
    }

    fn restored(&mut self, path: String, id: u64) {
        self.results.push(ItemResult {
            status: 200,
            code: None,
            message: None,
            recycled_item_id: Some(id),
            path: Some(names(&path)),
        });
        self.effects.push(Effect::Restored { path, id });
    }

    fn failed(&mut self, error: &ApiError, id: Option<u64>, path: Option<&str>) {
        self.results.push(ItemResult {
            status: error.status.as_u16(),
            code: Some(error.code.clone()),
            message: Some(error.message()),
            recycled_item_id: id,
            path: path.map(names),
        });
    }

    fn outcome(self, visit: &mut Visit<'_>) -> Result<Outcome, ApiError> {
        let Self { results, effects } = self;
        let answer = if results.len() > visit.world.behaviour.batch_threshold.0 {
            let task_id = visit.world.tasks.add(visit.library, visit.space, results);
            Answer::json(StatusCode::ACCEPTED, &Accepted { task_id })
        } else {
            Answer::json(overall(&results), &Results { result: &results })
        };
        Ok(Outcome { answer, effects })
    }
}

/// 207 as soon as one item failed.
fn overall(results: &[ItemResult]) -> StatusCode {
    let failed = results.iter().any(|item| item.status >= 300);
    if failed { StatusCode::MULTI_STATUS } else { StatusCode::OK }
}

fn check_size(items: usize) -> Result<(), ApiError> {
    match items {
        0 => Err(Code::NoItemsProvided.into()),
        1..=MAX_BATCH_ITEMS => Ok(()),
        _ => Err(Code::TooManyItems.into()),
    }
}

/// The largest batch that SMH's SDKs send.
pub(crate) const MAX_BATCH_ITEMS: usize = 1000;
