//! Records as a table: a line each, the path last, so that only a long path is longer than a terminal.

use crate::config::cases::columns;
use crate::config::report::{Color, printable};
use crate::journal::{Became, Entry, Event};

/// Written as records come: how wide the columns are is seen from the first of them.
pub struct Table {
    colours: Color,
    widths: [usize; COLUMNS],
    /// The first rows, until it is known how wide columns are.
    waiting: Vec<Row>,
    /// How many bytes of paths are among them.
    held: usize,
    has_begun: bool,
}

const COLUMNS: usize = 5;

const NAMES: [&str; COLUMNS] = ["TIME", "CALLER", "TENANT", "OUTCOME", "ANSWER"];

/// So many rows are looked at before the first is shown.
const LOOKED_AT: usize = 256;

/// Or so many bytes: a line that is no gateway's may be very long.
const MOST_HELD: usize = 1 << 20;

/// Wider columns than this are not made for one long name.
const WIDEST: usize = 32;

struct Row {
    cells: [String; COLUMNS],
    path: String,
    is_lost: bool,
}

impl Table {
    /// With or without colours.
    #[must_use]
    pub fn new(colours: Color) -> Self {
        let widths = NAMES.map(str::len);
        Self { colours, widths, waiting: Vec::new(), held: 0, has_begun: false }
    }

    /// A row for a record. What is written may be of earlier ones, or nothing yet.
    pub fn row(&mut self, entry: &Entry<'_>, out: &mut String) {
        let row = Row::of(entry);
        self.widen(&row);
        if self.has_begun {
            self.write(&row, out);
            return;
        }
        self.held += row.path.len();
        self.waiting.push(row);
        if self.waiting.len() >= LOOKED_AT || self.held > MOST_HELD {
            self.flush(out);
        }
    }

    /// Writes what waits: nothing more comes, or not soon.
    pub fn flush(&mut self, out: &mut String) {
        if !self.has_begun && !self.waiting.is_empty() {
            self.has_begun = true;
            let mut header = String::new();
            let names = NAMES.map(str::to_owned);
            self.write(&Row { cells: names, path: "PATH".into(), is_lost: false }, &mut header);
            self.styled("1", header.trim_end(), out);
            out.push('\n');
        }
        for row in std::mem::take(&mut self.waiting) {
            self.write(&row, out);
        }
    }

    fn widen(&mut self, row: &Row) {
        for (width, cell) in self.widths.iter_mut().zip(&row.cells) {
            let wanted = columns(cell);
            if wanted <= WIDEST {
                *width = wanted.max(*width);
            }
        }
    }

    fn write(&self, row: &Row, out: &mut String) {
        for (index, (cell, width)) in row.cells.iter().zip(self.widths).enumerate() {
            match row.is_lost && index + 1 == COLUMNS {
                true => self.styled("1;31", cell, out),
                false => out.push_str(cell),
            }
            let padding = width.saturating_sub(columns(cell)) + 2;
            out.extend(std::iter::repeat_n(' ', padding));
        }
        out.push_str(&row.path);
        out.truncate(out.trim_end_matches(' ').len());
        out.push('\n');
    }

    fn styled(&self, code: &str, text: &str, out: &mut String) {
        match self.colours {
            Color::Ansi => out.extend(["\x1b[", code, "m", text, "\x1b[0m"]),
            Color::Plain => out.push_str(text),
        }
    }
}

impl Row {
    /// Names and paths may hold what a terminal would act on: they are escaped.
    fn of(entry: &Entry<'_>) -> Self {
        let shown = |text: Option<&str>| text.map_or_else(|| "-".to_owned(), printable);
        let place = match (entry.tenant.as_deref(), entry.library.as_deref()) {
            (None, Some(library)) => {
                let space = entry.space.as_deref().unwrap_or_default();
                printable(&format!("{library}/{space}"))
            }
            (tenant, _) => shown(tenant),
        };
        let outcome = match entry.outcome {
            _ if entry.event != Event::Delete => entry.event.as_str(),
            Some(became) => became.as_str(),
            None => "-",
        };
        let is_lost = entry.outcome == Some(Became::Unknown) || entry.reversible == Some(false);
        let path = entry.path.as_deref().map(printable).unwrap_or_default();
        let cells = [
            second(&entry.time),
            shown(entry.caller.as_deref()),
            place,
            outcome.to_owned(),
            answer(entry),
        ];
        Self { cells, path, is_lost }
    }
}

/// `2026-11-25 13:38:16Z`.
fn second(time: &str) -> String {
    match (time.get(..10), time.get(10..11), time.get(11..19)) {
        (Some(day), Some("T"), Some(second)) => printable(&format!("{day} {second}Z")),
        _ => printable(time),
    }
}

/// `200 recycled`, `204 gone`, `403 DeniedByRule`.
fn answer(entry: &Entry<'_>) -> String {
    let status = entry.status.or(entry.smh_status).map(|status| status.to_string());
    let meaning = match (entry.code.as_deref(), entry.dry_run, entry.reversible) {
        (Some(code), ..) => Some(printable(code)),
        (None, Some(true), _) => Some("dry run".to_owned()),
        (None, _, Some(true)) => Some("recycled".to_owned()),
        (None, _, Some(false)) => Some("gone".to_owned()),
        (None, ..) => entry.limit.as_deref().map(printable),
    };
    let both: Vec<_> = status.into_iter().chain(meaning).collect();
    if both.is_empty() { "-".to_owned() } else { both.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(records: &[&str]) -> String {
        let (mut table, mut out) = (Table::new(Color::Plain), String::new());
        for record in records {
            table.row(&Entry::parse(record.as_bytes()).unwrap(), &mut out);
        }
        table.flush(&mut out);
        out
    }

    #[test]
    fn columns_are_as_wide_as_what_is_in_them_and_the_path_is_last() {
        let told = table(&[
            r#"{"time":"2026-11-25T13:38:16.123456Z","event":"delete","caller":"app","tenant":"photos","path":"a/b c.jpg","status":200,"outcome":"relayed","reversible":true}"#,
            r#"{"time":"2026-11-25T13:38:17.000000Z","event":"delete","caller":"thumbnailer","library":"smhxxx","space":"s","path":"日.jpg","status":403,"code":"TenantNotGranted","outcome":"refused"}"#,
            r#"{"time":"2026-11-25T13:38:18.000000Z","event":"start"}"#,
        ]);
        assert_eq!(
            told,
            "\
TIME                  CALLER       TENANT    OUTCOME  ANSWER                PATH
2026-11-25 13:38:16Z  app          photos    relayed  200 recycled          a/b c.jpg
2026-11-25 13:38:17Z  thumbnailer  smhxxx/s  refused  403 TenantNotGranted  日.jpg
2026-11-25 13:38:18Z  -            -         start    -
"
        );
        assert_eq!(table(&[]), "");
    }

    #[test]
    fn no_name_can_forge_what_a_terminal_shows() {
        let told = table(&[
            r#"{"time":"\u001b[2Jx","event":"delete","caller":"a\u202eb","tenant":"t\n2026","path":"\u001b]0;x\u0007\r","code":"\u009b1m"}"#,
        ]);
        assert_eq!(told.lines().count(), 2);
        assert!(!told.contains(|c: char| c.is_control() && c != '\n'), "{told:?}");
        assert!(told.contains("a\\u{202e}b  t\\u{a}2026"), "{told}");
    }

    #[test]
    fn rows_come_before_the_end_and_a_long_name_moves_its_row_alone() {
        let record = |caller: &str| {
            format!(r#"{{"time":"t","event":"delete","caller":"{caller}","path":"p"}}"#)
        };
        let (mut table, mut out) = (Table::new(Color::Plain), String::new());
        let (short, long) = (record("app"), record(&"x".repeat(64)));
        for _ in 0..LOOKED_AT {
            assert_eq!(out, "");
            table.row(&Entry::parse(short.as_bytes()).unwrap(), &mut out);
        }
        assert_eq!(out.lines().count(), LOOKED_AT + 1);
        let before = out.lines().last().unwrap().to_owned();
        out.clear();
        table.row(&Entry::parse(long.as_bytes()).unwrap(), &mut out);
        table.row(&Entry::parse(short.as_bytes()).unwrap(), &mut out);
        assert_eq!(out.lines().nth(1), Some(before.as_str()));
    }
}
