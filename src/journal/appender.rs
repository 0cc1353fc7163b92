//! Writing a journal: one process at a time, each record whole or not at all.
//!
//! Blocks, so it is for a thread of its own.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::fcntl::OFlag;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::journal::chain::Head;
use crate::journal::end::{End, Last};
use crate::journal::entry::Entry;
use crate::journal::read::{Line, Reader};
use crate::journal::rotated;

/// What it takes for a record to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// It is on disk: it outlives the machine.
    Sync,
    /// The kernel has it: it outlives the process.
    Buffered,
}

impl Durability {
    /// The word for it in gateway.yaml.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Buffered => "buffered",
        }
    }
}

/// A journal that is open for writing. Nobody else can open it meanwhile.
pub struct Appender {
    path: PathBuf,
    file: File,
    /// Beside the file, so that it stays locked when the file is moved away. The head is in it, so that a
    /// journal goes on where it ended although its file is elsewhere now.
    lock: File,
    /// The last record that is there.
    head: Head,
    /// Of the file, up to that record.
    length: u64,
    /// The first record of the file, which names it once it is full, and when that was written.
    first_seq: u64,
    begun: SystemTime,
    /// Records that were added and are not there yet.
    added: Vec<u8>,
    added_head: Head,
    /// A part of a record may be behind `length`.
    is_dirty: bool,
}

/// What was found in a journal that was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Where the last line was put that had no end, and how many bytes it had.
    pub torn: Option<(PathBuf, u64)>,
    /// The last record before what comes now; `None` where the journal begins.
    pub head: Option<Head>,
    /// The last record that was written is not where the files end: they were moved, or cut.
    pub missing_to: Option<Head>,
}

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

impl Appender {
    /// Opens a journal, or begins one. A last line without an end is put aside, beside the file.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(path: &Path) -> Result<(Self, Recovered), OpenError> {
        let fail = |error| OpenError::Io(path.to_owned(), error);
        // A link is as good as what it leads to, which is what is moved away when it is full.
        open(path).map_err(fail)?;
        let path = &*fs::canonicalize(path).map_err(fail)?;
        let lock = lock(path)?;
        let file = locked(open(path).map_err(fail)?, path)?;
        let end = End::of(&file).map_err(fail)?;
        let found = match end.last {
            Last::Record(head) => Some(head),
            Last::Newer => return Err(OpenError::Newer(path.to_owned())),
            Last::None if !end.may_be_ours(&file).map_err(fail)? => {
                return Err(OpenError::NoJournal(path.to_owned()));
            }
            Last::None => last_of_rotated(path).map_err(fail)?,
        };
        let torn = end.put_aside(path, &file).map_err(fail)?;
        let mut recovered = Recovered { torn, ..Recovered::default() };
        let written = head_in(&lock);
        let is_later = |written: &Head| {
            found.is_none_or(|found| found.journal == written.journal && found.seq < written.seq)
        };
        recovered.missing_to = written.filter(is_later);
        recovered.head = recovered.missing_to.or(found);
        let head = recovered.head.unwrap_or_else(Head::of_new);
        let (first_seq, begun) = first(path).unwrap_or((head.seq + 1, SystemTime::now()));
        let this = Self {
            path: path.to_owned(),
            first_seq,
            begun,
            file,
            lock,
            head,
            length: end.length,
            added: Vec::new(),
            added_head: head,
            is_dirty: false,
        };
        Ok((this, recovered))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The last record that is there.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// When the first record of the file was written.
    #[must_use]
    pub fn begun(&self) -> SystemTime {
        self.begun
    }

    /// How many bytes the file has.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Adds a record, of which `body` is what stands between the braces. It is there after
    /// [`Appender::commit`].
    pub fn add(&mut self, body: &[u8]) {
        self.added_head.seal(body, &mut self.added);
    }

    /// Which record was added last.
    #[must_use]
    pub fn added(&self) -> u64 {
        self.added_head.seq
    }

    /// Makes what was added be there.
    ///
    /// # Errors
    /// Where it cannot be written; then none of it is there.
    pub fn commit(&mut self, durability: Durability) -> io::Result<()> {
        let written = self.write(durability);
        match written {
            Ok(()) => {
                self.head = self.added_head;
                self.length += self.added.len() as u64;
                // Where it cannot be, the files say it as well, unless they are moved away.
                let _ = self.lock.write_all_at(format!("{}\n", self.head).as_bytes(), 0);
            }
            Err(_) => {
                self.added_head = self.head;
                self.is_dirty = self.file.set_len(self.length).is_err();
            }
        }
        self.added.clear();
        written
    }

    fn write(&mut self, durability: Durability) -> io::Result<()> {
        if self.is_dirty {
            self.file.set_len(self.length)?;
            self.is_dirty = false;
        }
        let about = self.file.metadata()?;
        if about.nlink() == 0 {
            return Err(io::Error::other("it was deleted"));
        }
        // Others may have written behind us, or cut it: what is taken back is ours alone.
        self.length = about.len();
        self.file.write_all(&self.added)?;
        match durability {
            Durability::Sync => self.file.sync_data(),
            Durability::Buffered => Ok(()),
        }
    }

    /// Whether another file, or none, is where this one was: it was moved away.
    #[must_use]
    pub fn is_moved(&self) -> bool {
        let Ok(ours) = self.file.metadata() else { return true };
        fs::metadata(&self.path)
            .map_or(true, |there| (there.dev(), there.ino()) != (ours.dev(), ours.ino()))
    }

    /// Opens the file again that is where this one was, and goes on there.
    ///
    /// # Errors
    /// Where it cannot be opened; this one stays then.
    pub fn reopen(&mut self) -> Result<Recovered, OpenError> {
        let fail = |error| OpenError::Io(self.path.clone(), error);
        let mut file = open(&self.path).map_err(fail)?;
        if self.is_moved() {
            file = locked(file, &self.path)?;
        } else {
            // It is the same one, which is locked already.
            file = self.file.try_clone().map_err(fail)?;
        }
        let end = End::of(&file).map_err(fail)?;
        let torn = end.put_aside(&self.path, &file).map_err(fail)?;
        match end.last {
            // It was written although that seemed to fail.
            Last::Record(head) if head.journal == self.head.journal && head.seq > self.head.seq => {
                self.head = head;
            }
            Last::Record(_) | Last::None => {}
            Last::Newer => return Err(OpenError::Newer(self.path.clone())),
        }
        let new = (self.head.seq + 1, SystemTime::now());
        (self.first_seq, self.begun) = first(&self.path).unwrap_or(new);
        (self.file, self.length, self.is_dirty) = (file, end.length, false);
        self.added_head = self.head;
        self.added.clear();
        Ok(Recovered { torn, head: Some(self.head), ..Recovered::default() })
    }

    /// Moves a file that is full away, and begins another one. Returns where it is now.
    ///
    /// # Errors
    /// Where it cannot be moved; this one stays then. Where no other one can be begun, which
    /// [`Appender::reopen`] tries again.
    pub fn rotate(&mut self) -> io::Result<PathBuf> {
        self.file.sync_data()?;
        // Not over one that is there: a journal that was begun anew counts from the start.
        let names = (self.first_seq..).map(|seq| rotated::name(&self.path, seq));
        let is_free = |name: &PathBuf| !name.exists() && !rotated::compressed(name).exists();
        let free = names.take(MOST_NAMES).find(is_free);
        let full = free.ok_or_else(|| io::Error::other("there is no free name for it"))?;
        fs::rename(&self.path, &full)?;
        let file = locked(open(&self.path)?, &self.path).map_err(io::Error::other)?;
        (self.file, self.length) = (file, 0);
        (self.first_seq, self.begun) = (self.head.seq + 1, SystemTime::now());
        Ok(full)
    }
}

/// The file itself as well: it may have several names.
fn locked(file: File, path: &Path) -> Result<File, OpenError> {
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(OpenError::Io(path.to_owned(), error)),
    }
}

fn head_in(lock: &File) -> Option<Head> {
    let mut bytes = [0; 128];
    let read = lock.read_at(&mut bytes, 0).ok()?;
    let text = str::from_utf8(bytes.get(..read)?).ok()?;
    // A shorter head leaves the end of a longer one behind.
    text.lines().next()?.parse().ok()
}

fn lock(path: &Path) -> Result<File, OpenError> {
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
fn open(path: &Path) -> io::Result<File> {
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
fn last_of_rotated(path: &Path) -> io::Result<Option<Head>> {
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
fn first(path: &Path) -> Option<(u64, SystemTime)> {
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

#[cfg(test)]
mod tests;
