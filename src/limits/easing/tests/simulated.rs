//! Easing against a simulated SMH, millisecond by millisecond.

use std::collections::VecDeque;

use super::*;

/// How long SMH takes for an answer.
const LATENCY: Duration = Duration::from_millis(40);

/// Takes so many in any window, and answers 429 to the others.
struct Bears {
    count: usize,
    window: Duration,
    taken: VecDeque<Instant>,
}

impl Bears {
    /// So many in any second.
    fn a_second(count: usize) -> Self {
        Self { count, window: SECOND, taken: VecDeque::new() }
    }

    fn takes(&mut self, now: Instant) -> bool {
        while self.taken.front().is_some_and(|taken| now - *taken >= self.window) {
            self.taken.pop_front();
        }
        let takes = self.taken.len() < self.count;
        if takes {
            self.taken.push_back(now);
        }
        takes
    }
}

struct World {
    easing: Easing,
    /// One for all tenants, or one each.
    smh: Vec<Bears>,
    latency: Duration,
    now: Instant,
    under_way: VecDeque<(Instant, bool)>,
    random: u64,
}

/// What came of some seconds.
#[derive(Debug, Default)]
struct Seen {
    seconds: f64,
    asked: Vec<u32>,
    sent: Vec<u32>,
    refused: u32,
}

impl Seen {
    /// Deletes a second that were let through, of one tenant.
    fn of(&self, tenant: usize) -> f64 {
        f64::from(self.sent[tenant]) / self.seconds
    }

    /// What was let through, of what a tenant asked for.
    fn share_sent(&self, tenant: usize) -> f64 {
        f64::from(self.sent[tenant]) / f64::from(self.asked[tenant])
    }

    fn all(&self) -> f64 {
        f64::from(self.sent.iter().sum::<u32>()) / self.seconds
    }

    /// Deletes a second that SMH took.
    fn taken(&self) -> f64 {
        self.all() - f64::from(self.refused) / self.seconds
    }

    fn share_refused(&self) -> f64 {
        f64::from(self.refused) / f64::from(self.sent.iter().sum::<u32>())
    }
}

impl World {
    fn new(smh: Vec<Bears>) -> Self {
        let now = Instant::now();
        let easing = Easing::new(now);
        Self { easing, smh, latency: LATENCY, now, under_way: VecDeque::new(), random: 0x9e37_79b9 }
    }

    /// One that eases at this rate, which never changes: SMH's answers do not come back.
    fn constant(rate: u32) -> Self {
        let mut world = Self::new(vec![Bears::a_second(usize::MAX)]);
        world.easing = easing_at(rate, world.now);
        world.latency = SECOND * 1_000;
        world
    }

    /// For so long each tenant asks so often a second, at random. Who is held back gives up.
    fn run(&mut self, seconds: u32, demand: &[u32]) -> Seen {
        let names = tenants(demand.len());
        let none = vec![0; demand.len()];
        let mut seen =
            Seen { seconds: seconds.into(), asked: none.clone(), sent: none, refused: 0 };
        for _ in 0..seconds * 10_000 {
            self.now += Duration::from_micros(100);
            while self.under_way.front().is_some_and(|(at, _)| *at <= self.now) {
                match self.under_way.pop_front() {
                    Some((_, true)) => self.easing.taken(self.now),
                    _ => self.easing.refused(self.now),
                }
            }
            for (number, asks) in demand.iter().enumerate() {
                if self.below(10_000) >= u64::from(*asks) {
                    continue;
                }
                seen.asked[number] += 1;
                if self.easing.admit(names[number], self.now).is_ok() {
                    let of = number % self.smh.len();
                    let taken = self.smh[of].takes(self.now);
                    seen.sent[number] += 1;
                    seen.refused += u32::from(!taken);
                    self.under_way.push_back((self.now + self.latency, taken));
                }
            }
        }
        seen
    }

    /// xorshift.
    fn below(&mut self, end: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % end
    }
}

#[track_caller]
fn assert_within(found: f64, from: f64, to: f64) {
    assert!((from..=to).contains(&found), "{found} is not within {from} and {to}");
}

#[test]
fn what_smh_bears_is_found_out_and_followed() {
    // It counts by the second, or is stricter.
    for parts in [1, 5] {
        let bears = |a_second: usize| Bears {
            count: a_second / parts,
            window: SECOND.div_f64(parts as f64),
            taken: VecDeque::new(),
        };
        let mut world = World::new(vec![bears(80)]);
        for a_second in [80, 30, 200] {
            world.smh = vec![bears(a_second)];
            // Time to find out: each second takes three tenths away, or adds a twentieth.
            world.run(if a_second < 200 { 6 } else { 40 }, &[400]);
            let seen = world.run(60, &[400]);
            assert!(seen.share_refused() < 0.03, "{a_second} {seen:?}");
            assert_within(seen.taken(), 0.7 * a_second as f64, a_second as f64);
        }
    }
}

#[test]
fn a_flood_that_smh_bears_is_soon_held_back_no_more() {
    let mut world = World::new(vec![Bears::a_second(50)]);
    world.run(20, &[300]);
    assert!(world.easing.rate(world.now).is_some());
    world.smh = vec![Bears::a_second(1_000)];
    world.run(30, &[300]);
    let seen = world.run(30, &[300]);
    assert_eq!(seen.refused, 0);
    assert_within(seen.all(), 290.0, 310.0);
    assert_eq!(world.easing.rate(world.now), None);
}

#[test]
fn it_is_over_when_less_is_asked_for_than_smh_bears() {
    let mut world = World::new(vec![Bears::a_second(80)]);
    world.run(20, &[300]);
    let seen = world.run(5, &[20]);
    assert_within(seen.all(), 16.0, 24.0);
    world.run(30, &[20]);
    assert_eq!(world.easing.rate(world.now), None);
}

#[test]
fn batches_of_those_who_do_not_come_again_are_not_held_back_for_ever() {
    let mut world = World::new(vec![Bears::a_second(10)]);
    world.run(20, &[300]);
    world.smh = vec![Bears::a_second(1_000)];
    for _ in 0..4 {
        world.run(1, &[1_000]);
        world.run(9, &[0]);
    }
    let seen = world.run(1, &[500]);
    assert_within(seen.all(), 400.0, 600.0);
}

#[test]
fn a_greedy_tenant_gets_what_a_modest_one_leaves() {
    let mut world = World::constant(50);
    let rate = world.easing.rate(world.now).unwrap();
    let seen = world.run(20, &[1_000, 5]);
    assert!(seen.share_sent(1) > 0.97, "{seen:?}");
    assert_within(seen.all(), 0.97 * rate, 1.02 * rate);
}

#[test]
fn a_tenant_alone_gets_the_whole_rate() {
    for rate in [1, 3, 50, 500] {
        let mut world = World::constant(rate);
        let rate = world.easing.rate(world.now).unwrap();
        let seen = world.run(20, &[2_000]);
        assert_within(seen.all(), 0.97 * rate, 1.02 * rate + 0.1);
    }
}

#[test]
fn greedy_tenants_get_as_much_as_each_other() {
    let mut world = World::constant(60);
    let rate = world.easing.rate(world.now).unwrap();
    let seen = world.run(20, &[2_000, 100, 500]);
    for tenant in 0..3 {
        assert!(seen.of(tenant) >= 0.9 * rate / 3.0, "{seen:?}");
    }
    assert_within(seen.all(), 0.97 * rate, 1.02 * rate);
}

#[test]
fn two_modest_tenants_get_all_and_a_greedy_one_the_rest() {
    // Of a few a second, those that come by chance together have to come again.
    for (rate, demand, least) in
        [(6, [1_000, 1, 1], 0.8), (60, [1_000, 10, 3], 0.97), (600, [4_000, 100, 150], 0.97)]
    {
        let mut world = World::constant(rate);
        let rate = world.easing.rate(world.now).unwrap();
        let seen = world.run(29, &demand);
        assert!(seen.share_sent(1) > least && seen.share_sent(2) > least, "{seen:?}");
        assert_within(seen.all(), 0.97 * rate, 1.03 * rate);
    }
}

#[test]
fn where_each_tenant_has_a_limit_of_its_own_the_modest_do_not_pay_for_the_greedy() {
    let mut world = World::new((0..3).map(|_| Bears::a_second(100)).collect());
    world.run(10, &[1_000, 20, 20]);
    let seen = world.run(60, &[1_000, 20, 20]);
    assert!(seen.share_refused() < 0.03, "{seen:?}");
    assert!(seen.of(0) > 60.0, "{seen:?}");
    assert!(seen.share_sent(1) > 0.97 && seen.share_sent(2) > 0.97, "{seen:?}");
}

#[test]
fn late_answers_do_not_make_it_collapse() {
    let mut world = World::new(vec![Bears::a_second(80)]);
    world.latency = SECOND * 3;
    world.run(15, &[400]);
    let seen = world.run(60, &[400]);
    assert_within(seen.taken(), 50.0, 80.0);
    assert!(seen.share_refused() < 0.15, "{seen:?}");
}
