//! What a gateway writes into its journal: the queue in front of the file, and the thread that empties it.
//!
//! Nothing that serves waits for the disk on its own thread. Whoever has to know that its record is there
//! awaits it; one write, and one `fdatasync`, is for all that came meanwhile.

mod unfinished;
mod writer;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::journal::{Durability, Head, Keep};
use crate::metrics::AuditMetrics;

pub use self::writer::StartError;

/// What gateway.yaml says under `audit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditPlan {
    /// Where the journal is.
    pub file: PathBuf,
    /// What it takes for a record to be there.
    pub durability: Durability,
    /// What becomes of deletes that cannot be recorded.
    pub when_unavailable: WhenUnavailable,
    /// When a file is full.
    pub rotate: Rotate,
    /// How many full files are kept.
    pub keep: Keep,
    /// Whether full files are compressed.
    pub compress: bool,
}

/// When a file is full; with nothing it never is, and others may move it away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rotate {
    /// At so many bytes.
    pub bytes: Option<u64>,
    /// After so long.
    pub age: Option<Duration>,
}

/// What becomes of deletes that cannot be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenUnavailable {
    /// They are refused, and nothing is sent.
    Refuse,
    /// They go on, and what is not recorded is counted.
    Continue,
}

impl WhenUnavailable {
    /// The word for it in gateway.yaml.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Continue => "continue",
        }
    }
}

/// A record is not there, and will not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unwritten;

/// The journal of a gateway that runs.
pub struct Audit {
    plan: AuditPlan,
    shared: Arc<Shared>,
    /// The record with which this process began: what it counts is its own.
    run: u64,
    deletes: AtomicU64,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// How a journal is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditStatus {
    /// Its last record.
    pub head: Head,
    /// Why nothing is written.
    pub fault: Option<String>,
}

struct Shared {
    queue: Mutex<Queue>,
    arrived: Condvar,
    head: Mutex<Head>,
    fault: Mutex<Option<String>>,
    /// Looked at without a lock.
    is_broken: AtomicBool,
    reopen: AtomicBool,
    metrics: AuditMetrics,
}

#[derive(Default)]
struct Queue {
    bodies: Vec<u8>,
    waiting: Vec<Waiting>,
    closing: bool,
}

struct Waiting {
    /// Of the body, in `bodies`.
    body: Range<usize>,
    told: Option<oneshot::Sender<Result<(), Unwritten>>>,
}

/// A record on its way.
pub struct Written(oneshot::Receiver<Result<(), Unwritten>>);

impl Written {
    /// Waits until the record is there.
    ///
    /// # Errors
    /// [`Unwritten`].
    pub async fn come(self) -> Result<(), Unwritten> {
        self.0.await.unwrap_or(Err(Unwritten))
    }
}

impl Audit {
    /// As configured.
    #[must_use]
    pub fn plan(&self) -> &AuditPlan {
        &self.plan
    }

    /// Whether a record would be written, as far as is known: asked before anything is charged.
    #[must_use]
    pub fn is_available(&self) -> bool {
        !self.shared.is_broken.load(Ordering::Relaxed)
    }

    /// How it is doing.
    #[must_use]
    pub fn status(&self) -> AuditStatus {
        let (head, fault) = (*self.shared.head.lock(), self.shared.fault.lock().clone());
        AuditStatus { head, fault }
    }

    /// A name that no other delete of this journal has.
    #[must_use]
    pub fn name_delete(&self) -> DeleteId {
        DeleteId { run: self.run, number: self.deletes.fetch_add(1, Ordering::Relaxed) + 1 }
    }

    /// Puts a record in the queue, of which `write` makes the JSON object, and somebody waits for it.
    ///
    /// # Errors
    /// [`Unwritten`]: there is no room, or nothing is written at the moment.
    pub fn record(&self, write: impl FnOnce(&mut Vec<u8>)) -> Result<Written, Unwritten> {
        let (told, written) = oneshot::channel();
        self.put(Some(told), write)?;
        Ok(Written(written))
    }

    /// The same, and nobody waits. What is lost is counted.
    pub fn note(&self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.put(None, write).is_err() {
            self.shared.metrics.lost.inc();
        }
    }

    /// A record for which was waited is lost.
    pub fn lost(&self) {
        self.shared.metrics.lost.inc();
    }

    fn put(
        &self,
        told: Option<oneshot::Sender<Result<(), Unwritten>>>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Unwritten> {
        if !self.is_available() {
            return Err(Unwritten);
        }
        let mut queue = self.shared.queue.lock();
        if queue.bodies.len() >= MOST_BYTES || queue.closing {
            return Err(Unwritten);
        }
        let start = queue.bodies.len();
        write(&mut queue.bodies);
        // Without its braces: the journal puts its own fields in.
        let body = start + 1..queue.bodies.len().saturating_sub(1);
        let was_empty = queue.waiting.is_empty();
        queue.waiting.push(Waiting { body, told });
        drop(queue);
        if was_empty {
            self.shared.arrived.notify_one();
        }
        Ok(())
    }

    /// Opens the file anew: the one that was there may have been moved away.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Relaxed);
        self.shared.arrived.notify_one();
    }

    /// Writes what is in the queue and the last record. Blocks until that is there.
    pub fn close(&self) {
        let Some(thread) = self.thread.lock().take() else { return };
        self.shared.queue.lock().closing = true;
        self.shared.arrived.notify_one();
        if thread.join().is_err() {
            tracing::error!("the thread that writes the journal failed");
        }
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.close();
    }
}

/// What an intent and what became of it have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeleteId {
    run: u64,
    number: u64,
}

impl DeleteId {
    /// As text, without an allocation.
    pub fn with_text<T>(self, text: impl FnOnce(&str) -> T) -> T {
        let mut buffer = [0_u8; 41];
        let mut rest = &mut buffer[..];
        // Two numbers of twenty digits at most, and a point.
        let _ = std::io::Write::write_fmt(&mut rest, format_args!("{}.{}", self.run, self.number));
        let left = rest.len();
        let used = buffer.len() - left;
        text(buffer.get(..used).and_then(|used| str::from_utf8(used).ok()).unwrap_or_default())
    }
}

/// Some ten thousand records: more than can be under way.
const MOST_BYTES: usize = 16 << 20;

#[cfg(test)]
mod tests;
