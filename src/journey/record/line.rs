//! The line of the delete log.

use std::net::SocketAddr;
use std::time::Duration;

use time::OffsetDateTime;

use super::{Asked, AskedTenant, Ended, Record, Smh};
use crate::authenticate::PeerAddress;
use crate::delete::Mode;
use crate::directory::Tenant;
use crate::ids::{Citation, LimitName, Ticket, UserId};
use crate::log::JsonLine;
use crate::refusal::{Outcome, Refusal};
use crate::relay::Meaning;

impl Record {
    pub(super) fn write(&self, took: Duration, buffer: &mut Vec<u8>) {
        let mut line = JsonLine::new(buffer);
        timestamp(&mut line);
        line.text("event", "delete").text("request_id", self.id.as_str());
        self.write_peer(&mut line);
        if let Some((caller, by)) = &self.caller {
            line.text("caller", caller.name.as_str()).text("proof", by.as_str());
        }
        if let Some(Asked { tenant, path, mode, user_id }) = &self.asked {
            tenant.write(self.tenant.as_deref(), &mut line);
            line.text("path", path.as_str())
                .flag("permanent", *mode == Mode::Permanent)
                .text_if("user_id", user_id.as_ref().map(UserId::as_str));
        }
        self.write_end(&mut line);
        let shadow_rules = self.unheeded.iter().map(|cited| cited.rule.as_str());
        line.texts_if_any("shadow_rules", shadow_rules);
        line.texts_if_any("shadow_limits", self.shadow_limits.iter().map(LimitName::as_str));
        if let Some(Smh { status, code, request_id }) = &self.smh {
            line.number("smh_status", u64::from(*status)).text_if("smh_code", code.as_deref());
            line.text_if("smh_request_id", request_id.as_deref());
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
        line.end();
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
                line.text("outcome", refusal.outcome().as_str());
            }
            Some(Ended::DryRun(refusal)) => {
                line.number("status", 202).flag("dry_run", true);
                match refusal {
                    Some(refusal) => self.write_refusal(refusal, line),
                    None => self.write_cited(line),
                }
                line.text("outcome", Outcome::NotSent.as_str());
            }
            None => {
                let outcome =
                    if self.tries.sent() > 0 { Outcome::Unknown } else { Outcome::NotSent };
                line.text("code", "Abandoned");
                self.write_cited(line);
                line.text("outcome", outcome.as_str());
            }
        }
    }

    fn write_cited(&self, line: &mut JsonLine<'_>) {
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

impl AskedTenant {
    /// As the configuration has it once it is permitted, and as the caller wrote it before.
    fn write(&self, permitted: Option<&Tenant>, line: &mut JsonLine<'_>) {
        match (permitted, self) {
            (Some(tenant), _) => line
                .text("tenant", tenant.name.as_str())
                .text("library", tenant.library.id.as_str()),
            (None, Self::Named(name)) => line.text("tenant", name),
            (None, Self::Space { library, space }) => {
                line.text("library", library).text("space", space)
            }
        };
    }
}

/// RFC 3339 with microseconds, in UTC.
fn timestamp(line: &mut JsonLine<'_>) {
    let now = OffsetDateTime::now_utc();
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    let fields = [
        (0, 4, u32::try_from(now.year()).unwrap_or(0)),
        (5, 2, u32::from(u8::from(now.month()))),
        (8, 2, u32::from(now.day())),
        (11, 2, u32::from(now.hour())),
        (14, 2, u32::from(now.minute())),
        (17, 2, u32::from(now.second())),
        (20, 6, now.microsecond()),
    ];
    for (from, width, mut number) in fields {
        for digit in text.iter_mut().skip(from).take(width).rev() {
            // A remainder of 10 is one digit.
            *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
            number /= 10;
        }
    }
    line.text("time", std::str::from_utf8(&text).unwrap_or_default());
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
            assert_eq!(written(asked, Some(&tenant)), r#"{"tenant":"t1","library":"lib"}"#);
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
