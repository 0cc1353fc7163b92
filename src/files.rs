//! Reading the files that a configuration names: whole, bounded, and wiped when it is done with.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use zeroize::Zeroizing;

/// What changes with every write to a file, also with one that begins and ends with the same bytes.
///
/// Two writes within one tick of the file system's clock can leave the same stamp behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    /// Unlike the other, nobody can set it back.
    changed: (i64, i64),
}

impl Stamp {
    fn of(about: &Metadata) -> Self {
        Self {
            device: about.dev(),
            inode: about.ino(),
            length: about.len(),
            modified: (about.mtime(), about.mtime_nsec()),
            changed: (about.ctime(), about.ctime_nsec()),
        }
    }

    /// One that differs from those made up at another time, and from none that was made up at this.
    #[cfg(test)]
    pub(crate) fn made_up(at: i64) -> Self {
        Self { device: 0, inode: 0, length: 0, modified: (at, 0), changed: (at, 0) }
    }
}

/// A regular file that is open, and what it was like when it was opened: a write that comes later,
/// also one in the middle of reading, shows in the stamp of the next time.
#[derive(Debug)]
pub struct Opened {
    file: File,
    stamp: Stamp,
    /// Not before it was like that, and not after a byte of it is read.
    at: Instant,
}

/// Opens a file. Blocks, so not for a thread that serves.
///
/// # Errors
/// Where it is missing, cannot be opened, or is no regular file: opening a FIFO would wait for
/// somebody to write to it.
pub fn open(path: &Path) -> io::Result<Opened> {
    // Looked at first, because opening a device can do something.
    regular(&fs::metadata(path)?)?;
    open_at_once(path)
}

/// Opens whatever has come there in the meantime without waiting for anybody.
fn open_at_once(path: &Path) -> io::Result<Opened> {
    let at_once = OFlag::O_NONBLOCK.bits();
    let file = OpenOptions::new().read(true).custom_flags(at_once).open(path)?;
    let about = file.metadata()?;
    regular(&about)?;
    Ok(Opened { file, stamp: Stamp::of(&about), at: Instant::now() })
}

fn regular(about: &Metadata) -> io::Result<()> {
    if about.is_file() { Ok(()) } else { Err(io::Error::other("it is not a regular file")) }
}

impl Opened {
    /// What it was like when it was opened.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// All of it, if it has at most `most` bytes.
    ///
    /// # Errors
    /// Where it cannot be read, is too large, or grows meanwhile.
    pub fn read(self, most: usize) -> io::Result<Zeroizing<Vec<u8>>> {
        let length = usize::try_from(self.stamp.length).unwrap_or(usize::MAX);
        if length > most {
            return Err(io::Error::other(format!("it is larger than {most} bytes")));
        }
        // The room is there from the start, so that no half-filled buffer is left behind when it
        // grows; one byte more than there should be tells a file that is just being written.
        let room = length + 1;
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        let limit = u64::try_from(room).unwrap_or(u64::MAX);
        self.file.take(limit).read_to_end(&mut bytes)?;
        if bytes.len() == room {
            return Err(io::Error::other("it is being written"));
        }
        Ok(bytes)
    }

    /// As much of it as there is room for in `limit` bytes.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn read_start(self, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// A file that was read, to be followed without reading it every time.
///
/// It is opened every time: on a network's file system that asks its server, where a look alone may
/// be answered from what was known a minute ago.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    stamp: Stamp,
    since: Instant,
    /// It was read so long after it was first like this that no write of that time was missed.
    settled: bool,
}

impl Seen {
    /// About to be read, again or for the first time.
    #[must_use]
    pub fn next(before: Option<Self>, opened: &Opened) -> Self {
        let same = before.filter(|before| before.stamp == opened.stamp);
        let since = same.map_or(opened.at, |before| before.since);
        let settled = opened.at.saturating_duration_since(since) >= TICK;
        Self { stamp: opened.stamp, since, settled }
    }

    /// As if it had been read again and again since long ago.
    #[cfg(test)]
    pub(crate) fn settled(opened: &Opened) -> Self {
        Self { settled: true, ..Self::next(None, opened) }
    }

    /// Whether what was read of it is all that there is.
    #[must_use]
    pub fn is_still(&self, opened: &Opened) -> bool {
        self.settled && self.stamp == opened.stamp
    }
}

/// Longer than two writes with one and the same time can lie apart on any file system.
const TICK: Duration = Duration::from_secs(3);

/// A file of at most `most` bytes. Blocks, so not for a thread that serves.
///
/// # Errors
/// As [`open`] and [`Opened::read`].
pub fn read(path: &Path, most: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    open(path)?.read(most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn what_is_no_file_or_too_large_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        assert_eq!(read(&path, 3).unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::write(&path, "abc").unwrap();
        assert_eq!(**read(&path, 3).unwrap(), *b"abc");
        assert!(read(&path, 2).unwrap_err().to_string().contains("larger than 2 bytes"));
        assert!(read(folder.path(), 3).unwrap_err().to_string().contains("regular file"));
        // Its length says nothing of what is in it.
        assert!(read(Path::new("/proc/self/stat"), 3).unwrap_err().to_string().contains("written"));
    }

    /// As if it had come there after the first look. Without a writer, this would wait for ever.
    #[test]
    fn a_fifo_that_takes_the_place_of_a_file_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        for opened in [open_at_once(&path), open(&path)] {
            assert!(opened.unwrap_err().to_string().contains("regular file"));
        }
        assert!(open_at_once(folder.path()).unwrap_err().to_string().contains("regular file"));
    }

    #[test]
    fn a_stamp_stays_until_the_file_is_written_or_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let [path, other] = ["file", "other"].map(|name| folder.path().join(name));
        let stamp = || open(&path).unwrap().stamp();
        fs::write(&path, "abc").unwrap();
        let first = stamp();
        assert_eq!(stamp(), first);
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&other, "abd").unwrap();
        // Also where it says that it is as old.
        File::options().write(true).open(&other).unwrap().set_modified(modified).unwrap();
        fs::rename(&other, &path).unwrap();
        let second = stamp();
        assert_ne!(second, first);
        fs::write(&path, "longer").unwrap();
        assert_ne!(stamp(), second);
    }

    #[test]
    fn a_file_is_read_again_until_it_was_the_same_for_longer_than_a_tick() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "abc").unwrap();
        let start = Instant::now();
        let after = |time| Opened { at: start + time, ..open(&path).unwrap() };
        let first = Seen::next(None, &after(Duration::ZERO));
        // However late it is looked at: nothing was read since.
        assert!(!first.is_still(&after(2 * TICK)));
        let soon = Seen::next(Some(first), &after(TICK / 2));
        assert!(!soon.is_still(&after(TICK)));
        let later = Seen::next(Some(soon), &after(TICK));
        assert!(later.is_still(&after(TICK)));
        fs::write(&path, "abd").unwrap();
        assert!(!later.is_still(&after(TICK)));
        let other = Seen::next(Some(later), &after(2 * TICK));
        assert!(!other.is_still(&after(2 * TICK)), "it begins anew");
    }
}
