//! Every example is valid, and its first line finds the schema.

use std::fs;

use smh_gateway::config::schema::Format;

use super::{CASES, GATEWAY, POLICY, assert_valid, decoded, errors, messages, parsed, sample};
use crate::examples::{files, root};

#[test]
fn every_example_is_valid_and_its_first_line_finds_the_schema() {
    let mut found = 0;
    for file in
        files(&root().join("config"), "yaml").iter().chain(&files(&root().join("deploy"), "yaml"))
    {
        let format = match file.file_name().unwrap().to_str().unwrap() {
            "gateway.yaml" => Format::Gateway,
            "policy.yaml" => Format::Policy,
            "policy-tests.yaml" => Format::Cases,
            // Kubernetes' own.
            _ => continue,
        };
        let at = file.display().to_string();
        let text = fs::read_to_string(file).unwrap();
        assert_valid(format, &text, &at);
        let first = text.lines().next().unwrap();
        let named = first.strip_prefix("# yaml-language-server: $schema=").expect(&at);
        // As the language server does: relative to the file.
        let schema = fs::read_to_string(file.parent().unwrap().join(named)).expect(&at);
        assert_eq!(schema, format.schema(), "{at}");
        let second = text.lines().nth(1).unwrap();
        let command = format!("`smh-gateway schema {0} > {0}.schema.json`", format.name());
        assert!(second.contains(&command), "{at}: {second}");
        found += 1;
    }
    assert!(found >= 10, "{found}");
}

#[test]
fn a_file_with_every_field_is_valid() {
    for format in Format::ALL {
        assert_valid(format, sample(format), format.name());
        let (_, report) = decoded(format, sample(format));
        // What it says beside is not about its form.
        assert!(!report.has_errors(), "{format:?}: {:?}", messages(&report));
    }
    assert!([GATEWAY, POLICY, CASES].iter().all(|text| text.ends_with('\n')));
}

#[test]
fn a_policy_may_have_no_rules_and_must_say_so() {
    let none = "rules: []\n";
    assert_valid(Format::Policy, none, none);
    assert!(decoded(Format::Policy, none).0.is_some());
    for text in ["# nothing yet\n", "null\n", "~\n"] {
        assert!(!errors(Format::Policy, &parsed(text)).is_empty(), "{text}");
        assert!(decoded(Format::Policy, text).0.is_none(), "{text}");
    }
}
