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
use smh_gateway::journal::{Line, Reader, Verifier};

use crate::support::GATEWAY_YAML;

fn with_journal(more: &str) -> String {
    format!("{GATEWAY_YAML}audit:\n  file: audit.jsonl\n{more}")
}

/// Every record of a journal, which is whole.
fn records(path: &Path) -> Vec<Value> {
    let (mut verifier, mut found, mut records) = (Verifier::default(), Vec::new(), Vec::new());
    let schema = serde_json::from_str(smh_gateway::journal::SCHEMA).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let mut reader = Reader::open(path).unwrap();
    while let Some(line) = reader.read().unwrap() {
        if let Line::Record(sealed) = line {
            records.push(serde_json::from_slice(sealed.text()).unwrap());
        }
        verifier.line(line, &mut found);
    }
    verifier.end(&mut found);
    assert_eq!(found, [], "{}", path.display());
    let wrong = records.iter().find(|record| !schema.is_valid(record));
    assert_eq!(wrong, None, "the schema does not take it");
    records
}

fn of<'r>(records: &'r [Value], event: &str) -> Vec<&'r Value> {
    records.iter().filter(|record| record["event"] == event).collect()
}
