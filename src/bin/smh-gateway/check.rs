//! `check`: every mistake in both files, or what would run.

mod mounted;

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::json;
use smh_gateway::config::report::{Report, Severity, Warning};
use smh_gateway::config::{self, Admin, Loaded, Snapshot};
use smh_gateway::policy::{Effect, PermanentDeletes};

use self::mounted::Mounted;
use crate::terminal::{Style, Terminal};
use crate::{Answer, Format};

#[derive(Args)]
pub(crate) struct Options {
    /// The gateway's file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// For people or for programs.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Take warnings for errors.
    #[arg(long)]
    strict: bool,
    /// Leave out the warnings of this code; may be given several times.
    #[arg(long, value_name = "CODE", value_parser = warning())]
    allow: Vec<Warning>,
}

fn warning() -> impl TypedValueParser<Value = Warning> {
    PossibleValuesParser::new(Warning::ALL.map(Warning::as_str))
        .try_map(|word| Warning::try_from(&*word))
}

pub(crate) fn run(options: &Options, terminal: &mut Terminal) -> Answer {
    let loaded = config::load_allowing(&options.config, &options.allow).linted();
    let Loaded { snapshot, mut report, .. } = loaded;
    if options.strict {
        report.be_strict();
    }
    let mounted = snapshot.as_ref().map(Mounted::look);
    let usable = mounted.as_ref().is_some_and(|mounted| !mounted.is_wrong());
    let valid = usable && !report.has_errors();
    match options.format {
        Format::Json => {
            let configuration = snapshot.as_ref().map(Snapshot::redacted);
            let found = json!({
                "valid": valid,
                "problems": report.to_json(),
                // There are so many that they are not among the problems.
                "dropped": {
                    "errors": report.dropped(Severity::Error),
                    "warnings": report.dropped(Severity::Warning),
                },
                "configuration": configuration,
                "mounted": mounted.as_ref().map(Mounted::to_json),
            });
            terminal.line(format!("{found:#}"));
        }
        Format::Text => {
            terminal.report(&report);
            if let (Some(snapshot), Some(mounted)) = (&snapshot, &mounted) {
                summary(snapshot, mounted, &report, terminal);
            }
        }
    }
    if valid { Answer::Yes } else { Answer::No }
}

fn summary(snapshot: &Snapshot, mounted: &Mounted<'_>, report: &Report, terminal: &mut Terminal) {
    let row = |terminal: &mut Terminal, what: &str, value: String| {
        let what = terminal.style(Style::Dim, format!("{what:<18}"));
        terminal.line(format!("{what}{value}"));
    };
    let valid = match (mounted.is_wrong(), report.error_count(), report.warning_count()) {
        (true, ..) => terminal.style(Style::Bad, "not valid"),
        (false, 0, 0) => terminal.style(Style::Good, "valid"),
        (false, 0, 1) => terminal.style(Style::Accent, "valid, with 1 warning"),
        (false, 0, many) => terminal.style(Style::Accent, format!("valid, with {many} warnings")),
        (false, ..) => terminal.style(Style::Bad, "not valid with --strict"),
    };
    terminal.line(format!("{}: {valid}", snapshot.file.display()));
    for line in mounted.listeners(terminal) {
        row(terminal, "listener", line);
    }
    row(terminal, "admin", admin(&snapshot.admin));
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
        let issuer = &plan.terms;
        row(terminal, "JWT issuer", format!("{}: {}", issuer.name, issuer.issuer));
    }
    for one in &snapshot.callers {
        let tenants: Vec<_> = one.caller.tenants().iter().map(ToString::to_string).collect();
        row(terminal, "caller", format!("{}: {}", one.caller.name, tenants.join(", ")));
    }
    for line in mounted.keys(terminal) {
        row(terminal, "API key", line);
    }
    let policy_file = snapshot.policy_file.as_ref();
    let from = policy_file.map_or("no file".into(), |file| file.display().to_string());
    let count = |effect| snapshot.policy.rules.count(effect);
    let (deny, allow) = (count(Effect::Deny), count(Effect::AllowPermanent));
    let permanent = match snapshot.policy.permanent_deletes {
        PermanentDeletes::Deny => "permanent deletes denied".to_owned(),
        PermanentDeletes::ByRule => format!("permanent deletes by {allow} rules"),
    };
    let limits = snapshot.limits.len();
    row(terminal, "policy", format!("{from}: {permanent}, {deny} deny rules, {limits} limits"));
}

fn admin(admin: &Admin) -> String {
    let address = admin.address.map(|address| address.to_string());
    let socket = admin.socket.as_ref().map(|socket| format!("unix:{}", socket.path.display()));
    let both: Vec<_> = address.into_iter().chain(socket).collect();
    if both.is_empty() { "none".to_owned() } else { both.join(", ") }
}
