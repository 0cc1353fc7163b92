//! Every answer that is the gateway's own: why, with which status and code, and what became of
//! the delete.
//!
//! [`Code`] is the table; [`Refusal`] is one decision with its reason; `render` makes the answer.

mod code;
mod credential;
mod fault;
pub(crate) mod render;

pub use self::code::Code;
pub use self::credential::{CertificateFault, CredentialFault, JwtFault};
pub use self::fault::{
    FreezeFault, Frozen, HeadExcess, PathFault, Permanence, QueryFault, RequestFault, UpstreamFault,
};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::ids::{Citation, LimitName, RuleName};

/// What a caller must know before it tries again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// SMH did not get the delete, or certainly did not act on it.
    NotSent,
    /// It was sent, and no whole answer came: the file may be gone.
    Unknown,
}

impl Outcome {
    /// The word for it in answers, logs and the audit.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
        }
    }
}

/// Why a delete is not carried out, or why its result cannot be told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// No such path on this listener.
    UnknownRoute,
    /// Another method than DELETE.
    MethodNotAllowed,
    /// Not well-formed HTTP.
    InvalidRequest(RequestFault),
    /// The request target is longer than the gateway takes.
    TargetTooLong,
    /// The header section is larger than the listener takes.
    HeadersTooLarge(HeadExcess),
    /// The path does not name one file.
    InvalidPath(PathFault),
    /// The query is not one a delete may have.
    InvalidQuery(QueryFault),
    /// The request has a body.
    BodyNotAllowed,
    /// Nobody known.
    Unauthenticated(CredentialFault),
    /// The keys that the caller's token is checked with could not be fetched.
    IssuerKeysUnavailable,
    /// No such tenant for this caller, or none at all.
    TenantNotGranted,
    /// The delete would be permanent, and nothing allows it.
    PermanentDeleteBlocked(Permanence),
    /// A rule denies it.
    DeniedByRule(Arc<Citation>),
    /// The tenant, the caller or everything is frozen.
    Frozen(FreezeFault),
    /// A limit is used up.
    RateLimited(Box<Exhausted>),
    /// More deletes are in flight than configured.
    Overloaded,
    /// The store of the limits does not answer, and nothing goes on without it.
    RateLimitStoreUnavailable,
    /// It cannot be recorded, and nothing is sent that is not.
    AuditUnavailable,
    /// The library's token could not be read.
    TokenUnavailable,
    /// SMH could not be heard, or must not be relayed.
    Upstream(UpstreamFault),
}

/// The limit that a delete ran into, as the answer tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exhausted {
    /// Which limit.
    pub limit: LimitName,
    /// How long until the next delete can pass it.
    pub wait: Duration,
    /// How many deletes a window allows.
    pub quota: u32,
    /// The length of a window.
    pub window: Duration,
}

impl Refusal {
    /// The row of the table.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::UnknownRoute => Code::UnknownRoute,
            Self::MethodNotAllowed => Code::MethodNotAllowed,
            Self::InvalidRequest(_) => Code::InvalidRequest,
            Self::TargetTooLong => Code::TargetTooLong,
            Self::HeadersTooLarge(_) => Code::HeadersTooLarge,
            Self::InvalidPath(_) => Code::InvalidPath,
            Self::InvalidQuery(_) => Code::InvalidQuery,
            Self::BodyNotAllowed => Code::BodyNotAllowed,
            Self::Unauthenticated(_) => Code::Unauthenticated,
            Self::IssuerKeysUnavailable => Code::IssuerKeysUnavailable,
            Self::TenantNotGranted => Code::TenantNotGranted,
            Self::PermanentDeleteBlocked(_) => Code::PermanentDeleteBlocked,
            Self::DeniedByRule(_) => Code::DeniedByRule,
            Self::Frozen(_) => Code::Frozen,
            Self::RateLimited(_) => Code::RateLimited,
            Self::Overloaded => Code::Overloaded,
            Self::RateLimitStoreUnavailable => Code::RateLimitStoreUnavailable,
            Self::AuditUnavailable => Code::AuditUnavailable,
            Self::TokenUnavailable => Code::TokenUnavailable,
            Self::Upstream(fault) => match fault {
                UpstreamFault::Unreachable | UpstreamFault::Refused => Code::UpstreamUnreachable,
                UpstreamFault::Halted => Code::Frozen,
                UpstreamFault::CredentialRejected => Code::UpstreamCredentialRejected,
                UpstreamFault::Redirected => Code::UpstreamRedirected,
                UpstreamFault::NotHttp
                | UpstreamFault::Incomplete
                | UpstreamFault::TooLarge
                | UpstreamFault::Opaque
                | UpstreamFault::EchoedCredential => Code::UpstreamProtocolError,
                UpstreamFault::Timeout | UpstreamFault::TimeoutBeforeSending => {
                    Code::UpstreamTimeout
                }
            },
        }
    }

    /// Whether SMH may have acted.
    ///
    /// A rejected token counts as not sent: SMH says that it did nothing, and a caller may try
    /// again without looking. A redirect or a broken answer says nothing of the kind.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Upstream(
                UpstreamFault::Redirected
                | UpstreamFault::NotHttp
                | UpstreamFault::Incomplete
                | UpstreamFault::TooLarge
                | UpstreamFault::Opaque
                | UpstreamFault::EchoedCredential
                | UpstreamFault::Timeout,
            ) => Outcome::Unknown,
            Self::Upstream(
                UpstreamFault::Unreachable
                | UpstreamFault::Refused
                | UpstreamFault::Halted
                | UpstreamFault::CredentialRejected
                | UpstreamFault::TimeoutBeforeSending,
            )
            | Self::UnknownRoute
            | Self::MethodNotAllowed
            | Self::InvalidRequest(_)
            | Self::TargetTooLong
            | Self::HeadersTooLarge(_)
            | Self::InvalidPath(_)
            | Self::InvalidQuery(_)
            | Self::BodyNotAllowed
            | Self::Unauthenticated(_)
            | Self::IssuerKeysUnavailable
            | Self::TenantNotGranted
            | Self::PermanentDeleteBlocked(_)
            | Self::DeniedByRule(_)
            | Self::Frozen(_)
            | Self::RateLimited(_)
            | Self::Overloaded
            | Self::RateLimitStoreUnavailable
            | Self::AuditUnavailable
            | Self::TokenUnavailable => Outcome::NotSent,
        }
    }

    /// The rule that decided, if one did.
    #[must_use]
    pub fn rule(&self) -> Option<&RuleName> {
        self.cited().map(|cited| &cited.rule)
    }

    /// The same, with what stands behind it.
    #[must_use]
    pub fn cited(&self) -> Option<&Citation> {
        if let Self::DeniedByRule(cited) = self { Some(cited) } else { None }
    }

    /// The limit that is used up, if one is.
    #[must_use]
    pub fn limit(&self) -> Option<&LimitName> {
        if let Self::RateLimited(exhausted) = self { Some(&exhausted.limit) } else { None }
    }

    /// Whether the connection ends with this answer: where the next request begins is not certain,
    /// or no request on it can be answered otherwise.
    #[must_use]
    pub fn closes_connection(&self) -> bool {
        matches!(
            self,
            Self::InvalidRequest(_)
                | Self::TargetTooLong
                | Self::HeadersTooLarge(_)
                | Self::BodyNotAllowed
        ) || self.asks_for_another_certificate()
    }

    /// Whether the caller's certificate was good and is no more: only on a new connection can the
    /// caller show another one.
    #[must_use]
    pub fn asks_for_another_certificate(&self) -> bool {
        matches!(
            self,
            Self::Unauthenticated(CredentialFault::Certificate(
                CertificateFault::Expired | CertificateFault::Distrusted
            ))
        )
    }

    /// How long a caller should wait before it tries again, where that is known or prudent.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        /// A token file that is missing is usually being replaced: a matter of seconds.
        const TOKEN: Duration = Duration::from_secs(5);
        /// An issuer that is not reached is asked again within seconds.
        const ISSUER_KEYS: Duration = Duration::from_secs(5);
        /// Deletes in flight end within milliseconds: a second is long.
        const OVERLOADED: Duration = Duration::from_secs(1);
        /// The store is tried again within a second.
        const STORE: Duration = Duration::from_secs(1);
        /// So is the journal.
        const JOURNAL: Duration = Duration::from_secs(1);
        match self {
            Self::RateLimited(exhausted) => Some(exhausted.wait),
            Self::TokenUnavailable => Some(TOKEN),
            Self::IssuerKeysUnavailable => Some(ISSUER_KEYS),
            Self::Overloaded => Some(OVERLOADED),
            Self::RateLimitStoreUnavailable => Some(STORE),
            Self::AuditUnavailable => Some(JOURNAL),
            Self::UnknownRoute
            | Self::MethodNotAllowed
            | Self::InvalidRequest(_)
            | Self::TargetTooLong
            | Self::HeadersTooLarge(_)
            | Self::InvalidPath(_)
            | Self::InvalidQuery(_)
            | Self::BodyNotAllowed
            | Self::Unauthenticated(_)
            | Self::TenantNotGranted
            | Self::PermanentDeleteBlocked(_)
            | Self::DeniedByRule(_)
            | Self::Frozen(_)
            | Self::Upstream(_) => None,
        }
    }
}

/// The `detail` of the answer: for the caller, so it tells nothing a caller may not know.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownRoute => f.write_str("use DELETE /v1/files/{tenant}/{path}"),
            Self::MethodNotAllowed => f.write_str("use DELETE"),
            Self::InvalidRequest(fault) => fault.fmt(f),
            Self::TargetTooLong => write!(f, "at most {MAX_TARGET_BYTES} bytes are taken"),
            Self::HeadersTooLarge(excess) => excess.fmt(f),
            Self::InvalidPath(fault) => fault.fmt(f),
            Self::InvalidQuery(fault) => fault.fmt(f),
            Self::BodyNotAllowed => f.write_str("send the delete without a body"),
            // Which part was wrong would help to guess: the log has it.
            Self::Unauthenticated(_) => f.write_str("no credential, or a wrong one"),
            Self::IssuerKeysUnavailable => {
                f.write_str("the keys of the caller's token issuer are not at hand; try again soon")
            }
            Self::TenantNotGranted => {
                f.write_str("the tenant does not exist, or is not granted to this caller")
            }
            Self::PermanentDeleteBlocked(permanence) => permanence.fmt(f),
            Self::DeniedByRule(cited) => write!(f, "the rule \"{}\" denies it", cited.rule),
            Self::Frozen(fault) => fault.fmt(f),
            Self::RateLimited(exhausted) => {
                write!(f, "the limit \"{}\" is used up", exhausted.limit)
            }
            Self::Overloaded => f.write_str("too many deletes are in flight; try again soon"),
            Self::AuditUnavailable => {
                f.write_str("the delete cannot be recorded, and was not sent; try again later")
            }
            Self::RateLimitStoreUnavailable => {
                f.write_str("the rate limits cannot be looked at; try again soon")
            }
            Self::TokenUnavailable => {
                f.write_str("the gateway has no token for this library at the moment")
            }
            Self::Upstream(fault) => fault.fmt(f),
        }
    }
}

/// Longest request target, in bytes.
pub const MAX_TARGET_BYTES: usize = 8 * 1024;

/// Most header fields in a request.
pub const MAX_FIELDS: usize = 100;

/// Longest name of a header field, in bytes: one more, and hyper would give an answer of its own.
pub const MAX_NAME_BYTES: usize = 64 * 1024 - 1;
