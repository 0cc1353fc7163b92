//! The JSON Schema, the reader and the guide have the same fields.

use std::fs;

use jsonschema::Draft;
use serde::Deserialize;
use serde::de::value::Error;
use serde::de::{Deserializer, Visitor};
use serde_json::Value;
use smh_gateway::journal::{Entry, FIELDS, SCHEMA};

use super::{Journal, delete, story};
use crate::examples::root;
use crate::support::binary::run;

fn schema() -> Value {
    serde_json::from_str(SCHEMA).unwrap()
}

#[tokio::test]
async fn the_command_prints_a_valid_schema() {
    let ran = run(std::path::Path::new("/"), &["schema", "audit"]).await;
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(0), SCHEMA, ""));
    jsonschema::draft202012::meta::validate(&schema()).unwrap();
}

#[test]
fn the_schema_and_the_guide_have_just_the_fields_that_are_known() {
    let schema = schema();
    let properties = schema["properties"].as_object().unwrap();
    let mut sorted = FIELDS;
    sorted.sort_unstable();
    assert_eq!(properties.keys().map(String::as_str).collect::<Vec<_>>(), sorted);
    for (name, field) in properties {
        assert!(field["description"].as_str().unwrap().ends_with('.'), "{name}");
    }

    let guide = fs::read_to_string(root().join("docs/audit.md")).unwrap();
    let (_, records) = guide.split_once("## The records").unwrap();
    let records = records.split("\n## ").next().unwrap();
    let first_cells = records.lines().filter(|line| line.starts_with("| `"));
    let first_cells = first_cells.filter_map(|line| line.split('|').nth(1));
    let named: Vec<_> = first_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    assert_eq!(named, FIELDS, "the guide has them in the same order");
}

/// Says which fields a type asks for.
struct Asks<'a>(&'a mut Vec<&'static str>);

impl<'de> Deserializer<'de> for Asks<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(serde::de::Error::custom("no struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        self.0.extend(fields);
        Err(serde::de::Error::custom("that was all"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[test]
fn what_the_reader_asks_for_is_there() {
    let mut asked = Vec::new();
    Entry::deserialize(Asks(&mut asked)).unwrap_err();
    assert!(asked.len() > 20, "{asked:?}");
    let unknown: Vec<_> = asked.iter().filter(|field| !FIELDS.contains(field)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn the_schema_takes_records_and_refuses_what_is_none() {
    let validator = jsonschema::options().with_draft(Draft::Draft202012).build(&schema()).unwrap();
    for line in story().lines() {
        let record: Value = serde_json::from_slice(line).unwrap();
        let errors: Vec<_> = validator.iter_errors(&record).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
    }
    for body in [
        delete(1, "\"outcome\":\"done\""),
        delete(1, "\"permanent\":1"),
        delete(1, "\"shadow_rules\":\"a\""),
        "\"time\":\"2026-11-25\",\"event\":\"delete\"".to_owned(),
        "\"event\":\"delete\"".to_owned(),
    ] {
        let record: Value = serde_json::from_slice(&Journal::of([&body]).text).unwrap();
        assert!(!validator.is_valid(&record), "{body}");
    }
}
