//! Where records are shown: standard output, in big pieces.

use std::io::{self, BufWriter, StdoutLock, Write};

use clap::ValueEnum;
use smh_gateway::config::report::Color;
use smh_gateway::journal::{Cells, Entry, Sealed};
use smh_gateway::listing::{Table, csv};

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Table,
    /// The records themselves, one a line.
    Json,
    /// For spreadsheets.
    Csv,
}

pub(super) struct Sink {
    out: BufWriter<StdoutLock<'static>>,
    form: Form,
}

enum Form {
    Table { table: Table, text: String },
    Json,
    Csv { line: Vec<u8> },
}

impl Sink {
    pub(super) fn new(format: Format, colours: Color) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(BUFFER, io::stdout().lock());
        let form = match format {
            Format::Table => Form::Table { table: Table::new(colours), text: String::new() },
            Format::Json => Form::Json,
            Format::Csv => {
                let mut line = Vec::new();
                csv::header(&mut line);
                out.write_all(&line)?;
                Form::Csv { line }
            }
        };
        Ok(Self { out, form })
    }

    pub(super) fn record(&mut self, record: &Sealed<'_>, entry: &Entry<'_>) -> io::Result<()> {
        match &mut self.form {
            Form::Table { table, text } => {
                table.row(entry, text);
                self.out.write_all(text.as_bytes())?;
                text.clear();
                Ok(())
            }
            Form::Json => {
                self.out.write_all(record.text())?;
                self.out.write_all(b"\n")
            }
            Form::Csv { line } => {
                line.clear();
                // It was understood as an entry, so it is an object.
                if let Ok(cells) = Cells::parse(record.text()) {
                    csv::row(&cells, line);
                }
                self.out.write_all(line)
            }
        }
    }

    /// Shows what waits: nothing more comes, or not soon.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if let Form::Table { table, text } = &mut self.form {
            table.flush(text);
            self.out.write_all(text.as_bytes())?;
            text.clear();
        }
        self.out.flush()
    }
}

const BUFFER: usize = 256 * 1024;
