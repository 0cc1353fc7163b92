//! The files that one load read, and what was in them: enough to tell whether they changed since.

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::config::source::MAX_FILE_BYTES;
use crate::files::{self, Stamp};

/// What was in each file, in the order in which they were read.
///
/// Equal where neither a content nor a file changed: a file that is written again is another one,
/// even with the same bytes. [`Watched::same_content`] looks at the bytes alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watched {
    files: Vec<Seen>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    path: PathBuf,
    found: Found,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    File {
        sha256: [u8; 32],
        stamp: Stamp,
    },
    /// Missing, forbidden, or no file: why, as the system says it.
    Nothing(String),
}

impl Watched {
    /// Looks at the same files again. Blocks on files.
    #[must_use]
    pub fn look_again(&self) -> Self {
        let mut now = Self::default();
        for Seen { path, .. } in &self.files {
            // What cannot be read is noted too.
            let _ = now.read(path);
        }
        now
    }

    /// Whether the same files hold the same bytes, or fail in the same way.
    #[must_use]
    pub fn same_content(&self, other: &Self) -> bool {
        let same = |(one, other): (&Seen, &Seen)| one.path == other.path && one.holds_as(other);
        self.files.len() == other.files.len() && self.files.iter().zip(&other.files).all(same)
    }

    /// Whether these are the files that were seen before, and nothing was written in between but what is
    /// settled: a file that is replaced by its like again and again holds up no other.
    #[must_use]
    pub fn is_still(&self, before: &Self, settled: &Self) -> bool {
        let held = |seen: &Seen| {
            settled.files.iter().any(|one| one.path == seen.path && one.holds_as(seen))
        };
        self.files.len() == before.files.len()
            && self.files.iter().zip(&before.files).all(|(now, before)| {
                now == before || (now.path == before.path && held(now) && held(before))
            })
    }

    /// Whether one of the files cannot be read.
    #[must_use]
    pub fn lacks_a_file(&self) -> bool {
        self.files.iter().any(|seen| matches!(seen.found, Found::Nothing(_)))
    }

    /// The files that are not what they were before, or that were not among them.
    pub fn differing_from<'w>(&'w self, before: &'w Self) -> impl Iterator<Item = &'w Path> {
        let as_before =
            |seen: &Seen| before.files.iter().any(|b| b.path == seen.path && b.holds_as(seen));
        self.files.iter().filter(move |seen| !as_before(seen)).map(|seen| seen.path.as_path())
    }

    /// What a look would have found: of each file its content, and when it was written; or nothing.
    #[cfg(test)]
    pub(crate) fn made_up(files: &[(&str, Option<(&str, i64)>)]) -> Self {
        let files = files.iter().map(|(path, found)| Seen {
            path: PathBuf::from(path),
            found: match found {
                None => Found::Nothing("it is gone".to_owned()),
                Some((content, at)) => Found::File {
                    sha256: Sha256::digest(content).into(),
                    stamp: Stamp::made_up(*at),
                },
            },
        });
        Self { files: files.collect() }
    }

    /// Reads a file, at most one byte more than is taken, which tells a file that is too large.
    pub(super) fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        let read = read(path);
        let found = match &read {
            Ok((bytes, stamp)) => {
                Found::File { sha256: Sha256::digest(bytes).into(), stamp: *stamp }
            }
            Err(error) => Found::Nothing(error.to_string()),
        };
        self.files.push(Seen { path: path.to_owned(), found });
        read.map(|(bytes, _)| bytes)
    }
}

impl Seen {
    fn holds_as(&self, other: &Self) -> bool {
        match (&self.found, &other.found) {
            (Found::File { sha256: one, .. }, Found::File { sha256: other, .. }) => one == other,
            (Found::Nothing(one), Found::Nothing(other)) => one == other,
            (Found::File { .. }, Found::Nothing(_)) | (Found::Nothing(_), Found::File { .. }) => {
                false
            }
        }
    }
}

fn read(path: &Path) -> io::Result<(Vec<u8>, Stamp)> {
    let opened = files::open(path)?;
    let stamp = opened.stamp();
    Ok((opened.read_start(MAX_FILE_BYTES as u64 + 1)?, stamp))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn watched(paths: &[&Path]) -> Watched {
        let mut watched = Watched::default();
        for path in paths {
            let _ = watched.read(path);
        }
        watched
    }

    #[test]
    fn a_file_that_is_replaced_by_its_like_is_another_file_with_the_same_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "same").unwrap();
        let before = watched(&[&path]);
        assert_eq!(before.look_again(), before);
        fs::write(folder.path().join("other"), "same").unwrap();
        fs::rename(folder.path().join("other"), &path).unwrap();
        let after = before.look_again();
        assert_ne!(after, before);
        assert!(after.same_content(&before));
        assert_eq!(after.differing_from(&before).count(), 0);
    }

    #[test]
    fn content_that_changes_or_goes_is_seen_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        fs::write(&one, "1").unwrap();
        fs::write(&other, "2").unwrap();
        let before = watched(&[&one, &other]);
        fs::write(&other, "3").unwrap();
        let after = before.look_again();
        assert!(!after.same_content(&before) && !after.lacks_a_file());
        assert_eq!(after.differing_from(&before).collect::<Vec<_>>(), [other.as_path()]);
        fs::remove_file(&one).unwrap();
        let gone = before.look_again();
        assert!(gone.lacks_a_file() && !gone.same_content(&after));
        assert!(gone.same_content(&before.look_again()));
        assert!(!watched(&[&one]).same_content(&watched(&[&one, &other])), "another list");
    }
}
