//! The one task that obtains, replaces and revokes the minted tokens of a library.
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

use crate::metrics::Metrics;
use crate::secret::Secret;
use crate::token::Issued;
use crate::token::mint::{self, Fresh, MintError, Order};
use crate::token::minted::{Book, Entry, Health, Key};
use crate::token::pace::{Work, pause};
use crate::token::proof::Proof;
use crate::token::right::Right;

/// What those who serve ask for.
pub(super) enum Command {
    /// There is no token for this pair.
    Obtain(Key),
    /// SMH rejected this token of the pair.
    Rejected(Key, Arc<Issued>),
    /// A delete was tried again with this token, and SMH took it, or did not.
    Replaced(Key, Arc<Issued>, bool),
    /// The source of the library's secret has another one.
    Prove(Secret),
    /// There was no secret to mint with, and now there is.
    SecretAtLast,
    /// Nothing is to be minted any more, and everything to be revoked at that time.
    Leave(Instant),
    /// The gateway is about to end.
    RevokeAll(oneshot::Sender<()>),
}

pub(super) struct Keeper {
    pub(super) book: Arc<Book>,
    pub(super) metrics: Arc<Metrics>,
    /// Given up when it is to leave.
    pub(super) right: Option<Arc<Right>>,
    pub(super) work: HashMap<Key, Work>,
    pub(super) proof: Option<Proof>,
    pub(super) retiring: Vec<(Instant, Arc<Issued>)>,
    pub(super) jobs: JoinSet<Done>,
    /// When it is to have left.
    leaves: Option<Instant>,
}

pub(super) enum Done {
    Minted(Key, Result<Fresh, MintError>),
    /// The keeper was told to leave before it was asked for.
    NotMinted(Key),
    Proved(Secret, Result<Fresh, MintError>),
    Revoked(bool),
}

impl Keeper {
    pub(super) fn new(book: Arc<Book>, right: Arc<Right>, metrics: Arc<Metrics>) -> Self {
        Self {
            book,
            metrics,
            right: Some(right),
            work: HashMap::new(),
            proof: None,
            retiring: Vec::new(),
            jobs: JoinSet::new(),
            leaves: None,
        }
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Command>) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.has_left() {
            tokio::select! {
                command = inbox.recv() => match command {
                    None => return,
                    Some(Command::Obtain(key)) => self.obtain(key),
                    Some(Command::Rejected(key, rejected)) => self.rejected(key, &rejected),
                    Some(Command::Replaced(key, with, helped)) => {
                        self.work.entry(key).or_insert_with(Work::new).replaced(&with, helped);
                    }
                    Some(Command::Prove(secret)) => self.prove(secret),
                    Some(Command::SecretAtLast) => self.end_pauses(),
                    Some(Command::Leave(when)) => {
                        (self.right, self.proof, self.leaves) = (None, None, Some(when));
                    }
                    Some(Command::RevokeAll(done)) => {
                        self.revoke_all().await;
                        // Whoever asked may have given up waiting.
                        let _ = done.send(());
                        return;
                    }
                },
                Some(done) = self.jobs.join_next() => match done {
                    Ok(Done::Minted(key, result)) => self.minted(key, result),
                    Ok(Done::NotMinted(key)) => self.not_minted(key),
                    Ok(Done::Proved(secret, result)) => self.proved(secret, result),
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
        let Some(entry) = self.book.entry(key) else { return };
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
        let Some(entry) = self.book.entry(key) else { return };
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
            self.retire(Instant::now(), current);
        }
        self.obtain(key);
    }

    fn mint(&mut self, key: Key, entry: &Arc<Entry>) {
        let is_granted = entry.leaves.lock().is_none();
        let Some(right) = self.right.clone().filter(|_| is_granted) else {
            // It is not to have another one.
            entry.turn();
            return;
        };
        let Some(secret) = self.book.secret.lock().clone() else {
            self.minted(key, Err(MintError::NoSecret));
            return;
        };
        if let Some(work) = self.work.get_mut(&key) {
            work.minting = true;
        }
        let (book, entry) = (Arc::clone(&self.book), Arc::clone(entry));
        self.jobs.spawn(async move {
            right.have().await;
            let _place = Arc::clone(&book.places).acquire_owned().await;
            if book.leaving.load(Ordering::Relaxed) {
                return Done::NotMinted(key);
            }
            Done::Minted(key, order(&book, &entry, &secret).await)
        });
    }

    fn not_minted(&mut self, key: Key) {
        if let Some(work) = self.work.get_mut(&key) {
            work.minting = false;
        }
        if let Some(entry) = self.book.entry(key) {
            entry.turn();
        }
    }

    fn minted(&mut self, key: Key, result: Result<Fresh, MintError>) {
        let Some(entry) = self.book.entry(key) else { return };
        let work = self.work.entry(key).or_insert_with(Work::new);
        work.minting = false;
        self.metrics.tokens.minted(result.as_ref().err().map(|error| error.name()));
        match result {
            Ok(fresh) => {
                work.failures = 0;
                work.not_before = Instant::now();
                *entry.health.lock() = Health::default();
                self.book.proven.store(true, Ordering::Relaxed);
                let issued = Arc::new(Issued::minted(fresh, self.book.plan.max_age));
                if let Some(old) = entry.current.swap(Some(issued)) {
                    self.retire(self.book.last_use(), old);
                }
                // What it was that failed for others, it does so no longer.
                self.end_pauses();
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
        self.forget(now);
        for (key, entry) in self.book.entries() {
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
                        self.retire(now, issued);
                    }
                }
                None if work.failures > 0 => self.mint(key, &entry),
                Some(_) | None => {}
            }
        }
        let due = |(when, _): &mut (Instant, _)| *when <= now;
        for (_, issued) in self.retiring.extract_if(.., due).collect::<Vec<_>>() {
            self.revoke(issued);
        }
        let is_due = |proof: &&Proof| !proof.running && !proof.wrong && proof.not_before <= now;
        if let Some(proof) = self.proof.as_ref().filter(is_due) {
            self.start_proof(proof.secret.clone());
        }
    }

    /// Forgets the pairs that are no longer granted, once no delete can be using their tokens. Of a
    /// library that is to be left that is every pair, and what is retiring.
    fn forget(&mut self, now: Instant) {
        let all = self.is_time_to_leave(now);
        let mut forgotten = Vec::new();
        self.book.pairs.write().entries.retain(|key, entry| {
            let is_over = all || entry.leaves.lock().is_some_and(|when| when <= now);
            // A token that is just being minted must not get lost.
            let stays = !is_over || self.work.get(key).is_some_and(|work| work.minting);
            if !stays {
                forgotten.push((*key, Arc::clone(entry)));
            }
            stays
        });
        for (key, entry) in forgotten {
            self.work.remove(&key);
            if let Some(issued) = entry.current.swap(None) {
                self.retire(now, issued);
            }
            entry.turn();
        }
        if all {
            self.retiring.iter_mut().for_each(|(when, _)| *when = now);
        }
    }

    fn is_time_to_leave(&self, now: Instant) -> bool {
        self.leaves.is_some_and(|when| when <= now)
    }

    /// It was told to leave, and there is nothing more to be revoked.
    fn has_left(&self) -> bool {
        self.is_time_to_leave(Instant::now())
            && self.jobs.is_empty()
            && self.retiring.is_empty()
            && self.book.pairs.read().entries.is_empty()
    }

    fn retire(&mut self, when: Instant, issued: Arc<Issued>) {
        self.retiring.push((when, issued));
    }

    pub(super) fn revoke(&mut self, issued: Arc<Issued>) {
        let book = Arc::clone(&self.book);
        self.jobs.spawn(async move {
            let _place = Arc::clone(&book.places).acquire_owned().await;
            let settings = book.settings.load_full();
            Done::Revoked(mint::revoke(issued.token(), &book.library, &settings).await)
        });
    }

    /// Gives back everything there is, within a small limit. Nothing waits for a mint that hangs; a
    /// token that is minted meanwhile is given back as well.
    async fn revoke_all(&mut self) {
        for (_, entry) in self.book.entries() {
            if let Some(issued) = entry.current.swap(None) {
                self.revoke(issued);
            }
        }
        for (_, issued) in std::mem::take(&mut self.retiring) {
            self.revoke(issued);
        }
        let library = self.book.library.id.clone();
        let work = async {
            let mut revoked = 0_usize;
            while let Some(done) = self.jobs.join_next().await {
                match done {
                    Ok(Done::Revoked(taken)) => {
                        self.metrics.tokens.revoked(taken);
                        revoked += usize::from(taken);
                    }
                    Ok(Done::Minted(_, result) | Done::Proved(_, result)) => {
                        self.revoke_proof(result);
                    }
                    Ok(Done::NotMinted(_)) | Err(_) => {}
                }
            }
            revoked
        };
        match timeout(REVOKE_ALL, work).await {
            Ok(revoked) => tracing::info!(%library, revoked, "minted tokens were revoked"),
            Err(_) => {
                tracing::warn!(%library, "not every minted token was revoked in time; they expire")
            }
        }
    }
}

async fn order(book: &Book, entry: &Entry, secret: &Secret) -> Result<Fresh, MintError> {
    let (plan, caller, tenant) = (&book.plan, &entry.caller, &*entry.tenant);
    let settings = book.settings.load_full();
    let order = Order { plan, secret, caller, tenant, instance: &book.instance };
    mint::mint(&order, &settings).await
}

const TICK: Duration = Duration::from_secs(1);

/// Shutting down must not wait for an SMH that is gone.
const REVOKE_ALL: Duration = Duration::from_secs(2);
