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

/// Which limits it is about, and whether it only looks.
type Delete = (Vec<usize>, bool);

/// Microseconds since the run before, and the deletes of this one.
type Run = (u64, Vec<Delete>);

fn limits() -> impl Strategy<Value = Vec<Limit>> {
    // Intervals of whole microseconds: what is less is rounded, and tested by what passes.
    let per_second = prop::sample::select(vec![1, 2, 4, 5, 8, 10, 20, 25, 50, 100]);
    let limit = (per_second, 1..6_u32, prop::bool::weighted(0.8))
        .prop_map(|(per_second, burst, enforced)| Limit { per_second, burst, enforced });
    prop::collection::vec(limit, 4)
}

fn runs() -> impl Strategy<Value = Vec<Run>> {
    let about = prop::sample::subsequence(vec![0, 1, 2, 3], 0..=4);
    let deletes = prop::collection::vec((about, prop::bool::weighted(0.1)), 0..9);
    prop::collection::vec((0..400_000_u64, deletes), 1..8)
}

/// One run of the script at a time of ours.
fn asked(connection: &mut Connection, limits: &[Limit], now: u64, deletes: &[Delete]) -> Vec<i64> {
    let clock = format!("{{{}, {}}}", EPOCH + now / 1_000_000, now % 1_000_000);
    let script = SCRIPT.replace("call('TIME')", &clock);
    assert_ne!(script, SCRIPT);
    let mut packed = Vec::new();
    for (about, looks) in deletes {
        packed.push(u8::from(*looks));
        packed.extend(u32::try_from(about.len()).unwrap().to_le_bytes());
        for &index in about {
            let quota = limits[index].quota();
            packed.extend(u32::try_from(index + 1).unwrap().to_le_bytes());
            for number in [quota.interval(), quota.whole(), 0] {
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

/// What is used of each limit, in nanoseconds.
fn decided(limits: &[Limit], used: &mut HashMap<usize, u64>, deletes: &[Delete]) -> Vec<i64> {
    let mut told = Vec::new();
    for (about, looks) in deletes {
        let of = |index: &usize| {
            let used = used.get(index).copied().unwrap_or(0);
            let charged = limits[*index].quota().charge(used);
            let became = match (&charged, limits[*index].enforced) {
                (Ok(_), _) => 0,
                (Err(_), false) => 1,
                (Err(_), true) => 3,
            };
            (*index, used, charged, became)
        };
        let of: Vec<_> = about.iter().map(of).collect();
        let refused = of.iter().any(|(_, _, _, became)| *became == 3);
        for (index, before, charged, became) in of {
            told.push(i64::try_from(before / 1_000 * 4 + became).unwrap());
            if let (Ok(after), false, false) = (charged, refused, looks) {
                used.insert(index, after);
            }
        }
    }
    told
}

#[tokio::test]
async fn the_script_decides_run_by_run_what_the_arithmetic_here_decides_one_by_one() {
    let redis = Redis::start().await;
    let client = redis::Client::open(format!("redis://{}", redis.address())).unwrap();
    let connection = Mutex::new(client.get_connection().unwrap());
    proptest!(|(limits in limits(), runs in runs())| {
        let mut connection = connection.lock();
        let _: () = redis::cmd("FLUSHALL").query(&mut connection).unwrap();
        let (mut now, mut used) = (1_000_000, HashMap::new());
        for (pause, deletes) in runs {
            now += pause;
            used.values_mut().for_each(|used: &mut u64| *used = used.saturating_sub(pause * 1_000));
            let told = asked(&mut connection, &limits, now, &deletes);
            prop_assert_eq!(told, decided(&limits, &mut used, &deletes));
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
    assert_eq!(asked(&mut connection, &limits, 0, &[(about.clone(), false)]), vec![0; 9_000]);
    let told = asked(&mut connection, &limits, 0, &[(about, false)]);
    assert_eq!(told, vec![4_000_003; 9_000]);
}
