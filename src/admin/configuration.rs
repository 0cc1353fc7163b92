//! What is said of the configuration: which one is in force, since when, from which files, and
//! what stands in them instead.

use std::time::SystemTime;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::admin::since;
use crate::config::report::Noted;
use crate::gateway::Gateway;
use crate::reload::{Rejected, Reloads};

/// For programs.
pub(super) fn status(gateway: &Gateway, reloads: &Reloads) -> Value {
    let in_force = gateway.in_force();
    let snapshot = &in_force.snapshot;
    json!({
        "file": snapshot.file.display().to_string(),
        "policy_file": snapshot.policy_file.as_ref().map(|file| file.display().to_string()),
        "sha256": snapshot.sha256,
        "since": rfc_3339(in_force.since),
        "seconds_in_force": since(in_force.since).as_secs(),
        "callers": snapshot.callers.len(),
        "tenants": snapshot.tenants.len(),
        "rules": snapshot.policy.rules.iter().count(),
        "dry_run": snapshot.policy.dry_run,
        "needs_restart": gateway.needs_restart(),
        "rejected": reloads.rejected().as_deref().map(rejected),
    })
}

/// The same for people, in lines.
pub(super) fn summary(gateway: &Gateway, reloads: &Reloads) -> String {
    let in_force = gateway.in_force();
    let snapshot = &in_force.snapshot;
    let mut page = format!(
        "configuration  {}\nin force since {}, {} seconds ago\nfrom           {}\n",
        snapshot.sha256,
        rfc_3339(in_force.since),
        since(in_force.since).as_secs(),
        snapshot.file.display(),
    );
    page.push_str(&match &snapshot.policy_file {
        Some(file) => format!("and            {}\n", file.display()),
        None => "               with the default policy\n".to_owned(),
    });
    let needs_restart = gateway.needs_restart();
    if !needs_restart.is_empty() {
        page.push_str(&format!("needs restart  {}\n", needs_restart.join(", ")));
    }
    if let Some(rejected) = reloads.rejected() {
        let Rejected { sha256, at, errors, problems } = &*rejected;
        page.push_str(&format!(
            "\nREJECTED       what stands in the files now, and so it is not in force\n\
             configuration  {}\nrejected at    {}\nerrors         {errors}\n",
            sha256.as_deref().unwrap_or("none: a file cannot be read"),
            rfc_3339(*at),
        ));
        for problem in problems {
            page.push_str(&format!("  {problem}\n"));
        }
    }
    page
}

fn rejected(rejected: &Rejected) -> Value {
    json!({
        "sha256": rejected.sha256,
        "at": rfc_3339(rejected.at),
        "errors": rejected.errors,
        "problems": rejected.problems.iter().map(problem).collect::<Vec<_>>(),
    })
}

fn problem(problem: &Noted) -> Value {
    json!({
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "message": problem.message,
        "help": problem.help,
    })
}

/// To the second, in UTC.
pub(super) fn rfc_3339(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    // Only a year past 9999 has no such text.
    time.replace_nanosecond(0).unwrap_or(time).format(&Rfc3339).unwrap_or_default()
}
