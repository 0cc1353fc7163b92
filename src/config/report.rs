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

mod noted;
mod render;
mod warning;

pub use super::shown::printable;
pub use noted::Noted;
pub use render::Color;
pub use warning::Warning;

/// Most problems that are kept. Who has more has one mistake that makes all the others.
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
    problems: Vec<Problem>,
    /// Problems past [`MAX_PROBLEMS`].
    dropped: usize,
    errors: usize,
}

impl Report {
    /// A report without files and problems.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
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
        if self.problems.contains(&problem) {
            return;
        }
        self.errors += usize::from(problem.severity == Severity::Error);
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        } else {
            self.dropped += 1;
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
        let known: Vec<_> = known.into_iter().collect();
        let problem = Problem::error(place, format!("unknown {kind} {}", shown::quoted(given)));
        self.push(problem.with_help(match nearest(given, known.iter().copied()) {
            Some(name) => format!("did you mean {}?", shown::quoted(name)),
            None if known.is_empty() => format!("no {kind} is defined"),
            None => format!("defined here: {}", shown::listed(known)),
        }));
    }

    /// Takes out the warnings of these kinds, and makes errors of the others.
    pub fn be_strict(&mut self, allowed: &[Warning]) {
        self.allow(allowed);
        for problem in &mut self.problems {
            self.errors += usize::from(problem.severity == Severity::Warning);
            problem.severity = Severity::Error;
        }
    }

    /// Takes out the warnings of these kinds.
    pub fn allow(&mut self, allowed: &[Warning]) {
        self.problems.retain(|problem| {
            problem.severity == Severity::Error
                || problem.code.is_none_or(|code| !allowed.contains(&code))
        });
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
        self.errors > 0
    }

    /// How many errors there are; problems that were not kept count too.
    #[must_use]
    pub fn error_count(&self) -> usize {
        self.errors
    }

    /// The problems by file and place.
    #[must_use]
    pub fn problems(&self) -> Vec<&Problem> {
        let mut problems: Vec<_> = self.problems.iter().collect();
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

/// The known name that `given` is probably a misspelling of.
#[must_use]
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Past this many bytes nobody mistypes a name, and comparing costs the square of it.
    const LONGEST: usize = 64;
    if given.len() > LONGEST {
        return None;
    }
    // `Client-CA` for `client_ca` is no distance at all.
    let plain = |name: &str| name.to_lowercase().replace('-', "_");
    let given = plain(given);
    let tolerated = (given.chars().count() / 3).max(1);
    known
        .into_iter()
        .filter(|name| name.len() <= LONGEST)
        .map(|name| (strsim::damerau_levenshtein(&given, &plain(name)), name))
        // One letter for another in a name of one letter is another name.
        .filter(|&(distance, name)| distance <= tolerated && distance < name.chars().count())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests;
