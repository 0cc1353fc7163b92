//! When a change is taken: the deciding half, without files and clocks.

use std::time::{Duration, Instant};

use crate::config::Watched;

/// What was seen of the files.
///
/// A plain write may be seen half done, and half a policy can be a valid one with half of the
/// rules. So a content is loaded once two looks in a row saw it, unwritten in between, and taken
/// only if the load saw it too.
pub(super) struct Watch {
    /// What was loaded last, whatever came of it.
    settled: Watched,
    /// What the last look saw, and the files that the next one looks at.
    last: Watched,
    /// Since when not every file can be read.
    lacking: Option<Instant>,
    asked: bool,
}

/// What to do after a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing changed, or not for long enough yet.
    Wait,
    /// Nothing changed, and somebody asked.
    Unchanged,
    /// Load what is there, and tell [`Watch::loaded`].
    Load,
}

impl Watch {
    pub(super) fn new(in_force: Watched) -> Self {
        Self { settled: in_force.clone(), last: in_force, lacking: None, asked: false }
    }

    /// What to look at.
    pub(super) fn files(&self) -> &Watched {
        &self.last
    }

    /// Somebody says that the files changed, and wants to hear what came of it.
    pub(super) fn ask(&mut self) {
        self.asked = true;
    }

    /// Whether somebody waits for an answer.
    pub(super) fn is_asked(&self) -> bool {
        self.asked
    }

    /// Takes in a look at the files.
    pub(super) fn seen(&mut self, now: Watched, at: Instant) -> Step {
        let again = now == self.last;
        self.last = now;
        self.lacking = self.last.lacks_a_file().then(|| self.lacking.unwrap_or(at));
        // Whoever asks is not in the middle of a swap.
        let waited = self.asked
            || self.lacking.is_none_or(|since| at.saturating_duration_since(since) >= SWAP);
        if self.last.same_content(&self.settled) {
            let answers = self.asked && again;
            self.asked &= !answers;
            if answers { Step::Unchanged } else { Step::Wait }
        } else if again && waited {
            Step::Load
        } else {
            Step::Wait
        }
    }

    /// Takes in what a load read, and what the same files were behind it. Says whether that is
    /// what was seen twice; if not, it has to be seen again, with the files that it names now.
    pub(super) fn loaded(&mut self, read: &Watched, after: Watched) -> bool {
        let steady = *read == self.last && *read == after;
        if steady {
            self.settled = after.clone();
            self.asked = false;
        }
        self.last = after;
        steady
    }
}

/// A file that is gone this long is not being swapped any more.
const SWAP: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests;
