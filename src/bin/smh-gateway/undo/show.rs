//! What an undo would do, and what it did.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};
use smh_gateway::config::report::printable;
use smh_gateway::undo::{Deleted, Fate, Item, Missing, Notes, Outcome, Plan, Restored, Space, Why};
use time::format_description::well_known::Rfc3339;

use super::Options;
use crate::terminal::{Style, Terminal};
use crate::{Answer, Format};

/// All that there is to tell.
pub(crate) struct Shown<'s> {
    pub(crate) plan: &'s Plan,
    pub(crate) notes: Notes,
    /// Records that were not there.
    pub(crate) missing: &'s [Missing],
    /// Bins that could not be looked at.
    pub(crate) unseen: &'s [(Space, String)],
    /// Of what was done: which run it was, and what became of each.
    pub(crate) run: Option<&'s str>,
    pub(crate) outcomes: Option<&'s HashMap<usize, Outcome>>,
}

/// `1 file`, `2 files`.
pub(crate) fn files(count: usize) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}

/// What there is of one space.
#[derive(Default)]
struct Sum<'s> {
    tenant: Option<&'s str>,
    files: usize,
    looked_up: usize,
    /// Until the bin drops the first of them.
    days: Option<u64>,
}

impl Shown<'_> {
    /// Of what the journals should have, whichever form was asked for.
    pub(crate) fn complain(&self, terminal: &Terminal) {
        for missing in self.missing.iter().take(EXAMPLES) {
            terminal.complain(format!("smh-gateway: {missing}"));
        }
        if self.missing.len() > EXAMPLES {
            let more = self.missing.len() - EXAMPLES;
            terminal.complain(format!("smh-gateway: … and {more} more gaps in the journals"));
        }
    }

    /// What would be done.
    pub(crate) fn plan(&self, terminal: &mut Terminal) {
        let items = &self.plan.items;
        if items.is_empty() {
            terminal.line("no delete is among what was asked for");
        }
        let sums = self.sums();
        let restore: usize = sums.values().map(|sum| sum.files).sum();
        if restore > 0 {
            let can = terminal.style(Style::Good, format!("{} can be restored", files(restore)));
            terminal.line(format!("{can} of {} deletes", items.len()));
        }
        for (space, sum) in &sums {
            let tenant = printable(sum.tenant.unwrap_or("-"));
            let drops = sum.days.map_or_else(String::new, |days| {
                format!("; the bin drops the first of them in {days} days")
            });
            let looked_up = match sum.looked_up {
                0 => String::new(),
                count => format!("; {count} of them were found by path and time"),
            };
            let count = files(sum.files);
            terminal.line(format!("    {tenant:<16} {space:<30} {count}{drops}{looked_up}"));
        }
        let already = self.already(false).count();
        if already > 0 {
            terminal.line(format!("{} restored before", files(already)));
        }
        self.presumed(&self.already(true).collect::<Vec<_>>(), terminal);
        self.cannot(terminal);
        self.warnings(terminal);
    }

    /// What was done, and whether that was all that was asked for.
    pub(crate) fn end(&self, options: &Options, terminal: &mut Terminal) -> Answer {
        match options.format {
            Format::Json => terminal.line(format!("{:#}", self.json(options))),
            Format::Text => self.result(terminal),
        }
        let missing = self.plan.items.iter().enumerate().any(|(index, item)| match item.fate {
            Fate::Cannot(_) => true,
            Fate::Already { presumed, .. } => presumed,
            Fate::Restore { .. } => match self.outcomes {
                Some(outcomes) => !matches!(outcomes.get(&index), Some(Outcome::Restored(_))),
                None => false,
            },
        });
        // What could not be looked at may not come back; where it was tried, that is known.
        let is_unsure = self.outcomes.is_none() && !self.unseen.is_empty();
        let may_miss = self.notes.hide_something() || !self.missing.is_empty() || is_unsure;
        if missing || may_miss { Answer::No } else { Answer::Yes }
    }

    fn sums(&self) -> BTreeMap<String, Sum<'_>> {
        let mut sums: BTreeMap<String, Sum<'_>> = BTreeMap::new();
        for Item { deleted, fate } in &self.plan.items {
            let Fate::Restore { remaining_days, looked_up, .. } = fate else { continue };
            let sum = sums.entry(deleted.space.to_string()).or_default();
            sum.tenant = sum.tenant.or(deleted.tenant.as_deref());
            sum.files += 1;
            sum.looked_up += usize::from(*looked_up);
            sum.days = sum.days.into_iter().chain(*remaining_days).min();
        }
        sums
    }

    /// Restored before, as was said, or as is only presumed.
    fn already(&self, is_presumed: bool) -> impl Iterator<Item = &Deleted> {
        let is_it = move |item: &&Item| matches!(item.fate, Fate::Already { presumed, .. } if presumed == is_presumed);
        self.plan.items.iter().filter(is_it).map(|item| &item.deleted)
    }

    fn presumed(&self, which: &[&Deleted], terminal: &mut Terminal) {
        if !which.is_empty() {
            let head = format!("{} may be back", files(which.len()));
            let head = terminal.style(Style::Bad, head);
            terminal.line(format!("{head}: each {HAS_LEFT}"));
            self.examples(which, terminal);
        }
    }

    fn cannot_by_reason(&self) -> BTreeMap<Why, Vec<&Deleted>> {
        let mut reasons: BTreeMap<Why, Vec<&Deleted>> = BTreeMap::new();
        for Item { deleted, fate } in &self.plan.items {
            if let Fate::Cannot(why) = fate {
                reasons.entry(*why).or_default().push(deleted);
            }
        }
        reasons
    }

    fn cannot(&self, terminal: &mut Terminal) {
        for (why, which) in self.cannot_by_reason() {
            let head = format!("{} cannot be restored", files(which.len()));
            let head = terminal.style(Style::Bad, head);
            terminal.line(format!("{head}: {why}"));
            self.examples(&which, terminal);
        }
    }

    fn examples(&self, which: &[&Deleted], terminal: &mut Terminal) {
        for deleted in which.iter().take(EXAMPLES) {
            terminal.line(format!("    {}", place(deleted)));
        }
        if which.len() > EXAMPLES {
            let more = format!("    … {} more: `--format json` has all", which.len() - EXAMPLES);
            terminal.line(terminal.style(Style::Dim, more));
        }
    }

    fn warnings(&self, terminal: &mut Terminal) {
        for (space, why) in self.unseen {
            let why = printable(why);
            terminal.line(format!("the recycle bin of {space} could not be looked at: {why}"));
        }
        let Notes { foreign, torn, newer, changed, unreadable, copied, .. } = self.notes;
        for (count, what) in [
            (changed, "changed after it was written, and not heeded: see `audit verify`"),
            (unreadable, "a record that cannot be made out, and not heeded"),
            (
                copied,
                "another record than the one of that number, of a journal that was copied: give each alone",
            ),
            (newer, "written by a newer version: use that smh-gateway"),
            (foreign, "no record"),
            (torn, "without an end: just being written, or its gateway was killed"),
        ] {
            if count > 0 {
                let lines = if count == 1 { "1 line" } else { &format!("{count} lines") };
                terminal.line(format!("{lines} of the journals: {what}"));
            }
        }
    }

    fn result(&self, terminal: &mut Terminal) {
        let Some(outcomes) = self.outcomes else { return };
        let (mut restored, mut renamed, mut not) = (0, Vec::new(), Vec::new());
        let mut left = Vec::new();
        for (index, Item { deleted, .. }) in self.plan.items.iter().enumerate() {
            match outcomes.get(&index) {
                Some(Outcome::Restored(Restored { as_path, .. })) => {
                    restored += 1;
                    let other = as_path.as_ref().filter(|as_path| **as_path != deleted.path);
                    renamed.extend(other.map(|as_path| (deleted, as_path)));
                }
                Some(Outcome::NotRestored { cause, .. }) => not.push((deleted, cause.as_str())),
                Some(Outcome::Unknown { cause }) => {
                    not.push((deleted, cause.as_str()));
                }
                Some(Outcome::HasLeft) => left.push(deleted),
                Some(Outcome::NotTried) => not.push((deleted, "not tried: run it again")),
                None => {}
            }
        }
        let done = terminal.style(Style::Good, format!("{} restored", files(restored)));
        let run = self.run.map_or_else(String::new, |run| format!(" (undo {run})"));
        terminal.line(format!("{done}{run}"));
        for (deleted, as_path) in renamed {
            let as_path = printable(as_path);
            terminal.line(format!("    {} came back as {as_path}", place(deleted)));
        }
        self.presumed(&left, terminal);
        if !not.is_empty() {
            let head = format!("{} not restored", files(not.len()));
            terminal.line(terminal.style(Style::Bad, head));
        }
        for (deleted, cause) in not {
            terminal.line(format!("    {}: {}", place(deleted), printable(cause)));
        }
    }

    fn json(&self, options: &Options) -> Value {
        let sums = self.sums();
        let spaces = sums.iter().map(|(space, sum)| {
            json!({
                "space": space, "tenant": sum.tenant, "files": sum.files, "looked_up": sum.looked_up,
                "first_dropped_in_days": sum.days,
            })
        });
        let reasons = self.cannot_by_reason();
        let reasons =
            reasons.iter().map(|(why, which)| (why.as_str().to_owned(), json!(which.len())));
        let unseen = self.unseen.iter();
        let unseen = unseen.map(|(space, why)| json!({ "space": space.to_string(), "why": why }));
        let missing = self.missing.iter().map(|one| {
            json!({ "journal": one.journal.to_string(), "first": one.first, "last": one.last })
        });
        let Notes { records, foreign, torn, newer, changed, unreadable, copied } = self.notes;
        json!({
            "dry_run": options.dry_run,
            "undo": self.run,
            "restorable": sums.values().map(|sum| sum.files).sum::<usize>(),
            "restored": self.outcomes.map(|outcomes| {
                outcomes.values().filter(|one| matches!(one, Outcome::Restored(_))).count()
            }),
            "restored_before": self.already(false).count(),
            "presumed": self.already(true).count() + self.outcomes.map_or(0, |outcomes| {
                outcomes.values().filter(|one| matches!(one, Outcome::HasLeft)).count()
            }),
            "cannot": Value::Object(reasons.collect()),
            "spaces": spaces.collect::<Vec<_>>(),
            "bins_not_seen": unseen.collect::<Vec<_>>(),
            "journals": {
                "records": records, "changed": changed, "unreadable": unreadable, "copied": copied, "newer": newer,
                "foreign": foreign, "torn": torn, "missing": missing.collect::<Vec<_>>(),
            },
            "deletes": self.plan.items.iter().enumerate().map(|(index, item)| {
                self.delete(item, self.outcomes.and_then(|outcomes| outcomes.get(&index)))
            }).collect::<Vec<_>>(),
        })
    }

    fn delete(&self, item: &Item, outcome: Option<&Outcome>) -> Value {
        let Item { deleted, fate } = item;
        let (id, state, why, as_path) = match (fate, outcome) {
            (Fate::Cannot(why), _) => (None, "cannot", Some(why.as_str().to_owned()), None),
            (Fate::Already { id, presumed: true, .. }, _)
            | (Fate::Restore { id, .. }, Some(Outcome::HasLeft)) => {
                (Some(id), "presumed", Some(HAS_LEFT.to_owned()), None)
            }
            (Fate::Already { id, as_path, .. }, _) => {
                (Some(id), "restored_before", None, as_path.as_ref())
            }
            (Fate::Restore { id, .. }, None) => (Some(id), "restorable", None, None),
            (Fate::Restore { id, .. }, Some(outcome)) => match outcome {
                Outcome::Restored(Restored { as_path, .. }) => {
                    (Some(id), "restored", None, as_path.as_ref())
                }
                Outcome::NotRestored { cause, .. } => {
                    (Some(id), "not_restored", Some(cause.clone()), None)
                }
                Outcome::Unknown { cause } => (Some(id), "unknown", Some(cause.clone()), None),
                Outcome::HasLeft | Outcome::NotTried => (Some(id), "not_tried", None, None),
            },
        };
        json!({
            "time": deleted.time.format(&Rfc3339).ok(),
            "journal": deleted.journal.to_string(),
            "seq": deleted.seq,
            "caller": deleted.caller,
            "tenant": deleted.tenant,
            "library": deleted.space.library.as_str(),
            "space": deleted.space.space.as_str(),
            "path": deleted.path,
            "recycled_item_id": id,
            "state": state,
            "why": why,
            "as_path": as_path,
        })
    }
}

fn place(deleted: &Deleted) -> String {
    let tenant = deleted.tenant.clone().unwrap_or_else(|| deleted.space.to_string());
    printable(&format!("{tenant}: {}", deleted.path))
}

const HAS_LEFT: &str = "has left the bin after a try; nobody said that it is back";

/// Shown of each reason.
const EXAMPLES: usize = 10;
