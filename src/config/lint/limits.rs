//! Limits that are never reached.

use std::cell::OnceCell;

use crate::config::lint::reach::{Names, Reach};
use crate::config::lint::{Effort, Linted, warn_if_not_granted};
use crate::config::report::{Problem, Report, Warning};
use crate::limits::{LimitRule, Per};
use crate::policy::RuleMode;

pub(super) fn lint(linted: &Linted<'_>, names: &Names<'_>, report: &mut Report) {
    let limits: Vec<_> =
        linted.limits.iter().map(|limit| (limit, names.reach(&limit.matches))).collect();
    let mut effort = Effort::default();
    for ((limit, reach), place) in limits.iter().zip(&linted.places.limits) {
        // Under `dry_run` each counts for itself.
        if warn_if_not_granted("limit", reach, names, *place, report) || linted.policy.dry_run {
            continue;
        }
        let in_one_library = OnceCell::new();
        let one_library = || *in_one_library.get_or_init(|| one_library(linted, names, reach));
        let stricter = limits.iter().find(|(other, others)| {
            other.mode == RuleMode::Enforce
                && is_used_up_first(limit, other)
                && effort.spend(reach, others)
                && counts_with(limit.per, other.per, one_library)
                && others.covers(reach)
        });
        if let Some((other, _)) = stricter {
            let message = format!(
                "this limit is never reached: `{}` on line {} allows only {}, and all that is \
                 counted here is counted there",
                other.name, other.line, other.rate,
            );
            let problem = Problem::warning(*place, Warning::LimitNeverReached, message);
            report.push(problem.with_help("make it stricter than that, or take it out"));
        }
    }
    effort.tell(linted.places.limits.first(), report);
}

/// Whether of the same deletes the other one refuses at least as many, and one more at some time.
fn is_used_up_first(limit: &LimitRule, other: &LimitRule) -> bool {
    other.rate.is_slower_than(limit.rate) && other.burst <= limit.burst
}

/// Whether the deletes that one limit counts together are counted together by the other one as well.
fn counts_with(per: Per, other: Per, one_library: impl FnOnce() -> bool) -> bool {
    (per.caller || !other.caller)
        && (per.tenant || !other.tenant)
        && (per.user_id || !other.user_id)
        && (!other.library || per.library || per.tenant || one_library())
}

/// Whether all tenants that the limit is about are in one library.
fn one_library(linted: &Linted<'_>, names: &Names<'_>, reach: &Reach<'_>) -> bool {
    let tenants = names.tenants_granted(reach).filter_map(|at| linted.tenants.get(at));
    let mut libraries = tenants.map(|tenant| &tenant.library.id);
    let Some(first) = libraries.next() else { return true };
    libraries.all(|library| library == first)
}
