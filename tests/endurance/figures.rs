//! What the gateway's process takes, looked at again and again.

use std::fmt::Write;
use std::fs;
use std::path::Path;

/// One look.
pub(crate) struct Sample {
    /// Since the load began.
    pub(crate) seconds: f64,
    pub(crate) rss_kib: f64,
    pub(crate) files: f64,
    pub(crate) deletes: usize,
    /// What befalls it, or nothing.
    pub(crate) fault: String,
}

impl Sample {
    pub(crate) fn of(process: u32, seconds: f64, deletes: usize, fault: String) -> Self {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let rss_kib = rss.trim().trim_end_matches(" kB").parse().unwrap();
        let files = fs::read_dir(format!("/proc/{process}/fd")).unwrap().count();
        Self { seconds, rss_kib, files: files as f64, deletes, fault }
    }
}

/// For `tests/endurance/plot.py`.
pub(crate) fn write(samples: &[Sample], path: &Path) {
    let mut csv = String::from("seconds,rss_kib,files,deletes,fault\n");
    for Sample { seconds, rss_kib, files, deletes, fault } in samples {
        writeln!(csv, "{seconds:.1},{rss_kib},{files},{deletes},{fault}").unwrap();
    }
    fs::write(path, csv).unwrap();
}

/// A line through points, by least squares.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    /// A second.
    pub(crate) slope: f64,
    pub(crate) mean: f64,
    /// From the first to the last point.
    pub(crate) seconds: f64,
}

impl Line {
    pub(crate) fn through(points: &[(f64, f64)]) -> Self {
        assert!(points.len() > 10, "{} points are too few", points.len());
        let count = points.len() as f64;
        let x_mean = points.iter().map(|(x, _)| x).sum::<f64>() / count;
        let mean = points.iter().map(|(_, y)| y).sum::<f64>() / count;
        let both: f64 = points.iter().map(|(x, y)| (x - x_mean) * (y - mean)).sum();
        let spread: f64 = points.iter().map(|(x, _)| (x - x_mean).powi(2)).sum();
        let seconds = points[points.len() - 1].0 - points[0].0;
        Self { slope: both / spread, mean, seconds }
    }

    /// What it rises by from the first to the last point.
    pub(crate) fn more(&self) -> f64 {
        self.slope * self.seconds
    }

    /// The same, as a part of the mean.
    pub(crate) fn rise(&self) -> f64 {
        self.more() / self.mean
    }
}
