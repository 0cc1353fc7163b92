//! What it costs to read a request line into a delete, which borders every other part, and to refuse one.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up is no benchmark")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use http::Uri;
use smh_gateway::delete::{Paths, Route};

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    for (what, target) in [
        ("usual", "/v1/files/photos/projects/2024/q1/team-01/report-0001.docx"),
        ("with a user_id", "/v1/files/photos/projects/2024/report-0001.docx?user_id=user00004"),
        ("percent-encoded", "/v1/files/photos/%E6%8A%A5%E5%91%8A/summary%200008.docx"),
        ("refused: a dot segment", "/v1/files/photos/projects/%2e%2e/report-0001.docx"),
    ] {
        let uri: Uri = target.parse().unwrap();
        group.bench_with_input(BenchmarkId::from_parameter(what), &uri, |bencher, uri| {
            bencher.iter(|| Route::of(black_box(uri), Paths::Own).and_then(Route::delete));
        });
    }
    group.finish();
}

criterion_group!(benches, parse);
criterion_main!(benches);
