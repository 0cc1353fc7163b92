//! OpenMetrics, which the metrics library writes, and the older text format of Prometheus.

use std::borrow::Cow;

pub(super) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
pub(super) const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The same metrics in the older format, where a counter and an info are declared under the name
/// that their samples have, an info is a gauge, and there is no unit and no end mark.
pub(super) fn prometheus(open_metrics: &str) -> String {
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
    use crate::metrics::Metrics;

    #[test]
    fn the_older_format_declares_what_its_samples_are_called() {
        let open_metrics = Metrics::new().encode(1, 2).unwrap();
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
}
