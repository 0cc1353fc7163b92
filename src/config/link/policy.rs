//! Rules, limits and freezes, and what their names refer to.

use std::collections::HashMap;
use std::collections::btree_map::{BTreeMap, Entry};
use std::sync::Arc;

use crate::config::link::{Defined, Names};
use crate::config::lint::Places;
use crate::config::policy_file::{self, Frozen, Glob, PolicyFile};
use crate::config::report::{Problem, Report, Warning};
use crate::config::shown::{listed, quoted};
use crate::config::source::{Place, Spanned};
use crate::ids::Citation;
use crate::limits::LimitRule;
use crate::policy::{Freeze, Freezes, Known, NameGlob, Policy, Rule, Rules, Selector};

pub(super) fn link(
    file: PolicyFile,
    names: &mut Names<'_>,
    places: &mut Places,
    report: &mut Report,
) -> (Policy, Vec<LimitRule>) {
    places.rules = file.rules.iter().map(|rule| rule.name.place).collect();
    places.limits = file.limits.iter().map(|limit| limit.name.place).collect();
    check_names_differ("rule", file.rules.iter().map(|rule| (&rule.name, rule.name.place)), report);
    check_names_differ("limit", file.limits.iter().map(|l| (&l.name, l.name.place)), report);
    let rules = file.rules.into_iter().map(|rule| link_rule(rule, names, report)).collect();
    let known = Known {
        callers: names.callers.as_ref().map(|known| known.set.clone()).unwrap_or_default(),
        tenants: names.tenants.as_ref().map(|known| known.set.clone()).unwrap_or_default(),
    };
    let policy = Policy {
        dry_run: file.dry_run,
        freezes: link_freezes(file.freezes, names, report),
        permanent_deletes: file.permanent_deletes,
        irreversible_deletes: file.irreversible_deletes,
        rules: Rules::new(rules, &known),
    };
    let limits = file.limits.into_iter().map(|limit| LimitRule {
        line: limit.name.place.line,
        name: limit.name.value,
        per: limit.per,
        matches: selector(limit.matches, names, report),
        rate: limit.rate,
        burst: limit.burst,
        warn_at: limit.warn_at,
        mode: limit.mode,
    });
    (policy, limits.collect())
}

fn link_rule(file: policy_file::Rule, names: &mut Names<'_>, report: &mut Report) -> Rule {
    let policy_file::Rule { name, effect, matches, except, until, ticket, mode } = file;
    Rule {
        cited: Arc::new(Citation { rule: name.value, ticket }),
        effect,
        matches: selector(matches, names, report),
        except: except.map(|except| selector(except, names, report)),
        until,
        mode,
        line: name.place.line,
    }
}

fn link_freezes(file: Vec<policy_file::Freeze>, names: &Names<'_>, report: &mut Report) -> Freezes {
    let mut freezes = Freezes::default();
    for policy_file::Freeze { what: Spanned { place, value }, reason } in file {
        let freeze = Freeze { reason, line: place.line };
        let mut known = |kind, name: &str, known: Option<&Defined<'_>>| {
            if let Some(known) = known
                && !known.contains(name)
            {
                report.unknown_name(place, kind, name, known.iter());
            }
        };
        let is_new = match value {
            Frozen::Everything => {
                let is_new = freezes.everything.is_none();
                freezes.everything.get_or_insert(freeze);
                is_new
            }
            Frozen::Caller(caller) => {
                known("caller", caller.as_str(), names.callers.as_ref());
                insert(&mut freezes.callers, caller, freeze)
            }
            Frozen::Tenant(tenant) => {
                known("tenant", tenant.as_str(), names.tenants.as_ref());
                insert(&mut freezes.tenants, tenant, freeze)
            }
        };
        if !is_new {
            // Not an error: who freezes something in a hurry must not be stopped by this.
            let problem = Problem::warning(place, Warning::FrozenTwice, "this is frozen already");
            report.push(problem.with_help("to thaw it, take out both entries"));
        }
    }
    freezes
}

/// The first reason stays.
fn insert<K: Ord>(frozen: &mut BTreeMap<K, Freeze>, name: K, freeze: Freeze) -> bool {
    match frozen.entry(name) {
        Entry::Vacant(free) => {
            free.insert(freeze);
            true
        }
        Entry::Occupied(_) => false,
    }
}

/// Names that are no globs must be names of something: a misspelt one would never match. A glob that
/// matches none of them may have been right once.
fn selector(file: policy_file::Selector, names: &mut Names<'_>, report: &mut Report) -> Selector {
    let mut known = |globs: Option<Vec<Glob>>, kind: &str, mut known: Option<&mut Defined<'_>>| {
        globs.map(|globs| {
            let check = |Spanned { place, value: (text, glob) }: Glob| -> NameGlob {
                let Some(known) = known.as_deref_mut() else { return glob };
                if !text.contains('*') {
                    if !known.contains(&text) {
                        report.unknown_name(place, kind, &text, known.iter());
                    }
                } else if !known.any_matches(&glob) {
                    let message = format!("no {kind} has a name that matches {}", quoted(&text));
                    let problem = Problem::warning(place, Warning::MatchesNothing, message);
                    report.push(problem.with_help(match &*known.in_order {
                        [] => format!("no {kind} is defined"),
                        names => format!("defined here: {}", listed(names.iter().copied())),
                    }));
                }
                glob
            };
            globs.into_iter().map(check).collect()
        })
    };
    Selector {
        callers: known(file.callers, "caller", names.callers.as_mut()),
        tenants: known(file.tenants, "tenant", names.tenants.as_mut()),
        user_ids: known(file.user_ids, "user", None),
        paths: file.paths,
    }
}

fn check_names_differ<'f, T: Eq + std::hash::Hash + 'f>(
    kind: &str,
    names: impl Iterator<Item = (&'f Spanned<T>, Place)>,
    report: &mut Report,
) {
    let mut seen = HashMap::new();
    for (name, place) in names {
        if let Some(first) = seen.insert(&name.value, place) {
            let message = format!("another {kind} has this name, on line {}", first.line);
            let help = "answers and logs name it: give it a name of its own";
            report.push(Problem::error(place, message).with_help(help));
        }
    }
}
