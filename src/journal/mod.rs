//! The journal: one file of JSON lines that says of every delete what was decided and what became of it,
//! before anybody else hears.
//!
//! Its format is described in docs/audit.md.

mod appender;
mod chain;
mod entry;
mod read;
mod rotated;
mod verify;

pub use self::appender::{Appender, Durability, OpenError, Recovered};
pub use self::chain::{Head, JournalId, NoHead, RecordHash, Sealed};
pub use self::entry::{Became, Entry, Event, Text};
pub use self::read::{Line, Reader, in_order};
pub use self::rotated::{Keep, Rotated, all as all_rotated, compress, prune};
pub use self::verify::{Chain, Finding, Verifier};
