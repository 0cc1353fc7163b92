//! A gateway that is killed at any moment, two hundred times.

use std::collections::{HashMap, HashSet};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::*;
use crate::support::binary::Binary;
use crate::support::{Folder, Smh, becomes, request};

const ROUNDS: u32 = 200;

/// Deletes, one after the other, until nobody answers.
async fn load(address: std::net::SocketAddr, round: u32, caller: u32) {
    let Ok(mut stream) = TcpStream::connect(address).await else { return };
    let mut answer = [0; 4_096];
    for number in 0_u32.. {
        let target = format!("/v1/files/t1/{round}-{caller}-{number}");
        let asked = request(&target, &[]).replace("Connection: close\r\n", "");
        if stream.write_all(asked.as_bytes()).await.is_err() {
            return;
        }
        if !matches!(stream.read(&mut answer).await, Ok(1..)) {
            return;
        }
    }
}

/// The last segment of each path that SMH received, and how often.
fn received(smh: &Smh) -> HashMap<String, usize> {
    let mut received = HashMap::new();
    for target in smh.targets() {
        let path = target.split('?').next().unwrap();
        *received.entry(path.rsplit('/').next().unwrap().to_owned()).or_default() += 1;
    }
    received
}

#[tokio::test]
async fn after_any_kill_the_journal_has_every_delete_that_smh_received_and_none_twice() {
    let smh = Smh::start().await;
    let folder =
        Folder::new(&with_journal("  rotate: { mib: 1 }\n  compress: true\n"), None, smh.address);
    // On a slow machine few are under way when the process is killed: then it is killed more often.
    for round in 0..ROUNDS * 5 {
        if round >= ROUNDS && received(&smh).len() > 1_000 {
            break;
        }
        let binary = Binary::serve(&folder).await;
        let mut callers = JoinSet::new();
        (0..8).for_each(|caller| {
            callers.spawn(load(binary.data[0], round, caller));
        });
        // From before the first answer to some hundred deletes.
        let moment = std::time::Duration::from_micros(u64::from(round * 7_919 % 20_000));
        tokio::time::sleep(moment).await;
        binary.signal("KILL");
        binary.ended().await;
        callers.join_all().await;
    }
    // The last one ends in order, and closes what the others left.
    let binary = Binary::serve(&folder).await;
    binary.signal("TERM");
    binary.ended().await;

    let (path, mut found) = (folder.path("audit.jsonl"), Vec::new());
    let records = looked_at(&path, &mut found);
    assert_eq!(found, [], "over {} full files", all_rotated(&path).unwrap().len());
    assert!(!all_rotated(&path).unwrap().is_empty(), "no kill met a rotation");
    let (intents, deletes) = (of(&records, "intent"), of(&records, "delete"));
    let intended: HashSet<_> = intents.iter().map(|one| one["path"].as_str().unwrap()).collect();
    let received = received(&smh);
    assert!(received.len() > 1_000, "{} deletes", received.len());
    for (path, times) in &received {
        assert!(
            intended.contains(path.as_str()),
            "SMH received {path}, which is not in the journal"
        );
        assert_eq!(*times, 1, "{path}");
    }
    let names = |records: &[&Value]| {
        records.iter().map(|one| one["delete"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (intended, ended) = (names(&intents), names(&deletes));
    let once: HashSet<_> = ended.iter().collect();
    assert_eq!(once.len(), ended.len(), "what became of a delete is reported twice");
    assert!(intended.iter().all(|name| once.contains(name)), "an intent without an outcome");
    let unknown = deletes.iter().filter(|one| one["outcome"] == "unknown").count();
    assert!(unknown > 0, "none was killed in the middle of a delete");
}

#[tokio::test]
async fn what_a_failed_machine_had_not_written_comes_back_with_the_next_start() {
    let smh = Smh::start().await;
    let folder = Folder::new(&with_journal("  durability: sync\n"), None, smh.address);
    let binary = Binary::serve(&folder).await;
    let mut callers = JoinSet::new();
    (0..8).for_each(|caller| {
        callers.spawn(load(binary.data[0], 0, caller));
    });
    becomes("deletes arrive", async || received(&smh).len() > 200).await;
    binary.signal("KILL");
    binary.ended().await;
    callers.join_all().await;
    // Nothing but what was flushed is sure to be there: of a journal this short, the file ahead of it.
    let (path, lock) = (folder.path("audit.jsonl"), folder.path(".audit.jsonl.lock"));
    let journal = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    journal.set_len(journal.metadata().unwrap().len() / 3).unwrap();
    std::fs::remove_file(lock).unwrap();

    let binary = Binary::serve(&folder).await;
    binary.signal("TERM");
    let ended = binary.ended().await;
    assert!(ended.err.contains("put back"), "{}", ended.err);
    let records = records(&path);
    let intended: HashSet<_> =
        of(&records, "intent").iter().map(|one| one["path"].as_str().unwrap().to_owned()).collect();
    for path in received(&smh).keys() {
        assert!(intended.contains(path), "SMH received {path}, which is not in the journal");
    }
    assert_eq!(records.last().unwrap()["event"], "stop");
    assert!(!folder.path(".audit.jsonl.ahead").exists(), "what has ended in order needs none");
}
