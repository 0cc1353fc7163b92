//! Why a caller was not recognised. For the log: the answer tells no difference.
//!
//! No text here repeats anything of a credential.

/// What is wrong with what a request brings to prove who sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's text says what it is")]
pub enum CredentialFault {
    #[error("no credential")]
    Missing,
    #[error("a credential field is given twice")]
    Repeated,
    #[error("Authorization is not `Bearer …`")]
    Scheme,
    #[error("a credential nobody has")]
    Unknown,
    #[error("two credentials that name different callers")]
    Conflicting,
    #[error("a credential of more than one caller")]
    Ambiguous,
    #[error("client certificate: {0}")]
    Certificate(#[from] CertificateFault),
    #[error("JWT: {0}")]
    Jwt(#[from] JwtFault),
}

/// What keeps a client certificate from naming a caller, although a trusted CA signed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's text says what it is")]
pub enum CertificateFault {
    #[error("it cannot be read")]
    Unreadable,
    #[error("it is a CA's own")]
    Authority,
    #[error("it has more than one URI in its subject alternative names")]
    SeveralUris,
    #[error("its URI is not a SPIFFE id")]
    NotSpiffe,
    #[error("it has no URI in its subject alternative names")]
    NoUri,
    #[error("no caller has its SPIFFE id")]
    Unknown,
    #[error("it has expired since the connection was made")]
    Expired,
    #[error("its CA is not trusted any more")]
    Distrusted,
}

/// What is wrong with a JWT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's text says what it is")]
pub enum JwtFault {
    #[error("it is not three parts of base64url, the first two of which are JSON objects")]
    Malformed,
    #[error("it is too large")]
    TooLarge,
    #[error("its header has a `crit` or `b64` that is not understood")]
    Critical,
    #[error("a name stands twice in its header or its claims")]
    Repeated,
    #[error("its header has an `alg`, `kid` or `typ` that is not understood")]
    Header,
    #[error("its algorithm is not one that the issuer signs with")]
    Algorithm,
    #[error("no issuer of this name is configured")]
    Issuer,
    #[error("the issuer has no key of this name")]
    Key,
    #[error("its signature is wrong")]
    Signature,
    #[error("one of its claims is not of the type it should be")]
    Claim,
    #[error("it is for another audience")]
    Audience,
    #[error("it has expired, or says not when it will")]
    Expired,
    #[error("it is not valid yet")]
    NotYet,
    #[error("it has no subject, or one with control characters")]
    Subject,
    #[error("no caller has its subject and claims")]
    Unknown,
}

impl CredentialFault {
    /// Whether it could be one of many attempts to guess: such are slowed down. What was issued by
    /// somebody trusted, but is out of date or meant for others, is no guess; nor is a JWT of an unknown
    /// key, which is no closer to a right one, and may be right elsewhere already.
    #[must_use]
    pub const fn is_guess(self) -> bool {
        match self {
            Self::Unknown => true,
            Self::Jwt(fault) => matches!(
                fault,
                JwtFault::Malformed
                    | JwtFault::TooLarge
                    | JwtFault::Critical
                    | JwtFault::Repeated
                    | JwtFault::Header
                    | JwtFault::Algorithm
                    | JwtFault::Issuer
                    | JwtFault::Signature
            ),
            Self::Missing
            | Self::Conflicting
            | Self::Repeated
            | Self::Scheme
            | Self::Ambiguous
            | Self::Certificate(_) => false,
        }
    }
}
