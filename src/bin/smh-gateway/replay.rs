//! `replay`: past deletes, decided by the policy at hand.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use smh_gateway::config::report::printable;
use smh_gateway::config::{self, Snapshot};
use smh_gateway::journal::{Event, Line, Looked, Reader, Selection, Wanted};
use smh_gateway::replay::{Change, Changes, Group, Key, Replay, Totals, grouped};

use crate::journals::{Filter, Skipped, readable, unread};
use crate::terminal::{Style, Terminal};
use crate::{Answer, Format};

#[derive(Args)]
pub(crate) struct Options {
    /// The gateway's file, which names the policy.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    filter: Filter,
    /// End with 1 if any decision changes.
    #[arg(long)]
    fail_on_change: bool,
    /// For people or for programs.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The files of journals, in any order, plain or compressed; `-`: standard input.
    #[arg(value_name = "JOURNAL", required = true)]
    journals: Vec<PathBuf>,
}

pub(crate) fn run(options: Options, terminal: &mut Terminal) -> Answer {
    // What a test case would say is not asked here: a policy that is being written is replayed, too.
    let snapshot = match config::load_untested(&options.config).into_result() {
        Ok((snapshot, _)) => snapshot,
        Err(report) => {
            terminal.report(&report);
            return Answer::No;
        }
    };
    let wanted = Wanted { events: vec![Event::Delete], ..options.filter.wanted() };
    let (files, mut all_read) = readable(&options.journals, terminal);
    let mut reading = Reading {
        selection: wanted.into(),
        replay: Replay::by(&snapshot),
        skipped: Skipped::default(),
        progress: Progress::of(&files),
    };
    for file in &files {
        if let Err(error) = reading.file(file) {
            reading.progress.clear();
            terminal.complain(unread(file, &error));
            all_read = false;
        }
    }
    reading.progress.clear();
    reading.skipped.tell(terminal);
    let (totals, changes) = reading.replay.end();
    match options.format {
        Format::Json => {
            let told = json!({
                "config_sha256": snapshot.sha256,
                "totals": totals.to_json(),
                "now_denied": changes.to_json(Change::NowDenied),
                "now_allowed": changes.to_json(Change::NowAllowed),
            });
            terminal.line(format!("{told:#}"));
        }
        Format::Text => show(&totals, &changes, &snapshot, terminal),
    }
    let is_good = all_read && !(options.fail_on_change && totals.is_changed());
    if is_good { Answer::Yes } else { Answer::No }
}

struct Reading<'s> {
    selection: Selection,
    replay: Replay<'s>,
    skipped: Skipped,
    progress: Progress,
}

impl Reading<'_> {
    fn file(&mut self, file: &Path) -> io::Result<()> {
        let mut reader = Reader::open(file)?;
        loop {
            match reader.read()? {
                None => break,
                Some(Line::Record(record)) => match self.selection.look(&record) {
                    Looked::Other => {}
                    Looked::NotUnderstood => self.skipped.not_understood += 1,
                    Looked::Wanted(entry) => self.replay.entry(&entry),
                },
                Some(line) => self.skipped.see(&line),
            }
            self.progress.line(reader.bytes());
        }
        self.progress.file(file);
        Ok(())
    }
}

/// A bar on a terminal, from time to time.
struct Progress {
    is_shown: bool,
    /// Of all files, and of those that are done.
    bytes: u64,
    done: u64,
    lines: u64,
    last: Instant,
}

impl Progress {
    fn of(files: &[PathBuf]) -> Self {
        let bytes = files.iter().map(|file| size(file)).sum();
        let is_shown = io::stderr().is_terminal();
        Self { is_shown, bytes, done: 0, lines: 0, last: Instant::now() }
    }

    fn line(&mut self, bytes: u64) {
        self.lines += 1;
        if !self.is_shown || !self.lines.is_multiple_of(4096) || self.last.elapsed() < OFTEN {
            return;
        }
        self.last = Instant::now();
        // Of a compressed file more is read than it has.
        let percent = (self.done + bytes).saturating_mul(100).checked_div(self.bytes).unwrap_or(0);
        let percent = usize::try_from(percent).unwrap_or(100).min(100);
        let bar = format!("{:<25}", "#".repeat(percent / 4));
        let lines = grouped(self.lines);
        let _ = write!(io::stderr(), "\r[{bar}] {percent:>3} %  {lines} lines\x1b[K");
    }

    fn file(&mut self, file: &Path) {
        self.done += size(file);
    }

    fn clear(&self) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn size(file: &Path) -> u64 {
    file.metadata().map_or(0, |metadata| metadata.len())
}

const OFTEN: Duration = Duration::from_millis(100);

/// What is recorded may hold what a terminal would act on: it is escaped.
fn show(totals: &Totals, changes: &Changes, snapshot: &Snapshot, terminal: &mut Terminal) {
    terminal.line(totals.past());
    for (count, what) in [
        (totals.dry_runs, "dry runs"),
        (totals.undecided, "refused before anything was decided about them"),
    ] {
        if count > 0 {
            let left_out = format!("left out, as {what}: {}", grouped(count));
            terminal.line(terminal.style(Style::Dim, left_out));
        }
    }
    if totals.deletes > 0 && !totals.is_changed() {
        terminal.line(terminal.style(Style::Good, "nothing changes"));
    }
    for (change, style, count) in [
        (Change::NowDenied, Style::Bad, totals.now_denied),
        (Change::NowAllowed, Style::Accent, totals.now_allowed),
    ] {
        if count == 0 {
            continue;
        }
        terminal.line("");
        terminal.line(terminal.style(style, totals.changed(change)));
        if change == Change::NowDenied {
            totals.apart().into_iter().for_each(|line| terminal.line(format!("  {line}")));
        }
        groups(changes, change, snapshot, terminal);
    }
}

fn groups(changes: &Changes, change: Change, snapshot: &Snapshot, terminal: &mut Terminal) {
    let groups = changes.groups(change);
    let deletes = |groups: &[(&Key, &Group)]| groups.iter().map(|(_, of)| of.deletes).sum::<u64>();
    for (key, group) in groups.iter().take(MOST_GROUPS) {
        let was = if change == Change::NowAllowed { "was " } else { "" };
        let rule = key.rule.as_deref().map(|rule| match change {
            Change::NowDenied => format!(" \"{}\"{}", printable(rule), place(rule, snapshot)),
            Change::NowAllowed => format!(" \"{}\"", printable(rule)),
        });
        let (caller, tenant) = (printable(&key.caller), printable(&key.tenant));
        let (count, code) = (grouped(group.deletes), printable(&key.code));
        let rule = rule.unwrap_or_default();
        terminal.line(format!("  {count:>9}  {caller}  {tenant}  {was}{code}{rule}"));
        for example in &group.examples {
            let permanent = if example.permanent { ", permanent" } else { "" };
            let shown = format!("{}  {}{permanent}", example.time, example.path);
            terminal.line(terminal.style(Style::Dim, format!("{:13}{}", "", printable(&shown))));
        }
    }
    let rest = deletes(groups.get(MOST_GROUPS..).unwrap_or_default()) + changes.others(change);
    if rest > 0 {
        terminal.line(format!("  {:>9}  others; --format json has more of them", grouped(rest)));
    }
}

/// Where a rule stands that is in force.
fn place(rule: &str, snapshot: &Snapshot) -> String {
    let line = snapshot.policy.rules.iter().find(|one| one.cited.rule.as_str() == rule);
    match (line, &snapshot.policy_file) {
        (Some(rule), Some(file)) => {
            format!(" ({}:{})", printable(&file.display().to_string()), rule.line)
        }
        _ => String::new(),
    }
}

/// As many as one reads.
const MOST_GROUPS: usize = 20;
