//! The two records of a delete in the journal: what is intended, before it is sent, and what became of it,
//! before the caller hears.

use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::{Kept, Record, Wait};
use crate::audit::{Audit, DeleteId, Desk, Unwritten, WhenUnavailable};
use crate::log::JsonLine;
use crate::refusal::Refusal;

impl Record {
    /// Refuses a delete that could not be recorded.
    pub(in crate::journey) fn can_be_kept(&self) -> Result<(), Refusal> {
        match self.desk.as_ref().map(Desk::audit) {
            Some(audit)
                if audit.plan().when_unavailable == WhenUnavailable::Refuse
                    && !audit.is_available() =>
            {
                Err(Refusal::AuditUnavailable)
            }
            _ => Ok(()),
        }
    }

    /// Records what is about to be sent, and waits until that is there.
    pub(in crate::journey) async fn intend(&mut self, deadline: Instant) -> Result<(), Refusal> {
        let Some(desk) = self.desk.clone() else { return Ok(()) };
        let audit = desk.audit();
        let id = audit.name_delete();
        self.settle_known();
        self.waits_for(Wait::Journal);
        let written = match desk.record(|buffer| self.write_intent(id, buffer)) {
            Ok(written) => {
                self.kept = Kept::Intent(id);
                let until = match audit.plan().when_unavailable {
                    WhenUnavailable::Refuse => deadline,
                    // What goes on without it has to be on time.
                    WhenUnavailable::Continue => deadline.min(Instant::now() + A_MOMENT),
                };
                timeout_at(until, written.come()).await.unwrap_or(Err(Unwritten))
            }
            Err(unwritten) => Err(unwritten),
        };
        self.waited(written.is_err());
        written.or_else(|Unwritten| refuse_or_lose(audit))
    }

    /// Records what became of it. Where something was to be sent, waits until that is there: but a caller
    /// hears what SMH said also where it cannot be recorded, since anything else would not be so.
    pub(in crate::journey) async fn conclude(&mut self) {
        let Some(desk) = self.desk.clone() else { return };
        let kept = std::mem::replace(&mut self.kept, Kept::Whole);
        let id = match kept {
            // What was never given to a connection is as if it had been refused.
            Kept::Intent(id) if self.tries.given() > 0 => id,
            Kept::Not | Kept::Intent(_) | Kept::Whole => return self.note(&desk, &kept),
        };
        let written = match desk.record(|buffer| self.write_whole(id, buffer)) {
            Ok(written) => timeout(PATIENCE, written.come()).await,
            Err(unwritten) => Ok(Err(unwritten)),
        };
        match written {
            Ok(Ok(())) => {}
            // The intent is there: what became of it follows as soon as it can.
            Ok(Err(Unwritten)) => desk.audit().hold(|buffer| self.write_whole(id, buffer)),
            Err(_) => desk.audit().late(),
        }
    }

    /// Nobody waits any more.
    pub(super) fn keep_at_last(&mut self) {
        if let Some(desk) = self.desk.clone() {
            let kept = std::mem::replace(&mut self.kept, Kept::Whole);
            self.note(&desk, &kept);
        }
    }

    /// Nobody waits for it. Whoever is not known may not fill the disk.
    fn note(&self, desk: &Desk, kept: &Kept) {
        match kept {
            // An intent without an outcome would be told as one of which nobody knows.
            Kept::Intent(id) => desk.note_or_hold(|buffer| self.write_whole(*id, buffer)),
            Kept::Not if self.caller.is_some() || desk.audit().may_note_a_stranger() => {
                let id = desk.audit().name_delete();
                desk.note(|buffer| self.write_whole(id, buffer));
            }
            Kept::Not | Kept::Whole => {}
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

/// So long goes on without a record what may.
const A_MOMENT: Duration = Duration::from_millis(500);

/// A disk that hangs must not keep from a caller what SMH said.
const PATIENCE: Duration = Duration::from_secs(5);
