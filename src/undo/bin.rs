//! What is in a recycle bin.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::delete::encode_into;
use crate::undo::Space;
use crate::undo::gather::{Deleted, Gathered, What};
use crate::undo::ledger::Done;
use crate::undo::order::is_still_there;
use crate::undo::smh::{Smh, Trouble};

/// What was seen in a bin, as far as it is of use.
#[derive(Debug, Default)]
pub struct View {
    /// The items asked for, and in how many days each is dropped.
    items: HashMap<u64, Option<u64>>,
    /// By path: when it was removed, and what it is called.
    paths: HashMap<String, Vec<(OffsetDateTime, u64)>>,
    /// Everything removed since then was seen; `None`: not even that is known.
    all_since: Option<OffsetDateTime>,
}

impl View {
    /// Whether the item is there, and in how many days the bin drops it, if it does.
    pub(super) fn remaining(&self, id: u64) -> Option<Option<u64>> {
        self.items.get(&id).copied()
    }

    /// What has this path.
    pub(super) fn at(&self, path: &str) -> &[(OffsetDateTime, u64)] {
        self.paths.get(path).map_or(&[], Vec::as_slice)
    }

    /// Whether what was removed at about this time was seen, if it is there.
    pub(super) fn reaches(&self, time: OffsetDateTime) -> bool {
        self.all_since.is_some_and(|since| since <= time.saturating_sub(ABOUT))
    }

    /// With these items.
    #[cfg(test)]
    pub(super) fn of<'i>(
        items: impl Iterator<Item = (u64, &'i str, OffsetDateTime)>,
        all_since: Option<OffsetDateTime>,
    ) -> Self {
        let mut view = Self { all_since, ..Self::default() };
        for (id, path, removed) in items {
            view.items.insert(id, None);
            view.paths.entry(path.to_owned()).or_default().push((removed, id));
        }
        view
    }

    /// Puts an item into it.
    fn add(&mut self, item: &Listed, removed: OffsetDateTime, wanted: &Wanted<'_>) {
        let path = item.original_path.join("/");
        let by_path = wanted.paths.contains(path.as_str());
        if by_path {
            self.paths.entry(path).or_default().push((removed, item.recycled_item_id));
        }
        if by_path || wanted.ids.contains(&item.recycled_item_id) {
            self.items.insert(item.recycled_item_id, item.remaining_time);
        }
    }
}

/// What is looked for.
struct Wanted<'g> {
    ids: HashSet<u64>,
    paths: HashSet<&'g str>,
    /// Nothing older is.
    since: OffsetDateTime,
}

impl<'g> Wanted<'g> {
    fn of(gathered: &'g Gathered, done: &Done, space: &Space) -> Option<Self> {
        let (mut ids, mut paths, mut since) = (HashSet::new(), HashSet::new(), None);
        let here = |one: &&Deleted| one.space == *space;
        for deleted in gathered.deleted.iter().filter(here) {
            let from = match deleted.what {
                What::Recycled(id) if done.restored(space, id).is_some() => continue,
                What::Recycled(id) => {
                    ids.insert(id);
                    deleted.time
                }
                What::Unknown { from, .. } => {
                    paths.insert(deleted.path.as_str());
                    from
                }
                What::UnknownForGood | What::Permanent | What::BinOff => continue,
            };
            since = Some(since.map_or(from, |since: OffsetDateTime| since.min(from)));
        }
        since.map(|since| Self { ids, paths, since: since.saturating_sub(2 * ABOUT) })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    recycled_item_id: u64,
    #[serde(default)]
    original_path: Vec<String>,
    removal_time: Option<String>,
    remaining_time: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listing {
    next_marker: Option<Value>,
    contents: Vec<Listed>,
}

/// Looks through a bin for what was deleted, the newest first, as far back as that goes. `None`: there is
/// nothing to look for. `seen` hears how many items were.
///
/// # Errors
/// Why SMH did not show it, in words.
pub async fn look(
    smh: &mut Smh<'_>,
    space: &Space,
    gathered: &Gathered,
    done: &Done,
    seen: &mut dyn FnMut(usize),
) -> Result<Option<View>, String> {
    let Some(wanted) = Wanted::of(gathered, done, space) else { return Ok(None) };
    let mut view = View::default();
    let (mut marker, mut ids, mut before) = (None, HashSet::new(), None);
    for _ in 0..MOST_PAGES {
        let listing = page(smh, space, marker.as_deref()).await?;
        for item in &listing.contents {
            // What is deleted meanwhile moves the others onto the next page.
            if !ids.insert(item.recycled_item_id) {
                continue;
            }
            let removed = item.removal_time.as_deref();
            let removed = removed.and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
            let removed = removed.ok_or("SMH's list of the recycle bin says no times")?;
            if before.is_some_and(|before| removed > before) {
                // What is behind it could be anything: nothing is concluded from what is missing.
                return Ok(Some(View { all_since: None, ..view }));
            }
            before = Some(removed);
            view.add(item, removed, &wanted);
        }
        seen(ids.len());
        let next = listing.next_marker.as_ref().and_then(text_of);
        if next.is_none() || next == marker || listing.contents.is_empty() {
            view.all_since = Some(OffsetDateTime::UNIX_EPOCH);
            break;
        }
        view.all_since = before;
        if before.is_some_and(|before| before < wanted.since) {
            break;
        }
        marker = next;
    }
    confirm(smh, space, &wanted, &mut view).await.map_err(|trouble| trouble.to_string())?;
    Ok(Some(view))
}

/// What somebody restores or purges meanwhile moves others onto a page that was read already. So some of
/// what is missing is asked for: if it is there, nothing is concluded from what is missing.
async fn confirm(
    smh: &mut Smh<'_>,
    space: &Space,
    wanted: &Wanted<'_>,
    view: &mut View,
) -> Result<(), Trouble> {
    let missing: Vec<_> = wanted.ids.iter().filter(|id| !view.items.contains_key(id)).collect();
    let every = missing.len().div_ceil(MOST_CHECKS).max(1);
    for id in missing.into_iter().step_by(every) {
        if is_still_there(smh, space, *id).await? {
            view.items.insert(*id, None);
            view.all_since = None;
        }
    }
    Ok(())
}

async fn page(smh: &mut Smh<'_>, space: &Space, marker: Option<&str>) -> Result<Listing, String> {
    let mut target = format!(
        "/api/v1/recycled/{}/{}?by-marker=1&limit={PAGE}&order_by=removalTime&order_by_type=desc",
        space.library, space.space
    );
    if let Some(marker) = marker {
        target.push_str("&marker=");
        target.push_str(marker);
    }
    let answer = smh.read(space, &target).await.map_err(|trouble| trouble.to_string())?;
    serde_json::from_slice(&answer).map_err(|_| "SMH's answer is no list of a bin".to_owned())
}

/// A marker is a number or a text, and goes back into a query: only as what it can be there.
fn text_of(marker: &Value) -> Option<String> {
    let text = match marker {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    let mut encoded = Vec::new();
    encode_into(&mut encoded, text.as_bytes());
    String::from_utf8(encoded).ok().filter(|text| !text.is_empty())
}

/// The most that every source of SMH's allows (smh-api.md 5.2).
const PAGE: u32 = 100;

/// A hundred thousand items: then what is left is tried without having been seen.
const MOST_PAGES: u32 = 1000;

/// Items asked for one by one, of those that a list does not have.
const MOST_CHECKS: usize = 20;

/// How far SMH's clock and that of a gateway may be apart, and a record behind its delete.
const ABOUT: Duration = Duration::minutes(10);
