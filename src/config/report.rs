//! Everything that is wrong with the configuration, of one run and of all its files together.
//!
//! A decoder adds problems and goes on; whoever asked looks at [`Report::has_errors`] in the end.
//! How a report is shown is in `report/render.rs`, what of a file may be shown in `shown.rs`.

use std::ops::Range;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::shown;
use super::source::{self, FileId, Layout, Place, Source};
use super::yaml::{Entry, Node};

mod kept;
mod nearest;
mod noted;
mod render;
mod warning;

use kept::Kept;

pub use super::shown::printable;
pub use nearest::nearest;
pub use noted::Noted;
pub use render::Color;
pub use warning::Warning;

/// Most errors that are kept, and most warnings. Who has more has one mistake that makes all the
/// others.
pub const MAX_PROBLEMS: usize = 500;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, and likely does not do what was meant.
    Warning,
}

impl Severity {
    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    file: FileId,
    place: Option<Place>,
    severity: Severity,
    code: Option<Warning>,
    message: String,
    help: Option<String>,
    shows_line: bool,
}

impl Problem {
    /// An error at a place.
    #[must_use]
    pub fn error(place: Place, message: impl Into<String>) -> Self {
        Self { place: Some(place), ..Self::in_file(place.file, message) }
    }

    /// An error that concerns a file as a whole.
    #[must_use]
    pub fn in_file(file: FileId, message: impl Into<String>) -> Self {
        Self {
            file,
            place: None,
            severity: Severity::Error,
            code: None,
            message: message.into(),
            help: None,
            shows_line: true,
        }
    }

    /// A warning at a place.
    #[must_use]
    pub fn warning(place: Place, code: Warning, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, code: Some(code), ..Self::error(place, message) }
    }

    /// Adds what was probably meant, or what to do.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Keeps the line out of the report, where even its masked form would tell too much.
    #[must_use]
    pub fn without_line(mut self) -> Self {
        self.shows_line = false;
        self
    }

    /// Whether the configuration can be used in spite of it.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// What kind of warning it is; an error has none, unless it was made of one.
    #[must_use]
    pub fn code(&self) -> Option<Warning> {
        self.code
    }

    /// Where it is, unless it concerns the whole file.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        self.place
    }

    /// What is wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// The files of one run, and what is wrong with them.
#[derive(Debug, Default)]
pub struct Report {
    sources: Vec<Source>,
    /// Apart from the warnings: however many there are of those, they hide no error.
    errors: Kept,
    warnings: Kept,
    /// Known from the start, so that these take no other's place.
    allowed: Vec<Warning>,
}

impl Report {
    /// A report without files and problems.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A report that leaves out the warnings of these kinds.
    #[must_use]
    pub fn allowing(allowed: &[Warning]) -> Self {
        Self { allowed: allowed.to_vec(), ..Self::default() }
    }

    /// Names a file of which no text could be had, so that problems can name it.
    pub fn add_unread(&mut self, name: &str) -> FileId {
        self.add(Source::new(name, ""))
    }

    /// Adds a file. `None`, and a problem, when its bytes are not a text.
    pub fn add_file(&mut self, name: &str, bytes: &[u8]) -> Option<FileId> {
        match source::text_of(bytes) {
            Ok(text) => Some(self.add(Source::new(name, text))),
            Err(unreadable) => {
                let file = self.add_unread(name);
                self.push(match unreadable.before {
                    None => Problem::in_file(file, unreadable.message),
                    Some(before) => {
                        let (line, column) =
                            source::position_after(&String::from_utf8_lossy(before));
                        let place = Place { file, line, column, width: 1 };
                        Problem::error(place, unreadable.message)
                    }
                });
                None
            }
        }
    }

    fn add(&mut self, source: Source) -> FileId {
        self.sources.push(source);
        FileId(self.sources.len() - 1)
    }

    /// Adds a problem, once however often it is found.
    pub fn push(&mut self, problem: Problem) {
        match problem.severity {
            Severity::Error => self.errors.add(problem),
            Severity::Warning if problem.code.is_some_and(|code| self.allowed.contains(&code)) => {}
            Severity::Warning => self.warnings.add(problem),
        }
    }

    /// Adds an error that needs no help.
    pub fn error(&mut self, place: Place, message: impl Into<String>) {
        self.push(Problem::error(place, message));
    }

    /// Adds an error about a name that nothing defines, with the one that was probably meant.
    ///
    /// `kind` is a noun: `library`, `tenant`.
    pub fn unknown_name<'a>(
        &mut self,
        place: Place,
        kind: &str,
        given: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) {
        let problem = Problem::error(place, format!("unknown {kind} {}", shown::quoted(given)));
        self.errors.add_with_help(problem, || {
            let known: Vec<_> = known.into_iter().collect();
            match nearest(given, known.iter().copied()) {
                Some(name) => format!("did you mean {}?", shown::quoted(name)),
                None if known.is_empty() => format!("no {kind} is defined"),
                None => format!("defined here: {}", shown::listed(known)),
            }
        });
    }

    /// Makes errors of the warnings.
    pub fn be_strict(&mut self) {
        let warnings = std::mem::take(&mut self.warnings);
        self.errors.take(warnings, Severity::Error);
    }

    /// Keeps everything in this node from being shown, whatever problem points at its lines.
    pub fn hide(&mut self, node: &Node) {
        self.hide_bytes(node.place.file, node.scalar_ranges());
    }

    /// Keeps a key from being shown, as [`hide`](Self::hide) does a value.
    pub(super) fn hide_key(&mut self, entry: &Entry) {
        self.hide_bytes(entry.key_place.file, vec![entry.key_range()]);
    }

    /// Whether the configuration cannot be used.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.error_count() > 0
    }

    /// How many errors there are; those that were not kept count too.
    #[must_use]
    pub fn error_count(&self) -> usize {
        self.errors.count()
    }

    /// How many warnings there are; those that were not kept count too.
    #[must_use]
    pub fn warning_count(&self) -> usize {
        self.warnings.count()
    }

    /// How many of them were not kept.
    #[must_use]
    pub fn dropped(&self, severity: Severity) -> usize {
        match severity {
            Severity::Error => self.errors.dropped(),
            Severity::Warning => self.warnings.dropped(),
        }
    }

    /// The problems by file and place.
    #[must_use]
    pub fn problems(&self) -> Vec<&Problem> {
        let mut problems: Vec<_> = self.errors.iter().chain(self.warnings.iter()).collect();
        problems.sort();
        problems
    }

    /// The report for people: plain, or with the colours of a terminal.
    #[must_use]
    pub fn render(&self, color: Color) -> String {
        render::text(self, color)
    }

    /// The report for programs: a list of objects.
    #[must_use]
    pub fn to_json(&self) -> Json {
        self.problems()
            .into_iter()
            .map(|problem| {
                json!({
                    "file": self.name(problem.file),
                    "line": problem.place.map(|place| place.line),
                    "column": problem.place.map(|place| place.column),
                    "severity": problem.severity.name(),
                    "code": problem.code.map(Warning::as_str),
                    "message": problem.message,
                    "help": problem.help,
                })
            })
            .collect()
    }

    pub(super) fn text(&self, file: FileId) -> Option<Arc<str>> {
        self.sources.get(file.0).map(|source| Arc::clone(&source.text))
    }

    pub(super) fn set_layout(&mut self, file: FileId, layout: Layout) {
        if let Some(source) = self.sources.get_mut(file.0) {
            source.layout = Some(layout);
        }
    }

    fn hide_bytes(&mut self, file: FileId, ranges: Vec<Range<usize>>) {
        if let Some(Source { layout: Some(layout), .. }) = self.sources.get_mut(file.0) {
            layout.hidden.extend(ranges);
        }
    }

    fn name(&self, file: FileId) -> &str {
        self.sources.get(file.0).map_or("?", |source| &source.name)
    }
}

#[cfg(test)]
mod tests;
