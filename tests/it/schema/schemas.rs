//! They are schemas that any editor understands, and the command prints them.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value, json};
use smh_gateway::authenticate::jwt::Algorithm;
use smh_gateway::config::schema::Format;
use smh_gateway::refusal::Code;

use super::{schema, validator_of};
use crate::support::binary::run;

/// Every schema within a schema, with its JSON pointer.
fn each<'s>(node: &'s Value, at: &str, seen: &mut dyn FnMut(&str, &'s Map<String, Value>)) {
    let Some(node) = node.as_object() else { return };
    seen(at, node);
    for (keyword, below) in node {
        let at = format!("{at}/{keyword}");
        match keyword.as_str() {
            "properties" | "$defs" => {
                for (name, below) in below.as_object().unwrap() {
                    each(below, &format!("{at}/{name}"), seen);
                }
            }
            "anyOf" | "oneOf" | "allOf" => {
                for (index, below) in below.as_array().unwrap().iter().enumerate() {
                    each(below, &format!("{at}/{index}"), seen);
                }
            }
            "items" | "additionalProperties" | "propertyNames" | "not" | "if" | "then" => {
                each(below, &at, seen);
            }
            _ => {}
        }
    }
}

#[test]
fn each_is_a_valid_schema_in_words_that_older_editors_know_too() {
    // A keyword that an editor does not know is no error there: it just does not check.
    let known = [
        "$schema",
        "$defs",
        "$ref",
        "title",
        "description",
        "default",
        "examples",
        "type",
        "enum",
        "const",
        "properties",
        "additionalProperties",
        "propertyNames",
        "required",
        "items",
        "minProperties",
        "maxProperties",
        "minItems",
        "minLength",
        "maxLength",
        "pattern",
        "minimum",
        "maximum",
        "anyOf",
        "oneOf",
        "allOf",
        "not",
        "if",
        "then",
    ];
    for format in Format::ALL {
        let schema = schema(format);
        jsonschema::draft202012::meta::validate(&schema).unwrap();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        each(&schema, "#", &mut |at, node| {
            for keyword in node.keys() {
                assert!(known.contains(&keyword.as_str()), "{format:?} {at}: {keyword}");
            }
        });
    }
}

#[test]
fn every_field_is_described() {
    let mut fields = 0;
    for format in Format::ALL {
        each(&schema(format), "#", &mut |at, node| {
            // Without it the properties are only conditions on fields that stand elsewhere.
            if node.get("additionalProperties") != Some(&json!(false)) {
                return;
            }
            for (name, field) in node["properties"].as_object().unwrap() {
                let said = field["description"].as_str().unwrap_or_default();
                let is_sentence = said.ends_with(['.', '`', '…', '0']) && said.len() > 10;
                assert!(is_sentence, "{format:?} {at}/properties/{name}: {said:?}");
                fields += 1;
            }
        });
    }
    assert!(fields > 80, "{fields}");
}

#[test]
fn a_map_takes_no_field_that_is_not_named() {
    for format in Format::ALL {
        each(&schema(format), "#", &mut |at, node| {
            if node.get("type").is_some_and(|of| of == "object") {
                assert!(node.contains_key("additionalProperties"), "{format:?} {at}");
            }
        });
    }
}

#[test]
fn every_default_and_example_is_valid_where_it_stands() {
    let mut checked = 0;
    for format in Format::ALL {
        let schema = schema(format);
        each(&schema, "#", &mut |at, node| {
            let examples = node.get("examples").and_then(Value::as_array).into_iter().flatten();
            for value in examples.chain(node.get("default")) {
                let mut alone = Value::Object(node.clone());
                alone["$defs"] = schema["$defs"].clone();
                assert!(validator_of(&alone).is_valid(value), "{format:?} {at}: {value}");
                checked += 1;
            }
        });
    }
    assert!(checked > 60, "{checked}");
}

fn words(node: &Value) -> Vec<&str> {
    node["enum"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

#[test]
fn the_algorithms_are_those_that_are_verified() {
    let gateway = schema(Format::Gateway);
    let known: Vec<_> = Algorithm::ALL.iter().map(|one| one.as_str()).collect();
    assert_eq!(words(&gateway["$defs"]["algorithm"]), known);
}

#[test]
fn the_codes_of_a_case_are_those_that_a_decision_can_have() {
    // Said before a delete is one, or after it was allowed. A new code belongs here or in a case.
    let others = [
        Code::UnknownRoute,
        Code::InvalidRequest,
        Code::BodyNotAllowed,
        Code::MethodNotAllowed,
        Code::HeadersTooLarge,
        Code::RateLimited,
        Code::UpstreamUnreachable,
        Code::UpstreamCredentialRejected,
        Code::UpstreamRedirected,
        Code::UpstreamProtocolError,
        Code::TokenUnavailable,
        Code::IssuerKeysUnavailable,
        Code::Overloaded,
        Code::Draining,
        Code::RateLimitStoreUnavailable,
        Code::AuditUnavailable,
        Code::UpstreamTimeout,
    ];
    let cases = schema(Format::Cases);
    let in_cases = words(&cases["$defs"]["case"]["properties"]["expect"]["properties"]["code"]);
    let decided = Code::ALL.iter().filter(|code| !others.contains(code)).map(|code| code.name());
    assert_eq!(in_cases.into_iter().collect::<BTreeSet<_>>(), decided.collect());
}

#[tokio::test]
async fn the_command_prints_a_schema_and_ends_with_0() {
    for format in Format::ALL {
        let ran = run(Path::new("/"), &["schema", format.name()]).await;
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
        assert_eq!(ran.out, format.schema());
    }
    for wrong in [&["schema"][..], &["schema", "gateway.yaml"], &["schema", "gateway", "policy"]] {
        let ran = run(Path::new("/"), wrong).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{wrong:?}");
    }
}
