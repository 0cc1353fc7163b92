//! The thread that writes a journal.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::audit::desk::Bundle;
use crate::audit::start::tell_found;
use crate::audit::{AuditPlan, Shared, Unwritten, Waiting, body};
use crate::journal::{Appender, Head, Rotated, all_rotated, compress, prune};

pub(super) struct Writer {
    appender: Appender,
    plan: AuditPlan,
    shared: Arc<Shared>,
    looked: Instant,
    tended: Instant,
    /// Where a full file cannot be moved away, it is not tried all the time.
    rotates_after: Instant,
    head_told: (Head, Instant),
    helper: Option<thread::JoinHandle<()>>,
    bundle: Bundle,
}

impl Writer {
    pub(super) fn new(appender: Appender, plan: AuditPlan, shared: Arc<Shared>) -> Self {
        let now = Instant::now();
        let head_told = (appender.head(), now);
        Self {
            appender,
            plan,
            shared,
            looked: now,
            tended: now,
            rotates_after: now,
            head_told,
            helper: None,
            bundle: Bundle::default(),
        }
    }

    pub(super) fn work(mut self) {
        self.tend();
        let (mut bodies, mut waiting) = (Vec::new(), Vec::new());
        loop {
            let closing = self.take(&mut bodies, &mut waiting);
            if !waiting.is_empty() {
                self.write(&bodies, &mut waiting);
                bodies.clear();
                // One large moment is not held for ever.
                bodies.shrink_to(ROOM_BYTES);
            } else if closing {
                return self.end();
            }
            self.look_after();
        }
    }

    /// Waits for records; at most until it is time to look after the file.
    fn take(&self, bodies: &mut Vec<u8>, waiting: &mut Vec<Waiting>) -> bool {
        let mut queue = self.shared.queue.lock();
        if queue.waiting.is_empty() && !queue.closing {
            queue.is_idle = true;
            self.shared.arrived.wait_for(&mut queue, LOOK_EACH);
            queue.is_idle = false;
        }
        std::mem::swap(&mut queue.bodies, bodies);
        std::mem::swap(&mut queue.waiting, waiting);
        queue.closing
    }

    fn write(&mut self, bodies: &[u8], waiting: &mut Vec<Waiting>) {
        let is_broken = self.shared.is_broken.load(Ordering::Relaxed);
        let written = if is_broken {
            Err(Unwritten)
        } else {
            for one in &*waiting {
                self.appender.add(bodies.get(one.body.clone()).unwrap_or_default());
            }
            self.commit()
        };
        if written.is_ok() {
            self.shared.metrics.written(waiting.len() as u64);
            let most = self.plan.rotate.bytes.unwrap_or(u64::MAX);
            if self.appender.length() >= most && Instant::now() >= self.rotates_after {
                self.rotate();
            }
        }
        self.hand_back(waiting, written);
    }

    /// Says what became of records.
    fn hand_back(&mut self, waiting: &mut Vec<Waiting>, written: Result<(), Unwritten>) {
        for Waiting { waiter, .. } in waiting.drain(..) {
            match waiter {
                Some(waiter) => self.bundle.add(waiter),
                None if written.is_err() => self.shared.lose(1),
                None => {}
            }
        }
        self.bundle.hand_back(&self.shared.trays.lock(), written);
    }

    fn commit(&mut self) -> Result<(), Unwritten> {
        let begun = Instant::now();
        self.shared.writing.store(self.shared.now() + 1, Ordering::Relaxed);
        let committed = self.appender.commit(self.plan.durability);
        self.shared.writing.store(0, Ordering::Relaxed);
        if self.shared.hung.swap(false, Ordering::Relaxed) {
            self.shared.metrics.is_up.set(1);
            let took = begun.elapsed().as_secs_f64();
            tracing::warn!(file = %self.plan.file.display(), took, "a write of the journal came back after all");
        }
        match committed {
            Ok(()) => {
                self.shared.metrics.committed(begun.elapsed());
                *self.shared.head.lock() = self.appender.head();
                Ok(())
            }
            Err(error) => {
                self.broken(&error.to_string());
                Err(Unwritten)
            }
        }
    }

    fn broken(&self, error: &str) {
        let file = self.plan.file.display();
        let before = self.shared.fault.lock().replace(error.to_owned());
        if before.as_deref() != Some(error) {
            let then = self.plan.when_unavailable.as_str();
            tracing::error!(%file, error, when_unavailable = then, "the journal cannot be written; it is tried again and again");
        }
        self.shared.metrics.failures.inc();
        self.shared.metrics.is_up.set(0);
        self.shared.is_broken.store(true, Ordering::Relaxed);
    }

    fn look_after(&mut self) {
        let reopen = self.shared.reopen.swap(false, Ordering::Relaxed);
        if self.looked.elapsed() < LOOK_EACH && !reopen {
            return;
        }
        self.looked = Instant::now();
        if self.shared.is_broken.load(Ordering::Relaxed) {
            self.try_again();
        } else if reopen || self.appender.is_moved() {
            match self.appender.reopen() {
                Ok(recovered) => tell_found(&self.plan, &recovered),
                Err(error) => self.broken(&error.to_string()),
            }
        } else if self.is_full() {
            self.rotate();
        } else if self.tended.elapsed() >= TEND_EACH {
            self.tend();
        }
        // Also where nothing broke: a write that took too long, or a queue that was full.
        if !self.shared.is_broken.load(Ordering::Relaxed) && self.owes() {
            self.resume();
        }
        let (told, at) = self.head_told;
        if told != self.appender.head() && at.elapsed() >= TELL_HEAD_EACH {
            self.tell_head();
        }
    }

    fn try_again(&mut self) {
        match self.appender.reopen() {
            Ok(recovered) => tell_found(&self.plan, &recovered),
            Err(error) => return self.broken(&error.to_string()),
        }
        let lost = self.shared.lost.load(Ordering::Relaxed);
        if self.resume() {
            *self.shared.fault.lock() = None;
            self.shared.metrics.is_up.set(1);
            self.shared.is_broken.store(false, Ordering::Relaxed);
            tracing::warn!(file = %self.plan.file.display(), lost, "the journal is written again");
        }
    }

    /// Whether there is something to tell of a time in which records could not be written.
    fn owes(&self) -> bool {
        self.shared.lost.load(Ordering::Relaxed) > 0 || !self.shared.queue.lock().held.is_empty()
    }

    /// Says how many records are lost, and writes those that were held.
    fn resume(&mut self) -> bool {
        let lost = self.shared.lost.swap(0, Ordering::Relaxed);
        self.appender.add(&body("resumed", |line| {
            line.number("lost", lost);
        }));
        let held = {
            let mut queue = self.shared.queue.lock();
            queue.held_bytes = 0;
            std::mem::take(&mut queue.held)
        };
        held.iter().for_each(|body| self.appender.add(body));
        let is_written = self.commit().is_ok();
        if !is_written {
            self.shared.lost.fetch_add(lost, Ordering::Relaxed);
            let mut queue = self.shared.queue.lock();
            queue.held_bytes += held.iter().map(Vec::len).sum::<usize>();
            queue.held.extend(held);
        }
        is_written
    }

    fn is_full(&self) -> bool {
        let rotate = self.plan.rotate;
        let length = self.appender.length();
        let is_large = rotate.bytes.is_some_and(|most| length >= most);
        let age = self.appender.begun().elapsed().unwrap_or(Duration::ZERO);
        let is_old = rotate.age.is_some_and(|most| age >= most);
        length > 0 && (is_large || is_old) && Instant::now() >= self.rotates_after
    }

    fn rotate(&mut self) {
        match self.appender.rotate() {
            Ok(_) => self.tend(),
            // The file takes records as before, or is looked for anew.
            Err(error) => {
                let file = self.plan.file.display();
                tracing::error!(%file, %error, "the journal is full, and cannot be moved away");
                self.rotates_after = Instant::now() + ROTATE_AGAIN;
            }
        }
    }

    /// Compresses and deletes full files, which takes its time.
    fn tend(&mut self) {
        self.tended = Instant::now();
        if let Some(helper) = self.helper.take_if(|helper| helper.is_finished()) {
            // It does not fail; if it did, the next file is tended all the same.
            let _ = helper.join();
        }
        if self.helper.is_some() {
            // What it leaves is not lost: it is there as it is.
            return;
        }
        let (plan, path) = (self.plan.clone(), self.appender.path().to_owned());
        let tend = move || {
            let full = all_rotated(&path).unwrap_or_default();
            let is_plain = |one: &&Rotated| one.path.extension().is_none_or(|it| it != "gz");
            let mut tended = Ok(());
            for one in full.iter().filter(is_plain).filter(|_| plan.compress) {
                tended = tended.and(compress(&one.path));
            }
            let pruned = prune(&path, plan.keep, SystemTime::now());
            for gone in pruned.as_deref().unwrap_or_default() {
                tracing::info!(file = %gone.display(), "a full file of the journal was deleted: `keep` says so");
            }
            if let Err(error) = tended.and(pruned.map(drop)) {
                tracing::warn!(file = %path.display(), %error, "full files of the journal cannot be compressed or deleted");
            }
        };
        self.helper = thread::Builder::new().name("journal-files".to_owned()).spawn(tend).ok();
    }

    fn tell_head(&mut self) {
        let head = self.appender.head();
        tracing::info!(target: "smh_gateway::audit", %head, "the head of the journal");
        self.head_told = (head, Instant::now());
    }

    fn end(mut self) {
        if !self.shared.is_broken.load(Ordering::Relaxed) && (!self.owes() || self.resume()) {
            self.appender.add(&body("stop", |_| {}));
            let _ = self.commit();
        }
        self.tell_head();
        if let Err(error) = self.appender.close() {
            let file = self.plan.file.display();
            tracing::error!(%file, %error, "the journal cannot be flushed");
        }
        // Whoever compresses is not waited for: the next process does it again.
    }
}

/// How often the file is looked after, and tried again.
const LOOK_EACH: Duration = Duration::from_millis(500);

/// How often it is looked whether full files are too old.
const TEND_EACH: Duration = Duration::from_secs(3_600);

/// It was tried, and is likely to fail again.
const ROTATE_AGAIN: Duration = Duration::from_secs(60);

/// So much of the journal can be proved by what is kept elsewhere.
const TELL_HEAD_EACH: Duration = Duration::from_secs(600);

const ROOM_BYTES: usize = 256 * 1024;
