//! Where a worker hands its records in, and hears what became of them.
//!
//! To wake another thread costs more than to write a record. So a worker wakes the writer once for all that
//! it hands in during one turn of its tasks, and the writer wakes each worker once for all that it wrote.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::audit::{Audit, Unwritten};

/// One worker's way to the journal.
#[derive(Clone)]
pub struct Desk {
    audit: Arc<Audit>,
    tray: Arc<Tray>,
    /// The tray's place among those of all workers.
    number: usize,
}

/// What carries between a desk and the writer. There is one for each desk, and no record is heard of without.
pub struct Attendant {
    audit: Arc<Audit>,
    tray: Arc<Tray>,
}

/// What comes back to one worker.
#[derive(Default)]
pub(super) struct Tray {
    returned: Mutex<Vec<Returned>>,
    /// Something was handed in, or came back.
    bell: Notify,
}

struct Returned {
    to: oneshot::Sender<Result<(), Unwritten>>,
    written: Result<(), Unwritten>,
}

/// Who waits for a record, and through which tray it is told.
pub(super) struct Waiter {
    tray: usize,
    to: oneshot::Sender<Result<(), Unwritten>>,
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

impl Attendant {
    /// Carries, in a task of the worker's, for as long as the worker lives.
    pub async fn attend(self) {
        let mut returned = Vec::new();
        loop {
            // What was ready to run when the bell rang was polled in between, and may have handed in more.
            self.tray.bell.notified().await;
            self.audit.shared.wake_writer();
            std::mem::swap(&mut returned, &mut *self.tray.returned.lock());
            for Returned { to, written } in returned.drain(..) {
                // Who does not wait any more knows what else to do.
                let _ = to.send(written);
            }
        }
    }
}

impl Desk {
    /// One more, which is never given back: they are as many as there are workers.
    #[must_use]
    pub fn of(audit: Arc<Audit>) -> (Self, Attendant) {
        let tray = Arc::<Tray>::default();
        let mut trays = audit.shared.trays.lock();
        trays.push(Arc::clone(&tray));
        let number = trays.len() - 1;
        drop(trays);
        let attendant = Attendant { audit: Arc::clone(&audit), tray: Arc::clone(&tray) };
        (Self { audit, tray, number }, attendant)
    }

    /// The journal it leads to.
    #[must_use]
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// Puts a record in the queue, of which `write` makes the JSON object, and somebody waits for it.
    ///
    /// # Errors
    /// [`Unwritten`]: there is no room, or nothing is written at the moment.
    pub fn record(&self, write: impl FnOnce(&mut Vec<u8>)) -> Result<Written, Unwritten> {
        let (to, written) = oneshot::channel();
        self.put(Some(Waiter { tray: self.number, to }), write)?;
        Ok(Written(written))
    }

    /// The same, and nobody waits. What is lost is counted.
    pub fn note(&self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.put(None, write).is_err() {
            self.audit.lost();
        }
    }

    /// What became of a delete whose intent is in the journal, and nobody waits: now, or when it can be.
    pub fn note_or_hold(&self, write: impl Fn(&mut Vec<u8>)) {
        if self.put(None, &write).is_err() {
            self.audit.hold(write);
        }
    }

    fn put(
        &self,
        waiter: Option<Waiter>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Unwritten> {
        // Where the worker ends meanwhile nobody hears it: [`Audit::close`] comes then, and takes all there is.
        if self.audit.put(waiter, write)? {
            self.tray.bell.notify_one();
        }
        Ok(())
    }
}

/// What comes back to the workers at once: for each tray, who waits.
#[derive(Default)]
pub(super) struct Bundle(Vec<Vec<oneshot::Sender<Result<(), Unwritten>>>>);

impl Bundle {
    pub(super) fn add(&mut self, Waiter { tray, to }: Waiter) {
        if self.0.len() <= tray {
            self.0.resize_with(tray + 1, Vec::new);
        }
        if let Some(of_tray) = self.0.get_mut(tray) {
            of_tray.push(to);
        }
    }

    /// Trays are only ever added, each before its first record: there is one for everybody who waits.
    pub(super) fn hand_back(&mut self, trays: &[Arc<Tray>], written: Result<(), Unwritten>) {
        for (of_tray, tray) in self.0.iter_mut().zip(trays) {
            if !of_tray.is_empty() {
                tray.returned.lock().extend(of_tray.drain(..).map(|to| Returned { to, written }));
                tray.bell.notify_one();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn whatever_comes_back_at_once_rings_each_bell_once() {
        let trays: Vec<_> = (0..3).map(|_| Arc::<Tray>::default()).collect();
        let mut bundle = Bundle::default();
        let waiter = |tray| Waiter { tray, to: oneshot::channel().0 };
        for tray in [0, 2, 2, 0, 2] {
            bundle.add(waiter(tray));
        }
        bundle.hand_back(&trays, Ok(()));
        let returned = |tray: &Arc<Tray>| tray.returned.lock().len();
        let rings = |tray: &Arc<Tray>| tray.bell.notified().now_or_never().is_some();
        assert_eq!(trays.iter().map(returned).collect::<Vec<_>>(), [2, 0, 3]);
        assert_eq!(trays.iter().map(rings).collect::<Vec<_>>(), [true, false, true]);
        assert!(!trays.iter().any(rings), "once each");
        bundle.hand_back(&trays, Ok(()));
        assert_eq!(trays.iter().map(returned).collect::<Vec<_>>(), [2, 0, 3], "nothing twice");
    }
}
