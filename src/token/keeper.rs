//! The one task that obtains, replaces and revokes minted tokens.
//!
//! Whatever it waits for is a job of its own; what it knows is its own alone. So two mints for one
//! pair never overlap, and a mint that fails is not tried again before its time, however many
//! deletes ask for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::directory::Library;
use crate::ids::LibraryId;
use crate::metrics::Metrics;
use crate::secret::Secret;
use crate::token::Issued;
use crate::token::mint::{self, Fresh, MintError, Order};
use crate::token::minted::{Book, Entry, Health, Key};
use crate::token::pace::{Work, pause};
use crate::token::proof::Proof;
use crate::upstream::Settings;

/// What those who serve ask for.
pub(super) enum Command {
    /// There is no token for this pair.
    Obtain(Key),
    /// SMH rejected this token of the pair.
    Rejected(Key, Arc<Issued>),
    /// A delete was tried again with this token, and SMH took it, or did not.
    Replaced(Key, Arc<Issued>, bool),
    /// The source of a library's secret has another one.
    Prove(LibraryId, Secret),
    /// There was no secret to mint with, and now there is.
    SecretAtLast(LibraryId),
    /// The gateway is about to end.
    RevokeAll(oneshot::Sender<()>),
}

pub(super) struct Keeper {
    pub(super) book: Arc<Book>,
    pub(super) settings: Settings,
    pub(super) metrics: Arc<Metrics>,
    pub(super) work: HashMap<Key, Work>,
    pub(super) proofs: HashMap<LibraryId, Proof>,
    pub(super) retiring: Vec<(Instant, Arc<Library>, Arc<Issued>)>,
    pub(super) jobs: JoinSet<Done>,
}

pub(super) enum Done {
    Minted(Key, Result<Fresh, MintError>),
    Proved(LibraryId, Secret, Result<Fresh, MintError>),
    Revoked(bool),
}

impl Keeper {
    pub(super) fn new(book: Arc<Book>, settings: Settings, metrics: Arc<Metrics>) -> Self {
        Self {
            book,
            settings,
            metrics,
            work: HashMap::new(),
            proofs: HashMap::new(),
            retiring: Vec::new(),
            jobs: JoinSet::new(),
        }
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Command>) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                command = inbox.recv() => match command {
                    None => return,
                    Some(Command::Obtain(key)) => self.obtain(key),
                    Some(Command::Rejected(key, rejected)) => self.rejected(key, &rejected),
                    Some(Command::Replaced(key, with, helped)) => {
                        self.work.entry(key).or_insert_with(Work::new).replaced(&with, helped);
                    }
                    Some(Command::Prove(library, secret)) => self.prove(library, secret),
                    Some(Command::SecretAtLast(library)) => self.end_pauses(&library),
                    Some(Command::RevokeAll(done)) => {
                        self.revoke_all().await;
                        // Whoever asked may have given up waiting.
                        let _ = done.send(());
                        return;
                    }
                },
                Some(done) = self.jobs.join_next() => match done {
                    Ok(Done::Minted(key, result)) => self.minted(key, result),
                    Ok(Done::Proved(library, secret, result)) => {
                        self.proved(&library, secret, result);
                    }
                    Ok(Done::Revoked(taken)) => self.metrics.tokens.revoked(taken),
                    // A job that panicked is a bug, and its pair is tried again at the next need.
                    Err(error) => tracing::error!(%error, "a token job ended badly"),
                },
                _ = tick.tick() => self.look_around(),
            }
        }
    }

    /// A delete waits for a token of this pair.
    fn obtain(&mut self, key: Key) {
        let Some(entry) = self.entry(key) else { return };
        let work = self.work.entry(key).or_insert_with(Work::new);
        if work.minting {
            return;
        }
        // There is one by now, or there will be none for a while: either way waiting is over.
        if entry.current.load().is_some() || Instant::now() < work.not_before {
            entry.turn();
            return;
        }
        self.mint(key, &entry);
    }

    fn rejected(&mut self, key: Key, rejected: &Arc<Issued>) {
        let Some(entry) = self.entry(key) else { return };
        let current = entry.current.load_full();
        if let Some(current) = current.filter(|current| Arc::ptr_eq(current, rejected)) {
            let work = self.work.entry(key).or_insert_with(Work::new);
            if !work.may_replace() {
                // It stays in use: what SMH rejects may be this delete, not the token.
                entry.turn();
                return;
            }
            entry.current.store(None);
            tracing::warn!(
                caller = %entry.caller, tenant = %entry.tenant.name,
                "SMH rejected a token that the gateway had minted"
            );
            // "Forbidden" need not mean that it is dead.
            self.retire(Duration::ZERO, &entry, current);
        }
        self.obtain(key);
    }

    fn mint(&mut self, key: Key, entry: &Arc<Entry>) {
        let Some(minting) = self.book.plans.get(&entry.tenant.library.id) else { return };
        let Some(secret) = minting.secret.lock().clone() else {
            self.minted(key, Err(MintError::NoSecret));
            return;
        };
        if let Some(work) = self.work.get_mut(&key) {
            work.minting = true;
        }
        let places = Arc::clone(&minting.places);
        let (book, entry) = (Arc::clone(&self.book), Arc::clone(entry));
        let settings = self.settings.clone();
        self.jobs.spawn(async move {
            let _place = places.acquire_owned().await;
            Done::Minted(key, order(&book, &entry, &secret, &settings).await)
        });
    }

    fn minted(&mut self, key: Key, result: Result<Fresh, MintError>) {
        let Some(entry) = self.entry(key) else { return };
        let work = self.work.entry(key).or_insert_with(Work::new);
        work.minting = false;
        self.metrics.tokens.minted(result.as_ref().err().map(|error| error.name()));
        match result {
            Ok(fresh) => {
                work.failures = 0;
                work.not_before = Instant::now();
                *entry.health.lock() = Health::default();
                if let Some(minting) = self.book.plans.get(&entry.tenant.library.id) {
                    minting.proven.store(true, Ordering::Relaxed);
                    let issued = Arc::new(Issued::minted(fresh, minting.plan.max_age));
                    if let Some(old) = entry.current.swap(Some(issued)) {
                        let grace = self.settings.timeout + GRACE;
                        self.retire(grace, &entry, old);
                    }
                }
                // What it was that failed for others, it does so no longer.
                self.end_pauses(&entry.tenant.library.id);
            }
            Err(error) => {
                work.failures = work.failures.saturating_add(1);
                work.not_before = Instant::now() + pause(work.failures);
                let failures = work.failures;
                *entry.health.lock() = Health { failures, last_error: Some(error) };
                tracing::warn!(
                    caller = %entry.caller, tenant = %entry.tenant.name,
                    library = %entry.tenant.library.id, failures, %error,
                    "no token could be minted"
                );
            }
        }
        entry.turn();
    }

    /// Replaces what is due, tries again what failed, revokes what nobody uses any more.
    fn look_around(&mut self) {
        let now = Instant::now();
        let entries: Vec<_> =
            self.book.entries.read().iter().map(|(key, entry)| (*key, Arc::clone(entry))).collect();
        for (key, entry) in entries {
            let work = self.work.entry(key).or_insert_with(Work::new);
            if work.minting || now < work.not_before {
                continue;
            }
            match entry.current.load_full() {
                Some(issued) if issued.replace_at <= now => {
                    if issued.was_used() {
                        self.mint(key, &entry);
                    } else {
                        // Nobody needs it: the next one who does gets a new one.
                        entry.current.store(None);
                        self.retire(Duration::ZERO, &entry, issued);
                    }
                }
                None if work.failures > 0 => self.mint(key, &entry),
                Some(_) | None => {}
            }
        }
        let due = |(when, _, _): &mut (Instant, _, _)| *when <= now;
        for (_, library, issued) in self.retiring.extract_if(.., due).collect::<Vec<_>>() {
            self.revoke(library, issued);
        }
        let ready: Vec<_> = self
            .proofs
            .iter()
            .filter(|(_, proof)| !proof.running && !proof.wrong && proof.not_before <= now)
            .map(|(library, proof)| (library.clone(), proof.secret.clone()))
            .collect();
        for (library, secret) in ready {
            self.start_proof(library, secret);
        }
    }

    fn retire(&mut self, grace: Duration, entry: &Entry, issued: Arc<Issued>) {
        self.retiring.push((Instant::now() + grace, Arc::clone(&entry.tenant.library), issued));
    }

    pub(super) fn revoke(&mut self, library: Arc<Library>, issued: Arc<Issued>) {
        let Some(minting) = self.book.plans.get(&library.id) else { return };
        let (settings, places) = (self.settings.clone(), Arc::clone(&minting.places));
        self.jobs.spawn(async move {
            let _place = places.acquire_owned().await;
            Done::Revoked(mint::revoke(issued.token(), &library, &settings).await)
        });
    }

    /// Gives back everything there is, within a small limit. Nothing waits for a mint that hangs; a
    /// token that is minted meanwhile is given back as well.
    async fn revoke_all(&mut self) {
        let held: Vec<_> = self.book.entries.read().values().cloned().collect();
        for entry in held {
            if let Some(issued) = entry.current.swap(None) {
                self.revoke(Arc::clone(&entry.tenant.library), issued);
            }
        }
        for (_, library, issued) in std::mem::take(&mut self.retiring) {
            self.revoke(library, issued);
        }
        let work = async {
            let mut revoked = 0_usize;
            while let Some(done) = self.jobs.join_next().await {
                match done {
                    Ok(Done::Revoked(taken)) => {
                        self.metrics.tokens.revoked(taken);
                        revoked += usize::from(taken);
                    }
                    Ok(Done::Minted(key, Ok(fresh))) => {
                        if let Some(entry) = self.entry(key) {
                            let issued = Arc::new(Issued::minted(fresh, Duration::ZERO));
                            self.revoke(Arc::clone(&entry.tenant.library), issued);
                        }
                    }
                    Ok(Done::Proved(library, _, result)) => self.revoke_proof(&library, result),
                    Ok(Done::Minted(_, Err(_))) | Err(_) => {}
                }
            }
            revoked
        };
        match timeout(REVOKE_ALL, work).await {
            Ok(revoked) => tracing::info!(revoked, "minted tokens were revoked"),
            Err(_) => tracing::warn!("not every minted token was revoked in time; they expire"),
        }
    }

    fn entry(&self, key: Key) -> Option<Arc<Entry>> {
        self.book.entries.read().get(&key).cloned()
    }
}

async fn order(
    book: &Book,
    entry: &Entry,
    secret: &Secret,
    settings: &Settings,
) -> Result<Fresh, MintError> {
    let minting = book.plans.get(&entry.tenant.library.id).ok_or(MintError::NoSecret)?;
    let (caller, tenant) = (&entry.caller, &*entry.tenant);
    let instance = book.instance.as_str();
    mint::mint(&Order { plan: &minting.plan, secret, caller, tenant, instance }, settings).await
}

const TICK: Duration = Duration::from_secs(1);

/// A delete that took the old token may still be on its way, for `upstream.timeout` and a bit.
const GRACE: Duration = Duration::from_secs(1);

/// Shutting down must not wait for an SMH that is gone.
const REVOKE_ALL: Duration = Duration::from_secs(2);
