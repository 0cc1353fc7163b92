//! A token that the operator has: read from its source, kept until SMH rejects it or the source has
//! another.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::access_token::AccessToken;
use crate::secret::{Source, SourceError};
use crate::token::Issued;

/// Clones share the token.
#[derive(Clone)]
pub(super) struct Fixed(Arc<Slot>);

struct Slot {
    source: Source,
    /// Held by the one who reads the source because SMH rejected the token.
    turn: tokio::sync::Mutex<()>,
    current: ArcSwapOption<Issued>,
}

impl Fixed {
    pub(super) fn new(source: Source) -> Self {
        Self(Arc::new(Slot {
            source,
            turn: tokio::sync::Mutex::default(),
            current: ArcSwapOption::empty(),
        }))
    }

    pub(super) fn is_from(&self, source: &Source) -> bool {
        self.0.source == *source
    }

    pub(super) fn current(&self) -> Option<Arc<Issued>> {
        self.0.current.load_full()
    }

    /// Another token than this one, if the source has one by now. However many ask, the source is
    /// read by one at a time, and on a thread of its own: this is called from where deletes are
    /// served.
    pub(super) async fn instead_of(&self, rejected: &Issued) -> Option<Arc<Issued>> {
        let other = |issued: &Arc<Issued>| issued.token() != rejected.token();
        let _turn = self.0.turn.lock().await;
        if let Some(issued) = self.current().filter(other) {
            return Some(issued);
        }
        let slot = self.clone();
        let read = tokio::task::spawn_blocking(move || slot.refresh().ok());
        read.await.ok()??;
        self.current().filter(other)
    }

    /// Reads the source; says whether there is another token now.
    pub(super) fn refresh(&self) -> Result<bool, SourceError> {
        let token = AccessToken::new(self.0.source.read()?);
        let known = self.0.current.load().as_ref().is_some_and(|held| *held.token() == token);
        if !known {
            self.0.current.store(Some(Arc::new(Issued::given(token))));
        }
        Ok(!known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_folder() -> (tempfile::TempDir, std::path::PathBuf, Fixed) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let fixed = Fixed::new(Source::File(path.clone()));
        (folder, path, fixed)
    }

    #[tokio::test]
    async fn a_rejected_token_is_replaced_only_by_another_one() {
        let (_folder, path, fixed) = in_folder();
        std::fs::write(&path, "acctk1").unwrap();
        assert!(fixed.refresh().unwrap());
        let first = fixed.current().unwrap();
        assert!(fixed.instead_of(&first).await.is_none());
        std::fs::write(&path, "acctk2").unwrap();
        let second = fixed.instead_of(&first).await.unwrap();
        assert_eq!(second.token().text().expose(), b"acctk2");
        assert!(Arc::ptr_eq(&fixed.current().unwrap(), &second));
    }

    #[test]
    fn a_file_that_vanishes_leaves_the_token_in_use() {
        let (_folder, path, fixed) = in_folder();
        std::fs::write(&path, "acctk1").unwrap();
        fixed.refresh().unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(fixed.refresh().is_err());
        assert!(fixed.current().is_some());
    }

    #[test]
    fn a_token_that_was_missing_at_start_is_found_later() {
        let (_folder, path, fixed) = in_folder();
        assert!(fixed.refresh().is_err());
        assert!(fixed.current().is_none());
        std::fs::write(&path, "acctk1\n").unwrap();
        assert!(fixed.refresh().unwrap());
        assert!(!fixed.refresh().unwrap());
        assert!(fixed.current().is_some());
    }
}
