//! What a gateway writes into its journal: the queue in front of the file, and the thread that empties it.
//!
//! Nothing that serves waits for the disk on its own thread. Whoever has to know that its record is there
//! awaits it; one write, and one `fdatasync`, is for all that came meanwhile.

mod desk;
mod start;
mod unfinished;
mod writer;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::journal::{Durability, Head, Keep};
use crate::log::JsonLine;
use crate::metrics::AuditMetrics;

use self::desk::{Tray, Waiter};

pub use self::desk::{Attendant, Desk, Written};
pub use self::start::StartError;

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
    strangers: AtomicU64,
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
    /// Of each worker: where it finds what became of its records.
    trays: Mutex<Vec<Arc<Tray>>>,
    head: Mutex<Head>,
    fault: Mutex<Option<String>>,
    /// Looked at without a lock.
    is_broken: AtomicBool,
    reopen: AtomicBool,
    /// Records that are not there since it is broken.
    lost: AtomicU64,
    /// When a write began that is not over, in milliseconds since the start, and one more; 0: none.
    writing: AtomicU64,
    /// That it takes too long was told.
    hung: AtomicBool,
    started: Instant,
    metrics: AuditMetrics,
}

#[derive(Default)]
struct Queue {
    bodies: Vec<u8>,
    waiting: Vec<Waiting>,
    /// What became of deletes whose intent is in the journal, for when it can be written again.
    held: Vec<Vec<u8>>,
    held_bytes: usize,
    /// The writer has nothing to do, and must be woken.
    is_idle: bool,
    closing: bool,
}

struct Waiting {
    /// Of the body, in `bodies`.
    body: Range<usize>,
    waiter: Option<Waiter>,
}

impl Audit {
    /// As configured.
    #[must_use]
    pub fn plan(&self) -> &AuditPlan {
        &self.plan
    }

    /// Whether a record would be written, as far as is known: asked before anything is charged. A disk that
    /// does not come back from a write is as good as none.
    #[must_use]
    pub fn is_available(&self) -> bool {
        !self.shared.is_broken.load(Ordering::Relaxed) && !self.shared.hangs()
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

    /// Puts a record in the queue, of which `write` makes the JSON object. Nobody waits for it: what is lost
    /// is counted.
    pub fn note(&self, write: impl FnOnce(&mut Vec<u8>)) {
        match self.put(None, write) {
            Ok(_) => self.shared.wake_writer(),
            Err(Unwritten) => self.shared.lose(1),
        }
    }

    /// Whether a request of nobody known is recorded: only so many a second are, the others are counted.
    #[must_use]
    pub fn may_note_a_stranger(&self) -> bool {
        let second = self.shared.now() / 1_000 % (1 << 32);
        // The second, and how many there were in it.
        let next = |held: u64| {
            let count = if held >> 32 == second { held & u64::from(u32::MAX) } else { 0 };
            (count < STRANGERS).then_some(second << 32 | (count + 1))
        };
        let noted = self.strangers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok();
        if !noted {
            self.shared.metrics.strangers.inc();
        }
        noted
    }

    /// A delete went on without its record.
    pub fn lost(&self) {
        self.shared.lose(1);
    }

    /// A record took longer than anybody waits for. It is on its way all the same.
    pub fn late(&self) {
        self.shared.metrics.late.inc();
    }

    /// Keeps what became of a delete whose intent is in the journal until it can be written again.
    pub fn hold(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut object = Vec::with_capacity(1_024);
        write(&mut object);
        let mut queue = self.shared.queue.lock();
        if queue.held_bytes + object.len() > MOST_BYTES / 2 {
            drop(queue);
            return self.shared.lose(1);
        }
        queue.held_bytes += object.len();
        queue.held.push(without_braces(&object).to_vec());
    }

    /// Says whether the writer has to be woken.
    fn put(
        &self,
        waiter: Option<Waiter>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<bool, Unwritten> {
        if !self.is_available() {
            return Err(Unwritten);
        }
        // What nobody waits for, which anybody may cause, leaves room for what somebody does.
        let most = if waiter.is_some() { MOST_BYTES } else { MOST_BYTES / 2 };
        let mut queue = self.shared.queue.lock();
        if queue.bodies.len() >= most || queue.closing {
            return Err(Unwritten);
        }
        let start = queue.bodies.len();
        write(&mut queue.bodies);
        // Without its braces: the journal puts its own fields in.
        let body = start + 1..queue.bodies.len().saturating_sub(1);
        queue.waiting.push(Waiting { body, waiter });
        Ok(queue.is_idle)
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

impl Shared {
    /// Once, if it has nothing to do and there is something: it takes all there is.
    fn wake_writer(&self) {
        let mut queue = self.queue.lock();
        if queue.is_idle && !queue.waiting.is_empty() {
            queue.is_idle = false;
            drop(queue);
            self.arrived.notify_one();
        }
    }

    fn lose(&self, records: u64) {
        self.lost.fetch_add(records, Ordering::Relaxed);
        self.metrics.lost.inc_by(records);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn hangs(&self) -> bool {
        let began = self.writing.load(Ordering::Relaxed);
        let hangs = began > 0 && self.now().saturating_sub(began - 1) > LONGEST_WRITE;
        if hangs && !self.hung.swap(true, Ordering::Relaxed) {
            self.metrics.failures.inc();
            self.metrics.is_up.set(0);
            tracing::error!(
                "a write of the journal does not come back: nothing is recorded meanwhile"
            );
        }
        hangs
    }
}

/// The fields of a record that is about no delete.
fn body(event: &str, fields: impl FnOnce(&mut JsonLine<'_>)) -> Vec<u8> {
    let mut body = Vec::with_capacity(256);
    let mut line = JsonLine::inside(&mut body);
    line.now().text("event", event);
    fields(&mut line);
    body
}

/// The journal puts fields of its own into the object.
fn without_braces(object: &[u8]) -> &[u8] {
    object.get(1..object.len().saturating_sub(1)).unwrap_or_default()
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

/// Requests of nobody known that are recorded each second: enough to see what goes on.
const STRANGERS: u64 = 100;

/// Milliseconds.
const LONGEST_WRITE: u64 = 2_000;

/// Some ten thousand records: more than can be under way.
const MOST_BYTES: usize = 16 << 20;

#[cfg(test)]
mod tests;
