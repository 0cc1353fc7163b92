//! What the decoders ask for, and nothing else, is in the schemas.
//!
//! Every map of the samples is one place. There the decoder is fed each field that the schema has
//! and must know it; and all words that stand in the decoders' source, of which it must know no
//! other. So a field that is added to one of the two and not to the other fails here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Map, Value, json};
use smh_gateway::config::schema::Format;

use super::{decoded, messages, parsed, samples, schema};
use crate::examples::{files, root};

/// A map of a sample, and what the schema says of it.
struct Place {
    /// In the sample, as a JSON pointer.
    at: String,
    /// In the schema, as a JSON pointer.
    schema: String,
    fields: BTreeMap<String, Value>,
    /// Those of them that exclude each other with one that stands there.
    excluded: BTreeSet<String>,
}

/// Every map with named fields, in a value that is valid.
fn places(format: Format, value: &Value) -> Vec<Place> {
    let mut places = Vec::new();
    walk(&schema(format), "", value, "", &mut places);
    places
}

fn walk(root: &Value, schema: &str, value: &Value, at: &str, places: &mut Vec<Place>) {
    let Some(node) = root.pointer(schema).and_then(Value::as_object) else { return };
    if let Some(reference) = node.get("$ref").and_then(Value::as_str) {
        walk(root, reference.trim_start_matches('#'), value, at, places);
    }
    for keyword in ["anyOf", "oneOf"] {
        let branches = node.get(keyword).and_then(Value::as_array).map_or(0, Vec::len);
        for index in 0..branches {
            walk(root, &format!("{schema}/{keyword}/{index}"), value, at, places);
        }
    }
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(root, &format!("{schema}/items"), item, &format!("{at}/{index}"), places);
            }
        }
        Value::Object(entries) => {
            // Without this keyword they are only conditions on fields that stand elsewhere.
            let Some(others) = node.get("additionalProperties") else { return };
            let fields = node.get("properties").and_then(Value::as_object).cloned();
            let fields: BTreeMap<_, _> = fields.into_iter().flatten().collect();
            for (name, value) in entries {
                let below = match fields.get(name) {
                    Some(_) => format!("{schema}/properties/{name}"),
                    None => format!("{schema}/additionalProperties"),
                };
                walk(root, &below, value, &format!("{at}/{}", escaped(name)), places);
            }
            if others == &json!(false) {
                let excluded = excluded(node, value);
                places.push(Place {
                    at: at.to_owned(),
                    schema: schema.to_owned(),
                    fields,
                    excluded,
                });
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What the branch of `oneOf` that the value is in forbids.
fn excluded(node: &Map<String, Value>, value: &Value) -> BTreeSet<String> {
    let branches = node.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    let is_in = |branch: &&Value| {
        let required = branch["required"].as_array().into_iter().flatten();
        required.filter_map(Value::as_str).all(|name| value.get(name).is_some())
    };
    let fields = branches.filter(is_in).filter_map(|branch| branch.get("properties")?.as_object());
    fields.flatten().filter(|(_, of)| **of == json!(false)).map(|(name, _)| name.clone()).collect()
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[test]
fn the_samples_have_every_field() {
    for format in Format::ALL {
        let mut missing = BTreeSet::new();
        let (mut seen, mut maps) = (BTreeSet::new(), BTreeSet::new());
        let samples = samples(format);
        let all = samples
            .iter()
            .flat_map(|value| places(format, value).into_iter().map(move |p| (value, p)));
        for (value, place) in all {
            for name in place.fields.keys() {
                let field = format!("{}/properties/{name}", place.schema);
                if value.pointer(&format!("{}/{name}", place.at)).is_some() {
                    seen.insert(field);
                } else {
                    missing.insert(field);
                }
            }
            maps.insert(place.schema);
        }
        let missing: Vec<_> = missing.difference(&seen).collect();
        assert!(missing.is_empty(), "{format:?}: {missing:#?}");
        let closed = format.schema().matches("\"additionalProperties\": false").count();
        assert_eq!(maps.len(), closed, "{format:?}: each kind of map is there: {maps:#?}");
    }
}

/// What stands in quotes in the source of the configuration and can be the name of a field.
fn words_of_the_decoders() -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    for file in files(&root().join("src/config"), "rs") {
        let text = fs::read_to_string(file).unwrap();
        let is_letter = |b: u8| b.is_ascii_lowercase() || b == b'_';
        let is_word = |piece: &&str| {
            piece.bytes().next().is_some_and(is_letter)
                && piece.bytes().all(|b| is_letter(b) || b.is_ascii_digit())
        };
        words.extend(text.split('"').filter(is_word).map(str::to_owned));
    }
    words
}

/// The fields of a place that are not known there, when these are put into it.
fn unknown(format: Format, sample: &Value, at: &str, names: &[&str]) -> BTreeSet<String> {
    let mut fed = sample.clone();
    let place = fed.pointer_mut(at).unwrap().as_object_mut().unwrap();
    for name in names {
        place.entry(*name).or_insert(json!(0));
    }
    // JSON is YAML.
    let (_, report) = decoded(format, &fed.to_string());
    let said = messages(&report);
    let among = |message: &str| {
        names.iter().find(|name| message.starts_with(&format!("unknown field `{name}` in ")))
    };
    said.iter().filter_map(|message| among(message)).map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_field_is_in_the_schema_if_and_only_if_the_decoder_asks_for_it() {
    let words = words_of_the_decoders();
    for known in ["listeners", "grant_reason", "sha256", "bearer_token", "user_ids", "burst"] {
        assert!(words.contains(known), "{known}");
    }
    let mut differences = Vec::new();
    let mut asked = 0;
    for format in Format::ALL {
        let samples = samples(format);
        let all = samples
            .iter()
            .flat_map(|value| places(format, value).into_iter().map(move |p| (value, p)));
        for (value, Place { at, fields, excluded, .. }) in all {
            for name in fields.keys().filter(|name| !excluded.contains(*name)) {
                // One at a time: two that exclude each other would end the search.
                if unknown(format, value, &at, &[name]).contains(name) {
                    differences.push(format!("{format:?} {at}/{name} is not asked for"));
                }
                asked += 1;
            }
            let others: Vec<_> = words
                .iter()
                .map(String::as_str)
                .filter(|word| !fields.contains_key(*word))
                .collect();
            let unknown = unknown(format, value, &at, &others);
            for name in others.iter().filter(|name| !unknown.contains(**name)) {
                differences.push(format!("{format:?} {at}/{name} is not in the schema"));
            }
        }
    }
    assert!(asked > 150, "{asked}");
    assert!(differences.is_empty(), "{differences:#?}");
}

/// Files with as little in them as can be, so that every default applies somewhere.
const LITTLE: [(Format, &str); 4] = [
    (
        Format::Gateway,
        "listeners: [{ address: 127.0.0.1:1 }, { unix: /socket }]\nadmin: {}\nupstream: {}\nlog: {}\n\
         shutdown: {}\nlibraries: { lib: { token: { mint: { library_secret: { file: /secret } } } } }\n\
         tenants: { photos: { library: lib, space: a }, contracts: { library: lib, space: b } }\n\
         callers: { janitor: { jwt: { issuer: i, subject: s }, tenants: [photos] } }\n\
         jwt_issuers: { i: { issuer: i, audience: a, jwks: { file: /jwks.json } } }\n\
         rate_limit_store: { redis: { url: \"redis://store\" } }\n\
         traces: { otlp: { url: \"http://collector:4318\" } }\n\
         audit: { file: /audit.jsonl }\n\
         undo: { token: { mint: { library_secret: { file: /secret } } } }\n",
    ),
    (
        Format::Gateway,
        "listeners: [{ address: 127.0.0.1:1 }]\nlibraries: {}\ntenants: {}\ncallers: {}\n",
    ),
    (
        Format::Policy,
        "rules: [{ name: one, deny: {} }]\nrate_limits: [{ name: one, limit: 1/s }]\n",
    ),
    (Format::Policy, "{}\n"),
];

#[test]
fn a_default_that_is_written_out_changes_nothing() {
    let mut written = BTreeSet::new();
    for (format, little) in LITTLE {
        let plain = parsed(little);
        let mut full = plain.clone();
        for Place { at, schema, fields, excluded } in places(format, &plain) {
            let place = full.pointer_mut(&at).unwrap().as_object_mut().unwrap();
            for (name, field) in fields {
                let Some(default) = field.get("default") else { continue };
                if !excluded.contains(&name) && !place.contains_key(&name) {
                    place.insert(name.clone(), default.clone());
                    written.insert(format!("{format:?} {schema}/properties/{name}"));
                }
            }
        }
        assert_eq!(meaning(format, &plain), meaning(format, &full), "{little}");
    }
    let in_schemas = [Format::Gateway, Format::Policy]
        .map(|format| format.schema().matches("\"default\":").count());
    assert_eq!(written.len(), in_schemas.iter().sum::<usize>(), "{written:#?}");
}

/// Everything that a file says, once it is understood.
fn meaning(format: Format, file: &Value) -> (Value, String) {
    let (snapshot, report) = decoded(format, &file.to_string());
    let snapshot = snapshot.unwrap_or_else(|| panic!("{file}: {:?}", messages(&report)));
    let mut shown = snapshot.redacted();
    if format == Format::Policy {
        return (shown["policy"].take(), String::new());
    }
    shown["sha256"].take();
    (shown, format!("{:?} {:?}", snapshot.log, snapshot.upstream.token_in))
}
