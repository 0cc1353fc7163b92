//! `audit verify`: whether journals are whole.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use smh_gateway::journal::{Chain, Finding, Head, JournalId, Line, Reader, Verifier};

use crate::journals::{in_written_order, shown};
use crate::terminal::{Style, Terminal};
use crate::{Answer, Format};

#[derive(Args)]
pub(crate) struct Options {
    /// A head that was kept elsewhere, as the gateway logs it: the journal must have it.
    #[arg(long, value_name = "JOURNAL:SEQ:HASH")]
    head: Vec<Head>,
    /// For people or for programs.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The files of journals, in any order, plain or compressed; `-`: standard input.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

pub(crate) fn run(options: &Options, terminal: &mut Terminal) -> Answer {
    let (files, unreadable) = in_written_order(&options.files);
    let mut looking = Looking::new(options);
    for (file, error) in &unreadable {
        looking.unreadable(file, error, terminal);
    }
    for (index, file) in files.iter().enumerate() {
        if let Err(error) = looking.file(index, file, terminal) {
            looking.unreadable(file, &error, terminal);
        }
    }
    looking.end(terminal)
}

/// Where something is wrong.
struct Place<'f> {
    file: &'f Path,
    line: Option<u64>,
}

/// A last line without an end: whether that is wrong is known when all was read.
struct Torn {
    file: PathBuf,
    line: u64,
    index: usize,
    /// Whose record is in front of it.
    journal: Option<JournalId>,
}

struct Looking {
    verifier: Verifier,
    format: Format,
    /// How much is wrong.
    broken: u64,
    /// Shown as JSON at the end.
    findings: Vec<Value>,
    torn: Vec<Torn>,
    /// The last file with records of each journal.
    newest: BTreeMap<JournalId, usize>,
}

impl Looking {
    fn new(options: &Options) -> Self {
        Self {
            verifier: Verifier::new(options.head.iter().copied()),
            format: options.format,
            broken: 0,
            findings: Vec::new(),
            torn: Vec::new(),
            newest: BTreeMap::new(),
        }
    }

    fn file(&mut self, index: usize, file: &Path, terminal: &Terminal) -> io::Result<()> {
        let mut reader = Reader::open(file)?;
        let (mut journal, mut found, mut line_number) = (None, Vec::new(), 0);
        while let Some(line) = reader.read()? {
            line_number += 1;
            match line {
                Line::Record(record) => {
                    if journal != Some(record.journal) {
                        journal = Some(record.journal);
                        self.newest.insert(record.journal, index);
                    }
                    self.verifier.line(line, &mut found);
                }
                Line::Torn(_) => {
                    let file = file.to_owned();
                    self.torn.push(Torn { file, line: line_number, index, journal });
                }
                Line::Foreign | Line::Newer(_) => self.verifier.line(line, &mut found),
            }
            for finding in found.drain(..) {
                let place = Place { file, line: Some(line_number) };
                self.note(&place, finding.as_str(), &finding.to_string(), terminal);
            }
        }
        Ok(())
    }

    fn unreadable(&mut self, file: &Path, error: &io::Error, terminal: &Terminal) {
        let why = format!("it cannot be read: {error}");
        self.note(&Place { file, line: None }, "unreadable", &why, terminal);
    }

    /// Shows what is wrong, or keeps it for the end, as long as there is room.
    fn note(&mut self, place: &Place<'_>, kind: &str, what: &str, terminal: &Terminal) {
        self.broken += 1;
        if self.broken > MOST_FINDINGS {
            return;
        }
        match (self.format, place.line) {
            (Format::Json, line) => self.findings.push(json!({
                "file": place.file.display().to_string(), "line": line, "kind": kind, "what": what,
            })),
            (Format::Text, Some(line)) => {
                terminal.complain(format!("{}:{line}: {what}", shown(place.file)));
            }
            (Format::Text, None) => terminal.complain(format!("{}: {what}", shown(place.file))),
        }
    }

    fn end(mut self, terminal: &mut Terminal) -> Answer {
        let mut found = Vec::new();
        let chains = std::mem::take(&mut self.verifier).end(&mut found);
        for finding in found {
            let place = Place { file: Path::new("--head"), line: None };
            self.note(&place, finding.as_str(), &finding.to_string(), terminal);
        }
        let being_written = self.torn(terminal);
        match self.format {
            Format::Json => {
                let journals: Vec<_> = chains.iter().map(journal).collect();
                let told = json!({
                    "whole": self.broken == 0,
                    "journals": journals,
                    "findings": self.findings,
                    "found": self.broken,
                    "being_written": being_written,
                });
                terminal.line(format!("{told:#}"));
            }
            Format::Text => self.summary(&chains, terminal),
        }
        if self.broken == 0 { Answer::Yes } else { Answer::No }
    }

    /// A gateway may be just writing the last line of the newest file of its journal: where nothing else
    /// is wrong, that is not either. Returns where.
    fn torn(&mut self, terminal: &Terminal) -> Vec<Value> {
        let whole = self.broken == 0;
        let mut being_written = Vec::new();
        for torn in std::mem::take(&mut self.torn) {
            // A file that was just begun has no record yet.
            let is_newest = torn
                .journal
                .is_none_or(|journal| self.newest.get(&journal).is_none_or(|at| *at == torn.index));
            if !(whole && is_newest) {
                let place = Place { file: &torn.file, line: Some(torn.line) };
                self.note(&place, Finding::Torn.as_str(), &Finding::Torn.to_string(), terminal);
                continue;
            }
            being_written
                .push(json!({ "file": torn.file.display().to_string(), "line": torn.line }));
            if self.format == Format::Text {
                let place = format!("{}:{}", shown(&torn.file), torn.line);
                terminal.complain(format!("{place}: note: {}", Finding::Torn));
            }
        }
        being_written
    }

    fn summary(&self, chains: &BTreeMap<JournalId, Chain>, terminal: &mut Terminal) {
        if self.broken > MOST_FINDINGS {
            let more = self.broken - MOST_FINDINGS;
            terminal.complain(format!("… and {more} more"));
        }
        for (journal, chain) in chains {
            let Chain { first, head, records } = chain;
            terminal.line(format!("journal {journal}: {records} records, {first} to {}", head.seq));
            terminal.line(terminal.style(Style::Dim, format!("  head {head}")));
        }
        terminal.line(match (self.broken, chains.is_empty()) {
            (0, true) => "no records".to_owned(),
            (0, false) => terminal.style(Style::Good, "whole"),
            (1, _) => terminal.style(Style::Bad, "broken: 1 thing is wrong"),
            (many, _) => terminal.style(Style::Bad, format!("broken: {many} things are wrong")),
        });
    }
}

fn journal((journal, chain): (&JournalId, &Chain)) -> Value {
    json!({
        "journal": journal.to_string(),
        "records": chain.records,
        "first": chain.first,
        "last": chain.head.seq,
        "head": chain.head.to_string(),
    })
}

/// So many are shown; a file that is no journal has one a line.
const MOST_FINDINGS: u64 = 100;
