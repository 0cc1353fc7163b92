//! With which token: one for each library, read from its source, kept until SMH rejects it or the
//! source has another.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::delete::encode_into;
use crate::ids::LibraryId;
use crate::refusal::Refusal;
use crate::secret::{Secret, Source, SourceError};

/// An SMH access token (smh-api.md 3): opaque, powerful, and part of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken {
    text: Secret,
    /// As it stands in a query: the same bytes, but for characters that SMH does not use so far.
    encoded: Secret,
}

impl AccessToken {
    /// A token as SMH or an operator gave it.
    #[must_use]
    pub fn new(text: Secret) -> Self {
        let mut encoded = Vec::with_capacity(text.expose().len() * 3);
        encode_into(&mut encoded, text.expose());
        Self { encoded: Secret::new(encoded), text }
    }

    /// For the `access_token` parameter.
    pub(crate) fn encoded(&self) -> &Secret {
        &self.encoded
    }

    /// For an `Authorization` field.
    pub(crate) fn text(&self) -> &Secret {
        &self.text
    }

    /// Whether these bytes hold the token, in either form.
    #[must_use]
    pub fn occurs_in(&self, bytes: &[u8]) -> bool {
        let holds = |secret: &Secret| memchr::memmem::find(bytes, secret.expose()).is_some();
        holds(&self.text) || (self.encoded != self.text && holds(&self.encoded))
    }
}

/// The tokens of all libraries. Outlives a reload.
#[derive(Debug, Default)]
pub struct Tokens(HashMap<LibraryId, Slot>);

#[derive(Debug)]
struct Slot {
    source: Source,
    current: ArcSwapOption<AccessToken>,
}

impl Tokens {
    /// Reads every token once. One that cannot be read is reported, and looked for again later.
    pub fn read(
        sources: impl IntoIterator<Item = (LibraryId, Source)>,
        report: &mut dyn FnMut(&LibraryId, SourceError),
    ) -> Self {
        let slots = sources.into_iter().map(|(library, source)| {
            let slot = Slot { source, current: ArcSwapOption::empty() };
            if let Err(error) = slot.refresh() {
                report(&library, error);
            }
            (library, slot)
        });
        Self(slots.collect())
    }

    /// The token to use now.
    ///
    /// # Errors
    /// [`Refusal::TokenUnavailable`] while there is none.
    pub fn current(&self, library: &LibraryId) -> Result<Arc<AccessToken>, Refusal> {
        self.0
            .get(library)
            .and_then(|slot| slot.current.load_full())
            .ok_or(Refusal::TokenUnavailable)
    }

    /// Another token than the one that SMH rejected, if the source has one by now.
    ///
    /// A file is read on a thread of its own: this is called from where deletes are served.
    pub async fn instead_of(
        self: &Arc<Self>,
        library: &LibraryId,
        rejected: &AccessToken,
    ) -> Option<Arc<AccessToken>> {
        let slot = self.0.get(library)?;
        let other = |token: &Arc<AccessToken>| **token != *rejected;
        if let Some(token) = slot.current.load_full().filter(other) {
            return Some(token);
        }
        let (tokens, library) = (Arc::clone(self), library.clone());
        tokio::task::spawn_blocking(move || {
            let slot = tokens.0.get(&library)?;
            slot.refresh().ok()?;
            slot.current.load_full()
        })
        .await
        .ok()
        .flatten()
        .filter(other)
    }

    /// Reads every file again. A file that is gone or broken changes nothing: the token in use is
    /// good until SMH says otherwise, and mounts are replaced in more than one step.
    pub fn refresh(&self, report: &mut dyn FnMut(&LibraryId, Result<(), SourceError>)) {
        for (library, slot) in &self.0 {
            match slot.refresh() {
                Ok(false) => {}
                Ok(true) => report(library, Ok(())),
                Err(error) => report(library, Err(error)),
            }
        }
    }

    /// The libraries that have no token yet, in the order of their ids.
    #[must_use]
    pub fn pending(&self) -> Vec<&LibraryId> {
        let missing = |(_, slot): &(&LibraryId, &Slot)| slot.current.load().is_none();
        let mut pending: Vec<_> =
            self.0.iter().filter(missing).map(|(library, _)| library).collect();
        pending.sort_unstable();
        pending
    }
}

impl Slot {
    /// Reads the source; says whether there is another token now.
    fn refresh(&self) -> Result<bool, SourceError> {
        let token = AccessToken::new(self.source.read()?);
        let known = self.current.load().as_deref() == Some(&token);
        if !known {
            self.current.store(Some(Arc::new(token)));
        }
        Ok(!known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library() -> LibraryId {
        LibraryId::try_from("smhx").unwrap()
    }

    fn tokens(source: Source) -> Arc<Tokens> {
        Arc::new(Tokens::read([(library(), source)], &mut |_, _| {}))
    }

    #[tokio::test]
    async fn a_rejected_token_is_replaced_only_by_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "acctk1").unwrap();
        let tokens = tokens(Source::File(path.clone()));
        let first = tokens.current(&library()).unwrap();
        assert_eq!(tokens.instead_of(&library(), &first).await, None);
        std::fs::write(&path, "acctk2").unwrap();
        let second = tokens.instead_of(&library(), &first).await.unwrap();
        assert_eq!(second.text().expose(), b"acctk2");
        assert_eq!(tokens.current(&library()).unwrap(), second);
    }

    #[test]
    fn a_file_that_vanishes_leaves_the_token_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "acctk1").unwrap();
        let tokens = tokens(Source::File(path.clone()));
        std::fs::remove_file(&path).unwrap();
        let mut errors = 0;
        tokens.refresh(&mut |_, result| errors += usize::from(result.is_err()));
        assert_eq!(errors, 1);
        assert!(tokens.current(&library()).is_ok());
        assert!(tokens.pending().is_empty());
    }

    #[test]
    fn a_token_that_was_missing_at_start_is_found_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let tokens = tokens(Source::File(path.clone()));
        assert_eq!(tokens.current(&library()).unwrap_err(), Refusal::TokenUnavailable);
        assert_eq!(tokens.pending(), [&library()]);
        std::fs::write(&path, "acctk1\n").unwrap();
        tokens.refresh(&mut |_, result| result.unwrap());
        assert!(tokens.current(&library()).is_ok());
    }

    #[test]
    fn a_token_is_recognised_in_either_form() {
        let token = AccessToken::new(Secret::new(b"acctk/+1".to_vec()));
        assert!(token.occurs_in(b"x=acctk/+1&y"));
        assert!(token.occurs_in(b"x=acctk%2F%2B1&y"));
        assert!(!token.occurs_in(b"x=acctk/+"));
    }
}
