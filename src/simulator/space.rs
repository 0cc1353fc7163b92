//! One space: its files, its directories and its recycle bin.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::simulator::clock::{Moment, SECONDS_PER_DAY};

/// A file; the simulator keeps no content.
#[derive(Clone, Debug)]
pub(crate) struct StoredFile {
    pub(crate) created: SystemTime,
}

/// What a path named, once it is taken out of the tree.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    File(StoredFile),
    Directory {
        /// By path below the directory.
        files: BTreeMap<String, StoredFile>,
        directories: BTreeSet<String>,
    },
}

/// An item of the recycle bin.
#[derive(Clone, Debug)]
pub(crate) struct RecycledEntry {
    pub(crate) original_path: String,
    pub(crate) content: Content,
    pub(crate) removed: Moment,
    pub(crate) removed_by: Option<String>,
    /// When it is removed for good; `None`: by hand only.
    pub(crate) expires: Option<Instant>,
}

/// One space of a library.
#[derive(Default)]
pub(crate) struct Space {
    files: BTreeMap<String, StoredFile>,
    directories: BTreeSet<String>,
    recycled: BTreeMap<u64, RecycledEntry>,
    retention_days: Option<u32>,
    retention_changed: Option<Instant>,
}

/// What to do when the path of a restored item is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnConflict {
    Ask,
    Rename,
    Overwrite,
}

/// Where a restored item goes when its directory is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnLostParent {
    Refuse,
    FallBackToRoot,
}

/// Why an item was not restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotRestored {
    NoSuchItem,
    ParentGone,
    PathTaken,
}

/// The space, or its recycle bin, holds all that the simulator lets it hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// The retention was changed a moment ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooSoon;

impl Space {
    /// Adds a file, and the directories above it.
    pub(crate) fn put_file(&mut self, path: &str, now: Moment) -> Result<(), Full> {
        if self.files.len() >= MAX_FILES {
            return Err(Full);
        }
        self.add_parents(path);
        self.files.insert(path.to_owned(), StoredFile { created: now.wall });
        Ok(())
    }

    pub(crate) fn file(&self, path: &str) -> Option<&StoredFile> {
        self.files.get(path)
    }

    pub(crate) fn has_directory(&self, path: &str) -> bool {
        self.directories.contains(path)
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &String> {
        self.files.keys()
    }

    /// Whether nothing would be lost with the space; its recycle bin does not count.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.directories.is_empty()
    }

    pub(crate) fn take_file(&mut self, path: &str) -> Option<Content> {
        self.files.remove(path).map(Content::File)
    }

    /// Takes a directory and all below it out of the tree.
    pub(crate) fn take_directory(&mut self, path: &str) -> Option<Content> {
        if !self.directories.remove(path) {
            return None;
        }
        let below = |candidate: &String| {
            candidate.strip_prefix(path).and_then(|rest| rest.strip_prefix('/')).map(str::to_owned)
        };
        let mut files = BTreeMap::new();
        self.files.retain(|candidate, file| match below(candidate) {
            Some(relative) => {
                files.insert(relative, file.clone());
                false
            }
            None => true,
        });
        let mut directories = BTreeSet::new();
        self.directories.retain(|candidate| match below(candidate) {
            Some(relative) => {
                directories.insert(relative);
                false
            }
            None => true,
        });
        Some(Content::Directory { files, directories })
    }

    /// The days that items stay in the bin: the space's own, or else the library's.
    pub(crate) fn retention_days(&self, of_library: u32) -> u32 {
        self.retention_days.unwrap_or(of_library)
    }

    /// Puts what was removed into the recycle bin; the oldest item makes room if the bin is full.
    pub(crate) fn recycle(&mut self, id: u64, mut entry: RecycledEntry, retention_days: u32) {
        entry.expires = expiry(entry.removed, retention_days);
        if self.recycled.len() >= MAX_RECYCLED {
            self.recycled.pop_first();
        }
        self.recycled.insert(id, entry);
    }

    /// Removes for good what has been in the bin for its whole term.
    pub(crate) fn forget_expired(&mut self, now: Moment) {
        self.recycled.retain(|_, entry| entry.expires.is_none_or(|expires| expires > now.instant));
    }

    pub(crate) fn recycled(&self) -> &BTreeMap<u64, RecycledEntry> {
        &self.recycled
    }

    pub(crate) fn purge(&mut self, id: u64) -> Option<RecycledEntry> {
        self.recycled.remove(&id)
    }

    /// Empties the bin; how many items there were.
    pub(crate) fn purge_all(&mut self) -> usize {
        std::mem::take(&mut self.recycled).len()
    }

    /// Sets the space's own retention. A longer term also covers the items already there.
    pub(crate) fn set_retention(&mut self, days: u32, now: Moment) -> Result<(), TooSoon> {
        let again_after = self.retention_changed.and_then(|at| at.checked_add(RETENTION_PAUSE));
        if again_after.is_some_and(|again| now.instant < again) {
            return Err(TooSoon);
        }
        self.retention_changed = Some(now.instant);
        self.retention_days = Some(days);
        for entry in self.recycled.values_mut() {
            let longer = expiry(entry.removed, days);
            if entry.expires.is_some_and(|expires| longer.is_none_or(|longer| longer > expires)) {
                entry.expires = longer;
            }
        }
        Ok(())
    }

    /// Puts an item back; where it is now, which need not be where it was.
    pub(crate) fn restore(
        &mut self,
        id: u64,
        conflict: OnConflict,
        lost_parent: OnLostParent,
    ) -> Result<String, NotRestored> {
        let entry = self.recycled.get(&id).ok_or(NotRestored::NoSuchItem)?;
        let wanted = self.restore_path(&entry.original_path, lost_parent)?;
        let taken = self.files.contains_key(&wanted) || self.directories.contains(&wanted);
        let path = match (taken, conflict) {
            (false, _) => wanted,
            (true, OnConflict::Ask) => return Err(NotRestored::PathTaken),
            (true, OnConflict::Rename) => {
                self.free_name_like(&wanted).ok_or(NotRestored::PathTaken)?
            }
            (true, OnConflict::Overwrite) => {
                self.files.remove(&wanted);
                self.take_directory(&wanted);
                wanted
            }
        };
        if let Some(entry) = self.recycled.remove(&id) {
            self.put_back(&path, entry.content);
        }
        Ok(path)
    }

    fn restore_path(
        &self,
        original: &str,
        lost_parent: OnLostParent,
    ) -> Result<String, NotRestored> {
        let Some((parent, name)) = original.rsplit_once('/') else {
            return Ok(original.to_owned());
        };
        match (self.directories.contains(parent), lost_parent) {
            (true, _) => Ok(original.to_owned()),
            (false, OnLostParent::FallBackToRoot) => Ok(name.to_owned()),
            (false, OnLostParent::Refuse) => Err(NotRestored::ParentGone),
        }
    }

    /// `a/b.txt` becomes `a/b (1).txt`, or the next number that is free.
    fn free_name_like(&self, path: &str) -> Option<String> {
        let (directory, name) = match path.rsplit_once('/') {
            Some((directory, name)) => (format!("{directory}/"), name),
            None => (String::new(), path),
        };
        let (stem, extension) = match name.rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() => (stem, format!(".{extension}")),
            Some(_) | None => (name, String::new()),
        };
        (1..=MAX_RENAMES)
            .map(|number| format!("{directory}{stem} ({number}){extension}"))
            .find(|free| !self.files.contains_key(free) && !self.directories.contains(free))
    }

    fn put_back(&mut self, path: &str, content: Content) {
        match content {
            Content::File(file) => {
                self.files.insert(path.to_owned(), file);
            }
            Content::Directory { files, directories } => {
                self.directories.insert(path.to_owned());
                let below = |relative: String| format!("{path}/{relative}");
                self.files.extend(files.into_iter().map(|(name, file)| (below(name), file)));
                self.directories.extend(directories.into_iter().map(below));
            }
        }
    }

    fn add_parents(&mut self, path: &str) {
        let mut rest = path;
        while let Some((parent, _)) = rest.rsplit_once('/') {
            self.directories.insert(parent.to_owned());
            rest = parent;
        }
    }
}

fn expiry(removed: Moment, days: u32) -> Option<Instant> {
    match days {
        0 => None,
        days => removed.after(Duration::from_secs(u64::from(days) * SECONDS_PER_DAY)),
    }
}

/// SMH takes a new retention once in ten minutes.
const RETENTION_PAUSE: Duration = Duration::from_secs(600);

/// Enough for a load test; whoever may set up files could otherwise fill the memory.
const MAX_FILES: usize = 1_000_000;

/// As many as files, and for the same reason.
const MAX_RECYCLED: usize = 1_000_000;

/// Names tried for a restored file before it is given up.
const MAX_RENAMES: u32 = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::clock::Clock;

    fn recycle(space: &mut Space, id: u64, path: &str, now: Moment, days: u32) {
        space.put_file(path, now).unwrap();
        let content = space.take_file(path).unwrap();
        let entry = RecycledEntry {
            original_path: path.to_owned(),
            content,
            removed: now,
            removed_by: None,
            expires: None,
        };
        space.recycle(id, entry, days);
    }

    #[tokio::test(start_paused = true)]
    async fn an_item_leaves_the_bin_when_its_retention_is_over() {
        let clock = Clock::start();
        let mut space = Space::default();
        recycle(&mut space, 1, "a", clock.now(), 1);
        recycle(&mut space, 2, "b", clock.now(), 0);

        tokio::time::advance(Duration::from_secs(SECONDS_PER_DAY)).await;
        space.forget_expired(clock.now());

        assert_eq!(space.recycled().keys().copied().collect::<Vec<_>>(), [2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_longer_retention_covers_items_already_in_the_bin_and_may_be_set_once_in_ten_minutes()
    {
        let clock = Clock::start();
        let mut space = Space::default();
        recycle(&mut space, 1, "a", clock.now(), 1);

        assert_eq!(space.set_retention(3, clock.now()), Ok(()));
        assert_eq!(space.set_retention(4, clock.now()), Err(TooSoon));
        tokio::time::advance(Duration::from_secs(2 * SECONDS_PER_DAY)).await;
        space.forget_expired(clock.now());

        assert_eq!(space.recycled().len(), 1);
        assert_eq!(space.set_retention(4, clock.now()), Ok(()));
    }

    #[test]
    fn a_directory_is_taken_with_all_below_it_and_nothing_beside_it() {
        let now = Clock::start().now();
        let mut space = Space::default();
        for path in ["a/b/c.txt", "a/d.txt", "ab/e.txt"] {
            space.put_file(path, now).unwrap();
        }

        assert!(space.take_directory("a").is_some());

        assert_eq!(space.paths().collect::<Vec<_>>(), ["ab/e.txt"]);
        assert!(!space.has_directory("a/b"));
        assert!(space.has_directory("ab"));
    }

    #[test]
    fn a_restore_obeys_its_strategies() {
        let now = Clock::start().now();
        let mut space = Space::default();
        recycle(&mut space, 1, "d/f.txt", now, 0);
        space.put_file("d/f.txt", now).unwrap();

        let asked = space.restore(1, OnConflict::Ask, OnLostParent::Refuse);
        let renamed = space.restore(1, OnConflict::Rename, OnLostParent::Refuse);
        let again = space.restore(1, OnConflict::Rename, OnLostParent::Refuse);

        assert_eq!(asked, Err(NotRestored::PathTaken));
        assert_eq!(renamed, Ok("d/f (1).txt".to_owned()));
        assert_eq!(again, Err(NotRestored::NoSuchItem));
    }

    #[test]
    fn a_file_whose_directory_is_gone_is_restored_to_the_root_or_not_at_all() {
        let now = Clock::start().now();
        let mut space = Space::default();
        recycle(&mut space, 1, "d/f.txt", now, 0);
        space.take_directory("d").unwrap();

        let refused = space.restore(1, OnConflict::Ask, OnLostParent::Refuse);
        let restored = space.restore(1, OnConflict::Ask, OnLostParent::FallBackToRoot);

        assert_eq!(refused, Err(NotRestored::ParentGone));
        assert_eq!(restored, Ok("f.txt".to_owned()));
    }
}
