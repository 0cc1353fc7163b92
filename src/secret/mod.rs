//! Secrets: bytes that are wiped when dropped, never printed, and read in one way only.
//!
//! Every use of a secret is an `expose()`: one search lists them all.

mod source;

pub use self::source::{KeyRead, MIN_KEY_BYTES, Source, SourceError};

use std::fmt;
use std::sync::Arc;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// What is shown wherever a secret would stand.
pub const REDACTED: &str = "[redacted]";

/// Bytes that must not leave the gateway but to the one they are meant for.
///
/// There is no `Display`, no serialisation and no `Deref`; `Debug` prints [`REDACTED`]. Clones
/// share the bytes, which are wiped when the last one is dropped.
#[derive(Clone)]
pub struct Secret(Arc<Zeroizing<Vec<u8>>>);

impl Secret {
    /// Takes ownership, so that no copy is left behind.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Zeroizing::new(bytes)))
    }

    /// The bytes themselves. Whoever calls this answers for where they go.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for Secret {
    /// Takes the same time wherever the first difference is. The length is not hidden.
    fn eq(&self, other: &Self) -> bool {
        self.expose().ct_eq(other.expose()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_nothing_of_itself() {
        let secret = Secret::new(b"acctk-sentinel".to_vec());
        assert_eq!(
            format!("{secret:?} {:#?}", Some(&secret)),
            "[redacted] Some(\n    [redacted],\n)"
        );
    }

    #[test]
    fn secrets_are_equal_by_their_bytes() {
        let secret = |text: &str| Secret::new(text.as_bytes().to_vec());
        assert_eq!(secret("one"), secret("one"));
        assert_ne!(secret("one"), secret("two"));
        assert_ne!(secret("one"), secret("on"));
    }
}
