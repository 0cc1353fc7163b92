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

/// Every field of gateway.yaml at least once, but those of [`COMING`].
const GATEWAY: &str = include_str!("gateway.yaml");
/// The same of policy.yaml, for that gateway.
const POLICY: &str = include_str!("policy.yaml");
/// The same of test cases.
const CASES: &str = include_str!("cases.yaml");

/// Fields that a schema has already and the decoders do not take yet, as YAML for the end of the
/// file. Whoever makes them work moves the line into the file above, and this list gets shorter.
const COMING: [(Format, &str); 1] = [
    // `smh-gateway test` and `policy_tests` are on their way.
    (Format::Gateway, "policy_tests: [cases.yaml]\n"),
];

fn sample(format: Format) -> &'static str {
    match format {
        Format::Gateway => GATEWAY,
        Format::Policy => POLICY,
        Format::Cases => CASES,
    }
}

/// The sample with what is coming.
fn whole_sample(format: Format) -> Value {
    let coming = COMING.iter().filter(|(of, _)| *of == format).map(|(_, yaml)| *yaml);
    parsed(&format!("{}{}", sample(format), coming.collect::<String>()))
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

/// What the real decoders say of a file. `None` for test cases, whose decoder is coming, too.
fn decoded(format: Format, text: &str) -> Option<(Option<config::Snapshot>, Report)> {
    let (gateway, policy) = match format {
        Format::Gateway => (text, POLICY),
        Format::Policy => (GATEWAY, text),
        Format::Cases => return None,
    };
    let folder = TempDir::new().unwrap();
    let root = rcgen::generate_simple_self_signed(["root".to_owned()]).unwrap();
    for (name, text) in [
        ("gateway.yaml", gateway),
        ("policy.yaml", policy),
        ("roots.pem", &root.cert.pem()),
        // What `policy_tests` names.
        ("cases.yaml", "cases: []\n"),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let loaded = config::load(&folder.path().join("gateway.yaml"));
    Some((loaded.snapshot, loaded.report))
}

/// The messages of a report.
fn messages(report: &Report) -> Vec<String> {
    report.problems().iter().map(|problem| problem.message().to_owned()).collect()
}
