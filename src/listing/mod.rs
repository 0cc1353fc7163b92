//! Records for people: a table on a terminal, CSV for a spreadsheet. Pure: writes to memory alone.

pub mod csv;
mod table;

pub use self::table::Table;
