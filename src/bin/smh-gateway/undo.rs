//! `undo`: shows what it would bring back, asks, and brings it back.

mod progress;
mod show;

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::io::{self, BufRead, IsTerminal, Write};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::{ArgGroup, Args, ValueEnum};
use smh_gateway::config::decode::duration;
use smh_gateway::config::{self, Snapshot};
use smh_gateway::glob::{NameGlob, PathGlob};
use smh_gateway::journal::Line;
use smh_gateway::policy::moment;
use smh_gateway::undo::{
    self, Done, Facts, Fate, Gathered, Gatherer, How, Ledger, OnLostParent, Outcome, Plan,
    Selection, Smh, Space, Unreadable, View, plan,
};
use time::OffsetDateTime;

use self::progress::Bar;
use self::show::Shown;
use crate::terminal::Terminal;
use crate::{Answer, Format};

/// Everything that was asked for, or nothing by mistake: a time or a request must be named.
#[derive(Args)]
#[command(group(ArgGroup::new("which").args(["since", "request_id"]).required(true).multiple(true)))]
pub(crate) struct Options {
    /// The gateway's file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// A journal, plain or compressed; those of all replicas. Left out: `audit.file` with its rotated files.
    #[arg(long, value_name = "FILE")]
    journal: Vec<PathBuf>,
    /// Deletes since then: `1h` ago, or a time such as `2026-11-25T13:00:00Z`.
    #[arg(long, value_name = "TIME", value_parser = ago)]
    since: Option<SystemTime>,
    /// Deletes before then.
    #[arg(long, value_name = "TIME", value_parser = ago)]
    until: Option<SystemTime>,
    /// Deletes of this caller; `*` is any number of characters.
    #[arg(long, value_name = "NAME", value_parser = name)]
    caller: Vec<NameGlob>,
    /// Deletes in this tenant; `*` is any number of characters.
    #[arg(long, value_name = "NAME", value_parser = name)]
    tenant: Vec<NameGlob>,
    /// Deletes of these files, by a glob as in policy.yaml.
    #[arg(long, value_name = "GLOB", value_parser = path)]
    path: Vec<PathGlob>,
    /// The delete of this `X-Request-Id`.
    #[arg(long, value_name = "ID")]
    request_id: Vec<String>,
    /// When something else is where a file was: bring it back under another name, leave it in the bin and
    /// say so, or replace what is there.
    #[arg(long, value_enum, default_value_t = OnConflict::Rename)]
    on_conflict: OnConflict,
    /// Bring a file whose folder is gone back into the root of its space.
    #[arg(long)]
    to_root: bool,
    /// Show what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Requests a second, at most; one restores up to a hundred files.
    #[arg(long, value_name = "COUNT", default_value = "5")]
    rate: NonZeroU32,
    /// For people or for programs.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnConflict {
    Rename,
    Ask,
    Overwrite,
}

type Failed = Box<dyn Error>;

pub(crate) fn run(options: &Options, terminal: &mut Terminal) -> Result<Answer, Failed> {
    let snapshot = match config::load_untested(&options.config).into_result() {
        Ok((snapshot, _)) => snapshot,
        Err(report) => {
            terminal.report(&report);
            return Ok(Answer::No);
        }
    };
    let gathered = gather(options, &snapshot)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(async {
        let mut smh = Smh::new(&snapshot, options.rate);
        let done = undo_all(options, &snapshot, gathered, &mut smh, terminal).await;
        match smh.close().await {
            0 => {}
            left => terminal.error(&*Failed::from(format!(
                "{left} of the tokens that were minted for this could not be revoked: they expire by themselves"
            ))),
        }
        done
    });
    // A question that was not answered may still wait for its line.
    runtime.shutdown_background();
    done
}

fn gather(options: &Options, snapshot: &Snapshot) -> Result<Gathered, Failed> {
    let selection = Selection {
        since: options.since.map(OffsetDateTime::from),
        until: options.until.map(OffsetDateTime::from),
        callers: options.caller.clone(),
        tenants: options.tenant.clone(),
        paths: options.path.clone(),
        request_ids: options.request_id.clone(),
    };
    let mut gatherer = Gatherer::new(&selection);
    let mut heed = |line: Line<'_>| gatherer.line(line);
    let fail = |(path, error): Unreadable| at(&path, &error);
    match (options.journal.as_slice(), audit_file(snapshot)) {
        ([], None) => {
            return Err(
                "gateway.yaml has no `audit.file`: name the journals with `--journal`".into()
            );
        }
        ([], Some(file)) => {
            if undo::read_journal(file, &mut heed).map_err(fail)? == 0 {
                return Err(format!("{}: there is no journal", file.display()).into());
            }
        }
        (given, _) => undo::read_files(given, &mut heed).map_err(fail)?,
    }
    Ok(gatherer.end())
}

/// The gateway's own journal.
fn audit_file(snapshot: &Snapshot) -> Option<&Path> {
    snapshot.audit.as_ref().map(|audit| audit.file.as_path())
}

/// The undo's own, which nobody else writes.
fn undo_file(snapshot: &Snapshot) -> PathBuf {
    let named = snapshot.undo.as_ref().and_then(|undo| undo.file.clone());
    let beside = audit_file(snapshot).unwrap_or(&snapshot.file);
    named.unwrap_or_else(|| beside.with_file_name("undo.jsonl"))
}

async fn undo_all(
    options: &Options,
    snapshot: &Snapshot,
    gathered: Gathered,
    smh: &mut Smh<'_>,
    terminal: &mut Terminal,
) -> Result<Answer, Failed> {
    let file = undo_file(snapshot);
    let (mut ledger, done) = if options.dry_run {
        (None, Ledger::done(&file)?)
    } else {
        let (ledger, done) = Ledger::open(&file)?;
        (Some(ledger), done)
    };
    let (notes, missing) = (gathered.notes, gathered.missing.clone());
    let (bins, unseen) = tokio::select! {
        looked = look(smh, &gathered, &done) => looked,
        _ = tokio::signal::ctrl_c() => return Err("interrupted: nothing was restored".into()),
    };
    let plan = decide(gathered, options, smh, &done, &bins);
    let mut shown =
        Shown { plan: &plan, notes, missing: &missing, unseen: &unseen, run: None, outcomes: None };
    shown.complain(terminal);
    if options.format == Format::Text {
        shown.plan(terminal);
    }
    let count = plan.items.iter().filter(|item| matches!(item.fate, Fate::Restore { .. })).count();
    let Some(ledger) = ledger.as_mut().filter(|_| count > 0) else {
        return Ok(shown.end(options, terminal));
    };
    if !options.yes {
        // What was minted must not be left behind by whoever just closes the terminal.
        smh.close().await;
        let refused = match confirmed(count).await {
            Confirmed::Yes => None,
            Confirmed::No => Some(Answer::No),
            Confirmed::NobodyToAsk => {
                let what = "there is no terminal to ask on: say `--yes` to restore, or `--dry-run`";
                terminal.error(&*Failed::from(what));
                Some(Answer::Usage)
            }
        };
        if let Some(answer) = refused {
            shown.end(options, terminal);
            return Ok(answer);
        }
    }
    let outcomes = bring_back(&plan, options, smh, ledger).await?;
    (shown.run, shown.outcomes) = (Some(ledger.run()), Some(&outcomes));
    Ok(shown.end(options, terminal))
}

/// What is in the bins, and why one could not be looked at.
async fn look(
    smh: &mut Smh<'_>,
    gathered: &Gathered,
    done: &Done,
) -> (HashMap<Space, View>, Vec<(Space, String)>) {
    let mut spaces: Vec<_> = gathered.deleted.iter().map(|one| &one.space).collect();
    spaces.sort_unstable();
    spaces.dedup();
    let (mut bins, mut unseen) = (HashMap::new(), Vec::new());
    let mut bar = Bar::new();
    for space in spaces {
        if !smh.has_token(space) {
            continue;
        }
        let mut seen = |count| bar.says(&format!("looking through the bin of {space}: {count}"));
        match undo::look(smh, space, gathered, done, &mut seen).await {
            Ok(Some(view)) => {
                bins.insert(space.clone(), view);
            }
            Ok(None) => {}
            Err(why) => unseen.push((space.clone(), why)),
        }
    }
    (bins, unseen)
}

fn decide(
    gathered: Gathered,
    options: &Options,
    smh: &Smh<'_>,
    done: &Done,
    bins: &HashMap<Space, View>,
) -> Plan {
    let tenants: HashSet<Space> = smh.spaces().cloned().collect();
    let tokens = tenants.iter().filter(|space| smh.has_token(space)).cloned().collect();
    let on_conflict = how(options).on_conflict;
    plan(gathered, &Facts { done, bins, tenants: &tenants, tokens: &tokens, on_conflict })
}

fn how(options: &Options) -> How {
    let on_conflict = match options.on_conflict {
        OnConflict::Rename => undo::OnConflict::Rename,
        OnConflict::Ask => undo::OnConflict::Ask,
        OnConflict::Overwrite => undo::OnConflict::Overwrite,
    };
    let on_lost_parent = if options.to_root { OnLostParent::ToRoot } else { OnLostParent::Refuse };
    How { on_conflict, on_lost_parent }
}

/// The first Ctrl-C ends it after the batch that is under way, the second one at once: what was under way
/// is looked up by the next run.
async fn bring_back(
    plan: &Plan,
    options: &Options,
    smh: &mut Smh<'_>,
    ledger: &mut Ledger,
) -> Result<HashMap<usize, Outcome>, Failed> {
    let mut bar = Bar::new();
    let stop = Cell::new(false);
    let is_stopped = || stop.get();
    let mut progress = |progress| bar.moves(progress);
    let work = undo::restore(plan, how(options), smh, ledger, &mut progress, &is_stopped);
    let mut work = std::pin::pin!(work);
    let outcomes = loop {
        tokio::select! {
            outcomes = &mut work => break outcomes,
            _ = tokio::signal::ctrl_c() => {
                if stop.replace(true) {
                    return Err("interrupted: run it again, and it goes on where it was".into());
                }
            }
        }
    };
    outcomes.map_err(|error| {
        let what = "the undo's own journal cannot be written, so nothing more was restored";
        format!("{what}: {error}; run it again, and it goes on where it was").into()
    })
}

enum Confirmed {
    Yes,
    No,
    NobodyToAsk,
}

async fn confirmed(count: usize) -> Confirmed {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Confirmed::NobodyToAsk;
    }
    let files = show::files(count);
    let _ = write!(io::stderr(), "Restore {files}? [y/N] ");
    let read = || {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map(|_| line).unwrap_or_default()
    };
    tokio::select! {
        line = tokio::task::spawn_blocking(read) => match line.as_deref().map(str::trim) {
            Ok("y" | "Y" | "yes" | "Yes") => Confirmed::Yes,
            Ok(_) | Err(_) => Confirmed::No,
        },
        _ = tokio::signal::ctrl_c() => Confirmed::No,
    }
}

fn at(path: &Path, error: &io::Error) -> Failed {
    format!("{}: {error}", path.display()).into()
}

fn ago(text: &str) -> Result<SystemTime, String> {
    if let Ok(age) = duration(text) {
        return SystemTime::now().checked_sub(age).ok_or_else(|| "that is too long".to_owned());
    }
    moment(text, "a time is `1h` ago, or such as `2026-11-25T13:00:00Z`").map_err(str::to_owned)
}

fn name(text: &str) -> Result<NameGlob, String> {
    NameGlob::try_from(text).map_err(|error| error.to_string())
}

fn path(text: &str) -> Result<PathGlob, String> {
    PathGlob::try_from(text).map_err(|error| error.to_string())
}
