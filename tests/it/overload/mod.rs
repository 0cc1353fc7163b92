//! More than there is room for: what is too much is refused at once, and takes nothing from others.

/// Deletes: so many in all, and so many for each library.
mod libraries;
/// Connections: so many on each listener, over all workers.
mod connections;
/// Five thousand deletes that all wait for SMH.
mod many;
/// Requests: so many at once on one HTTP/2 connection, and each with a head of so many bytes.
mod requests;

use std::time::Duration;

use tokio::task::JoinSet;

use crate::support::{Answer, Gateway, Kept, becomes};

/// Much less than any timeout of the gateway's.
const AT_ONCE: Duration = Duration::from_secs(3);

/// Longer than any deadline that a test sets; where this ends a test, something hung.
const PATIENCE: Duration = Duration::from_secs(60);
