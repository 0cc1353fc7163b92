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
    /// Since when what is there is not what is settled, if it is not.
    differing: Option<Instant>,
    /// Whether it was told that it does not settle.
    told: bool,
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
    /// It has been changing for so long that somebody should know.
    Restless,
}

/// What a load saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Steadiness {
    /// What was seen twice: it is to be taken.
    Steady,
    /// Something else, or it lacks a file that may be about to come: it has to be seen again.
    Not,
}

impl Watch {
    pub(super) fn new(in_force: Watched) -> Self {
        Self {
            settled: in_force.clone(),
            last: in_force,
            differing: None,
            told: false,
            asked: false,
        }
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
        let again = now.is_still(&self.last, &self.settled);
        self.last = now;
        if self.last.same_content(&self.settled) {
            (self.differing, self.told) = (None, false);
            let answers = self.asked && again;
            self.asked &= !answers;
            return if answers { Step::Unchanged } else { Step::Wait };
        }
        let since = *self.differing.get_or_insert(at);
        if again {
            Step::Load
        } else if !self.told && at.saturating_duration_since(since) >= RESTLESS {
            self.told = true;
            Step::Restless
        } else {
            Step::Wait
        }
    }

    /// Takes in what a load read, and what the same files were behind it. Where that is not what was
    /// seen twice, it has to be seen again, with the files that it names now.
    pub(super) fn loaded(&mut self, read: &Watched, after: Watched, at: Instant) -> Steadiness {
        let still = read.is_still(&self.last, &self.settled) && after.is_still(read, &self.settled);
        let since = self.differing.unwrap_or(at);
        // Whoever asks is not in the middle of a swap.
        let swapped = self.asked || at.saturating_duration_since(since) >= SWAP;
        let steady = still && (swapped || !read.lacks_a_file());
        if steady {
            self.settled = after.clone();
            (self.differing, self.told, self.asked) = (None, false, false);
        }
        self.last = after;
        if steady { Steadiness::Steady } else { Steadiness::Not }
    }
}

/// A file that is gone this long is not being swapped any more.
const SWAP: Duration = Duration::from_secs(3);

/// An edit takes less than this.
const RESTLESS: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
