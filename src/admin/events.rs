//! `GET /api/events`: the status again and again, as server-sent events.
//!
//! Once a second, for whoever looks, and computed once for all of them; while nobody looks, nothing is. The first
//! event is the whole (`whole`), each further one (`change`) has the parts that are others than before.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::{Map, Value};
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep_until};

use crate::admin::{self, Admin, Body, status};
use crate::gateway::Phase;
use crate::tally::{Counted, Tally};

/// What all viewers share.
pub(super) struct Events {
    began: Instant,
    viewers: Tally,
    /// Held by the one who computes it, while the others wait for the same.
    view: Mutex<View>,
}

/// What there is to see in one second.
#[derive(Clone, Default)]
struct View {
    /// Which second, and which one `change` follows.
    turn: Option<u64>,
    follows: Option<u64>,
    parts: Arc<Map<String, Value>>,
    whole: Bytes,
    change: Bytes,
    /// When the limits were looked at last.
    limits_of: u64,
}

struct Viewer {
    admin: Arc<Admin>,
    phase: watch::Receiver<Phase>,
    until: Instant,
    seen: Option<u64>,
    _place: Counted,
}

impl Events {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), viewers: Tally::default(), view: Mutex::default() }
    }

    fn turn(&self) -> u64 {
        self.began.elapsed().as_secs()
    }

    /// All viewers wake at the same moments.
    fn begin_of(&self, turn: u64) -> Instant {
        self.began + TURN * u32::try_from(turn).unwrap_or(u32::MAX)
    }
}

impl Admin {
    /// A stream that ends in good order before its connection has to, or with the gateway.
    pub(super) fn events(self: &Arc<Self>, connection_ends: Instant) -> Response<Body> {
        let Some(place) = self.events.viewers.enter_below(MAX_VIEWERS) else {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            let mut response = admin::text(status, "as many look at it as can\n");
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("10"));
            return response.map(admin::whole);
        };
        let viewer = Viewer {
            admin: Arc::clone(self),
            phase: self.gateway.phase(),
            until: connection_ends - LAST_WORDS,
            seen: None,
            _place: place,
        };
        let body = StreamBody::new(stream::unfold(viewer, Viewer::next));
        let mut response = Response::new(body.boxed_unsync());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // Of proxies between: nginx would hold it back.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        admin::keep_to_itself(headers);
        response
    }

    /// What there is to see in this second: computed by the first who asks.
    async fn view(&self) -> View {
        let mut view = self.events.view.lock().await;
        let turn = self.events.turn();
        if view.turn != Some(turn) {
            *view = self.view_after(&view, turn).await;
        }
        view.clone()
    }

    async fn view_after(&self, before: &View, turn: u64) -> View {
        let Value::Object(mut parts) = status::status(&self.gateway, &self.reloads) else {
            return before.clone();
        };
        shorten(&mut parts);
        // Others are asked for them, and not for each second.
        let is_shared = self.gateway.in_force().limit_store.is_some();
        let known = before
            .parts
            .get(LIMITS)
            .filter(|_| is_shared && turn < before.limits_of + LIMITS_EVERY);
        let (limits, limits_of) = match known {
            Some(known) => (known.clone(), before.limits_of),
            None => (self.limits().await, turn),
        };
        parts.insert(LIMITS.to_owned(), limits);
        let mut changed = parts.clone();
        changed.retain(|name, part| before.parts.get(name) != Some(part));
        View {
            turn: Some(turn),
            follows: before.turn,
            whole: event("whole", turn, &parts),
            change: event("change", turn, &changed),
            parts: Arc::new(parts),
            limits_of,
        }
    }
}

impl Viewer {
    async fn next(mut self) -> Option<(Result<Frame<Bytes>, std::convert::Infallible>, Self)> {
        if let Some(seen) = self.seen {
            let next = self.admin.events.begin_of(seen + 1);
            tokio::select! {
                () = sleep_until(next) => {}
                _ = self.phase.wait_for(|phase| *phase == Phase::Over) => return None,
            }
        }
        if Instant::now() >= self.until {
            return None;
        }
        let view = self.admin.view().await;
        let follows = self.seen.is_some() && self.seen == view.follows;
        let event = if follows { view.change } else { view.whole };
        self.seen = view.turn;
        Some((Ok(Frame::data(event)), self))
    }
}

/// JSON has no line ends, so it is one line.
fn event(name: &str, turn: u64, parts: &Map<String, Value>) -> Bytes {
    let data = serde_json::to_string(parts).unwrap_or_default();
    format!("retry: 2000\nevent: {name}\nid: {turn}\ndata: {data}\n\n").into()
}

/// Of a long list, those that end first: the rest is in `/api/status`.
fn shorten(parts: &mut Map<String, Value>) {
    let Some(Value::Array(tokens)) = parts.get_mut("tokens") else { return };
    let count = tokens.len();
    // Those that there are none of come first.
    tokens.sort_by_key(|token| token.get("expires_in_at_least_seconds").and_then(Value::as_u64));
    tokens.truncate(MOST_TOKENS);
    parts.insert("tokens_in_all".to_owned(), count.into());
}

const TURN: Duration = Duration::from_secs(1);

const LIMITS: &str = "limits";

/// In turns.
const LIMITS_EVERY: u64 = 5;

/// Each has a connection of those that there are for all operators, probes and scrapers.
const MAX_VIEWERS: usize = 16;

const MOST_TOKENS: usize = 100;

/// For the end of a stream to be sent.
const LAST_WORDS: Duration = Duration::from_secs(5);
