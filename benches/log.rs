//! What a line of the delete log costs: with the fields of a delete that went through.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use smh_gateway::log::JsonLine;

fn line(c: &mut Criterion) {
    let mut group = c.benchmark_group("log line");
    for (what, path) in [
        ("usual", "projects/2024/q1/team-01/report-0001.docx"),
        ("of a name to escape", "projects/\u{1b}[2J\"quoted\"\\and\u{7f}more/report.docx"),
    ] {
        let mut buffer = Vec::with_capacity(4096);
        group.bench_function(what, |bencher| {
            bencher.iter(|| {
                buffer.clear();
                let mut line = JsonLine::new(&mut buffer);
                line.now().text("event", "delete");
                line.text("request_id", "01890a5d-ac96-774b-bcce-b302099a8057");
                line.text("peer", "10.1.2.3:45678")
                    .text("caller", "billing")
                    .text("proof", "api_key");
                line.text("tenant", "photos").text("library", "smh0123456789abcd");
                line.text("space", "space0123456789").text("path", black_box(path));
                line.flag("permanent", false).text("policy", "9f86d081884c7d65");
                line.text("decision", "allow").number("status", 200).text("outcome", "completed");
                line.number("smh_status", 200).number("recycled_item_id", 1221);
                line.flag("reversible", true).number("duration_us", 1_234).end();
            });
        });
        black_box(&buffer);
    }
    group.finish();
}

criterion_group!(benches, line);
criterion_main!(benches);
