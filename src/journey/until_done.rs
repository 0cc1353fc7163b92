//! A delete that was sent is seen through, even if its caller hangs up.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio_util::sync::ReusableBoxFuture;

use crate::journey::Worker;
use crate::listener::Inbound;
use crate::upstream::Tries;

impl Worker {
    /// Answers one request, and sees a delete through even if the caller hangs up.
    pub(crate) fn serve(
        self: Arc<Self>,
        request: Request<Incoming>,
        inbound: Arc<Inbound>,
    ) -> UntilDone {
        let tries = Arc::new(Tries::default());
        let journey = Arc::clone(&self).answer(request, inbound, Arc::clone(&tries));
        UntilDone { journey: Some(self.spare.journey(journey)), tries, worker: self }
    }
}

type Journey = ReusableBoxFuture<'static, Response<Full<Bytes>>>;

/// Where journeys that have ended were: the next ones need as much memory.
#[derive(Default)]
pub(super) struct Spare(Mutex<Vec<Journey>>);

impl Spare {
    fn journey(
        &self,
        begun: impl Future<Output = Response<Full<Bytes>>> + Send + 'static,
    ) -> Journey {
        let spare = self.0.lock().pop();
        match spare {
            Some(mut spare) => {
                spare.set(begun);
                spare
            }
            None => Journey::new(begun),
        }
    }

    /// One that has ended holds nothing any more.
    fn keep(&self, ended: Journey) {
        let mut spare = self.0.lock();
        if spare.len() < MAX_SPARE {
            spare.push(ended);
        }
    }
}

/// The work on one request. hyper drops it when the caller hangs up. If the delete was given to a
/// connection by then, the rest goes on in a task of its own, so that what SMH did is still heard
/// and recorded; if not, it ends there.
pub(crate) struct UntilDone {
    journey: Option<Journey>,
    tries: Arc<Tries>,
    worker: Arc<Worker>,
}

impl Future for UntilDone {
    type Output = Result<Response<Full<Bytes>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(journey) = &mut self.journey else { return Poll::Pending };
        let response = ready!(journey.poll(cx));
        if let Some(ended) = self.journey.take() {
            self.worker.spare.keep(ended);
        }
        Poll::Ready(Ok(response))
    }
}

impl Drop for UntilDone {
    fn drop(&mut self) {
        let Some(journey) = self.journey.take() else { return };
        if self.tries.sent() == 0 || std::thread::panicking() {
            return;
        }
        // There is no runtime only when the process is about to end.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // Draining waits for it by its place in flight.
            runtime.spawn(journey);
        }
    }
}

/// A few hundred KiB a worker.
const MAX_SPARE: usize = 64;
