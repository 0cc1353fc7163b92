//! The journal as operators and auditors have it: what is in it, when it is there, and what happens when it
//! cannot be written or its gateway is killed.

/// What stands in a record.
mod records;
/// A journal that cannot be written.
mod unavailable;
/// A gateway that is killed at any moment.
mod crash;

use std::path::Path;

use serde_json::Value;
use smh_gateway::journal::{Finding, Line, Reader, Verifier, all_rotated};

use crate::support::GATEWAY_YAML;

fn with_journal(more: &str) -> String {
    format!("{GATEWAY_YAML}audit:\n  file: audit.jsonl\n{more}")
}

/// Every record of a journal, which is whole, over all its files; its gateway may be writing it.
fn records(path: &Path) -> Vec<Value> {
    let mut found = Vec::new();
    let records = looked_at(path, &mut found);
    found.retain(|finding| *finding != Finding::Torn);
    assert_eq!(found, [], "{}", path.display());
    records
}

fn looked_at(path: &Path, found: &mut Vec<Finding>) -> Vec<Value> {
    let (mut verifier, mut records) = (Verifier::default(), Vec::new());
    let schema = serde_json::from_str(smh_gateway::journal::SCHEMA).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let full = all_rotated(path).unwrap().into_iter().map(|one| one.path);
    for path in full.chain([path.to_owned()]) {
        let mut reader = Reader::open(&path).unwrap();
        while let Some(line) = reader.read().unwrap() {
            if let Line::Record(sealed) = line {
                records.push(serde_json::from_slice(sealed.text()).unwrap());
            }
            verifier.line(line, found);
        }
    }
    verifier.end(found);
    let wrong = records.iter().find(|record| !schema.is_valid(record));
    assert_eq!(wrong, None, "the schema does not take it");
    records
}

fn of<'r>(records: &'r [Value], event: &str) -> Vec<&'r Value> {
    records.iter().filter(|record| record["event"] == event).collect()
}
