//! What it takes to decide one delete, by how many rules there are that cannot be about it.
//!
//! The policies are real files, loaded as `serve` loads them: N rules over 100 tenants, of which
//! each tenant has N / 100; one rule is about every delete.
#![expect(clippy::unwrap_used, reason = "a benchmark may fail loudly")]
#![expect(clippy::expect_used, reason = "a benchmark may fail loudly")]

use std::fmt::Write;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use http::Uri;
use smh_gateway::config;
use smh_gateway::delete::{Paths, Route};
use smh_gateway::directory::{Callers, Tenants};
use smh_gateway::policy::{Halts, Policy};

const TENANTS: usize = 100;

/// The rule of a number.
type RuleOf = fn(usize) -> String;

struct Fixture {
    policy: Policy,
    callers: Callers,
    tenants: Tenants,
}

/// `rule` writes one rule, by its number.
fn fixture(rules: usize, rule: impl Fn(usize) -> String) -> Fixture {
    let mut gateway = "listeners: [{ address: 127.0.0.1:8080 }]\n\
         libraries: { lib: { token: { env: T } } }\npolicy: policy.yaml\ntenants:\n"
        .to_owned();
    for tenant in 0..TENANTS {
        writeln!(gateway, "  tenant-{tenant}: {{ library: lib, space: s{tenant} }}").unwrap();
    }
    let granted: Vec<_> = (0..TENANTS).map(|tenant| format!("tenant-{tenant}")).collect();
    let granted = granted.join(", ");
    write!(gateway, "callers:\n  app: {{ trust: loopback, tenants: [{granted}] }}\n").unwrap();
    let mut policy = "permanent_deletes: by_rule\nrules:\n".to_owned();
    for number in 0..rules.saturating_sub(1) {
        writeln!(policy, "  - {{ name: rule {number}, {} }}", rule(number)).unwrap();
    }
    policy.push_str("  - { name: tmp, allow_permanent: { paths: [\"tmp/**\"] } }\n");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("gateway.yaml"), gateway).unwrap();
    std::fs::write(folder.path().join("policy.yaml"), policy).unwrap();
    let snapshot =
        config::load(&folder.path().join("gateway.yaml")).into_result().expect("valid files").0;
    Fixture {
        policy: snapshot.policy,
        callers: snapshot.callers.iter().map(|one| Arc::clone(&one.caller)).collect(),
        tenants: snapshot.tenants.iter().cloned().collect(),
    }
}

fn deciding(criterion: &mut Criterion) {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let mut group = criterion.benchmark_group("decide");
    let shapes: [(&str, RuleOf); 4] = [
        ("of one tenant", |n| {
            format!("deny: {{ tenants: [tenant-{}], paths: [\"legal/{n}/**\"] }}", n % TENANTS)
        }),
        ("of tenants by glob", |n| {
            format!("deny: {{ tenants: [\"tenant-{}*\"], paths: [\"legal/{n}/**\"] }}", n % TENANTS)
        }),
        ("of one folder", |n| format!("deny: {{ paths: [\"folder-{n}/**\"] }}")),
        ("about any delete", |n| format!("deny: {{ paths: [\"**/{n}.bak\"] }}")),
    ];
    for (shape, rule) in shapes {
        for rules in [1, 20, 100, 1_000] {
            let fixture = fixture(rules, rule);
            let caller = fixture.callers.get("app").unwrap();
            let uri = Uri::from_static("/v1/files/tenant-17/2026/11/24/photo-0001.jpg");
            group.bench_with_input(BenchmarkId::new(shape, rules), &rules, |bencher, _| {
                bencher.iter_batched(
                    || Route::of(&uri, Paths::Own).and_then(Route::delete).unwrap(),
                    |delete| {
                        let halts = Halts::default();
                        fixture.policy.decide(
                            &fixture.tenants,
                            &halts,
                            caller,
                            black_box(delete),
                            now,
                        )
                    },
                    BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
}

criterion_group!(benches, deciding);
criterion_main!(benches);
