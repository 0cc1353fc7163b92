//! `audit list`: what was deleted, or was not, and by whom.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use smh_gateway::glob::NameGlob;
use smh_gateway::journal::{
    Became, Event, Line, Looked, Reader, Sealed, Selection, Tail, Turned, Wanted,
};

use super::sink::{Format, Sink};
use crate::journals::{Filter, Skipped, name, readable, unread};
use crate::terminal::Terminal;
use crate::{Answer, Outcome};

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    filter: Filter,
    /// What became of it.
    #[arg(long, value_enum, value_name = "OUTCOME")]
    outcome: Vec<OutcomeArgument>,
    /// Why it was refused: a code such as `DeniedByRule`, or a glob.
    #[arg(long, value_name = "CODE", value_parser = name)]
    code: Vec<NameGlob>,
    /// What records are about; left out: deletes.
    #[arg(long, value_enum, value_name = "EVENT", value_delimiter = ',')]
    event: Vec<EventArgument>,
    /// Which request.
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// How to show them.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Go on with what is written to the file that was written last, and to what takes its place.
    #[arg(short, long)]
    follow: bool,
    /// The files of journals, in any order, plain or compressed; `-`: standard input.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// A [`Became`] as an argument.
#[derive(Clone, Copy)]
struct OutcomeArgument(Became);

impl ValueEnum for OutcomeArgument {
    fn value_variants<'a>() -> &'a [Self] {
        const {
            &[
                Self(Became::Relayed),
                Self(Became::Refused),
                Self(Became::NotSent),
                Self(Became::Unknown),
            ]
        }
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.as_str()))
    }
}

/// An [`Event`] as an argument, or each.
#[derive(Clone, Copy)]
enum EventArgument {
    One(Event),
    All,
}

impl ValueEnum for EventArgument {
    fn value_variants<'a>() -> &'a [Self] {
        const {
            &[
                Self::One(Event::Delete),
                Self::One(Event::Intent),
                Self::One(Event::Start),
                Self::One(Event::Stop),
                Self::One(Event::Resumed),
                Self::One(Event::Grant),
                Self::One(Event::Undo),
                Self::All,
            ]
        }
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::One(event) => event.as_str(),
            Self::All => "all",
        }))
    }
}

/// The events that are asked for; none where it is each, also one that came later.
fn events(asked: &[EventArgument]) -> Vec<Event> {
    let one = |argument: &EventArgument| match argument {
        EventArgument::One(event) => Some(*event),
        EventArgument::All => None,
    };
    match asked {
        [] => vec![Event::Delete],
        _ => asked.iter().map(one).collect::<Option<_>>().unwrap_or_default(),
    }
}

pub(crate) fn run(options: Options, terminal: &Terminal) -> Outcome {
    let wanted = Wanted {
        outcomes: options.outcome.iter().map(|outcome| outcome.0).collect(),
        codes: options.code,
        events: events(&options.event),
        request_id: options.request_id,
        ..options.filter.wanted()
    };
    let (mut files, all_readable) = readable(&options.files, terminal);
    let followed = options.follow.then(|| take_written_last(&mut files)).flatten();
    let listed = Listing::new(wanted, options.format, terminal)
        .and_then(|listing| listing.list(&files, followed.as_deref()));
    match listed {
        Ok(all_read) if all_read && all_readable => Ok(Answer::Yes),
        Ok(_) => Ok(Answer::No),
        // Whoever reads has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Answer::Yes),
        Err(error) => Err(error.into()),
    }
}

/// The file that is followed: a new one may have no record yet, and compressing makes files that look
/// new. Standard input is read to its end anyway.
fn take_written_last(files: &mut Vec<PathBuf>) -> Option<PathBuf> {
    let written = |file: &Path| {
        let is_plain = file.extension().is_none_or(|extension| extension != "gz");
        let metadata = file.metadata().ok().filter(|metadata| metadata.is_file() && is_plain);
        metadata.and_then(|metadata| metadata.modified().ok())
    };
    let all = files.iter().enumerate();
    let last = all.filter_map(|(index, file)| Some((written(file)?, index))).max();
    match last {
        Some((_, index)) => Some(files.remove(index)),
        None => files.pop_if(|file| file != Path::new("-")),
    }
}

struct Listing<'t> {
    selection: Selection,
    sink: Sink,
    skipped: Skipped,
    terminal: &'t Terminal,
}

/// Errors are those of standard output; of files they are told where they are met.
impl<'t> Listing<'t> {
    fn new(wanted: Wanted, format: Format, terminal: &'t Terminal) -> io::Result<Self> {
        Ok(Self {
            selection: wanted.into(),
            sink: Sink::new(format, terminal.colours())?,
            skipped: Skipped::default(),
            terminal,
        })
    }

    /// Whether all could be read.
    fn list(mut self, files: &[PathBuf], followed: Option<&Path>) -> io::Result<bool> {
        let mut all_read = true;
        for file in files {
            if let Err(error) = self.file(file)? {
                self.terminal.complain(unread(file, &error));
                all_read = false;
            }
        }
        if let Some(file) = followed {
            self.sink.flush()?;
            let Err(error) = self.follow(file)?;
            self.terminal.complain(unread(file, &error));
            all_read = false;
        }
        self.sink.flush()?;
        self.skipped.tell(self.terminal);
        Ok(all_read)
    }

    fn file(&mut self, file: &Path) -> io::Result<io::Result<()>> {
        let mut reader = match Reader::open(file) {
            Ok(reader) => reader,
            Err(error) => return Ok(Err(error)),
        };
        loop {
            match reader.read() {
                Ok(Some(Line::Record(record))) => self.record(&record)?,
                Ok(Some(line)) => self.skipped.see(&line),
                Ok(None) => return Ok(Ok(())),
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    fn record(&mut self, record: &Sealed<'_>) -> io::Result<()> {
        match self.selection.look(record) {
            Looked::Other => {}
            Looked::NotUnderstood => self.skipped.not_understood += 1,
            Looked::Wanted(entry) => self.sink.record(record, &entry)?,
        }
        Ok(())
    }

    /// Ends only where something goes wrong, or nobody reads any more.
    fn follow(&mut self, file: &Path) -> io::Result<Result<std::convert::Infallible, io::Error>> {
        let mut tail = match Tail::open(file) {
            Ok(tail) => tail,
            Err(error) => return Ok(Err(error)),
        };
        loop {
            loop {
                match tail.reader().read() {
                    Ok(Some(Line::Record(record))) => self.record(&record)?,
                    // Its end may come.
                    Ok(Some(Line::Torn(_))) => {}
                    Ok(Some(line)) => self.skipped.see(&line),
                    Ok(None) => break,
                    Err(error) => return Ok(Err(error)),
                }
            }
            self.sink.flush()?;
            if self.skipped != Skipped::default() {
                self.skipped.tell(self.terminal);
                self.skipped = Skipped::default();
            }
            match tail.turn() {
                Ok(Turned::Same) => std::thread::sleep(PAUSE),
                Ok(Turned::Another { torn }) if torn => self.skipped.see_torn(),
                Ok(Turned::Another { .. }) => {}
                Err(error) => return Ok(Err(error)),
            }
        }
    }
}

/// Between two looks at a file that is followed.
const PAUSE: Duration = Duration::from_millis(100);
