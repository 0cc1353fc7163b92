//! The line of the delete log.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Asked, AskedTenant, Ended, Record, Smh};
use crate::authenticate::PeerAddress;
use crate::delete::Mode;
use crate::directory::Tenant;
use crate::ids::{Citation, LimitName, Ticket, UserId};
use crate::journal::Became;
use crate::log::JsonLine;
use crate::refusal::{Outcome, Refusal};
use crate::relay::Meaning;
use crate::traces::TraceId;

impl Record {
    pub(super) fn write(&self, took: Duration, buffer: &mut Vec<u8>) {
        let mut line = JsonLine::new(buffer);
        line.now().text("event", "delete");
        self.write_known(&mut line);
        self.write_became(took, &mut line);
        line.end();
    }

    /// What is known before it is sent does not change any more: it is put into words once.
    pub(super) fn settle_known(&mut self) {
        let mut known = Vec::with_capacity(512);
        self.write_known(&mut JsonLine::inside(&mut known));
        self.known = Some(known);
    }

    /// What is known before it is sent.
    pub(super) fn write_known(&self, line: &mut JsonLine<'_>) {
        if let Some(known) = &self.known {
            line.raw(known);
            return;
        }
        line.text("request_id", self.id.as_str());
        line.text_if("trace_id", self.trace_id().as_ref().map(TraceId::as_str));
        self.write_peer(line);
        if let Some((caller, by)) = &self.caller {
            line.text("caller", caller.name.as_str()).text("proof", by.as_str());
        }
        if let Some(Asked { tenant, path, mode, user_id }) = &self.asked {
            tenant.write(self.tenant.as_deref(), line);
            line.text("path", path.as_str())
                .flag("permanent", *mode == Mode::Permanent)
                .text_if("user_id", user_id.as_ref().map(UserId::as_str));
        }
        line.text_if("policy", self.decided_by.as_ref().map(|by| by.sha256.as_str()));
    }

    /// What became of it.
    pub(super) fn write_became(&self, took: Duration, line: &mut JsonLine<'_>) {
        line.text("decision", if self.is_allowed() { "allow" } else { "deny" });
        self.write_end(line);
        let shadow_rules = self.unheeded.iter().map(|cited| cited.rule.as_str());
        line.texts_if_any("shadow_rules", shadow_rules);
        line.texts_if_any("shadow_limits", self.shadow_limits.iter().map(LimitName::as_str));
        if let Some(smh) = &self.smh {
            line.number("smh_status", u64::from(smh.status))
                .text_if("smh_code", smh.code.as_deref());
            line.text_if("smh_request_id", smh.request_id.as_deref());
            self.write_reversible(smh, line);
        }
        match self.meaning {
            Meaning::AsItSays => {}
            Meaning::Irreversible => {
                line.flag("irreversible", true);
            }
            Meaning::Misdirected => {
                line.flag("misdirected", true);
            }
        }
        if self.tries.given() > 1 {
            line.number("attempts", u64::from(self.tries.given()));
        }
        line.text_if("cause", self.cause.as_deref());
        line.number("duration_us", u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// SMH says 200 and what restores the file, or 204 where nothing does (smh-api.md 2.2).
    fn write_reversible(&self, smh: &Smh, line: &mut JsonLine<'_>) {
        match (smh.status, smh.recycled_item_id) {
            (200, Some(id)) => {
                line.number("recycled_item_id", id).flag("reversible", true);
            }
            (204, _) => {
                line.flag("reversible", false);
            }
            _ => {}
        }
    }

    /// Whether every check let it through, whatever came after.
    fn is_allowed(&self) -> bool {
        match &self.ended {
            Some(Ended::Relayed(_)) | Some(Ended::DryRun(None)) => true,
            Some(Ended::Refused(refusal) | Ended::DryRun(Some(refusal))) => {
                matches!(**refusal, Refusal::Upstream(_) | Refusal::TokenUnavailable)
            }
            None => self.tenant.is_some(),
        }
    }

    fn write_peer(&self, line: &mut JsonLine<'_>) {
        match self.peer {
            PeerAddress::Tcp(address) => {
                let mut buffer = [0; 64];
                line.text("peer", show(&mut buffer, address));
            }
            PeerAddress::Unix { uid, pid } => {
                line.text("peer", "unix").number("peer_uid", u64::from(uid));
                if let Some(pid) = pid.and_then(|pid| u64::try_from(pid).ok()) {
                    line.number("peer_pid", pid);
                }
            }
        }
    }

    fn write_end(&self, line: &mut JsonLine<'_>) {
        match &self.ended {
            Some(Ended::Relayed(status)) => {
                line.number("status", u64::from(*status));
                self.write_cited(line);
                line.text("outcome", "relayed");
            }
            Some(Ended::Refused(refusal)) => {
                line.number("status", u64::from(refusal.code().status().as_u16()));
                self.write_refusal(refusal, line);
                line.text("outcome", became(refusal).as_str());
            }
            Some(Ended::DryRun(refusal)) => {
                line.number("status", 202).flag("dry_run", true);
                match refusal {
                    Some(refusal) => self.write_refusal(refusal, line),
                    None => self.write_cited(line),
                }
                line.text("outcome", Became::NotSent.as_str());
            }
            None => {
                line.text("code", ABANDONED);
                self.write_cited(line);
                line.text("outcome", self.became_abandoned().as_str());
            }
        }
    }

    /// Of a delete whose end nobody knows.
    pub(super) fn became_abandoned(&self) -> Became {
        if self.tries.sent() > 0 { Became::Unknown } else { Became::NotSent }
    }

    pub(super) fn write_cited(&self, line: &mut JsonLine<'_>) {
        let Some(Citation { rule, ticket }) = self.cited() else { return };
        line.text("rule", rule.as_str());
        line.text_if("ticket", ticket.as_ref().map(Ticket::as_str));
    }

    fn write_refusal(&self, refusal: &Refusal, line: &mut JsonLine<'_>) {
        line.text("code", refusal.code().name());
        self.write_cited(line);
        line.text_if("limit", refusal.limit().map(LimitName::as_str));
        if let Refusal::Unauthenticated(fault) = refusal {
            // Told here alone: the answer does not help to guess.
            line.text("reason", &fault.to_string());
        }
    }
}

/// In place of a code, where the work on a delete was cut off.
pub(super) const ABANDONED: &str = "Abandoned";

/// What it refuses was not to be sent, unless only SMH kept it from that.
pub(super) fn became(refusal: &Refusal) -> Became {
    match (refusal.outcome(), refusal) {
        (Outcome::Unknown, _) => Became::Unknown,
        (Outcome::NotSent, Refusal::Upstream(_) | Refusal::TokenUnavailable) => Became::NotSent,
        (Outcome::NotSent, _) => Became::Refused,
    }
}

impl AskedTenant {
    /// As the configuration has it once it is permitted, and as the caller wrote it before.
    fn write(&self, permitted: Option<&Tenant>, line: &mut JsonLine<'_>) {
        match (permitted, self) {
            (Some(tenant), _) => line
                .text("tenant", tenant.name.as_str())
                .text("library", tenant.library.id.as_str())
                .text("space", tenant.space.as_str()),
            (None, Self::Named(name)) => line.text("tenant", name),
            (None, Self::Space { library, space }) => {
                line.text("library", library).text("space", space)
            }
        };
    }
}

/// The peer as text, without an allocation.
fn show(buffer: &mut [u8; 64], peer: SocketAddr) -> &str {
    use std::io::Write;
    let mut rest = &mut buffer[..];
    // The longest socket address has 58 characters.
    let _ = write!(rest, "{peer}");
    let left = rest.len();
    let used = buffer.len() - left;
    buffer.get(..used).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delete::TenantRef;
    use crate::directory::{Library, RecycleBin, UserIdRule};
    use crate::ids::{LibraryId, MAX_NAME_BYTES, SpaceId, TenantName};
    use crate::origin::Origin;
    use std::sync::Arc;

    fn written(asked: TenantRef<'_>, permitted: Option<&Tenant>) -> String {
        let mut buffer = Vec::new();
        let mut line = JsonLine::new(&mut buffer);
        AskedTenant::of(asked).write(permitted, &mut line);
        line.end();
        String::from_utf8(buffer).unwrap()
    }

    #[test]
    fn a_tenant_is_logged_as_the_caller_wrote_it_until_it_is_known() {
        let id = LibraryId::try_from("lib").unwrap();
        let origin = Origin::try_from("https://smh.test").unwrap();
        let library = Arc::new(Library::new(id, origin, RecycleBin::On));
        let (name, space) =
            (TenantName::try_from("t1").unwrap(), SpaceId::try_from("space").unwrap());
        let tenant = Tenant::new(name, library, space, UserIdRule::Forward);
        let named = TenantRef::Named("t1");
        let by_space = TenantRef::Space { library: "lib", space: "space" };

        assert_eq!(written(named, None), r#"{"tenant":"t1"}"#);
        assert_eq!(written(by_space, None), r#"{"library":"lib","space":"space"}"#);
        for asked in [named, by_space] {
            assert_eq!(
                written(asked, Some(&tenant)),
                r#"{"tenant":"t1","library":"lib","space":"space"}"#
            );
        }
    }

    #[test]
    fn a_caller_does_not_choose_how_long_a_line_is() {
        let long = "x".repeat(9_000);
        for asked in [TenantRef::Named(&long), TenantRef::Space { library: &long, space: &long }] {
            assert!(written(asked, None).len() < 3 * MAX_NAME_BYTES);
        }
    }
}
