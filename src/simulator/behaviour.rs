//! Switches for what SMH leaves unsaid, or says in two ways.
//!
//! Each default is the answer that SMH's documents make most likely; where they are silent, it is
//! the one that does the most harm to a careless client, because that is what a test has to see.

use serde::Deserialize;

/// How the simulator behaves where SMH's documents are silent or contradict each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// Which places of a request may carry a credential.
    pub credentials: CredentialPlaces,
    /// What `.` and `..` in a target do.
    pub dot_segments: DotSegments,
    /// The answer to a `permanent` that is neither `0` nor `1`.
    pub bad_permanent: BadPermanent,
    /// The answer to a delete with `content_cas`.
    pub content_cas: ContentCas,
    /// Which grants allow a delete into the recycle bin.
    pub soft_delete_grants: SoftDeleteGrants,
    /// The bounds of a token's period.
    pub token_period: TokenPeriod,
    /// Whether renewing a token changes its string.
    pub renewal: Renewal,
    /// Whether a token that names no space opens the spaces of a multi-tenant library.
    pub library_wide_tokens: LibraryWideTokens,
    /// Whether minting a token for a space that does not exist fails at once.
    pub mint_space_check: MintSpaceCheck,
    /// The code by which a token of another library is refused.
    pub foreign_token: ForeignToken,
    /// The answer to revoking a token that does not exist.
    pub unknown_revocation: UnknownRevocation,
    /// What a restore does when its path is taken and no strategy is given.
    pub restore_default: RestoreDefault,
    /// A batch of more items than this is answered `202` with a task.
    pub batch_threshold: BatchThreshold,
}

/// Which places of a request may carry a credential. All of them, unless switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CredentialPlaces {
    /// The `access_token` query parameter.
    pub query_token: bool,
    /// The `Authorization: Bearer` header field.
    pub bearer_token: bool,
    /// The `library_secret` query parameter, in place of a token.
    pub library_secret: bool,
}

impl Default for CredentialPlaces {
    fn default() -> Self {
        Self { query_token: true, bearer_token: true, library_secret: true }
    }
}

/// What `.` and `..` in a target do. SMH's documents do not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DotSegments {
    /// They are resolved after percent-decoding and before routing, as many servers do, so that
    /// `/api/v1/file/L/S/../../../recycled/L/S` empties the recycle bin.
    #[default]
    Fold,
    /// They are names like any other.
    Literal,
}

/// The answer to a `permanent` that is neither `0` nor `1`. SMH's documents do not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BadPermanent {
    /// `400 ParamInvalid`.
    #[default]
    Refuse,
    /// As if it were `0`.
    TreatAsZero,
}

/// The answer to a delete with `content_cas`, which only the iOS SDK knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContentCas {
    /// The parameter changes nothing.
    #[default]
    Ignore,
    /// It never matches: `409 ContentCasConflict`.
    Conflict,
}

/// Which grants allow a delete into the recycle bin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SoftDeleteGrants {
    /// The plain one only, `delete_file` or `delete_directory`.
    #[default]
    PlainOnly,
    /// The permanent one as well.
    PlainOrPermanent,
}

/// The bounds of a token's period, in seconds. SMH's sources disagree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenPeriod {
    /// Raised to 1200 (Java and Go documents).
    #[default]
    AtLeast1200,
    /// From 300 to 315360000 (iOS documents).
    From300,
}

/// Whether renewing a token changes its string. SMH's documents do not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Renewal {
    /// The same string comes back.
    #[default]
    SameToken,
    /// A new string comes back, and the old one is dead.
    NewToken,
}

/// Whether a token that names no space opens the spaces of a multi-tenant library.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LibraryWideTokens {
    /// It opens every space.
    #[default]
    EverySpace,
    /// It does so only with the grant `admin`; else `403 AccessTokenNotMatchSpace`.
    AdminOnly,
}

/// Whether minting a token for a space that does not exist fails at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MintSpaceCheck {
    /// The token is made; its use is answered `404 SpaceNotFound`.
    #[default]
    Lenient,
    /// `404 SpaceNotFound`.
    Strict,
}

/// The code by which a token of another library is refused, with status 403. SMH's sources
/// disagree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForeignToken {
    /// `InvalidAccessToken`, as in the REST documents.
    #[default]
    InvalidAccessToken,
    /// `AccessTokenNotMatchLibrary`, as in the SDKs.
    AccessTokenNotMatchLibrary,
}

/// The answer to revoking a token that does not exist. SMH's documents do not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownRevocation {
    /// `403 InvalidAccessToken`.
    #[default]
    Forbidden,
    /// `204`, as for one that existed.
    NoContent,
}

/// What a restore does when its path is taken and the request names no strategy. SMH's sources
/// disagree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestoreDefault {
    /// The restored file gets a new name, as in the REST documents.
    #[default]
    Rename,
    /// `409 SameNameDirectoryOrFileExists`, as in the SDKs.
    Ask,
}

/// A batch of more items than this is answered `202` with a task. SMH's own number is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct BatchThreshold(pub usize);

impl Default for BatchThreshold {
    /// No batch that SMH accepts is larger, so none is asynchronous.
    fn default() -> Self {
        Self(crate::simulator::operations::MAX_BATCH_ITEMS)
    }
}
