//! `audit`: what is in journals, and whether they are whole.

mod list;
mod sink;
mod verify;

use clap::Subcommand;

use crate::Outcome;
use crate::terminal::Terminal;

#[derive(Subcommand)]
pub(crate) enum Audit {
    /// Show what was deleted, or was not, and by whom.
    List(list::Options),
    /// Prove that nothing was changed, dropped, added or reordered, as far as a chain of hashes can.
    Verify(verify::Options),
}

pub(crate) fn run(audit: Audit, terminal: &mut Terminal) -> Outcome {
    match audit {
        Audit::List(options) => list::run(options, terminal),
        Audit::Verify(options) => Ok(verify::run(&options, terminal)),
    }
}
