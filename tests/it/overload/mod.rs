//! More than there is room for: what is too much is refused at once, and takes nothing from others.

/// Deletes: so many in all, and so many for each library.
mod libraries;

use std::time::Duration;

use tokio::task::JoinSet;

use crate::support::{Answer, Gateway, Kept, becomes};

/// Much less than any timeout of the gateway's.
const AT_ONCE: Duration = Duration::from_secs(3);
