//! `check`: every mistake in both files, or what would run.

use std::path::Path;

use serde_json::json;
use smh_gateway::config::{self, Admin, Snapshot};
use smh_gateway::policy::PermanentDeletes;

use crate::terminal::{Style, Terminal};
use crate::{Answer, Format};

pub(crate) fn run(config: &Path, format: Format, terminal: &mut Terminal) -> Answer {
    let (snapshot, report) = match config::load(config) {
        Ok((snapshot, report)) => (Some(snapshot), report),
        Err(report) => (None, report),
    };
    match format {
        Format::Json => {
            let configuration = snapshot.as_ref().map(Snapshot::redacted);
            let found = json!({
                "valid": snapshot.is_some(),
                "problems": report.to_json(),
                "configuration": configuration,
            });
            terminal.line(format!("{found:#}"));
        }
        Format::Text => {
            terminal.report(&report);
            if let Some(snapshot) = &snapshot {
                summary(snapshot, terminal);
            }
        }
    }
    if snapshot.is_some() { Answer::Yes } else { Answer::No }
}

fn summary(snapshot: &Snapshot, terminal: &mut Terminal) {
    let row = |terminal: &mut Terminal, what: &str, value: String| {
        let what = terminal.style(Style::Dim, format!("{what:<18}"));
        terminal.line(format!("{what}{value}"));
    };
    let valid = terminal.style(Style::Good, "valid");
    terminal.line(format!("{}: {valid}", snapshot.file.display()));
    let listeners: Vec<_> = snapshot.listeners.iter().map(ToString::to_string).collect();
    row(terminal, "listeners", listeners.join(", "));
    row(
        terminal,
        "admin",
        match snapshot.admin {
            Admin::At(address) => address.to_string(),
            Admin::Off => "none".into(),
        },
    );
    row(terminal, "workers", snapshot.workers.to_string());
    for one in &snapshot.libraries {
        let library = &one.library;
        let bin = library.recycle_bin.as_str();
        let value = format!("{} at {}, recycle bin {bin}", library.id, library.origin);
        row(terminal, "library", value);
    }
    for tenant in &snapshot.tenants {
        let value = format!("{} in {}/{}", tenant.name, tenant.library.id, tenant.space);
        row(terminal, "tenant", value);
    }
    for one in &snapshot.callers {
        let tenants: Vec<_> = one.caller.tenants().iter().map(ToString::to_string).collect();
        row(terminal, "caller", format!("{}: {}", one.caller.name, tenants.join(", ")));
    }
    let policy_file = snapshot.policy_file.as_ref();
    let from = policy_file.map_or("no file".into(), |file| file.display().to_string());
    let (deny, allow) = (snapshot.policy.deny.len(), snapshot.policy.allow_permanent.len());
    let permanent = match snapshot.policy.permanent_deletes {
        PermanentDeletes::Deny => "permanent deletes denied".to_owned(),
        PermanentDeletes::ByRule => format!("permanent deletes by {allow} rules"),
    };
    let limits = snapshot.limits.len();
    row(terminal, "policy", format!("{from}: {permanent}, {deny} deny rules, {limits} limits"));
}
