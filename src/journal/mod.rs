//! The journal: one file of JSON lines that says of every delete what was decided and what became of it,
//! before anybody else hears.
//!
//! Its format is described in docs/audit.md.

mod ahead;
mod appender;
mod chain;
mod end;
mod entry;
mod fields;
mod place;
mod put_back;
mod read;
mod rotated;
mod select;
mod standing;
mod tail;
mod verify;

pub use self::appender::{Appender, Durability, Recovered};
pub use self::chain::{Head, JournalId, NoHead, NotSealed, RecordHash, Sealed};
pub use self::entry::{Became, Entry, Event, Text};
pub use self::fields::{Cells, FIELDS, SCHEMA};
pub use self::place::OpenError;
pub use self::put_back::PutBack;
pub use self::read::{Line, Reader, in_order};
pub use self::rotated::{Keep, Rotated, all as all_rotated, compress, prune};
pub use self::select::{Looked, Selection, Wanted};
pub use self::tail::{Tail, Turned};
pub use self::verify::{Chain, Finding, Verifier};
