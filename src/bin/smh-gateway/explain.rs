//! `explain`: what would become of a delete, and why.

use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use clap::Args;
use smh_gateway::config;
use smh_gateway::config::report::printable;
use smh_gateway::delete::Mode;
use smh_gateway::directory::{Callers, Tenants};
use smh_gateway::explain::{Explanation, LimitSeen, RuleSeen, Verdict, Version, explain, moment};
use smh_gateway::limits::{Limits, Sharing};
use smh_gateway::policy::{Halts, Hypothetical, RuleMode};

use crate::terminal::{Style, Terminal};
use crate::{Answer, Format};

/// A made-up request.
#[derive(Args)]
pub(crate) struct Options {
    /// The gateway's file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Who would ask.
    #[arg(long, value_name = "NAME")]
    caller: String,
    /// For which tenant.
    #[arg(long, value_name = "NAME")]
    tenant: String,
    /// For which file: the decoded path, as rules and the log name it.
    #[arg(long)]
    path: String,
    /// Whether with `permanent=1`.
    #[arg(long)]
    permanent: bool,
    /// On whose behalf.
    #[arg(long, value_name = "ID")]
    user_id: Option<String>,
    /// At which moment, such as 2026-12-31T18:00:00Z; left out: now.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<SystemTime>,
    /// For people or for programs.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(crate) fn run(options: &Options, terminal: &mut Terminal) -> Answer {
    // Why a test case fails is what is asked here: it must not be in the way.
    let snapshot = match config::load_untested(&options.config).into_result() {
        Ok((snapshot, _)) => snapshot,
        Err(report) => {
            terminal.report(&report);
            return Answer::No;
        }
    };
    let asked = Hypothetical {
        caller: options.caller.clone(),
        tenant: options.tenant.clone(),
        path: options.path.clone(),
        mode: if options.permanent { Mode::Permanent } else { Mode::Recycle },
        user_id: options.user_id.clone(),
    };
    let callers: Callers = snapshot.callers.iter().map(|one| one.caller.clone()).collect();
    let tenants: Tenants = snapshot.tenants.iter().cloned().collect();
    let now = Instant::now();
    let version = Version {
        snapshot: &snapshot,
        callers: &callers,
        tenants: &tenants,
        halts: &Halts::default(),
        // Offline nothing is used of them.
        limits: &Limits::new(snapshot.limits.clone(), Sharing::Alone, now),
        asked_at: now,
        without_token: &[],
    };
    let explanation = explain(version, &asked, options.at.unwrap_or_else(SystemTime::now));
    match options.format {
        Format::Json => terminal.line(format!("{:#}", explanation.to_json())),
        Format::Text => show(&explanation, terminal),
    }
    if explanation.refusal.is_none() { Answer::Yes } else { Answer::No }
}

/// What was asked, and what the files say, may hold what a terminal would act on: it is escaped,
/// and styled after that.
fn show(explanation: &Explanation, terminal: &mut Terminal) {
    let asked = &explanation.asked;
    let permanent = if asked.mode == Mode::Permanent { ", permanent=1" } else { "" };
    let user = asked.user_id.as_ref().map(|user| format!(", user_id={user}")).unwrap_or_default();
    let request = format!("DELETE {} in {}{permanent}{user}", asked.path, asked.tenant);
    terminal.line(terminal.style(Style::Bold, printable(&request)));
    terminal.line(format!("by {}, at {}", printable(&asked.caller), explanation.moment()));
    terminal.line("");
    for check in &explanation.checks {
        let (style, mark) = match check.verdict {
            Verdict::Passed => (Style::Good, "ok  "),
            Verdict::Refused => (Style::Bad, "DENY"),
            Verdict::NotReached => (Style::Dim, "-   "),
        };
        let mark = terminal.style(style, mark);
        let why = if check.verdict == Verdict::NotReached { "not reached" } else { &check.why };
        let why = printable(why);
        let place = placed(check.place.as_deref(), terminal);
        terminal.line(format!("{mark} {:<18} {why}{place}", check.step.as_str()));
    }
    let rules = explanation.rules.iter().map(|rule| of_rule(rule, terminal)).collect();
    section("rules", rules, terminal);
    let limits = explanation.limits.iter().map(|limit| of_limit(limit, terminal)).collect();
    let title = match explanation.refusal {
        None => "limits",
        Some(_) => "limits (none is charged: the delete is refused)",
    };
    section(title, limits, terminal);
    terminal.line("");
    if let Some(target) = &explanation.target {
        terminal.line(format!("SMH would see  {}", printable(target)));
    }
    terminal.line(answer(explanation, terminal));
}

fn section(title: &str, lines: Vec<String>, terminal: &mut Terminal) {
    if lines.is_empty() {
        return;
    }
    terminal.line("");
    terminal.line(terminal.style(Style::Bold, title));
    for line in lines {
        terminal.line(line);
    }
}

fn of_rule(rule: &RuleSeen, terminal: &Terminal) -> String {
    let (style, mark) = match (rule.decides, rule.applies) {
        (true, _) => (Style::Accent, "=>  "),
        (false, Some(true)) => (Style::Accent, "yes "),
        (false, Some(false) | None) => (Style::Dim, "no  "),
    };
    let mark = terminal.style(style, mark);
    let name = format!("{} \"{}\"", rule.effect.as_str(), rule.name);
    let shadow = if rule.mode == RuleMode::Shadow { " (shadow)" } else { "" };
    let place = placed(rule.place.as_deref(), terminal);
    format!("{mark} {name}{shadow}: {}{place}", printable(&rule.why))
}

fn of_limit(limit: &LimitSeen, terminal: &Terminal) -> String {
    let (style, mark) = match limit.charged {
        Some(true) => (Style::Accent, "yes "),
        Some(false) | None => (Style::Dim, "no  "),
    };
    let mark = terminal.style(style, mark);
    let shadow = if limit.mode == RuleMode::Shadow { " (shadow)" } else { "" };
    let counted = match limit.charged {
        Some(true) => format!(", counted for {}", printable(&limit.counted_for)),
        Some(false) => ", not about it".to_owned(),
        None => ", not looked at".to_owned(),
    };
    let place = placed(limit.place.as_deref(), terminal);
    format!("{mark} \"{}\"{shadow}: {}{counted}{place}", limit.name, limit.quota)
}

fn placed(place: Option<&str>, terminal: &Terminal) -> String {
    let place = place.map(|place| terminal.style(Style::Dim, format!("  {}", printable(place))));
    place.unwrap_or_default()
}

fn answer(explanation: &Explanation, terminal: &Terminal) -> String {
    let ticket = explanation.rule.as_ref().and_then(|cited| cited.ticket.as_ref());
    let ticket = ticket.map(|ticket| format!(" (ticket {})", printable(ticket.as_str())));
    let ticket = ticket.unwrap_or_default();
    match &explanation.refusal {
        None => {
            let allowed = terminal.style(Style::Good, "allowed");
            format!("{allowed}: the caller gets SMH's own answer{ticket}")
        }
        Some(refusal) => {
            let code = refusal.code();
            let told = format!("{} {}", code.status().as_u16(), code.name());
            let told = terminal.style(Style::Bad, told);
            let detail = printable(&refusal.to_string());
            format!("{told}, {}: {detail}{ticket}", refusal.outcome().as_str())
        }
    }
}
