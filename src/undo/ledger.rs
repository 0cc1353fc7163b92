//! An undo's own journal: what it is about to restore, and what became of it. So nothing is restored
//! twice, and one that was interrupted goes on where it was.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use serde::Deserialize;
use time::OffsetDateTime;
use time::macros::format_description;

use crate::ids::{LibraryId, SpaceId};
use crate::journal::{Appender, Durability, Event, Line, OpenError};
use crate::log::JsonLine;
use crate::undo::files::read_journal;
use crate::undo::gather::Deleted;
use crate::undo::{Outcome, Restored, Space};

/// What was done before.
#[derive(Debug, Default)]
pub struct Done {
    items: HashMap<Space, HashMap<u64, State>>,
    /// What deletes without an answer were found to be: by journal and name, and by journal and record. The
    /// record that says most of a delete is another one once its gateway was started again.
    found_by_name: HashMap<(String, String), u64>,
    found: HashMap<(String, u64), u64>,
}

#[derive(Debug)]
enum State {
    /// It was about to be: what became of it is not known.
    Tried,
    Restored(Option<String>),
    NotRestored,
}

impl Done {
    /// Whether it was restored, and where to, where that is known.
    #[must_use]
    pub fn restored(&self, space: &Space, id: u64) -> Option<Option<&str>> {
        match self.items.get(space)?.get(&id)? {
            State::Restored(as_path) => Some(as_path.as_deref()),
            State::Tried | State::NotRestored => None,
        }
    }

    /// Whether it was tried, and nothing says what became of that.
    #[must_use]
    pub fn tried(&self, space: &Space, id: u64) -> bool {
        let state = self.items.get(space).and_then(|items| items.get(&id));
        matches!(state, Some(State::Tried))
    }

    /// What a delete was found to be in the bin.
    pub(super) fn found(&self, deleted: &Deleted) -> Option<u64> {
        let journal = deleted.journal.to_string();
        let key = deleted.delete.clone().map(|delete| (journal.clone(), delete));
        let by_name = key.and_then(|key| self.found_by_name.get(&key));
        by_name.or_else(|| self.found.get(&(journal, deleted.seq))).copied()
    }

    /// Takes in a record; what is none of an undo's says nothing.
    pub(super) fn line(&mut self, text: &[u8]) {
        let Ok(record) = serde_json::from_slice::<Record>(text) else { return };
        if record.event != Event::Undo {
            return;
        }
        let library = LibraryId::try_from(record.library.as_str());
        let space = SpaceId::try_from(record.space.as_str());
        let (Ok(library), Ok(space)) = (library, space) else { return };
        let id = record.recycled_item_id;
        if let Some(delete) = record.delete {
            self.found_by_name.insert((record.of_journal.clone(), delete), id);
        }
        self.found.insert((record.of_journal, record.of_seq), id);
        let state = match record.restored {
            None => State::Tried,
            Some(true) => State::Restored(record.as_path),
            Some(false) => State::NotRestored,
        };
        let items = self.items.entry(Space { library, space }).or_default();
        // Whatever is written behind it: what was restored has left the bin for good.
        if !matches!(items.get(&id), Some(State::Restored(_))) {
            items.insert(id, state);
        }
    }
}

#[derive(Deserialize)]
struct Record {
    event: Event,
    of_journal: String,
    of_seq: u64,
    delete: Option<String>,
    library: String,
    space: String,
    recycled_item_id: u64,
    restored: Option<bool>,
    as_path: Option<String>,
}

/// Why it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another undo has it, or it cannot be opened.
    #[error("the undo's own journal: {0}")]
    Open(#[from] OpenError),
    /// It cannot be read.
    #[error("the undo's own journal {0}: {1}")]
    Read(String, #[source] io::Error),
    /// What it says was restored may not be.
    #[error(
        "the undo's own journal {0}: record {1} was changed: see `audit verify`, and move it away to begin anew"
    )]
    Changed(String, u64),
}

/// The journal, open for writing.
pub struct Ledger {
    appender: Appender,
    run: String,
    operator: u32,
}

impl Ledger {
    /// Opens it, and reads what is in it. Nobody else can open it meanwhile.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn open(path: &Path) -> Result<(Self, Done), LedgerError> {
        let (appender, _) = Appender::open(path)?;
        let run = hex::encode(rand::random::<[u8; 8]>());
        let operator = nix::unistd::Uid::current().as_raw();
        Ok((Self { appender, run, operator }, Self::done(path)?))
    }

    /// What is in it, without writing. One that is not there is empty.
    ///
    /// # Errors
    /// [`LedgerError::Read`], and [`LedgerError::Changed`].
    pub fn done(path: &Path) -> Result<Done, LedgerError> {
        let (mut done, mut changed) = (Done::default(), None);
        let mut heed = |line: Line<'_>| match line {
            Line::Record(sealed) if sealed.holds() => done.line(sealed.text()),
            Line::Record(sealed) => changed = changed.or(Some(sealed.seq)),
            Line::Newer(_) | Line::Foreign | Line::Torn(_) => {}
        };
        if let Err((path, error)) = read_journal(path, &mut heed) {
            return Err(LedgerError::Read(path.display().to_string(), error));
        }
        match changed {
            Some(seq) => Err(LedgerError::Changed(path.display().to_string(), seq)),
            None => Ok(done),
        }
    }

    /// What this run is called in it.
    #[must_use]
    pub fn run(&self) -> &str {
        &self.run
    }

    /// What is about to be restored.
    pub(super) fn intend(&mut self, deleted: &Deleted, id: u64) {
        self.add(deleted, id, |_| {});
    }

    /// What became of it. Nothing is written of what nobody knows: then it was tried.
    pub(super) fn settle(&mut self, deleted: &Deleted, id: u64, outcome: &Outcome) {
        match outcome {
            Outcome::Restored(Restored { as_path, presumed }) => self.add(deleted, id, |line| {
                line.flag("restored", true).text_if("as_path", as_path.as_deref());
                line.text_if("cause", presumed.then_some("it has left the recycle bin"));
            }),
            Outcome::NotRestored { code, cause } => self.add(deleted, id, |line| {
                line.flag("restored", false).text_if("code", code.as_deref()).text("cause", cause);
            }),
            // It was about to be: whoever restores it later, it was not this run.
            Outcome::NotTried => self.add(deleted, id, |line| {
                line.flag("restored", false).text("cause", "not tried");
            }),
            Outcome::Unknown { .. } | Outcome::HasLeft => {}
        }
    }

    /// Makes all of it be on disk.
    ///
    /// # Errors
    /// Where it cannot be written: then nothing more may be restored.
    pub(super) fn commit(&mut self) -> io::Result<()> {
        self.appender.commit(Durability::Sync)
    }

    fn add(&mut self, deleted: &Deleted, id: u64, more: impl FnOnce(&mut JsonLine<'_>)) {
        let mut object = Vec::with_capacity(512);
        let mut line = JsonLine::new(&mut object);
        let format = format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z"
        );
        // A time of today has a form.
        let time = OffsetDateTime::now_utc().format(format).unwrap_or_default();
        line.text("time", &time)
            .text("event", "undo")
            .text("undo", &self.run)
            .number("operator_uid", u64::from(self.operator))
            .text("of_journal", &deleted.journal.to_string())
            .number("of_seq", deleted.seq)
            .text_if("delete", deleted.delete.as_deref())
            .text_if("caller", deleted.caller.as_deref())
            .text_if("tenant", deleted.tenant.as_deref())
            .text("library", deleted.space.library.as_str())
            .text("space", deleted.space.space.as_str())
            .text("path", &deleted.path)
            .number("recycled_item_id", id);
        more(&mut line);
        // What stands between the braces.
        self.appender.add(object.get(1..).unwrap_or_default());
    }
}
