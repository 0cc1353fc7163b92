//! What every command that reads journals has in common.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Args;
use smh_gateway::config::decode::duration;
use smh_gateway::config::report::printable;
use smh_gateway::glob::{NameGlob, PathGlob};
use smh_gateway::journal::{Line, Wanted, in_order};
use smh_gateway::policy::moment;

use crate::terminal::Terminal;

/// Which deletes are meant. What is given twice means either.
#[derive(Args)]
pub(crate) struct Filter {
    /// From then on: so long ago, such as 1h, or a moment, such as 2026-12-31 or 2026-12-31T18:00:00Z.
    #[arg(long, value_name = "D|TIME", value_parser = time)]
    since: Option<SystemTime>,
    /// Before then, in the same way.
    #[arg(long, value_name = "D|TIME", value_parser = time)]
    until: Option<SystemTime>,
    /// Who asked: a name, or a glob.
    #[arg(long, value_name = "NAME", value_parser = name)]
    caller: Vec<NameGlob>,
    /// For which tenant: a name, or a glob.
    #[arg(long, value_name = "NAME", value_parser = name)]
    tenant: Vec<NameGlob>,
    /// For which files: a glob over the decoded path, as rules have it.
    #[arg(long, value_name = "GLOB", value_parser = path)]
    path: Vec<PathGlob>,
}

impl Filter {
    pub(crate) fn wanted(self) -> Wanted {
        Wanted {
            since: self.since,
            until: self.until,
            callers: self.caller,
            tenants: self.tenant,
            paths: self.path,
            ..Wanted::default()
        }
    }
}

fn time(text: &str) -> Result<SystemTime, String> {
    if text.contains('-') {
        // A day begins at midnight in UTC, as the journal has it.
        let written = if text.contains(['T', 't', ' ']) {
            text.to_owned()
        } else {
            format!("{text}T00:00:00Z")
        };
        let told = "a moment is such as 2026-12-31 or 2026-12-31T18:00:00Z";
        return moment(&written, told).map_err(str::to_owned);
    }
    let ago = duration(text).map_err(|help| format!("so long ago, such as 1h: {help}"))?;
    SystemTime::now().checked_sub(ago).ok_or_else(|| "that is too long ago".to_owned())
}

pub(crate) fn name(text: &str) -> Result<NameGlob, String> {
    NameGlob::try_from(text).map_err(|error| error.to_string())
}

fn path(text: &str) -> Result<PathGlob, String> {
    PathGlob::try_from(text).map_err(|error| error.to_string())
}

/// Files that cannot be read, and why.
pub(crate) type Unreadable = Vec<(PathBuf, io::Error)>;

/// The files in the order in which they were written, and those that cannot be read.
pub(crate) fn in_written_order(paths: &[PathBuf]) -> (Vec<PathBuf>, Unreadable) {
    let mut paths = paths.to_vec();
    let mut unreadable = Vec::new();
    loop {
        match in_order(&paths) {
            Ok(ordered) => return (ordered, unreadable),
            Err((path, error)) => {
                paths.retain(|other| *other != path);
                unreadable.push((path, error));
            }
        }
    }
}

/// The same; of those that cannot be read it is told. Whether there is none of them.
pub(crate) fn readable(paths: &[PathBuf], terminal: &Terminal) -> (Vec<PathBuf>, bool) {
    let (ordered, unreadable) = in_written_order(paths);
    for (path, error) in &unreadable {
        terminal.complain(unread(path, error));
    }
    (ordered, unreadable.is_empty())
}

pub(crate) fn unread(path: &Path, error: &io::Error) -> String {
    format!("{}: it cannot be read: {error}", shown(path))
}

/// A path as a terminal shows it.
pub(crate) fn shown(path: &Path) -> String {
    printable(&path.display().to_string())
}

/// Lines that are passed over.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Skipped {
    foreign: u64,
    newer: u64,
    torn: u64,
    /// Records whose fields are not what they should be.
    pub(crate) not_understood: u64,
}

impl Skipped {
    /// Counts a line that is no record.
    pub(crate) fn see(&mut self, line: &Line<'_>) {
        match line {
            Line::Record(_) => {}
            Line::Foreign => self.foreign += 1,
            Line::Newer(_) => self.newer += 1,
            Line::Torn(_) => self.torn += 1,
        }
    }

    /// One that is left behind without its end.
    pub(crate) fn see_torn(&mut self) {
        self.torn += 1;
    }

    /// Says on standard error what was passed over.
    pub(crate) fn tell(&self, terminal: &Terminal) {
        for (count, what) in [
            (self.foreign, "lines that are no records"),
            (self.newer, "lines of a newer version, for which to use a newer smh-gateway"),
            (self.torn, "lines without an end, whose writer was killed or is just writing"),
            (self.not_understood, "records with fields that are not understood"),
        ] {
            if count > 0 {
                terminal.complain(format!("smh-gateway: passed over, as {what}: {count}"));
            }
        }
    }
}
