//! Standard output and error: with colours on a terminal, plain through a pipe.

use std::error::Error;
use std::io::{self, IsTerminal, Write};

use smh_gateway::config::report::{Color, Report};

/// Where a command shows what it found.
pub(crate) struct Terminal {
    out: io::Stdout,
    colours: Color,
}

/// How a piece of text looks. Plain where there are no colours.
#[derive(Clone, Copy)]
pub(crate) enum Style {
    Bold,
    Dim,
    Good,
    Bad,
    Accent,
}

impl Terminal {
    #[expect(clippy::disallowed_methods, reason = "NO_COLOR is the terminal's, not the gateway's")]
    pub(crate) fn new() -> Self {
        let colours = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { out: io::stdout(), colours: if colours { Color::Ansi } else { Color::Plain } }
    }

    /// Whether standard output takes colours.
    pub(crate) fn colours(&self) -> Color {
        self.colours
    }

    /// One line. Whoever reads them may stop reading: that is no error.
    pub(crate) fn line(&mut self, line: impl AsRef<str>) {
        let _ = writeln!(self.out, "{}", line.as_ref());
    }

    /// A text in a style.
    pub(crate) fn style(&self, style: Style, text: impl AsRef<str>) -> String {
        let text = text.as_ref();
        let code = match style {
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Good => "32",
            Style::Bad => "1;31",
            Style::Accent => "36",
        };
        match self.colours {
            Color::Ansi => format!("\x1b[{code}m{text}\x1b[0m"),
            Color::Plain => text.to_owned(),
        }
    }

    /// What is wrong with a configuration, on standard error.
    pub(crate) fn report(&self, report: &Report) {
        let colours = if io::stderr().is_terminal() { self.colours } else { Color::Plain };
        let _ = write!(io::stderr(), "{}", report.render(colours));
    }

    /// A line on standard error: what is wrong with what was read.
    pub(crate) fn complain(&self, line: impl AsRef<str>) {
        let _ = writeln!(io::stderr(), "{}", line.as_ref());
    }

    /// An error and what caused it, on standard error.
    pub(crate) fn error(&self, error: &dyn Error) {
        let _ = writeln!(io::stderr(), "smh-gateway: {error}");
    }
}
