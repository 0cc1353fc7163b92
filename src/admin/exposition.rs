//! `GET /metrics`: OpenMetrics, which the metrics library writes, or the older text format of Prometheus.

use std::borrow::Cow;
use std::time::Instant;

use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderMap, Response, StatusCode};

use crate::admin::{body, certificates, text};
use crate::gateway::Gateway;
use crate::metrics::{Metrics, Seen};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Every counter, and what is so now.
pub(super) fn answer(gateway: &Gateway, headers: &HeaderMap) -> Response<Bytes> {
    let metrics = gateway.metrics();
    look(gateway, metrics);
    let seen = Seen {
        in_flight: gateway.in_flight().count(),
        connections: gateway.connections().count(),
        ready: gateway.is_ready(),
        halted: gateway.alarms().halts().iter().count(),
        started: gateway.started(),
    };
    let Ok(open_metrics) = metrics.encode(&seen) else {
        return text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n");
    };
    if Accepted::by(headers).is_open_metrics() {
        body(StatusCode::OK, OPEN_METRICS, open_metrics.into())
    } else {
        body(StatusCode::OK, PROMETHEUS, prometheus(&open_metrics).into())
    }
}

/// Sets what is not counted as it happens, but looked at.
fn look(gateway: &Gateway, metrics: &Metrics) {
    let (in_force, now) = (gateway.in_force(), Instant::now());
    metrics.tokens.begin_scrape();
    for token in in_force.tokens.status() {
        let life = token.age.zip(token.expires_in);
        metrics.tokens.pair(&token.caller, &token.tenant, life, token.failures);
    }
    let identity = &metrics.identity;
    identity.begin_scrape();
    identity.guessing(gateway.guesses().count(now));
    for issuer in in_force.issuer_keys.status() {
        if let Some(age) = issuer.age {
            identity.jwks_age(&issuer.name, age);
        }
    }
    for (listener, days) in certificates(gateway) {
        identity.certificate_expires(&listener, days);
    }
    metrics.load.begin_scrape();
    for share in in_force.places.status(now) {
        metrics.load.library(&share.library, share.in_flight, share.most);
        if let Some(rate) = share.eased_to {
            metrics.load.eased_to(&share.library, rate);
        }
    }
    metrics.policy.begin_scrape();
    for (rule, share) in in_force.limits.shares_used(now) {
        metrics.policy.used(&rule.name, rule.rate.unit(), rule.mode, share);
    }
    metrics.store.connected(in_force.limit_store.as_ref().map(|store| store.status().connected));
    let restart_needed = !gateway.needs_restart().is_empty();
    metrics.config.in_force(&in_force.snapshot.sha256, in_force.since, restart_needed);
}

/// How much a scraper wants each format, in thousandths (RFC 9110, section 12.5.1).
#[derive(Debug, Default, PartialEq, Eq)]
struct Accepted {
    /// As far as it is named: a scraper that takes anything takes what everyone can read.
    open_metrics: u16,
    prometheus: u16,
}

impl Accepted {
    fn by(headers: &HeaderMap) -> Self {
        let fields = headers.get_all(ACCEPT).iter().filter_map(|field| field.to_str().ok());
        let mut open_metrics = 0;
        // The most specific range counts: by name, `text/*`, `*/*`.
        let mut prometheus = (0, 0);
        for range in fields.flat_map(|field| field.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let (mut version, mut quality) = (None, 1_000);
            for (name, value) in parts.filter_map(|parameter| parameter.split_once('=')) {
                match &*name.trim().to_ascii_lowercase() {
                    "q" => quality = thousandths(value.trim()),
                    "version" => version = Some(value.trim().trim_matches('"')),
                    _ => {}
                }
            }
            let rank = match &*kind {
                "application/openmetrics-text" if version.is_none_or(|it| it == "1.0.0") => {
                    open_metrics = quality.max(open_metrics);
                    continue;
                }
                "text/plain" if version.is_none_or(|it| it == "0.0.4") => 3,
                "text/*" => 2,
                "*/*" => 1,
                _ => continue,
            };
            prometheus = prometheus.max((rank, quality));
        }
        Self { open_metrics, prometheus: prometheus.1 }
    }

    /// Where both are as good, the newer; where neither is taken, what everyone can read.
    fn is_open_metrics(&self) -> bool {
        self.open_metrics > 0 && self.open_metrics >= self.prometheus
    }
}

/// A weight; what is none is refused.
fn thousandths(text: &str) -> u16 {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_number = part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
    match (whole, format!("{part:0<3}").parse::<u16>()) {
        ("0", Ok(part)) if is_number => part,
        ("1", Ok(0)) if is_number => 1_000,
        _ => 0,
    }
}

/// The same metrics in the older format, where a counter and an info are declared under the name
/// that their samples have, an info is a gauge, and there is no unit and no end mark.
fn prometheus(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len() + 1024);
    let mut help = None;
    for line in open_metrics.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name), about) => help = Some((name, about)),
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let (name, kind) = declared(name, kind);
                if let Some((_, about)) = help.take() {
                    text.push_str(&format!("# HELP {name} {}\n", about.unwrap_or_default()));
                }
                text.push_str(&format!("# TYPE {name} {kind}\n"));
            }
            (Some("#"), ..) => {}
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

fn declared<'l>(name: &'l str, kind: &'l str) -> (Cow<'l, str>, &'l str) {
    match kind {
        "counter" => (format!("{name}_total").into(), "counter"),
        "info" => (format!("{name}_info").into(), "gauge"),
        _ => (name.into(), kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use std::time::SystemTime;

    #[test]
    fn the_older_format_declares_what_its_samples_are_called() {
        let seen = Seen {
            in_flight: 1,
            connections: 2,
            ready: true,
            halted: 0,
            started: SystemTime::now(),
        };
        let open_metrics = Metrics::new().encode(&seen).unwrap();
        assert!(open_metrics.ends_with("# EOF\n"));
        let text = prometheus(&open_metrics);
        assert!(!text.contains("# EOF") && !text.contains("# UNIT"));
        assert!(text.contains("# TYPE smh_gateway_deletes_refused_total counter\n"));
        assert!(text.contains("# TYPE smh_gateway_build_info gauge\n"));
        let declared: Vec<_> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
        for sample in text.lines().filter(|line| !line.starts_with('#')) {
            let of = |(name, kind): &(&str, &str)| {
                let rest = sample.strip_prefix(name).unwrap_or("-");
                let suffixes = ["_bucket{", "_sum ", "_count "];
                rest.starts_with([' ', '{'])
                    || (*kind == "histogram" && suffixes.iter().any(|s| rest.starts_with(s)))
            };
            assert!(declared.iter().any(of), "{sample}");
        }
    }

    #[test]
    fn the_format_is_the_one_that_is_wanted_most() {
        const OPEN: &str = "application/openmetrics-text";
        for (accept, wanted) in [
            ("", false),
            ("*/*", false),
            ("text/html", false),
            (OPEN, true),
            ("Application/OpenMetrics-Text; Version=\"1.0.0\"", true),
            ("application/openmetrics-text;version=2.0.0", false),
            ("application/openmetrics-text;q=0", false),
            ("application/openmetrics-text;q=0, */*", false),
            ("application/openmetrics-text;q=0.5, text/plain", false),
            ("application/openmetrics-text;q=0.5, text/plain;q=0.4", true),
            ("text/plain;q=0.4;version=0.0.4, application/openmetrics-text;q=0.400", true),
            ("application/openmetrics-text;q=0.3, text/*;q=0.4, */*;q=0.1", false),
            ("application/openmetrics-text;q=0.3, text/plain;q=0.2, text/*;q=0.9", true),
            ("application/openmetrics-text;q=1.001", false),
            ("application/openmetrics-text;q=much", false),
            ("application/openmetrics-text;q=0.5, application/json", true),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(Accepted::by(&headers).is_open_metrics(), wanted, "{accept}");
        }
        let mut headers = HeaderMap::new();
        for field in ["text/plain;q=0.5", "application/openmetrics-text"] {
            headers.append(ACCEPT, HeaderValue::from_static(field));
        }
        assert!(Accepted::by(&headers).is_open_metrics(), "a list may stand in several fields");
    }
}
