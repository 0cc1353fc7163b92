//! The files of a journal that are full: what they are called, and how long they are kept.
//!
//! `audit.jsonl.000000001234` begins with record 1234; `.gz` behind that is the same, compressed.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::journal::place::{MOST_NAMES, sync_folder};
use crate::journal::read::first;

/// A full file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rotated {
    /// Its first record.
    pub first_seq: u64,
    /// Where it is.
    pub path: PathBuf,
}

/// How many full files are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Keep {
    /// So many; `None`: all.
    pub files: Option<usize>,
    /// Those whose last record is not older than this; `None`: all.
    pub age: Option<Duration>,
}

/// A file that belongs to a journal and is none: `FILE*` does not mean it.
pub(super) fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".");
    name.push(what);
    path.with_file_name(name)
}

pub(super) fn name(path: &Path, first_seq: u64) -> PathBuf {
    with(path, &format!("{first_seq:012}"))
}

pub(super) fn compressed(path: &Path) -> PathBuf {
    with(path, "gz")
}

fn with(path: &Path, what: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(what);
    PathBuf::from(name)
}

/// The full files of a journal, the oldest first. Of one that is there both ways, the plain one.
///
/// # Errors
/// Where its folder cannot be read.
pub fn all(path: &Path) -> io::Result<Vec<Rotated>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder.unwrap_or(Path::new(".")))? {
        let entry = entry?;
        let file = entry.file_name();
        let Some(rest) = file.to_str().and_then(|file| file.strip_prefix(name)?.strip_prefix('.'))
        else {
            continue;
        };
        let digits = rest.strip_suffix(".gz").unwrap_or(rest);
        if digits.len() >= 12
            && let Ok(first_seq) = digits.parse()
        {
            found.push(Rotated { first_seq, path: entry.path() });
        }
    }
    found.sort();
    found.dedup_by_key(|rotated| rotated.first_seq);
    Ok(found)
}

/// Compresses a full file. It is there as it was until it is there compressed.
///
/// # Errors
/// Where that cannot be read or written; the file stays as it was.
pub fn compress(path: &Path) -> io::Result<()> {
    let (new, done) = (beside(path, "gz.new"), compressed(path));
    if done.exists() {
        // Killed when all but this was done; or it is another one, which stays.
        let is_twin = first(path)? == first(&done)?;
        let other = || io::Error::other("another file has its name already, compressed");
        return if is_twin { fs::remove_file(path) } else { Err(other()) };
    }
    let compressed = (|| {
        let mut options = OpenOptions::new();
        let out = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        let mut encoder = GzEncoder::new(out, Compression::default());
        io::copy(&mut File::open(path)?, &mut encoder)?;
        encoder.finish()?.sync_all()?;
        // How old it is counts from its last record.
        let modified = fs::metadata(path)?.modified()?;
        File::open(&new)?.set_modified(modified)?;
        fs::rename(&new, &done)?;
        sync_folder(path)
    })();
    if let Err(error) = compressed {
        // A disk that is full is not made fuller.
        let _ = fs::remove_file(&new);
        return Err(error);
    }
    fs::remove_file(path)
}

/// Whether a file is what its name says.
pub(super) fn is_ours(rotated: &Rotated) -> io::Result<bool> {
    let first = first(&rotated.path)?;
    Ok(first.is_some_and(|(_, seq)| {
        seq <= rotated.first_seq && rotated.first_seq - seq < MOST_NAMES as u64
    }))
}

/// Deletes full files of which there are too many, or which are too old. Returns which.
///
/// # Errors
/// Where one cannot be read or deleted.
pub fn prune(path: &Path, keep: Keep, now: SystemTime) -> io::Result<Vec<PathBuf>> {
    let mut all = all(path)?;
    // What others gave such a name is theirs.
    all.retain(|one| is_ours(one).unwrap_or(false));
    let too_many = keep.files.map_or(0, |files| all.len().saturating_sub(files));
    let mut gone = Vec::new();
    for (index, rotated) in all.into_iter().enumerate() {
        let modified = fs::metadata(&rotated.path)?.modified()?;
        let age = now.duration_since(modified).unwrap_or(Duration::ZERO);
        if index < too_many || keep.age.is_some_and(|most| age > most) {
            fs::remove_file(&rotated.path)?;
            gone.push(rotated.path);
        }
    }
    Ok(gone)
}
