//! The two records of a delete in the journal: what is intended, before it is sent, and what became of it,
//! before the caller hears.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::{Kept, Record};
use crate::audit::{Audit, DeleteId, Unwritten, WhenUnavailable};
use crate::log::JsonLine;
use crate::refusal::Refusal;

impl Record {
    /// Refuses a delete that could not be recorded.
    pub(in crate::journey) fn can_be_kept(&self) -> Result<(), Refusal> {
        match self.gateway.audit() {
            Some(audit) if !audit.is_available() => refuse_or_lose(audit),
            _ => Ok(()),
        }
    }

    /// Records what is about to be sent, and waits until that is there.
    pub(in crate::journey) async fn intend(&mut self, deadline: Instant) -> Result<(), Refusal> {
        let gateway = Arc::clone(&self.gateway);
        let Some(audit) = gateway.audit() else { return Ok(()) };
        let id = audit.name_delete();
        let written = match audit.record(|buffer| self.write_intent(id, buffer)) {
            Ok(written) => {
                self.kept = Kept::Intent(id);
                timeout_at(deadline, written.come()).await.unwrap_or(Err(Unwritten))
            }
            Err(unwritten) => Err(unwritten),
        };
        written.or_else(|Unwritten| refuse_or_lose(audit))
    }

    /// Records what became of it. Where something was to be sent, waits until that is there: but a caller
    /// hears what SMH said also where it cannot be recorded, since anything else would not be so.
    pub(in crate::journey) async fn conclude(&mut self) {
        let gateway = Arc::clone(&self.gateway);
        let Some(audit) = gateway.audit() else { return };
        let (id, matters) = self.finish(audit);
        if !matters {
            return audit.note(|buffer| self.write_whole(id, buffer));
        }
        let written = match audit.record(|buffer| self.write_whole(id, buffer)) {
            Ok(written) => timeout(PATIENCE, written.come()).await.unwrap_or(Err(Unwritten)),
            Err(unwritten) => Err(unwritten),
        };
        if written.is_err() {
            audit.lost();
        }
    }

    /// Nobody waits any more.
    pub(super) fn keep_at_last(&mut self) {
        let gateway = Arc::clone(&self.gateway);
        if let (Some(audit), false) = (gateway.audit(), matches!(self.kept, Kept::Whole)) {
            let (id, _) = self.finish(audit);
            audit.note(|buffer| self.write_whole(id, buffer));
        }
    }

    /// The name of its intent, if it has one; and whether it has.
    fn finish(&mut self, audit: &Audit) -> (DeleteId, bool) {
        match std::mem::replace(&mut self.kept, Kept::Whole) {
            Kept::Intent(id) => (id, true),
            Kept::Not | Kept::Whole => (audit.name_delete(), false),
        }
    }

    fn write_intent(&self, id: DeleteId, buffer: &mut Vec<u8>) {
        let mut line = JsonLine::new(buffer);
        line.now().text("event", "intent");
        id.with_text(|id| {
            line.text("delete", id);
        });
        self.write_known(&mut line);
        self.write_cited(&mut line);
        line.end();
    }

    fn write_whole(&self, id: DeleteId, buffer: &mut Vec<u8>) {
        let mut line = JsonLine::new(buffer);
        line.now().text("event", "delete");
        id.with_text(|id| {
            line.text("delete", id);
        });
        self.write_known(&mut line);
        self.write_became(self.started.elapsed(), &mut line);
        line.end();
    }
}

/// What becomes of a delete that cannot be recorded.
fn refuse_or_lose(audit: &Audit) -> Result<(), Refusal> {
    match audit.plan().when_unavailable {
        WhenUnavailable::Refuse => Err(Refusal::AuditUnavailable),
        WhenUnavailable::Continue => {
            audit.lost();
            Ok(())
        }
    }
}

/// A disk that hangs must not keep from a caller what SMH said.
const PATIENCE: Duration = Duration::from_secs(5);
