//! The checks that a delete passes, in their order (interface.md, section 2).

use crate::refusal::{QueryFault, Refusal};

/// One check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The path names one file, and is not too long to ask for.
    Path,
    /// `user_id` can be one.
    Query,
    /// The caller is known.
    Authentication,
    /// The tenant exists and is granted.
    Grant,
    /// The tenant takes the `user_id`.
    UserId,
    /// Nothing that concerns it is frozen.
    Freeze,
    /// It can be undone, or a rule lets it through.
    Permanence,
    /// No rule denies it.
    Rules,
    /// No limit is used up.
    Limits,
    /// There is a token to send it with.
    Token,
}

impl Step {
    /// All of them, in order.
    pub const ALL: [Self; 10] = [
        Self::Path,
        Self::Query,
        Self::Authentication,
        Self::Grant,
        Self::UserId,
        Self::Freeze,
        Self::Permanence,
        Self::Rules,
        Self::Limits,
        Self::Token,
    ];

    /// What it is called.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Authentication => "authentication",
            Self::Grant => "tenant grant",
            Self::UserId => "user_id",
            Self::Freeze => "freeze",
            Self::Permanence => "permanent deletes",
            Self::Rules => "rules",
            Self::Limits => "rate limits",
            Self::Token => "token",
        }
    }

    /// The check that refuses with this; `None`: none of these does.
    pub(super) fn of(refusal: &Refusal) -> Option<Self> {
        match refusal {
            Refusal::TargetTooLong | Refusal::InvalidPath(_) => Some(Self::Path),
            Refusal::InvalidQuery(QueryFault::UserIdForbidden) => Some(Self::UserId),
            Refusal::InvalidQuery(_) => Some(Self::Query),
            Refusal::Unauthenticated(_) | Refusal::IssuerKeysUnavailable => {
                Some(Self::Authentication)
            }
            Refusal::TenantNotGranted => Some(Self::Grant),
            Refusal::Frozen(_) => Some(Self::Freeze),
            Refusal::PermanentDeleteBlocked(_) => Some(Self::Permanence),
            Refusal::DeniedByRule(_) => Some(Self::Rules),
            Refusal::RateLimited(_) | Refusal::RateLimitStoreUnavailable => Some(Self::Limits),
            Refusal::TokenUnavailable => Some(Self::Token),
            Refusal::UnknownRoute
            | Refusal::MethodNotAllowed
            | Refusal::InvalidRequest(_)
            | Refusal::HeadersTooLarge(_)
            | Refusal::BodyNotAllowed
            | Refusal::Overloaded
            | Refusal::AuditUnavailable
            | Refusal::Upstream(_) => None,
        }
    }
}
