//! HTTP/2 with a caller, and when that has to end.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::gateway::Phase;
use crate::journey::Worker;
use crate::listener::{Bounds, Inbound};
use crate::server::leaving::leaving;
use crate::server::streams::{Seen, Streams};
use crate::server::unvetted::Unvetted;

pub(super) async fn serve<S>(
    stream: Unvetted<S>,
    inbound: Arc<Inbound>,
    worker: Arc<Worker>,
    mut phase: watch::Receiver<Phase>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let streams = Arc::new(Streams::default());
    let (from, begun) = (Arc::clone(&inbound), Arc::clone(&streams));
    let Bounds { streams: most, head_bytes, .. } = inbound.listener.bounds;
    let service = service_fn(move |request| begun.begin(request, &from, &worker));
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .max_concurrent_streams(most)
        .max_header_list_size(u32::try_from(head_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut watch = Watch::over(&inbound, &streams);
    loop {
        let verdict = tokio::select! {
            // What ends an HTTP/2 connection was told to the caller in frames.
            _ = connection.as_mut() => return,
            () = leaving(&mut phase, &inbound), if watch.closing.is_none() => Verdict::Leave,
            verdict = watch.verdict() => verdict,
        };
        match verdict {
            Verdict::Leave => {
                watch.closing = Some(Instant::now());
                connection.as_mut().graceful_shutdown();
            }
            Verdict::Drop => return,
        }
    }
}

/// What is to become of a connection.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It finishes what it has begun and takes no more.
    Leave,
    /// The caller does not do its part.
    Drop,
}

/// Looks at a connection now and then.
struct Watch<'c> {
    inbound: &'c Inbound,
    streams: &'c Streams,
    every: Duration,
    begun: Instant,
    /// When last there was a request; `None`: there was none.
    busy_at: Option<Instant>,
    /// When last no answer waited for its caller.
    taken_at: Instant,
    /// Since when it leaves.
    closing: Option<Instant>,
}

impl<'c> Watch<'c> {
    fn over(inbound: &'c Inbound, streams: &'c Streams) -> Self {
        let Bounds { head_timeout, idle_timeout, answer_timeout, max_age, .. } =
            inbound.listener.bounds;
        let shortest = head_timeout.min(idle_timeout).min(answer_timeout).min(max_age);
        let now = Instant::now();
        Self {
            inbound,
            streams,
            every: (shortest / 4).clamp(SOONEST_LOOK, LATEST_LOOK),
            begun: now,
            busy_at: None,
            taken_at: now,
            closing: None,
        }
    }

    async fn verdict(&mut self) -> Verdict {
        loop {
            sleep(self.every).await;
            if let Some(verdict) = self.judge(Instant::now()) {
                return verdict;
            }
        }
    }

    fn judge(&mut self, now: Instant) -> Option<Verdict> {
        let Bounds { head_timeout, idle_timeout, answer_timeout, .. } =
            self.inbound.listener.bounds;
        let Seen { open, were_idle, were_taken } = self.streams.look();
        if !were_idle {
            self.busy_at = Some(now);
        }
        if were_taken {
            self.taken_at = now;
        }
        if now.duration_since(self.taken_at) >= answer_timeout {
            tracing::debug!(peer = ?self.inbound.peer.address, "answers are not taken: disconnected");
            return Some(Verdict::Drop);
        }
        if let Some(since) = self.closing {
            if now.duration_since(since) < GRACE {
                return None;
            }
            // It should have heard by now that there is no more to ask for here.
            self.streams.close();
            // Its last answer may still wait for room, in h2.
            let is_owed = |at| now.duration_since(at) < answer_timeout;
            return (open == 0 && !self.busy_at.is_some_and(is_owed)).then_some(Verdict::Drop);
        }
        self.inbound.grow_old(now);
        let patience = if self.inbound.is_known() { idle_timeout } else { head_timeout };
        let is_idle = now.duration_since(self.busy_at.unwrap_or(self.begun)) >= patience;
        (is_idle || self.inbound.is_old()).then_some(Verdict::Leave)
    }
}

/// A delete has no body: what little comes of one is thrown away.
const STREAM_WINDOW: u32 = 16 * 1024;
/// The least that the protocol knows.
const CONNECTION_WINDOW: u32 = 65_535;

/// A caller that does not answer a ping is gone.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// For a caller to hear that a connection ends, and to end it.
const GRACE: Duration = Duration::from_secs(2);

const SOONEST_LOOK: Duration = Duration::from_millis(10);
const LATEST_LOOK: Duration = Duration::from_secs(5);
