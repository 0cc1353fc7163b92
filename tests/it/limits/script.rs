//! The script of the store, on a real Redis whose clock is ours, against the arithmetic that is used
//! without a store.

use std::collections::HashMap;
use std::num::NonZeroU32;

use parking_lot::Mutex;
use proptest::prelude::*;
use redis::Connection;
use smh_gateway::limits::{Quota, Rate};

use super::*;

const SCRIPT: &str = include_str!("../../../src/limit_store/charge.lua");

/// When the script's time begins, in seconds.
const EPOCH: u64 = 1_767_225_600;

#[derive(Debug, Clone)]
struct Limit {
    per_second: u32,
    burst: u32,
    enforced: bool,
}

impl Limit {
    fn quota(&self) -> Quota {
        let count = NonZeroU32::new(self.per_second).unwrap();
        let rate = Rate::new(count, Duration::from_secs(1)).unwrap();
        Quota::new(rate, NonZeroU32::new(self.burst).unwrap())
    }
}

#[derive(Debug, Clone)]
struct Delete {
    about: Vec<usize>,
    looks: bool,
    /// What is used at least, and what is to be added, in microseconds.
    floor: u64,
    owed: u64,
}

/// By how many microseconds the clock was moved since the run before, and the deletes of this one.
type Run = (i64, Vec<Delete>);

fn limits() -> impl Strategy<Value = Vec<Limit>> {
    // Intervals of whole microseconds: what is less is rounded, and tested by what passes.
    let per_second = prop::sample::select(vec![1, 2, 4, 5, 8, 10, 20, 25, 50, 100]);
    let limit = (per_second, 1..6_u32, prop::bool::weighted(0.8))
        .prop_map(|(per_second, burst, enforced)| Limit { per_second, burst, enforced });
    prop::collection::vec(limit, 4)
}

fn runs() -> impl Strategy<Value = Vec<Run>> {
    let about = prop::sample::subsequence(vec![0, 1, 2, 3], 0..=4);
    let more = || prop_oneof![4 => Just(0), 1 => 0..2_000_000_u64];
    let delete = (about, prop::bool::weighted(0.1), more(), more())
        .prop_map(|(about, looks, floor, owed)| Delete { about, looks, floor, owed });
    let moved = prop_oneof![4 => 0..400_000_i64, 1 => -3_000_000..0_i64];
    prop::collection::vec((moved, prop::collection::vec(delete, 0..9)), 1..8)
}

/// One run of the script at a time of ours.
fn asked(connection: &mut Connection, limits: &[Limit], now: u64, deletes: &[Delete]) -> Vec<i64> {
    let clock = format!("{{{}, {}}}", EPOCH + now / 1_000_000, now % 1_000_000);
    // What is kept expires by the real clock, and must not meanwhile.
    let script = SCRIPT.replace("call('TIME')", &clock).replace("'PX', ", "'PX', 100000 + ");
    assert!(script.contains(&clock) && script.contains("100000"));
    let mut packed = Vec::new();
    for Delete { about, looks, floor, owed } in deletes {
        packed.push(u8::from(*looks));
        packed.extend(u32::try_from(about.len()).unwrap().to_le_bytes());
        for &index in about {
            let quota = limits[index].quota();
            packed.extend(u32::try_from(index + 1).unwrap().to_le_bytes());
            for number in [quota.interval(), quota.whole(), floor * 1_000, owed * 1_000] {
                packed.extend((number as f64 / 1_000.0).to_le_bytes());
            }
            packed.push(u8::from(limits[index].enforced));
        }
    }
    let mut command = redis::cmd("EVAL");
    command.arg(script).arg(limits.len());
    (0..limits.len()).for_each(|index| {
        command.arg(format!("k{index}"));
    });
    command.arg(packed).query(connection).unwrap()
}

/// When nothing is used any more of each limit, in nanoseconds. A clock that is set back leaves it, but
/// not further away than a whole.
struct Model(HashMap<usize, i64>);

impl Model {
    fn clock(&mut self, limits: &[Limit], now: i64) {
        for (index, free_at) in &mut self.0 {
            *free_at = (*free_at).min(now + i64::try_from(limits[*index].quota().whole()).unwrap());
        }
    }

    fn used(&self, index: usize, now: i64) -> u64 {
        let free_at = self.0.get(&index).copied().unwrap_or(now);
        u64::try_from(free_at - now).unwrap_or(0)
    }

    fn use_up_to(&mut self, index: usize, used: u64, now: i64) {
        self.0.insert(index, now + i64::try_from(used).unwrap());
    }

    /// The same arithmetic as where there is no store.
    fn decided(&mut self, limits: &[Limit], now: i64, deletes: &[Delete]) -> Vec<i64> {
        let mut told = Vec::new();
        for Delete { about, looks, floor, owed } in deletes {
            let mut of = Vec::new();
            for &index in about {
                let quota = limits[index].quota();
                let floor = (floor * 1_000).min(quota.whole());
                let held = self.used(index, now);
                if held < floor && !looks {
                    self.use_up_to(index, floor, now);
                }
                let used = (held.max(floor) + owed * 1_000).min(quota.whole());
                let charged = quota.charge(used);
                let became = match (&charged, limits[index].enforced) {
                    (Ok(_), _) => 0,
                    (Err(_), false) => 1,
                    (Err(_), true) => 3,
                };
                told.push(i64::try_from(used / 1_000 * 4 + became).unwrap());
                of.push((index, charged, became));
            }
            let refused = of.iter().any(|(_, _, became)| *became == 3);
            for (index, charged, _) in of {
                if let (Ok(after), false, false) = (charged, refused, looks) {
                    self.use_up_to(index, after, now);
                }
            }
        }
        told
    }
}

#[tokio::test]
async fn the_script_decides_run_by_run_what_the_arithmetic_here_decides_one_by_one() {
    let redis = Redis::start().await;
    let client = redis::Client::open(format!("redis://{}", redis.address())).unwrap();
    let connection = Mutex::new(client.get_connection().unwrap());
    proptest!(|(limits in limits(), runs in runs())| {
        let mut connection = connection.lock();
        let _: () = redis::cmd("FLUSHALL").query(&mut connection).unwrap();
        let (mut now, mut model) = (100_000_000_u64, Model(HashMap::new()));
        for (moved_by, deletes) in runs {
            now = now.strict_add_signed(moved_by);
            let nanos = i64::try_from(now * 1_000).unwrap();
            model.clock(&limits, nanos);
            let told = asked(&mut connection, &limits, now, &deletes);
            prop_assert_eq!(told, model.decided(&limits, nanos, &deletes));
        }
    });
}

/// A thousand limits at once would be too many arguments for one function of Lua.
#[tokio::test]
async fn a_delete_may_be_about_thousands_of_limits() {
    let redis = Redis::start().await;
    let client = redis::Client::open(format!("redis://{}", redis.address())).unwrap();
    let mut connection = client.get_connection().unwrap();
    let limits = vec![Limit { per_second: 1, burst: 1, enforced: true }; 9_000];
    let about: Vec<usize> = (0..limits.len()).collect();
    let delete = Delete { about, looks: false, floor: 0, owed: 0 };
    assert_eq!(asked(&mut connection, &limits, 0, std::slice::from_ref(&delete)), vec![0; 9_000]);
    let told = asked(&mut connection, &limits, 0, std::slice::from_ref(&delete));
    assert_eq!(told, vec![4_000_003; 9_000]);
}

/// Whatever somebody put where a state should be harms its own share at most, and not for longer than that
/// takes to grow back.
#[tokio::test]
async fn what_is_no_state_is_not_taken_for_one() {
    let redis = Redis::start().await;
    let client = redis::Client::open(format!("redis://{}", redis.address())).unwrap();
    let mut connection = client.get_connection().unwrap();
    let limits = vec![Limit { per_second: 1, burst: 2, enforced: true }];
    let delete = Delete { about: vec![0], looks: false, floor: 0, owed: 0 };
    let odd =
        [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e308, -1e308, 1e20, 1e300, 0.0, -1.0, 5e-324];
    for (free_at, whole) in odd.iter().flat_map(|one| odd.map(|other| (*one, other))) {
        let planted = [free_at.to_le_bytes(), whole.to_le_bytes()].concat();
        let _: () = redis::cmd("SET").arg("k0").arg(planted).query(&mut connection).unwrap();
        let told = asked(&mut connection, &limits, 5_000_000, std::slice::from_ref(&delete));
        assert!(told == [0] || told == [8_000_003], "{free_at} of {whole}: {told:?}");
        let after = asked(&mut connection, &limits, 8_000_000, std::slice::from_ref(&delete));
        assert_eq!(after, [0], "{free_at} of {whole}");
        let lasts: i64 = redis::cmd("PTTL").arg("k0").query(&mut connection).unwrap();
        assert!(lasts > 0, "{free_at} of {whole}");
    }
}

#[tokio::test]
async fn a_limit_that_is_used_up_is_told_to_a_store_that_lost_it() {
    let redis = Redis::start().await;
    let client = redis::Client::open(format!("redis://{}", redis.address())).unwrap();
    let mut connection = client.get_connection().unwrap();
    let limits = vec![Limit { per_second: 1, burst: 2, enforced: true }];
    let knows = Delete { about: vec![0], looks: false, floor: 2_000_000, owed: 0 };
    let knows_not = Delete { floor: 0, ..knows.clone() };
    assert_eq!(asked(&mut connection, &limits, 0, &[knows]), [8_000_003]);
    assert_eq!(asked(&mut connection, &limits, 0, &[knows_not]), [8_000_003], "another gateway");
}
