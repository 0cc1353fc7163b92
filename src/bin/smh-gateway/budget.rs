//! `budget`: what is used of each limit, and a one-time raise. Asks the gateway that runs.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, Subcommand};
use http_body_util::Full;
use serde_json::{Value, json};
use smh_gateway::config::decode::duration;
use smh_gateway::config::{self, Snapshot};

use crate::terminal::{Style, Terminal};
use crate::{Answer, Format, Outcome, ask};

#[derive(Subcommand)]
pub(crate) enum Budget {
    /// What is used of each limit, by whom, and what was granted beyond it.
    Show(Show),
    /// Grant so many deletes beyond a limit, once; they are taken where the limit would refuse.
    Grant(Grant),
}

#[derive(Args)]
pub(crate) struct Show {
    /// The file of the gateway that runs.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// For people or for programs.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Args)]
pub(crate) struct Grant {
    /// The file of the gateway that runs.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Beyond which limit.
    #[arg(long, value_name = "NAME")]
    limit: String,
    /// For whose deletes: just what the limit is `per`.
    #[arg(long, value_name = "NAME")]
    caller: Option<String>,
    /// As `--caller`.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// As `--caller`.
    #[arg(long, value_name = "ID")]
    library: Option<String>,
    /// As `--caller`.
    #[arg(long, value_name = "USER")]
    user_id: Option<String>,
    /// For the deletes without a `user_id`, which are counted together.
    #[arg(long, conflicts_with = "user_id")]
    no_user_id: bool,
    /// How many deletes.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    add: u32,
    /// How long they may be used, such as `1h`; at most `7d`.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    lasts: Duration,
    /// Why, for whoever reads the log.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// For people or for programs.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(crate) fn run(budget: &Budget, terminal: &mut Terminal) -> Outcome {
    let (config, format) = match budget {
        Budget::Show(Show { config, format }) | Budget::Grant(Grant { config, format, .. }) => {
            (config, *format)
        }
    };
    let snapshot = match config::load_untested(config).into_result() {
        Ok((snapshot, _)) => snapshot,
        Err(report) => {
            terminal.report(&report);
            return Ok(Answer::No);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(async {
        match budget {
            Budget::Show(_) => ask(&snapshot, Way::Any, "GET", "/api/limits", Value::Null).await,
            Budget::Grant(grant) => {
                let body = json!({
                    "limit": grant.limit, "caller": grant.caller, "tenant": grant.tenant,
                    "library": grant.library, "user_id": grant.user_id,
                    "no_user_id": grant.no_user_id, "add": grant.add,
                    "seconds": grant.lasts.as_secs(), "reason": grant.reason,
                });
                ask(&snapshot, Way::Socket, "POST", "/api/budget", body).await
            }
        }
    })?;
    if let Some(error) = answer.get("error").and_then(Value::as_str) {
        match format {
            Format::Json => terminal.line(format!("{answer:#}")),
            Format::Text => terminal.error(&*Box::<dyn std::error::Error>::from(error)),
        }
        return Ok(Answer::No);
    }
    match (format, budget) {
        (Format::Json, _) => terminal.line(format!("{answer:#}")),
        (Format::Text, Budget::Show(_)) => show(&answer, terminal),
        (Format::Text, Budget::Grant(grant)) => {
            let left = answer.get("granted_left").and_then(Value::as_i64).unwrap_or_default();
            let done = terminal.style(Style::Good, "granted");
            let of = whose(answer.get("of"));
            terminal.line(format!(
                "{done}: {} deletes beyond \"{}\" for {of}, for {:?}; {left} of what was granted are left",
                grant.add, grant.limit, grant.lasts,
            ));
        }
    }
    Ok(Answer::Yes)
}

/// By which way the gateway is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Any,
    /// What changes something is asked there alone.
    Socket,
}

async fn ask(
    snapshot: &Snapshot,
    way: Way,
    method: &str,
    path: &str,
    body: Value,
) -> Result<Value, Box<dyn std::error::Error>> {
    let request = http::Request::builder().method(method).uri(path).header("host", "admin").body(
        Full::new(Bytes::from(if body.is_null() { String::new() } else { body.to_string() })),
    )?;
    if way == Way::Socket && snapshot.admin.socket.is_none() {
        return Err(
            "a grant needs `admin: { socket: … }` in gateway.yaml, and a restart: whoever may \
                    connect to that socket may grant"
                .into(),
        );
    }
    let (_, body) = ask::ask(&snapshot.admin, request, PATIENCE).await?;
    serde_json::from_slice(&body).map_err(|_| "what answers is not this gateway".into())
}

fn show(answer: &Value, terminal: &mut Terminal) {
    let list = |value: &Value, name: &str| {
        value.get(name).and_then(Value::as_array).cloned().unwrap_or_default()
    };
    let store = answer.get("store").filter(|store| !store.is_null());
    let has_store = store.is_some();
    if let Some(store) = store {
        let well = text(store, "connected_workers") != "0";
        let state = if well { "in use" } else { "NOT in use" };
        let style = if well { Style::Good } else { Style::Bad };
        let fault = text(store, "last_fault");
        let fault = if fault.is_empty() { fault } else { format!(", last fault: {fault}") };
        terminal.line(format!("shared store {}{fault}", terminal.style(style, state)));
    }
    let limits = list(answer, "limits");
    if limits.is_empty() {
        terminal.line("the policy has no limits");
    }
    for limit in &limits {
        let per: Vec<_> =
            list(limit, "per").iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let per = if per.is_empty() {
            "for all together".into()
        } else {
            format!("per {}", per.join(", "))
        };
        let name = terminal.style(Style::Bold, text(limit, "name"));
        let mode = if text(limit, "mode") == "shadow" { ", shadow" } else { "" };
        terminal.line(format!(
            "{name}  {}, burst {}, {per}{mode}",
            text(limit, "limit"),
            text(limit, "burst")
        ));
        let used_by = list(limit, "used_by");
        if used_by.is_empty() {
            terminal.line(
                terminal.style(Style::Dim, "    nothing is used, as far as this gateway has seen"),
            );
        }
        for one in &used_by {
            terminal.line(share(one, has_store, terminal));
        }
    }
}

/// What one of those that a limit is per has used of it.
fn share(one: &Value, has_store: bool, terminal: &Terminal) -> String {
    let percent = one.get("used_percent").and_then(Value::as_u64).unwrap_or_default();
    let style = if percent >= 100 { Style::Bad } else { Style::Accent };
    let percent = terminal.style(style, format!("{percent:>3} %"));
    let granted = match one.get("granted").filter(|granted| !granted.is_null()) {
        Some(granted) => format!(
            ", {} more granted for {} s",
            text(granted, "left"),
            text(granted, "for_seconds")
        ),
        None => String::new(),
    };
    // Where there is a store, only what it says is so.
    let is_unsure = has_store && text(one, "known_by") == "gateway";
    let unsure = if is_unsure { ", as far as this gateway has seen" } else { "" };
    format!(
        "    {percent}  {:<40} {} used, {} left, whole in {} s{granted}{unsure}",
        whose(Some(one)),
        text(one, "used"),
        text(one, "left"),
        text(one, "whole_in_seconds"),
    )
}

fn text(value: &Value, name: &str) -> String {
    match value.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

/// `caller janitor, tenant photos`. Names are checked ones, and users are shown by fingerprints.
fn whose(of: Option<&Value>) -> String {
    let words = ["caller", "tenant", "library", "user_id"];
    let named = |word: &&str| Some(format!("{word} {}", of?.get(word)?.as_str()?));
    let parts: Vec<_> = words.iter().filter_map(named).collect();
    if parts.is_empty() { "all together".to_owned() } else { parts.join(", ") }
}

const PATIENCE: Duration = Duration::from_secs(10);
