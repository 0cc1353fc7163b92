//! What is looked at again and again is complained about once: when it goes wrong, in another way
//! than before, and when it is well again.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::mem;

use parking_lot::Mutex;

use crate::secret::SourceError;

/// What was wrong when it was looked at last, by name.
#[derive(Default)]
pub struct Complaints(Mutex<HashMap<String, String>>);

/// One round of looking.
pub struct Round<'c> {
    complaints: &'c Complaints,
    seen: HashSet<String>,
}

impl Complaints {
    /// Begins to look at everything.
    pub fn round(&self) -> Round<'_> {
        Round { complaints: self, seen: HashSet::new() }
    }
}

impl Round<'_> {
    /// A secret cannot be read. `what` and `of` name it.
    pub fn unreadable(&mut self, what: &str, of: &str, error: &SourceError) {
        let (news, cause) = self.note(what, of, error);
        if news {
            tracing::error!(what, of, %error, cause, "a secret cannot be read; it is looked for again");
        }
    }

    /// What stands in some files cannot be used; says whether that is news.
    pub fn unusable(&mut self, what: &str, of: &str, error: &dyn Error) -> bool {
        let (news, cause) = self.note(what, of, error);
        if news {
            tracing::error!(what, of, %error, cause, "changed files cannot be used; the last good ones stay in force");
        }
        news
    }

    /// Nothing can be said about it now: a complaint, if there is one, stands.
    pub fn still(&mut self, what: &str, of: &str) {
        self.seen.insert(format!("{what} {of}"));
    }

    fn note(&mut self, what: &str, of: &str, error: &dyn Error) -> (bool, String) {
        let name = format!("{what} {of}");
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        let now = format!("{error}: {cause}");
        let before = self.complaints.0.lock().insert(name.clone(), now.clone());
        self.seen.insert(name);
        (before.is_none_or(|before| before != now), cause)
    }

    /// Everything was looked at: what was not complained about is well again.
    pub fn end(mut self) {
        let seen = mem::take(&mut self.seen);
        self.complaints.0.lock().retain(|name, _| {
            let still = seen.contains(name);
            if !still {
                tracing::info!(what = name, "it is well again");
            }
            still
        });
    }
}
