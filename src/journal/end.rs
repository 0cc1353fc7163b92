//! What a journal's file ends with: the record that the next one follows, and perhaps the beginning of one
//! that was never whole.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::journal::chain::{Head, NotSealed, Sealed};
use crate::journal::place::sync_folder;
use crate::journal::rotated;

/// What a file ends with.
pub(super) struct End {
    /// Up to the end of its last whole line.
    pub(super) length: u64,
    /// Behind that.
    torn: u64,
    pub(super) last: Last,
}

pub(super) enum Last {
    Record(Head),
    Newer,
    None,
}

impl End {
    pub(super) fn of(file: &File) -> io::Result<Self> {
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
        // Where no line ends as far as was looked, nothing is ours.
        let torn = match tail.iter().rposition(|&byte| byte == b'\n') {
            Some(end) => (tail.len() - end - 1) as u64,
            None if from == 0 => whole,
            None => 0,
        };
        Ok(Self { length: whole - torn, torn, last: Last::None })
    }

    /// Whether a file without a record is empty, or has the beginning of a first one.
    pub(super) fn may_be_ours(&self, mut file: &File) -> io::Result<bool> {
        const START: &[u8] = b"{\"v\":1,\"journal\":\"";
        let mut start = Vec::new();
        file.seek(SeekFrom::Start(0))?;
        file.take(START.len() as u64).read_to_end(&mut start)?;
        Ok(self.length == 0 && START.starts_with(&start))
    }

    /// Puts a last line without an end beside the file, and takes it away from there.
    pub(super) fn put_aside(&self, path: &Path, file: &File) -> io::Result<Option<(PathBuf, u64)>> {
        if self.torn == 0 {
            return Ok(None);
        }
        let aside = put_aside(path, file, self.length, self.torn)?;
        Ok(Some((aside, self.torn)))
    }
}

/// Puts the last `bytes` of a file beside it, and takes them away from there.
pub(super) fn put_aside(
    path: &Path,
    mut file: &File,
    from: u64,
    bytes: u64,
) -> io::Result<PathBuf> {
    let aside = rotated::beside(path, "torn");
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).custom_flags(OFlag::O_NONBLOCK.bits());
    let mut kept = options.open(&aside)?;
    let before = kept.metadata()?.len();
    let copied = (|| {
        file.seek(SeekFrom::Start(from))?;
        io::copy(&mut file.take(bytes), &mut kept)?;
        kept.write_all(b"\n")?;
        kept.sync_all()
    })();
    if copied.is_err() {
        // It is tried again, and there once in the end.
        let _ = kept.set_len(before);
    }
    copied?;
    sync_folder(path)?;
    file.set_len(from)?;
    file.sync_all()?;
    Ok(aside)
}

/// A few records.
const STEP: u64 = 64 * 1024;

/// So far is looked back for a record.
pub(super) const MOST_TAIL: usize = 4 << 20;
