//! The spans of a delete: itself, what it waited for, and each try at SMH.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::line::{ABANDONED, became};
use super::{AskedTenant, Ended, Record};
use crate::delete::Mode;
use crate::directory::Library;
use crate::gateway::InForce;
use crate::journal::Became;
use crate::refusal::UpstreamFault;
use crate::traces::{Exporter, Kind, Parent, Span, SpanId, TraceId, Value};
use crate::upstream::Attempt;

/// Of a delete that is traced.
pub(super) struct Trace {
    exporter: Arc<Exporter>,
    id: TraceId,
    parent: Option<SpanId>,
    /// The same moment by both clocks.
    at: (Instant, SystemTime),
    waits: Vec<Waited>,
}

struct Waited {
    what: Wait,
    from: Instant,
    /// When it ended, and whether in vain; `None`: it was cut off.
    ended: Option<(Instant, bool)>,
}

/// What a delete may wait for before it is sent.
#[derive(Clone, Copy)]
pub(in crate::journey) enum Wait {
    /// A token.
    Token,
    /// Another token, since SMH rejected the first.
    NextToken,
    /// The store that limits are shared by.
    LimitStore,
    /// The journal.
    Journal,
}

impl Wait {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::NextToken => "next token",
            Self::LimitStore => "limit store",
            Self::Journal => "journal",
        }
    }
}

impl Record {
    /// Decides whether it is traced. Where nothing is configured, that is all it costs.
    pub(in crate::journey) fn trace(&mut self, in_force: &InForce) {
        let Some(exporter) = &in_force.traces else { return };
        let context = self.context.as_ref();
        let Some(id) = exporter.begin(context) else { return };
        self.tries.attempts.watch();
        self.trace = Some(Box::new(Trace {
            exporter: Arc::clone(exporter),
            id,
            parent: context.map(|context| context.parent),
            at: (Instant::now(), SystemTime::now()),
            waits: Vec::new(),
        }));
    }

    /// The trace that it is a part of: its caller's, or else the one that is told of it.
    pub(super) fn trace_id(&self) -> Option<TraceId> {
        let own = || self.trace.as_ref().map(|trace| trace.id);
        self.context.as_ref().map(|context| context.trace_id).or_else(own)
    }

    /// A wait begins. The one before it has ended.
    pub(in crate::journey) fn waits_for(&mut self, what: Wait) {
        if let Some(trace) = &mut self.trace {
            trace.waits.push(Waited { what, from: Instant::now(), ended: None });
        }
    }

    /// It has ended.
    pub(in crate::journey) fn waited(&mut self, failed: bool) {
        if let Some(wait) = self.trace.as_mut().and_then(|trace| trace.waits.last_mut()) {
            wait.ended = Some((Instant::now(), failed));
        }
    }

    /// Hands its spans to whoever sends them.
    pub(super) fn export(&mut self, took: Duration) {
        let Some(trace) = self.trace.take() else { return };
        let own = SpanId::random();
        let end = self.started + took;
        let mut spans = vec![self.own_span(own, &trace, took)];
        spans.extend(trace.waits.iter().map(|wait| trace.wait_span(own, wait, end)));
        self.add_tries(own, &trace, end, &mut spans);
        trace.exporter.take(trace.id, &spans, self.caller.is_some());
    }

    /// By the semantic conventions of OpenTelemetry for HTTP, and with what only this gateway has.
    fn own_span(&self, id: SpanId, trace: &Trace, took: Duration) -> Span<'_> {
        let (status, code, outcome) = self.told();
        let mut known = Vec::with_capacity(16);
        known.extend([
            ("http.request.method", Value::Text(self.via.method())),
            ("url.scheme", Value::Text(self.via.scheme())),
            ("smh_gateway.request_id", Value::Text(self.id.as_str())),
            ("smh_gateway.outcome", Value::Text(outcome.as_str())),
        ]);
        known.extend(code.map(|code| ("smh_gateway.code", Value::Text(code))));
        // As in the metrics: the code of an answer of our own, or else the status.
        let error = match (status, code) {
            (Some(..500), _) => None,
            (_, Some(code)) => Some(Value::Text(code)),
            (Some(status), None) => Some(Value::Digits(status)),
            (None, None) => Some(Value::Text(OTHER)),
        };
        known.extend(
            status.map(|status| ("http.response.status_code", Value::Number(status.into()))),
        );
        known.extend(error.map(|error| ("error.type", error)));
        self.add_names(&mut known);
        let route = self.asked.as_ref().map(|asked| asked.tenant.route());
        known.extend(route.map(|route| ("http.route", Value::Text(route))));
        let name = route.map_or(self.via.method().into(), |route| {
            format!("{} {route}", self.via.method()).into()
        });
        Span {
            id,
            parent: trace.parent.map(Parent::Remote),
            kind: Kind::Server,
            name,
            from: trace.time(self.started),
            to: trace.time(self.started + took),
            attributes: known,
            failed: error.is_some(),
        }
    }

    /// Who asked for what, by configured names.
    fn add_names<'s>(&'s self, known: &mut Vec<(&'static str, Value<'s>)>) {
        if let Some((caller, by)) = &self.caller {
            known.push(("smh_gateway.caller", Value::Text(caller.name.as_str())));
            known.push(("smh_gateway.proof", Value::Text(by.as_str())));
        }
        if let Some(tenant) = &self.tenant {
            known.push(("smh_gateway.tenant", Value::Text(tenant.name.as_str())));
            known.push(("smh_gateway.library", Value::Text(tenant.library.id.as_str())));
        }
        if let Some(asked) = &self.asked {
            known.push(("smh_gateway.permanent", Value::Flag(asked.mode == Mode::Permanent)));
        }
        let rule = self.cited().map(|cited| cited.rule.as_str());
        known.extend(rule.map(|rule| ("smh_gateway.rule", Value::Text(rule))));
    }

    /// The status that the caller was told, the code of an answer of our own, and what became of it.
    fn told(&self) -> (Option<u16>, Option<&'static str>, Became) {
        match &self.ended {
            Some(Ended::Relayed(status)) => (Some(*status), None, Became::Relayed),
            Some(Ended::Refused(refusal)) => {
                let code = refusal.code();
                (Some(code.status().as_u16()), Some(code.name()), became(refusal))
            }
            Some(Ended::DryRun(refusal)) => {
                let code = refusal.as_ref().map(|refusal| refusal.code().name());
                (Some(DRY_RUN), code, Became::NotSent)
            }
            None => (None, Some(ABANDONED), self.became_abandoned()),
        }
    }

    /// Each try, but for one that was halted at the last moment: SMH was never asked.
    fn add_tries<'s>(&'s self, own: SpanId, trace: &Trace, end: Instant, to: &mut Vec<Span<'s>>) {
        let Some(tenant) = &self.tenant else { return };
        let was_asked = |attempt: &Attempt| !matches!(attempt.ended, Some((_, Err(fault))) if fault == UpstreamFault::Halted.as_str());
        let tries = self.tries.attempts.all();
        for (attempt, resent) in tries.iter().filter(|attempt| was_asked(attempt)).zip(0..) {
            to.push(trace.try_span(own, &tenant.library, attempt, resent, end));
        }
    }
}

impl Trace {
    fn wait_span(&self, own: SpanId, wait: &Waited, end: Instant) -> Span<'static> {
        let (to, failed) = wait.ended.unwrap_or((end, true));
        Span {
            id: SpanId::random(),
            parent: Some(Parent::Own(own)),
            kind: Kind::Internal,
            name: wait.what.as_str().into(),
            from: self.time(wait.from),
            to: self.time(to),
            attributes: Vec::new(),
            failed,
        }
    }

    fn try_span<'l>(
        &self,
        own: SpanId,
        library: &'l Library,
        attempt: &Attempt,
        resent: u32,
        end: Instant,
    ) -> Span<'l> {
        let (to, ended) = attempt.ended.unwrap_or((end, Err(OTHER)));
        let origin = &library.origin;
        let mut known = Vec::with_capacity(8);
        known.extend([
            ("http.request.method", Value::Text(METHOD)),
            ("server.address", Value::Text(origin.host())),
            ("server.port", Value::Number(origin.port().into())),
            ("smh_gateway.library", Value::Text(library.id.as_str())),
        ]);
        known.extend((resent > 0).then_some(("http.request.resend_count", Value::Number(resent))));
        let error = match ended {
            Ok(status) => {
                known.push(("http.response.status_code", Value::Number(status.into())));
                (status >= 400).then_some(Value::Digits(status))
            }
            Err(fault) => Some(Value::Text(fault)),
        };
        known.extend(error.map(|error| ("error.type", error)));
        Span {
            id: SpanId::random(),
            parent: Some(Parent::Own(own)),
            kind: Kind::Client,
            name: METHOD.into(),
            from: self.time(attempt.from),
            to: self.time(to),
            attributes: known,
            failed: error.is_some(),
        }
    }

    /// A moment as the clock on the wall had it.
    fn time(&self, at: Instant) -> SystemTime {
        let (then, on_the_wall) = self.at;
        match at.checked_duration_since(then) {
            Some(later) => on_the_wall + later,
            None => on_the_wall - then.duration_since(at),
        }
    }
}

impl AskedTenant {
    /// What stands for all paths that are alike.
    const fn route(&self) -> &'static str {
        match self {
            Self::Named(_) => "/v1/files/{tenant}/{path}",
            Self::Space { .. } => "/api/v1/file/{library}/{space}/{path}",
        }
    }
}

const METHOD: &str = "DELETE";

/// What a request is told that only asked.
const DRY_RUN: u16 = 202;

/// As the conventions name what has no name.
const OTHER: &str = "_OTHER";
