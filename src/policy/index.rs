//! Which rules can be about a delete at all: found without looking at the others.
//!
//! Each rule stands under the condition that the fewest deletes can fulfil: a tenant, a caller or
//! a first folder; one that could be about any of them stands apart, and is always looked at. Beside
//! its position stands what a path must begin and end with: most are passed over by that, without a look
//! at the rule itself, which lies elsewhere in memory.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, Hash};
use std::num::NonZeroU32;

use foldhash::fast::FixedState;

use crate::directory::Fingerprint;
use crate::fast_map::FastMap;
use crate::glob::{NameGlob, NameSet, PathGlob};
use crate::policy::Subject;
use crate::policy::rule::Rule;

/// Who and what there is: a condition on names is about some of these.
#[derive(Debug, Clone, Default)]
pub struct Known<'n> {
    /// The names of all callers.
    pub callers: NameSet<'n>,
    /// The names of all tenants.
    pub tenants: NameSet<'n>,
}

/// Rules, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Index {
    by_tenant: FastMap<Fingerprint, Vec<Entry>>,
    by_caller: FastMap<Fingerprint, Vec<Entry>>,
    by_folder: FastMap<Box<str>, Vec<Entry>>,
    others: Vec<Entry>,
}

/// One rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    /// In the file, from 0.
    position: u32,
    ends: Ends,
}

/// The first segment of a path and its last, where it is about one alone. Two may share a mark: then a rule
/// is looked at in vain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Ends {
    first: Option<NonZeroU32>,
    last: Option<NonZeroU32>,
}

impl Ends {
    fn of(path: &str) -> Self {
        let (first, last) = (path.split_once('/'), path.rsplit_once('/'));
        Self {
            first: Some(mark(first.map_or(path, |(first, _)| first))),
            last: Some(mark(last.map_or(path, |(_, last)| last))),
        }
    }

    /// What every path has that one of these globs matches.
    fn of_all(globs: &[PathGlob]) -> Self {
        let one = |segment: fn(&PathGlob) -> Option<&str>| {
            let mut marks = globs.iter().map(|glob| segment(glob).map(mark));
            let first = marks.next()??;
            marks.all(|other| other == Some(first)).then_some(first)
        };
        Self { first: one(PathGlob::first_segment), last: one(PathGlob::last_segment) }
    }

    fn allow(self, path: Self) -> bool {
        (self.first.is_none() || self.first == path.first)
            && (self.last.is_none() || self.last == path.last)
    }
}

fn mark(segment: &str) -> NonZeroU32 {
    let hash = FixedState::default().hash_one(segment);
    // The remainder fits.
    NonZeroU32::MIN.saturating_add(u32::try_from(hash % u64::from(u32::MAX)).unwrap_or(0))
}

impl Index {
    pub(super) fn add<'r>(&mut self, position: u32, rule: &'r Rule, meant: &mut Meant<'r, '_>) {
        let tenants = meant.tenants.few(rule.matches.tenants.as_deref());
        let callers = meant.callers.few(rule.matches.callers.as_deref());
        let folders = rule.matches.paths.as_deref().and_then(folders);
        let ends = rule.matches.paths.as_deref().map(Ends::of_all).unwrap_or_default();
        let entry = Entry { position, ends };
        match (tenants, callers, folders) {
            (Some(tenants), Some(callers), _) if callers.len() < tenants.len() => {
                enter(&mut self.by_caller, callers, entry);
            }
            (Some(tenants), _, _) => enter(&mut self.by_tenant, tenants, entry),
            (None, Some(callers), _) => enter(&mut self.by_caller, callers, entry),
            (None, None, Some(folders)) => enter(&mut self.by_folder, folders, entry),
            (None, None, None) => self.others.push(entry),
        }
    }

    /// The rules that may be about a delete, in the order of the file, and none that is about it left
    /// out.
    pub(super) fn candidates(&self, subject: &Subject<'_>) -> Candidates<'_> {
        let path = subject.path.as_str();
        let folder = path.split_once('/').map_or(path, |(folder, _)| folder);
        let by_folder = if self.by_folder.is_empty() { None } else { self.by_folder.get(folder) };
        let lists = [
            self.by_tenant.get(&subject.tenant.fingerprint),
            self.by_caller.get(&subject.caller.fingerprint),
            by_folder,
            Some(&self.others),
        ];
        Candidates {
            lists: lists.map(|list| list.map(Vec::as_slice).unwrap_or_default()),
            path: Ends::of(path),
        }
    }
}

/// Several ordered lists, as one.
pub(super) struct Candidates<'i> {
    lists: [&'i [Entry]; 4],
    path: Ends,
}

impl Iterator for Candidates<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let path = self.path;
        for list in &mut self.lists {
            let next = list.iter().position(|entry| entry.ends.allow(path));
            *list = next.and_then(|next| list.get(next..)).unwrap_or_default();
        }
        let heads = self.lists.iter_mut().filter_map(|list| Some((list.first()?.position, list)));
        let (next, list) = heads.min_by_key(|(head, _)| *head)?;
        *list = list.get(1..).unwrap_or_default();
        Some(next)
    }
}

fn enter<K: Eq + Hash>(lists: &mut FastMap<K, Vec<Entry>>, keys: Vec<K>, entry: Entry) {
    for key in keys {
        let list = lists.entry(key).or_default();
        // Two globs may have the same key.
        if list.last() != Some(&entry) {
            list.push(entry);
        }
    }
}

/// Which names conditions are about, each glob looked at once however many rules have it.
pub(super) struct Meant<'r, 'k> {
    callers: Matched<'r, 'k>,
    tenants: Matched<'r, 'k>,
}

impl<'k> Meant<'_, 'k> {
    pub(super) fn of(known: &'k Known<'k>) -> Self {
        let matched = |known| Matched { known, globs: HashMap::new() };
        Self { callers: matched(&known.callers), tenants: matched(&known.tenants) }
    }
}

struct Matched<'r, 'k> {
    known: &'k NameSet<'k>,
    /// One name more than a few are enough to tell that there are more.
    globs: HashMap<&'r NameGlob, Vec<Fingerprint>>,
}

impl<'r> Matched<'r, '_> {
    /// The names that a condition is about, where they are few enough to stand under each.
    fn few(&mut self, globs: Option<&'r [NameGlob]>) -> Option<Vec<Fingerprint>> {
        let mut meant = BTreeSet::new();
        for glob in globs? {
            let matched = self.globs.entry(glob).or_insert_with(|| {
                self.known.matched_by(glob).take(FEW + 1).map(Fingerprint::of).collect()
            });
            meant.extend(matched.iter().copied());
            if meant.len() > FEW {
                return None;
            }
        }
        Some(meant.into_iter().collect())
    }
}

/// The first segments of all globs, where none of them is open.
fn folders(globs: &[PathGlob]) -> Option<Vec<Box<str>>> {
    globs.iter().map(|glob| glob.first_segment().map(Box::from)).collect()
}

/// A rule about more tenants than these is looked at for each delete: a thousand rules then take
/// three megabytes at most.
const FEW: usize = 256;
