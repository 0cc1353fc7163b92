//! How a journal begins: what an earlier gateway left is told and closed, and the writer is started.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use crate::audit::unfinished::{Intent, unfinished};
use crate::audit::writer::Writer;
use crate::audit::{Audit, AuditPlan, Queue, Shared, body};
use crate::journal::{Appender, Durability, Head, OpenError, PutBack, Recovered};
use crate::metrics::AuditMetrics;

/// Why a journal cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It cannot be opened.
    #[error("`audit.file` cannot be used: {0}")]
    Open(#[from] OpenError),
    /// It cannot be read or written.
    #[error("`audit.file` cannot be used: {0}: {1}")]
    Io(PathBuf, #[source] std::io::Error),
}

impl Audit {
    /// Opens the journal, says in it that a gateway begins, and which deletes an earlier one left without
    /// their outcome. `policy` is the hash of what is in force. Blocks on the disk.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(plan: AuditPlan, policy: &str, metrics: AuditMetrics) -> Result<Self, StartError> {
        let (mut appender, recovered) = Appender::open(&plan.file)?;
        let fail = |error| StartError::Io(plan.file.clone(), error);
        let left = unfinished(appender.path()).map_err(fail)?;
        if plan.durability == Durability::Sync {
            appender.write_ahead().map_err(fail)?;
        }
        let run = begin(&mut appender, &recovered, policy, left.len());
        for intent in &left {
            appender.add(&intent.closing_body());
        }
        appender.commit(plan.durability).map_err(fail)?;
        tell(&plan, &recovered, &left, appender.head());
        metrics.is_up.set(1);
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue::default()),
            arrived: Condvar::new(),
            trays: Mutex::default(),
            head: Mutex::new(appender.head()),
            fault: Mutex::new(None),
            is_broken: AtomicBool::new(false),
            reopen: AtomicBool::new(false),
            lost: AtomicU64::new(0),
            writing: AtomicU64::new(0),
            hung: AtomicBool::new(false),
            started: Instant::now(),
            metrics,
        });
        let writer = Writer::new(appender, plan.clone(), Arc::clone(&shared));
        let thread = thread::Builder::new().name("journal".to_owned()).spawn(|| writer.work());
        let thread = Mutex::new(Some(thread.map_err(fail)?));
        Ok(Self {
            plan,
            shared,
            run,
            deletes: AtomicU64::new(0),
            strangers: AtomicU64::new(0),
            thread,
        })
    }
}

fn begin(appender: &mut Appender, recovered: &Recovered, policy: &str, left: usize) -> u64 {
    appender.add(&body("start", |line| {
        line.text("version", env!("CARGO_PKG_VERSION"));
        line.number("pid", u64::from(std::process::id()));
        line.text("policy", policy);
        if let Some((_, bytes)) = &recovered.torn {
            line.number("torn_bytes", *bytes);
        }
        line.number("unfinished", left as u64);
    }));
    appender.added()
}

/// What was in disorder when the journal was opened.
pub(super) fn tell_found(plan: &AuditPlan, recovered: &Recovered) {
    let file = plan.file.display();
    match &recovered.put_back {
        Some(PutBack::Records { records, aside }) => {
            let aside = aside.as_ref().map(|(aside, _)| tracing::field::display(aside.display()));
            tracing::warn!(%file, records, aside, "the journal had lost its end, as the machine failed: these records were put back from what was written ahead");
        }
        Some(PutBack::Kept(kept)) => {
            let kept = kept.display();
            tracing::error!(%file, %kept, "the journal could not be flushed, lost more than its end, or was moved away: records that it may lack are in the other file");
        }
        None => {}
    }
    if let Some((aside, bytes)) = &recovered.torn {
        let aside = aside.display();
        tracing::warn!(%file, %aside, bytes, "the last line of the journal had no end: it was put aside");
    }
}

fn tell(plan: &AuditPlan, recovered: &Recovered, left: &[Intent], head: Head) {
    tell_found(plan, recovered);
    let file = plan.file.display();
    if let Some(head) = recovered.missing_to {
        tracing::error!(
            %file, %head,
            "the journal does not end with its last record: its file was moved to where it is not looked for, or cut"
        );
    }
    for intent in left.iter().take(MOST_NAMED) {
        let (tenant, path, request_id) = intent.names();
        tracing::error!(
            tenant,
            path,
            request_id,
            "an earlier gateway ended before it heard what became of this delete"
        );
    }
    if left.len() > MOST_NAMED {
        tracing::error!(
            more = left.len() - MOST_NAMED,
            "and of more: `audit list --outcome unknown`"
        );
    }
    tracing::info!(target: "smh_gateway::audit", %file, %head, "the journal is open");
}

/// Of more than these their number is told.
const MOST_NAMED: usize = 100;
