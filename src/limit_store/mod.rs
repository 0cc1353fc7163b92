//! A store of rate limits that several gateways share: Redis, or what speaks as it does.
//!
//! One round trip a delete charges all its limits, by one script. Each worker has a connection of its
//! own, on which what is asked at once is pipelined; a task keeps it, and takes it away when the store
//! is of no use, so that a dead store costs deletes nothing. What is decided, and what goes on without
//! it, is [`crate::limits`]' concern.

mod fault;
mod health;
mod link;
mod plan;
mod script;

pub use self::fault::StoreFault;
pub use self::plan::{StoreAt, StorePlan, StoreUrl, StoreUrlError, WhenUnavailable};

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use rand::RngExt;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use self::health::{Breaker, Health};
use self::link::Link;
use self::script::{Purpose, Script};
use crate::ids::LimitName;
use crate::limits::{Claim, Key, Per, Verdict};
use crate::metrics::StoreMetrics;

/// The store of one configuration. Shared by all workers, and kept by a reload that leaves it alone.
pub struct SharedStore {
    plan: StorePlan,
    script: Script,
    health: Health,
    metrics: StoreMetrics,
}

/// How a store is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreStatus {
    /// Workers that have a connection which is of use.
    pub connected: usize,
    /// What went wrong last, and when; `None` since it is well.
    pub last_fault: Option<(StoreFault, SystemTime)>,
}

impl SharedStore {
    /// Connects to nothing yet.
    #[must_use]
    pub fn new(plan: StorePlan, metrics: &StoreMetrics) -> Arc<Self> {
        let script = Script::new(&plan.prefix);
        Arc::new(Self {
            plan,
            script,
            health: Health::new(metrics.clone()),
            metrics: metrics.clone(),
        })
    }

    /// As configured.
    #[must_use]
    pub fn plan(&self) -> &StorePlan {
        &self.plan
    }

    /// How it is doing.
    #[must_use]
    pub fn status(&self) -> StoreStatus {
        StoreStatus { connected: self.health.connected(), last_fault: self.health.last_fault() }
    }

    /// Asks now and then, so that the next delete need not find out that nobody is there. Returns when the
    /// store is of no use any more.
    async fn watched(&self, mut link: Link, breaker: &Breaker) -> StoreFault {
        loop {
            tokio::time::sleep(WATCHED_EACH).await;
            let asked = link.call(&redis::cmd("PING"), self.plan.response_timeout).await;
            let asked: Result<String, _> = asked;
            match asked {
                Ok(_) => breaker.succeeded(),
                Err(fault) if fault.is_certain() => return fault,
                Err(fault) => breaker.failed(fault),
            }
        }
    }

    /// Looks whether the script runs and may write, which a mere PING would not tell.
    async fn prove(&self, link: &mut Link) -> Result<(), StoreFault> {
        let mut command = redis::cmd("SCRIPT");
        command.arg("LOAD").arg(script::TEXT);
        let _: String = link.call(&command, PROOF_TIMEOUT).await?;
        let mut command = redis::cmd("SET");
        command.arg(self.script.proof()).arg(1).arg("PX").arg(1_000);
        link.call(&command, self.plan.response_timeout).await
    }
}

/// One worker's way to the store that is in force.
#[derive(Default)]
pub struct StoreClient {
    kept: Mutex<Option<Kept>>,
}

/// The connection to one store, and the task that keeps it.
struct Kept {
    store: Arc<SharedStore>,
    state: watch::Receiver<State>,
    task: AbortHandle,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
enum State {
    /// For the first time.
    Connecting,
    Up(Link, Arc<Breaker>),
    Down(StoreFault),
}

impl StoreClient {
    /// Begins to connect, unless that was done: the first delete is not to wait for it.
    pub fn prepare(&self, store: &Arc<SharedStore>) {
        let _ = self.state(store);
    }

    /// Charges a claim, in one round trip.
    ///
    /// # Errors
    /// [`StoreFault`]; then it may have been charged or not.
    pub async fn charge(
        &self,
        store: &Arc<SharedStore>,
        claim: &Claim,
    ) -> Result<Vec<Verdict>, StoreFault> {
        self.put(store, claim, Purpose::Charge).await
    }

    /// What [`StoreClient::charge`] would say. Charges nothing.
    ///
    /// # Errors
    /// As there.
    pub async fn look(
        &self,
        store: &Arc<SharedStore>,
        claim: &Claim,
    ) -> Result<Vec<Verdict>, StoreFault> {
        self.put(store, claim, Purpose::Look).await
    }

    /// Grants so many deletes beyond a limit, on top of what is left of earlier grants; all of them last
    /// at least this long from now on. Returns how many there are.
    ///
    /// # Errors
    /// As [`StoreClient::charge`].
    pub async fn grant(
        &self,
        store: &Arc<SharedStore>,
        (limit, per, key): (&LimitName, Per, &Key),
        add: u32,
        lasts: Duration,
    ) -> Result<i64, StoreFault> {
        let (mut link, breaker) = self.link(store).await?;
        let lasts = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
        let mut command = redis::cmd("EVAL");
        command.arg(GRANT).arg(1).arg(store.script.granted(limit, per, key)).arg(add).arg(lasts);
        self.told(&breaker, link.call(&command, GRANT_TIMEOUT).await)
    }

    /// How many deletes are left of what was granted beyond a limit, and for how long.
    ///
    /// # Errors
    /// As [`StoreClient::charge`].
    pub async fn granted(
        &self,
        store: &Arc<SharedStore>,
        (limit, per, key): (&LimitName, Per, &Key),
    ) -> Result<Option<(i64, Duration)>, StoreFault> {
        let (mut link, breaker) = self.link(store).await?;
        let name = store.script.granted(limit, per, key);
        let mut command = redis::cmd("GET");
        command.arg(&name);
        let left: Option<i64> = self.told(&breaker, link.call(&command, GRANT_TIMEOUT).await)?;
        let mut command = redis::cmd("PTTL");
        command.arg(&name);
        let lasts: i64 = self.told(&breaker, link.call(&command, GRANT_TIMEOUT).await)?;
        let lasts = Duration::from_millis(u64::try_from(lasts).unwrap_or(0));
        Ok(left.filter(|left| *left > 0).map(|left| (left, lasts)))
    }

    async fn put(
        &self,
        store: &Arc<SharedStore>,
        claim: &Claim,
        purpose: Purpose,
    ) -> Result<Vec<Verdict>, StoreFault> {
        let (mut link, breaker) = self.link(store).await?;
        let timeout = store.plan.response_timeout;
        let mut told = link.call(&store.script.by_name(claim, purpose), timeout).await;
        if told == Err(StoreFault::NoScript) {
            told = link.call(&store.script.whole(claim, purpose), timeout).await;
        }
        let told = told.and_then(|told: Vec<i64>| script::verdicts(claim, &told));
        let told = self.told(&breaker, told);
        if let Err(fault) = told {
            store.metrics.failed(fault.as_str());
        }
        told
    }

    fn told<T>(&self, breaker: &Breaker, told: Result<T, StoreFault>) -> Result<T, StoreFault> {
        match &told {
            Ok(_) => breaker.succeeded(),
            Err(fault) => breaker.failed(*fault),
        }
        told
    }

    /// The connection that is kept. Only the very first one is waited for.
    async fn link(&self, store: &Arc<SharedStore>) -> Result<(Link, Arc<Breaker>), StoreFault> {
        let mut state = self.state(store);
        let connecting = matches!(*state.borrow(), State::Connecting);
        if connecting {
            let first = state.wait_for(|state| !matches!(state, State::Connecting));
            // However it ends, the state says it.
            let _ = tokio::time::timeout(store.plan.response_timeout, first).await;
        }
        match &*state.borrow() {
            State::Up(link, breaker) => Ok((link.clone(), Arc::clone(breaker))),
            State::Down(fault) => Err(*fault),
            State::Connecting => Err(StoreFault::Connect),
        }
    }

    fn state(&self, store: &Arc<SharedStore>) -> watch::Receiver<State> {
        let mut kept = self.kept.lock();
        match &*kept {
            Some(kept) if Arc::ptr_eq(&kept.store, store) => kept.state.clone(),
            _ => {
                let (sender, state) = watch::channel(State::Connecting);
                #[expect(clippy::disallowed_methods, reason = "aborted when another one is kept")]
                let task = tokio::spawn(keep(Arc::clone(store), sender)).abort_handle();
                let store = Arc::clone(store);
                *kept = Some(Kept { store, state: state.clone(), task });
                state
            }
        }
    }
}

/// Connects, waits until that is of no use any more, and connects again.
async fn keep(store: Arc<SharedStore>, state: watch::Sender<State>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let opened = match Link::open(&store.plan).await {
            Ok(mut link) => store.prove(&mut link).await.map(|()| link),
            Err(fault) => Err(fault),
        };
        let fault = match opened {
            Ok(link) => {
                let breaker = Arc::new(Breaker::default());
                let connected = Connected::now(&store);
                state.send_replace(State::Up(link.clone(), Arc::clone(&breaker)));
                let fault = tokio::select! {
                    fault = breaker.broken() => fault,
                    fault = store.watched(link.clone(), &breaker) => fault,
                };
                state.send_replace(State::Down(fault));
                connected.ended(fault);
                pause = FIRST_PAUSE;
                fault
            }
            Err(fault) => {
                store.health.failed(fault);
                fault
            }
        };
        state.send_replace(State::Down(fault));
        // Apart from each other: all workers of all gateways have lost it at once.
        let jitter = rand::rng().random_range(0.5..1.0);
        tokio::time::sleep(pause.mul_f64(jitter)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Counts a worker as connected, also when its task is aborted.
struct Connected<'s> {
    store: &'s SharedStore,
    fault: StoreFault,
}

impl<'s> Connected<'s> {
    fn now(store: &'s SharedStore) -> Self {
        store.health.up();
        Self { store, fault: StoreFault::Lost }
    }

    fn ended(mut self, fault: StoreFault) {
        self.fault = fault;
    }
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.store.health.down(self.fault);
    }
}

/// A store that was only restarted is back soon.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// It is used again within this after it is well.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Three of these in a row may be late.
const WATCHED_EACH: Duration = Duration::from_millis(500);

/// Loading a script is rare, and may wait for a server that is busy.
const PROOF_TIMEOUT: Duration = Duration::from_secs(1);

/// Both or neither: a grant that never ends would be a limit that is none.
const GRANT: &str = "local left = redis.call('INCRBY', KEYS[1], ARGV[1]) \
                     local lasts = math.max(redis.call('PTTL', KEYS[1]), tonumber(ARGV[2])) \
                     redis.call('PEXPIRE', KEYS[1], lasts) return left";

/// An operator waits for it, not a delete.
const GRANT_TIMEOUT: Duration = Duration::from_secs(2);
