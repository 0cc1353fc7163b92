//! Why: the reasons behind the codes, in words for the caller.
//!
//! No text here repeats anything a caller sent, so that an answer can be logged and shown as is.

use std::fmt;

use crate::ids::FreezeReason;
use crate::refusal::{MAX_FIELDS, MAX_NAME_BYTES};

/// What is wrong with a request as HTTP (RFC 9112).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's text says what it is")]
pub enum RequestFault {
    #[error("the request line is not `METHOD target HTTP/1.1`")]
    RequestLine,
    #[error("the HTTP version is not 1.0 or 1.1")]
    Version,
    #[error("the request target has a character that must be percent-encoded")]
    TargetCharacter,
    #[error("a line does not end in CR LF")]
    LineEnd,
    #[error("a header field is not `name: value`")]
    Field,
    #[error("a header line starts with white space")]
    FoldedField,
    #[error("Content-Length is repeated or not a number")]
    ContentLength,
    #[error("Transfer-Encoding is repeated, not `chunked`, or beside a Content-Length")]
    TransferEncoding,
    #[error("the request head was not complete in time")]
    HeadTimeout,
    #[error("the connection ended inside the request head")]
    HeadTruncated,
    #[error("exactly one well-formed Host is needed")]
    Host,
    #[error("the authority of the target is not that of Host")]
    Authority,
    #[error("the target is not a path")]
    TargetForm,
    #[error("X-Dry-Run is given once, as 1, or not at all")]
    DryRun,
}

/// What there is too much of in a request head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadExcess {
    /// More than so many bytes, which is the listener's bound.
    #[error("at most {0} bytes of request line and header fields are taken")]
    Bytes(usize),
    /// Too many header fields.
    #[error("at most {MAX_FIELDS} header fields are taken")]
    Fields,
    /// The name of one is too long.
    #[error("the name of a header field has at most {MAX_NAME_BYTES} bytes")]
    Name,
}

/// What is wrong with the path of a delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's text says what it is")]
pub enum PathFault {
    #[error("the path is empty: a delete names one file")]
    Empty,
    #[error("a segment is empty: no leading, trailing or double slash")]
    EmptySegment,
    #[error("`.` and `..` are not allowed as segments, in any encoding")]
    DotSegment,
    #[error("backslashes are not allowed")]
    Backslash,
    #[error("control characters are not allowed")]
    Control,
    #[error("a `%` is not followed by two hexadecimal digits")]
    BrokenEscape,
    #[error("the decoded path is not UTF-8")]
    NotUtf8,
    #[error("characters outside ASCII must be percent-encoded")]
    NotEncoded,
}

/// What is wrong with the query of a delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's text says what it is")]
pub enum QueryFault {
    #[error("only `permanent` and `user_id` are known here")]
    UnknownParameter,
    #[error("a caller does not send SMH credentials: the gateway adds its own")]
    Credential,
    #[error("a parameter is given twice")]
    Repeated,
    #[error("`permanent` is 0 or 1")]
    Permanent,
    #[error("`user_id` is 1 to 256 bytes of percent-encoded UTF-8 without control characters")]
    UserId,
    #[error("this tenant takes no `user_id` from callers")]
    UserIdForbidden,
}

/// Why a delete would be permanent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Permanence {
    /// The caller sent `permanent=1`.
    #[error("permanent=1 was asked for, and no rule of the policy allows it")]
    Asked,
    /// The library keeps nothing: whatever is deleted there is gone.
    #[error(
        "the recycle bin of this library is off, so every delete there is permanent, and no rule \
         of the policy allows it"
    )]
    RecycleBinOff,
}

/// What an operator froze.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frozen {
    /// Every delete.
    Everything,
    /// Those of the caller.
    Caller,
    /// Those for the tenant.
    Tenant,
}

impl fmt::Display for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Everything => "all deletes are frozen",
            Self::Caller => "deletes of this caller are frozen",
            Self::Tenant => "deletes for this tenant are frozen",
        })
    }
}

/// Why deletes are frozen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FreezeFault {
    /// An operator said so in the policy.
    #[error("{what} by an operator{}", told(.reason.as_ref()))]
    Operator {
        /// What is frozen.
        what: Frozen,
        /// What the operator wrote to it.
        reason: Option<FreezeReason>,
    },
    /// SMH destroyed what it should have recycled.
    #[error(
        "deletes for this tenant are halted: SMH destroyed a file that should have gone to the \
         recycle bin; an operator has to look"
    )]
    Irreversible,
}

fn told(reason: Option<&FreezeReason>) -> String {
    reason.map(|reason| format!(": {reason}")).unwrap_or_default()
}

/// How far a delete had come when SMH could not be heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's text says what it is")]
pub enum UpstreamFault {
    #[error("no connection to SMH could be made")]
    Unreachable,
    #[error("SMH refused to take the delete")]
    Refused,
    #[error("deletes for this tenant were halted before this one was sent")]
    Halted,
    #[error("SMH rejected the gateway's token, and there was no other")]
    CredentialRejected,
    #[error("SMH answered with a redirect, which is neither followed nor relayed")]
    Redirected,
    #[error("SMH's answer was not whole, well-formed HTTP")]
    NotHttp,
    #[error("the connection to SMH ended before its answer was complete")]
    Incomplete,
    #[error("SMH's answer was larger than the gateway takes")]
    TooLarge,
    #[error("SMH's answer could not be inspected")]
    Opaque,
    #[error("SMH's answer repeated a credential")]
    EchoedCredential,
    #[error("SMH did not answer in time")]
    Timeout,
    #[error("no connection to SMH was free in time")]
    TimeoutBeforeSending,
}

impl UpstreamFault {
    /// The word for it in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Halted => "halted",
            Self::CredentialRejected => "credential_rejected",
            Self::Redirected => "redirected",
            Self::NotHttp => "not_http",
            Self::Incomplete => "incomplete",
            Self::TooLarge => "too_large",
            Self::Opaque => "opaque",
            Self::EchoedCredential => "echoed_credential",
            Self::Timeout => "timeout",
            Self::TimeoutBeforeSending => "timeout_before_sending",
        }
    }
}
