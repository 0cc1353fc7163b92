//! Asks SMH whether what gateway.yaml says is so. Deletes nothing.
//!
//! For every library: can it be reached, is its certificate good. For every tenant: is there a
//! token, does SMH take it, does the space exist, and is the recycle bin as configured: listing it
//! is harmless, and 400 `RecycleBinNotEnabled` where it is off (smh-api.md 5.1).

use std::sync::Arc;

use http::{Method, StatusCode};
use zeroize::Zeroizing;

use crate::access_token::AccessToken;
use crate::config::{ConfiguredLibrary, Snapshot};
use crate::directory::{RecycleBin, Tenant};
use crate::ids::{CallerName, LibraryId, TenantName};
use crate::refusal::UpstreamFault;
use crate::token::{TokenSource, mint_once, revoke_once};
use crate::upstream::{self, Answer, Failed, Settings};

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Of which library.
    pub library: LibraryId,
    /// Of which tenant, where it is about one.
    pub tenant: Option<TenantName>,
    /// Whether all is well.
    pub good: bool,
    /// What was found.
    pub what: String,
    /// What to do about it.
    pub advice: Option<&'static str>,
}

/// Looks at every library and tenant, one after the other.
pub async fn examine(snapshot: &Snapshot) -> Vec<Finding> {
    let mut findings = Vec::new();
    for configured in &snapshot.libraries {
        let library = &configured.library;
        let settings = &snapshot.upstream;
        match upstream::reach(&library.origin, settings).await {
            Ok(()) => findings.push(Finding::good(
                &library.id,
                None,
                format!("{} can be reached", library.origin),
            )),
            Err(failed) => {
                findings.push(Finding::bad(
                    &library.id,
                    None,
                    format!("{} cannot be reached: {}", library.origin, failed.cause),
                    "compare `url` with the library's domain in the console; look at the network \
                     and at `ca_file`",
                ));
                continue;
            }
        }
        for tenant in snapshot.tenants.iter().filter(|one| one.library.id == library.id) {
            findings.extend(examine_tenant(snapshot, configured, tenant).await);
        }
    }
    findings
}

async fn examine_tenant(
    snapshot: &Snapshot,
    configured: &ConfiguredLibrary,
    tenant: &Arc<Tenant>,
) -> Vec<Finding> {
    let settings = &snapshot.upstream;
    let about = (&tenant.library.id, Some(&tenant.name));
    let token = match token_for(snapshot, configured, tenant).await {
        Ok(token) => token,
        Err((what, advice)) => return vec![Finding::bad(about.0, about.1, what, advice)],
    };
    let mut findings = Vec::new();
    if let TokenSource::Minted(plan) = &configured.token {
        let what = format!("a token was minted with `{}`", plan.grant.as_str());
        findings.push(Finding::good(about.0, about.1, what));
    }
    let answer = list_recycle_bin(tenant, &token, settings).await;
    findings.push(judge(tenant, answer));
    if let TokenSource::Minted(_) = &configured.token
        && !revoke_once(&token, &tenant.library, settings).await
    {
        let what = "the token that was minted for this look could not be revoked".to_owned();
        findings.push(Finding::bad(about.0, about.1, what, "it expires by itself"));
    }
    findings
}

async fn token_for(
    snapshot: &Snapshot,
    configured: &ConfiguredLibrary,
    tenant: &Arc<Tenant>,
) -> Result<AccessToken, (String, &'static str)> {
    match &configured.token {
        TokenSource::Given(source) => source.read().map(AccessToken::new).map_err(|error| {
            (format!("no token: {error}"), "put the token where it is looked for")
        }),
        TokenSource::Minted(plan) => {
            let secret = plan.library_secret.read().map_err(|error| {
                (format!("no library secret: {error}"), "put the secret where it is looked for")
            })?;
            let caller = snapshot.callers.iter().find(|one| one.caller.may_use(&tenant.name));
            let caller = caller.map(|one| one.caller.name.clone());
            let caller = caller.or_else(|| CallerName::try_from("doctor").ok());
            let Some(caller) = caller else {
                return Err(("nobody may use it".to_owned(), "grant it to a caller"));
            };
            mint_once(plan, &secret, &caller, tenant, &snapshot.upstream, "smh-gateway-doctor")
                .await
                .map_err(|error| {
                    (
                        format!("no token could be minted: {error}"),
                        "compare the library's id and secret with the console",
                    )
                })
        }
    }
}

async fn list_recycle_bin(
    tenant: &Tenant,
    token: &AccessToken,
    settings: &Settings,
) -> Result<Answer, Failed> {
    let mut target = Zeroizing::new(Vec::with_capacity(TARGET_BYTES));
    target.extend_from_slice(b"/api/v1/recycled/");
    target.extend_from_slice(tenant.library.id.as_str().as_bytes());
    target.push(b'/');
    target.extend_from_slice(tenant.space.as_str().as_bytes());
    target.extend_from_slice(b"?limit=1&access_token=");
    target.extend_from_slice(token.encoded().expose());
    upstream::call(&tenant.library.origin, settings, Method::GET, target, settings.timeout).await
}

/// What the answer to a look into the recycle bin tells.
fn judge(tenant: &Tenant, answer: Result<Answer, Failed>) -> Finding {
    let bad =
        |what: String, advice| Finding::bad(&tenant.library.id, Some(&tenant.name), what, advice);
    let answer = match answer {
        Ok(answer) => answer,
        Err(Failed { fault: UpstreamFault::Timeout, .. }) => {
            return bad("SMH did not answer in time".to_owned(), "try again; look at the network");
        }
        Err(failed) => {
            return bad(format!("SMH's answer was lost: {}", failed.cause), "try again");
        }
    };
    let (status, code) = (answer.head.status, answer.code());
    let bin = match (status, code) {
        (StatusCode::OK, _) if is_listing(&answer.body) => RecycleBin::On,
        (StatusCode::BAD_REQUEST, Some("RecycleBinNotEnabled")) => RecycleBin::Off,
        (_, Some("InvalidAccessToken" | "AccessTokenVersionNotMatch")) => {
            return bad("SMH rejects the token".to_owned(), "replace it: it is wrong or expired");
        }
        (_, Some("AccessTokenNotMatchSpace" | "AccessTokenNotMatchLibrary")) => {
            let what = "the token is not for this library and space".to_owned();
            return bad(what, "compare `library` and `space` with those of the token");
        }
        (_, Some("LibraryNotFound" | "SpaceNotFound" | "RouteNotFound")) => {
            let what = format!("SMH knows no space {} here", tenant.space);
            return bad(what, "compare `library` and `space` with the console");
        }
        (_, Some("NoPermission")) => {
            let what = "SMH takes the token, but it may not look into the recycle bin".to_owned();
            return bad(what, "whether the bin is on cannot be told from here: see the console");
        }
        (status, _) => {
            let what = format!("SMH answers {} to a look into the recycle bin", status.as_u16());
            return bad(what, "see the error codes of SMH");
        }
    };
    let configured = tenant.library.recycle_bin;
    if bin == configured {
        let what = format!("the recycle bin is {}, as configured", bin.as_str());
        return Finding::good(&tenant.library.id, Some(&tenant.name), what);
    }
    let what = format!(
        "the recycle bin is {}, but `recycle_bin: {}` is configured",
        bin.as_str(),
        configured.as_str()
    );
    match bin {
        RecycleBin::Off => bad(
            what,
            "every delete here is final: switch the bin on in the console, or say \
             `recycle_bin: off`",
        ),
        RecycleBin::On => bad(what, "say `recycle_bin: on`, or switch the bin off in the console"),
    }
}

/// What a recycle bin's listing has (smh-api.md 5.2), and hardly anything else that says 200.
fn is_listing(body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Listing {
        contents: Vec<serde::de::IgnoredAny>,
    }
    serde_json::from_slice(body).is_ok_and(|listing: Listing| listing.contents.len() <= 1)
}

impl Finding {
    fn good(library: &LibraryId, tenant: Option<&TenantName>, what: String) -> Self {
        let (library, tenant) = (library.clone(), tenant.cloned());
        Self { library, tenant, good: true, what, advice: None }
    }

    fn bad(
        library: &LibraryId,
        tenant: Option<&TenantName>,
        what: String,
        advice: &'static str,
    ) -> Self {
        let (library, tenant) = (library.clone(), tenant.cloned());
        Self { library, tenant, good: false, what, advice: Some(advice) }
    }
}

/// So that a buffer with a token in it does not have to grow.
const TARGET_BYTES: usize = 16 * 1024;
