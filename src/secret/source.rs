//! Where a secret comes from: an environment variable or a file, never the configuration itself.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::files::{self, Opened, Seen};
use crate::secret::Secret;

/// A reference to a secret. Its `Debug` and `Display` show the reference, never the secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// The value of an environment variable.
    Environment(String),
    /// The content of a file, which may end in one newline.
    File(PathBuf),
}

/// Why a secret could not be read. Says where it should be, and nothing of what was there.
#[derive(Debug, thiserror::Error)]
#[error("{origin}: {fault}")]
pub struct SourceError {
    origin: Source,
    #[source]
    fault: Fault,
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("it is not set")]
    NotSet,
    #[error("it cannot be read")]
    Unreadable(#[source] io::Error),
    #[error("it is empty")]
    Empty,
    #[error("an API key has at least {MIN_KEY_BYTES} bytes")]
    TooShort,
    #[error("it is larger than {MAX_BYTES} bytes")]
    TooLarge,
    #[error("it is not one line of visible ASCII characters")]
    NotText,
}

impl SourceError {
    /// Whether there is something, and it will not do; it may be missing where it is looked for,
    /// and be there where it is used.
    #[must_use]
    pub fn is_unfit(&self) -> bool {
        match self.fault {
            Fault::Empty | Fault::TooShort | Fault::TooLarge | Fault::NotText => true,
            Fault::NotSet | Fault::Unreadable(_) => false,
        }
    }
}

impl Source {
    /// Reads the secret as it is now. Blocks on the file, so not for a thread that serves.
    ///
    /// # Errors
    /// [`SourceError`] where there is nothing, too much, or anything but one line of visible ASCII.
    pub fn read(&self) -> Result<Secret, SourceError> {
        let read = match self {
            Self::Environment(name) => variable(name),
            Self::File(path) => files::open(path).map_err(Fault::Unreadable).and_then(content),
        };
        read.map_err(|fault| self.error(fault))
    }

    /// Reads an API key, which is a secret that callers present: one that can be guessed is none. A
    /// file that is just being written is likely too short as well.
    ///
    /// # Errors
    /// As [`Source::read`], and for fewer than 16 bytes.
    pub fn read_key(&self) -> Result<Secret, SourceError> {
        self.read().and_then(|secret| self.key(secret))
    }

    /// The same, unless it is from a file that is still as it was seen: then `None`. What was not read
    /// because of that is what would have been read.
    ///
    /// # Errors
    /// As [`Source::read_key`].
    pub fn read_key_again(&self, seen: Option<Seen>) -> Result<Option<KeyRead>, SourceError> {
        let Self::File(path) = self else {
            return self.read_key().map(|key| Some(KeyRead { key, seen: None }));
        };
        let opened = files::open(path).map_err(|error| self.error(Fault::Unreadable(error)))?;
        if seen.is_some_and(|seen| seen.is_still(&opened)) {
            return Ok(None);
        }
        let seen = Some(Seen::next(seen, &opened));
        let secret = content(opened).map_err(|fault| self.error(fault))?;
        self.key(secret).map(|key| Some(KeyRead { key, seen }))
    }

    fn key(&self, secret: Secret) -> Result<Secret, SourceError> {
        if secret.expose().len() < MIN_KEY_BYTES {
            return Err(self.error(Fault::TooShort));
        }
        Ok(secret)
    }

    fn error(&self, fault: Fault) -> SourceError {
        SourceError { origin: self.clone(), fault }
    }
}

/// An API key that was read.
#[derive(Debug)]
pub struct KeyRead {
    /// The key.
    pub key: Secret,
    /// The file that it is from, for [`Source::read_key_again`].
    pub seen: Option<Seen>,
}

#[expect(clippy::disallowed_methods, reason = "the one place where secrets enter")]
fn variable(name: &str) -> Result<Secret, Fault> {
    let value = std::env::var_os(name).ok_or(Fault::NotSet)?;
    check(Secret::new(value.into_encoded_bytes()))
}

fn content(opened: Opened) -> Result<Secret, Fault> {
    let mut bytes = opened.read(MAX_BYTES + 2).map_err(Fault::Unreadable)?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    check(Secret::new(std::mem::take(&mut *bytes)))
}

fn check(secret: Secret) -> Result<Secret, Fault> {
    match secret.expose() {
        [] => Err(Fault::Empty),
        bytes if bytes.len() > MAX_BYTES => Err(Fault::TooLarge),
        bytes if !bytes.iter().all(u8::is_ascii_graphic) => Err(Fault::NotText),
        _ => Ok(secret),
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
        }
    }
}

/// Shortest API key, in bytes.
pub const MIN_KEY_BYTES: usize = 16;

/// Longest secret, in bytes. SMH tokens are 48 to 150 bytes (smh-api.md 1.1), JWTs a few KiB; a
/// target with a token in it must stay below what servers take, which is 8 KiB.
const MAX_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn read(content: &[u8]) -> Result<Secret, SourceError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, content).unwrap();
        Source::File(path).read()
    }

    #[test]
    fn a_file_may_end_in_one_newline() {
        for content in [&b"acctk1"[..], b"acctk1\n", b"acctk1\r\n"] {
            assert_eq!(read(content).unwrap().expose(), b"acctk1");
        }
    }

    #[test]
    fn what_is_not_one_line_of_text_is_refused_without_being_shown() {
        let large = vec![b'x'; MAX_BYTES + 2];
        for content in [&b""[..], b"\n", b"one\ntwo", b"sen tinel", b"sentinel\0", b"\xff", &large]
        {
            let error = read(content).unwrap_err();
            let shown = format!("{error} {error:?} {}", error.source().unwrap());
            assert!(!shown.contains("sentinel") && !shown.contains("two"), "{shown}");
            assert!(shown.contains("token"), "it names the file: {shown}");
        }
    }

    /// As Kubernetes mounts it: the file is a link through `..data`, which is swapped.
    #[test]
    fn a_key_is_read_again_exactly_if_its_file_is_another_or_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (version, key) in [("1", "key-number-one-1"), ("2", "key-number-two-2")] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("key"), key).unwrap();
        }
        let age = |name| fs::metadata(at(name).join("key")).unwrap().modified().unwrap();
        let second = fs::File::options().write(true).open(at("2").join("key")).unwrap();
        second.set_modified(age("1")).unwrap();
        let link = |to: &str| {
            symlink(to, at("..tmp")).unwrap();
            fs::rename(at("..tmp"), at("..data")).unwrap();
        };
        link("1");
        symlink("..data/key", at("key")).unwrap();
        let source = Source::File(at("key"));
        let settled = || Some(Seen::settled(&files::open(&at("key")).unwrap()));
        let read = |seen| {
            let read = source.read_key_again(seen).unwrap();
            read.map(|read| read.key.expose().to_owned())
        };
        let first = settled();
        assert_eq!(read(None).as_deref(), Some(&b"key-number-one-1"[..]));
        assert_eq!(read(first), None);
        link("2");
        assert_eq!(read(first).as_deref(), Some(&b"key-number-two-2"[..]), "as long and as old");
        let second = settled();
        assert_eq!(read(second), None);
        fs::write(at("2").join("key"), "key-number-two-3").unwrap();
        assert_eq!(read(second).as_deref(), Some(&b"key-number-two-3"[..]));
        fs::remove_file(at("..data")).unwrap();
        assert!(
            source.read_key_again(second).is_err(),
            "it is complained of as long as it is gone"
        );
    }

    #[test]
    fn a_missing_file_and_an_unset_variable_say_which() {
        let missing = Source::File("/nonexistent/token".into()).read().unwrap_err();
        assert_eq!(missing.to_string(), "file /nonexistent/token: it cannot be read");
        let unset = Source::Environment("SMH_NO_SUCH_VARIABLE".into()).read().unwrap_err();
        assert_eq!(unset.to_string(), "environment variable SMH_NO_SUCH_VARIABLE: it is not set");
    }
}
