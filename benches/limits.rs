//! What the limits of a delete cost in this process.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up is no benchmark")]

use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use criterion::{Criterion, criterion_group, criterion_main};
use smh_gateway::delete::{Paths, Route};
use smh_gateway::directory::{Caller, Library, RecycleBin, Tenant, Tenants, UserIdRule};
use smh_gateway::ids::{CallerName, LibraryId, LimitName, SpaceId, TenantName};
use smh_gateway::limits::{LimitRule, Limits, Per, Rate, Sharing};
use smh_gateway::origin::Origin;
use smh_gateway::policy::{Halts, Permit, Policy, RuleMode, Selector};

fn rule(name: &str, per: Per, rate: Rate) -> LimitRule {
    LimitRule {
        name: LimitName::try_from(name).unwrap(),
        per,
        matches: Selector::default(),
        rate,
        burst: rate.count(),
        warn_at: None,
        mode: RuleMode::Enforce,
        line: 1,
    }
}

fn rate(count: u32, seconds: u64) -> Rate {
    Rate::new(NonZeroU32::new(count).unwrap(), Duration::from_secs(seconds)).unwrap()
}

fn permit(query: &str) -> Permit {
    let name = TenantName::try_from("photos").unwrap();
    let origin = Origin::try_from("https://smh.test").unwrap();
    let library = Library::new(LibraryId::try_from("smhx").unwrap(), origin, RecycleBin::On);
    let space = SpaceId::try_from("s").unwrap();
    let tenant = Tenant::new(name.clone(), Arc::new(library), space, UserIdRule::Forward);
    let tenants: Tenants = [Arc::new(tenant)].into_iter().collect();
    let caller = Arc::new(Caller::new(CallerName::try_from("app").unwrap(), vec![name]));
    let uri = format!("/v1/files/photos/2025/a.jpg{query}").parse().unwrap();
    let delete = Route::of(&uri, Paths::Own).unwrap().delete().unwrap();
    let (policy, halts) = (Policy::default(), Halts::default());
    policy.decide(&tenants, &halts, &caller, delete, SystemTime::now()).outcome.unwrap()
}

fn limits(c: &mut Criterion) {
    let per = |caller, tenant, library, user_id| Per { caller, tenant, library, user_id };
    // So fast that no delete here is refused: one takes longer than one grows back.
    let three = vec![
        rule("per caller", per(true, false, false, false), rate(900_000_000, 1)),
        rule("daily", per(true, true, false, false), rate(4_000_000_000, 60)),
        rule("library", per(false, false, true, false), rate(900_000_000, 1)),
    ];
    let hundred = (0..100).map(|n| {
        let per = per(n % 3 != 1, n % 3 != 0, false, false);
        rule(&format!("limit {n}"), per, rate(900_000_000, 1))
    });
    let hundred = hundred.collect();
    let by_user = vec![rule("per user", per(false, false, false, true), rate(900_000_000, 1))];
    let mut group = c.benchmark_group("limits");
    for (name, rules, query) in [
        ("three", three, ""),
        ("a hundred", hundred, ""),
        ("one by user_id", by_user, "?user_id=user-1234"),
    ] {
        let limits = Limits::new(rules, Sharing::Alone, Instant::now());
        // What a permit costs is not what is measured: it goes round.
        let mut held = Some(permit(query));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let permit = held.take().unwrap();
                let admission = limits.admit(black_box(permit), Instant::now()).unwrap();
                held = Some(admission.into_permit());
            });
        });
    }
    group.finish();
}

criterion_group!(benches, limits);
criterion_main!(benches);
