//! Deleting files and directories, and asking about a file.

use http::StatusCode;
use http::header::HeaderName;
use serde::Serialize;

use crate::simulator::answer::{Answer, Content, Outcome};
use crate::simulator::behaviour::ContentCas;
use crate::simulator::clock::timestamp;
use crate::simulator::errors::{ApiError, Code};
use crate::simulator::operations::Visit;
use crate::simulator::operations::removal::{Fate, Kind, Permanence, remove};

#[derive(Serialize)]
struct Recycled {
    #[serde(rename = "recycledItemId")]
    id: u64,
}

pub(super) fn delete(visit: &mut Visit<'_>, path: &str) -> Result<Outcome, ApiError> {
    let permanence = Permanence::of(visit)?;
    if path.is_empty() {
        return Err(Code::EmptyPath.into());
    }
    let has_cas = visit.asked.query.flag("content_cas");
    if has_cas && visit.world.behaviour.content_cas == ContentCas::Conflict {
        return Err(Code::ContentCasConflict.into());
    }
    let fate = remove(visit, path, Kind::File, permanence)?;
    Ok(removed(fate, path))
}

pub(super) fn delete_directory(visit: &mut Visit<'_>, path: &str) -> Result<Outcome, ApiError> {
    let permanence = Permanence::of(visit)?;
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Err(Code::RootDirectoryNotAllowed.into());
    }
    let fate = remove(visit, path, Kind::Directory, permanence)?;
    Ok(removed(fate, path))
}

/// No upload is ever open here, so there is none to abort. What matters: the file of that name
/// stays.
pub(super) fn abort_upload(visit: &Visit<'_>) -> Result<Outcome, ApiError> {
    let uploads = ["upload_file", "upload_file_force", "begin_upload", "begin_upload_force"];
    visit.access.require_in_space(&uploads)?;
    Err(Code::UploadNotFound.into())
}

pub(super) fn head(visit: &Visit<'_>, path: &str) -> Result<Outcome, ApiError> {
    let file = visit.space()?.file(path).ok_or(Code::FileNotFound)?;
    let answer = Answer::new(StatusCode::OK, Content::None)
        .with_field(HeaderName::from_static("x-smh-type"), "file")
        .with_field(HeaderName::from_static("x-smh-creation-time"), &timestamp(file.created))
        .with_field(HeaderName::from_static("x-smh-content-type"), CONTENT_TYPE)
        .with_field(HeaderName::from_static("x-smh-size"), FILE_SIZE)
        .with_field(HeaderName::from_static("x-smh-etag"), ETAG)
        .with_field(HeaderName::from_static("x-smh-crc64"), CRC64);
    Ok(Outcome::unchanged(answer))
}

fn removed(fate: Fate, path: &str) -> Outcome {
    let answer = match fate {
        Fate::Recycled(id) => Answer::json(StatusCode::OK, &Recycled { id }),
        Fate::Destroyed => Answer::no_content(),
    };
    Outcome::changed(answer, fate.effect(path))
}

// Files have no content here, so all of them are the empty file: its size, its MD5, its CRC.
pub(super) const CONTENT_TYPE: &str = "application/octet-stream";
pub(super) const FILE_SIZE: &str = "0";
pub(super) const ETAG: &str = "\"d41d8cd98f00b204e9800998ecf8427e\"";
pub(super) const CRC64: &str = "0";
