//! `rate_limit_state`: what is used of budgets outlives the process, in a file.
//!
//! It is written now and then, and at the end. A gateway that is killed forgets what was used since;
//! one that cannot write goes on, and says so.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use crate::files;
use crate::gateway::Gateway;
use crate::limits::Saved;

/// Keeps the file of one gateway.
pub struct LimitState {
    gateway: Arc<Gateway>,
    /// What was complained about last, so that it is done once.
    complained: Mutex<Option<String>>,
}

impl LimitState {
    /// Takes over what the file says, if there is one. Blocks on it.
    #[must_use]
    pub fn restored(gateway: &Arc<Gateway>) -> Arc<Self> {
        let this = Self { gateway: Arc::clone(gateway), complained: Mutex::default() };
        if let Some(path) = this.path() {
            this.restore(&path);
        }
        Arc::new(this)
    }

    fn path(&self) -> Option<PathBuf> {
        self.gateway.in_force().snapshot.limit_state.clone()
    }

    fn restore(&self, path: &Path) {
        let bytes = match files::read(path, MOST_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tracing::info!(file = %path.display(), "no state of rate limits yet: nothing is used");
                return;
            }
            Err(error) => return self.lost(path, &error.to_string()),
        };
        match Saved::parse(&bytes) {
            Ok(saved) => {
                let limits = &self.gateway.in_force().limits;
                limits.restore(&saved, Instant::now(), SystemTime::now());
                tracing::info!(file = %path.display(), "the state of rate limits was taken over");
            }
            Err(error) => self.lost(path, &error),
        }
    }

    /// What cannot be read is kept for whoever wants to look.
    fn lost(&self, path: &Path, error: &str) {
        let kept = beside(path, "broken");
        let moved = fs::rename(path, &kept).is_ok();
        self.gateway.metrics().policy.state_failures.inc();
        tracing::error!(
            file = %path.display(), error, kept_as = moved.then(|| kept.display().to_string()),
            "the state of rate limits cannot be read: nothing counts as used"
        );
    }

    /// Writes the file again and again, until it is dropped.
    pub async fn keep(self: Arc<Self>) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let this = Arc::clone(&self);
            // It cannot be cancelled and does not panic; if it did, the next round would be tried.
            let _ = tokio::task::spawn_blocking(move || this.save()).await;
        }
    }

    /// Writes the file now. Blocks on it.
    pub fn save(&self) {
        let Some(path) = self.path() else { return };
        // One after the other, so that the last one to look is the last one to write.
        let mut complained = self.complained.lock();
        let saved = self.gateway.in_force().limits.saved(Instant::now(), SystemTime::now());
        let bytes = saved.to_bytes();
        let fits = if bytes.len() <= MOST_BYTES {
            Ok(())
        } else {
            Err(io::Error::other("it is too large"))
        };
        match fits.and_then(|()| write(&path, &bytes)) {
            Ok(()) if complained.take().is_some() => {
                tracing::info!(file = %path.display(), "the state of rate limits is written again");
            }
            Ok(()) => {}
            Err(error) => {
                self.gateway.metrics().policy.state_failures.inc();
                let error = error.to_string();
                if complained.as_ref() != Some(&error) {
                    tracing::error!(
                        file = %path.display(), error,
                        "the state of rate limits cannot be written: a restart forgets what is used since"
                    );
                }
                *complained = Some(error);
            }
        }
    }
}

/// The old file or the new one, never half of one.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = beside(path, "new");
    let written = (|| {
        // Whatever has its name, it is not written through.
        if let Err(error) = fs::remove_file(&new)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&new, path)
    })();
    if written.is_err() {
        // A disk that is full is not made fuller.
        let _ = fs::remove_file(&new);
    }
    written?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_data()
}

fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(what);
    PathBuf::from(name)
}

/// What is used in this time is forgotten where the process is killed.
const INTERVAL: Duration = Duration::from_secs(5);

/// So many limits and keys as there can be.
const MOST_BYTES: usize = 1 << 30;
