//! The matrix: each fault of a network, at each place where the gateway has one, while deletes go on.
//! Whatever happens, nobody hangs, nobody is told what is not so, and the journal says what SMH saw.

/// Callers that keep what they were told.
pub(crate) mod callers;
/// What callers, the journal and SMH say of the same deletes.
pub(crate) mod truth;
/// Between caller and gateway, and between gateway and SMH.
mod network;
/// Between gateway and SMH over TLS, and over HTTP/2.
mod tls;
/// Between gateway and Redis.
mod store;

use std::any::Any;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use smh_gateway::simulator::Simulator;

use self::callers::{Callers, Door, Told};
use self::truth::Books;
use crate::support::binary::Binary;
use crate::support::faulty::{Fault, Proxy, Way};
use crate::support::{Folder, GATEWAY_YAML, Smh};

/// Deadlines that are over soon.
const DEADLINE: Duration = Duration::from_millis(1_000);
const CONNECT_DEADLINE: Duration = Duration::from_millis(500);

/// What a machine that does much else may add to a deadline. Who hangs, hangs for longer.
const MARGIN: Duration = Duration::from_secs(10);

/// What the gateway promises: who asks this long after a fault, or sooner, succeeds. It is no measure of
/// speed: what is measured is some hundredth of it.
const RECOVERS_WITHIN: Duration = Duration::from_secs(2);

/// So many cells at once: they mostly wait.
const AT_ONCE: usize = 3;

/// One fault at one place.
#[derive(Clone, Copy)]
struct Cell {
    name: &'static str,
    fault: Fault,
    way: Way,
    /// All that callers may hear while it lasts, as [`Told::short`] says it.
    may_hear: &'static [&'static str],
}

/// What a cell takes place on.
struct Stage {
    folder: Folder,
    gateway: Binary,
    proxy: Proxy,
    door: Door,
    /// Serves as long as this is there.
    _smh: Box<dyn Any>,
}

fn yaml(more: &str) -> String {
    with_deadlines(GATEWAY_YAML, more)
}

/// With a journal that waits for no disk: what others do with the disk is no fault of this matrix.
fn with_deadlines(yaml: &str, more: &str) -> String {
    let deadlines = format!("connect_timeout: {CONNECT_DEADLINE:?}\n  timeout: {DEADLINE:?}");
    let yaml = yaml.replace("connect_timeout: 1s\n  timeout: 3s", &deadlines);
    assert!(yaml.contains(&deadlines));
    format!("{yaml}audit:\n  file: audit.jsonl\n  durability: buffered\n{more}")
}

/// Several cells at once, each on a stage of its own.
async fn each<F: Future<Output = Stage>>(cells: &[Cell], stage: impl Fn() -> F) {
    documented(cells);
    let stage = &stage;
    let play = |cell: Cell| async move { play(cell, stage().await).await };
    futures_util::stream::iter(cells.iter().copied().map(play))
        .buffer_unordered(AT_ONCE)
        .collect::<()>()
        .await;
}

/// docs/faults.md says so, under the name of the place: what may be heard of each fault, by its way.
fn documented(cells: &[Cell]) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/faults.md");
    let text = std::fs::read_to_string(path).unwrap();
    for Cell { name, fault, way, may_hear } in cells {
        let (_, section) = text.split_once(&format!("## Between {name}\n")).expect(name);
        let section = section.split("\n## ").next().unwrap();
        let label = match fault {
            Fault::Delay(_) => "delay",
            Fault::Cut(_) => "cut",
            Fault::Reset => "reset",
            Fault::BlackHole => "black hole",
            Fault::Drip(_) => "slow drip",
            Fault::Corrupt => "corrupt",
            Fault::Flip => "one bit",
        };
        let row = section.lines().find(|line| line.starts_with(&format!("| {label} |")));
        let row: Vec<_> = row.expect(label).split('|').map(str::trim).collect();
        let said = row[if *way == Way::There { 2 } else { 3 }];
        let heard: Vec<_> =
            may_hear.iter().map(|one| format!("`{}`", one.replace(' ', "` `"))).collect();
        assert_eq!(said, heard.join(", "), "{name}: {label} {way:?}");
    }
}

async fn play(cell: Cell, stage: Stage) {
    let Stage { folder, gateway, proxy, door, _smh } = stage;
    let what = format!("{}, {:?} {:?}", cell.name, cell.fault, cell.way);
    let callers = Callers::start(&door);
    callers.each_succeeds().await;

    let began = Instant::now();
    proxy.befalls(cell.fault, cell.way);
    callers.each_ends(2).await;
    let ended = Instant::now();
    proxy.lift();
    recovers(&what, &door, ended).await;
    callers.each_succeeds().await;
    let told = callers.end().await;

    let Door { simulator, .. } = door;
    gateway.signal("TERM");
    let ran = gateway.ended().await;
    assert_eq!(ran.code, Some(0), "{what}: {}", ran.err);
    proxy.empties().await;

    let mut books = Books::default();
    books.smh_received(&simulator.received());
    truth::read(&folder.path("audit.jsonl"), |record| {
        let took = Duration::from_micros(record["duration_us"].as_u64().unwrap_or_default());
        assert!(took < DEADLINE + MARGIN, "{what}: {record}");
        books.journal_says(&record);
    });
    books.agree(&what, &told);
    let longest = told.iter().map(|one| one.took).max().unwrap();
    assert!(longest < DEADLINE + MARGIN, "{what}: a caller waited {longest:?}");
    let hears = |one: &&callers::Request| {
        one.told != Told::Left && one.began >= began && one.began + one.took <= ended
    };
    let heard: BTreeSet<String> = told.iter().filter(hears).map(|one| one.told.short()).collect();
    let may_hear: BTreeSet<String> = cell.may_hear.iter().map(|&one| one.to_owned()).collect();
    assert!(heard.is_subset(&may_hear), "{what}: callers heard {heard:?}");
    assert!(!heard.is_empty(), "{what}: nobody heard anything");
}

/// By callers that come now, and try again.
async fn recovers(what: &str, door: &Door, over: Instant) {
    let (mut number, mut kept) = (0, None);
    loop {
        let done = door.delete(&mut kept, format!("after-{number}")).await;
        if done.told == Told::Relayed(200) {
            return;
        }
        let after = done.began.saturating_duration_since(over);
        assert!(after < RECOVERS_WITHIN, "{what}: {after:?} after the fault, {done:?}");
        number += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A caller that waits for longer than a gateway may take.
fn patient(address: std::net::SocketAddr, simulator: &Simulator) -> Door {
    Door { address, patience: DEADLINE + MARGIN, simulator: simulator.clone() }
}
