//! How a store is doing: for operators, and for deciding when to leave it alone.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::SystemTime;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::limit_store::fault::StoreFault;
use crate::metrics::StoreMetrics;

/// Of all workers together.
pub(super) struct Health {
    /// Workers that have a connection which is of use.
    connected: AtomicUsize,
    last_fault: Mutex<Option<(StoreFault, SystemTime)>>,
    metrics: StoreMetrics,
}

impl Health {
    pub(super) fn new(metrics: StoreMetrics) -> Self {
        Self { connected: AtomicUsize::new(0), last_fault: Mutex::default(), metrics }
    }

    pub(super) fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }

    pub(super) fn last_fault(&self) -> Option<(StoreFault, SystemTime)> {
        *self.last_fault.lock()
    }

    pub(super) fn failed(&self, fault: StoreFault) {
        self.metrics.failed(fault.as_str());
        let before = self.last_fault.lock().replace((fault, SystemTime::now()));
        let is_news = before.is_none_or(|(before, _)| before != fault);
        if is_news && self.connected() == 0 {
            tracing::error!(%fault, "the rate limit store cannot be used; it is tried again and again");
        }
    }

    /// One more worker is connected. Whichever was not is likely to be soon.
    pub(super) fn up(&self) {
        if self.connected.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::info!("the rate limit store is in use");
        }
        *self.last_fault.lock() = None;
    }

    /// One less; `None`: because it is not needed any more.
    pub(super) fn down(&self, fault: Option<StoreFault>) {
        let was_last = self.connected.fetch_sub(1, Ordering::Relaxed) == 1;
        let Some(fault) = fault else { return };
        if was_last {
            tracing::error!(%fault, "the rate limit store is not in use any more; it is tried again and again");
        }
        *self.last_fault.lock() = Some((fault, SystemTime::now()));
    }
}

/// When one connection is to be left alone. A store that is slow must not make every delete wait for
/// it, and one slow answer is no sign yet.
#[derive(Default)]
pub(super) struct Breaker {
    late: AtomicU32,
    broken: Notify,
    fault: Mutex<Option<StoreFault>>,
}

/// So many answers in a row that came too late.
const MOST_LATE: u32 = 3;

impl Breaker {
    /// Whatever came.
    pub(super) fn told<T>(&self, told: &Result<T, StoreFault>) {
        match told {
            Ok(_) => self.succeeded(),
            Err(fault) => self.failed(*fault),
        }
    }

    /// An answer came in time.
    fn succeeded(&self) {
        if self.late.load(Ordering::Relaxed) > 0 {
            self.late.store(0, Ordering::Relaxed);
        }
    }

    /// None came, or one that is of no use.
    pub(super) fn failed(&self, fault: StoreFault) {
        let late = self.late.fetch_add(1, Ordering::Relaxed) + 1;
        if fault.is_certain() || late >= MOST_LATE {
            self.fault.lock().get_or_insert(fault);
            self.broken.notify_one();
        }
    }

    /// Waits until the connection is of no use.
    pub(super) async fn broken(&self) -> StoreFault {
        self.broken.notified().await;
        self.fault.lock().unwrap_or(StoreFault::Lost)
    }
}
