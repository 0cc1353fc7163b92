//! The JSON Schemas: what an editor is told is what the gateway takes.

/// They are schemas that any editor understands, and the command prints them.
mod schemas;
/// Every example is valid, and its first line finds the schema.
mod files;
/// What the gateway refuses, the schemas refuse.
mod wrong;
/// What the decoders ask for, and nothing else, is in the schemas.
mod drift;

use std::fs;

use jsonschema::{Draft, Validator};
use serde_json::Value;
use smh_gateway::config;
use smh_gateway::config::report::Report;
use smh_gateway::config::schema::Format;
use tempfile::TempDir;

/// Every field of gateway.yaml at least once.
const GATEWAY: &str = include_str!("gateway.yaml");
/// The same of policy.yaml, for that gateway.
const POLICY: &str = include_str!("policy.yaml");
/// The same of test cases.
const CASES: &str = include_str!("cases.yaml");

/// What the cases are decided by.
const POLICY_OF_CASES: &str = "\
permanent_deletes: by_rule
rules:
  - { name: legal hold, deny: { paths: [\"legal/**\"] } }
  - { name: janitor may purge, allow_permanent: { callers: [janitor], paths: [\"tmp/**\"] } }
";

fn sample(format: Format) -> &'static str {
    match format {
        Format::Gateway => GATEWAY,
        Format::Policy => POLICY,
        Format::Cases => CASES,
    }
}

/// The sample, and what it would be with each of the forms that exclude one of its own.
fn samples(format: Format) -> Vec<Value> {
    const SENTINEL: &str =
        "sentinel: { service: mymaster, urls: [\"rediss://store:26379/1\", \"rediss://[::1]/1\"] }";
    let mut samples = vec![parsed(sample(format))];
    if format == Format::Gateway {
        for other in ["url: redis://store", "cluster: [redis://store]"] {
            assert_eq!(GATEWAY.matches(SENTINEL).count(), 1);
            samples.push(parsed(&GATEWAY.replace(SENTINEL, other)));
        }
        let (rest, _) = GATEWAY.split_once("undo:\n").unwrap();
        let one = "undo: { token: { env: SMH_UNDO_TOKEN }, file: undo.jsonl }\n";
        samples.push(parsed(&format!("{rest}{one}")));
    }
    samples
}

fn parsed(yaml: &str) -> Value {
    // As YAML 1.2 has it, and editors by default: `on` and `off` are texts.
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(yaml, options).unwrap_or_else(|e| panic!("{e}: {yaml}"))
}

fn schema(format: Format) -> Value {
    serde_json::from_str(format.schema()).unwrap()
}

/// Nothing is fetched: the crate is built without the means.
fn validator_of(schema: &Value) -> Validator {
    jsonschema::options().with_draft(Draft::Draft202012).build(schema).unwrap()
}

fn validator(format: Format) -> Validator {
    validator_of(&schema(format))
}

/// What the schema says of a file, by place.
fn errors(format: Format, value: &Value) -> Vec<String> {
    let validator = validator(format);
    let said = validator.iter_errors(value).map(|e| format!("{}: {e}", e.instance_path()));
    said.collect()
}

/// A piece of a document, or a file, that the schema must take.
pub(crate) fn assert_valid(format: Format, yaml: &str, at: &str) {
    let errors = errors(format, &parsed(yaml));
    assert!(errors.is_empty(), "{at}: {errors:#?}");
}

/// What the real decoders say of a file.
fn decoded(format: Format, text: &str) -> (Option<config::Snapshot>, Report) {
    let (gateway, policy, cases) = match format {
        Format::Gateway => (text, POLICY, "cases: []\n"),
        Format::Policy => (GATEWAY, text, "cases: []\n"),
        Format::Cases => (GATEWAY, POLICY_OF_CASES, text),
    };
    let folder = TempDir::new().unwrap();
    let root = rcgen::generate_simple_self_signed(["root".to_owned()]).unwrap();
    for (name, text) in [
        ("gateway.yaml", gateway),
        ("policy.yaml", policy),
        ("roots.pem", &root.cert.pem()),
        ("cases.yaml", cases),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let loaded = config::load(&folder.path().join("gateway.yaml"));
    (loaded.snapshot, loaded.report)
}

/// The messages of a report.
fn messages(report: &Report) -> Vec<String> {
    report.problems().iter().map(|problem| problem.message().to_owned()).collect()
}
