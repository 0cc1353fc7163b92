//! `log` of gateway.yaml.

use tracing::Level;

use crate::config::decode::{self, Fields};
use crate::config::report::Report;
use crate::config::yaml::Node;

/// What is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogPlan {
    /// Where the line goes that each delete leaves.
    pub deletes: DeleteLog,
    /// How much is said of rare events; `None`: as the environment has it.
    pub level: Option<Level>,
}

/// Where the line goes that each delete leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteLog {
    /// To standard output.
    Stdout,
    /// Nowhere.
    Off,
}

pub(super) fn log(node: &Node, report: &mut Report) -> Option<LogPlan> {
    let mut fields = Fields::of(node, "the log", report)?;
    let deletes = fields.or_with("deletes", DeleteLog::Stdout, |node, report| {
        let words = [("stdout", DeleteLog::Stdout), ("off", DeleteLog::Off)];
        decode::word(node, "a place for the delete log", report, &words)
    });
    let level = fields.or_with("level", None, |node, report| {
        let words = [
            ("error", Level::ERROR),
            ("warn", Level::WARN),
            ("info", Level::INFO),
            ("debug", Level::DEBUG),
            ("trace", Level::TRACE),
        ];
        decode::word(node, "a level", report, &words).map(Some)
    });
    fields.finish();
    Some(LogPlan { deletes: deletes?, level: level? })
}

pub(super) const DEFAULT_LOG: LogPlan = LogPlan { deletes: DeleteLog::Stdout, level: None };
