//! One request that restores, in the words of SMH's API, and what its answer says of each file.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::undo::smh::{Smh, Trouble};
use crate::undo::{How, Space};

/// How many files one request restores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Batch,
    Alone,
}

impl Way {
    pub(super) const fn most(self) -> usize {
        match self {
            // SMH takes more; but what is lost with an answer is looked up file by file.
            Self::Batch => 100,
            Self::Alone => 1,
        }
    }
}

/// What is to be restored.
pub(super) struct Order<'o> {
    pub(super) space: &'o Space,
    pub(super) ids: &'o [u64],
    pub(super) how: How,
    pub(super) way: Way,
}

/// What an answer says of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// Where it is, if that is told.
    Restored(Option<String>),
    /// SMH did nothing, and may do it later.
    Later,
    /// SMH may have done it.
    Unclear,
    Refused {
        status: u16,
        code: String,
    },
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ItemResult {
    status: Option<u16>,
    code: Option<String>,
    recycled_item_id: Option<u64>,
    path: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Results {
    result: Vec<ItemResult>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Accepted {
    task_id: Value,
}

#[derive(Deserialize)]
struct Task {
    status: u16,
    result: Option<Value>,
}

/// Sends it once, and waits for the task that it may become.
pub(super) async fn send(
    smh: &mut Smh<'_>,
    order: &Order<'_>,
) -> Result<HashMap<u64, Said>, Trouble> {
    let Order { space, ids, how, way } = order;
    let place = format!("/api/v1/recycled/{}/{}", space.library, space.space);
    let strategies = format!(
        "?restore&conflict_resolution_strategy={}&restore_path_strategy={}",
        how.on_conflict.as_str(),
        how.on_lost_parent.as_str()
    );
    let (target, body) = match (way, ids) {
        (Way::Alone, [id]) => (format!("{place}/{id}{strategies}"), Bytes::new()),
        _ => {
            let ids = serde_json::to_vec(ids).map_err(|_| unreadable())?;
            (format!("{place}{strategies}"), Bytes::from(ids))
        }
    };
    let (status, body) = smh.change(space, &target, body).await?;
    let results = if status == StatusCode::ACCEPTED {
        let accepted: Accepted = serde_json::from_slice(&body).map_err(|_| unreadable())?;
        finished(smh, space, &accepted.task_id).await?
    } else if *way == Way::Alone {
        vec![serde_json::from_slice(&body).map_err(|_| unreadable())?]
    } else {
        serde_json::from_slice::<Results>(&body).map_err(|_| unreadable())?.result
    };
    Ok(by_id(results, ids, *way))
}

/// Whether an item is in the bin.
pub(super) async fn is_still_there(
    smh: &mut Smh<'_>,
    space: &Space,
    id: u64,
) -> Result<bool, Trouble> {
    let target = format!("/api/v1/recycled/{}/{}/{id}?info", space.library, space.space);
    match smh.read(space, &target).await {
        Ok(_) => Ok(true),
        Err(Trouble::Refused { code, .. }) if code == "RecycledItemNotFound" => Ok(false),
        Err(trouble) => Err(trouble),
    }
}

/// Waits for a task (smh-api.md 6.3).
async fn finished(
    smh: &mut Smh<'_>,
    space: &Space,
    id: &Value,
) -> Result<Vec<ItemResult>, Trouble> {
    let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(unreadable());
    }
    let target = format!("/api/v1/task/{}/{}/{id}", space.library, space.space);
    let until = Instant::now() + TASK_PATIENCE;
    let mut pause = FIRST_POLL;
    while Instant::now() < until {
        sleep(pause).await;
        pause = (pause * 2).min(POLL);
        // Whatever is wrong with this question, the task goes on.
        let answer = smh.read(space, &target).await.map_err(|e| Trouble::Unclear(e.to_string()))?;
        let tasks: Vec<Task> = serde_json::from_slice(&answer).map_err(|_| unreadable())?;
        let [Task { status, result }] = tasks.as_slice() else { return Err(unreadable()) };
        match (status, result) {
            (202, _) => {}
            (200..300, Some(result)) => {
                // A list, or the object that a batch has as its answer.
                let list = result.get("result").unwrap_or(result);
                return Vec::deserialize(list).map_err(|_| unreadable());
            }
            (200..300, None) => return Ok(Vec::new()),
            _ => return Err(Trouble::Unclear(format!("the task {id} failed with {status}"))),
        }
    }
    Err(Trouble::Unclear(format!("the task {id} did not end within {TASK_PATIENCE:?}")))
}

/// By what the results name; where they name nothing, by their places. Of two for one file the better one
/// counts: it says what was done, and the other that there was nothing left to do.
fn by_id(results: Vec<ItemResult>, ids: &[u64], way: Way) -> HashMap<u64, Said> {
    let in_places = results.len() == ids.len();
    let mut said = HashMap::with_capacity(ids.len());
    for (place, result) in results.into_iter().enumerate() {
        let named = match (result.recycled_item_id, way) {
            (Some(id), Way::Batch) => Some(id),
            (None, _) | (_, Way::Alone) => ids.get(place).copied().filter(|_| in_places),
        };
        let Some(id) = named else { continue };
        let new = result.said(way);
        match said.get(&id) {
            Some(Said::Restored(_)) => {}
            Some(Said::Later | Said::Unclear | Said::Refused { .. }) | None => {
                said.insert(id, new);
            }
        }
    }
    said
}

impl ItemResult {
    fn said(self, way: Way) -> Said {
        let code = self.code.unwrap_or_default();
        let is_code = |code: &str| {
            (1..=64).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric())
        };
        let code = if is_code(&code) { code } else { "without a code".to_owned() };
        match (self.status, way) {
            (Some(200..300), _) => Said::Restored(as_path(self.path)),
            (None, Way::Alone) => match as_path(self.path) {
                // Nothing else of such an answer says that it is one.
                None => Said::Unclear,
                path => Said::Restored(path),
            },
            (Some(429), _) => Said::Later,
            (Some(409), _) if code == "PathConflict" => Said::Later,
            (Some(408 | 499 | 500..) | None, _) => Said::Unclear,
            (Some(status), _) => Said::Refused { status, code },
        }
    }
}

fn as_path(path: Option<Vec<String>>) -> Option<String> {
    path.map(|names| names.join("/")).filter(|path| (1..=MOST_PATH_BYTES).contains(&path.len()))
}

fn unreadable() -> Trouble {
    Trouble::Unclear("the answer is none of SMH's".to_owned())
}

/// Longer than any path that a gateway takes, in bytes.
const MOST_PATH_BYTES: usize = 8192;

/// SMH's own clients ask every three seconds.
const POLL: Duration = Duration::from_secs(3);
const FIRST_POLL: Duration = Duration::from_millis(250);

/// What is not done by then is looked up file by file.
const TASK_PATIENCE: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    fn said(results: &str, ids: &[u64], way: Way) -> Vec<(u64, Said)> {
        let results = serde_json::from_str(results).unwrap();
        let mut said: Vec<_> = by_id(results, ids, way).into_iter().collect();
        said.sort_by_key(|(id, _)| *id);
        said
    }

    fn at(path: &str) -> Said {
        Said::Restored(Some(path.to_owned()))
    }

    fn refused(status: u16, code: &str) -> Said {
        Said::Refused { status, code: code.to_owned() }
    }

    #[test]
    fn each_result_is_told_apart() {
        let gone = "RecycledItemNotFound";
        for (results, wanted) in [
            (r#"[{"status":200,"recycledItemId":1,"path":["a","b"]}]"#, vec![(1, at("a/b"))]),
            (r#"[{"status":200,"recycledItemId":1}]"#, vec![(1, Said::Restored(None))]),
            (
                r#"[{"status":404,"code":"RecycledItemNotFound","recycledItemId":2}]"#,
                vec![(2, refused(404, gone))],
            ),
            (
                r#"[{"status":429,"code":"RateLimitExceeded","recycledItemId":1}]"#,
                vec![(1, Said::Later)],
            ),
            (
                r#"[{"status":409,"code":"PathConflict","recycledItemId":1}]"#,
                vec![(1, Said::Later)],
            ),
            (r#"[{"status":500,"recycledItemId":1}]"#, vec![(1, Said::Unclear)]),
            (r#"[{"recycledItemId":1}]"#, vec![(1, Said::Unclear)]),
            (
                r#"[{"status":400,"code":"a b\n","recycledItemId":1}]"#,
                vec![(1, refused(400, "without a code"))],
            ),
            // Twice: what was done counts, whichever comes first.
            (
                r#"[{"status":404,"code":"RecycledItemNotFound","recycledItemId":1},{"status":200,"recycledItemId":1,"path":["a"]},
                    {"status":404,"code":"RecycledItemNotFound","recycledItemId":1}]"#,
                vec![(1, at("a"))],
            ),
            // Without names they stand in their order, unless one is missing.
            (
                r#"[{"status":200,"path":["a"]},{"status":200,"path":["b"]}]"#,
                vec![(1, at("a")), (2, at("b"))],
            ),
            (r#"[{"status":200,"path":["a"]}]"#, vec![]),
            (r#"[]"#, vec![]),
        ] {
            assert_eq!(said(results, &[1, 2], Way::Batch), wanted, "{results}");
        }
    }

    #[test]
    fn one_on_its_own_says_a_path_and_nothing_else() {
        assert_eq!(said(r#"[{"path":["a"]}]"#, &[7], Way::Alone), [(7, at("a"))]);
        assert_eq!(said(r#"[{}]"#, &[7], Way::Alone), [(7, Said::Unclear)]);
        let long = format!(r#"[{{"path":["{}"]}}]"#, "x".repeat(9000));
        assert_eq!(said(&long, &[7], Way::Alone), [(7, Said::Unclear)]);
    }
}
