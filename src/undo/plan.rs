//! What an undo would do, decided from what is known, without any I/O.

use std::collections::{HashMap, HashSet};
use std::fmt;

use time::OffsetDateTime;

use crate::undo::bin::View;
use crate::undo::gather::{Deleted, Gathered, What};
use crate::undo::ledger::Done;
use crate::undo::{OnConflict, Space};

/// What becomes of one delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is brought back.
    Restore {
        /// What it is called in the bin.
        id: u64,
        /// In how many whole days the bin drops it; `None`: never, or nobody knows.
        remaining_days: Option<u64>,
        /// It was found in the bin: nobody had told its id.
        looked_up: bool,
        /// An earlier run may have brought it back: that is looked at first.
        tried_before: bool,
    },
    /// An earlier run brought it back.
    Already {
        /// What it is called in the bin.
        id: u64,
        /// Where to, where that is known.
        as_path: Option<String>,
        /// Its run was interrupted, and it has left the bin since: nothing else says so.
        presumed: bool,
    },
    /// It does not come back.
    Cannot(Why),
}

/// Why a file does not come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Why {
    /// As was asked for.
    Permanent,
    /// Although that was not asked for.
    BinOff,
    /// It had been there.
    NotInBin,
    /// No answer came, and nothing is there that would be it.
    UnknownNotInBin,
    /// No answer came, and it would not be there.
    UnknownForGood,
    /// Which one it is cannot be told.
    Ambiguous,
    /// The bin could not be looked at, and nobody had told its id.
    NotLooked,
    /// Nothing says how the space is reached.
    NoTenant,
    /// Nothing says how it is restored.
    NoToken,
    /// Two of one path, and one would overwrite the other.
    OlderVersion,
}

impl Why {
    /// The word for it in reports for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Permanent => "permanent",
            Self::BinOff => "bin_off",
            Self::NotInBin => "not_in_bin",
            Self::UnknownNotInBin => "unknown_not_in_bin",
            Self::UnknownForGood => "unknown_permanent",
            Self::Ambiguous => "ambiguous",
            Self::NotLooked => "not_looked",
            Self::NoTenant => "no_tenant",
            Self::NoToken => "no_token",
            Self::OlderVersion => "older_version",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Permanent => "deleted for good, as was asked for (permanent=1)",
            Self::BinOff => "deleted for good: the recycle bin was off (204)",
            Self::NotInBin => {
                "no longer in the recycle bin: expired, purged, or restored by another"
            }
            Self::UnknownNotInBin => {
                "SMH's answer was lost and it is not in the recycle bin: most likely not deleted"
            }
            Self::UnknownForGood => {
                "SMH's answer was lost, and permanent=1 was asked for: gone if it was deleted"
            }
            Self::Ambiguous => {
                "SMH's answer was lost, and several items of the recycle bin could be it, or one could be another delete's"
            }
            Self::NotLooked => {
                "SMH's answer was lost, and the recycle bin could not be looked through"
            }
            Self::NoTenant => "no tenant of this gateway.yaml is this space",
            Self::NoToken => "gateway.yaml has no token for this library under `undo`",
            Self::OlderVersion => {
                "a newer version of the path comes back, and would replace it: use `rename`"
            }
        })
    }
}

/// One delete, and what becomes of it.
#[derive(Debug, Clone)]
pub struct Item {
    /// The delete.
    pub deleted: Deleted,
    /// What becomes of it.
    pub fate: Fate,
}

/// What is decided from besides the journals.
pub struct Facts<'f> {
    /// What was done before.
    pub done: &'f Done,
    /// What is in the bins; none for one that could not be looked at.
    pub bins: &'f HashMap<Space, View>,
    /// Spaces that have a tenant.
    pub tenants: &'f HashSet<Space>,
    /// Those of them that there is a token for.
    pub tokens: &'f HashSet<Space>,
    /// What happens to what is in the way.
    pub on_conflict: OnConflict,
}

/// All deletes, and what becomes of each, in the order of time.
#[derive(Debug, Default)]
pub struct Plan {
    /// The deletes.
    pub items: Vec<Item>,
}

/// Decides.
#[must_use]
pub fn plan(gathered: Gathered, facts: &Facts<'_>) -> Plan {
    let mut found = find_unknown(&gathered, facts);
    let deleted = gathered.deleted;
    let mut seen = HashSet::new();
    let mut items = Vec::with_capacity(deleted.len());
    for (index, deleted) in deleted.into_iter().enumerate() {
        let fate = match found.remove(&index) {
            Some(fate) => fate,
            None => fate(&deleted, facts),
        };
        let id = match &fate {
            Fate::Restore { id, .. } | Fate::Already { id, .. } => Some(*id),
            Fate::Cannot(_) => None,
        };
        // Two journals, or an SMH that answers twice: it comes back once.
        if id.is_none_or(|id| seen.insert((deleted.space.clone(), id))) {
            items.push(Item { deleted, fate });
        }
    }
    if facts.on_conflict == OnConflict::Overwrite {
        keep_newest(&mut items);
    }
    Plan { items }
}

fn fate(deleted: &Deleted, facts: &Facts<'_>) -> Fate {
    match &deleted.what {
        What::Permanent => Fate::Cannot(Why::Permanent),
        What::BinOff => Fate::Cannot(Why::BinOff),
        What::UnknownForGood => Fate::Cannot(Why::UnknownForGood),
        // Those that could be looked up were.
        What::Unknown { .. } => Fate::Cannot(unreachable(deleted, facts).unwrap_or(Why::NotLooked)),
        What::Recycled(id) => recycled(deleted, *id, facts, false),
    }
}

fn unreachable(deleted: &Deleted, facts: &Facts<'_>) -> Option<Why> {
    if !facts.tenants.contains(&deleted.space) {
        Some(Why::NoTenant)
    } else if !facts.tokens.contains(&deleted.space) {
        Some(Why::NoToken)
    } else {
        None
    }
}

fn recycled(deleted: &Deleted, id: u64, facts: &Facts<'_>, looked_up: bool) -> Fate {
    if let Some(as_path) = facts.done.restored(&deleted.space, id) {
        return Fate::Already { id, as_path: as_path.map(str::to_owned), presumed: false };
    }
    if let Some(why) = unreachable(deleted, facts) {
        return Fate::Cannot(why);
    }
    let tried_before = facts.done.tried(&deleted.space, id);
    let view = facts.bins.get(&deleted.space);
    match view.map(|view| (view.remaining(id), view.reaches(deleted.time))) {
        Some((Some(remaining_days), _)) => {
            Fate::Restore { id, remaining_days, looked_up, tried_before }
        }
        Some((None, true)) if tried_before => Fate::Already { id, as_path: None, presumed: true },
        Some((None, true)) => Fate::Cannot(Why::NotInBin),
        Some((None, false)) | None => {
            Fate::Restore { id, remaining_days: None, looked_up, tried_before }
        }
    }
}

/// A delete without an answer: which one, and when SMH acted, if it did.
type Sought = (usize, OffsetDateTime, OffsetDateTime);

/// For deletes without an answer: what of the bin is theirs. Of one path there can be several of both,
/// which are matched in the order of time.
fn find_unknown(gathered: &Gathered, facts: &Facts<'_>) -> HashMap<usize, Fate> {
    let Gathered { deleted, others, accounted, .. } = gathered;
    let mut of_paths: HashMap<(&Space, &str), Vec<Sought>> = HashMap::new();
    let mut fates = HashMap::new();
    // What an earlier run found a delete to be, it is.
    let mut known = HashSet::new();
    for (index, one) in deleted.iter().enumerate() {
        let What::Unknown { from, to } = one.what else { continue };
        if let Some(id) = facts.done.found(one) {
            fates.insert(index, recycled(one, id, facts, true));
            known.insert((&one.space, id));
        } else if unreachable(one, facts).is_none() {
            let of_path = of_paths.entry((&one.space, &one.path)).or_default();
            of_path.push((index, from, to));
        }
    }
    let mut of_others: HashMap<(&Space, &str), Vec<(OffsetDateTime, OffsetDateTime)>> =
        HashMap::new();
    for one in others {
        let What::Unknown { from, to } = one.what else { continue };
        let place = (&one.space, &*one.path);
        if let Some(id) = facts.done.found(one) {
            known.insert((&one.space, id));
        } else if of_paths.contains_key(&place) {
            of_others.entry(place).or_default().push((from, to));
        }
    }
    for (place @ (space, path), unknown) in of_paths {
        let Some(view) = facts.bins.get(space) else { continue };
        let mut candidates = view.at(path).to_vec();
        candidates.retain(|(removed, id)| {
            let fits = unknown.iter().any(|(_, from, to)| (from..=to).contains(&removed));
            let is_accounted = accounted.get(space).is_some_and(|ids| ids.contains(id));
            fits && !is_accounted && !known.contains(&(space, *id))
        });
        candidates.sort_unstable();
        let others = of_others.remove(&place).unwrap_or_default();
        let may_be_anothers = |removed: &OffsetDateTime| {
            others.iter().any(|(from, to)| (from..=to).contains(&removed))
        };
        let is_told_apart = candidates.len() <= unknown.len();
        for (index, from, to) in unknown {
            let Some(one) = deleted.get(index) else { continue };
            let fits = |(removed, _): &(OffsetDateTime, u64)| (from..=to).contains(removed);
            let fitting = || candidates.iter().filter(|one| fits(one));
            let is_one_of_all = is_told_apart || fitting().count() == 1;
            let is_theirs = !fitting().any(|(removed, _)| may_be_anothers(removed));
            let fate = match candidates.iter().position(fits) {
                Some(at) if is_one_of_all && is_theirs => {
                    let (_, id) = candidates.remove(at);
                    recycled(one, id, facts, true)
                }
                Some(_) => Fate::Cannot(Why::Ambiguous),
                None if view.reaches(from) => Fate::Cannot(Why::UnknownNotInBin),
                None => Fate::Cannot(Why::NotLooked),
            };
            fates.insert(index, fate);
        }
    }
    fates
}

/// Of one path, the last that was deleted.
fn keep_newest(items: &mut [Item]) {
    let mut newest = HashSet::new();
    for item in items.iter_mut().rev() {
        if matches!(item.fate, Fate::Restore { .. })
            && !newest.insert((item.deleted.space.clone(), item.deleted.path.clone()))
        {
            item.fate = Fate::Cannot(Why::OlderVersion);
        }
    }
}

#[cfg(test)]
mod tests;
