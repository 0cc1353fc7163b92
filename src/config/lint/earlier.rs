//! The rules before one, found by what a rule must be about to cover it.

use std::collections::HashMap;

use crate::config::lint::reach::{Reach, Set};
use crate::policy::PathGlob;

/// Rules, by the condition that the fewest deletes can fulfil. A rule that covers another stands under
/// each of what the other is about, so it is found by the first of that.
pub(super) struct Earlier<'c, R> {
    rules: Vec<R>,
    by_tenant: HashMap<usize, Vec<usize>>,
    by_caller: HashMap<usize, Vec<usize>>,
    by_folder: HashMap<&'c str, Vec<usize>>,
    others: Vec<usize>,
}

impl<'c, R> Earlier<'c, R> {
    pub(super) fn new() -> Self {
        Self {
            rules: Vec::new(),
            by_tenant: HashMap::new(),
            by_caller: HashMap::new(),
            by_folder: HashMap::new(),
            others: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, rule: R, reach: impl Fn(&R) -> &Reach<'c>) {
        let position = self.rules.len();
        let Reach { callers, tenants, paths, .. } = reach(&rule);
        if is_small(tenants) && tenants.count() <= callers.count() {
            tenants.iter().for_each(|at| self.by_tenant.entry(at).or_default().push(position));
        } else if is_small(callers) {
            callers.iter().for_each(|at| self.by_caller.entry(at).or_default().push(position));
        } else if let Some(folders) = paths.and_then(folders) {
            for folder in folders {
                let list = self.by_folder.entry(folder).or_default();
                if list.last() != Some(&position) {
                    list.push(position);
                }
            }
        } else {
            self.others.push(position);
        }
        self.rules.push(rule);
    }

    /// The first rule of which this holds, among all that can cover what is asked about.
    pub(super) fn find(&self, reach: &Reach<'_>, mut covers: impl FnMut(&R) -> bool) -> Option<&R> {
        let folder = reach.paths.and_then(|globs| globs.first()?.first_segment());
        let lists = [
            reach.tenants.first().and_then(|at| self.by_tenant.get(&at)),
            reach.callers.first().and_then(|at| self.by_caller.get(&at)),
            folder.and_then(|folder| self.by_folder.get(folder)),
            Some(&self.others),
        ];
        let found = lists.into_iter().flatten().filter_map(|list| {
            list.iter().find(|at| self.rules.get(**at).is_some_and(&mut covers))
        });
        self.rules.get(*found.min()?)
    }
}

/// Whether a rule may stand under each of them: a thousand such rules then take little room.
fn is_small(set: &Set) -> bool {
    (1..=256).contains(&set.count())
}

/// The first segments of all globs, where none of them is open.
fn folders(globs: &[PathGlob]) -> Option<Vec<&str>> {
    globs.iter().map(PathGlob::first_segment).collect()
}
