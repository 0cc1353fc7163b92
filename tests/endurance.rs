//! A gateway for an hour, at half of what it bears, while files, tokens and journals change, connections
//! come and go, and the network fails: its memory and its files stay as many as they were, no delete fails
//! that nothing befell, and in the end callers, the journal and SMH say the same.
//!
//! `./test --long` runs it; `SMH_ENDURANCE_SECONDS` says for how long. `./test` leaves it out.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
#![expect(clippy::expect_used, reason = "a test may fail loudly")]
#![expect(clippy::indexing_slicing, reason = "a test may fail loudly")]
#![expect(clippy::panic, reason = "a test may fail loudly")]
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

#[expect(dead_code, unused_imports, reason = "it serves the tests of tests/it as well")]
#[path = "it/support/mod.rs"]
mod support;
#[expect(dead_code, reason = "it serves the matrix as well")]
#[path = "it/faults/callers.rs"]
mod callers;
#[path = "it/faults/truth.rs"]
mod truth;
/// What the process takes.
#[path = "endurance/figures.rs"]
mod figures;
/// Who calls.
#[path = "endurance/load.rs"]
mod load;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use smh_gateway::simulator::{Answered, TokenSpec};

use self::callers::{Door, Request, Told};
use self::figures::{Line, Sample};
use self::load::Load;
use self::support::binary::Binary;
use self::support::faulty::{Fault, Proxy, Way};
use self::support::redis::Redis;
use self::support::{Folder, GATEWAY_YAML, LIBRARY, SPACE, Smh, becomes};
use self::truth::Books;

/// Each fault has been met once by then, at each place and in each direction.
const WARM_UP: f64 = 300.0;

/// As long again, to look at what is warm: through less, a line says nothing. `./test` refuses it as well.
const SHORTEST: Duration = Duration::from_secs(600);

/// By which part of itself the memory may have grown when all is over: what a leak of a few bytes a delete
/// exceeds, and what an allocator does by itself does not.
const MOST_RISE: f64 = 0.05;

/// How many more files may be open when all is over, of however many: one that is left behind now and then,
/// by a reload, a fault or a rotation, makes more.
const MOST_FILES_MORE: f64 = 4.0;

/// What of a delete's fate is still the fault's doing, after it.
const RECOVERS_WITHIN: Duration = Duration::from_secs(2);

const DEADLINE: Duration = Duration::from_secs(2);
const POLICY: &str =
    "rate_limits:\n  - { name: daily, per: [caller], tenants: [t1], limit: 100000000/day }\n";

/// One after the other, at each place in turn.
const FAULTS: [Fault; 6] = [
    Fault::Delay(Duration::from_millis(100)),
    Fault::Cut(60),
    Fault::Reset,
    Fault::BlackHole,
    Fault::Drip(Duration::from_millis(20)),
    Fault::Corrupt,
];

struct Stage {
    smh: Smh,
    _redis: Redis,
    folder: Folder,
    gateway: Binary,
    /// By the name of the place.
    ways: [(&'static str, Proxy); 3],
    /// The token in force, and the one before.
    tokens: Vec<String>,
    /// When each fault began, and when it was over.
    troubles: Vec<(Instant, Instant)>,
    current: Arc<Mutex<String>>,
    books: Books,
}

impl Stage {
    /// With a journal that waits for no disk: otherwise the disk is what is at half of what it bears.
    async fn set() -> Self {
        let (smh, redis) = (Smh::start().await, Redis::start().await);
        smh.simulator.keep_received(usize::MAX);
        let (to_smh, to_redis) = (Proxy::to(smh.address), Proxy::to(redis.address()));
        let yaml = format!(
            "{GATEWAY_YAML}audit:\n  file: audit.jsonl\n  durability: buffered\n  rotate: {{ mib: 4 }}\n  compress: true\n\
             rate_limit_store:\n  redis: {{ url: \"redis://{}\" }}\n  when_unavailable: local\n",
            to_redis.address
        );
        let yaml = yaml.replace("  timeout: 3s", &format!("  timeout: {DEADLINE:?}"));
        let folder = Folder::new(&yaml, Some(POLICY), to_smh.address);
        let gateway = Binary::serve(&folder).await;
        let from_callers = Proxy::to(gateway.data[0]);
        Self {
            smh,
            _redis: redis,
            folder,
            gateway,
            ways: [("callers", from_callers), ("SMH", to_smh), ("Redis", to_redis)],
            tokens: Vec::new(),
            troubles: Vec::new(),
            current: Arc::default(),
            books: Books::default(),
        }
    }

    fn door(&self) -> Door {
        let address = self.ways[0].1.address;
        let patience = DEADLINE + Duration::from_secs(3);
        Door { address, patience, simulator: self.smh.simulator.clone() }
    }

    fn edit(&self, file: &str, round: usize, variants: [&str; 2]) {
        let text = std::fs::read_to_string(self.folder.path(file)).unwrap();
        let (from, to) = (variants[round % 2], variants[(round + 1) % 2]);
        assert!(text.contains(from), "{from:?} is not in {text}");
        self.folder.write("edited", &text.replace(from, to));
        std::fs::rename(self.folder.path("edited"), self.folder.path(file)).unwrap();
    }

    /// The one before the last ends: whoever did not follow would have none now.
    fn rotate_token(&mut self, round: usize) {
        let token = format!("acctkendurance{round:06}");
        let spec = TokenSpec::new(LIBRARY).with_grant("delete_file").with_value(&token);
        self.smh.simulator.issue_token(spec);
        self.folder.write("edited", &token);
        std::fs::rename(self.folder.path("edited"), self.folder.path("token")).unwrap();
        self.tokens.push(token);
        if self.tokens.len() > 2 {
            self.smh.simulator.revoke_token(&self.tokens.remove(0));
        }
    }

    async fn trouble(&mut self, round: usize) {
        let (place, way) = &self.ways[round % 3];
        let fault = FAULTS[round / 3 % FAULTS.len()];
        let direction = [Way::There, Way::Back][round / (3 * FAULTS.len()) % 2];
        let name = format!("{fault:?}");
        let name = name.split('(').next().unwrap();
        *self.current.lock() = format!("{name} {direction:?} at {place}");
        let began = Instant::now();
        way.befalls(fault, direction);
        tokio::time::sleep(Duration::from_secs(2)).await;
        way.lift();
        self.troubles.push((began, Instant::now()));
        tokio::time::sleep(RECOVERS_WITHIN).await;
        self.current.lock().clear();
    }

    /// Takes what SMH has received so far, while nobody calls, and empties its recycle bin: the simulated
    /// one becomes slower by what is in there.
    async fn settle(&mut self, load: &Load) {
        let _nobody = load.under_way.write().await;
        let mut before = usize::MAX;
        becomes("SMH is at rest", async || {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let received = self.smh.received();
            let is_done = received.iter().all(|one| one.answered != Answered::Nothing);
            std::mem::replace(&mut before, received.len()) == received.len() && is_done
        })
        .await;
        self.books.smh_received(&self.smh.received());
        let admin = self.smh.simulator.issue_token(TokenSpec::new(LIBRARY).with_grant("admin"));
        let target = format!("/api/v1/recycled/{LIBRARY}/{SPACE}?access_token={admin}");
        let asked = format!("DELETE {target} HTTP/1.1\r\nHost: smh\r\n\r\n");
        assert_eq!(support::send(self.smh.address, asked.as_bytes()).await.status(), 204);
        self.smh.simulator.revoke_token(&admin);
        self.smh.simulator.clear_received();
    }
}

#[expect(clippy::disallowed_methods, reason = "a run is as long as whoever starts it says")]
fn lasts() -> Duration {
    let seconds = std::env::var("SMH_ENDURANCE_SECONDS").unwrap_or_else(|_| "3600".to_owned());
    let lasts = Duration::from_secs(seconds.parse().expect("SMH_ENDURANCE_SECONDS is a number"));
    assert!(lasts >= SHORTEST, "SMH_ENDURANCE_SECONDS is at least {}", SHORTEST.as_secs());
    lasts
}

#[tokio::test]
async fn a_gateway_takes_no_more_after_an_hour_than_when_it_was_warm() {
    let lasts = lasts();
    let mut stage = Stage::set().await;
    let mut told = capacity(&stage).await;
    let capacity = told.len() as f64 / MEASURED.as_secs_f64();

    let load = Load::start("f", &stage.door(), Some(capacity / 2.0));
    let began = Instant::now();
    let samples = Arc::new(Mutex::new(Vec::new()));
    let looking = look(&stage, &load, began, Arc::clone(&samples));
    let mut rounds = 0;
    while began.elapsed() < lasts {
        stage.edit("policy.yaml", rounds, ["100000000/day", "100000001/day"]);
        if rounds.is_multiple_of(2) {
            stage.edit("gateway.yaml", rounds / 2, ["drain: 2s", "drain: 3s"]);
        }
        stage.rotate_token(rounds);
        tokio::time::sleep(Duration::from_secs(4)).await;
        stage.trouble(rounds).await;
        if rounds % 2 == 1 {
            stage.settle(&load).await;
        }
        rounds += 1;
    }
    stage.settle(&load).await;
    told.extend(load.end().await);
    looking.abort();
    let samples = std::mem::take(&mut *samples.lock());
    figures::write(&samples, Path::new("target/endurance.csv"));
    ends_in_order(stage, rounds, &told).await;
    let rate = samples.last().unwrap().deletes as f64 / samples.last().unwrap().seconds;
    println!("capacity {capacity:.0}/s, load {rate:.0}/s, {rounds} faults, {} deletes", told.len());
    stays_flat(&samples);
}

const MEASURED: Duration = Duration::from_secs(10);

/// As many deletes as there can be, on this machine, with callers and SMH on it as well.
async fn capacity(stage: &Stage) -> Vec<Request> {
    let load = Load::start("c", &stage.door(), None);
    tokio::time::sleep(MEASURED).await;
    load.end().await
}

fn look(
    stage: &Stage,
    load: &Load,
    began: Instant,
    samples: Arc<Mutex<Vec<Sample>>>,
) -> tokio::task::JoinHandle<()> {
    let (process, done) = (stage.gateway.id(), Arc::clone(&load.done));
    let current = Arc::clone(&stage.current);
    #[expect(clippy::disallowed_methods, reason = "it is aborted at the end")]
    tokio::spawn(async move {
        loop {
            let (seconds, deletes) = (began.elapsed().as_secs_f64(), done.load(Ordering::Relaxed));
            let sample = Sample::of(process, seconds, deletes, current.lock().clone());
            samples.lock().push(sample);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    })
}

/// The gateway ends, and all books are compared.
async fn ends_in_order(stage: Stage, rounds: usize, told: &[Request]) {
    let Stage { folder, gateway, ways, troubles, mut books, .. } = stage;
    let metrics = support::send(
        gateway.admin.unwrap(),
        b"GET /metrics HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n",
    );
    let metrics = String::from_utf8(metrics.await.body).unwrap();
    let reloads = |result: &str| {
        let name = format!("smh_gateway_config_reloads_total{{result=\"{result}\"}} ");
        let value = metrics.lines().find_map(|line| line.strip_prefix(&name));
        value.map_or(0, |value| value.parse::<usize>().unwrap())
    };
    // Both files of a round may be taken at once, and never later than with the next round.
    assert!(reloads("applied") >= rounds, "{} of {rounds}", reloads("applied"));
    assert_eq!(reloads("rejected"), 0);

    gateway.signal("TERM");
    let ran = gateway.ended().await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    for (_, way) in &ways {
        way.empties().await;
    }
    books.smh_received(&stage.smh.received());
    truth::read(&folder.path("audit.jsonl"), |record| books.journal_says(&record));
    books.agree("endurance", told);

    let was_befallen = |one: &&Request| {
        let ended = one.began + one.took;
        troubles.iter().any(|(from, to)| ended >= *from && one.began <= *to + RECOVERS_WITHIN)
    };
    let (befallen, others): (Vec<_>, Vec<_>) = told.iter().partition(was_befallen);
    println!("while nothing befell them: {:?}", count(&others));
    println!("while something did: {:?}", count(&befallen));
    let fine = |one: &&&Request| matches!(one.told, Told::Relayed(200) | Told::Left);
    let wrong: Vec<_> = others.iter().filter(|one| !fine(one)).take(10).collect();
    assert!(wrong.is_empty(), "not by any fault: {wrong:?}");
}

fn count(requests: &[&Request]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for one in requests {
        *counts.entry(one.told.short()).or_default() += 1;
    }
    counts
}

fn stays_flat(samples: &[Sample]) {
    // A fault has its connections for as long as it lasts.
    let quiet = samples.iter().filter(|one| one.seconds > WARM_UP && one.fault.is_empty());
    let quiet: Vec<&Sample> = quiet.collect();
    let line = |of: fn(&Sample) -> f64| {
        Line::through(&quiet.iter().map(|one| (one.seconds, of(one))).collect::<Vec<_>>())
    };
    let (rss, files) = (line(|one| one.rss_kib), line(|one| one.files));
    println!(
        "memory {:.0} KiB, slope {:+.0} KiB/h; files {:.1}, slope {:+.1}/h; over {:.0} s",
        rss.mean,
        rss.slope * 3600.0,
        files.mean,
        files.slope * 3600.0,
        rss.seconds
    );
    assert!(rss.rise() < MOST_RISE, "memory grows: {rss:?}");
    assert!(files.rise() < MOST_RISE, "files grow: {files:?}");
    assert!(files.more() < MOST_FILES_MORE, "files grow: {files:?}");
}
