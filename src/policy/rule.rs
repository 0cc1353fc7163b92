//! One rule: whom and what it is about, until when, and whether it counts.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use time::Date;
use time::macros::format_description;

use crate::glob::{NameGlob, PathGlob};
use crate::ids::{Citation, UserId};
use crate::policy::{Subject, moment};

/// One rule of policy.yaml.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// How answers, the log and the audit call it.
    pub cited: Arc<Citation>,
    /// What it does to a delete that it applies to.
    pub effect: Effect,
    /// What it is about.
    pub matches: Selector,
    /// What it is not about although it matches.
    pub except: Option<Selector>,
    /// When it ends.
    pub until: Option<Until>,
    /// Whether it counts.
    pub mode: RuleMode,
    /// The line on which it begins, from 1.
    pub line: u32,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Denies.
    Deny,
    /// Lets a permanent delete through, where the policy heeds such rules.
    AllowPermanent,
}

impl Effect {
    /// The word for it in policy.yaml, metrics and explanations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::AllowPermanent => "allow_permanent",
        }
    }
}

/// Whether a rule or a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RuleMode {
    /// It does.
    #[default]
    Enforce,
    /// What it would do is counted and recorded, and not done.
    Shadow,
}

impl RuleMode {
    /// The word for it in policy.yaml, metrics and explanations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Shadow => "shadow",
        }
    }
}

/// When a rule ends. Past it, it applies to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Until {
    /// As the operator wrote it.
    written: Box<str>,
    /// The first moment at which it does not apply.
    end: SystemTime,
}

impl Until {
    /// Whether the rule has ended. This is the one place where that is decided.
    #[must_use]
    pub fn is_past(&self, now: SystemTime) -> bool {
        now >= self.end
    }
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

/// A day, which counts to its end in UTC, or a moment of RFC 3339.
impl TryFrom<&str> for Until {
    type Error = &'static str;

    fn try_from(text: &str) -> Result<Self, Self::Error> {
        const MISWRITTEN: &str =
            "it is a day such as `2026-12-31`, or a moment such as `2026-12-31T18:00:00Z`";
        let last_day = Date::parse(text, format_description!("[year]-[month]-[day]"));
        // A sign before the year would be taken, too.
        let end = match last_day.ok().filter(|_| text.starts_with(|c: char| c.is_ascii_digit())) {
            Some(last_day) => {
                let next = last_day.next_day().ok_or("it is too far ahead: leave it out")?;
                next.midnight().assume_utc().into()
            }
            None => moment(text, MISWRITTEN)?,
        };
        Ok(Self { written: text.into(), end })
    }
}

/// Conditions on a delete: all that are given must hold, and of each any one glob.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    /// The caller's name.
    pub callers: Option<Vec<NameGlob>>,
    /// The tenant's name.
    pub tenants: Option<Vec<NameGlob>>,
    /// The decoded path.
    pub paths: Option<Vec<PathGlob>>,
    /// The `user_id` that SMH would be told; a delete without one never matches.
    pub user_ids: Option<Vec<NameGlob>>,
}

/// One of the conditions of a [`Selector`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// `callers`.
    Callers,
    /// `tenants`.
    Tenants,
    /// `user_ids`.
    UserIds,
    /// `paths`.
    Paths,
}

impl Condition {
    /// The field of policy.yaml.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Callers => "callers",
            Self::Tenants => "tenants",
            Self::UserIds => "user_ids",
            Self::Paths => "paths",
        }
    }
}

impl Selector {
    /// The first condition that the delete does not fulfil; `None`: it fulfils every one.
    #[must_use]
    pub fn mismatch(&self, subject: &Subject<'_>) -> Option<Condition> {
        fn any(globs: Option<&[NameGlob]>, name: Option<&str>) -> bool {
            globs.is_none_or(|globs| name.is_some_and(|n| globs.iter().any(|g| g.matches(n))))
        }
        if !any(self.callers.as_deref(), Some(subject.caller.name.as_str())) {
            return Some(Condition::Callers);
        }
        if !any(self.tenants.as_deref(), Some(subject.tenant.name.as_str())) {
            return Some(Condition::Tenants);
        }
        if !any(self.user_ids.as_deref(), subject.user_id.map(UserId::as_str)) {
            return Some(Condition::UserIds);
        }
        let path = subject.path.as_str();
        match &self.paths {
            Some(globs) if !globs.iter().any(|glob| glob.matches(path)) => Some(Condition::Paths),
            Some(_) | None => None,
        }
    }

    /// Whether the delete fulfils every condition.
    #[must_use]
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        self.mismatch(subject).is_none()
    }
}

/// How a rule stands to one delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is about this delete.
    Applies,
    /// It ended before.
    Expired,
    /// It is about others: this condition does not hold.
    Mismatch(Condition),
    /// It would be about this delete, were it not for its exception.
    Excepted,
}

impl Rule {
    /// How it stands to a delete at a time: the one place where that is decided.
    #[must_use]
    pub fn standing(&self, subject: &Subject<'_>, now: SystemTime) -> Standing {
        if let Some(condition) = self.matches.mismatch(subject) {
            Standing::Mismatch(condition)
        } else if self.except.as_ref().is_some_and(|except| except.matches(subject)) {
            Standing::Excepted
        } else if self.until.as_ref().is_some_and(|until| until.is_past(now)) {
            Standing::Expired
        } else {
            Standing::Applies
        }
    }

    /// Whether it lasts at least as long as another.
    #[must_use]
    pub fn outlasts(&self, other: &Self) -> bool {
        match (&self.until, &other.until) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(until), Some(others)) => until.end >= others.end,
        }
    }

    pub(super) fn applies(&self, subject: &Subject<'_>, now: SystemTime) -> bool {
        self.standing(subject, now) == Standing::Applies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_ends_with_its_last_day_or_at_its_moment() {
        let at = |text| moment(text, "").unwrap();
        for (until, last, first_past) in [
            ("2026-12-31", "2026-12-31T23:59:59.999999999Z", "2027-01-01T00:00:00Z"),
            ("2028-02-28", "2028-02-28T23:59:59Z", "2028-02-29T00:00:00Z"),
            ("2026-12-31T18:00:00Z", "2026-12-31T17:59:59.9Z", "2026-12-31T18:00:00Z"),
            ("2026-12-31T18:00:00+08:00", "2026-12-31T09:59:59Z", "2026-12-31T10:00:00Z"),
        ] {
            let until = Until::try_from(until).unwrap();
            assert!(!until.is_past(at(last)), "{until} {last}");
            assert!(until.is_past(at(first_past)), "{until} {first_past}");
        }
    }

    #[test]
    fn what_is_no_day_is_no_end() {
        for text in [
            "",
            "tomorrow",
            "2026-02-30",
            "31.12.2026",
            "2026-12-31T18:00",
            "-0001-01-01",
            "+2026-12-31",
            "9999-12-31",
            "9999-12-31T23:59:59-23:59",
            "0000-01-01T00:00:00+23:59",
        ] {
            assert!(Until::try_from(text).is_err(), "{text}");
        }
    }
}
