//! What is valid and likely does not do what was meant: rules that never decide, limits that are
//! never reached, names that nobody uses.
//!
//! A warning is only given for what is surely so. What can be said of a single glob or name is said
//! where that is read; here are those that need all of both files.

mod limits;
mod reach;
mod rules;

use std::sync::Arc;
use std::time::SystemTime;

use self::reach::{Names, Reach};
use crate::config::gateway_file::{GatewayFile, Named};
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
    pub(super) places: Places,
    pub(super) now: SystemTime,
}

/// Where each of them stands, in the same order.
#[derive(Default)]
pub(super) struct Places {
    pub(super) callers: Vec<Place>,
    pub(super) tenants: Vec<Place>,
    pub(super) rules: Vec<Place>,
    pub(super) limits: Vec<Place>,
}

impl Places {
    /// Those of gateway.yaml; the others are known once policy.yaml is.
    pub(super) fn of(gateway: &GatewayFile) -> Self {
        Self {
            callers: places_of(gateway.callers.as_ref()),
            tenants: places_of(gateway.tenants.as_ref()),
            ..Self::default()
        }
    }
}

fn places_of<K, V>(named: Option<&Named<K, V>>) -> Vec<Place> {
    named.into_iter().flatten().map(|(name, _)| name.place).collect()
}

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
