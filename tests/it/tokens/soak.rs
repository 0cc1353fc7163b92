//! Everything at once.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use smh_gateway::simulator::{Answered, Effect, Fault, Injection, Matcher, RouteKind};

use super::*;
use crate::support::Kept;

const DELETERS: usize = 200;
const TROUBLED: Duration = Duration::from_secs(8);
const ROTATIONS: usize = 2;
const MINT_TAKES: Duration = Duration::from_millis(40);

/// What a caller was told of one request, by the `user_id` that it sent with it.
struct Told {
    id: String,
    path: String,
    status: u16,
    outcome: String,
    code: String,
}

/// While tokens are revoked at random, the secret is rotated and the mint fails one time in three.
#[tokio::test]
async fn whatever_happens_to_tokens_no_delete_is_lost_or_doubled() {
    let smh = Smh::start().await;
    let minting = Matcher::route(RouteKind::IssueToken);
    let third = NonZeroU32::new(3).unwrap();
    let fails = Injection::forever(Fault::ServerOverloaded).every_nth(third);
    smh.simulator.inject(fails.when(minting.clone()));
    // So that two of them could overlap.
    let takes = Injection::forever(Fault::Slow(MINT_TAKES)).when(minting);
    smh.simulator.inject(takes.clone());
    let yaml = patient_yaml().replace("space: space2, user_id: forbid", "space: space2");
    let yaml = yaml.replace("tenants: [t1] }", "tenants: [t1, t2] }");
    let gateway = start_with(&yaml, None, smh.address).await;

    let began = std::time::Instant::now();
    let numbers = Arc::new(AtomicUsize::new(0));
    let mut deleters = JoinSet::new();
    for number in 0..DELETERS {
        let (simulator, address) = (smh.simulator.clone(), gateway.address());
        let deleter = Deleter { number, simulator, address, numbers: Arc::clone(&numbers) };
        deleters.spawn(deleter.run(began));
    }
    let mut troubles = JoinSet::new();
    troubles.spawn(revoke_at_random(smh.simulator.clone()));
    troubles.spawn(rotate(smh.simulator.clone(), gateway.folder.path("secret")));
    sleep(TROUBLED).await;
    troubles.shutdown().await;
    smh.simulator.clear_faults();
    // Mints take as long as before, or how far apart they begin would say nothing of overlaps.
    smh.simulator.inject(takes);
    let mut told: Vec<Told> = Vec::new();
    while !deleters.is_empty() {
        // Pairs whose mints failed several times in a row pause: that need not be waited for.
        pass(Duration::from_secs(2)).await;
        sleep(Duration::from_millis(100)).await;
        while let Some(done) = deleters.try_join_next() {
            told.extend(done.unwrap());
        }
    }
    let took = began.elapsed();
    let lines = gateway.stop().await;

    assert_eq!(lines.len(), told.len(), "each request leaves a line");
    let (sent, doubled) = compare_with_record(&smh, &told, &lines);
    let mints = assert_no_mints_overlap(&smh);
    assert_eq!(minted(&smh).len(), 0, "every token that was left is revoked");
    print_figures(&smh, &told, (sent, doubled), &mints, took);
}

#[expect(clippy::print_stdout, reason = "the figures are for the note")]
fn print_figures(
    smh: &Smh,
    told: &[Told],
    (sent, doubled): (usize, usize),
    mints: &[usize; 3],
    took: Duration,
) {
    let with = |code: &str| told.iter().filter(|told| told.code == code).count();
    let deleted = told.iter().filter(|told| told.status == 200).count();
    println!(
        "soak: {DELETERS} callers, {took:.1?}: {deleted} files deleted by {} requests; refused as \
         not sent: {} TokenUnavailable, {} UpstreamCredentialRejected; SMH received {sent} \
         deletes, {doubled} of them second tries; mints: {} good, {} failed, {} proofs of a \
         secret; {} revocations",
        told.len(),
        with("TokenUnavailable"),
        with("UpstreamCredentialRejected"),
        mints[0],
        mints[1],
        mints[2],
        revocations(smh),
    );
}

struct Deleter {
    number: usize,
    simulator: smh_gateway::simulator::Simulator,
    address: SocketAddr,
    numbers: Arc<AtomicUsize>,
}

impl Deleter {
    /// Deletes one file after the other; one that was refused, again until it is gone.
    async fn run(self, began: std::time::Instant) -> Vec<Told> {
        let (tenant, space) = [("t1", SPACE), ("t2", "space2")][self.number % 2];
        let key = [KEY, OTHER_KEY][self.number / 2 % 2];
        let mut connection = Kept::open(self.address).await;
        let mut told = Vec::new();
        for round in 0.. {
            if began.elapsed() > TROUBLED {
                break;
            }
            let path = format!("d{}-{round}", self.number);
            self.simulator.put_file(LIBRARY, space, &path);
            loop {
                let id = format!("u{}", self.numbers.fetch_add(1, Ordering::Relaxed));
                let request = format!(
                    "DELETE /v1/files/{tenant}/{path}?user_id={id} HTTP/1.1\r\nHost: g\r\n\
                     X-Api-Key: {key}\r\n\r\n"
                );
                connection.write(request.as_bytes()).await;
                let answer = connection.answer().await;
                let (status, outcome, code) = (answer.status(), answer.outcome(), answer.code());
                told.push(Told { id, path: path.clone(), status, outcome, code });
                if status == 200 {
                    break;
                }
                let there = self.simulator.files(LIBRARY, space).contains(&path);
                assert!(there, "{path} is gone, but the caller was told {status}");
                assert!(began.elapsed() < Duration::from_secs(20), "{path} is never deleted");
                sleep(Duration::from_millis(50)).await;
            }
        }
        told
    }
}

/// Each fifth of a second a token ends, whichever.
async fn revoke_at_random(simulator: smh_gateway::simulator::Simulator) {
    loop {
        sleep(Duration::from_millis(200)).await;
        let mut live = simulator.live_tokens();
        live.retain(|token| token.value != TOKEN);
        if !live.is_empty() {
            simulator.revoke_token(&live[rand::random_range(0..live.len())].value);
        }
    }
}

async fn rotate(simulator: smh_gateway::simulator::Simulator, file: std::path::PathBuf) {
    for number in 0..ROTATIONS {
        sleep(Duration::from_secs(3)).await;
        let secret = format!("rotated-secret-{number}");
        simulator.set_secret(LIBRARY, &secret);
        std::fs::write(&file, &secret).unwrap();
    }
}

/// What callers were told is what SMH did. Returns how many deletes it got, and how many of them
/// were second tries.
fn compare_with_record(smh: &Smh, told: &[Told], lines: &[serde_json::Value]) -> (usize, usize) {
    let mut sent: HashMap<String, Vec<Received>> = HashMap::new();
    for request in deletes(smh) {
        sent.entry(parameters(&request)["user_id"].clone()).or_default().push(request);
    }
    let attempts = |line: &serde_json::Value| match line.get("attempts") {
        Some(attempts) => attempts.as_u64().unwrap(),
        None => u64::from(line.get("smh_status").is_some()),
    };
    let by_line: HashMap<_, _> =
        lines.iter().map(|line| (line["user_id"].as_str().unwrap(), line)).collect();
    let mut deleted = HashSet::new();
    for Told { id, path, status, outcome, .. } in told {
        let requests = sent.get(id).map(Vec::as_slice).unwrap_or_default();
        assert!(requests.len() <= 2, "{path} was sent {} times for one request", requests.len());
        assert_eq!(
            attempts(by_line[id.as_str()]),
            requests.len() as u64,
            "{}",
            by_line[id.as_str()]
        );
        let effects: Vec<_> = requests.iter().flat_map(|request| &request.effects).collect();
        match status {
            200 => {
                assert!(
                    matches!(effects.as_slice(), [Effect::Recycled { path: gone, .. }] if gone == path),
                    "{path}: {effects:?}"
                );
                assert!(deleted.insert(path), "{path} was deleted twice");
            }
            502 | 503 => {
                assert_eq!((outcome.as_str(), effects.len()), ("not_sent", 0), "{path}");
                assert!(requests.iter().all(|r| r.answered == Answered::Status(403)), "{path}");
            }
            _ => panic!("{path}: {status}"),
        }
    }
    let paths: HashSet<_> = told.iter().map(|told| &told.path).collect();
    assert_eq!(deleted, paths, "every file was deleted in the end");
    let recycled = [SPACE, "space2"].map(|space| smh.simulator.recycled(LIBRARY, space).len());
    assert_eq!(recycled.iter().sum::<usize>(), deleted.len());
    assert!([SPACE, "space2"].iter().all(|space| smh.simulator.files(LIBRARY, space).is_empty()));
    let all: usize = sent.values().map(Vec::len).sum();
    (all, sent.values().filter(|requests| requests.len() == 2).count())
}

/// By when each mint began, and how long those took that did not fail. Returns how many were good,
/// failed, and proofs.
fn assert_no_mints_overlap(smh: &Smh) -> [usize; 3] {
    let mut counts = [0; 3];
    let mut busy: HashMap<(String, String), Duration> = HashMap::new();
    let mut proved = HashSet::from([SECRET.to_owned()]);
    for mint in arrived(smh, RouteKind::IssueToken) {
        let asked = parameters(&mint);
        let good = mint.answered == Answered::Status(200);
        if !proved.contains(&asked["library_secret"]) {
            // A secret is proved beside what goes on with the old one.
            if good {
                proved.insert(asked["library_secret"].clone());
            }
            counts[2] += 1;
            continue;
        }
        counts[usize::from(!good)] += 1;
        let free = busy.entry((asked["user_id"].clone(), asked["space_id"].clone())).or_default();
        assert!(*free <= mint.since_start, "two mints for one pair at once: {asked:?}");
        // An answer that failed by a fault came at once; `WrongLibraryIdOrSecret` was slow too.
        let took = if mint.answered == Answered::Status(503) { Duration::ZERO } else { MINT_TAKES };
        *free = mint.since_start + took;
    }
    counts
}
