//! A store of rate limits that several gateways share: Redis, or what speaks as it does.
//!
//! One round trip a delete charges all its limits, by one script; deletes that come while a run of it is
//! under way go together with the next one. Each worker has a connection of its own; a task keeps it, and
//! takes it away when the store is of no use, so that a dead store costs deletes nothing. What is decided,
//! and what goes on without it, is [`crate::limits`]' concern.

mod fault;
mod health;
mod keep;
mod link;
mod plan;
mod queue;
mod script;

pub use self::fault::StoreFault;
pub use self::plan::{StoreAt, StorePlan, StoreUrl, StoreUrlError, WhenUnavailable};
pub use self::script::{Verdicts, verdicts};

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use self::health::Health;
use self::keep::{Asks, State, Way, keep};
use self::queue::Answer;
use self::script::{Purpose, Script};
use crate::ids::LimitName;
use crate::limits::{Claim, Key, Per, Verdict};
use crate::metrics::StoreMetrics;

/// The store of one configuration. Shared by all workers, and kept by a reload that leaves it alone. Its
/// connections end with it.
pub struct SharedStore {
    core: Arc<Core>,
    /// Dropped with it, which tells those who keep a connection.
    in_force: watch::Sender<()>,
}

/// What those who keep a connection share.
struct Core {
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
        let health = Health::new(metrics.clone());
        let core = Arc::new(Core { plan, script, health, metrics: metrics.clone() });
        Arc::new(Self { core, in_force: watch::Sender::new(()) })
    }

    /// As configured.
    #[must_use]
    pub fn plan(&self) -> &StorePlan {
        &self.core.plan
    }

    /// How it is doing.
    #[must_use]
    pub fn status(&self) -> StoreStatus {
        let health = &self.core.health;
        StoreStatus { connected: health.connected(), last_fault: health.last_fault() }
    }
}

/// A way to the store that is in force: one worker's, or the operators'.
pub struct StoreClient {
    /// The one in force and the one before: deletes that began under that one may still need it.
    kept: Mutex<SmallVec<[Kept; 2]>>,
    asks: Asks,
}

/// The connection to one store, and the task that keeps it.
struct Kept {
    core: Arc<Core>,
    state: watch::Receiver<State>,
    task: AbortHandle,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The share of a limit that is looked at or added to: which limit, what it is per, and whose share.
pub type ShareOf<'k> = (&'k LimitName, Per, &'k Key);

impl StoreClient {
    /// For the deletes of one worker.
    #[must_use]
    pub fn of_worker() -> Self {
        Self { kept: Mutex::default(), asks: Asks::Worker }
    }

    /// For operators. It is not counted among the workers.
    #[must_use]
    pub fn of_operators() -> Self {
        Self { kept: Mutex::default(), asks: Asks::Operator }
    }

    /// Begins to connect, unless that was done: the first delete is not to wait for it.
    pub fn prepare(&self, store: &SharedStore) {
        let _ = self.state(store);
    }

    /// Charges a claim, in one round trip.
    ///
    /// # Errors
    /// [`StoreFault`], with the claim where that was certainly not charged. Otherwise it may have been.
    pub async fn charge(
        &self,
        store: &SharedStore,
        claim: Claim,
    ) -> Result<(Claim, Verdicts), (Option<Claim>, StoreFault)> {
        self.put(store, claim, Purpose::Charge).await
    }

    /// What [`StoreClient::charge`] would say. Charges nothing.
    ///
    /// # Errors
    /// [`StoreFault`].
    pub async fn ask(
        &self,
        store: &SharedStore,
        claim: Claim,
    ) -> Result<(Claim, Verdicts), StoreFault> {
        self.put(store, claim, Purpose::Look).await.map_err(|(_, fault)| fault)
    }

    async fn put(
        &self,
        store: &SharedStore,
        claim: Claim,
        purpose: Purpose,
    ) -> Result<(Claim, Verdicts), (Option<Claim>, StoreFault)> {
        let within = store.core.plan.response_timeout;
        let answered = match self.way(store, within).await {
            Ok(way) => way.queue.put(claim, purpose, within).come().await,
            Err(fault) => Err((Some(claim), fault)),
        };
        answered.inspect_err(|(_, fault)| store.core.metrics.failed(fault.as_str()))
    }

    /// What [`StoreClient::charge`] would say of claims of one limit each, for operators. Charges nothing.
    /// `None` of those that the store does not answer.
    pub async fn look(&self, store: &SharedStore, claims: Vec<Claim>) -> Vec<Option<Verdict>> {
        let Ok(way) = self.way(store, OPERATORS_PATIENCE).await else {
            return vec![None; claims.len()];
        };
        let put = |claim| way.queue.put(claim, Purpose::Look, OPERATORS_PATIENCE);
        let answers: Vec<Answer> = claims.into_iter().map(put).collect();
        let mut verdicts = Vec::with_capacity(answers.len());
        for answer in answers {
            let answered = answer.come().await.ok();
            verdicts.push(answered.and_then(|(_, verdicts)| verdicts.first().copied()));
        }
        verdicts
    }

    /// Grants so many deletes beyond a limit, on top of what is left of earlier grants; all of them last
    /// at least this long from now on. Returns how many there are, and for how long.
    ///
    /// # Errors
    /// As [`StoreClient::charge`].
    pub async fn grant(
        &self,
        store: &SharedStore,
        (limit, per, key): ShareOf<'_>,
        add: u32,
        lasts: Duration,
    ) -> Result<(i64, Duration), StoreFault> {
        let lasts = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
        let mut command = redis::cmd("EVAL");
        let name = store.core.script.granted(limit, per, key);
        command.arg(GRANT).arg(1).arg(name).arg(add).arg(lasts);
        let (left, lasts): (i64, i64) = self.command(store, &command).await?;
        Ok((left, Duration::from_millis(u64::try_from(lasts).unwrap_or(0))))
    }

    /// How many deletes are left of what was granted beyond each of these, and for how long.
    ///
    /// # Errors
    /// As [`StoreClient::charge`].
    pub async fn granted(
        &self,
        store: &SharedStore,
        of: &[ShareOf<'_>],
    ) -> Result<Vec<Option<(i64, Duration)>>, StoreFault> {
        let mut all = Vec::with_capacity(of.len());
        for part in of.chunks(MOST_LOOKED_AT) {
            let mut command = redis::cmd("EVAL");
            command.arg(GRANTED).arg(part.len());
            for &(limit, per, key) in part {
                command.arg(store.core.script.granted(limit, per, key));
            }
            let told: Vec<(i64, i64)> = self.command(store, &command).await?;
            if told.len() != part.len() {
                return Err(StoreFault::Garbage);
            }
            all.extend(told.into_iter().map(|(left, lasts)| {
                let lasts = Duration::from_millis(u64::try_from(lasts).unwrap_or(0));
                (left > 0).then_some((left, lasts))
            }));
        }
        Ok(all)
    }

    /// A command that an operator waits for.
    async fn command<T: redis::FromRedisValue>(
        &self,
        store: &SharedStore,
        command: &redis::Cmd,
    ) -> Result<T, StoreFault> {
        let way = self.way(store, OPERATORS_PATIENCE).await?;
        let told = way.link.clone().call(command, OPERATORS_PATIENCE).await;
        way.breaker.told(&told);
        told
    }

    /// The connection that is kept. Until the first one came about, or did not, it is waited for.
    async fn way(&self, store: &SharedStore, patience: Duration) -> Result<Arc<Way>, StoreFault> {
        let mut state = self.state(store);
        let connecting = matches!(*state.borrow(), State::Connecting);
        if connecting {
            let first = state.wait_for(|state| !matches!(state, State::Connecting));
            // However it ends, the state says it.
            let _ = tokio::time::timeout(patience, first).await;
        }
        match &*state.borrow() {
            State::Up(way) => Ok(Arc::clone(way)),
            State::Down(fault) => Err(*fault),
            State::Connecting => Err(StoreFault::Connect),
        }
    }

    fn state(&self, store: &SharedStore) -> watch::Receiver<State> {
        let mut kept = self.kept.lock();
        if let Some(kept) = kept.iter().find(|kept| Arc::ptr_eq(&kept.core, &store.core)) {
            return kept.state.clone();
        }
        let core = Arc::clone(&store.core);
        let (sender, state) = watch::channel(State::Connecting);
        let keep = keep(Arc::clone(&core), sender, store.in_force.subscribe(), self.asks);
        #[expect(clippy::disallowed_methods, reason = "aborted when it is kept no more")]
        let task = tokio::spawn(keep).abort_handle();
        if kept.len() == 2 {
            kept.remove(0);
        }
        kept.push(Kept { core, state: state.clone(), task });
        state
    }
}

/// Both or neither: a grant that never ends would be a limit that is none.
const GRANT: &str = "local left = redis.call('INCRBY', KEYS[1], ARGV[1]) \
                     local lasts = math.max(redis.call('PTTL', KEYS[1]), tonumber(ARGV[2])) \
                     redis.call('PEXPIRE', KEYS[1], lasts) return {left, lasts}";

/// Of each key the number that it holds, and how many milliseconds it lasts.
const GRANTED: &str = "local told = {} \
                       for i, key in ipairs(KEYS) do \
                       local left = redis.call('MGET', key)[1] \
                       told[i] = {left and tonumber(left) or 0, redis.call('PTTL', key)} \
                       end return told";

/// Keys that one command is about.
const MOST_LOOKED_AT: usize = 1_000;

/// An operator waits for it, not a delete.
const OPERATORS_PATIENCE: Duration = Duration::from_secs(2);
