//! Problems without the text of their files: to be logged one by one, or kept and shown later.

use std::fmt;

use super::super::shown::push_escaped;
use super::{Kept, Report};

/// One problem, as far as it can be told without an excerpt of its file.
///
/// Shown as `file:line:column: what is wrong`, on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// The file, as it was named.
    pub file: String,
    /// From 1; none where the file as a whole is meant.
    pub line: Option<u32>,
    /// From 1, in characters.
    pub column: Option<u32>,
    /// What is wrong.
    pub message: String,
    /// What was probably meant, or what to do.
    pub help: Option<String>,
}

impl Report {
    /// The errors by file and place.
    pub fn errors(&self) -> impl Iterator<Item = Noted> {
        self.noted(&self.errors)
    }

    /// The warnings by file and place.
    pub fn warnings(&self) -> impl Iterator<Item = Noted> {
        self.noted(&self.warnings)
    }

    fn noted<'r>(&'r self, kept: &'r Kept) -> impl Iterator<Item = Noted> + 'r {
        kept.iter().map(|problem| Noted {
            file: self.name(problem.file).to_owned(),
            line: problem.place.map(|place| place.line),
            column: problem.place.map(|place| place.column),
            message: problem.message.clone(),
            help: problem.help.clone(),
        })
    }
}

impl fmt::Display for Noted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = String::new();
        let mut push = |text: &str| text.chars().for_each(|c| push_escaped(&mut line, c));
        push(&self.file);
        if let (Some(line), Some(column)) = (self.line, self.column) {
            push(&format!(":{line}:{column}"));
        }
        push(": ");
        push(&self.message);
        if let Some(help) = &self.help {
            push(&format!(" ({help})"));
        }
        f.write_str(&line)
    }
}
