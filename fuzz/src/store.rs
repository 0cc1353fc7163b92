//! What a Redis answers to a run of the script.

use std::num::NonZeroU32;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime};

use redis::{FromRedisValue, parse_redis_value};
use smh_gateway::config::load;
use smh_gateway::delete::{Paths, Route};
use smh_gateway::limit_store::verdicts;
use smh_gateway::limits::{Claim, Limits, Sharing, Taken};
use smh_gateway::policy::{Halts, Permit};

use crate::files::FOLDER;

/// Of an answer in which everything is believed no delete comes that a limit has no room for: it is refused, or each
/// limit had room, or is one that only counts, or was granted.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(told) = parse_redis_value(bytes) else { return };
    let Ok(told) = Vec::<i64>::from_redis_value(told) else { return };
    let Stage { limits, claim, permit } = &*STAGE;
    let Ok(said) = verdicts(claim, &told) else { return };
    assert_eq!(said.len(), claim.iter().len());
    for (claimed, verdict) in claim.iter().zip(&said) {
        let room = claimed.quota.whole().saturating_sub(claimed.quota.interval());
        match verdict.taken {
            // To the microsecond that the script counts in.
            Taken::Charged => assert!(verdict.used <= room + 1_000, "charged and full"),
            Taken::Shadow => assert!(!claimed.enforced, "an enforced limit only counts"),
            Taken::Granted | Taken::Refused => assert!(claimed.enforced),
        }
        assert!(verdict.used <= claimed.quota.whole() + 1_000);
    }
    let refuses = said.iter().any(|verdict| verdict.taken == Taken::Refused);
    assert_eq!(limits.would_settle(claim, &said).is_some(), refuses);
    assert_eq!(limits.settle(permit(), claim, &said).is_err(), refuses);
}

struct Stage {
    limits: Limits,
    claim: Claim,
    permit: fn() -> Permit,
}

static STAGE: LazyLock<Stage> = LazyLock::new(|| {
    let snapshot = load(&FOLDER.join("gateway.yaml")).snapshot;
    let snapshot = snapshot.unwrap_or_else(|| panic!("the corpus has no configuration"));
    let now = Instant::now();
    let limits = Limits::new(snapshot.limits, Sharing::Among(NonZeroU32::MIN), now);
    let claim = limits.claim(&permit(), Duration::ZERO, now);
    assert!(claim.iter().len() > 1);
    Stage { limits, claim, permit }
});

fn permit() -> Permit {
    let snapshot = load(&FOLDER.join("gateway.yaml")).snapshot;
    let made = snapshot.and_then(|snapshot| {
        let uri = "/v1/files/t1/a".parse().ok()?;
        let delete = Route::of(&uri, Paths::Own).and_then(Route::delete).ok()?;
        let tenants = snapshot.tenants.iter().cloned().collect();
        let caller = Arc::clone(&snapshot.callers.first()?.caller);
        let (halts, now) = (Halts::default(), SystemTime::now());
        snapshot.policy.decide(&tenants, &halts, &caller, delete, now).outcome.ok()
    });
    made.unwrap_or_else(|| panic!("the corpus permits no delete"))
}
