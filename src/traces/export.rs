//! What takes spans from whoever serves, and the one task that sends them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderValue;
use http::{HeaderName, StatusCode};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::metrics::TraceMetrics;
use crate::traces::{Collector, Context, Span, TraceId, TracesPlan, encode};
use crate::upstream::{Poster, Posting, sensitive_fields, tls};

/// Where finished spans go. When it is dropped, what is waiting is sent, if that takes no long time.
pub struct Exporter {
    shared: Arc<Shared>,
    ended: watch::Receiver<bool>,
}

struct Shared {
    plan: TracesPlan,
    waiting: Mutex<Batch>,
    /// More than is worth waiting for.
    enough: Notify,
    closing: watch::Sender<bool>,
    metrics: TraceMetrics,
}

/// Spans, one after the other, as they are sent.
#[derive(Default)]
struct Batch {
    spans: Vec<u8>,
    count: u64,
}

/// Why a batch was not taken.
struct Untaken {
    /// Whether it may be taken later.
    again: bool,
    cause: String,
}

impl Exporter {
    /// Starts the task, in the runtime that this is called in. `None` in a build that has none.
    #[must_use]
    pub fn start(plan: TracesPlan, metrics: &TraceMetrics) -> Option<Arc<Self>> {
        let shared = Arc::new(Shared {
            plan,
            waiting: Mutex::default(),
            enough: Notify::new(),
            closing: watch::Sender::new(false),
            metrics: metrics.clone(),
        });
        let (running, ended) = watch::channel(false);
        let sending = Arc::clone(&shared);
        #[expect(
            clippy::disallowed_methods,
            reason = "it ends soon after its exporter is dropped: what is waiting is sent once"
        )]
        tokio::spawn(async move {
            sending.send_on().await;
            running.send_replace(true);
        });
        Some(Arc::new(Self { shared, ended }))
    }

    /// What it was started with.
    #[must_use]
    pub fn plan(&self) -> &TracesPlan {
        &self.shared.plan
    }

    /// The trace that a delete is to be told in, if it is: as its caller decided, or else by the share.
    #[must_use]
    pub fn begin(&self, context: Option<&Context>) -> Option<TraceId> {
        match context {
            Some(context) => context.is_sampled.then_some(context.trace_id),
            None => self.shared.plan.sample.takes(rand::random()).then(TraceId::random),
        }
    }

    /// Takes the spans of one delete, or drops them where there is no room. What nobody known asked for
    /// fills half of it at most.
    pub fn take(&self, trace_id: TraceId, spans: &[Span<'_>], is_known: bool) {
        let mut written = Vec::with_capacity(SPAN_BYTES * spans.len());
        for span in spans {
            encode::span(&mut written, trace_id, span);
        }
        let count = spans.len() as u64;
        let room = if is_known { MOST_BYTES } else { MOST_BYTES / 2 };
        let mut waiting = self.shared.waiting.lock();
        if waiting.spans.len() + written.len() > room {
            drop(waiting);
            self.shared.metrics.no_room.inc_by(count);
            return;
        }
        waiting.spans.extend_from_slice(&written);
        waiting.count += count;
        if waiting.spans.len() > ENOUGH_BYTES {
            self.shared.enough.notify_one();
        }
    }

    /// Sends what is waiting, if the collector takes it soon: it must not keep a process from ending.
    pub async fn finish(&self) {
        self.shared.closing.send_replace(true);
        let mut ended = self.ended.clone();
        // Whether it came to its end or not, this is it.
        let _ = timeout(LAST_WORDS, ended.wait_for(|ended| *ended)).await;
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.shared.closing.send_replace(true);
    }
}

impl Shared {
    async fn send_on(&self) {
        let mut poster = Poster::default();
        let mut complaint = Complaint::default();
        let mut closing = self.closing.subscribe();
        loop {
            // Looked at before what is waiting: what came before the end is sent.
            let is_last = *closing.borrow_and_update();
            let batch = std::mem::take(&mut *self.waiting.lock());
            if batch.count > 0 {
                self.deliver(batch, &mut poster, &mut complaint, &mut closing).await;
            }
            if is_last {
                return;
            }
            tokio::select! {
                () = sleep(LATEST) => {}
                () = self.enough.notified() => {}
                _ = closing.wait_for(|closing| *closing) => {}
            }
        }
    }

    /// Sends one batch, again and again for a while where the collector is gone.
    async fn deliver(
        &self,
        batch: Batch,
        poster: &mut Poster,
        complaint: &mut Complaint,
        closing: &mut watch::Receiver<bool>,
    ) {
        let Batch { spans, count } = batch;
        let body = Bytes::from(encode::request(&self.plan, &spans));
        drop(spans);
        let (begun, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            let untaken = match self.send(poster, &body).await {
                Ok(rejected) => {
                    let rejected = rejected.min(count);
                    self.metrics.exported.inc_by(count - rejected);
                    self.metrics.rejected.inc_by(rejected);
                    complaint.is_well(rejected);
                    return;
                }
                Err(untaken) => untaken,
            };
            complaint.says(&self.plan.collector, &untaken.cause);
            if !untaken.again {
                self.metrics.rejected.inc_by(count);
                return;
            }
            if *closing.borrow() || begun.elapsed() > GIVE_UP {
                self.metrics.undelivered.inc_by(count);
                return;
            }
            tokio::select! {
                () = sleep(pause) => {}
                _ = closing.wait_for(|closing| *closing) => {}
            }
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// Says how many of the spans the collector did not want.
    async fn send(&self, poster: &mut Poster, body: &Bytes) -> Result<u64, Untaken> {
        let collector = &self.plan.collector;
        let again = |cause: String| Untaken { again: true, cause };
        let (tls, fields) = collector.read().await.map_err(again)?;
        let posting = Posting {
            origin: &collector.origin,
            target: &collector.target,
            tls: &tls,
            fields,
            body: body.clone(),
            timeout: TIMEOUT,
            most: MOST_ANSWER_BYTES,
        };
        let answer = poster.post(posting).await.map_err(|failed| again(failed.cause))?;
        let status = answer.head.status;
        if status.is_success() {
            return Ok(encode::rejected(&answer.body));
        }
        // As OTLP has it: these alone are worth another try.
        let again = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        );
        Err(Untaken { again, cause: format!("it answered {}", status.as_u16()) })
    }
}

impl Collector {
    /// Roots and secrets as they are now.
    async fn read(&self) -> Result<(tls::ClientTls, Vec<(HeaderName, HeaderValue)>), String> {
        let Self { ca_file, bearer_token, headers, .. } = self.clone();
        let read = move || {
            let tls = tls::client_config(ca_file.as_deref()).map_err(|error| error.to_string())?;
            let read = |source: &crate::secret::Source| source.read().map_err(|e| e.to_string());
            let bearer = bearer_token.as_ref().map(read).transpose()?;
            let others = headers.iter().map(|(name, source)| Ok((name.clone(), read(source)?)));
            let others = others.collect::<Result<Vec<_>, String>>()?;
            Ok(sensitive_fields(bearer.as_ref(), &others)).map(|fields| (tls, fields))
        };
        tokio::task::spawn_blocking(read).await.map_err(|error| error.to_string())?
    }
}

/// A collector that is gone is complained about once a minute.
#[derive(Default)]
struct Complaint {
    last: Option<Instant>,
    /// Whether it was gone when it was last asked.
    stands: bool,
}

impl Complaint {
    fn says(&mut self, collector: &Collector, cause: &str) {
        self.stands = true;
        if self.may_speak() {
            let origin = &collector.origin;
            tracing::warn!(%origin, cause, "a collector does not take traces; deletes go on without");
        }
    }

    fn is_well(&mut self, rejected: u64) {
        if rejected > 0 && self.may_speak() {
            tracing::warn!(rejected, "a collector has rejected spans");
        }
        if std::mem::take(&mut self.stands) {
            tracing::info!("the collector takes traces again");
        }
    }

    fn may_speak(&mut self) -> bool {
        let may = self.last.is_none_or(|last| last.elapsed() >= SILENCE);
        if may {
            self.last = Some(Instant::now());
        }
        may
    }
}

/// A span is sent this long after its delete, at the latest, where the collector takes it.
const LATEST: Duration = Duration::from_secs(1);

/// From here on it is not waited any longer.
const ENOUGH_BYTES: usize = 256 * 1024;

/// More than this is not kept, and as much again is on its way: some 3,000 deletes each.
const MOST_BYTES: usize = 2 * 1024 * 1024;

/// What a span mostly comes to.
const SPAN_BYTES: usize = 512;

/// For one exchange.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Of an answer nothing is read but how many spans were rejected.
const MOST_ANSWER_BYTES: usize = 16 * 1024;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Then what is newer is worth more.
const GIVE_UP: Duration = Duration::from_secs(30);

const LAST_WORDS: Duration = Duration::from_secs(2);

const SILENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use crate::origin::Origin;
    use crate::traces::{Kind, Share, SpanId};
    use std::time::SystemTime;

    fn plan(url: &str) -> TracesPlan {
        TracesPlan {
            collector: Collector {
                origin: Origin::try_from(url).unwrap(),
                target: "/v1/traces".to_owned(),
                ca_file: None,
                bearer_token: None,
                headers: Vec::new(),
            },
            sample: Share::ALL,
            service: "test".to_owned(),
            attributes: Vec::new(),
        }
    }

    fn span(bytes: usize) -> Span<'static> {
        Span {
            id: SpanId::random(),
            parent: None,
            kind: Kind::Server,
            name: "x".repeat(bytes).into(),
            from: SystemTime::now(),
            to: SystemTime::now(),
            attributes: Vec::new(),
            failed: false,
        }
    }

    #[tokio::test]
    async fn what_finds_no_room_is_dropped_and_counted_and_strangers_leave_half_of_it() {
        let metrics = Metrics::new().traces;
        // The task does not run before this test waits.
        let exporter = Exporter::start(plan("http://127.0.0.1:1"), &metrics).unwrap();
        let quarter = span(MOST_BYTES / 4 - 1_000);
        for (is_known, dropped) in
            [(false, 0), (false, 0), (false, 1), (true, 1), (true, 1), (true, 2), (false, 3)]
        {
            exporter.take(TraceId::random(), std::slice::from_ref(&quarter), is_known);
            assert_eq!(metrics.no_room.get(), dropped, "{is_known}");
        }
        exporter.finish().await;
        assert_eq!((metrics.undelivered.get(), metrics.exported.get()), (4, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_collector_that_hangs_keeps_nobody_from_ending() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let exporter = Exporter::start(plan(&url), &Metrics::new().traces).unwrap();
        exporter.take(TraceId::random(), &[span(1)], true);
        let began = Instant::now();
        exporter.finish().await;
        let took = began.elapsed();
        assert!((LAST_WORDS..TIMEOUT).contains(&took), "{took:?}");
    }
}
