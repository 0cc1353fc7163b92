//! Writing a journal: one process at a time, each record whole or not at all.
//!
//! Blocks, so it is for a thread of its own.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::journal::ahead::{self, Ahead};
use crate::journal::chain::Head;
use crate::journal::end::{End, Last};
use crate::journal::place::{
    MOST_NAMES, OpenError, first, head_in, last_of_rotated, lock, locked, open,
};
use crate::journal::put_back::{PutBack, put_back};
use crate::journal::rotated;
use crate::journal::standing::Standing;

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
    ahead: Option<Ahead>,
    /// How long a half of it is; 0: there shall be none.
    ahead_half: u64,
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
    /// What was found in the write-ahead file.
    pub put_back: Option<PutBack>,
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
            Last::None => last_of_rotated(path).map_err(fail)?,
        };
        let written = head_in(&lock);
        let put_back = put_back(path, &file, found, written).map_err(fail)?;
        let (end, found) = match (&put_back, &end.last) {
            (Some(PutBack::Records { .. }), _) => now(&file, found).map_err(fail)?,
            (_, Last::None) if !end.may_be_ours(&file).map_err(fail)? => {
                return Err(OpenError::NoJournal(path.to_owned()));
            }
            _ => (end, found),
        };
        let torn = end.put_aside(path, &file).map_err(fail)?;
        let mut recovered = Recovered { torn, put_back, ..Recovered::default() };
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
            ahead: None,
            ahead_half: 0,
        };
        Ok((this, recovered))
    }

    /// From now on a record is on disk as soon as it is in a file of fixed length beside the journal, which
    /// costs less than flushing one that grows; the journal follows by and by.
    ///
    /// # Errors
    /// Where that file cannot be made.
    pub fn write_ahead(&mut self) -> io::Result<()> {
        self.write_ahead_in(ahead::HALF)
    }

    pub(super) fn write_ahead_in(&mut self, half: u64) -> io::Result<()> {
        self.ahead = Some(Ahead::open(&self.path, half)?);
        self.ahead_half = half;
        Ok(())
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
        let Standing { length, is_deleted } = Standing::of(&self.file)?;
        if is_deleted {
            return Err(io::Error::other("it was deleted"));
        }
        if length < self.length
            && let Some(ahead) = &mut self.ahead
        {
            // What others took out of it is not put back.
            ahead.settle(&self.file)?;
        }
        // Others may have written behind us, or cut it: what is taken back is ours alone.
        self.length = length;
        self.file.write_all(&self.added)?;
        match (durability, &mut self.ahead) {
            (Durability::Sync, Some(ahead)) => ahead.append(&self.added, &self.file),
            (Durability::Sync, None) => self.file.sync_data(),
            (Durability::Buffered, _) => Ok(()),
        }
    }

    /// Makes the file be on disk, whatever is ahead of it.
    fn settle(&mut self) -> io::Result<()> {
        match &mut self.ahead {
            Some(ahead) => ahead.settle(&self.file),
            None => self.file.sync_data(),
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
        let path = self.path.clone();
        let fail = |error| OpenError::Io(path.clone(), error);
        let kept = self.give_up_ahead().map_err(fail)?;
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
        if self.ahead_half > 0 {
            self.write_ahead_in(self.ahead_half).map_err(fail)?;
        }
        let put_back = kept.map(PutBack::Kept);
        Ok(Recovered { torn, put_back, head: Some(self.head), missing_to: None })
    }

    /// Makes nothing that is ahead of the file be needed. Where the file could not be flushed, returns where
    /// it is now, as it may be the only place.
    fn give_up_ahead(&mut self) -> io::Result<Option<PathBuf>> {
        let settled = self.settle();
        let kept = match &self.ahead {
            Some(ahead) if settled.is_err() => ahead.keep(self.head.seq)?,
            _ => None,
        };
        self.ahead = None;
        Ok(kept)
    }

    /// Ends the journal in order: it is on disk, and nothing is ahead of it.
    ///
    /// # Errors
    /// Where it cannot be flushed; what is ahead of it stays then.
    pub fn close(mut self) -> io::Result<()> {
        self.settle()?;
        self.ahead.take().map_or(Ok(()), Ahead::remove)
    }

    /// Moves a file that is full away, and begins another one. Returns where it is now.
    ///
    /// # Errors
    /// Where it cannot be moved; this one stays then. Where no other one can be begun, which
    /// [`Appender::reopen`] tries again.
    pub fn rotate(&mut self) -> io::Result<PathBuf> {
        self.settle()?;
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

/// How a file ends into which records were put back.
fn now(file: &File, before: Option<Head>) -> io::Result<(End, Option<Head>)> {
    let end = End::of(file)?;
    let last = match end.last {
        Last::Record(head) => Some(head),
        Last::Newer | Last::None => before,
    };
    Ok((end, last))
}

#[cfg(test)]
mod tests;
