//! The table of refusals: the one source of each status, code, metric label and audit word.

use http::StatusCode;

/// Every answer that is the gateway's own, by name (interface.md, section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the table below says what each one is")]
pub enum Code {
    UnknownRoute,
    InvalidRequest,
    InvalidPath,
    InvalidQuery,
    BodyNotAllowed,
    Unauthenticated,
    TenantNotGranted,
    PermanentDeleteBlocked,
    DeniedByRule,
    Frozen,
    MethodNotAllowed,
    TargetTooLong,
    HeadersTooLarge,
    RateLimited,
    UpstreamUnreachable,
    UpstreamCredentialRejected,
    UpstreamRedirected,
    UpstreamProtocolError,
    TokenUnavailable,
    IssuerKeysUnavailable,
    Overloaded,
    Draining,
    RateLimitStoreUnavailable,
    AuditUnavailable,
    UpstreamTimeout,
}

/// What stands in one row of the table.
struct Row {
    status: StatusCode,
    name: &'static str,
    title: &'static str,
    proxy_error: &'static str,
}

/// Proxy error types of RFC 9209, section 2.3.
mod proxy_error {
    pub(super) const BAD_REQUEST: &str = "http_request_error";
    pub(super) const DENIED: &str = "http_request_denied";
    pub(super) const UNREACHABLE: &str = "destination_unavailable";
    pub(super) const PROTOCOL: &str = "http_protocol_error";
    pub(super) const TIMEOUT: &str = "http_response_timeout";
    pub(super) const INTERNAL: &str = "proxy_internal_error";
}

impl Code {
    /// Every code, in the order of the table: to give each its metric before the first request.
    pub const ALL: [Self; 25] = [
        Self::UnknownRoute,
        Self::InvalidRequest,
        Self::InvalidPath,
        Self::InvalidQuery,
        Self::BodyNotAllowed,
        Self::Unauthenticated,
        Self::TenantNotGranted,
        Self::PermanentDeleteBlocked,
        Self::DeniedByRule,
        Self::Frozen,
        Self::MethodNotAllowed,
        Self::TargetTooLong,
        Self::HeadersTooLarge,
        Self::RateLimited,
        Self::UpstreamUnreachable,
        Self::UpstreamCredentialRejected,
        Self::UpstreamRedirected,
        Self::UpstreamProtocolError,
        Self::TokenUnavailable,
        Self::IssuerKeysUnavailable,
        Self::Overloaded,
        Self::Draining,
        Self::RateLimitStoreUnavailable,
        Self::AuditUnavailable,
        Self::UpstreamTimeout,
    ];

    /// The HTTP status. Never 200, 204 or 404: these three come from SMH alone.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        self.row().status
    }

    /// The word for it in answers, metrics, logs and the audit.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// A short sentence for people, the same for every occurrence (RFC 9457, section 3.1.3).
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.row().title
    }

    /// The proxy error type of RFC 9209 that says most nearly the same.
    #[must_use]
    pub const fn proxy_error(self) -> &'static str {
        self.row().proxy_error
    }

    #[expect(clippy::too_many_lines, reason = "one table, one row a code, read as a whole")]
    const fn row(self) -> Row {
        use StatusCode as S;
        use proxy_error::{BAD_REQUEST, DENIED, INTERNAL, PROTOCOL, TIMEOUT, UNREACHABLE};
        let (status, name, title, proxy_error) = match self {
            Self::UnknownRoute => {
                (S::BAD_REQUEST, "UnknownRoute", "No such path on this listener", BAD_REQUEST)
            }
            Self::InvalidRequest => (
                S::BAD_REQUEST,
                "InvalidRequest",
                "The request is not well-formed HTTP",
                BAD_REQUEST,
            ),
            Self::InvalidPath => {
                (S::BAD_REQUEST, "InvalidPath", "The path does not name one file", BAD_REQUEST)
            }
            Self::InvalidQuery => (
                S::BAD_REQUEST,
                "InvalidQuery",
                "The query is not one that a delete may have",
                BAD_REQUEST,
            ),
            Self::BodyNotAllowed => {
                (S::BAD_REQUEST, "BodyNotAllowed", "A delete has no request body", BAD_REQUEST)
            }
            Self::Unauthenticated => {
                (S::UNAUTHORIZED, "Unauthenticated", "The caller is not known", DENIED)
            }
            Self::TenantNotGranted => {
                (S::FORBIDDEN, "TenantNotGranted", "The caller has no such tenant", DENIED)
            }
            Self::PermanentDeleteBlocked => {
                (S::FORBIDDEN, "PermanentDeleteBlocked", "Permanent deletes are blocked", DENIED)
            }
            Self::DeniedByRule => {
                (S::FORBIDDEN, "DeniedByRule", "A rule of the policy denies it", DENIED)
            }
            Self::Frozen => (S::FORBIDDEN, "Frozen", "Deletes are frozen", DENIED),
            Self::MethodNotAllowed => (
                S::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                "Only DELETE is served here",
                BAD_REQUEST,
            ),
            Self::TargetTooLong => {
                (S::URI_TOO_LONG, "TargetTooLong", "The request target is too long", BAD_REQUEST)
            }
            Self::HeadersTooLarge => (
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "HeadersTooLarge",
                "The header section is too large",
                BAD_REQUEST,
            ),
            Self::RateLimited => {
                (S::TOO_MANY_REQUESTS, "RateLimited", "A rate limit is used up", DENIED)
            }
            Self::UpstreamUnreachable => {
                (S::BAD_GATEWAY, "UpstreamUnreachable", "SMH could not be reached", UNREACHABLE)
            }
            Self::UpstreamCredentialRejected => (
                S::BAD_GATEWAY,
                "UpstreamCredentialRejected",
                "SMH rejected the gateway's token",
                INTERNAL,
            ),
            Self::UpstreamRedirected => {
                (S::BAD_GATEWAY, "UpstreamRedirected", "SMH answered with a redirect", PROTOCOL)
            }
            Self::UpstreamProtocolError => (
                S::BAD_GATEWAY,
                "UpstreamProtocolError",
                "SMH's answer cannot be relayed",
                PROTOCOL,
            ),
            Self::TokenUnavailable => (
                S::SERVICE_UNAVAILABLE,
                "TokenUnavailable",
                "There is no token for this library",
                INTERNAL,
            ),
            Self::IssuerKeysUnavailable => (
                S::SERVICE_UNAVAILABLE,
                "IssuerKeysUnavailable",
                "The issuer's keys are not at hand",
                INTERNAL,
            ),
            Self::Overloaded => {
                (S::SERVICE_UNAVAILABLE, "Overloaded", "Too many deletes are in flight", INTERNAL)
            }
            Self::Draining => {
                (S::SERVICE_UNAVAILABLE, "Draining", "This gateway is shutting down", INTERNAL)
            }
            Self::RateLimitStoreUnavailable => (
                S::SERVICE_UNAVAILABLE,
                "RateLimitStoreUnavailable",
                "The rate limit store is not at hand",
                INTERNAL,
            ),
            Self::AuditUnavailable => (
                S::SERVICE_UNAVAILABLE,
                "AuditUnavailable",
                "The audit cannot be written",
                INTERNAL,
            ),
            Self::UpstreamTimeout => {
                (S::GATEWAY_TIMEOUT, "UpstreamTimeout", "SMH did not answer in time", TIMEOUT)
            }
        };
        Row { status, name, title, proxy_error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_of_our_answers_can_be_taken_for_smhs() {
        for code in Code::ALL {
            assert!(![200, 204, 404].contains(&code.status().as_u16()), "{code:?}");
        }
    }

    #[test]
    fn every_code_has_a_name_of_its_own_and_is_listed_once() {
        for (index, code) in Code::ALL.iter().enumerate() {
            assert_eq!(code.name(), format!("{code:?}"));
            assert_eq!(*code as usize, index, "ALL is in the order of the enum");
        }
        assert_eq!(Code::UpstreamTimeout as usize + 1, Code::ALL.len(), "the last one is listed");
    }
}
