//! Who issues tokens, as configured, and the keys it published last.

use std::sync::Arc;

use arc_swap::{ArcSwapOption, Guard};

use super::algorithm::Algorithm;
use super::key_set::KeySet;

/// What is configured of an issuer of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// The `iss` of its tokens, to the letter.
    pub issuer: String,
    /// Whom a token must be for: one of these.
    pub audiences: Vec<String>,
    /// What it may sign with.
    pub algorithms: Vec<Algorithm>,
}

/// An issuer of tokens, with its keys.
#[derive(Debug)]
pub struct Issuer {
    /// What is configured of it.
    pub terms: Terms,
    keys: ArcSwapOption<KeySet>,
}

impl Issuer {
    /// An issuer whose keys are not known yet.
    #[must_use]
    pub fn new(terms: Terms) -> Self {
        Self { terms, keys: ArcSwapOption::empty() }
    }

    /// Has these keys from now on, and no others. Says whether that is a change: the same set read
    /// again leaves verified tokens in the cache.
    pub fn take(&self, keys: KeySet) -> bool {
        if self.keys.load().as_ref().is_some_and(|held| held.is_same(&keys)) {
            return false;
        }
        self.keys.store(Some(Arc::new(keys)));
        true
    }

    /// Whether its keys were ever known.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        self.keys.load().is_some()
    }

    /// How many keys can be used.
    #[must_use]
    pub fn key_count(&self) -> usize {
        self.keys.load().as_ref().map_or(0, |keys| keys.count())
    }

    pub(super) fn keys(&self) -> Guard<Option<Arc<KeySet>>> {
        self.keys.load()
    }
}
