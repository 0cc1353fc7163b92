//! What operators see of a delete at a glance.

use std::time::{Duration, SystemTime};

use super::{AskedTenant, Ended, Record};
use crate::delete::Mode;
use crate::glance::{End, Noted, Why};
use crate::relay::Meaning;

impl Record {
    /// The last that is done with it: the reason of a refusal is taken out, not copied.
    pub(super) fn show(&mut self, took: Duration) {
        match self.meaning {
            Meaning::AsItSays => {}
            Meaning::Irreversible => self.remark(Why::Irreversible),
            Meaning::Misdirected => self.remark(Why::Misdirected),
        }
        let end = match self.ended.take() {
            Some(Ended::Relayed(status)) => End::of_answer(status),
            Some(Ended::Refused(refusal)) => {
                let end = End::of_refusal(&refusal);
                let cause = self.cause.take();
                self.remark(Why::Refused { refusal, cause });
                end
            }
            Some(Ended::DryRun(_)) => return,
            None if self.tries.sent() > 0 => End::Unknown,
            None => End::Failed,
        };
        self.gateway.glance().ended(end, took);
    }

    fn remark(&self, why: Why) {
        let asked = self.asked.as_ref();
        let tenant = match (&self.tenant, asked.map(|asked| &asked.tenant)) {
            (Some(tenant), _) => Some(tenant.name.to_string()),
            (None, Some(AskedTenant::Named(name))) => Some(name.clone()),
            (None, Some(AskedTenant::Space { library, space })) => {
                Some(format!("{library}/{space}"))
            }
            (None, None) => None,
        };
        self.gateway.glance().note(Noted {
            at: SystemTime::now(),
            id: self.id.clone(),
            caller: self.caller.as_ref().map(|(caller, _)| caller.name.clone()),
            tenant,
            path: asked.map(|asked| asked.path.clone()),
            is_permanent: asked.is_some_and(|asked| asked.mode == Mode::Permanent),
            why,
        });
    }
}
