//! What conditions come down to, among the callers and tenants that there are.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::snapshot::ConfiguredCaller;
use crate::directory::Tenant;
use crate::policy::{NameGlob, PathGlob, Selector};

/// The callers and tenants of the configuration.
pub(super) struct Names<'c> {
    callers: Kind<'c>,
    tenants: Kind<'c>,
    /// By caller: the tenants granted to it.
    grants: Vec<Vec<usize>>,
    /// By tenant: the callers that it is granted to.
    holders: Vec<Vec<usize>>,
}

/// Names of one kind, by their place in the file.
struct Kind<'c> {
    names: Vec<&'c str>,
    positions: HashMap<&'c str, usize>,
}

impl<'c> Kind<'c> {
    fn of(names: impl Iterator<Item = &'c str>) -> Self {
        let names: Vec<_> = names.collect();
        let positions = names.iter().enumerate().map(|(at, name)| (*name, at)).collect();
        Self { names, positions }
    }

    /// Those that a condition is about.
    fn meant(&self, globs: Option<&[NameGlob]>) -> Set {
        let Some(globs) = globs else { return Set::all(self.names.len()) };
        let mut set = Set::none(self.names.len());
        for glob in globs {
            match glob.literal() {
                Some(name) => self.positions.get(name).into_iter().for_each(|at| set.insert(*at)),
                None => {
                    let matching = self.names.iter().enumerate().filter(|(_, n)| glob.matches(n));
                    matching.for_each(|(at, _)| set.insert(at));
                }
            }
        }
        set
    }
}

impl<'c> Names<'c> {
    pub(super) fn of(callers: &'c [ConfiguredCaller], tenants: &'c [Arc<Tenant>]) -> Self {
        let tenants = Kind::of(tenants.iter().map(|tenant| tenant.name.as_str()));
        let mut holders = vec![Vec::new(); tenants.names.len()];
        let grants = callers.iter().enumerate().map(|(caller, one)| {
            let granted = one.caller.tenants().iter();
            let granted = granted.filter_map(|tenant| tenants.positions.get(tenant.as_str()));
            let granted: Vec<usize> = granted.copied().collect();
            for tenant in &granted {
                holders
                    .get_mut(*tenant)
                    .into_iter()
                    .for_each(|held: &mut Vec<_>| held.push(caller));
            }
            granted
        });
        let grants = grants.collect();
        let callers = Kind::of(callers.iter().map(|one| one.caller.name.as_str()));
        Self { callers, tenants, grants, holders }
    }

    /// What conditions come down to.
    pub(super) fn reach<'s>(&self, selector: &'s Selector) -> Reach<'s> {
        Reach {
            callers: self.callers.meant(selector.callers.as_deref()),
            tenants: self.tenants.meant(selector.tenants.as_deref()),
            user_ids: selector.user_ids.as_deref(),
            paths: selector.paths.as_deref(),
        }
    }

    /// Whether the tenant at this place is granted to anybody.
    pub(super) fn is_granted(&self, tenant: usize) -> bool {
        self.holders.get(tenant).is_some_and(|callers| !callers.is_empty())
    }

    /// Whether any of the callers is granted any of the tenants.
    pub(super) fn any_grant(&self, reach: &Reach<'_>) -> bool {
        if reach.tenants.count() < reach.callers.count() {
            let mut held = reach.tenants.iter().filter_map(|at| self.holders.get(at));
            held.any(|callers| callers.iter().any(|at| reach.callers.contains(*at)))
        } else {
            self.tenants_granted(reach).next().is_some()
        }
    }

    /// The tenants that are granted to any of the callers, each as often as it is.
    pub(super) fn tenants_granted<'n>(
        &'n self,
        reach: &'n Reach<'_>,
    ) -> impl Iterator<Item = usize> + 'n {
        let granted = reach.callers.iter().filter_map(|at| self.grants.get(at));
        granted.flatten().copied().filter(|at| reach.tenants.contains(*at))
    }
}

/// Whom and what conditions are about.
pub(super) struct Reach<'s> {
    pub(super) callers: Set,
    pub(super) tenants: Set,
    pub(super) user_ids: Option<&'s [NameGlob]>,
    pub(super) paths: Option<&'s [PathGlob]>,
}

impl Reach<'_> {
    /// Whether every delete that the other is about surely is one of these.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.callers.covers(&other.callers)
            && self.tenants.covers(&other.tenants)
            && globs_cover(self.user_ids, other.user_ids, NameGlob::covers)
            // Whatever paths there are, `**` is all of them.
            && (globs_cover(self.paths, other.paths, PathGlob::covers)
                || self.paths.is_some_and(|globs| globs.iter().any(PathGlob::is_any)))
    }

    /// Whether the two are surely about different deletes.
    pub(super) fn is_apart_from(&self, other: &Self) -> bool {
        !self.callers.meets(&other.callers) || !self.tenants.meets(&other.tenants)
    }
}

/// A condition that is left out holds for all, those without a `user_id` among them.
fn globs_cover<G>(wide: Option<&[G]>, narrow: Option<&[G]>, covers: fn(&G, &G) -> bool) -> bool {
    match (wide, narrow) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(wide), Some(narrow)) => {
            narrow.iter().all(|narrow| wide.iter().any(|wide| covers(wide, narrow)))
        }
    }
}

/// Places of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Set {
    /// As bits; left out where all of them are in it.
    words: Option<Vec<u64>>,
    count: usize,
    /// The first that is in it: most sets that do not cover another lack this one of it.
    first: Option<usize>,
    of: usize,
}

impl Set {
    fn none(of: usize) -> Self {
        Self { words: Some(vec![0; of.div_ceil(64)]), count: 0, first: None, of }
    }

    fn all(of: usize) -> Self {
        Self { words: None, count: of, first: (of > 0).then_some(0), of }
    }

    fn insert(&mut self, at: usize) {
        let word = self.words.as_mut().and_then(|words| words.get_mut(at / 64));
        let Some(word) = word.filter(|word| **word & (1 << (at % 64)) == 0) else { return };
        *word |= 1 << (at % 64);
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
        self.count += 1;
        if self.count == self.of {
            *self = Self::all(self.of);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn first(&self) -> Option<usize> {
        self.first
    }

    pub(super) fn contains(&self, at: usize) -> bool {
        match &self.words {
            None => at < self.of,
            Some(words) => words.get(at / 64).is_some_and(|word| word & (1 << (at % 64)) != 0),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (self.first.unwrap_or(self.of)..self.of).filter(|at| self.contains(*at))
    }

    fn covers(&self, other: &Self) -> bool {
        match (&self.words, &other.words) {
            (None, _) => true,
            (Some(_), None) => other.count == 0,
            (Some(wide), Some(narrow)) => {
                self.count >= other.count
                    && other.first.is_none_or(|at| self.contains(at))
                    && wide.iter().zip(narrow).all(|(wide, narrow)| narrow & !wide == 0)
            }
        }
    }

    fn meets(&self, other: &Self) -> bool {
        match (&self.words, &other.words) {
            (None, _) => !other.is_empty(),
            (_, None) => !self.is_empty(),
            (Some(one), Some(other)) => one.iter().zip(other).any(|(one, other)| one & other != 0),
        }
    }
}
