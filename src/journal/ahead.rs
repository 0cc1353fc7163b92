//! The write-ahead file: records outlive the machine without a flush of the journal for each of them.
//!
//! Flushing a file that grew makes the file system write down that it grew. This one never does: it lies
//! beside the journal, has one length for ever, and is written over. A record is handed to the kernel in the
//! journal, and written and flushed here. While one half of it fills up, a thread flushes the journal up to
//! what stands in the other. What a journal lost with its machine, [`put_back`] takes from here.
//!
//! [`put_back`]: super::put_back

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use nix::fcntl::OFlag;

use crate::journal::place::sync_folder;
use crate::journal::rotated;
use crate::journal::standing::Standing;

/// The write-ahead file of a journal that is open.
pub(super) struct Ahead {
    path: PathBuf,
    file: File,
    half: u64,
    /// Where the half begins that is being written, and how much of it is.
    begins: u64,
    used: u64,
    /// The journal, up to the end of the other half, on its way to the disk.
    flush: Option<JoinHandle<io::Result<()>>>,
    /// A flush of the journal failed, after which the kernel no longer knows what is not on disk. It is
    /// here.
    is_needed: bool,
}

/// Where the write-ahead file of a journal is.
pub(super) fn name(journal: &Path) -> PathBuf {
    rotated::beside(journal, "ahead")
}

impl Ahead {
    /// Makes it, in place of one of which nothing is needed.
    ///
    /// # Errors
    /// Where it cannot be made, or be on disk as long as it is.
    pub(super) fn open(journal: &Path, half: u64) -> io::Result<Self> {
        let path = name(journal);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.custom_flags(OFlag::O_NONBLOCK.bits()).open(&path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other(format!("{} is not a regular file", path.display())));
        }
        // Written, not only reserved: a place that is written for the first time is news as well.
        file.set_len(0)?;
        let zeros = vec![0; usize::try_from(half).unwrap_or_default()];
        file.write_all_at(&zeros, 0)?;
        file.write_all_at(&zeros, half)?;
        file.sync_all()?;
        sync_folder(&path)?;
        Ok(Self { path, file, half, begins: 0, used: 0, flush: None, is_needed: false })
    }

    /// Makes records be on disk that the kernel has in the journal.
    ///
    /// # Errors
    /// Where they, or earlier ones that have to make room for them, cannot be.
    pub(super) fn append(&mut self, records: &[u8], journal: &File) -> io::Result<()> {
        if self.is_needed {
            return Err(io::Error::other("it could not be flushed"));
        }
        if Standing::of(&self.file)?.is_deleted {
            return Err(io::Error::other(format!("{} was deleted", self.path.display())));
        }
        let length = records.len() as u64;
        if length > self.half {
            return self.settle(journal);
        }
        if self.used + length > self.half {
            self.turn(journal)?;
        }
        let at = self.begins + self.used;
        let written = self.file.write_all_at(records, at).and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => self.used += length,
            // They are taken back from the journal, which what may stand here follows.
            Err(_) => drop(self.file.write_all_at(b"\n", at)),
        }
        written
    }

    /// Goes on in the other half. What stands there is in the journal, and on disk.
    fn turn(&mut self, journal: &File) -> io::Result<()> {
        self.flushed()?;
        let flush = journal.try_clone()?;
        match thread::Builder::new()
            .name("journal-flush".to_owned())
            .spawn(move || flush.sync_data())
        {
            Ok(flush) => self.flush = Some(flush),
            Err(_) => return self.settle(journal),
        }
        (self.begins, self.used) = (self.half - self.begins, 0);
        Ok(())
    }

    /// Waits until the journal is on disk up to where this half began.
    fn flushed(&mut self) -> io::Result<()> {
        let Some(flush) = self.flush.take() else { return Ok(()) };
        let flushed = flush.join().unwrap_or_else(|_| Err(io::Error::other("its thread ended")));
        self.is_needed |= flushed.is_err();
        flushed
    }

    /// Makes the whole journal be on disk, so that nothing in here is needed.
    ///
    /// # Errors
    /// Where that failed, now or before.
    pub(super) fn settle(&mut self, journal: &File) -> io::Result<()> {
        let flushed = self.flushed().and_then(|()| journal.sync_data());
        self.is_needed |= flushed.is_err();
        flushed?;
        if self.is_needed {
            return Err(io::Error::other("it could not be flushed"));
        }
        (self.begins, self.used) = (0, 0);
        Ok(())
    }

    /// Takes the file away, of which nothing is needed.
    pub(super) fn remove(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }

    /// Puts what is needed where it stays, and nobody writes it over. `None`: nothing is, or it is gone.
    pub(super) fn keep(&self, seq: u64) -> io::Result<Option<PathBuf>> {
        if (self.begins, self.used) == (0, 0) {
            return Ok(None);
        }
        match keep(&self.path, seq) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            kept => kept.map(Some),
        }
    }
}

impl Drop for Ahead {
    /// The thread has the journal open, and so locked.
    fn drop(&mut self) {
        // What it says is for whoever settles.
        let _ = self.flushed();
    }
}

/// `.FILE.ahead.SEQ`, where the journal had that many records.
pub(super) fn keep(path: &Path, seq: u64) -> io::Result<PathBuf> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{seq:012}"));
    let kept = PathBuf::from(name);
    fs::rename(path, &kept)?;
    sync_folder(path)?;
    Ok(kept)
}

/// At fourteen thousand deletes a second, an eighth of a second.
pub(super) const HALF: u64 = 2 << 20;

#[cfg(test)]
mod tests;
