//! Counts what is under way, bounds it, and lets draining wait for the end of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// How many of a thing there are. Clones share the count.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    count: AtomicUsize,
    none_left: Notify,
}

/// One that is counted, until it is dropped.
pub struct Counted(Arc<Shared>);

impl Tally {
    /// Counts one more.
    #[must_use]
    pub fn enter(&self) -> Counted {
        self.0.count.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(&self.0))
    }

    /// Counts one more, unless there are `most` already.
    #[must_use]
    pub fn enter_below(&self, most: usize) -> Option<Counted> {
        // One step: of those that come at once exactly as many enter as there are places.
        let entered = self.0.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            (count < most).then(|| count + 1)
        });
        entered.is_ok().then(|| Counted(Arc::clone(&self.0)))
    }

    /// How many there are now.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.count.load(Ordering::Relaxed)
    }

    /// Whether anyone else holds it, as a clone or as one that is counted.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Returns when there are none.
    pub async fn none_left(&self) {
        loop {
            let notified = self.0.none_left.notified();
            tokio::pin!(notified);
            // Listening before looking: the last one may leave in between.
            notified.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            notified.await;
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none_left.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_enter_than_may() {
        let tally = Tally::default();
        let first = tally.enter_below(1);
        assert!(first.is_some());
        assert!(tally.enter_below(1).is_none());
        drop(first);
        assert!(tally.enter_below(1).is_some());
        assert_eq!(tally.count(), 0);
    }

    #[tokio::test]
    async fn waiting_ends_when_the_last_one_leaves() {
        let tally = Tally::default();
        let (one, other) = (tally.enter(), tally.enter());
        let waiting = tally.none_left();
        tokio::pin!(waiting);
        drop(one);
        assert!(futures_poll(waiting.as_mut()).await.is_none());
        drop(other);
        waiting.await;
        tally.none_left().await;
    }

    /// Polls once.
    async fn futures_poll<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
        std::future::poll_fn(|cx| {
            std::task::Poll::Ready(match std::pin::Pin::new(&mut future).poll(cx) {
                std::task::Poll::Ready(output) => Some(output),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }
}
