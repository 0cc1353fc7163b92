//! Claims wait here while a run of the script is under way, and go together with the next one.
//!
//! A run costs the store five times what its commands do, so many deletes in one run are what lets it
//! keep up; and where there is little to do each delete goes at once, alone.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::limit_store::fault::StoreFault;
use crate::limit_store::health::Breaker;
use crate::limit_store::link::Link;
use crate::limit_store::script::{self, Purpose, Script, Verdicts};
use crate::limits::Claim;

/// Where one worker's claims are put. They are as many as there are deletes under way, which is bounded.
pub(super) struct Queue {
    waiting: mpsc::UnboundedSender<Waiting>,
}

/// What is put to the store, and what was made of it. Charged or not, where there is a fault.
type Answered = Result<(Claim, Verdicts), StoreFault>;

struct Waiting {
    claim: Claim,
    purpose: Purpose,
    answer: oneshot::Sender<Answered>,
}

impl Queue {
    pub(super) fn new() -> (Self, Runs) {
        let (waiting, received) = mpsc::unbounded_channel();
        (Self { waiting }, Runs { waiting: received, next: Vec::new() })
    }

    /// Asks; the answer comes by what is returned.
    pub(super) fn put(&self, claim: Claim, purpose: Purpose) -> Answer {
        let (answer, received) = oneshot::channel();
        // If nobody is there any more, the answer says so.
        let _ = self.waiting.send(Waiting { claim, purpose, answer });
        Answer(received)
    }
}

/// What comes of one claim.
pub(super) struct Answer(oneshot::Receiver<Answered>);

impl Answer {
    /// Waits for it at most so long. A claim that was not sent until then never is.
    pub(super) async fn within(self, timeout: Duration) -> Answered {
        match tokio::time::timeout(timeout, self.0).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(_)) => Err(StoreFault::Lost),
            Err(_) => Err(StoreFault::Timeout),
        }
    }
}

/// The other end of the queue.
pub(super) struct Runs {
    waiting: mpsc::UnboundedReceiver<Waiting>,
    next: Vec<Waiting>,
}

impl Runs {
    /// Puts everything to the store that comes, one run after the other. Ends with the queue.
    pub(super) async fn go_on(
        mut self,
        link: &mut Link,
        script: &Script,
        timeout: Duration,
        breaker: &Breaker,
    ) {
        while self.waiting.recv_many(&mut self.next, MOST_AT_ONCE).await > 0 {
            // Nobody waits for what came too late.
            self.next.retain(|waiting| !waiting.answer.is_closed());
            if self.next.is_empty() {
                continue;
            }
            let run = script.run(self.next.iter().map(|one| (&one.claim, one.purpose)));
            let mut told = link.call::<Vec<i64>>(&script.by_name(&run), timeout).await;
            if told == Err(StoreFault::NoScript) {
                told = link.call(&Script::whole(&run), timeout).await;
            }
            let all: usize = self.next.iter().map(|one| one.claim.iter().len()).sum();
            let told =
                told.and_then(
                    |told| {
                        if told.len() == all { Ok(told) } else { Err(StoreFault::Garbage) }
                    },
                );
            breaker.told(&told);
            self.answer(&told, breaker);
        }
    }

    fn answer(&mut self, told: &Result<Vec<i64>, StoreFault>, breaker: &Breaker) {
        let mut rest = told.as_deref().map_err(|fault| *fault);
        for Waiting { claim, answer, .. } in self.next.drain(..) {
            let answered = rest.and_then(|all| {
                let (of_claim, others) =
                    all.split_at_checked(claim.iter().len()).ok_or(StoreFault::Garbage)?;
                rest = Ok(others);
                script::verdicts(&claim, of_claim)
            });
            if answered == Err(StoreFault::Garbage) {
                breaker.failed(StoreFault::Garbage);
            }
            // Who does not wait any more learns it from the store the next time.
            let _ = answer.send(answered.map(|verdicts| (claim, verdicts)));
        }
    }
}

/// Deletes in one run: some hundred microseconds in which a store does nothing else.
const MOST_AT_ONCE: usize = 64;
