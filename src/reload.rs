//! Another configuration while it runs: gateway.yaml and policy.yaml are followed.
//!
//! The files are read again and again, and what is in them is compared; no event is relied upon,
//! since mounts are swapped in ways that give none. What is not valid changes nothing.

mod watch;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use tokio::sync::Notify;

use self::watch::{Steadiness, Step, Watch};
use crate::config::report::{Noted, Report};
use crate::config::{self, Loaded, Snapshot, Watched};
use crate::gateway::{Applied, Gateway, Phase};

/// Follows the files of one gateway, and knows what became of the last change.
pub struct Reloads {
    gateway: Arc<Gateway>,
    asked: Notify,
    rejected: Mutex<Option<Arc<Rejected>>>,
}

/// What stands in the files and is not in force, because it is not valid.
#[derive(Debug)]
pub struct Rejected {
    /// As `sha256` of what is in force; `None` where a file cannot be read.
    pub sha256: Option<String>,
    /// When it was rejected.
    pub at: SystemTime,
    /// How many errors there are.
    pub errors: usize,
    /// The first of them, by file and place: at most [`MOST_SHOWN`].
    pub problems: Vec<Noted>,
}

impl Reloads {
    /// For a gateway whose configuration came from files. Follows nothing yet.
    #[must_use]
    pub fn new(gateway: Arc<Gateway>) -> Arc<Self> {
        Arc::new(Self { gateway, asked: Notify::new(), rejected: Mutex::default() })
    }

    /// Has the files looked at now, and the answer logged even where nothing changed.
    pub fn ask(&self) {
        self.asked.notify_one();
    }

    /// What stands in the files, where that was rejected.
    #[must_use]
    pub fn rejected(&self) -> Option<Arc<Rejected>> {
        self.rejected.lock().clone()
    }

    /// Follows the files until the gateway drains, or this is dropped.
    pub async fn follow(self: Arc<Self>) {
        let mut watch = self.watch();
        while *self.gateway.phase().borrow() < Phase::Draining {
            if watch.is_asked() {
                tokio::time::sleep(HURRY).await;
            } else {
                tokio::select! {
                    () = tokio::time::sleep(INTERVAL) => {}
                    () = self.asked.notified() => watch.ask(),
                }
            }
            let this = Arc::clone(&self);
            let look = move || {
                this.look(&mut watch);
                watch
            };
            // It cannot be cancelled and does not panic; if it did, it would begin anew.
            watch = tokio::task::spawn_blocking(look).await.unwrap_or_else(|_| self.watch());
        }
    }

    fn watch(&self) -> Watch {
        Watch::new(self.gateway.in_force().snapshot.watched.clone())
    }

    fn look(&self, watch: &mut Watch) {
        let now = watch.files().look_again();
        match watch.seen(now, Instant::now()) {
            Step::Wait => {}
            Step::Restless => tracing::warn!(
                "the configuration is not taken: its files change all the time; it is once they hold still"
            ),
            Step::Unchanged => self.answer_unchanged(),
            Step::Load => {
                let loaded = self.load();
                // Some files are read twice in a load: both times it must be the same.
                let after = loaded.watched.look_again();
                match watch.loaded(&loaded.watched, after, Instant::now()) {
                    Steadiness::Steady => self.take(loaded),
                    Steadiness::Not => {}
                }
            }
        }
    }

    fn load(&self) -> Loaded {
        config::load(&self.gateway.in_force().snapshot.file)
    }

    fn take(&self, loaded: Loaded) {
        let Loaded { snapshot, report, watched, sha256 } = loaded;
        let before = self.gateway.in_force();
        match snapshot {
            None => self.reject(sha256, &report),
            Some(_) if watched.same_content(&before.snapshot.watched) => {
                *self.rejected.lock() = None;
                self.gateway.metrics().config.restored();
                let sha256 = before.snapshot.sha256.as_str();
                tracing::info!(sha256, "the files are again those in force");
            }
            Some(snapshot) => self.apply(snapshot, &before.snapshot, report),
        }
    }

    fn apply(&self, snapshot: Snapshot, before: &Snapshot, mut report: Report) {
        let snapshot = Arc::new(snapshot);
        let Some(Applied { needs_restart }) = self.gateway.apply(Arc::clone(&snapshot)) else {
            return;
        };
        *self.rejected.lock() = None;
        self.gateway.metrics().config.applied();
        let (old, sha256) = (before.sha256.as_str(), snapshot.sha256.as_str());
        let changed = changed(&snapshot.watched, &before.watched);
        tracing::info!(old, sha256, ?changed, "another configuration is in force");
        config::lint(&snapshot, &mut report);
        for problem in report.warnings().take(MOST_SHOWN) {
            tracing::warn!(%problem, "it likely does not do what was meant");
        }
        if !needs_restart.is_empty() {
            let parts = needs_restart.join(", ");
            tracing::warn!(parts, "these parts of it take effect only after a restart");
        }
    }

    fn reject(&self, sha256: Option<String>, report: &Report) {
        let problems: Vec<_> = report.errors().take(MOST_SHOWN).collect();
        let errors = report.error_count();
        let mut all = problems.iter();
        let first = all.next().map(ToString::to_string).unwrap_or_default();
        let shown = sha256.as_deref().unwrap_or("none: a file cannot be read");
        tracing::error!(
            sha256 = shown,
            errors,
            first,
            "a changed configuration is not valid; the last good one stays in force"
        );
        for problem in all {
            tracing::error!(%problem, "it is not valid");
        }
        let rejected = Rejected { sha256, at: SystemTime::now(), errors, problems };
        *self.rejected.lock() = Some(Arc::new(rejected));
        self.gateway.metrics().config.rejected();
    }

    fn answer_unchanged(&self) {
        let in_force = self.gateway.in_force();
        let sha256 = in_force.snapshot.sha256.as_str();
        match self.rejected() {
            None => tracing::info!(sha256, "nothing is reloaded: the files are those in force"),
            Some(rejected) => {
                // Not only the files decide: a rule ends, a group of the system comes to be.
                let again = self.load();
                if again.snapshot.is_some() {
                    return self.take(again);
                }
                let first = rejected.problems.first().map(ToString::to_string).unwrap_or_default();
                tracing::warn!(
                    first,
                    "nothing is reloaded: the files are still those that were rejected"
                );
            }
        }
    }
}

fn changed<'w>(now: &'w Watched, before: &'w Watched) -> Vec<&'w Path> {
    now.differing_from(before).collect()
}

/// Most errors that are kept and logged of a configuration that was rejected.
pub const MOST_SHOWN: usize = 20;

/// How often the files are looked at. A change is in force after two looks, or three where it
/// names another file.
const INTERVAL: Duration = Duration::from_millis(400);

/// The same where somebody waits for it.
const HURRY: Duration = Duration::from_millis(50);
