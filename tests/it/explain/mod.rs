//! `explain`, `POST /api/explain`, `X-Dry-Run` and the delete itself.

/// What it prints, and how it exits.
mod cli;
/// That all of them decide alike.
mod alike;
/// The page of the admin listener.
mod page;
