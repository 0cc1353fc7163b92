//! A report as text: where, what, the line, a caret under the place, and what was meant.
//!
//! ```text
//! config/gateway.yaml:12:5: unknown field `librarys` in a tenant
//!    12 |     librarys: smhxxx
//!       |     ^^^^^^^^ did you mean `library`?
//! ```

use std::ops::Range;

use super::super::shown::{REDACTED, columns, inline_secrets, printable, push_escaped};
use super::super::source::{Layout, Place, Source};
use super::{Problem, Report, Severity};

/// Whether escape sequences for colour are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    /// For files, logs and pipes.
    Plain,
    /// For terminals.
    Ansi,
}

/// Widest excerpt of a line, in terminal columns.
const MAX_COLUMNS: usize = 96;
/// How much of that may stand before the caret.
const COLUMNS_BEFORE: usize = 40;
/// A tab in a line counts as this many spaces, so that the caret stays below its place.
const TAB_COLUMNS: usize = 4;

pub(super) fn text(report: &Report, color: Color) -> String {
    let style = Style::new(color);
    let mut out = String::new();
    for problem in report.problems() {
        problem_text(&mut out, report, problem, &style);
    }
    let dropped: Vec<_> = [Severity::Error, Severity::Warning]
        .into_iter()
        .filter_map(|severity| match report.dropped(severity) {
            0 => None,
            1 => Some(format!("and 1 more {}", severity.name())),
            many => Some(format!("and {many} more {}s", severity.name())),
        })
        .collect();
    if !dropped.is_empty() {
        out.push_str(&format!("{}\n", dropped.join(" ")));
    }
    out
}

struct Style {
    bold: &'static str,
    gutter: &'static str,
    error: &'static str,
    warning: &'static str,
    reset: &'static str,
}

impl Style {
    fn new(color: Color) -> Self {
        match color {
            Color::Plain => Self { bold: "", gutter: "", error: "", warning: "", reset: "" },
            Color::Ansi => Self {
                bold: "\u{1b}[1m",
                gutter: "\u{1b}[34m",
                error: "\u{1b}[1;31m",
                warning: "\u{1b}[1;33m",
                reset: "\u{1b}[0m",
            },
        }
    }

    fn mark(&self, severity: Severity) -> &'static str {
        match severity {
            Severity::Error => self.error,
            Severity::Warning => self.warning,
        }
    }
}

fn problem_text(out: &mut String, report: &Report, problem: &Problem, style: &Style) {
    let Style { bold, reset, gutter, .. } = style;
    let mark = style.mark(problem.severity);
    out.push_str(bold);
    out.push_str(&printable(report.name(problem.file)));
    if let Some(Place { line, column, .. }) = problem.place {
        out.push_str(&format!(":{line}:{column}"));
    }
    out.push_str(&format!(":{reset} "));
    match (problem.severity, problem.code) {
        (Severity::Error, None) => {}
        (severity, None) => out.push_str(&format!("{mark}{}:{reset} ", severity.name())),
        (severity, Some(code)) => {
            out.push_str(&format!("{mark}{}[{}]:{reset} ", severity.name(), code.as_str()));
        }
    }
    out.push_str(&printable(&problem.message));
    out.push('\n');

    let help = problem.help.as_deref().map(printable);
    let excerpt = problem.place.filter(|_| problem.shows_line).and_then(|place| {
        let source = report.sources.get(place.file.0)?;
        excerpt(source, place)
    });
    let Some(Excerpt { line, text, before, under }) = excerpt else {
        if let Some(help) = help {
            out.push_str(&format!("      {gutter}={reset} {bold}help:{reset} {help}\n"));
        }
        return;
    };
    out.push_str(&format!("{gutter}{line:>5} |{reset} {text}\n"));
    let (space, carets) = (" ".repeat(before), "^".repeat(under));
    out.push_str(&format!("{gutter}      |{reset} {space}{mark}{carets}{reset}"));
    match help {
        // Beside the caret the eye finds it at once.
        Some(help) if before + under + help.chars().count() < MAX_COLUMNS => {
            out.push_str(&format!(" {help}\n"));
        }
        Some(help) => {
            out.push_str(&format!("\n      {gutter}={reset} {bold}help:{reset} {help}\n"))
        }
        None => out.push('\n'),
    }
}

/// A line as it is shown, and where its caret goes, in terminal columns.
struct Excerpt {
    line: u32,
    text: String,
    before: usize,
    under: usize,
}

/// One character of a line, or a whole masked run.
struct Glyph {
    text: String,
    columns: usize,
    marked: bool,
}

fn excerpt(source: &Source, place: Place) -> Option<Excerpt> {
    // A file that could not be parsed shows nothing: any part of it could be a secret.
    let layout = source.layout.as_ref()?;
    let line = source.line(place.line)?;
    let text = source.text.get(line.clone())?;
    let text = without_comment(text, line.start, layout);
    let mut masks = inline_secrets(text);
    masks.extend(layout.hidden.iter().filter_map(|hidden| {
        let start = hidden.start.max(line.start);
        let end = hidden.end.min(line.end);
        (start < end).then(|| start - line.start..end - line.start)
    }));
    let number = |value: u32| usize::try_from(value).unwrap_or(usize::MAX);
    let first = number(place.column).saturating_sub(1).min(text.chars().count());
    let marked = first..first.saturating_add(number(place.width).max(1));
    // Characters far from the caret are cut anyway; a line may have millions.
    let from = first.saturating_sub(MAX_COLUMNS);
    Some(cut(glyphs(text, &masks, from, &marked), from > 0, place.line))
}

/// Comments are not shown: they hold old values as often as explanations.
fn without_comment<'a>(text: &'a str, line_start: usize, layout: &Layout) -> &'a str {
    let in_scalar = |offset: usize| {
        let index = layout.scalars.partition_point(|scalar| scalar.end <= offset);
        layout.scalars.get(index).is_some_and(|scalar| scalar.start <= offset)
    };
    let comment = text.match_indices('#').find(|&(at, _)| {
        let apart = text.get(..at).is_none_or(|b| b.is_empty() || b.ends_with([' ', '\t']));
        apart && !in_scalar(line_start + at)
    });
    comment.and_then(|(at, _)| text.get(..at)).unwrap_or(text).trim_end()
}

/// The characters from `from` on, as far as any can be shown.
fn glyphs(text: &str, masks: &[Range<usize>], from: usize, marked: &Range<usize>) -> Vec<Glyph> {
    let mut glyphs: Vec<Glyph> = Vec::new();
    let mut masked_before = false;
    for (index, (offset, character)) in
        text.char_indices().enumerate().skip(from).take(3 * MAX_COLUMNS)
    {
        let marked = marked.contains(&index);
        let masked = masks.iter().any(|mask| mask.contains(&offset));
        match glyphs.last_mut() {
            Some(run) if masked && masked_before => run.marked |= marked,
            _ if masked => {
                glyphs.push(Glyph { text: REDACTED.into(), columns: REDACTED.len(), marked });
            }
            _ => glyphs.push(glyph(character, marked)),
        }
        masked_before = masked;
    }
    glyphs
}

fn glyph(character: char, marked: bool) -> Glyph {
    if character == '\t' {
        return Glyph { text: " ".repeat(TAB_COLUMNS), columns: TAB_COLUMNS, marked };
    }
    let mut text = String::new();
    push_escaped(&mut text, character);
    let columns =
        if text.starts_with(character) { columns(character) } else { text.chars().count() };
    Glyph { text, columns, marked }
}

/// Keeps what fits around the caret. The caret of something missing stands one past the end.
fn cut(glyphs: Vec<Glyph>, begins_later: bool, line: u32) -> Excerpt {
    let width = |glyphs: &[Glyph]| glyphs.iter().map(|glyph| glyph.columns).sum::<usize>();
    let caret = glyphs.iter().position(|glyph| glyph.marked).unwrap_or(glyphs.len());
    let mut first = 0;
    if begins_later || width(&glyphs) > MAX_COLUMNS {
        while width(glyphs.get(first..caret).unwrap_or_default()) > COLUMNS_BEFORE {
            first += 1;
        }
    }
    let mut before = width(glyphs.get(first..caret).unwrap_or_default());
    let mut text = String::new();
    if first > 0 || begins_later {
        text.push('…');
        before += 1;
    }
    let mut used = before;
    let mut under = 0;
    // The first glyphs up to the caret are already counted in `used`.
    for (index, glyph) in glyphs.into_iter().enumerate().skip(first) {
        if index >= caret {
            if used + glyph.columns > MAX_COLUMNS {
                text.push('…');
                break;
            }
            used += glyph.columns;
        }
        under += if glyph.marked { glyph.columns } else { 0 };
        text.push_str(&glyph.text);
    }
    Excerpt { line, text, before, under: under.max(1) }
}
