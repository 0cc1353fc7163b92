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
}

impl Notes {
    /// Whether there may be deletes of which nothing is known here.
    #[must_use]
    pub fn hide_something(&self) -> bool {
        self.newer > 0 || self.changed > 0 || self.unreadable > 0
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
            changed: Vec::new(),
            requests: HashSet::new(),
        }
    }

    /// Looks at the next line.
    pub fn line(&mut self, line: Line<'_>) {
        let notes = &mut self.gathered.notes;
        match line {
            Line::Record(sealed) if self.seen.has(sealed.journal, sealed.seq) => {}
            Line::Record(sealed) if !sealed.holds() => {
                notes.changed += 1;
                self.changed.push((sealed.journal, sealed.seq));
            }
            Line::Record(sealed) => {
                notes.records += 1;
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
mod tests {
    use super::*;
    use crate::journal::Head;

    /// What is gathered of these records, which are of one journal; times are left out.
    fn gathered(bodies: &[&str]) -> Vec<(u64, What)> {
        let selection = Selection::default();
        let (mut gatherer, mut head) = (Gatherer::new(&selection), Head::of_new());
        for body in bodies {
            let mut line = Vec::new();
            let place = "\"time\":\"2026-11-25T13:00:00.000000Z\",\"library\":\"l\",\"space\":\"s\",\"path\":\"a\"";
            head.seal(format!("{place},{body}").as_bytes(), &mut line);
            gatherer.line(Line::Record(Sealed::parse(line.trim_ascii_end()).unwrap()));
        }
        let gathered = gatherer.end();
        assert_eq!((gathered.notes.records, gathered.notes.unreadable), (bodies.len() as u64, 0));
        gathered.deleted.into_iter().map(|one| (one.seq, one.what)).collect()
    }

    fn unknown(took_seconds: i64) -> What {
        let time = OffsetDateTime::parse("2026-11-25T13:00:00Z", &Rfc3339).unwrap();
        let from = time - SKEW - Duration::seconds(took_seconds);
        What::Unknown { from, to: time + LATE }
    }

    #[test]
    fn a_record_says_what_became_of_a_file() {
        let relayed = |more: &str| {
            format!("\"event\":\"delete\",\"delete\":\"d\",\"outcome\":\"relayed\",{more}")
        };
        let not_relayed =
            |more: &str| format!("\"event\":\"delete\",\"outcome\":\"unknown\",{more}");
        for (body, what) in [
            (
                relayed("\"smh_status\":200,\"recycled_item_id\":7,\"reversible\":true"),
                What::Recycled(7),
            ),
            (
                relayed("\"smh_status\":200,\"recycled_item_id\":7,\"reversible\":false"),
                What::BinOff,
            ),
            (relayed("\"smh_status\":204,\"permanent\":true"), What::Permanent),
            (relayed("\"smh_status\":204,\"permanent\":false"), What::BinOff),
            (relayed("\"smh_status\":200"), unknown(0)),
            (relayed("\"smh_status\":503,\"duration_us\":5000000"), unknown(5)),
            (relayed("\"smh_status\":500,\"permanent\":true"), What::UnknownForGood),
            ("\"event\":\"intent\",\"delete\":\"d\"".into(), unknown(0)),
            ("\"event\":\"intent\",\"permanent\":true".into(), What::UnknownForGood),
            ("\"event\":\"delete\",\"outcome\":\"unknown\"".into(), unknown(0)),
            (not_relayed("\"smh_status\":200"), unknown(0)),
            (not_relayed("\"smh_status\":404"), unknown(0)),
            (not_relayed("\"smh_status\":200,\"recycled_item_id\":7"), What::Recycled(7)),
            (not_relayed("\"smh_status\":204,\"permanent\":true"), What::Permanent),
            (not_relayed("\"smh_status\":204"), What::BinOff),
            (not_relayed("\"smh_status\":200,\"reversible\":false"), What::BinOff),
        ] {
            assert_eq!(gathered(&[&body]), [(1, what)], "{body}");
        }
        for nothing in [
            relayed("\"smh_status\":404"),
            relayed("\"smh_status\":403"),
            relayed("\"smh_status\":429"),
            "\"event\":\"delete\",\"outcome\":\"refused\"".into(),
            "\"event\":\"delete\",\"outcome\":\"not_sent\"".into(),
            "\"event\":\"delete\",\"dry_run\":true,\"outcome\":\"refused\"".into(),
            "\"event\":\"undo\",\"delete\":\"d\",\"recycled_item_id\":7".into(),
            "\"event\":\"something_later\"".into(),
        ] {
            assert_eq!(gathered(&[&nothing]), [], "{nothing}");
        }
    }

    #[test]
    fn an_intent_counts_only_where_nothing_says_what_became_of_it() {
        let intent = |delete| format!("\"event\":\"intent\",\"delete\":\"{delete}\"");
        let over =
            "\"event\":\"delete\",\"delete\":\"one\",\"outcome\":\"relayed\",\"smh_status\":404";
        assert_eq!(gathered(&[&intent("one"), &intent("two"), over]), [(2, unknown(0))]);
        assert_eq!(gathered(&[over, &intent("two")]), [(2, unknown(0))]);
    }

    /// Two records of one delete, with these fields, and what is gathered with this selection.
    fn of_two(selection: &Selection, intent: &str, over: &str) -> Gathered {
        let (mut gatherer, mut head) = (Gatherer::new(selection), Head::of_new());
        for (event, more) in [("intent", intent), ("delete", over)] {
            let mut line = Vec::new();
            let body = format!(
                "\"event\":\"{event}\",\"delete\":\"d\",\"library\":\"l\",\"space\":\"s\",\"path\":\"a\",\
                 {more}"
            );
            if !more.is_empty() {
                head.seal(body.as_bytes(), &mut line);
                gatherer.line(Line::Record(Sealed::parse(line.trim_ascii_end()).unwrap()));
            }
        }
        gatherer.end()
    }

    #[test]
    fn a_delete_that_was_closed_after_a_restart_is_of_the_time_at_which_it_began() {
        let at = |text| OffsetDateTime::parse(text, &Rfc3339).unwrap();
        let intent = "\"time\":\"2026-11-25T12:30:00Z\"";
        let closing = "\"time\":\"2026-11-25T13:00:00Z\",\"outcome\":\"unknown\"";
        let intended = format!("{closing},\"intended\":\"2026-11-25T12:30:00Z\"");
        let until = Some(at("2026-11-25T12:45:00Z"));
        let early = Selection { until, ..Selection::default() };
        let late = Selection { since: until, ..Selection::default() };
        for (intent, over) in [(intent, closing), (intent, &*intended), ("", &*intended)] {
            let [deleted] = &*of_two(&early, intent, over).deleted else { panic!("{over}") };
            let began = at("2026-11-25T12:30:00Z");
            let to = at("2026-11-25T13:00:00Z") + LATE;
            assert_eq!(deleted.time, began);
            assert_eq!(deleted.what, What::Unknown { from: began - SKEW, to });
            assert_eq!(of_two(&late, intent, over).deleted.len(), 0);
        }
        // Without an intent and without its time there is only that of the record.
        assert_eq!(of_two(&early, "", closing).deleted.len(), 0);
        assert_eq!(of_two(&late, "", closing).deleted.len(), 1);
        // A gateway that stood still for a week does not make a delete that lasted a week.
        let week = intended.replace("11-25T13", "12-02T13");
        let [deleted] = &*of_two(&early, intent, &week).deleted else { panic!() };
        let from = at("2026-11-25T12:30:00Z");
        let to = from + LONGEST + LATE;
        assert_eq!(deleted.what, What::Unknown { from: from - SKEW, to });
    }

    #[test]
    fn what_cannot_be_made_out_of_a_record_is_counted_and_its_intent_stays() {
        let selection = Selection::default();
        let intent = "\"time\":\"2026-11-25T12:30:00Z\"";
        for bad in [
            "\"time\":\"today\",\"outcome\":\"unknown\"",
            "\"time\":\"2026-11-25T12:30:00Z\",\"outcome\":\"unknown\",\"intended\":\"then\"",
            "\"time\":\"2026-11-25T12:30:00Z\",\"outcome\":\"unheard_of\"",
            "\"outcome\":\"unknown\"",
        ] {
            let gathered = of_two(&selection, intent, bad);
            assert_eq!((gathered.notes.unreadable, gathered.deleted.len()), (1, 1), "{bad}");
            assert!(gathered.notes.hide_something());
        }
    }

    #[test]
    fn a_record_that_comes_twice_is_one_whatever_came_between() {
        let selection = Selection::default();
        let (mut head, mut lines) = (Head::of_new(), Vec::new());
        for (event, delete) in [("intent", "one"), ("delete", "one"), ("intent", "two")] {
            let mut line = Vec::new();
            let body = format!(
                "\"time\":\"2026-11-25T13:00:00Z\",\"event\":\"{event}\",\"delete\":\"{delete}\",\"library\":\"l\",\
                 \"space\":\"s\",\"path\":\"a\",\"outcome\":\"relayed\",\"smh_status\":404"
            );
            head.seal(body.as_bytes(), &mut line);
            lines.push(line);
        }
        let mut gatherer = Gatherer::new(&selection);
        for at in [0, 1, 0, 2, 1, 2, 0] {
            gatherer.line(Line::Record(Sealed::parse(lines[at].trim_ascii_end()).unwrap()));
        }
        let gathered = gatherer.end();
        assert_eq!((gathered.notes.records, gathered.deleted.len()), (3, 1));
        assert_eq!((gathered.deleted[0].seq, gathered.missing.len()), (3, 0));
    }

    #[test]
    fn a_time_at_the_edge_of_all_times_is_one_like_any_other() {
        let selection = Selection::default();
        for year in ["0000", "9999"] {
            let mut gatherer = Gatherer::new(&selection);
            let mut line = Vec::new();
            let body = format!(
                "\"time\":\"{year}-01-01T00:00:00.000000Z\",\"event\":\"intent\",\"library\":\"l\",\
                 \"space\":\"s\",\"path\":\"a\",\"duration_us\":18446744073709551615"
            );
            Head::of_new().seal(body.as_bytes(), &mut line);
            gatherer.line(Line::Record(Sealed::parse(line.trim_ascii_end()).unwrap()));
            assert_eq!(gatherer.end().deleted.len(), 1);
        }
    }
}
