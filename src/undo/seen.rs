//! Which records of each journal were read: none counts twice, and none is missing without a word.

use std::collections::BTreeMap;
use std::fmt;

use time::OffsetDateTime;

use crate::journal::JournalId;

/// Records of a journal that were not there to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// Whose.
    pub journal: JournalId,
    /// The first of them.
    pub first: u64,
    /// The last of them.
    pub last: u64,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { journal, first, last } = self;
        match first {
            1 => write!(f, "records before {} of the journal {journal}", last.saturating_add(1)),
            _ => write!(f, "records {first} to {last} of the journal {journal}"),
        }?;
        f.write_str(" are not among these files")
    }
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Of each journal, what stands together, by its first record.
    journals: BTreeMap<JournalId, BTreeMap<u64, Together>>,
}

#[derive(Debug)]
struct Together {
    last: u64,
    /// When the first of them was written, where that can be made out.
    time: Option<OffsetDateTime>,
}

impl Seen {
    pub(super) fn has(&self, journal: JournalId, seq: u64) -> bool {
        let before = self.journals.get(&journal).and_then(|all| all.range(..=seq).next_back());
        before.is_some_and(|(_, together)| seq <= together.last)
    }

    /// Takes in one that was not seen.
    pub(super) fn add(&mut self, journal: JournalId, seq: u64, time: Option<OffsetDateTime>) {
        let all = self.journals.entry(journal).or_default();
        let behind = seq.checked_add(1).and_then(|next| all.remove(&next));
        let last = behind.map_or(seq, |together| together.last);
        match all.range_mut(..seq).next_back() {
            Some((_, before)) if before.last.checked_add(1) == Some(seq) => before.last = last,
            Some(_) | None => {
                all.insert(seq, Together { last, time });
            }
        }
    }

    /// What is missing, but for what was written before `since`, and for these, which were there in some way.
    pub(super) fn missing(
        mut self,
        since: Option<OffsetDateTime>,
        there: &[(JournalId, u64)],
    ) -> Vec<Missing> {
        for &(journal, seq) in there {
            let last = self.journals.get(&journal).and_then(|all| all.last_key_value());
            if last.is_some_and(|(_, together)| seq < together.last) && !self.has(journal, seq) {
                self.add(journal, seq, None);
            }
        }
        let mut missing = Vec::new();
        for (journal, all) in self.journals {
            let mut next = 1;
            for (first, Together { last, time }) in all {
                let is_older = since.is_some_and(|since| time.is_some_and(|time| time <= since));
                if first > next && !is_older {
                    missing.push(Missing { journal, first: next, last: first - 1 });
                }
                next = last.saturating_add(1);
            }
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Head;

    fn at(second: u64) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + std::time::Duration::from_secs(second.min(1000))
    }

    /// What is missing where these are read, in this order, each written in the second of its number.
    fn missing(read: &[u64], since: Option<u64>, there: &[u64]) -> Vec<(u64, u64)> {
        let journal = Head::of_new().journal;
        let mut seen = Seen::default();
        for &seq in read {
            assert!(!seen.has(journal, seq));
            seen.add(journal, seq, Some(at(seq)));
            assert!(seen.has(journal, seq));
        }
        let there: Vec<_> = there.iter().map(|&seq| (journal, seq)).collect();
        let missing = seen.missing(since.map(at), &there);
        missing.into_iter().map(|one| (one.first, one.last)).collect()
    }

    #[test]
    fn what_is_missing_is_told_in_whatever_order_the_rest_was_read() {
        assert_eq!(missing(&[], None, &[]), []);
        assert_eq!(missing(&[1, 2, 3], None, &[]), []);
        assert_eq!(missing(&[5, 6, 3, 4, 1, 2], None, &[]), []);
        assert_eq!(missing(&[2, 1, 3], None, &[]), []);
        assert_eq!(missing(&[4, 8, 5, 9], None, &[]), [(1, 3), (6, 7)]);
        assert_eq!(missing(&[u64::MAX, 1], None, &[]), [(2, u64::MAX - 1)]);
        assert_eq!(missing(&[7, 3], None, &[]), [(1, 2), (4, 6)]);
    }

    #[test]
    fn what_was_written_before_or_was_there_in_some_way_is_not_missed() {
        assert_eq!(missing(&[4, 8], Some(3), &[]), [(1, 3), (5, 7)]);
        assert_eq!(missing(&[4, 8], Some(4), &[]), [(5, 7)]);
        assert_eq!(missing(&[4, 8], Some(9), &[]), []);
        assert_eq!(missing(&[2, 4], None, &[1, 3, 5, u64::MAX]), []);
    }
}
