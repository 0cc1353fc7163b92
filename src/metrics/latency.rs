//! A histogram of times without a lock: what a delete touches are two counters.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// How long requests took.
#[derive(Debug, Clone, Default)]
pub struct Latency(Arc<Counted>);

#[derive(Debug, Default)]
struct Counted {
    /// Those that took as long as each bound and longer than the one before; and those above all.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    /// All of them together, in nanoseconds: enough for 584 years.
    nanos: AtomicU64,
}

impl Latency {
    /// Counts one that took so long.
    pub fn observe(&self, took: Duration) {
        let bucket = BOUNDS.partition_point(|bound| *bound < took);
        if let Some(bucket) = self.0.buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.0.nanos.fetch_add(nanos, Ordering::Relaxed);
    }
}

impl TypedMetric for Latency {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Latency {
    /// Each bucket is read once, so that they add up to the count, whatever comes in meanwhile.
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let bounds = BOUNDS.iter().map(Duration::as_secs_f64).chain([f64::INFINITY]);
        let counts = self.0.buckets.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<_> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = Duration::from_nanos(self.0.nanos.load(Ordering::Relaxed)).as_secs_f64();
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

/// The buckets that OpenTelemetry advises for `http.server.request.duration` and its like.
const BOUNDS: [Duration; 14] = [
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(75),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_millis(750),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
    Duration::from_millis(7_500),
    Duration::from_secs(10),
];

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    #[test]
    fn a_time_falls_into_the_first_bucket_whose_bound_it_does_not_exceed() {
        let latency = Latency::default();
        for nanos in [0, 5_000_000, 5_000_001, 74_000_000, 10_000_000_000, 10_000_000_001] {
            latency.observe(Duration::from_nanos(nanos));
        }
        let (mut registry, mut text) = (Registry::default(), String::new());
        registry.register("took", "How long", latency);
        encode(&mut text, &registry).unwrap();
        for line in [
            "took_bucket{le=\"0.005\"} 2\n",
            "took_bucket{le=\"0.01\"} 3\n",
            "took_bucket{le=\"0.05\"} 3\n",
            "took_bucket{le=\"0.075\"} 4\n",
            "took_bucket{le=\"7.5\"} 4\n",
            "took_bucket{le=\"10.0\"} 5\n",
            "took_bucket{le=\"+Inf\"} 6\n",
            "took_count 6\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        let sum = text.lines().find_map(|line| line.strip_prefix("took_sum ")).unwrap();
        assert!((sum.parse::<f64>().unwrap() - 20.084_000_002).abs() < 1e-6, "{sum}");
    }
}
