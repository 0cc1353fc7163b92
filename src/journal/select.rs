//! Which records are asked for. Most lines that are not are told by a few of their bytes.

use std::time::SystemTime;

use memchr::memmem;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::glob::{NameGlob, PathGlob};
use crate::journal::chain::Sealed;
use crate::journal::entry::{Became, Entry, Event};

/// What is asked for, by what operators write. A list that is empty leaves it open.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// From then on.
    pub since: Option<SystemTime>,
    /// Before then.
    pub until: Option<SystemTime>,
    /// What it is about.
    pub events: Vec<Event>,
    /// Who asked.
    pub callers: Vec<NameGlob>,
    /// For which tenant.
    pub tenants: Vec<NameGlob>,
    /// For which file.
    pub paths: Vec<PathGlob>,
    /// What became of it.
    pub outcomes: Vec<Became>,
    /// With which code.
    pub codes: Vec<NameGlob>,
    /// As which request.
    pub request_id: Option<String>,
}

/// The same, made ready for millions of lines.
#[derive(Debug)]
pub struct Selection {
    wanted: Wanted,
    since: Option<String>,
    until: Option<String>,
    /// What stands in the text of every record that is asked for.
    needles: Vec<memmem::Finder<'static>>,
}

/// What a record is to whoever asks.
#[derive(Debug)]
pub enum Looked<'l> {
    /// Not asked for.
    Other,
    /// Asked for.
    Wanted(Box<Entry<'l>>),
    /// Its fields are not what they should be.
    NotUnderstood,
}

impl From<Wanted> for Selection {
    fn from(wanted: Wanted) -> Self {
        let name = |field: &str, globs: &[NameGlob]| match globs {
            [glob] => glob.literal().and_then(|name| needle(field, name)),
            _ => None,
        };
        let outcome = match *wanted.outcomes {
            [one] => needle("outcome", one.as_str()),
            _ => None,
        };
        let request = wanted.request_id.as_deref().and_then(|id| needle("request_id", id));
        let needles = [
            request,
            name("caller", &wanted.callers),
            name("tenant", &wanted.tenants),
            name("code", &wanted.codes),
            outcome,
        ];
        Self {
            since: wanted.since.map(stamp),
            until: wanted.until.map(stamp),
            needles: needles.into_iter().flatten().collect(),
            wanted,
        }
    }
}

/// What a field of this value looks like in a line, where it can look like nothing else: a text that
/// JSON needs no escape for has none.
fn needle(field: &str, value: &str) -> Option<memmem::Finder<'static>> {
    let plain = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~@:".contains(&byte));
    plain.then(|| memmem::Finder::new(&format!("\"{field}\":\"{value}\"")).into_owned())
}

impl Selection {
    /// Looks at a record.
    #[must_use]
    pub fn look<'l>(&self, record: &Sealed<'l>) -> Looked<'l> {
        if self.rules_out(record.body()) {
            return Looked::Other;
        }
        match Entry::parse(record.text()) {
            Err(_) => Looked::NotUnderstood,
            Ok(entry) if self.wants(&entry) => Looked::Wanted(Box::new(entry)),
            Ok(_) => Looked::Other,
        }
    }

    /// Whether a few bytes show that the record is not asked for.
    fn rules_out(&self, body: &[u8]) -> bool {
        if let Some((time, event)) = beginning(body)
            && !(self.is_within(time) && self.is_about(event))
        {
            return true;
        }
        self.needles.iter().any(|needle| needle.find(body).is_none())
    }

    fn is_within(&self, time: &str) -> bool {
        self.since.as_deref().is_none_or(|since| since <= time)
            && self.until.as_deref().is_none_or(|until| time < until)
    }

    fn is_about(&self, event: Event) -> bool {
        self.wanted.events.is_empty() || self.wanted.events.contains(&event)
    }

    fn wants(&self, entry: &Entry<'_>) -> bool {
        let wanted = &self.wanted;
        let named = |globs: &[NameGlob], name: Option<&str>| {
            globs.is_empty() || name.is_some_and(|name| globs.iter().any(|glob| glob.matches(name)))
        };
        let at = |path: &str| wanted.paths.iter().any(|glob| glob.matches(path));
        self.is_within(&entry.time)
            && self.is_about(entry.event)
            && named(&wanted.callers, entry.caller.as_deref())
            && named(&wanted.tenants, entry.tenant.as_deref())
            && named(&wanted.codes, entry.code.as_deref())
            && (wanted.outcomes.is_empty()
                || entry.outcome.is_some_and(|became| wanted.outcomes.contains(&became)))
            && wanted.request_id.as_deref().is_none_or(|id| entry.request_id.as_deref() == Some(id))
            && (wanted.paths.is_empty() || entry.path.as_deref().is_some_and(at))
    }
}

/// The time and the event, where they stand first, as the gateway writes them. Wherever else they are,
/// the JSON tells.
fn beginning(body: &[u8]) -> Option<(&str, Event)> {
    let (time, rest) = text(body.strip_prefix(b"\"time\":\"")?)?;
    let (event, _) = text(rest.strip_prefix(b",\"event\":\"")?)?;
    let known = Event::ALL.into_iter().find(|known| known.as_str() == event);
    Some((time, known.unwrap_or(Event::Other)))
}

/// Up to the quote, and what is behind it.
fn text(from: &[u8]) -> Option<(&str, &[u8])> {
    let end = memchr::memchr2(b'"', b'\\', from)?;
    let (text, rest) = from.split_at_checked(end)?;
    Some((str::from_utf8(text).ok()?, rest.strip_prefix(b"\"")?))
}

/// A moment as records write it: as texts they are in order.
fn stamp(moment: SystemTime) -> String {
    const FORMAT: &[BorrowedFormatItem<'_>] =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
    OffsetDateTime::from(moment).format(FORMAT).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::journal::chain::Head;

    fn look(wanted: Wanted, body: &str) -> &'static str {
        let mut line = Vec::new();
        Head::of_new().seal(body.as_bytes(), &mut line);
        line.pop();
        match Selection::from(wanted).look(&Sealed::parse(&line).unwrap()) {
            Looked::Other => "no",
            Looked::Wanted(_) => "yes",
            Looked::NotUnderstood => "not understood",
        }
    }

    fn name(text: &str) -> Vec<NameGlob> {
        vec![NameGlob::try_from(text).unwrap()]
    }

    const BODY: &str = r#""time":"2026-11-25T13:38:16.123456Z","event":"delete","request_id":"r-1","caller":"app","tenant":"photos","path":"a\"b/c.jpg","outcome":"refused","code":"DeniedByRule""#;

    #[test]
    fn each_wish_takes_what_it_names_and_nothing_else() {
        let path = |glob: &str| vec![PathGlob::try_from(glob).unwrap()];
        let none = Wanted::default;
        for (wanted, says) in [
            (none(), "yes"),
            (Wanted { events: vec![Event::Delete], ..none() }, "yes"),
            (Wanted { events: vec![Event::Intent, Event::Undo], ..none() }, "no"),
            (Wanted { callers: name("app"), ..none() }, "yes"),
            (Wanted { callers: name("a*"), ..none() }, "yes"),
            (Wanted { callers: name("ap"), ..none() }, "no"),
            (Wanted { callers: [name("x"), name("app")].concat(), ..none() }, "yes"),
            (Wanted { tenants: name("app"), ..none() }, "no"),
            (Wanted { paths: path("a\"b/**"), ..none() }, "yes"),
            (Wanted { paths: path("*"), ..none() }, "no"),
            (Wanted { outcomes: vec![Became::Refused], ..none() }, "yes"),
            (Wanted { outcomes: vec![Became::Relayed, Became::Unknown], ..none() }, "no"),
            (Wanted { codes: name("DeniedBy*"), ..none() }, "yes"),
            (Wanted { codes: name("Frozen"), ..none() }, "no"),
            (Wanted { request_id: Some("r-1".into()), ..none() }, "yes"),
            (Wanted { request_id: Some("r-".into()), ..none() }, "no"),
        ] {
            assert_eq!(look(wanted.clone(), BODY), says, "{wanted:?}");
        }
    }

    #[test]
    fn a_time_is_compared_to_the_microsecond() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_613_896_123_456);
        assert_eq!(stamp(at), "2026-11-25T13:38:16.123456Z");
        let later = Some(at + Duration::from_micros(1));
        for (since, until, says) in [
            (Some(at), None, "yes"),
            (later, None, "no"),
            (None, Some(at), "no"),
            (None, later, "yes"),
            (Some(at), later, "yes"),
        ] {
            let wanted = Wanted { since, until, ..Wanted::default() };
            assert_eq!(look(wanted, BODY), says, "{since:?} {until:?}");
        }
    }

    #[test]
    fn where_the_fields_stand_elsewhere_the_json_tells() {
        let body = r#""event":"undo","time":"2026-11-25T13:38:16.123456Z""#;
        assert_eq!(look(Wanted { events: vec![Event::Undo], ..Wanted::default() }, body), "yes");
        assert_eq!(look(Wanted { events: vec![Event::Delete], ..Wanted::default() }, body), "no");
        let newer = r#""time":"2026-11-25T13:38:16.123456Z","event":"moved""#;
        assert_eq!(look(Wanted::default(), newer), "yes", "of an event that came later");
        assert_eq!(look(Wanted { events: Event::ALL.to_vec(), ..Wanted::default() }, newer), "no");
    }

    #[test]
    fn a_record_that_is_no_json_or_has_other_types_is_not_understood() {
        for body in [r#""x":"#, r#""time":1,"event":"delete""#, r#""event":"delete""#] {
            assert_eq!(look(Wanted::default(), body), "not understood", "{body}");
        }
    }

    #[test]
    fn what_a_caller_writes_is_not_taken_for_a_field() {
        let body = r#""time":"2026-11-25T13:38:16.123456Z","event":"delete","caller":"app","path":"\"caller\":\"other\"""#;
        let wanted = Wanted { callers: name("other"), ..Wanted::default() };
        assert_eq!(look(wanted, body), "no");
    }
}
