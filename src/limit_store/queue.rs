//! Claims wait here for a moment while a run of the script is under way, and go together with the next one.
//!
//! A run costs the store five times what its commands do, so many deletes in one run are what lets it
//! keep up; and where there is little to do each delete goes at once, alone.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::limit_store::Core;
use crate::limit_store::fault::StoreFault;
use crate::limit_store::health::Breaker;
use crate::limit_store::link::Link;
use crate::limit_store::script::{self, Purpose, Verdicts};
use crate::limits::Claim;

/// Where one worker's claims are put. They are as many as there are deletes under way, which is bounded.
pub(super) struct Queue {
    waiting: mpsc::UnboundedSender<Waiting>,
}

/// What is put to the store, and what was made of it. Charged or not, where there is a fault.
type Answered = Result<(Claim, Verdicts), (Option<Claim>, StoreFault)>;

struct Waiting {
    claim: Claim,
    purpose: Purpose,
    until: Instant,
    answer: oneshot::Sender<Answered>,
}

impl Queue {
    /// Over a connection on which a run took so long.
    pub(super) fn new(usual: Duration) -> (Self, Runs) {
        let (waiting, received) = mpsc::unbounded_channel();
        (Self { waiting }, Runs { waiting: received, usual })
    }

    /// Asks; the answer comes by what is returned, at most so much later.
    pub(super) fn put(&self, claim: Claim, purpose: Purpose, within: Duration) -> Answer {
        let (answer, received) = oneshot::channel();
        let until = Instant::now() + within;
        // If nobody is there any more, the answer says so.
        let _ = self.waiting.send(Waiting { claim, purpose, until, answer });
        Answer { received, until }
    }
}

/// What comes of one claim.
pub(super) struct Answer {
    received: oneshot::Receiver<Answered>,
    until: Instant,
}

impl Answer {
    /// Waits for it. A fault comes with the claim where that was certainly not charged.
    pub(super) async fn come(self) -> Answered {
        match tokio::time::timeout_at(self.until, self.received).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(_)) => Err((None, StoreFault::Lost)),
            Err(_) => Err((None, StoreFault::Timeout)),
        }
    }
}

/// The other end of the queue.
pub(super) struct Runs {
    waiting: mpsc::UnboundedReceiver<Waiting>,
    /// How long a run took lately.
    usual: Duration,
}

impl Runs {
    /// Puts everything to the store that comes. Ends with the queue.
    pub(super) async fn go_on(mut self, link: &Link, store: &Core, breaker: &Breaker) {
        let mut under_way = FuturesUnordered::new();
        let (mut next, mut begun) = (Vec::new(), Instant::now());
        loop {
            let is_free = under_way.len() < MOST_RUNS;
            // Evenly, so that none waits for the end of another one.
            let apart = APART.max(self.usual / SPREAD);
            let may_begin = under_way.is_empty() || (is_free && begun.elapsed() >= apart);
            tokio::select! {
                biased;
                Some(took) = under_way.next() => self.usual = took,
                () = tokio::time::sleep_until(begun + apart), if is_free && !may_begin => {}
                came = self.waiting.recv_many(&mut next, MOST_DELETES), if may_begin => {
                    if came == 0 {
                        return;
                    }
                    self.leave_out_late_ones(&mut next, store, breaker);
                    while !next.is_empty() {
                        begun = Instant::now();
                        under_way.push(run(split(&mut next), link.clone(), store, breaker));
                    }
                }
            }
        }
    }

    /// What would not be answered in time is not charged either.
    fn leave_out_late_ones(&self, next: &mut Vec<Waiting>, store: &Core, breaker: &Breaker) {
        // A store that was late once is asked all the same.
        let needed = self.usual.min(store.plan.response_timeout / 2);
        // Who hung up says nothing of the store.
        next.retain(|waiting| !waiting.answer.is_closed());
        let (now, before) = (Instant::now(), next.len());
        let is_late = |waiting: &mut Waiting| waiting.until.saturating_duration_since(now) < needed;
        for Waiting { claim, answer, .. } in next.extract_if(.., is_late) {
            let _ = answer.send(Err((Some(claim), StoreFault::Timeout)));
        }
        if next.is_empty() && before > 0 {
            breaker.failed(StoreFault::Timeout);
        }
    }
}

/// As many as go into one run: not so many limits that a store does nothing else for long.
fn split(next: &mut Vec<Waiting>) -> Vec<Waiting> {
    let mut limits = 0;
    let fits = |waiting: &&Waiting| {
        limits += waiting.claim.iter().len();
        limits <= MOST_LIMITS
    };
    let many = next.iter().take_while(fits).count().max(1);
    let rest = next.split_off(many.min(next.len()));
    std::mem::replace(next, rest)
}

/// One run. Returns how long it took.
async fn run(asked: Vec<Waiting>, mut link: Link, store: &Core, breaker: &Breaker) -> Duration {
    let begun = Instant::now();
    let run = store.script.run(asked.iter().map(|one| (&one.claim, one.purpose)));
    let told = link.run(&store.script, &run, store.plan.response_timeout).await;
    let all: usize = asked.iter().map(|one| one.claim.iter().len()).sum();
    let told =
        told.and_then(|told| if told.len() == all { Ok(told) } else { Err(StoreFault::Garbage) });
    let now = Instant::now();
    let late = asked.iter().filter(|one| one.until <= now).count();
    match &told {
        // In time for the run is too late for deletes that waited for it.
        Ok(_) if late * 2 > asked.len() => breaker.failed(StoreFault::Timeout),
        told => breaker.told(told),
    }
    answer(asked, told.as_deref().map_err(|fault| *fault), breaker);
    now - begun
}

/// Gives each claim its part of what the store said.
fn answer(asked: Vec<Waiting>, told: Result<&[i64], StoreFault>, breaker: &Breaker) {
    let mut rest = told;
    for Waiting { claim, answer, .. } in asked {
        let verdicts = rest.and_then(|all| {
            let (of_claim, others) =
                all.split_at_checked(claim.iter().len()).ok_or(StoreFault::Garbage)?;
            rest = Ok(others);
            script::verdicts(&claim, of_claim)
        });
        if told.is_ok() && verdicts.is_err() {
            breaker.failed(StoreFault::Garbage);
        }
        // Who does not wait any more learns it from the store the next time.
        let _ = answer.send(match verdicts {
            Ok(verdicts) => Ok((claim, verdicts)),
            Err(fault) => Err((fault.charged_nothing().then_some(claim), fault)),
        });
    }
}

/// Deletes in one run: some hundred microseconds in which a store does nothing else.
const MOST_DELETES: usize = 64;

/// Limits of all deletes of a run, if it is more than one.
const MOST_LIMITS: usize = 1_000;

/// Runs under way at once, for a store that is far away.
const MOST_RUNS: usize = 8;

/// So many of them in the time that one takes, and one more for when they take longer.
const SPREAD: u32 = 7;

/// Where a run takes longer than this, what came meanwhile does not wait for its end.
const APART: Duration = Duration::from_millis(1);
