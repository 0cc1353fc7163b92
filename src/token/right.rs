//! The right to mint for a library: one keeper has it at a time, so that two of them, before and
//! after a change of configuration, never mint for one pair at once.

use std::sync::Arc;

use tokio::sync::{Mutex, OnceCell, OwnedMutexGuard};

/// What the keepers of one library take turns with.
pub(super) type Turn = Arc<Mutex<()>>;

/// One keeper's right. Shared by it and its mints; it is the next one's when the last of them drops it.
pub(super) struct Right {
    turn: Turn,
    held: OnceCell<OwnedMutexGuard<()>>,
}

impl Right {
    pub(super) fn new(turn: Turn) -> Arc<Self> {
        Arc::new(Self { turn, held: OnceCell::new() })
    }

    /// Waits for the mints of the keeper before to end, which take some seconds at most.
    pub(super) async fn have(&self) {
        self.held.get_or_init(|| Arc::clone(&self.turn).lock_owned()).await;
    }
}
