//! Making, listing and deleting spaces.

use http::StatusCode;
use serde::Serialize;

use crate::simulator::answer::{Answer, Outcome};
use crate::simulator::errors::{ApiError, Code};
use crate::simulator::library::Tenancy;
use crate::simulator::operations::Visit;
use crate::simulator::record::Effect;
use crate::simulator::space::Full;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    space_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listing {
    list: Vec<Named>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<usize>,
}

pub(super) fn create(visit: &mut Visit<'_>) -> Result<Outcome, ApiError> {
    require_multi_tenancy(visit)?;
    visit.access.require_in_library("create_space")?;
    let space_id = new_space_id();
    let library = visit.world.library_mut(visit.library)?;
    library.ensure_space(&space_id).map_err(|Full| Code::QuotaLimitReached)?;
    let effect = Effect::SpaceCreated { space: space_id.clone() };
    Ok(Outcome::changed(Answer::json(StatusCode::CREATED, &Named { space_id }), effect))
}

pub(super) fn list(visit: &Visit<'_>) -> Result<Outcome, ApiError> {
    require_multi_tenancy(visit)?;
    let limit = visit.number("limit", MAX_LIMIT)?.min(MAX_LIMIT);
    let marker = visit.number("marker", 0)?;
    visit.access.require_in_library("create_space")?;
    let names: Vec<&String> = visit.world.library(visit.library)?.space_names().collect();
    let end = marker.saturating_add(limit);
    let shown = names.iter().skip(marker).take(limit);
    let listing = Listing {
        list: shown.map(|name| Named { space_id: (*name).clone() }).collect(),
        next_marker: (end < names.len()).then_some(end),
    };
    Ok(Outcome::unchanged(Answer::json(StatusCode::OK, &listing)))
}

pub(super) fn delete(visit: &mut Visit<'_>) -> Result<Outcome, ApiError> {
    require_multi_tenancy(visit)?;
    let force = match visit.asked.query.value("force") {
        None | Some("0") => false,
        Some("" | "1") => true,
        Some(_) => return Err(Code::ParamInvalid.into()),
    };
    visit.access.require_in_library("delete_space")?;
    if !force && !visit.space()?.is_empty() {
        return Err(Code::SpaceNotEmpty.into());
    }
    let space = visit.space.to_owned();
    visit.world.library_mut(visit.library)?.remove_space(&space);
    Ok(Outcome::changed(Answer::no_content(), Effect::SpaceDeleted { space }))
}

fn require_multi_tenancy(visit: &Visit<'_>) -> Result<(), ApiError> {
    match visit.world.library(visit.library)?.tenancy {
        Tenancy::Multi => Ok(()),
        Tenancy::Single => Err(Code::NotMultiSpaceLibrary.into()),
    }
}

/// `space` and 13 lower-case letters and digits, as SMH makes them.
fn new_space_id() -> String {
    let mut id = String::from("space");
    for _ in 0..13 {
        let letter = char::from_digit(rand::random_range(0..36), 36);
        id.push(letter.unwrap_or('0'));
    }
    id
}

const MAX_LIMIT: usize = 1000;
