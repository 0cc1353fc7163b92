//! What changes, counted by who, where and why: in bounded room, whatever was recorded.

use std::collections::HashMap;

use crate::journal::Entry;
use crate::replay::Asked;

/// Which way a decision changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Change {
    /// It was allowed.
    NowDenied,
    /// It was denied.
    NowAllowed,
}

/// Whose deletes, and why they are, or were, denied.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Which way.
    pub change: Change,
    /// Who asked.
    pub caller: Box<str>,
    /// The tenant, or `LIBRARY/SPACE`.
    pub tenant: Box<str>,
    /// With which code.
    pub code: Box<str>,
    /// By which rule, if by one.
    pub rule: Option<Box<str>>,
}

/// One delete of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// When.
    pub time: Box<str>,
    /// Which file.
    pub path: Box<str>,
    /// Whether for good.
    pub permanent: bool,
    /// Which request.
    pub request_id: Option<Box<str>>,
}

/// How many deletes of a [`Key`], and the first of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// How many.
    pub deletes: u64,
    /// The first few.
    pub examples: Vec<Example>,
}

/// Every group there is room for; the rest is counted together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    groups: HashMap<Key, Group>,
    others: [u64; 2],
}

impl Changes {
    pub(super) fn add(
        &mut self,
        change: Change,
        asked: &Asked<'_>,
        (code, rule): (&str, Option<&str>),
        entry: &Entry<'_>,
    ) {
        let key = Key {
            change,
            caller: short(asked.caller, NAME_BYTES),
            tenant: short(&asked.tenant(), NAME_BYTES),
            code: short(code, NAME_BYTES),
            rule: rule.map(|rule| short(rule, NAME_BYTES)),
        };
        if self.groups.len() >= MOST_GROUPS && !self.groups.contains_key(&key) {
            let [denied, allowed] = &mut self.others;
            match change {
                Change::NowDenied => *denied += 1,
                Change::NowAllowed => *allowed += 1,
            }
            return;
        }
        let group = self.groups.entry(key).or_default();
        group.deletes += 1;
        if group.examples.len() < EXAMPLES {
            group.examples.push(Example {
                time: short(&entry.time, NAME_BYTES),
                path: short(asked.path, PATH_BYTES),
                permanent: entry.permanent == Some(true),
                request_id: entry.request_id.as_deref().map(|id| short(id, NAME_BYTES)),
            });
        }
    }

    /// The groups of one way, those with the most deletes first.
    #[must_use]
    pub fn groups(&self, change: Change) -> Vec<(&Key, &Group)> {
        let mut groups: Vec<_> =
            self.groups.iter().filter(|(key, _)| key.change == change).collect();
        groups.sort_by(|(a, of_a), (b, of_b)| of_b.deletes.cmp(&of_a.deletes).then(a.cmp(b)));
        groups
    }

    /// How many deletes are in groups for which there was no room.
    #[must_use]
    pub fn others(&self, change: Change) -> u64 {
        let [denied, allowed] = self.others;
        match change {
            Change::NowDenied => denied,
            Change::NowAllowed => allowed,
        }
    }
}

/// As much of a text as there is room for.
fn short(text: &str, most: usize) -> Box<str> {
    if text.len() <= most {
        return text.into();
    }
    let end = text.floor_char_boundary(most);
    let mut kept = text.get(..end).unwrap_or_default().to_owned();
    kept.push('…');
    kept.into()
}

/// Callers times tenants times rules. With every text at its longest they have 8 MB.
pub(super) const MOST_GROUPS: usize = 1000;

const EXAMPLES: usize = 3;

const NAME_BYTES: usize = 160;

const PATH_BYTES: usize = 2048;
