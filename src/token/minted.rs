//! Minted tokens as those who serve see them: take the one that is there, or wait for one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::directory::{Caller, Fingerprint, Tenant};
use crate::ids::{CallerName, LibraryId};
use crate::metrics::Metrics;
use crate::policy::Permit;
use crate::secret::{Secret, SourceError};
use crate::token::keeper::{Command, Keeper};
use crate::token::mint::{MintError, MintPlan};
use crate::token::{Grantee, Issued};
use crate::upstream::Settings;

/// One caller and one tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    caller: Fingerprint,
    tenant: Fingerprint,
}

impl Key {
    fn of(caller: &Caller, tenant: &Tenant) -> Self {
        Self { caller: caller.fingerprint, tenant: tenant.fingerprint }
    }
}

/// The token of one pair, written by the keeper alone.
pub(super) struct Entry {
    pub(super) caller: CallerName,
    pub(super) tenant: Arc<Tenant>,
    pub(super) current: ArcSwapOption<Issued>,
    /// Counts the tries that have ended, well or not: whoever waits for one waits for this.
    pub(super) turns: watch::Sender<u64>,
    pub(super) health: Mutex<Health>,
}

/// How minting goes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Health {
    pub(super) failures: u32,
    pub(super) last_error: Option<MintError>,
}

/// What serving and keeping share.
pub(super) struct Book {
    pub(super) plans: HashMap<LibraryId, Minting>,
    pub(super) entries: RwLock<HashMap<Key, Arc<Entry>>>,
    /// Names this gateway in SMH's records: `client_id`.
    pub(super) instance: String,
}

/// The minting of one library.
pub(super) struct Minting {
    pub(super) plan: MintPlan,
    /// The library's secret that is known to be good, or the first that was read.
    pub(super) secret: Mutex<Option<Secret>>,
    /// Whether a token was ever had.
    pub(super) proven: AtomicBool,
    /// Some pair of this library, to prove a new secret with.
    pub(super) grantee: Option<Grantee>,
    /// Why the secret that the source has is not the one in force.
    pub(super) proof: Mutex<Option<MintError>>,
    /// Calls at once: a library that hangs must not hold up another.
    pub(super) places: Arc<Semaphore>,
}

/// Minted tokens, and the task that keeps them.
pub(super) struct Minted {
    book: Arc<Book>,
    commands: mpsc::UnboundedSender<Command>,
    keeper: JoinHandle<()>,
}

/// The secret of one library, for people.
#[derive(Debug, Clone)]
pub struct SecretStatus {
    /// Whose it is.
    pub library: LibraryId,
    /// Whether there is one to mint with.
    pub in_force: bool,
    /// Why the one that the source has is not in force.
    pub new_secret_error: Option<MintError>,
}

/// One minted token, for people.
#[derive(Debug, Clone)]
pub struct TokenStatus {
    /// Whose it is.
    pub caller: CallerName,
    /// For which tenant.
    pub tenant: crate::ids::TenantName,
    /// How long ago it was obtained; `None` while there is none.
    pub age: Option<Duration>,
    /// How long it lives at least: every use makes it longer.
    pub expires_in: Option<Duration>,
    /// Mints that failed since the last one that did not.
    pub failures: u32,
    /// Why the last one failed.
    pub last_error: Option<MintError>,
}

impl Minted {
    pub(super) fn start(
        plans: HashMap<LibraryId, MintPlan>,
        grantees: &[Grantee],
        settings: &Settings,
        metrics: &Arc<Metrics>,
        report: &mut dyn FnMut(&LibraryId, SourceError),
    ) -> Self {
        let plans = plans.into_iter().map(|(library, plan)| {
            let grantee = grantees.iter().find(|(_, tenant)| tenant.library.id == library);
            let minting = Minting {
                plan,
                secret: Mutex::new(None),
                proven: AtomicBool::new(false),
                grantee: grantee.cloned(),
                proof: Mutex::new(None),
                places: Arc::new(Semaphore::new(AT_ONCE)),
            };
            (library, minting)
        });
        let book = Arc::new(Book {
            plans: plans.collect(),
            entries: RwLock::default(),
            instance: format!("smh-gateway-{:08x}", rand::random::<u32>()),
        });
        let (commands, inbox) = mpsc::unbounded_channel();
        let keeper = Keeper::new(Arc::clone(&book), settings.clone(), Arc::clone(metrics));
        #[expect(clippy::disallowed_methods, reason = "owned: aborted when the tokens are dropped")]
        let keeper = tokio::spawn(keeper.run(inbox));
        let minted = Self { book, commands, keeper };
        minted.refresh_secrets(report);
        for (caller, tenant) in grantees.iter().take(AT_START) {
            if let Some((key, _)) = minted.entry(caller, tenant) {
                minted.tell(Command::Obtain(key));
            }
        }
        minted
    }

    pub(super) async fn current(&self, permit: &Permit, deadline: Instant) -> Option<Arc<Issued>> {
        let (key, entry) = self.entry(permit.caller(), permit.tenant())?;
        if let Some(issued) = entry.current.load_full() {
            issued.used();
            return Some(issued);
        }
        self.wait(&entry, Command::Obtain(key), deadline).await
    }

    pub(super) async fn instead_of(
        &self,
        permit: &Permit,
        rejected: &Arc<Issued>,
        deadline: Instant,
    ) -> Option<Arc<Issued>> {
        let (key, entry) = self.entry(permit.caller(), permit.tenant())?;
        let other = |issued: &Arc<Issued>| !Arc::ptr_eq(issued, rejected);
        if let Some(issued) = entry.current.load_full().filter(other) {
            return Some(issued);
        }
        let command = Command::Rejected(key, Arc::clone(rejected));
        self.wait(&entry, command, deadline).await.filter(other)
    }

    pub(super) fn replaced(&self, permit: &Permit, with: &Arc<Issued>, helped: bool) {
        let key = Key::of(permit.caller(), permit.tenant());
        if self.book.entries.read().contains_key(&key) {
            self.tell(Command::Replaced(key, Arc::clone(with), helped));
        }
    }

    /// Says what is wanted, and waits for the next try to end.
    async fn wait(
        &self,
        entry: &Entry,
        command: Command,
        deadline: Instant,
    ) -> Option<Arc<Issued>> {
        // Listening before speaking: the keeper may be faster.
        let mut turns = entry.turns.subscribe();
        self.tell(command);
        timeout_at(deadline, turns.changed()).await.ok()?.ok()?;
        entry.current.load_full()
    }

    /// The entry of a pair, made when it is first asked for. Pairs are configured, not chosen by
    /// callers, and bounded all the same.
    fn entry(&self, caller: &Caller, tenant: &Arc<Tenant>) -> Option<(Key, Arc<Entry>)> {
        let key = Key::of(caller, tenant);
        if let Some(entry) = self.book.entries.read().get(&key) {
            return Some((key, Arc::clone(entry)));
        }
        if !self.book.plans.contains_key(&tenant.library.id) {
            return None;
        }
        let mut entries = self.book.entries.write();
        if entries.len() >= MOST_ENTRIES && !entries.contains_key(&key) {
            return None;
        }
        let entry = entries.entry(key).or_insert_with(|| {
            Arc::new(Entry {
                caller: caller.name.clone(),
                tenant: Arc::clone(tenant),
                current: ArcSwapOption::empty(),
                turns: watch::Sender::new(0),
                health: Mutex::default(),
            })
        });
        Some((key, Arc::clone(entry)))
    }

    fn tell(&self, command: Command) {
        // The keeper ends after these tokens do.
        let _ = self.commands.send(command);
    }

    /// Reads every library secret again. The first one is taken as it is; a later one has to be
    /// proved by the keeper.
    pub(super) fn refresh_secrets(&self, report: &mut dyn FnMut(&LibraryId, SourceError)) {
        for (library, minting) in &self.book.plans {
            match minting.plan.library_secret.read() {
                Ok(secret) => {
                    let mut held = minting.secret.lock();
                    match &*held {
                        None => {
                            *held = Some(secret);
                            self.tell(Command::SecretAtLast(library.clone()));
                        }
                        Some(known) if *known == secret => *minting.proof.lock() = None,
                        Some(_) => self.tell(Command::Prove(library.clone(), secret)),
                    }
                }
                Err(error) => report(library, error),
            }
        }
    }

    pub(super) fn pending(&self) -> impl Iterator<Item = LibraryId> {
        let missing = |(_, minting): &(&LibraryId, &Minting)| {
            minting.grantee.is_some() && !minting.proven.load(Ordering::Relaxed)
        };
        self.book.plans.iter().filter(missing).map(|(library, _)| library.clone())
    }

    pub(super) fn status(&self) -> Vec<TokenStatus> {
        let mut all: Vec<_> = self.book.entries.read().values().map(|one| one.status()).collect();
        all.sort_by(|a, b| (&a.caller, &a.tenant).cmp(&(&b.caller, &b.tenant)));
        all
    }

    pub(super) fn secrets(&self) -> Vec<SecretStatus> {
        let status = |(library, minting): (&LibraryId, &Minting)| SecretStatus {
            library: library.clone(),
            in_force: minting.secret.lock().is_some(),
            new_secret_error: *minting.proof.lock(),
        };
        let mut all: Vec<_> = self.book.plans.iter().map(status).collect();
        all.sort_by(|a, b| a.library.cmp(&b.library));
        all
    }

    pub(super) async fn revoke_all(&self) {
        if self.book.plans.is_empty() {
            return;
        }
        let (done, ended) = oneshot::channel();
        self.tell(Command::RevokeAll(done));
        // The keeper answers within its own limit, or is gone.
        let _ = ended.await;
    }
}

impl Drop for Minted {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Entry {
    fn status(&self) -> TokenStatus {
        let (issued, health) = (self.current.load_full(), *self.health.lock());
        TokenStatus {
            caller: self.caller.clone(),
            tenant: self.tenant.name.clone(),
            age: issued.as_ref().map(|issued| issued.obtained.elapsed()),
            expires_in: issued
                .map(|issued| issued.lifetime.saturating_sub(issued.obtained.elapsed())),
            failures: health.failures,
            last_error: health.last_error,
        }
    }

    /// Wakes everyone who waits for a try to end.
    pub(super) fn turn(&self) {
        self.turns.send_modify(|turn| *turn += 1);
    }
}

/// So many tokens are obtained at start, so that the first deletes do not wait; the others at their
/// first use.
const AT_START: usize = 100;

/// Mints and revocations at once, of one library.
const AT_ONCE: usize = 8;

/// Each is one token at SMH and a kilobyte here.
const MOST_ENTRIES: usize = 20_000;
