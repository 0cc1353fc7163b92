//! The problems of one severity, of which not all are kept.

use std::collections::BTreeSet;

use super::{MAX_PROBLEMS, Problem, Severity};

/// By file and place, each once. Those found first are kept, the others counted.
#[derive(Debug, Default)]
pub(super) struct Kept {
    problems: BTreeSet<Problem>,
    dropped: usize,
}

impl Kept {
    pub(super) fn add(&mut self, problem: Problem) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.insert(problem);
        } else if !self.problems.contains(&problem) {
            self.dropped += 1;
        }
    }

    /// The help is asked for only where it is kept: to find one can take long.
    pub(super) fn add_with_help(&mut self, problem: Problem, help: impl FnOnce() -> String) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.insert(problem.with_help(help()));
            return;
        }
        // Nothing but its help stands between a problem without one and the same with one.
        let next = self.problems.range(&problem..).next();
        if next.is_none_or(|next| Problem { help: None, ..next.clone() } != problem) {
            self.dropped += 1;
        }
    }

    /// Takes in those of another severity, as if they had been of this one: all that were kept.
    pub(super) fn take(&mut self, others: Self, severity: Severity) {
        let Self { problems, dropped } = others;
        self.problems.extend(problems.into_iter().map(|p| Problem { severity, ..p }));
        self.dropped += dropped;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter()
    }

    pub(super) fn dropped(&self) -> usize {
        self.dropped
    }

    /// Those that were not kept are among them.
    pub(super) fn count(&self) -> usize {
        self.problems.len() + self.dropped
    }
}
