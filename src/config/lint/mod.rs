//! What is valid and likely does not do what was meant: rules that never decide, limits that are
//! never reached, names that nobody uses.
//!
//! A warning is only given for what is surely so. What can be said of a single glob or name is said
//! where that is read; here are those that need all of both files.

mod earlier;
mod limits;
mod reach;
mod rules;

use std::sync::Arc;
use std::time::SystemTime;

use self::reach::{Names, Reach};
use crate::config::report::{Problem, Report, Warning};
use crate::config::snapshot::ConfiguredCaller;
use crate::config::source::Place;
use crate::directory::Tenant;
use crate::limits::LimitRule;
use crate::policy::Policy;

/// Both files, without an error in them.
pub(super) struct Linted<'c> {
    pub(super) callers: &'c [ConfiguredCaller],
    pub(super) tenants: &'c [Arc<Tenant>],
    pub(super) policy: &'c Policy,
    pub(super) limits: &'c [LimitRule],
    pub(super) places: &'c Places,
    pub(super) now: SystemTime,
}

/// Where each of them stands, in the same order.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub(super) callers: Vec<Place>,
    pub(super) tenants: Vec<Place>,
    pub(super) rules: Vec<Place>,
    pub(super) limits: Vec<Place>,
}

/// How often globs of two rules or limits are compared at most: where nothing tells apart which can cover which,
/// that is the square of their number.
struct Effort {
    left: u32,
}

impl Default for Effort {
    fn default() -> Self {
        Self { left: MOST_COMPARED }
    }
}

impl Effort {
    /// Whether one may still be compared with another.
    fn spend(&mut self, one: &Reach<'_>, other: &Reach<'_>) -> bool {
        let globs = |reach: &Reach<'_>| reach.paths.map_or(1, <[_]>::len);
        let cost = u32::try_from(globs(one).saturating_mul(globs(other))).unwrap_or(u32::MAX);
        let can = self.left > 0;
        self.left = self.left.saturating_sub(cost);
        can
    }

    fn tell(&self, first: Option<&Place>, report: &mut Report) {
        if let (0, Some(place)) = (self.left, first) {
            let message = "there are too many of these to compare each with each: some warnings may be \
                           missing";
            let problem = Problem::warning(*place, Warning::TooManyToCompare, message);
            report.push(
                problem
                    .with_help("rules about fewer tenants, callers or folders are compared less"),
            );
        }
    }
}

/// Takes about a second.
const MOST_COMPARED: u32 = 5_000_000;

impl Linted<'_> {
    /// Adds every warning.
    pub(super) fn lint(&self, report: &mut Report) {
        let names = Names::of(self.callers, self.tenants);
        warn_of_unused(self, &names, report);
        rules::lint(self, &names, report);
        limits::lint(self, &names, report);
    }
}

fn warn_of_unused(linted: &Linted<'_>, names: &Names<'_>, report: &mut Report) {
    for (one, place) in linted.callers.iter().zip(&linted.places.callers) {
        if one.caller.tenants().is_empty() {
            let message = "this caller is granted no tenant: every delete it asks for is refused";
            let problem = Problem::warning(*place, Warning::CallerWithoutTenants, message);
            report.push(problem.with_help("name its tenants, or take it out"));
        }
    }
    for (position, place) in linted.places.tenants.iter().enumerate() {
        if !names.is_granted(position) {
            let message = "this tenant is granted to no caller: nobody can delete in it";
            let problem = Problem::warning(*place, Warning::TenantWithoutCallers, message);
            report.push(problem.with_help("name it in the `tenants` of a caller, or take it out"));
        }
    }
}

/// Says that a rule or limit is about nobody. `what` is a noun.
fn warn_if_not_granted(
    what: &str,
    reach: &Reach<'_>,
    names: &Names<'_>,
    place: Place,
    report: &mut Report,
) -> bool {
    // An empty condition has been told at its place.
    let meant = !reach.callers.is_empty() && !reach.tenants.is_empty();
    let nobody = !names.any_grant(reach);
    if meant && nobody {
        let message = format!("none of the callers of this {what} is granted any of its tenants");
        let problem = Problem::warning(place, Warning::NotGranted, message);
        let help = "it can never match; look at the `tenants` of the callers in gateway.yaml";
        report.push(problem.with_help(help));
    }
    nobody
}

#[cfg(test)]
mod tests;
