//! One task for each worker keeps its connection, and takes it away when the store is of no use, so that
//! a dead store costs deletes nothing.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::limit_store::Core;
use crate::limit_store::fault::StoreFault;
use crate::limit_store::health::Breaker;
use crate::limit_store::link::Link;
use crate::limit_store::queue::Queue;
use crate::limit_store::script;

/// How one worker reaches the store.
#[derive(Clone)]
pub(super) enum State {
    /// For the first time.
    Connecting,
    Up(Arc<Way>),
    Down(StoreFault),
}

/// A connection that is of use.
pub(super) struct Way {
    pub(super) link: Link,
    pub(super) queue: Queue,
    pub(super) breaker: Breaker,
}

/// Whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    /// A worker's, for deletes.
    Worker,
    /// The admin listener's, for operators.
    Operator,
}

/// Connects, waits until that is of no use any more, and connects again; until the store is in no
/// configuration any more.
pub(super) async fn keep(
    store: Arc<Core>,
    state: watch::Sender<State>,
    mut in_force: watch::Receiver<()>,
    asks: Asks,
) {
    tokio::select! {
        () = reconnect(&store, &state, asks) => {}
        // Nothing is ever sent: it ends with what it came from.
        _ = in_force.changed() => {}
    }
    state.send_replace(State::Down(StoreFault::Lost));
}

async fn reconnect(store: &Core, state: &watch::Sender<State>, asks: Asks) {
    let mut pause = FIRST_PAUSE;
    loop {
        let begun = Instant::now();
        let opened = match Link::open(&store.plan).await {
            Ok(mut link) => prove(store, &mut link).await.map(|took| (link, took)),
            Err(fault) => Err(fault),
        };
        let (fault, from) = match opened {
            Ok((link, took)) => {
                let since = Instant::now();
                let fault = use_it(store, (link, took), state, asks).await;
                // A store that takes connections, and then is of no use, is not asked ten times a second.
                if since.elapsed() >= LONGEST_PAUSE {
                    pause = FIRST_PAUSE;
                }
                (fault, Instant::now())
            }
            Err(fault) => {
                if asks == Asks::Worker {
                    store.health.failed(fault);
                }
                // A store that took its time to fail was left alone meanwhile.
                (fault, begun)
            }
        };
        state.send_replace(State::Down(fault));
        // Apart from each other: all workers of all gateways have lost it at once.
        let jitter = rand::rng().random_range(0.5..1.0);
        tokio::time::sleep_until(from + pause.mul_f64(jitter)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Lets deletes use a connection until it is of no use.
async fn use_it(
    store: &Core,
    (link, took): (Link, Duration),
    state: &watch::Sender<State>,
    asks: Asks,
) -> StoreFault {
    let (queue, runs) = Queue::new(took);
    let way = Arc::new(Way { link: link.clone(), queue, breaker: Breaker::default() });
    let connected = (asks == Asks::Worker).then(|| Connected::now(store));
    state.send_replace(State::Up(Arc::clone(&way)));
    let fault = tokio::select! {
        fault = way.breaker.broken() => fault,
        fault = watched(store, way.link.clone(), &way.breaker) => fault,
        () = runs.go_on(&link, store, &way.breaker) => StoreFault::Lost,
    };
    state.send_replace(State::Down(fault));
    if let Some(connected) = connected {
        connected.ended(fault);
    }
    fault
}

/// Asks now and then what a delete asks, so that the next one need not find out that it is of no use.
async fn watched(store: &Core, mut link: Link, breaker: &Breaker) -> StoreFault {
    loop {
        tokio::time::sleep(WATCHED_EACH).await;
        let (script, timeout) = (&store.script, store.plan.response_timeout);
        match link.run(script, &script.proof(), timeout).await {
            Err(fault) if fault.is_certain() => {
                store.metrics.failed(fault.as_str());
                return fault;
            }
            asked => breaker.told(&asked),
        }
    }
}

/// Looks whether the script runs and may write, which a mere PING would not tell, and how long that takes.
async fn prove(store: &Core, link: &mut Link) -> Result<Duration, StoreFault> {
    let mut command = redis::cmd("SCRIPT");
    command.arg("LOAD").arg(script::TEXT);
    let _: String = link.call(&command, LOAD_TIMEOUT).await?;
    let (script, timeout) = (&store.script, store.plan.response_timeout);
    let begun = Instant::now();
    let told = link.run(script, &script.proof(), timeout).await?;
    if told.len() == 1 { Ok(begun.elapsed()) } else { Err(StoreFault::Garbage) }
}

/// Counts a worker as connected, also when its task is aborted.
struct Connected<'s> {
    store: &'s Core,
    /// `None`: nobody needs it any more.
    fault: Option<StoreFault>,
}

impl<'s> Connected<'s> {
    fn now(store: &'s Core) -> Self {
        store.health.up();
        Self { store, fault: None }
    }

    fn ended(mut self, fault: StoreFault) {
        self.fault = Some(fault);
    }
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.store.health.down(self.fault);
    }
}

/// A store that was only restarted is back soon.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// From the beginning of one attempt to that of the next, unless it takes longer to fail.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Three of these in a row may be late.
const WATCHED_EACH: Duration = Duration::from_millis(500);

/// Loading a script is rare, and may wait for a server that is busy.
const LOAD_TIMEOUT: Duration = Duration::from_secs(1);
