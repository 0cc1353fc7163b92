//! What allocates, and what does not: counted, not timed. A process of its own, since the count is
//! the allocator's.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
#![expect(clippy::expect_used, reason = "a test may fail loudly")]

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use allocation_counter::measure;
use http::Uri;
use smh_gateway::config::{self, Snapshot};
use smh_gateway::delete::{Paths, Route};
use smh_gateway::directory::{Callers, Tenants};
use smh_gateway::limits::{Limits, Sharing};
use smh_gateway::policy::Halts;

const GATEWAY: &str = "\
listeners: [{ address: 127.0.0.1:8080 }]
libraries: { lib: { token: { env: T } } }
tenants: { t1: { library: lib, space: s1 }, t2: { library: lib, space: s2 } }
callers: { app: { trust: loopback, tenants: [t1, t2] } }
policy: policy.yaml
";

fn loaded(policy: &str) -> Snapshot {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("gateway.yaml"), GATEWAY).unwrap();
    std::fs::write(folder.path().join("policy.yaml"), policy).unwrap();
    config::load(&folder.path().join("gateway.yaml")).into_result().expect("valid files").0
}

#[test]
fn deciding_allocates_nothing() {
    let mut policy = "permanent_deletes: by_rule\nrules:\n".to_owned();
    for number in 0..300 {
        let tenant = 1 + number % 2;
        writeln!(
            policy,
            "  - {{ name: t{number}, deny: {{ tenants: [t{tenant}], paths: [\"x/{number}/*\"] }} }}"
        )
        .unwrap();
        writeln!(policy, "  - {{ name: p{number}, deny: {{ paths: [\"**/{number}.bak\"] }} }}")
            .unwrap();
    }
    policy += "  - { name: shadow, mode: shadow, deny: { paths: [\"seen/**\"] } }\n";
    policy +=
        "  - { name: legal, deny: { paths: [\"legal/**\"], except: { callers: [nobody*] } } }\n";
    policy += "  - { name: purge, until: 2090-01-01, allow_permanent: { paths: [\"tmp/**\"] } }\n";
    let snapshot = loaded(&policy);
    let callers: Callers = snapshot.callers.iter().map(|one| Arc::clone(&one.caller)).collect();
    let tenants: Tenants = snapshot.tenants.iter().cloned().collect();
    let (caller, halts, now) = (callers.get("app").unwrap(), Halts::default(), SystemTime::now());
    for (target, is_allowed) in [
        ("/v1/files/t1/2026/a.jpg", true),
        ("/v1/files/t2/seen/a.jpg", true),
        ("/v1/files/t2/legal/a.jpg", false),
        ("/v1/files/t1/7.bak", false),
        ("/v1/files/t1/tmp/a?permanent=1&user_id=u1", true),
        ("/v1/files/t1/a?permanent=1", false),
        ("/v1/files/nowhere/a", false),
    ] {
        let uri = Uri::from_static(target);
        let delete = Route::of(&uri, Paths::Own).and_then(Route::delete).unwrap();
        let mut decided = None;
        let counted = measure(|| {
            decided = Some(snapshot.policy.decide(&tenants, &halts, caller, delete, now));
        });
        let decided = decided.unwrap();
        assert_eq!(decided.outcome.is_ok(), is_allowed, "{target}");
        assert_eq!(counted.count_total, 0, "{target}");
    }
}

/// A `user_id` is the caller's to choose. Each second brings a hundred thousand new ones, and none comes
/// back: first the number of keys comes to its bound, then what is idle is dropped, and its memory with it.
#[test]
fn a_limit_holds_so_many_keys_and_no_more_whatever_callers_send() {
    const BOUND: u64 = 32 << 20;
    let snapshot = loaded("rate_limits: [{ name: of users, per: [user_id], limit: 1/min }]\n");
    let callers: Callers = snapshot.callers.iter().map(|one| Arc::clone(&one.caller)).collect();
    let tenants: Tenants = snapshot.tenants.iter().cloned().collect();
    let (caller, halts) = (callers.get("app").unwrap(), Halts::default());
    let start = Instant::now();
    let limits = Limits::new(snapshot.limits.clone(), Sharing::Alone, start);
    let held = || limits.key_counts().map(|(_, keys)| keys).sum::<usize>();
    let admit = |user: u32, at: Instant| {
        let uri: Uri = format!("/v1/files/t1/a?user_id={user}").parse().unwrap();
        let delete = Route::of(&uri, Paths::Own).and_then(Route::delete).unwrap();
        let decided = snapshot.policy.decide(&tenants, &halts, caller, delete, SystemTime::now());
        limits.admit(decided.outcome.unwrap(), at).is_ok()
    };
    let counted = measure(|| {
        for second in 0..4 {
            for user in 0..100_000 {
                admit(second * 100_000 + user, start + Duration::from_secs(u64::from(second)));
            }
        }
    });
    assert!((90_000..=100_000).contains(&held()), "{}", held());
    assert!(counted.bytes_max < BOUND, "{}", counted.bytes_max);
    let kept = counted.bytes_current;
    let counted = measure(|| {
        for user in 0..2_000 {
            admit(1_000_000 + user, start + Duration::from_secs(3_600));
        }
    });
    assert!(held() <= 2_000, "{}", held());
    assert!(counted.bytes_current < -kept * 9 / 10, "{} of {kept}", counted.bytes_current);
}
