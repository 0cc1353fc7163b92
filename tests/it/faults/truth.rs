//! Three records of the same deletes: what callers were told, the journal, and what SMH received.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;
use smh_gateway::journal::{Finding, Line, Reader, Verifier, all_rotated};
use smh_gateway::simulator::{Effect, Received};

use super::callers::{Request, Told};
use crate::support::SPACE;

/// What the journal and SMH know of each file, by its path.
#[derive(Default)]
pub(crate) struct Books(HashMap<String, Known>);

#[derive(Default)]
struct Known {
    received: usize,
    deleted: usize,
    intents: usize,
    ends: Vec<End>,
}

/// What became of a delete, as its record says it.
#[derive(Debug)]
struct End {
    outcome: String,
    status: u64,
    code: String,
    smh_status: Option<u64>,
    attempts: usize,
}

impl Books {
    pub(crate) fn smh_received(&mut self, received: &[Received]) {
        for request in received {
            let one = self.0.entry(path_of(&request.target).to_owned()).or_default();
            one.received += 1;
            let gone = |effect: &&Effect| matches!(effect, Effect::Recycled { .. });
            one.deleted += request.effects.iter().filter(gone).count();
        }
    }

    pub(crate) fn journal_says(&mut self, record: &Value) {
        let Some(path) = record["path"].as_str() else { return };
        let one = self.0.entry(path.to_owned()).or_default();
        if record["event"] == "intent" {
            one.intents += 1;
            return;
        }
        assert_eq!(record["event"], "delete");
        let text = |field: &str| record[field].as_str().unwrap_or_default().to_owned();
        one.ends.push(End {
            outcome: text("outcome"),
            status: record["status"].as_u64().unwrap_or_default(),
            code: text("code"),
            smh_status: record["smh_status"].as_u64(),
            attempts: usize::try_from(record["attempts"].as_u64().unwrap_or(1)).unwrap(),
        });
    }

    /// That both agree, and what callers were told with them.
    pub(crate) fn agree(&self, what: &str, told: &[Request]) {
        for (path, known) in &self.0 {
            known.agrees(&format!("{what}: {path}"));
        }
        for request in told {
            let ends = self.0.get(&request.path).map_or(&[][..], |known| &known.ends[..]);
            agrees(&format!("{what}: {request:?}"), &request.told, ends);
        }
    }
}

impl Known {
    fn agrees(&self, what: &str) {
        let Self { received, deleted, intents, ends } = self;
        let [end] = &ends[..] else { panic!("{what}: each has one end, not {ends:?}") };
        assert!(*intents <= 1, "{what}: {end:?}");
        assert!(*received == 0 || *intents == 1, "{what}: received without an intent, {end:?}");
        assert!(*received <= end.attempts, "{what}: received {received} times, {end:?}");
        assert!(*deleted <= 1, "{what}: a file is deleted once, {end:?}");
        match (end.outcome.as_str(), end.smh_status) {
            ("relayed", Some(200)) => {
                assert!(*received >= 1 && *deleted == 1, "{what}: {received} {deleted}, {end:?}");
            }
            ("relayed", _) => assert_eq!(*deleted, 0, "{what}: {end:?}"),
            ("refused", _) => assert_eq!(*received, 0, "{what}: {end:?}"),
            // Its token may have been rejected.
            ("not_sent", Some(_)) => assert_eq!(*deleted, 0, "{what}: {end:?}"),
            ("not_sent", None) => assert_eq!(*received, 0, "{what}: {end:?}"),
            ("unknown", status) => assert_eq!(status, None, "{what}: {end:?}"),
            _ => panic!("{what}: {end:?}"),
        }
    }
}

fn agrees(what: &str, told: &Told, ends: &[End]) {
    match told {
        Told::Nothing | Told::Left => {}
        // It could not be read, so it has no path.
        Told::Refused { code, outcome, .. } if code == "InvalidRequest" => {
            assert_eq!((outcome.as_str(), ends.len()), ("not_sent", 0), "{what}");
        }
        Told::Relayed(status) => {
            let end = ends.first().expect(what);
            let wanted = ("relayed", Some(u64::from(*status)));
            assert_eq!((end.outcome.as_str(), end.smh_status), wanted, "{what}: {end:?}");
        }
        Told::Refused { status, code, outcome } => {
            let end = ends.first().expect(what);
            let wanted = (u64::from(*status), code);
            assert_eq!((end.status, &end.code), wanted, "{what}: {end:?}");
            let agrees = match outcome.as_str() {
                "not_sent" => ["refused", "not_sent"].contains(&end.outcome.as_str()),
                outcome => outcome == "unknown" && end.outcome == outcome,
            };
            assert!(agrees, "{what}: {end:?}");
        }
    }
}

/// What stands behind the space.
fn path_of(target: &str) -> &str {
    let path = target.split('?').next().unwrap();
    path.split_once(&format!("/{SPACE}/")).expect("a delete in the space").1
}

/// Reads every record of a journal whose gateway has ended, over all its files, which are whole.
pub(crate) fn read(path: &Path, mut read: impl FnMut(Value)) {
    let (mut verifier, mut found) = (Verifier::default(), Vec::new());
    let full = all_rotated(path).unwrap().into_iter().map(|one| one.path);
    for path in full.chain([path.to_owned()]) {
        let mut reader = Reader::open(&path).unwrap();
        while let Some(line) = reader.read().unwrap() {
            if let Line::Record(sealed) = line {
                read(serde_json::from_slice(sealed.text()).unwrap());
            }
            verifier.line(line, &mut found);
        }
    }
    verifier.end(&mut found);
    assert_eq!(found, Vec::<Finding>::new(), "{}", path.display());
}
