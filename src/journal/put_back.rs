//! After the machine failed: what the journal lost is taken from its write-ahead file.
//!
//! Of what was not on disk a file may lack the end, or any part in the middle where zeros are then. The
//! chain says what is missing: records in the write-ahead file that follow the last one of the journal, one
//! after the other.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::journal::ahead;
use crate::journal::chain::{Head, NOTHING, Sealed};
use crate::journal::end::put_aside;
use crate::journal::place::last_of_rotated;

/// What became of a write-ahead file that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutBack {
    /// Its records were put back into the journal, from where something was missing.
    Records {
        /// How many.
        records: u64,
        /// Where the damaged rest of the journal is now, and how many bytes it had.
        aside: Option<(PathBuf, u64)>,
    },
    /// The journal may lack some of its records, and is not where they belong: it is kept there.
    Kept(PathBuf),
}

/// Uses up the write-ahead file of a journal that is about to be written. `before` is the last record that
/// its files have, `locked` the last one that its lock knows of. `None`: there is no such file, or nothing in
/// it is missing in the journal.
///
/// # Errors
/// Where one of the files cannot be read, or the journal not be written.
pub(super) fn put_back(
    path: &Path,
    journal: &File,
    before: Option<Head>,
    locked: Option<Head>,
) -> io::Result<Option<PutBack>> {
    let name = ahead::name(path);
    let Some(content) = content_of(&name)? else { return Ok(None) };
    let written = records_in(&content);
    let before = before.or(locked);
    let (end, last) = whole_part(path, journal, &written, before)?;
    let lost = following(&written, last);
    let newest = written.last().map_or(0, |record| record.seq);
    let known = before.map_or(0, |before| before.seq).max(last.seq);
    // A machine that fails loses the lock's last words with those of the journal. Somebody moved this one away,
    // with all of its records, which must not be there twice.
    let is_taken = journal.metadata()?.len() == 0
        && newest > last.seq
        && locked.is_some_and(|locked| locked.seq >= newest);
    if !lost.is_empty() && !is_taken {
        let done = append(path, journal, end, &lost)?;
        fs::remove_file(&name)?;
        return Ok(Some(done));
    }
    // Nothing is ahead of it any more.
    journal.sync_data()?;
    if newest > known || is_taken {
        return Ok(Some(PutBack::Kept(ahead::keep(&name, known)?)));
    }
    fs::remove_file(&name)?;
    Ok(None)
}

fn content_of(name: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut options = OpenOptions::new();
    // Opening a FIFO would wait for somebody to write into it.
    let file = match options.read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(name) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut content = Vec::new();
    file.take(MOST).read_to_end(&mut content)?;
    Ok(Some(content))
}

/// In their order.
fn records_in(content: &[u8]) -> Vec<Sealed<'_>> {
    // In front of a half is what was there before, without an end.
    let (one, other) = content.split_at(content.len() / 2);
    let lines = [one, other].into_iter().flat_map(|half| half.split(|&byte| byte == b'\n'));
    let parsed = lines.filter_map(|line| Sealed::parse(line).ok());
    let mut records: Vec<_> = parsed.filter(Sealed::holds).collect();
    records.sort_by_key(|record| record.seq);
    records
}

/// Up to where nothing of the journal is missing, and the last record in front of that.
fn whole_part(
    path: &Path,
    journal: &File,
    written: &[Sealed<'_>],
    before: Option<Head>,
) -> io::Result<(u64, Head)> {
    let found = whole(journal, oldest_of_newest(written))?;
    if let Some(Whole { begins: 0, end, last, .. }) = found {
        return Ok((end, last));
    }
    // What stands in front of the first record that is left may have been some.
    let first = last_of_rotated(path)?.or(before.filter(|_| found.is_none()));
    let first = first.unwrap_or_else(|| before_first(written));
    let misses_none = |_: &Whole| following(written, first).is_empty();
    Ok(found.filter(misses_none).map_or((0, first), |whole| (whole.end, whole.last)))
}

/// Puts records behind the whole part of a journal. What is there now is put aside.
fn append(path: &Path, mut journal: &File, end: u64, lost: &[Sealed<'_>]) -> io::Result<PutBack> {
    let behind = journal.metadata()?.len() - end;
    let aside = match behind {
        0 => None,
        _ => Some((put_aside(path, journal, end, behind)?, behind)),
    };
    let mut lines = Vec::new();
    for record in lost {
        lines.extend_from_slice(record.text());
        lines.push(b'\n');
    }
    journal.write_all(&lines)?;
    journal.sync_all()?;
    Ok(PutBack::Records { records: lost.len() as u64, aside })
}

/// Of records in order, the first after which no number is missing: what is older is of an earlier round.
fn oldest_of_newest(written: &[Sealed<'_>]) -> u64 {
    let mut oldest = u64::MAX;
    for record in written.iter().rev() {
        if oldest != u64::MAX && oldest - record.seq > 1 {
            break;
        }
        oldest = record.seq;
    }
    oldest
}

/// What is in front of the first record of a journal that has none any more.
fn before_first(written: &[Sealed<'_>]) -> Head {
    let first = written.iter().find(|record| record.seq == 1 && record.prev == NOTHING);
    first.map_or_else(Head::of_new, |first| Head { journal: first.journal, seq: 0, hash: NOTHING })
}

fn following<'l>(written: &[Sealed<'l>], mut last: Head) -> Vec<Sealed<'l>> {
    let mut following = Vec::new();
    loop {
        let from = written.partition_point(|record| record.seq <= last.seq);
        let next = written
            .get(from..)
            .unwrap_or_default()
            .iter()
            .take_while(|record| record.seq == last.seq + 1)
            // What could not be written was taken back, and may still stand here.
            .find(|record| (record.journal, record.prev) == (last.journal, last.hash));
        let Some(&next) = next else { return following };
        last = next.head();
        following.push(next);
    }
}

/// The end of a journal, as far as each record follows the one before.
struct Whole {
    /// The number of its first record, and where in the file that stands, if that can matter.
    first: u64,
    begins: u64,
    /// Where it ends, and its last record.
    end: u64,
    last: Head,
}

/// Looked at from before the record `oldest`, or from the beginning.
fn whole(mut journal: &File, oldest: u64) -> io::Result<Option<Whole>> {
    let length = journal.metadata()?.len();
    let mut window = MOST;
    loop {
        let from = length.saturating_sub(window);
        journal.seek(SeekFrom::Start(from))?;
        let mut content = Vec::new();
        journal.take(length - from).read_to_end(&mut content)?;
        let whole = whole_of(&content, from);
        if from == 0 {
            return Ok(whole);
        }
        if window >= MOST_WINDOW || whole.as_ref().is_some_and(|whole| whole.first < oldest) {
            return Ok(whole.map(|whole| Whole { begins: 0, ..whole }));
        }
        window *= 2;
    }
}

fn whole_of(content: &[u8], from: u64) -> Option<Whole> {
    let (mut found, mut end) = (None::<Whole>, from);
    for line in content.split_inclusive(|&byte| byte == b'\n') {
        let begins = end;
        end += line.len() as u64;
        let Some(line) = line.strip_suffix(b"\n") else { break };
        // Others' lines are passed over; so is a hole, which the record behind it shows.
        let Some(record) = Sealed::parse(line).ok().filter(Sealed::holds) else { continue };
        let last = record.head();
        match &mut found {
            None => found = Some(Whole { first: record.seq, begins, end, last }),
            Some(whole) if (record.seq, record.prev) == (whole.last.seq + 1, whole.last.hash) => {
                (whole.end, whole.last) = (end, last);
            }
            Some(_) => break,
        }
    }
    found
}

/// Twice as long as the file is.
const MOST: u64 = 4 * ahead::HALF;

/// So far is looked for a record that is older than all of the write-ahead file.
const MOST_WINDOW: u64 = 64 << 20;

#[cfg(test)]
mod tests;
