//! Whether journals are whole: nothing changed, dropped, added or put elsewhere.
//!
//! A chain proves what stands in front of its last record. That nothing behind it was dropped, and that
//! the whole was not written anew, only a [`Head`] that was kept elsewhere can prove.

use std::collections::BTreeMap;
use std::fmt;

use crate::journal::chain::{Head, JournalId, NOTHING, Sealed};
use crate::journal::read::Line;

/// What is wrong with a line, or with a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The record is not what it was: its hash is another one.
    Changed {
        /// Which record it says it is.
        seq: u64,
    },
    /// The record before it, or this one, was put there instead of another.
    Unlinked {
        /// Which record.
        seq: u64,
    },
    /// Records are missing in front of this one.
    Dropped {
        /// The first that is missing.
        from: u64,
        /// The last.
        to: u64,
    },
    /// It stands behind one that came later, or stands there twice.
    OutOfOrder {
        /// Which record.
        seq: u64,
        /// The one in front of it.
        after: u64,
    },
    /// It is no record.
    Foreign,
    /// It has no end: its writer was killed, or is just writing it.
    Torn,
    /// Another version of the gateway wrote it.
    Newer(u64),
    /// The journal ends in front of the head that is to be in it.
    Short {
        /// Where it ends.
        at: u64,
        /// The head.
        head: Head,
    },
    /// Another record is where the head should be.
    AnotherHead(Head),
    /// None of the files has a record of the head's journal.
    NoJournal(Head),
    /// The head's record is in front of those that are there.
    HeadBefore {
        /// The first that is there.
        first: u64,
        /// The head.
        head: Head,
    },
}

impl Finding {
    /// The word for it in reports for programs.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Changed { .. } => "changed",
            Self::Unlinked { .. } => "unlinked",
            Self::Dropped { .. } => "dropped",
            Self::OutOfOrder { .. } => "out_of_order",
            Self::Foreign => "foreign",
            Self::Torn => "torn",
            Self::Newer(_) => "newer",
            Self::Short { .. } => "short",
            Self::AnotherHead(_) => "another_head",
            Self::NoJournal(_) => "no_journal",
            Self::HeadBefore { .. } => "head_before",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { seq } => write!(f, "record {seq} was changed: its hash does not fit"),
            Self::Unlinked { seq } => {
                write!(f, "record {seq} does not follow the one before: one of them was replaced")
            }
            Self::Dropped { from, to } if from == to => write!(f, "record {from} is missing"),
            Self::Dropped { from, to } => write!(f, "records {from} to {to} are missing"),
            Self::OutOfOrder { seq, after } => {
                write!(f, "record {seq} stands behind record {after}: moved, or there twice")
            }
            Self::Foreign => f.write_str("this line is no record"),
            Self::Torn => f.write_str(
                "the last line has no end: its writer was killed, or is just writing it",
            ),
            Self::Newer(version) => write!(
                f,
                "this line is of version {version}, which is not known here: use a newer smh-gateway"
            ),
            Self::Short { at, head } => write!(
                f,
                "journal {} ends with record {at}: those up to the head, {}, were dropped",
                head.journal, head.seq
            ),
            Self::AnotherHead(head) => write!(
                f,
                "record {} of journal {} is not that of the head: the journal was written anew",
                head.seq, head.journal
            ),
            Self::NoJournal(head) => write!(f, "no record is of journal {}", head.journal),
            Self::HeadBefore { first, head } => write!(
                f,
                "journal {} begins with record {first}: that of the head, {}, is in an earlier file",
                head.journal, head.seq
            ),
        }
    }
}

/// What is known of one journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The first record that was seen.
    pub first: u64,
    /// The last.
    pub head: Head,
    /// How many.
    pub records: u64,
}

/// Looks at every line, in order. Several journals may be mixed.
#[derive(Default)]
pub struct Verifier {
    chains: BTreeMap<JournalId, Chain>,
    heads: Vec<(Head, bool)>,
}

impl Verifier {
    /// To be checked against heads that were kept elsewhere.
    #[must_use]
    pub fn new(heads: impl IntoIterator<Item = Head>) -> Self {
        let heads = heads.into_iter().map(|head| (head, false)).collect();
        Self { chains: BTreeMap::new(), heads }
    }

    /// Looks at the next line.
    pub fn line(&mut self, line: Line<'_>, found: &mut Vec<Finding>) {
        match line {
            Line::Record(sealed) => self.record(&sealed, found),
            Line::Foreign => found.push(Finding::Foreign),
            Line::Newer(version) => found.push(Finding::Newer(version)),
            Line::Torn(_) => found.push(Finding::Torn),
        }
    }

    fn record(&mut self, sealed: &Sealed<'_>, found: &mut Vec<Finding>) {
        let seq = sealed.seq;
        if !sealed.holds() {
            found.push(Finding::Changed { seq });
        }
        for (head, seen) in &mut self.heads {
            if head.journal == sealed.journal && head.seq == seq {
                *seen = true;
                if *head != sealed.head() {
                    found.push(Finding::AnotherHead(*head));
                }
            }
        }
        let Some(chain) = self.chains.get_mut(&sealed.journal) else {
            if seq <= 1 && (seq, sealed.prev) != (1, NOTHING) {
                found.push(Finding::Unlinked { seq });
            }
            let chain = Chain { first: seq, head: sealed.head(), records: 1 };
            self.chains.insert(sealed.journal, chain);
            return;
        };
        chain.records += 1;
        let before = chain.head;
        if seq <= before.seq {
            found.push(Finding::OutOfOrder { seq, after: before.seq });
            return;
        }
        if seq > before.seq + 1 {
            found.push(Finding::Dropped { from: before.seq + 1, to: seq - 1 });
        } else if sealed.prev != before.hash {
            found.push(Finding::Unlinked { seq });
        }
        chain.head = sealed.head();
    }

    /// After the last line: what is known of each journal.
    pub fn end(self, found: &mut Vec<Finding>) -> BTreeMap<JournalId, Chain> {
        for (head, seen) in self.heads {
            match self.chains.get(&head.journal) {
                _ if seen => {}
                None => found.push(Finding::NoJournal(head)),
                Some(chain) if head.seq < chain.first => {
                    found.push(Finding::HeadBefore { first: chain.first, head });
                }
                Some(chain) if head.seq > chain.head.seq => {
                    found.push(Finding::Short { at: chain.head.seq, head });
                }
                // It is missing among those that are there, which was found already.
                Some(_) => {}
            }
        }
        self.chains
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Lines of one journal.
    fn journal(records: usize) -> (Vec<Vec<u8>>, Head) {
        let mut head = Head::of_new();
        let line = |index: usize| {
            let mut out = Vec::new();
            head.seal(format!("\"path\":\"f{index}\"").as_bytes(), &mut out);
            out.pop();
            out
        };
        ((0..records).map(line).collect(), head)
    }

    fn verify<'l>(
        lines: impl IntoIterator<Item = &'l Vec<u8>>,
        head: Option<Head>,
    ) -> Vec<&'static str> {
        let (mut verifier, mut found) = (Verifier::new(head), Vec::new());
        for line in lines {
            verifier.line(Sealed::parse(line).map_or(Line::Foreign, Line::Record), &mut found);
        }
        verifier.end(&mut found);
        found.iter().map(Finding::as_str).collect()
    }

    #[test]
    fn a_whole_journal_has_nothing_wrong_with_it_and_may_begin_late() {
        let (lines, head) = journal(9);
        assert_eq!(verify(&lines, Some(head)), [""; 0]);
        assert_eq!(verify(&lines[4..], Some(head)), [""; 0]);
        let (others, _) = journal(5);
        let mixed = lines.iter().zip(&others).flat_map(|(one, other)| [one, other]);
        assert_eq!(verify(mixed, None), [""; 0]);
    }

    #[test]
    fn what_a_chain_cannot_tell_a_head_can() {
        let (lines, head) = journal(9);
        assert_eq!(verify(&lines[..7], None), [""; 0], "the end of it may be missing");
        assert_eq!(verify(&lines[..7], Some(head)), ["short"]);
        let (mut anew, _) = journal(9);
        assert_eq!(verify(&anew, Some(head)), ["no_journal"]);
        let mut again = Head { seq: 0, hash: NOTHING, ..head };
        for (index, line) in anew.iter_mut().enumerate() {
            line.clear();
            again.seal(format!("\"path\":\"g{index}\"").as_bytes(), line);
            line.pop();
        }
        assert_eq!(verify(&anew, None), [""; 0]);
        assert_eq!(verify(&anew, Some(head)), ["another_head"]);
        let first = Sealed::parse(&lines[0]).unwrap().head();
        assert_eq!(verify(&lines[2..], Some(first)), ["head_before"]);
    }

    proptest! {
        #[test]
        fn whatever_is_done_to_it_is_found(
            count in 3..12_usize, which in any::<prop::sample::Index>(),
            other in any::<prop::sample::Index>(), how in 0..5, byte in any::<prop::sample::Index>(),
        ) {
            let (mut lines, head) = journal(count);
            let (at, to) = (which.index(count), other.index(count));
            match how {
                0 => { lines.remove(at); }
                1 => { let line = lines.remove(at); lines.insert((at + 1 + to % (count - 1)) % count, line); }
                2 => lines.insert(to, lines[at].clone()),
                3 => { let byte = byte.index(lines[at].len()); lines[at][byte] ^= 0x04; }
                _ => lines.insert(at, b"{\"some\":\"line\"}".to_vec()),
            }
            let found = verify(&lines, Some(head));
            // A journal without its first records is whole, as far as it goes.
            let only_starts_later = how == 0 && at == 0;
            prop_assert_eq!(found.is_empty(), only_starts_later, "{:?}", found);
        }
    }
}
