//! Where a worker hands its records in, and hears what became of them.
//!
//! To wake another thread costs more than to write a record. So a worker wakes the writer once for all that
//! it hands in before it has nothing else to do, and the writer wakes each worker once for all that it wrote.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::audit::{Audit, Unwritten};

/// One worker's way to the journal.
#[derive(Clone)]
pub struct Desk {
    audit: Arc<Audit>,
    tray: Arc<Tray>,
    /// Of the tray, among those of all workers.
    number: usize,
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

/// Who waits for a record, and by which tray it hears.
pub(super) struct Told {
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

impl Desk {
    /// One more. It is never given back: they are as many as there are workers.
    #[must_use]
    pub fn of(audit: Arc<Audit>) -> Self {
        let tray = Arc::<Tray>::default();
        let mut trays = audit.shared.trays.lock();
        trays.push(Arc::clone(&tray));
        let number = trays.len() - 1;
        drop(trays);
        Self { audit, tray, number }
    }

    /// Of what it is one.
    #[must_use]
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// Carries between this worker and the writer, in a task of this worker's. Never ends.
    pub async fn attend(&self) {
        loop {
            // What is ready to run by now was polled in between, and may have handed in more.
            self.tray.bell.notified().await;
            self.audit.shared.wake_writer();
            let returned = std::mem::take(&mut *self.tray.returned.lock());
            for Returned { to, written } in returned {
                // Who does not wait any more knows what else to do.
                let _ = to.send(written);
            }
        }
    }

    /// Puts a record in the queue, of which `write` makes the JSON object, and somebody waits for it.
    ///
    /// # Errors
    /// [`Unwritten`]: there is no room, or nothing is written at the moment.
    pub fn record(&self, write: impl FnOnce(&mut Vec<u8>)) -> Result<Written, Unwritten> {
        let (to, written) = oneshot::channel();
        self.put(Some(Told { tray: self.number, to }), write)?;
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

    fn put(&self, told: Option<Told>, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Unwritten> {
        if self.audit.put(told, write)? {
            self.tray.bell.notify_one();
        }
        Ok(())
    }
}

/// What comes back to the workers at once.
#[derive(Default)]
pub(super) struct Bundle(Vec<Vec<oneshot::Sender<Result<(), Unwritten>>>>);

impl Bundle {
    pub(super) fn add(&mut self, Told { tray, to }: Told) {
        if self.0.len() <= tray {
            self.0.resize_with(tray + 1, Vec::new);
        }
        if let Some(of_tray) = self.0.get_mut(tray) {
            of_tray.push(to);
        }
    }

    pub(super) fn hand_back(&mut self, trays: &[Arc<Tray>], written: Result<(), Unwritten>) {
        for (of_tray, tray) in self.0.iter_mut().zip(trays) {
            if !of_tray.is_empty() {
                tray.returned.lock().extend(of_tray.drain(..).map(|to| Returned { to, written }));
                tray.bell.notify_one();
            }
        }
    }
}
