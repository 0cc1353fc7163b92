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
    grants: Vec<Set>,
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
        let mut set = Set::none(self.names.len());
        let Some(globs) = globs else {
            (0..self.names.len()).for_each(|at| set.insert(at));
            return set;
        };
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
        let grants = callers.iter().map(|one| {
            let mut granted = Set::none(tenants.names.len());
            let positions = one.caller.tenants().iter();
            let positions = positions.filter_map(|tenant| tenants.positions.get(tenant.as_str()));
            positions.for_each(|at| granted.insert(*at));
            granted
        });
        let grants = grants.collect();
        let callers = Kind::of(callers.iter().map(|one| one.caller.name.as_str()));
        Self { callers, tenants, grants }
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
        self.grants.iter().any(|granted| granted.contains(tenant))
    }

    /// Whether any of the callers is granted any of the tenants.
    pub(super) fn any_grant(&self, reach: &Reach<'_>) -> bool {
        self.granted(reach).any(|granted| granted.meets(&reach.tenants))
    }

    /// What is granted to each of the callers.
    pub(super) fn granted<'n>(&'n self, reach: &'n Reach<'_>) -> impl Iterator<Item = &'n Set> {
        let callers = self.grants.iter().enumerate();
        callers.filter(|(at, _)| reach.callers.contains(*at)).map(|(_, granted)| granted)
    }
}

/// Whom and what conditions are about.
pub(super) struct Reach<'s> {
    pub(super) callers: Set,
    pub(super) tenants: Set,
    user_ids: Option<&'s [NameGlob]>,
    paths: Option<&'s [PathGlob]>,
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

/// Places of names, as bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Set {
    words: Vec<u64>,
    /// One that is in it: most sets that do not cover another lack this one of it.
    first: Option<usize>,
}

impl Set {
    fn none(of: usize) -> Self {
        Self { words: vec![0; of.div_ceil(64)], first: None }
    }

    fn insert(&mut self, at: usize) {
        if let Some(word) = self.words.get_mut(at / 64) {
            *word |= 1 << (at % 64);
            self.first.get_or_insert(at);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(super) fn contains(&self, at: usize) -> bool {
        self.words.get(at / 64).is_some_and(|word| word & (1 << (at % 64)) != 0)
    }

    fn covers(&self, other: &Self) -> bool {
        let pairs = || self.words.iter().zip(&other.words);
        other.first.is_none_or(|at| self.contains(at))
            && pairs().all(|(wide, narrow)| narrow & !wide == 0)
    }

    pub(super) fn meets(&self, other: &Self) -> bool {
        self.words.iter().zip(&other.words).any(|(one, other)| one & other != 0)
    }
}
