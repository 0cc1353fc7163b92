//! With which token: given by the operator, or minted by the gateway with the least power.
//!
//! A given token belongs to a library and is followed in its file (`fixed`). A minted one belongs
//! to one caller and one tenant; a single task, the `keeper`, obtains, replaces and revokes them,
//! so that no two mints for one pair ever overlap.

mod fixed;
mod keeper;
mod mint;
mod minted;
mod pace;
mod proof;

pub use self::mint::{Grant, GrantError, MintError, MintPlan};
pub use self::minted::{SecretStatus, TokenStatus};

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::RngExt;
use tokio::time::{Instant, timeout_at};

use self::fixed::Fixed;
use self::mint::{Fresh, Order};
use self::minted::Minted;
use crate::access_token::AccessToken;
use crate::directory::{Caller, Library, Tenant};
use crate::ids::{CallerName, LibraryId};
use crate::metrics::Metrics;
use crate::policy::Permit;
use crate::refusal::Refusal;
use crate::secret::{Secret, Source, SourceError};
use crate::upstream::Settings;

/// A token in use, with what is known of it.
#[derive(Debug)]
pub struct Issued {
    token: AccessToken,
    obtained: Instant,
    /// How long it lives at least; every use begins this anew (smh-api.md 3.2).
    lifetime: Duration,
    replace_at: Instant,
    used: AtomicBool,
}

impl Issued {
    /// A token of which nobody knows how long it lives.
    fn given(token: AccessToken) -> Self {
        Self::at(token, Duration::MAX, Duration::MAX)
    }

    /// A token that is to be replaced before its life ends, sooner or later for each, so that not
    /// all are due at once; at `max_age` at the latest.
    fn minted(fresh: Fresh, max_age: Duration) -> Self {
        let share = rand::rng().random_range(0.70..=0.85);
        let replace_after = fresh.lifetime.mul_f64(share).min(max_age);
        Self::at(fresh.token, fresh.lifetime, replace_after)
    }

    fn at(token: AccessToken, lifetime: Duration, replace_after: Duration) -> Self {
        let obtained = Instant::now();
        // Far enough ahead to be never.
        let replace_after = replace_after.min(NEVER);
        Self {
            token,
            obtained,
            lifetime,
            replace_at: obtained + replace_after,
            used: AtomicBool::new(false),
        }
    }

    /// The token itself.
    #[must_use]
    pub fn token(&self) -> &AccessToken {
        &self.token
    }

    fn used(&self) {
        // Looked at first: a line that all workers write to is slow to write to.
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    fn was_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }
}

/// Mints one token that nobody keeps: for `doctor`.
///
/// # Errors
/// [`MintError`].
pub(crate) async fn mint_once(
    plan: &MintPlan,
    secret: &Secret,
    caller: &CallerName,
    tenant: &Tenant,
    settings: &Settings,
) -> Result<AccessToken, MintError> {
    let order = Order { plan, secret, caller, tenant, instance: "smh-gateway-doctor" };
    mint::mint(&order, settings).await.map(|fresh| fresh.token)
}

/// Gives one back. Says whether SMH took it.
pub(crate) async fn revoke_once(token: &AccessToken, of: &Library, settings: &Settings) -> bool {
    mint::revoke(token, of, settings).await
}

const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Where the tokens of a library come from, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// The operator has one.
    Given(Source),
    /// The gateway obtains them.
    Minted(MintPlan),
}

/// The tokens of all libraries. Outlives a reload.
pub struct Tokens {
    fixed: HashMap<LibraryId, Fixed>,
    minted: Minted,
}

/// A pair that may need a token of its own.
pub type Grantee = (Arc<Caller>, Arc<Tenant>);

impl Tokens {
    /// Reads every given token once, and starts the task that mints the others. A token that cannot
    /// be read is reported, and looked for again later.
    pub fn start(
        sources: impl IntoIterator<Item = (LibraryId, TokenSource)>,
        grantees: &[Grantee],
        settings: &Settings,
        metrics: &Arc<Metrics>,
        report: &mut dyn FnMut(&LibraryId, SourceError),
    ) -> Self {
        let (mut fixed, mut plans) = (HashMap::new(), HashMap::new());
        for (library, source) in sources {
            match source {
                TokenSource::Given(source) => {
                    let token = Fixed::new(source);
                    if let Err(error) = token.refresh() {
                        report(&library, error);
                    }
                    fixed.insert(library, token);
                }
                TokenSource::Minted(plan) => {
                    plans.insert(library, plan);
                }
            }
        }
        Self { fixed, minted: Minted::start(plans, grantees, settings, metrics, report) }
    }

    /// The token to use now. Waits, until `deadline`, only where none was ever obtained or the last
    /// one was rejected.
    ///
    /// # Errors
    /// [`Refusal::TokenUnavailable`].
    pub async fn current(
        &self,
        permit: &Permit,
        deadline: Instant,
    ) -> Result<Arc<Issued>, Refusal> {
        let token = match self.fixed.get(&permit.tenant().library.id) {
            Some(fixed) => fixed.current(),
            None => self.minted.current(permit, deadline).await,
        };
        token.ok_or(Refusal::TokenUnavailable)
    }

    /// Another token than the one that SMH rejected, if there is one by `deadline`.
    pub async fn instead_of(
        &self,
        permit: &Permit,
        rejected: &Arc<Issued>,
        deadline: Instant,
    ) -> Option<Arc<Issued>> {
        match self.fixed.get(&permit.tenant().library.id) {
            Some(fixed) => timeout_at(deadline, fixed.instead_of(rejected)).await.ok().flatten(),
            None => self.minted.instead_of(permit, rejected, deadline).await,
        }
    }

    /// Learns whether a replacement helped the delete that it was asked for.
    pub fn replaced(&self, permit: &Permit, with: &Arc<Issued>, helped: bool) {
        self.minted.replaced(permit, with, helped);
    }

    /// Reads every file again. Blocks on files, so not for a thread that serves. A file that is
    /// gone or broken changes nothing: mounts are replaced in more than one step.
    pub fn refresh(&self, report: &mut dyn FnMut(&LibraryId, Result<(), SourceError>)) {
        for (library, fixed) in &self.fixed {
            match fixed.refresh() {
                Ok(false) => {}
                Ok(true) => report(library, Ok(())),
                Err(error) => report(library, Err(error)),
            }
        }
        self.minted.refresh_secrets(&mut |library, error| report(library, Err(error)));
    }

    /// The libraries that have no token yet, in the order of their ids.
    #[must_use]
    pub fn pending(&self) -> Vec<LibraryId> {
        let missing = self.fixed.iter().filter(|(_, fixed)| fixed.current().is_none());
        let mut pending: Vec<_> = missing.map(|(library, _)| library.clone()).collect();
        pending.extend(self.minted.pending());
        pending.sort_unstable();
        pending
    }

    /// The minted tokens, for people: how old, how long still, what went wrong. No token.
    #[must_use]
    pub fn status(&self) -> Vec<TokenStatus> {
        self.minted.status()
    }

    /// The secrets that tokens are minted with, for people. No secret.
    #[must_use]
    pub fn secrets(&self) -> Vec<SecretStatus> {
        self.minted.secrets()
    }

    /// Revokes every minted token; what is not done within a short time is left to expire.
    pub async fn revoke_all(&self) {
        self.minted.revoke_all().await;
    }
}
