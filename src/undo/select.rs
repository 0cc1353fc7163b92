//! Which deletes are to be undone.

use time::OffsetDateTime;

use crate::glob::{NameGlob, PathGlob};
use crate::journal::Entry;

/// All that is given must hold; of each, any one.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Not before.
    pub since: Option<OffsetDateTime>,
    /// Before.
    pub until: Option<OffsetDateTime>,
    /// Who asked.
    pub callers: Vec<NameGlob>,
    /// Whose file.
    pub tenants: Vec<NameGlob>,
    /// Which file.
    pub paths: Vec<PathGlob>,
    /// In which request.
    pub request_ids: Vec<String>,
}

impl Selection {
    /// Whether a record, of this time, is about a delete that is to be undone.
    #[must_use]
    pub fn selects(&self, entry: &Entry<'_>, time: OffsetDateTime) -> bool {
        let name = |globs: &[NameGlob], name: Option<&str>| {
            globs.is_empty() || name.is_some_and(|name| globs.iter().any(|one| one.matches(name)))
        };
        let path = |path: &str| self.paths.iter().any(|one| one.matches(path));
        let asked = |id: &str| self.request_ids.iter().any(|one| one == id);
        self.since.is_none_or(|since| time >= since)
            && self.until.is_none_or(|until| time < until)
            && name(&self.callers, entry.caller.as_deref())
            && name(&self.tenants, entry.tenant.as_deref())
            && (self.paths.is_empty() || entry.path.as_deref().is_some_and(path))
            && (self.request_ids.is_empty() || entry.request_id.as_deref().is_some_and(asked))
    }
}
