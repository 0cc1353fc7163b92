//! The requests of one HTTP/2 connection that are not over: from the head on, until the answer is taken.
//!
//! While nobody has proved itself on the connection, a request is worked on where it comes in: whoever is
//! refused is refused before the next head is looked at, and of many heads at once none is kept.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use h2::Reason;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::journey::{UntilDone, Worker};
use crate::listener::Inbound;

/// How many there are, and what was seen of them since the last look.
#[derive(Default)]
pub(super) struct Streams {
    open: AtomicUsize,
    /// Those of them whose answer is there, and waits for its caller to make room.
    untaken: AtomicUsize,
    came: AtomicBool,
    taken: AtomicBool,
    /// No more are begun.
    closed: AtomicBool,
}

/// What a look finds.
pub(super) struct Seen {
    pub(super) open: usize,
    /// Whether there was none all the time.
    pub(super) were_idle: bool,
    /// Whether at any moment no answer waited for its caller.
    pub(super) were_taken: bool,
}

impl Streams {
    /// For one who looks now and then.
    pub(super) fn look(&self) -> Seen {
        let came = self.came.swap(false, Ordering::Relaxed);
        let taken = self.taken.swap(false, Ordering::Relaxed);
        let open = self.open.load(Ordering::Relaxed);
        Seen {
            open,
            were_idle: open == 0 && !came,
            were_taken: taken || self.untaken.load(Ordering::Relaxed) == 0,
        }
    }

    /// Refuses all that come from now on.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Begins to work on one.
    pub(super) fn begin(
        self: &Arc<Self>,
        request: Request<Incoming>,
        inbound: &Arc<Inbound>,
        worker: &Arc<Worker>,
    ) -> Work {
        let is_known = inbound.is_known();
        let is_full = !is_known && self.open.load(Ordering::Relaxed) >= FIRST_STREAMS;
        if is_full || self.closed.load(Ordering::Relaxed) {
            return Work::Refused;
        }
        let open = Open::of(self);
        let mut deleting = Arc::clone(worker).serve(request, Arc::clone(inbound));
        if !is_known {
            // Looked at again at once by whoever is to be woken.
            let mut context = Context::from_waker(Waker::noop());
            if let Poll::Ready(Ok(answer)) = Pin::new(&mut deleting).poll(&mut context) {
                return Work::Answered(Some((answer, open)));
            }
        }
        Work::UnderWay(deleting, Some(open))
    }
}

/// One that is open, until it is dropped.
pub(super) struct Open {
    streams: Arc<Streams>,
    is_answered: bool,
}

impl Open {
    fn of(streams: &Arc<Streams>) -> Self {
        streams.open.fetch_add(1, Ordering::Relaxed);
        streams.came.store(true, Ordering::Relaxed);
        Self { streams: Arc::clone(streams), is_answered: false }
    }

    /// With the answer, which the caller is to take.
    fn told(mut self, answer: Response<Full<Bytes>>) -> Response<Told> {
        self.streams.untaken.fetch_add(1, Ordering::Relaxed);
        self.is_answered = true;
        answer.map(|body| Told { body, _open: self })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.streams.open.fetch_sub(1, Ordering::Relaxed);
        if self.is_answered && self.streams.untaken.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.streams.taken.store(true, Ordering::Relaxed);
        }
    }
}

/// The work on a request.
pub(super) enum Work {
    /// There is none: the stream is refused, and may be tried again.
    Refused,
    Answered(Option<(Response<Full<Bytes>>, Open)>),
    UnderWay(UntilDone, Option<Open>),
}

impl Future for Work {
    type Output = Result<Response<Told>, h2::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let told = match &mut *self {
            Self::Refused => return Poll::Ready(Err(Reason::REFUSED_STREAM.into())),
            Self::Answered(answered) => answered.take(),
            Self::UnderWay(deleting, open) => {
                let Ok(answer) = ready!(Pin::new(deleting).poll(cx));
                open.take().map(|open| (answer, open))
            }
        };
        match told {
            Some((answer, open)) => Poll::Ready(Ok(open.told(answer))),
            None => Poll::Pending, // It was answered.
        }
    }
}

/// An answer's body. Dropped once the caller has room for its first byte; h2 holds the rest.
pub(super) struct Told {
    body: Full<Bytes>,
    _open: Open,
}

impl Body for Told {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// At once while nobody has proved itself on the connection. A caller with a credential has by its first request,
/// which is decided before the next one is looked at.
const FIRST_STREAMS: usize = 20;
