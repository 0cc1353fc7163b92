//! Callers at a steady rate, who come again and again and now and then leave in the middle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::RwLock;
use tokio::task::JoinSet;

use crate::callers::{Door, Request};
use crate::support::Kept;

const CALLERS: usize = 16;

/// A connection is for so many deletes.
const RECONNECTS_AFTER: usize = 50;

/// One delete in so many is not waited for.
const LEAVES_AFTER: usize = 199;

pub(crate) struct Load {
    over: Arc<AtomicBool>,
    /// Who holds it for reading is within a delete.
    pub(crate) under_way: Arc<RwLock<()>>,
    pub(crate) done: Arc<AtomicUsize>,
    pub(crate) requests: Arc<Mutex<Vec<Request>>>,
    tasks: JoinSet<()>,
}

impl Load {
    /// So many deletes a second together, or as many as there can be.
    pub(crate) fn start(name: &'static str, door: &Door, rate: Option<f64>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let under_way = Arc::new(RwLock::new(()));
        let done = Arc::new(AtomicUsize::new(0));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        for number in 0..CALLERS {
            let caller = Caller {
                name: format!("{name}{number}"),
                door: door.clone(),
                apart: rate.map(|rate| Duration::from_secs_f64(CALLERS as f64 / rate)),
                over: Arc::clone(&over),
                under_way: Arc::clone(&under_way),
                done: Arc::clone(&done),
                requests: Arc::clone(&requests),
            };
            tasks.spawn(caller.run());
        }
        Self { over, under_way, done, requests, tasks }
    }

    pub(crate) async fn end(self) -> Vec<Request> {
        self.over.store(true, Ordering::Relaxed);
        self.tasks.join_all().await;
        std::mem::take(&mut *self.requests.lock())
    }
}

struct Caller {
    name: String,
    door: Door,
    apart: Option<Duration>,
    over: Arc<AtomicBool>,
    under_way: Arc<RwLock<()>>,
    done: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Caller {
    async fn run(self) {
        let mut kept = None;
        let mut beat = self.apart.map(tokio::time::interval);
        if let Some(beat) = &mut beat {
            // What was missed is not made up for.
            beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        }
        for number in 1.. {
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            if let Some(beat) = &mut beat {
                beat.tick().await;
            }
            let _within = self.under_way.read().await;
            self.one(&mut kept, number).await;
        }
    }

    async fn one(&self, kept: &mut Option<Kept>, number: usize) {
        let path = format!("{}-{number}", self.name);
        let done = if number.is_multiple_of(LEAVES_AFTER) {
            self.door.leave(path).await
        } else {
            if number.is_multiple_of(RECONNECTS_AFTER) {
                *kept = None;
            }
            self.door.delete(kept, path).await
        };
        self.done.fetch_add(1, Ordering::Relaxed);
        self.requests.lock().push(done);
    }
}
