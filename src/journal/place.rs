//! Where a journal lies: its file and its lock, and what the files say of where it stands.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::fcntl::OFlag;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::journal::chain::Head;
use crate::journal::entry::Entry;
use crate::journal::read::{Line, Reader};
use crate::journal::rotated;

/// Why a journal cannot be opened for writing.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("another process writes {0}: each gateway needs a file of its own")]
    Locked(PathBuf),
    /// What is in it would be misunderstood.
    #[error("{0} was written by a newer version of smh-gateway: move it away, or use that version")]
    Newer(PathBuf),
    /// It is something else, which is left as it is.
    #[error("{0} is no journal, and is left alone: name a file that is not there yet")]
    NoJournal(PathBuf),
    /// It cannot be opened, read or written.
    #[error("{0}: {1}")]
    Io(PathBuf, #[source] io::Error),
}

/// The file itself as well: it may have several names.
pub(super) fn locked(file: File, path: &Path) -> Result<File, OpenError> {
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(OpenError::Io(path.to_owned(), error)),
    }
}

pub(super) fn head_in(lock: &File) -> Option<Head> {
    let mut bytes = [0; 128];
    let read = lock.read_at(&mut bytes, 0).ok()?;
    let text = str::from_utf8(bytes.get(..read)?).ok()?;
    // A shorter head leaves the end of a longer one behind.
    text.lines().next()?.parse().ok()
}

pub(super) fn lock(path: &Path) -> Result<File, OpenError> {
    let name = rotated::beside(path, "lock");
    let fail = |error| OpenError::Io(name.clone(), error);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let lock = options.custom_flags(OFlag::O_NONBLOCK.bits()).open(&name).map_err(fail)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(fail(error)),
    }
}

/// For reading, and for writing at its end. It is there for good when this returns.
pub(super) fn open(path: &Path) -> io::Result<File> {
    // Opening a FIFO would wait for somebody to read from it.
    let at_once = OFlag::O_NONBLOCK.bits();
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600).custom_flags(at_once);
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    sync_folder(path)?;
    Ok(file)
}

/// So that a name which came or went in it stays so.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// A file that is empty goes on where the one before it ended, which was moved away.
pub(super) fn last_of_rotated(path: &Path) -> io::Result<Option<Head>> {
    let mut all = rotated::all(path)?.into_iter().rev();
    // What others gave such a name is none.
    let ours = |one: &rotated::Rotated| rotated::is_ours(one).unwrap_or(false);
    let Some(last) = all.find(ours) else { return Ok(None) };
    let mut reader = Reader::open(&last.path)?;
    let mut head = None;
    while let Some(line) = reader.read()? {
        if let Line::Record(sealed) = line
            && sealed.holds()
        {
            head = Some(sealed.head());
        }
    }
    Ok(head)
}

/// The first record of a file, and when it was written.
pub(super) fn first(path: &Path) -> Option<(u64, SystemTime)> {
    let mut reader = Reader::open(path).ok()?;
    loop {
        match reader.read().ok()?? {
            Line::Record(sealed) => {
                let entry = Entry::parse(sealed.text()).ok();
                let time = entry.and_then(|it| OffsetDateTime::parse(&it.time, &Rfc3339).ok());
                return Some((sealed.seq, time.map_or_else(SystemTime::now, Into::into)));
            }
            Line::Newer(_) | Line::Foreign => {}
            Line::Torn(_) => return None,
        }
    }
}

/// Journals that were begun anew in one folder.
pub(super) const MOST_NAMES: usize = 1_000;
