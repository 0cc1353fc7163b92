//! What journals say of the deletes that are to be undone.

use std::collections::{HashMap, HashSet};

use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::ids::{LibraryId, SpaceId};
use crate::journal::{Became, Entry, Event, JournalId, Line, Sealed, Text};
use crate::undo::seen::{Missing, Seen};
use crate::undo::{Selection, Space};

/// A delete that is to be undone.
#[derive(Debug, Clone)]
pub struct Deleted {
    /// Which journal says so.
    pub journal: JournalId,
    /// Which record of it.
    pub seq: u64,
    /// Which delete of it.
    pub delete: Option<String>,
    /// When it began, or, where nothing says so, when it was over.
    pub time: OffsetDateTime,
    /// Who asked.
    pub caller: Option<String>,
    /// Whose file it was.
    pub tenant: Option<String>,
    /// Where.
    pub space: Space,
    /// Which file.
    pub path: String,
    /// What became of it.
    pub what: What,
}

/// What became of a file, as far as a journal knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// It is in the recycle bin.
    Recycled(u64),
    /// Nobody knows: no whole answer came. If it was deleted, then between these.
    Unknown {
        /// When it was sent, at the earliest.
        from: OffsetDateTime,
        /// When SMH acted, at the latest.
        to: OffsetDateTime,
    },
    /// As `Unknown`, but there is nothing that the bin could tell: it was to be deleted for good.
    UnknownForGood,
    /// It was deleted for good, as was asked for.
    Permanent,
    /// It was deleted for good, although that was not asked for.
    BinOff,
}

/// What was seen in the journals besides records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Notes {
    /// Records that were read.
    pub records: u64,
    /// Lines that are no record.
    pub foreign: u64,
    /// Last lines without an end.
    pub torn: u64,
    /// Records of a version that came later: what they say is not known.
    pub newer: u64,
    /// Records that are not what they were: nothing of what they say is done.
    pub changed: u64,
    /// Records of deletes in which something is not what it should be: nothing of what they say is done.
    pub unreadable: u64,
    /// Records of which another one has the journal and number.
    pub copied: u64,
}

impl Notes {
    /// Whether there may be deletes of which nothing is known here.
    #[must_use]
    pub fn hide_something(&self) -> bool {
        [self.newer, self.changed, self.unreadable, self.copied, self.foreign] != [0; 5]
    }
}

/// All that the journals say.
#[derive(Debug, Default)]
pub struct Gathered {
    /// What is to be undone, in the order of time.
    pub deleted: Vec<Deleted>,
    /// Those without an answer that are not to be undone: what may be theirs is not taken for another's.
    pub others: Vec<Deleted>,
    /// Everything that anybody's delete put into a bin: what is not among it may be what became of a delete
    /// without an answer.
    pub accounted: HashMap<Space, HashSet<u64>>,
    /// What else was seen.
    pub notes: Notes,
    /// Records that were not there, and may be about what is to be undone.
    pub missing: Vec<Missing>,
}

/// Reads journals, line by line, in the order of writing; several may be mixed.
pub struct Gatherer<'s> {
    selection: &'s Selection,
    gathered: Gathered,
    /// Not over as far as was read: when they began, and the lines that say so.
    pending: HashMap<(JournalId, String), Intent>,
    /// A file may be given twice, or be there plain and compressed.
    seen: Seen,
    hashes: HashSet<u64>,
    /// Of what is changed: as they say.
    changed: Vec<(JournalId, u64)>,
    /// Of the requests that are asked for, those that were found.
    requests: HashSet<String>,
}

/// When it was written, and its line.
type Intent = (OffsetDateTime, Box<[u8]>);

impl<'s> Gatherer<'s> {
    /// To gather what is selected.
    #[must_use]
    pub fn new(selection: &'s Selection) -> Self {
        Self {
            selection,
            gathered: Gathered::default(),
            pending: HashMap::new(),
            seen: Seen::default(),
            hashes: HashSet::new(),
            changed: Vec::new(),
            requests: HashSet::new(),
        }
    }

    /// Looks at the next line.
    pub fn line(&mut self, line: Line<'_>) {
        let notes = &mut self.gathered.notes;
        match line {
            // A copy of a record is one and the same; another one of its name is of a journal that was copied
            // and gone on with in two places.
            Line::Record(sealed) if self.seen.has(sealed.journal, sealed.seq) => {
                notes.copied += u64::from(!self.hashes.contains(&sealed.hash.short()));
            }
            Line::Record(sealed) if !sealed.holds() => {
                notes.changed += 1;
                self.changed.push((sealed.journal, sealed.seq));
            }
            Line::Record(sealed) => {
                notes.records += 1;
                self.hashes.insert(sealed.hash.short());
                let entry = Entry::parse(sealed.text()).ok();
                let time = entry.as_ref().and_then(|entry| moment(&entry.time));
                self.seen.add(sealed.journal, sealed.seq, time);
                let heeded = entry.and_then(|entry| self.entry(&sealed, &entry, time));
                self.gathered.notes.unreadable += u64::from(heeded.is_none());
            }
            Line::Newer(_) => notes.newer += 1,
            Line::Foreign => notes.foreign += 1,
            Line::Torn(_) => notes.torn += 1,
        }
    }

    /// After the last line.
    #[must_use]
    pub fn end(mut self) -> Gathered {
        for (time, line) in std::mem::take(&mut self.pending).into_values() {
            let sealed = Sealed::parse(&line).ok();
            let heeded = sealed.and_then(|sealed| {
                let entry = Entry::parse(sealed.text()).ok()?;
                self.take(&sealed, &entry, time, None)
            });
            self.gathered.notes.unreadable += u64::from(heeded.is_none());
        }
        self.gathered.deleted.sort_by_key(|deleted| (deleted.time, deleted.journal, deleted.seq));
        let Selection { since, request_ids, .. } = self.selection;
        let is_all_found = !request_ids.is_empty()
            && request_ids.iter().all(|request| self.requests.contains(request));
        if !is_all_found {
            self.gathered.missing = self.seen.missing(*since, &self.changed);
        }
        self.gathered
    }

    /// `None`: what it says of a delete cannot be made out.
    fn entry(
        &mut self,
        sealed: &Sealed<'_>,
        entry: &Entry<'_>,
        time: Option<OffsetDateTime>,
    ) -> Option<()> {
        let key = entry.delete.as_deref().map(|delete| (sealed.journal, delete.to_owned()));
        match entry.event {
            Event::Intent => {
                let time = time?;
                match key {
                    Some(key) => {
                        self.pending.insert(key, (time, sealed.text().into()));
                    }
                    None => self.take(sealed, entry, time, None)?,
                }
            }
            Event::Delete => {
                let intent = key.as_ref().and_then(|key| self.pending.get(key));
                let intent = intent.map(|(time, _)| *time);
                self.take(sealed, entry, time?, intent)?;
                key.map(|key| self.pending.remove(&key));
            }
            Event::Start
            | Event::Stop
            | Event::Resumed
            | Event::Grant
            | Event::Undo
            | Event::Other => {}
        }
        Some(())
    }

    /// Takes in what became of a delete, of which this is the last that is said.
    fn take(
        &mut self,
        sealed: &Sealed<'_>,
        entry: &Entry<'_>,
        time: OffsetDateTime,
        intent: Option<OffsetDateTime>,
    ) -> Option<()> {
        let intended = match &entry.intended {
            Some(text) => Some(moment(text)?),
            None => None,
        };
        let began = [intent, intended].into_iter().flatten().min();
        let Some(what) = what(entry, began, time) else { return Some(()) };
        let began = intent.or(intended).unwrap_or(time);
        let is_selected = self.selection.selects(entry, began);
        // There can be a million that are not.
        let is_wanted = match what {
            What::Recycled(_) => true,
            // No delete that is selected can have been sent so much later.
            What::Unknown { to, .. } => {
                let since = self.selection.since.map(|since| since.saturating_sub(LONGEST + SKEW));
                is_selected || since.is_none_or(|since| to >= since)
            }
            What::UnknownForGood | What::Permanent | What::BinOff => is_selected,
        };
        if !is_wanted {
            return Some(());
        }
        let space = space(entry)?;
        if let What::Recycled(id) = what {
            match self.gathered.accounted.get_mut(&space) {
                Some(ids) => {
                    ids.insert(id);
                }
                None => {
                    self.gathered.accounted.insert(space.clone(), HashSet::from([id]));
                }
            }
        }
        if is_selected {
            if !self.selection.request_ids.is_empty() {
                self.requests.extend(entry.request_id.as_deref().map(str::to_owned));
            }
            self.gathered.deleted.push(deleted(sealed, entry, space, began, what)?);
        } else if matches!(what, What::Unknown { .. }) {
            self.gathered.others.push(deleted(sealed, entry, space, began, what)?);
        }
        Some(())
    }
}

fn moment(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

fn space(entry: &Entry<'_>) -> Option<Space> {
    Some(Space {
        library: LibraryId::try_from(entry.library.as_deref()?).ok()?,
        space: SpaceId::try_from(entry.space.as_deref()?).ok()?,
    })
}

fn deleted(
    sealed: &Sealed<'_>,
    entry: &Entry<'_>,
    space: Space,
    time: OffsetDateTime,
    what: What,
) -> Option<Deleted> {
    let text = |text: &Option<Text<'_>>| text.as_deref().map(str::to_owned);
    Some(Deleted {
        journal: sealed.journal,
        seq: sealed.seq,
        delete: text(&entry.delete),
        time,
        caller: text(&entry.caller),
        tenant: text(&entry.tenant),
        space,
        path: text(&entry.path)?,
        what,
    })
}

/// `None`: nothing was deleted, as far as the record says.
fn what(entry: &Entry<'_>, began: Option<OffsetDateTime>, time: OffsetDateTime) -> Option<What> {
    let unknown = || {
        if entry.permanent == Some(true) {
            return What::UnknownForGood;
        }
        let took = entry.duration_us.and_then(|took| i64::try_from(took).ok()).unwrap_or(0);
        let sent = time.saturating_sub(Duration::microseconds(took).min(LONGEST));
        let sent = began.map_or(sent, |began| began.min(sent));
        // Whoever says that it was lost may say so a week later.
        let over = time.min(sent.saturating_add(LONGEST));
        What::Unknown { from: sent.saturating_sub(SKEW), to: over.saturating_add(LATE) }
    };
    if entry.dry_run == Some(true) {
        return None;
    }
    if entry.event == Event::Intent {
        return Some(unknown());
    }
    let outcome = entry.outcome?;
    if matches!(outcome, Became::Refused | Became::NotSent) {
        return None;
    }
    // An answer that was not relayed may have been heard all the same.
    match (entry.smh_status, entry.recycled_item_id) {
        (Some(204), _) => Some(for_good(entry)),
        _ if entry.reversible == Some(false) => Some(for_good(entry)),
        (_, Some(id)) => Some(What::Recycled(id)),
        _ if outcome == Became::Unknown => Some(unknown()),
        // SMH may have acted (smh-api.md 4.4), or said in no way that is known what it did.
        (Some(200 | 202 | 408 | 499 | 500..), None) => Some(unknown()),
        (Some(_) | None, None) => None,
    }
}

fn for_good(entry: &Entry<'_>) -> What {
    if entry.permanent == Some(true) { What::Permanent } else { What::BinOff }
}

/// SMH's clock and ours may differ by so much.
const SKEW: Duration = Duration::minutes(2);

/// SMH acts on a request that nobody waits for any more this long after it was sent, at the latest.
const LATE: Duration = Duration::minutes(10);

/// No delete takes longer.
const LONGEST: Duration = Duration::hours(24);

#[cfg(test)]
mod tests;
