//! Which rules can be about a delete at all: found without looking at the others.
//!
//! Each rule stands under the condition that the fewest deletes can fulfil: a tenant, a caller or
//! a first folder; one that could be about any of them stands apart, and is always looked at.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use crate::directory::Fingerprint;
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

/// Positions of rules, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Index {
    by_tenant: HashMap<Fingerprint, Vec<u32>>,
    by_caller: HashMap<Fingerprint, Vec<u32>>,
    by_folder: HashMap<Box<str>, Vec<u32>>,
    others: Vec<u32>,
}

impl Index {
    pub(super) fn add<'r>(&mut self, position: u32, rule: &'r Rule, meant: &mut Meant<'r, '_>) {
        let tenants = meant.tenants.few(rule.matches.tenants.as_deref());
        let callers = meant.callers.few(rule.matches.callers.as_deref());
        let folders = rule.matches.paths.as_deref().and_then(folders);
        match (tenants, callers, folders) {
            (Some(tenants), Some(callers), _) if callers.len() < tenants.len() => {
                enter(&mut self.by_caller, callers, position);
            }
            (Some(tenants), _, _) => enter(&mut self.by_tenant, tenants, position),
            (None, Some(callers), _) => enter(&mut self.by_caller, callers, position),
            (None, None, Some(folders)) => enter(&mut self.by_folder, folders, position),
            (None, None, None) => self.others.push(position),
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
        Candidates(lists.map(|list| list.map(Vec::as_slice).unwrap_or_default()))
    }
}

/// Several ordered lists, as one.
pub(super) struct Candidates<'i>([&'i [u32]; 4]);

impl Iterator for Candidates<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let heads = self.0.iter_mut().filter_map(|list| Some((*list.first()?, list)));
        let (next, list) = heads.min_by_key(|(head, _)| *head)?;
        *list = list.get(1..).unwrap_or_default();
        Some(next)
    }
}

fn enter<K: Eq + Hash>(lists: &mut HashMap<K, Vec<u32>>, keys: Vec<K>, position: u32) {
    for key in keys {
        let list = lists.entry(key).or_default();
        // Two globs may have the same key.
        if list.last() != Some(&position) {
            list.push(position);
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
/// a megabyte at most.
const FEW: usize = 256;
