//! With which token: given by the operator, or minted by the gateway with the least power.
//!
//! A given token belongs to a library and is followed in its file (`fixed`). A minted one belongs
//! to one caller and one tenant; of each library a single task, the `keeper`, obtains, replaces and
//! revokes them, so that no two mints for one pair ever overlap (`right`: nor when one keeper follows
//! another).

mod fixed;
mod keeper;
mod mint;
mod minted;
mod pace;
mod proof;
mod right;

pub use self::mint::{Grant, GrantError, MintError, MintPlan};
pub use self::minted::{SecretStatus, TokenStatus};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rand::RngExt;
use tokio::time::{Instant, timeout_at};

use self::fixed::Fixed;
use self::mint::{Fresh, Order};
use self::minted::Minted;
use self::right::Turn;
use crate::access_token::AccessToken;
use crate::directory::{Caller, Library, Tenant};
use crate::fast_map::FastMap;
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
    instance: &str,
) -> Result<AccessToken, MintError> {
    let order = Order { plan, secret, caller, tenant, instance };
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

/// The tokens of all libraries.
pub struct Tokens {
    libraries: FastMap<LibraryId, Held>,
    shared: Arc<Shared>,
}

enum Held {
    Given(Fixed),
    Minted(Arc<Minted>),
}

/// What stays the same however often the configuration changes.
struct Shared {
    /// Names this gateway in SMH's records.
    instance: Arc<str>,
    metrics: Arc<Metrics>,
    /// Of libraries that are gone or changed, as long as they have tokens to revoke.
    leaving: Mutex<Vec<Arc<Minted>>>,
}

/// A pair that may need a token of its own.
pub type Grantee = (Arc<Caller>, Arc<Tenant>);

impl Tokens {
    /// Those of no library.
    #[must_use]
    pub fn none(metrics: &Arc<Metrics>) -> Self {
        let shared = Shared {
            instance: format!("smh-gateway-{:08x}", rand::random::<u32>()).into(),
            metrics: Arc::clone(metrics),
            leaving: Mutex::default(),
        };
        Self { libraries: FastMap::default(), shared: Arc::new(shared) }
    }

    /// Those that come after these. A given token stays where its source is the same; minted ones
    /// stay where the library's plan and origin are. What is new is read or minted; a source that
    /// cannot be read is reported, and looked for again later. Nothing is taken from deletes that use
    /// the tokens before these until [`Tokens::settle`]. To be called in a runtime, which then has
    /// the tasks.
    pub fn succeeded_by(
        &self,
        sources: impl IntoIterator<Item = (Arc<Library>, TokenSource)>,
        grantees: &[Grantee],
        settings: &Settings,
        report: &mut dyn FnMut(&LibraryId, SourceError),
    ) -> Self {
        let succeed = |(library, source): (Arc<Library>, TokenSource)| {
            let id = library.id.clone();
            let held = match (source, self.libraries.get(&id)) {
                (TokenSource::Given(source), Some(Held::Given(fixed)))
                    if fixed.is_from(&source) =>
                {
                    Held::Given(fixed.clone())
                }
                (TokenSource::Given(source), _) => {
                    let fixed = Fixed::new(source);
                    if let Err(error) = fixed.refresh() {
                        report(&id, error);
                    }
                    Held::Given(fixed)
                }
                (TokenSource::Minted(plan), Some(Held::Minted(minted)))
                    if minted.is_of(&plan, &library) =>
                {
                    minted.grant(grantees);
                    Held::Minted(Arc::clone(minted))
                }
                (TokenSource::Minted(plan), _) => {
                    let turn = self.turn_of(&id);
                    let Shared { instance, metrics, .. } = &*self.shared;
                    let minted = Minted::start(library, plan, turn, instance, settings, metrics);
                    if let Err(error) = minted.refresh_secret() {
                        report(&id, error);
                    }
                    minted.grant(grantees);
                    Held::Minted(minted)
                }
            };
            (id, held)
        };
        let libraries = sources.into_iter().map(succeed).collect();
        Self { libraries, shared: Arc::clone(&self.shared) }
    }

    /// These are in force now, and those before are not. Tokens of pairs and libraries that are gone
    /// or changed are revoked once no delete that began before can use them.
    pub fn settle(&self, before: &Self, grantees: &[Grantee], settings: &Settings) {
        for minted in self.minted() {
            minted.settle(grantees, settings);
        }
        let mut leaving = self.shared.leaving.lock();
        leaving.retain(|minted| !minted.has_left());
        for minted in before.minted() {
            if !self.minted().any(|one| Arc::ptr_eq(one, minted)) {
                minted.leave();
                leaving.push(Arc::clone(minted));
            }
        }
    }

    fn minted(&self) -> impl Iterator<Item = &Arc<Minted>> {
        self.libraries.values().filter_map(|held| match held {
            Held::Minted(minted) => Some(minted),
            Held::Given(_) => None,
        })
    }

    /// What all keepers of a library take turns with.
    fn turn_of(&self, library: &LibraryId) -> Turn {
        let leaving = self.shared.leaving.lock();
        let mut all = self.minted().chain(&*leaving);
        all.find(|minted| minted.library() == library)
            .map(|minted| minted.turn())
            .unwrap_or_default()
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
        let token = match self.of(permit) {
            Some(Held::Given(fixed)) => fixed.current(),
            Some(Held::Minted(minted)) => minted.current(permit, deadline).await,
            None => None,
        };
        token.ok_or(Refusal::TokenUnavailable)
    }

    fn of(&self, permit: &Permit) -> Option<&Held> {
        self.libraries.get(&permit.tenant().library.id)
    }

    /// Another token than the one that SMH rejected, if there is one by `deadline`.
    pub async fn instead_of(
        &self,
        permit: &Permit,
        rejected: &Arc<Issued>,
        deadline: Instant,
    ) -> Option<Arc<Issued>> {
        match self.of(permit)? {
            Held::Given(fixed) => timeout_at(deadline, fixed.instead_of(rejected)).await.ok()?,
            Held::Minted(minted) => minted.instead_of(permit, rejected, deadline).await,
        }
    }

    /// Learns whether a replacement helped the delete that it was asked for.
    pub fn replaced(&self, permit: &Permit, with: &Arc<Issued>, helped: bool) {
        match self.of(permit) {
            Some(Held::Minted(minted)) => minted.replaced(permit, with, helped),
            Some(Held::Given(_)) | None => {}
        }
    }

    /// Reads every file again. Blocks on files, so not for a thread that serves. A file that is
    /// gone or broken changes nothing: mounts are replaced in more than one step.
    pub fn refresh(&self, report: &mut dyn FnMut(&LibraryId, Result<(), SourceError>)) {
        for (library, held) in &self.libraries {
            let refreshed = match held {
                Held::Given(fixed) => fixed.refresh(),
                Held::Minted(minted) => minted.refresh_secret().map(|()| false),
            };
            match refreshed {
                Ok(false) => {}
                Ok(true) => report(library, Ok(())),
                Err(error) => report(library, Err(error)),
            }
        }
        self.shared.leaving.lock().retain(|minted| !minted.has_left());
    }

    /// The libraries that have no token yet, in the order of their ids.
    #[must_use]
    pub fn pending(&self) -> Vec<LibraryId> {
        let missing = |(_, held): &(&LibraryId, &Held)| match held {
            Held::Given(fixed) => fixed.current().is_none(),
            Held::Minted(minted) => minted.is_pending(),
        };
        let pending = self.libraries.iter().filter(missing);
        let mut pending: Vec<_> = pending.map(|(library, _)| library.clone()).collect();
        pending.sort_unstable();
        pending
    }

    /// The minted tokens, for people: how old, how long still, what went wrong. No token.
    #[must_use]
    pub fn status(&self) -> Vec<TokenStatus> {
        let mut all: Vec<_> = self.minted().flat_map(|minted| minted.status()).collect();
        all.sort_by(|a, b| (&a.caller, &a.tenant).cmp(&(&b.caller, &b.tenant)));
        all
    }

    /// The secrets that tokens are minted with, for people. No secret.
    #[must_use]
    pub fn secrets(&self) -> Vec<SecretStatus> {
        let mut all: Vec<_> = self.minted().map(|minted| minted.secret()).collect();
        all.sort_by(|a, b| a.library.cmp(&b.library));
        all
    }

    /// Revokes every minted token, those of libraries that are gone as well; what is not done within
    /// a short time is left to expire.
    pub async fn revoke_all(&self) {
        let leaving = self.shared.leaving.lock().clone();
        let ends: Vec<_> =
            self.minted().chain(&leaving).map(|minted| minted.revoke_all()).collect();
        for end in ends {
            // Every keeper answers within its own limit, or is gone.
            let _ = end.await;
        }
    }
}
