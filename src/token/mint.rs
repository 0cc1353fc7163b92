//! Asking SMH for a token, and giving it back (smh-api.md 3.1 and 3.4).

use std::time::Duration;

use http::{Method, StatusCode};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::access_token::AccessToken;
use crate::delete::encode_into;
use crate::directory::{Library, Tenant};
use crate::ids::CallerName;
use crate::refusal::UpstreamFault;
use crate::secret::{Secret, Source};
use crate::upstream::{self, Answer, Settings};

/// How the tokens of a library are minted: `mint` of gateway.yaml.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MintPlan {
    /// Where the library's secret comes from.
    pub library_secret: Source,
    /// How long a token lives without being used. SMH may give another; its answer counts.
    pub period: Duration,
    /// What a token may do.
    pub grant: Grant,
    /// A token is replaced at this age, even if it is still good.
    pub max_age: Duration,
}

/// What a token may do: SMH's words for it, separated by commas (smh-api.md 3.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant(String);

/// Why a text is no grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("SMH has no such grant; the least for deletes is `delete_file`")]
pub struct GrantError;

impl Grant {
    /// Moving a file to the recycle bin: the least that a delete needs.
    #[must_use]
    pub fn least() -> Self {
        Self("delete_file".to_owned())
    }

    /// Whether it is more than a delete needs.
    #[must_use]
    pub fn is_wider_than_least(&self) -> bool {
        self.0 != "delete_file"
    }

    /// Whether a permanent delete is among what it covers (smh-api.md 2.1).
    #[must_use]
    pub fn covers_permanent_deletes(&self) -> bool {
        self.0
            .split(',')
            .any(|word| matches!(word, "delete_file_permanent" | "space_admin" | "admin"))
    }

    /// Taking files out of the recycle bin: the least that an undo needs (smh-api.md 5.4).
    #[must_use]
    pub fn least_that_restores() -> Self {
        Self("restore_recycled".to_owned())
    }

    /// Whether taking files out of the recycle bin is among what it covers.
    #[must_use]
    pub fn covers_restores(&self) -> bool {
        self.0.split(',').any(|word| matches!(word, "restore_recycled" | "space_admin" | "admin"))
    }

    /// As SMH writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Grant {
    type Error = GrantError;

    fn try_from(text: &str) -> Result<Self, GrantError> {
        let words: Vec<_> = text.split(',').map(str::trim).collect();
        if words.iter().all(|word| GRANTS.contains(word)) {
            Ok(Self(words.join(",")))
        } else {
            Err(GrantError)
        }
    }
}

/// Why there is no new token. Names a kind, never what SMH answered: that could be a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's text says what it is")]
pub enum MintError {
    #[error("there is no library secret to mint with")]
    NoSecret,
    #[error("SMH does not know this library id or secret")]
    WrongSecret,
    #[error("SMH refused to mint a token")]
    Refused,
    #[error("SMH could not be reached")]
    Unreachable,
    #[error("SMH did not answer in time")]
    Timeout,
    #[error("SMH's answer is not a token and a lifetime")]
    Malformed,
}

impl MintError {
    /// Every kind, to give each its metric.
    pub const ALL: [Self; 6] = [
        Self::NoSecret,
        Self::WrongSecret,
        Self::Refused,
        Self::Unreachable,
        Self::Timeout,
        Self::Malformed,
    ];

    /// The word for it in metrics and the status.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoSecret => "no_secret",
            Self::WrongSecret => "wrong_secret",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Malformed => "malformed",
        }
    }
}

/// A new token, and how long it lives without being used.
pub(super) struct Fresh {
    pub(super) token: AccessToken,
    pub(super) lifetime: Duration,
}

/// For whom a token is minted, and for where.
pub(super) struct Order<'a> {
    pub(super) plan: &'a MintPlan,
    pub(super) secret: &'a Secret,
    /// SMH's records name it, and one call can revoke all that was given to it.
    pub(super) caller: &'a CallerName,
    pub(super) tenant: &'a Tenant,
    pub(super) instance: &'a str,
}

/// One call of `GET /api/v1/token`.
pub(super) async fn mint(order: &Order<'_>, settings: &Settings) -> Result<Fresh, MintError> {
    let target = target(order);
    let origin = &order.tenant.library.origin;
    let answer = upstream::call(origin, settings, Method::GET, target, DEADLINE).await;
    let answer = answer.map_err(|failed| match failed.fault {
        UpstreamFault::Timeout | UpstreamFault::TimeoutBeforeSending => MintError::Timeout,
        UpstreamFault::Unreachable | UpstreamFault::Refused => MintError::Unreachable,
        UpstreamFault::Halted
        | UpstreamFault::CredentialRejected
        | UpstreamFault::Redirected
        | UpstreamFault::NotHttp
        | UpstreamFault::Incomplete
        | UpstreamFault::TooLarge
        | UpstreamFault::Opaque
        | UpstreamFault::EchoedCredential => MintError::Malformed,
    })?;
    read(&answer)
}

/// One call of `DELETE /api/v1/token/{LibraryId}/{AccessToken}`. Says whether SMH took it back; a
/// token that it does not know is as good as revoked.
pub(super) async fn revoke(token: &AccessToken, library: &Library, settings: &Settings) -> bool {
    let mut target = Zeroizing::new(Vec::with_capacity(TARGET_BYTES));
    target.extend_from_slice(b"/api/v1/token/");
    target.extend_from_slice(library.id.as_str().as_bytes());
    target.push(b'/');
    target.extend_from_slice(token.encoded().expose());
    let method = Method::DELETE;
    let answer = upstream::call(&library.origin, settings, method, target, DEADLINE).await;
    answer.is_ok_and(|answer| answer.head.status.is_success() || answer.rejects_token())
}

fn target(order: &Order<'_>) -> Zeroizing<Vec<u8>> {
    let period = order.plan.period.as_secs().to_string();
    let space = order.tenant.space.as_str();
    let parameters: [(&str, &[u8]); 7] = [
        ("library_id", order.tenant.library.id.as_str().as_bytes()),
        ("library_secret", order.secret.expose()),
        // A single-tenant library has one space, which is not named here (smh-api.md 3.1).
        ("space_id", if space == "-" { b"" } else { space.as_bytes() }),
        ("user_id", order.caller.as_str().as_bytes()),
        ("client_id", order.instance.as_bytes()),
        ("period", period.as_bytes()),
        ("grant", order.plan.grant.as_str().as_bytes()),
    ];
    let mut target = Zeroizing::new(Vec::with_capacity(TARGET_BYTES));
    target.extend_from_slice(b"/api/v1/token");
    let mut separator = b'?';
    for (name, value) in parameters.into_iter().filter(|(_, value)| !value.is_empty()) {
        target.push(std::mem::replace(&mut separator, b'&'));
        target.extend_from_slice(name.as_bytes());
        target.push(b'=');
        encode_into(&mut target, value);
    }
    target
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reply {
    access_token: String,
    expires_in: u64,
}

fn read(answer: &Answer) -> Result<Fresh, MintError> {
    if answer.head.status != StatusCode::OK {
        return Err(match answer.code() {
            Some("WrongLibraryIdOrSecret" | "LibraryNotFound") => MintError::WrongSecret,
            // An outage answers for a while, a refusal until somebody does something.
            _ if answer.head.status.is_server_error() => MintError::Unreachable,
            _ => MintError::Refused,
        });
    }
    // A derived struct would take a list for one, too.
    if !answer.body.trim_ascii_start().starts_with(b"{") {
        return Err(MintError::Malformed);
    }
    let reply: Reply = serde_json::from_slice(&answer.body).map_err(|_| MintError::Malformed)?;
    // The very bytes that were read, so that they are wiped in the end.
    let token = Secret::new(reply.access_token.into_bytes());
    let plausible = (1..=MAX_TOKEN_BYTES).contains(&token.expose().len())
        && token.expose().iter().all(u8::is_ascii_graphic)
        && (1..=MAX_LIFETIME_SECONDS).contains(&reply.expires_in);
    if !plausible {
        return Err(MintError::Malformed);
    }
    let lifetime = Duration::from_secs(reply.expires_in);
    Ok(Fresh { token: AccessToken::new(token), lifetime })
}

/// SMH answers in well under a second; a delete that waits for a token has 10 s by default.
const DEADLINE: Duration = Duration::from_secs(5);

/// As for tokens in files: a target with one in it must stay below what servers take.
const MAX_TOKEN_BYTES: usize = 4096;

/// Ten years, which is also the most that any of SMH's clients asks for (smh-api.md 3.2).
const MAX_LIFETIME_SECONDS: u64 = 315_360_000;

/// So that a buffer with a secret in it does not have to grow: what it grows out of is not wiped.
const TARGET_BYTES: usize = 16 * 1024;

/// What SMH grants (smh-api.md 3.6).
const GRANTS: [&str; 26] = [
    "admin",
    "create_space",
    "delete_space",
    "space_admin",
    "acl",
    "create_directory",
    "delete_directory",
    "delete_directory_permanent",
    "move_directory",
    "copy_directory",
    "upload_file",
    "upload_file_force",
    "begin_upload",
    "begin_upload_force",
    "confirm_upload",
    "create_symlink",
    "create_symlink_force",
    "create_virtual",
    "delete_file",
    "delete_file_permanent",
    "move_file",
    "move_file_force",
    "copy_file",
    "copy_file_force",
    "delete_recycled",
    "restore_recycled",
];

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::Response;
    use proptest::prelude::*;

    fn answer(status: u16, body: &[u8]) -> Answer {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        Answer::new(response.into_parts().0, Bytes::copy_from_slice(body))
    }

    fn outcome(status: u16, body: &str) -> Result<(Vec<u8>, u64), MintError> {
        let fresh = read(&answer(status, body.as_bytes()))?;
        Ok((fresh.token.text().expose().to_vec(), fresh.lifetime.as_secs()))
    }

    #[test]
    fn a_token_and_a_lifetime_are_taken() {
        let wanted = Ok((b"acctk1".to_vec(), 7200));
        assert_eq!(outcome(200, r#"{"accessToken":"acctk1","expiresIn":7200,"more":1}"#), wanted);
    }

    #[test]
    fn anything_else_is_no_token() {
        let long = format!(r#"{{"accessToken":"{}","expiresIn":1}}"#, "x".repeat(4097));
        for body in [
            "",
            "acctk1",
            "[]",
            r#"["acctk1",7200]"#,
            r#"{"accessToken":"acctk1"}"#,
            r#"{"expiresIn":7200}"#,
            r#"{"accessToken":"","expiresIn":7200}"#,
            r#"{"accessToken":"a b","expiresIn":7200}"#,
            r#"{"accessToken":"a\nb","expiresIn":7200}"#,
            r#"{"accessToken":7,"expiresIn":7200}"#,
            r#"{"accessToken":"acctk1","expiresIn":"7200"}"#,
            r#"{"accessToken":"acctk1","expiresIn":-1}"#,
            r#"{"accessToken":"acctk1","expiresIn":0}"#,
            r#"{"accessToken":"acctk1","expiresIn":1e300}"#,
            r#"{"accessToken":"acctk1","expiresIn":315360001}"#,
            &long,
        ] {
            assert_eq!(outcome(200, body), Err(MintError::Malformed), "{body}");
        }
    }

    #[test]
    fn a_wrong_secret_is_told_apart_from_an_outage() {
        let coded = |code: &str| format!(r#"{{"code":"{code}"}}"#);
        let wrong = coded("WrongLibraryIdOrSecret");
        assert_eq!(outcome(404, &wrong), Err(MintError::WrongSecret));
        assert_eq!(outcome(503, "<html>"), Err(MintError::Unreachable));
        assert_eq!(outcome(429, &coded("RateLimitExceeded")), Err(MintError::Refused));
        assert_eq!(outcome(302, ""), Err(MintError::Refused));
    }

    #[test]
    fn a_grant_is_one_that_smh_knows() {
        assert!(!Grant::try_from("delete_file").unwrap().is_wider_than_least());
        let wider = Grant::try_from("delete_file, delete_file_permanent").unwrap();
        assert_eq!(wider.as_str(), "delete_file,delete_file_permanent");
        assert!(wider.is_wider_than_least() && wider.covers_permanent_deletes());
        for wrong in ["", "delete", "delete_file,", "delete_file;admin"] {
            assert_eq!(Grant::try_from(wrong), Err(GrantError), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn reading_an_answer_never_panics(status in 100u16..600, body: Vec<u8>) {
            let _ = read(&answer(status, &body));
        }
    }
}
