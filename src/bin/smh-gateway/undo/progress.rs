//! How far it is: one line on standard error, and only on a terminal.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use smh_gateway::undo::Progress;

/// The line.
pub(crate) struct Bar {
    is_shown: bool,
    started: Instant,
    drawn: Option<Instant>,
}

impl Bar {
    pub(crate) fn new() -> Self {
        Self { is_shown: io::stderr().is_terminal(), started: Instant::now(), drawn: None }
    }

    /// Says something in its place.
    pub(crate) fn says(&mut self, what: &str) {
        let is_early = self.drawn.is_some_and(|drawn| drawn.elapsed() < AT_MOST_EVERY);
        if self.is_shown && !is_early {
            self.drawn = Some(Instant::now());
            let _ = write!(io::stderr(), "\r\x1b[K{what}");
        }
    }

    /// Says how far it is, how fast, and how long it will take.
    pub(crate) fn moves(&mut self, Progress { settled, of }: Progress) {
        self.says(&line(settled, of, self.started.elapsed()));
    }
}

impl Drop for Bar {
    /// Leaves nothing behind.
    fn drop(&mut self) {
        if self.drawn.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn line(settled: usize, of: usize, took: Duration) -> String {
    let filled = settled.saturating_mul(WIDTH).checked_div(of).unwrap_or(WIDTH).min(WIDTH);
    let (full, empty) = ("#".repeat(filled), "-".repeat(WIDTH - filled));
    let settled_now = u64::try_from(settled).unwrap_or(u64::MAX);
    let left = u64::try_from(of.saturating_sub(settled)).unwrap_or(u64::MAX);
    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
    let rate = settled_now.saturating_mul(1000) / ms;
    let seconds = left.saturating_mul(ms).checked_div(settled_now.saturating_mul(1000));
    let seconds = seconds.map_or_else(String::new, |s| format!(", {}:{:02} left", s / 60, s % 60));
    format!("[{full}{empty}] {settled} of {of}, {rate} files/s{seconds}")
}

const WIDTH: usize = 30;

const AT_MOST_EVERY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long() {
        let at = |settled, seconds| line(settled, 400, Duration::from_secs(seconds));
        assert_eq!(at(0, 0), format!("[{}] 0 of 400, 0 files/s", "-".repeat(30)));
        let half =
            format!("[{}{}] 200 of 400, 2 files/s, 1:40 left", "#".repeat(15), "-".repeat(15));
        assert_eq!(at(200, 100), half);
        assert_eq!(at(400, 4), format!("[{}] 400 of 400, 100 files/s, 0:00 left", "#".repeat(30)));
    }
}
