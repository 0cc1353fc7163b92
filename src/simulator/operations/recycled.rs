//! The recycle bin, item by item.

use std::cmp::Ordering;

use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::simulator::answer::{Answer, Outcome};
use crate::simulator::behaviour::RestoreDefault;
use crate::simulator::clock::{SECONDS_PER_DAY, timestamp};
use crate::simulator::errors::{ApiError, Code};
use crate::simulator::library::RecycleBin;
use crate::simulator::operations::{Visit, file, names};
use crate::simulator::record::Effect;
use crate::simulator::space::{
    Content, NotRestored, OnConflict, OnLostParent, RecycledEntry, TooSoon,
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listing {
    total_num: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<usize>,
    contents: Vec<Listed>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    recycled_item_id: u64,
    original_path: Vec<String>,
    space_id: String,
    name: String,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_type: Option<&'static str>,
    size: &'static str,
    creation_time: String,
    modification_time: String,
    removal_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining_time: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    r#type: &'static str,
    creation_time: String,
    modification_time: String,
    content_type: &'static str,
    size: &'static str,
    e_tag: &'static str,
    crc64: &'static str,
    meta_data: NoMetaData,
}

#[derive(Serialize)]
struct NoMetaData {}

#[derive(Serialize)]
struct RestoredTo {
    path: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Retention {
    retention_days: u32,
}

pub(super) fn list(visit: &Visit<'_>) -> Result<Outcome, ApiError> {
    require_bin(visit)?;
    let (skip, limit, by_marker) = window(visit)?;
    let mut items: Vec<(u64, &RecycledEntry)> =
        visit.space()?.recycled().iter().map(|(id, entry)| (*id, entry)).collect();
    sort(visit, &mut items)?;
    let total = items.len();
    let end = skip.saturating_add(limit);
    let contents =
        items.iter().skip(skip).take(limit).map(|(id, entry)| listed(visit, *id, entry)).collect();
    let next_marker = (by_marker && end < total).then_some(end);
    let listing = Listing { total_num: total, next_marker, contents };
    Ok(Outcome::unchanged(Answer::json(StatusCode::OK, &listing)))
}

pub(super) fn show(visit: &Visit<'_>, id: &str) -> Result<Outcome, ApiError> {
    require_bin(visit)?;
    let id = item_id(id)?;
    let entry = visit.space()?.recycled().get(&id).ok_or(Code::RecycledItemNotFound)?;
    let detail = Detail {
        r#type: kind_of(&entry.content),
        creation_time: created(entry),
        modification_time: created(entry),
        content_type: file::CONTENT_TYPE,
        size: file::FILE_SIZE,
        e_tag: file::ETAG,
        crc64: file::CRC64,
        meta_data: NoMetaData {},
    };
    Ok(Outcome::unchanged(Answer::json(StatusCode::OK, &detail)))
}

pub(super) fn restore(visit: &mut Visit<'_>, id: &str) -> Result<Outcome, ApiError> {
    require_bin(visit)?;
    let id = item_id(id)?;
    let strategies = Strategies::of(visit)?;
    visit.access.require_in_space(&["restore_recycled"])?;
    let path = strategies.restore(visit, id)?;
    let answer = Answer::json(StatusCode::OK, &RestoredTo { path: names(&path) });
    Ok(Outcome::changed(answer, Effect::Restored { path, id }))
}

pub(super) fn purge(visit: &mut Visit<'_>, id: &str) -> Result<Outcome, ApiError> {
    require_bin(visit)?;
    let id = item_id(id)?;
    visit.access.require_in_space(&["delete_recycled"])?;
    visit.space_mut()?.purge(id).ok_or(Code::RecycledItemNotFound)?;
    Ok(Outcome::changed(Answer::no_content(), Effect::Purged { id }))
}

pub(super) fn empty(visit: &mut Visit<'_>) -> Result<Outcome, ApiError> {
    require_bin(visit)?;
    visit.access.require_in_space(&["delete_recycled"])?;
    let items = visit.space_mut()?.purge_all();
    Ok(Outcome::changed(Answer::no_content(), Effect::BinEmptied { items }))
}

pub(super) fn set_retention(visit: &mut Visit<'_>) -> Result<Outcome, ApiError> {
    require_bin(visit)?;
    let Retention { retention_days: days } = visit.json_body()?;
    if !(1..=MAX_RETENTION_DAYS).contains(&days) {
        return Err(Code::ParamInvalid.into());
    }
    visit.access.require_in_space(&[])?;
    let now = visit.asked.now;
    visit
        .space_mut()?
        .set_retention(days, now)
        .map_err(|TooSoon| Code::SetRecycleLifecycleFrequencyLimit)?;
    Ok(Outcome::changed(Answer::no_content(), Effect::RetentionSet { days }))
}

/// With the bin off, every call on it is refused.
pub(super) fn require_bin(visit: &Visit<'_>) -> Result<(), ApiError> {
    match visit.world.library(visit.library)?.recycle_bin {
        RecycleBin::On { .. } => Ok(()),
        RecycleBin::Off => Err(Code::RecycleBinNotEnabled.into()),
    }
}

/// How a restore settles what stands in its way.
#[derive(Clone, Copy)]
pub(super) struct Strategies {
    conflict: OnConflict,
    lost_parent: OnLostParent,
}

impl Strategies {
    pub(super) fn of(visit: &Visit<'_>) -> Result<Self, ApiError> {
        let query = visit.asked.query;
        let conflict = match query.text("conflict_resolution_strategy") {
            Some("ask") => OnConflict::Ask,
            Some("rename") => OnConflict::Rename,
            Some("overwrite") => OnConflict::Overwrite,
            Some(_) => return Err(Code::InvalidConflictResolutionStrategy.into()),
            None => match visit.world.behaviour.restore_default {
                RestoreDefault::Rename => OnConflict::Rename,
                RestoreDefault::Ask => OnConflict::Ask,
            },
        };
        let lost_parent = match query.text("restore_path_strategy") {
            None | Some("originalPath") => OnLostParent::Refuse,
            Some("fallbackToRoot") => OnLostParent::FallBackToRoot,
            Some(_) => return Err(Code::ParamInvalid.into()),
        };
        Ok(Self { conflict, lost_parent })
    }

    pub(super) fn restore(self, visit: &mut Visit<'_>, id: u64) -> Result<String, ApiError> {
        let restored = visit.space_mut()?.restore(id, self.conflict, self.lost_parent);
        restored.map_err(|reason| {
            ApiError::from(match reason {
                NotRestored::NoSuchItem => Code::RecycledItemNotFound,
                NotRestored::ParentGone => Code::DirectoryNotFound,
                NotRestored::PathTaken => Code::SameNameDirectoryOrFileExists,
            })
        })
    }
}

/// Which part of a list is asked for: what to skip, how many to show, and whether a marker leads to
/// the rest.
fn window(visit: &Visit<'_>) -> Result<(usize, usize, bool), ApiError> {
    let query = visit.asked.query;
    if query.flag("page") || query.flag("page_size") || query.flag("by-page") {
        let page = visit.number("page", 1)?.max(1);
        let size = visit.number("page_size", DEFAULT_LIMIT)?;
        check_limit(size)?;
        Ok(((page - 1).saturating_mul(size), size, false))
    } else {
        let limit = visit.number("limit", DEFAULT_LIMIT)?;
        check_limit(limit)?;
        Ok((visit.number("marker", 0)?, limit, true))
    }
}

fn check_limit(limit: usize) -> Result<(), ApiError> {
    if limit <= MAX_LIMIT { Ok(()) } else { Err(Code::ParamInvalid.into()) }
}

/// Sorts by what was asked for; without it, by id, which is the order of removal.
fn sort(visit: &Visit<'_>, items: &mut [(u64, &RecycledEntry)]) -> Result<(), ApiError> {
    type Item<'a> = (u64, &'a RecycledEntry);
    let query = visit.asked.query;
    let by: fn(&Item<'_>, &Item<'_>) -> Ordering = match query.text("order_by") {
        // Every file has the same size here, so its order says nothing.
        None | Some("size" | "removalTime") => |one, other| one.0.cmp(&other.0),
        Some("name") => |one, other| last_name(one.1).cmp(last_name(other.1)),
        Some("modificationTime") => |one, other| created(one.1).cmp(&created(other.1)),
        Some("remainingTime") => |one, other| one.1.expires.cmp(&other.1.expires),
        Some(_) => return Err(Code::ParamInvalid.into()),
    };
    items.sort_by(by);
    match query.text("order_by_type") {
        None | Some("asc") => {}
        Some("desc") => items.reverse(),
        Some(_) => return Err(Code::ParamInvalid.into()),
    }
    Ok(())
}

fn listed(visit: &Visit<'_>, id: u64, entry: &RecycledEntry) -> Listed {
    let remaining = entry.expires.map(|expires| {
        expires.saturating_duration_since(visit.asked.now.instant).as_secs() / SECONDS_PER_DAY
    });
    Listed {
        recycled_item_id: id,
        original_path: names(&entry.original_path),
        space_id: visit.space.to_owned(),
        name: last_name(entry).to_owned(),
        r#type: kind_of(&entry.content),
        file_type: match entry.content {
            Content::File(_) => Some("other"),
            Content::Directory { .. } => None,
        },
        size: file::FILE_SIZE,
        creation_time: created(entry),
        modification_time: created(entry),
        removal_time: timestamp(entry.removed.wall),
        remaining_time: remaining,
    }
}

fn kind_of(content: &Content) -> &'static str {
    match content {
        Content::File(_) => "file",
        Content::Directory { .. } => "dir",
    }
}

fn created(entry: &RecycledEntry) -> String {
    timestamp(match &entry.content {
        Content::File(file) => file.created,
        // Directories have no time of their own here.
        Content::Directory { .. } => entry.removed.wall,
    })
}

fn last_name(entry: &RecycledEntry) -> &str {
    entry.original_path.rsplit('/').next().unwrap_or_default()
}

/// What is no number names no item.
fn item_id(text: &str) -> Result<u64, ApiError> {
    text.parse().map_err(|_| Code::RecycledItemNotFound.into())
}

/// SMH's sources say 20 or 1000.
const DEFAULT_LIMIT: usize = 20;
const MAX_LIMIT: usize = 1000;

const MAX_RETENTION_DAYS: u32 = 10_000;
