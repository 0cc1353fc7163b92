//! The minted tokens of a library as those who serve see them: take the one that is there, or wait for one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::directory::{Caller, Fingerprint, Library, Tenant};
use crate::fast_map::FastMap;
use crate::ids::{CallerName, LibraryId};
use crate::metrics::Metrics;
use crate::policy::Permit;
use crate::secret::{Secret, SourceError};
use crate::token::keeper::{Command, Keeper};
use crate::token::mint::{MintError, MintPlan};
use crate::token::right::{Right, Turn};
use crate::token::{Grantee, Issued};
use crate::upstream::Settings;

/// One caller and one tenant, with its space: a tenant that is given another one is another pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    caller: Fingerprint,
    tenant: Fingerprint,
    space: Fingerprint,
}

impl Key {
    fn of(caller: &Caller, tenant: &Tenant) -> Self {
        let space = Fingerprint::of(tenant.space.as_str());
        Self { caller: caller.fingerprint, tenant: tenant.fingerprint, space }
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
    /// The pair is no longer granted, and its token is for deletes that began before, until then.
    pub(super) leaves: Mutex<Option<Instant>>,
}

/// How minting goes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Health {
    pub(super) failures: u32,
    pub(super) last_error: Option<MintError>,
}

/// What serving and keeping share about one library.
pub(super) struct Book {
    pub(super) library: Arc<Library>,
    pub(super) plan: MintPlan,
    pub(super) settings: ArcSwap<Settings>,
    /// When the last delete is over that began under other settings.
    earlier: Mutex<Instant>,
    pub(super) pairs: RwLock<Pairs>,
    /// Names this gateway in SMH's records: `client_id`.
    pub(super) instance: Arc<str>,
    /// The library's secret that is known to be good, or the first that was read.
    pub(super) secret: Mutex<Option<Secret>>,
    /// Whether a token was ever had.
    pub(super) proven: AtomicBool,
    /// Why the secret that the source has is not the one in force.
    pub(super) proof: Mutex<Option<MintError>>,
    /// Calls at once: a library that hangs must not hold up another.
    pub(super) places: Arc<Semaphore>,
    /// The configuration has no such library any more, or another one: nothing is begun.
    pub(super) leaving: AtomicBool,
}

/// Who may have a token of the library, and who has one.
#[derive(Default)]
pub(super) struct Pairs {
    granted: FastMap<Key, Grantee>,
    pub(super) entries: FastMap<Key, Arc<Entry>>,
}

impl Book {
    /// When the last delete is over that may have taken a token by now.
    pub(super) fn last_use(&self) -> Instant {
        let present = Instant::now() + self.settings.load().timeout;
        present.max(*self.earlier.lock()) + GRACE
    }

    fn take_settings(&self, settings: Settings) {
        let mut earlier = self.earlier.lock();
        *earlier = (*earlier).max(Instant::now() + self.settings.load().timeout);
        self.settings.store(Arc::new(settings));
    }

    /// Some pair, to prove a new secret with.
    pub(super) fn some_grantee(&self) -> Option<Grantee> {
        self.pairs.read().granted.values().next().cloned()
    }

    pub(super) fn entry(&self, key: Key) -> Option<Arc<Entry>> {
        self.pairs.read().entries.get(&key).cloned()
    }

    pub(super) fn entries(&self) -> Vec<(Key, Arc<Entry>)> {
        let pairs = self.pairs.read();
        pairs.entries.iter().map(|(key, entry)| (*key, Arc::clone(entry))).collect()
    }
}

/// The minted tokens of one library, and the task that keeps them.
pub(super) struct Minted {
    book: Arc<Book>,
    turn: Turn,
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
    /// Starts the keeper, which mints for nobody yet. `turn` is that of the keepers before, if there
    /// were any.
    pub(super) fn start(
        library: Arc<Library>,
        plan: MintPlan,
        turn: Turn,
        instance: &Arc<str>,
        settings: &Settings,
        metrics: &Arc<Metrics>,
    ) -> Arc<Self> {
        let book = Arc::new(Book {
            library,
            plan,
            settings: ArcSwap::from_pointee(settings.clone()),
            earlier: Mutex::new(Instant::now()),
            pairs: RwLock::default(),
            instance: Arc::clone(instance),
            secret: Mutex::new(None),
            proven: AtomicBool::new(false),
            proof: Mutex::new(None),
            places: Arc::new(Semaphore::new(AT_ONCE)),
            leaving: AtomicBool::new(false),
        });
        let (commands, inbox) = mpsc::unbounded_channel();
        let right = Right::new(Arc::clone(&turn));
        let keeper = Keeper::new(Arc::clone(&book), right, Arc::clone(metrics));
        #[expect(clippy::disallowed_methods, reason = "owned: aborted when the tokens are dropped")]
        let keeper = tokio::spawn(keeper.run(inbox));
        Arc::new(Self { book, turn, commands, keeper })
    }

    /// Whether its tokens are what this plan would get from this library.
    pub(super) fn is_of(&self, plan: &MintPlan, library: &Library) -> bool {
        self.book.plan == *plan && self.book.library.origin == library.origin
    }

    pub(super) fn library(&self) -> &LibraryId {
        &self.book.library.id
    }

    pub(super) fn turn(&self) -> Turn {
        Arc::clone(&self.turn)
    }

    /// These pairs may have tokens, too. The first of those that are new have theirs obtained at
    /// once.
    pub(super) fn grant(&self, grantees: &[Grantee]) {
        let mut new = Vec::new();
        let mut pairs = self.book.pairs.write();
        for (key, grantee) in self.of_library(grantees) {
            if let Some(entry) = pairs.entries.get(&key) {
                *entry.leaves.lock() = None;
            }
            if pairs.granted.insert(key, grantee.clone()).is_none() {
                new.push(grantee);
            }
        }
        drop(pairs);
        for (caller, tenant) in new.into_iter().take(AT_START) {
            if let Some((key, _)) = self.entry(caller, tenant) {
                self.tell(Command::Obtain(key));
            }
        }
    }

    /// Only these pairs may have tokens from now on, and SMH is reached in this way. Those of other
    /// pairs are revoked once no delete that began before can use them.
    pub(super) fn settle(&self, grantees: &[Grantee], settings: &Settings) {
        self.book.take_settings(settings.clone());
        let until = self.book.last_use();
        let mut pairs = self.book.pairs.write();
        pairs.granted = self.of_library(grantees).map(|(key, of)| (key, of.clone())).collect();
        let Pairs { granted, entries } = &*pairs;
        for (_, entry) in entries.iter().filter(|(key, _)| !granted.contains_key(key)) {
            entry.leaves.lock().get_or_insert(until);
        }
    }

    /// Nothing is minted any more, and what there is will be revoked once no delete that began before
    /// can use it.
    pub(super) fn leave(&self) {
        self.book.leaving.store(true, Ordering::Relaxed);
        self.tell(Command::Leave(self.book.last_use()));
    }

    pub(super) fn has_left(&self) -> bool {
        self.keeper.is_finished()
    }

    fn of_library<'g>(&self, grantees: &'g [Grantee]) -> impl Iterator<Item = (Key, &'g Grantee)> {
        let library = self.book.library.id.clone();
        let own = grantees.iter().filter(move |(_, tenant)| tenant.library.id == library);
        own.map(|grantee| (Key::of(&grantee.0, &grantee.1), grantee))
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
        if self.book.entry(key).is_some() {
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
        if let Some(entry) = self.book.entry(key) {
            return Some((key, entry));
        }
        let mut pairs = self.book.pairs.write();
        let Pairs { granted, entries } = &mut *pairs;
        // A delete may have begun before its pair was no longer granted.
        let has_place = entries.len() < MOST_ENTRIES || entries.contains_key(&key);
        if !has_place || !granted.contains_key(&key) {
            return None;
        }
        let entry = entries.entry(key).or_insert_with(|| {
            Arc::new(Entry {
                caller: caller.name.clone(),
                tenant: Arc::clone(tenant),
                current: ArcSwapOption::empty(),
                turns: watch::Sender::new(0),
                health: Mutex::default(),
                leaves: Mutex::new(None),
            })
        });
        Some((key, Arc::clone(entry)))
    }

    fn tell(&self, command: Command) {
        // The keeper ends after these tokens do.
        let _ = self.commands.send(command);
    }

    /// Reads the library secret again. The first one is taken as it is; a later one has to be proved
    /// by the keeper.
    pub(super) fn refresh_secret(&self) -> Result<(), SourceError> {
        let secret = self.book.plan.library_secret.read()?;
        let mut held = self.book.secret.lock();
        match &*held {
            None => {
                *held = Some(secret);
                self.tell(Command::SecretAtLast);
            }
            Some(known) if *known == secret => *self.book.proof.lock() = None,
            Some(_) => self.tell(Command::Prove(secret)),
        }
        Ok(())
    }

    pub(super) fn is_pending(&self) -> bool {
        !self.book.pairs.read().granted.is_empty() && !self.book.proven.load(Ordering::Relaxed)
    }

    pub(super) fn status(&self) -> Vec<TokenStatus> {
        let entries = self.book.entries().into_iter().map(|(_, entry)| entry);
        let staying = entries.filter(|entry| entry.leaves.lock().is_none());
        staying.map(|entry| entry.status()).collect()
    }

    pub(super) fn secret(&self) -> SecretStatus {
        SecretStatus {
            library: self.book.library.id.clone(),
            in_force: self.book.secret.lock().is_some(),
            new_secret_error: *self.book.proof.lock(),
        }
    }

    /// Has everything revoked, within a short time. The receiver hears of the end, or that it came
    /// before.
    pub(super) fn revoke_all(&self) -> oneshot::Receiver<()> {
        let (done, ended) = oneshot::channel();
        self.tell(Command::RevokeAll(done));
        ended
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

/// So many tokens of a library are obtained at start, so that the first deletes do not wait; the others at their
/// first use.
const AT_START: usize = 100;

/// Mints and revocations at once, of one library.
const AT_ONCE: usize = 8;

/// Of one library. Each is one token at SMH and a kilobyte here.
const MOST_ENTRIES: usize = 20_000;

/// A delete that took a token may be on its way for `upstream.timeout`, and a bit.
const GRACE: Duration = Duration::from_secs(1);
