//! Writing a journal: one process at a time, each record whole or not at all.
//!
//! Blocks, so it is for a thread of its own.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::journal::chain::{Head, NotSealed, Sealed};
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

/// A journal that is open for writing. Nobody else can open it meanwhile.
pub struct Appender {
    path: PathBuf,
    file: File,
    /// Beside the file, so that it stays locked when the file is moved away.
    _lock: File,
    /// The last record that is there.
    head: Head,
    /// Of the file, up to that record.
    length: u64,
    /// The first record of the file, which names it once it is full.
    first_seq: u64,
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
    /// There is something in the file, but no record that a next one could follow.
    pub no_record: bool,
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
        let lock = lock(path)?;
        let file = open(path).map_err(fail)?;
        let end = End::of(&file).map_err(fail)?;
        let mut recovered =
            Recovered { torn: end.put_aside(path, &file).map_err(fail)?, ..Default::default() };
        let last = match end.last {
            Last::Record(head) => Some(head),
            Last::Newer => return Err(OpenError::Newer(path.to_owned())),
            Last::None if end.length > 0 => {
                recovered.no_record = true;
                None
            }
            Last::None => last_of_rotated(path).map_err(fail)?,
        };
        recovered.head = last;
        let head = last.unwrap_or_else(Head::of_new);
        let this = Self {
            path: path.to_owned(),
            first_seq: first_seq(path).unwrap_or(head.seq + 1),
            file,
            _lock: lock,
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
        let file = open(&self.path).map_err(fail)?;
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
        self.first_seq = first_seq(&self.path).unwrap_or(self.head.seq + 1);
        (self.file, self.length, self.is_dirty) = (file, end.length, false);
        self.added_head = self.head;
        self.added.clear();
        Ok(Recovered { torn, head: Some(self.head), no_record: false })
    }

    /// Moves a file that is full away, and begins another one. Returns where it is now.
    ///
    /// # Errors
    /// Where it cannot be moved; this one stays then. Where no other one can be begun, which
    /// [`Appender::reopen`] tries again.
    pub fn rotate(&mut self) -> io::Result<PathBuf> {
        self.file.sync_data()?;
        let full = rotated::name(&self.path, self.first_seq);
        // Not over one that is there, whatever it is.
        fs::hard_link(&self.path, &full)?;
        fs::remove_file(&self.path)?;
        self.file = open(&self.path)?;
        (self.length, self.first_seq) = (0, self.head.seq + 1);
        Ok(full)
    }
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let name = rotated::beside(path, "lock");
    let fail = |error| OpenError::Io(name.clone(), error);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
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

/// What a file ends with.
struct End {
    /// Up to the end of its last whole line.
    length: u64,
    /// Behind that.
    torn: u64,
    last: Last,
}

enum Last {
    Record(Head),
    Newer,
    None,
}

impl End {
    fn of(file: &File) -> io::Result<Self> {
        let whole = file.metadata()?.len();
        let mut from = whole;
        let mut tail = Vec::new();
        // The last record that holds, in front of whatever somebody else wrote behind it.
        while from > 0 && tail.len() < MOST_TAIL {
            let part = from.min(STEP);
            from -= part;
            let mut read = vec![0; usize::try_from(part).unwrap_or(0)];
            let mut file = file;
            file.seek(SeekFrom::Start(from))?;
            file.read_exact(&mut read)?;
            read.append(&mut tail);
            tail = read;
            let Some(end) = tail.iter().rposition(|&byte| byte == b'\n') else { continue };
            let (whole_lines, torn) = tail.split_at_checked(end + 1).unwrap_or_default();
            let torn = torn.len() as u64;
            // The first line may have begun in front of what was read.
            let starts_whole = from == 0;
            let mut lines: Vec<&[u8]> = whole_lines.split(|&byte| byte == b'\n').collect();
            if !starts_whole && !lines.is_empty() {
                lines.remove(0);
            }
            for line in lines.into_iter().rev() {
                match Sealed::parse(line) {
                    Ok(sealed) if sealed.holds() => {
                        let last = Last::Record(sealed.head());
                        return Ok(Self { length: whole - torn, torn, last });
                    }
                    Err(NotSealed::Newer(_)) => {
                        return Ok(Self { length: whole - torn, torn, last: Last::Newer });
                    }
                    Ok(_) | Err(NotSealed::Foreign) => {}
                }
            }
        }
        let torn = match tail.iter().rposition(|&byte| byte == b'\n') {
            Some(end) => (tail.len() - end - 1) as u64,
            // No end of a line, as far as was looked: all of it.
            None if from == 0 => whole,
            None => 0,
        };
        Ok(Self { length: whole - torn, torn, last: Last::None })
    }

    /// Puts a last line without an end beside the file, and takes it away from there.
    fn put_aside(&self, path: &Path, mut file: &File) -> io::Result<Option<(PathBuf, u64)>> {
        if self.torn == 0 {
            return Ok(None);
        }
        let aside = rotated::beside(path, "torn");
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600).custom_flags(OFlag::O_NONBLOCK.bits());
        let mut kept = options.open(&aside)?;
        file.seek(SeekFrom::Start(self.length))?;
        io::copy(&mut file.take(self.torn), &mut kept)?;
        kept.write_all(b"\n")?;
        kept.sync_all()?;
        sync_folder(path)?;
        file.set_len(self.length)?;
        file.sync_all()?;
        Ok(Some((aside, self.torn)))
    }
}

/// A file that is empty goes on where the one before it ended, which was moved away.
fn last_of_rotated(path: &Path) -> io::Result<Option<Head>> {
    let Some(last) = rotated::all(path)?.pop() else { return Ok(None) };
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

fn first_seq(path: &Path) -> Option<u64> {
    let mut reader = Reader::open(path).ok()?;
    loop {
        match reader.read().ok()?? {
            Line::Record(sealed) => return Some(sealed.seq),
            Line::Newer(_) | Line::Foreign => {}
            Line::Torn(_) => return None,
        }
    }
}

/// A few records.
const STEP: u64 = 64 * 1024;

/// So far is looked back for a record.
const MOST_TAIL: usize = 4 << 20;

#[cfg(test)]
mod tests;
