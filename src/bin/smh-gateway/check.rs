//! `check`: every mistake in both files, or what would run.

use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use smh_gateway::config::{self, Admin, Snapshot};
use smh_gateway::listener::{Plan, ServerTls, TlsError};
use smh_gateway::policy::PermanentDeletes;

use crate::terminal::{Style, Terminal};
use crate::{Answer, Format};

pub(crate) fn run(config: &Path, format: Format, terminal: &mut Terminal) -> Answer {
    let (snapshot, report) = match config::load(config) {
        Ok((snapshot, report)) => (Some(snapshot), report),
        Err(report) => (None, report),
    };
    let plans = snapshot.iter().flat_map(|snapshot| &snapshot.listeners);
    let listeners: Vec<_> = plans.map(|plan| (plan, Spoken::of(plan))).collect();
    let valid = snapshot.is_some() && !listeners.iter().any(|(_, spoken)| spoken.is_wrong());
    match format {
        Format::Json => {
            let configuration = snapshot.as_ref().map(Snapshot::redacted);
            let found = json!({
                "valid": valid,
                "problems": report.to_json(),
                "configuration": configuration,
                "tls": listeners.iter().filter_map(|(plan, spoken)| spoken.to_json(plan)).collect::<Vec<_>>(),
            });
            terminal.line(format!("{found:#}"));
        }
        Format::Text => {
            terminal.report(&report);
            if let Some(snapshot) = &snapshot {
                summary(snapshot, &listeners, valid, terminal);
            }
        }
    }
    if valid { Answer::Yes } else { Answer::No }
}

/// What a listener's certificate, key and client CA are good for. They may be missing where this is
/// run: they are mounted where the gateway is.
enum Spoken {
    PlainText,
    Tls { days_left: Option<i64> },
    Unseen(TlsError),
    Wrong(TlsError),
}

impl Spoken {
    fn of(plan: &Plan) -> Self {
        let Some(files) = plan.tls.clone() else { return Self::PlainText };
        match ServerTls::read(files) {
            Ok(tls) => Self::Tls { days_left: tls.expires().map(days_until) },
            Err(error @ TlsError::Unreadable(..)) => Self::Unseen(error),
            Err(error) => Self::Wrong(error),
        }
    }

    fn is_wrong(&self) -> bool {
        matches!(self, Self::Wrong(_))
    }

    fn to_json(&self, plan: &Plan) -> Option<Value> {
        let (days, problem) = match self {
            Self::PlainText => return None,
            Self::Tls { days_left } => (*days_left, None),
            Self::Unseen(error) | Self::Wrong(error) => (None, Some(error.to_string())),
        };
        let listener = plan.at.to_string();
        Some(json!({ "listener": listener, "expires_in_days": days, "problem": problem }))
    }

    fn show(&self, terminal: &Terminal) -> String {
        match self {
            Self::PlainText => String::new(),
            Self::Tls { days_left: Some(days @ ..0) } => {
                let expired = format!("TLS, certificate EXPIRED {} days ago", -days);
                format!(", {}", terminal.style(Style::Bad, expired))
            }
            Self::Tls { days_left: Some(days) } => {
                format!(", TLS, certificate good for {days} days")
            }
            Self::Tls { days_left: None } => ", TLS".to_owned(),
            Self::Unseen(error) => format!(", TLS, not checked here: {error}"),
            Self::Wrong(error) => {
                format!(", TLS: {}", terminal.style(Style::Bad, error.to_string()))
            }
        }
    }
}

/// Negative for a time that is over.
fn days_until(time: SystemTime) -> i64 {
    const DAY: u64 = 24 * 60 * 60;
    let days = |time: Duration| i64::try_from(time.as_secs() / DAY).unwrap_or(i64::MAX);
    match time.duration_since(SystemTime::now()) {
        Ok(left) => days(left),
        Err(over) => -1 - days(over.duration()),
    }
}

fn summary(
    snapshot: &Snapshot,
    listeners: &[(&Plan, Spoken)],
    valid: bool,
    terminal: &mut Terminal,
) {
    let row = |terminal: &mut Terminal, what: &str, value: String| {
        let what = terminal.style(Style::Dim, format!("{what:<18}"));
        terminal.line(format!("{what}{value}"));
    };
    let valid = if valid {
        terminal.style(Style::Good, "valid")
    } else {
        terminal.style(Style::Bad, "not valid")
    };
    terminal.line(format!("{}: {valid}", snapshot.file.display()));
    for (plan, spoken) in listeners {
        let value = format!("{}{}", plan.at, spoken.show(terminal));
        row(terminal, "listener", value);
    }
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
    for plan in &snapshot.issuers {
        let issuer = &plan.issuer;
        row(terminal, "JWT issuer", format!("{}: {}", issuer.name, issuer.issuer));
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
