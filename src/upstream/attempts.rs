//! Each try of a delete, for its trace. Where there is none, nobody watches, and a try costs a look.

use std::sync::OnceLock;
use std::time::Instant;

use parking_lot::Mutex;

/// The tries of one delete, if they are watched.
#[derive(Debug, Default)]
pub(crate) struct Attempts(OnceLock<Box<Mutex<Vec<Attempt>>>>);

/// One try.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) from: Instant,
    /// `None`: it was cut off.
    pub(crate) ended: Option<(Instant, Result<u16, &'static str>)>,
}

impl Attempts {
    /// Has them kept from now on.
    pub(crate) fn watch(&self) {
        // Watched already is as good.
        let _ = self.0.set(Box::default());
    }

    /// Those so far, in their order.
    pub(crate) fn all(&self) -> Vec<Attempt> {
        self.0.get().map(|attempts| attempts.lock().clone()).unwrap_or_default()
    }

    pub(super) fn begin(&self) {
        if let Some(attempts) = self.0.get() {
            attempts.lock().push(Attempt { from: Instant::now(), ended: None });
        }
    }

    /// SMH certainly took nothing of it, so there will be another.
    pub(super) fn again(&self) {
        self.end(|| Err(NOT_TAKEN));
        self.begin();
    }

    /// With a status, or with what went wrong.
    pub(super) fn end(&self, with: impl FnOnce() -> Result<u16, &'static str>) {
        if let Some(attempts) = self.0.get()
            && let Some(last) = attempts.lock().last_mut()
        {
            last.ended = Some((Instant::now(), with()));
        }
    }
}

/// The word for it in traces.
const NOT_TAKEN: &str = "not_taken";
