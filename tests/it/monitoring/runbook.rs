//! docs/runbook.md has an entry for each alert, and each alert says where.

use std::collections::BTreeSet;

use super::{alerts, read};
use crate::examples::root;
use crate::support::binary;

#[test]
fn every_alert_has_its_entry_and_every_entry_its_alert() {
    let runbook = read("docs/runbook.md");
    let entries: Vec<_> = runbook.split("\n## ").skip(1).collect();
    let titles = entries.iter().map(|entry| entry.lines().next().unwrap().to_owned());
    let alerts = alerts();
    let names = alerts.iter().map(|alert| alert["alert"].as_str().unwrap().to_owned());
    let (titles, names): (BTreeSet<_>, BTreeSet<_>) = (titles.collect(), names.collect());
    assert_eq!(titles, names);
    assert_eq!(titles.len(), entries.len(), "each has one");
    for entry in entries {
        for part in ["**What it means.**", "**Look.**", "**Do.**"] {
            assert_eq!(entry.matches(part).count(), 1, "{part} in {entry}");
        }
        assert!(entry.contains("\n    "), "a command to type: {entry}");
    }
    for alert in &alerts {
        let name = alert["alert"].as_str().unwrap();
        let annotations = &alert["annotations"];
        let wanted = format!("docs/runbook.md#{}", name.to_lowercase());
        assert_eq!(annotations["runbook_url"], wanted, "{name}");
        let severity = alert["labels"]["severity"].as_str().unwrap();
        assert!(["critical", "warning"].contains(&severity), "{name}: {severity}");
        for text in ["summary", "description"] {
            assert!(annotations[text].as_str().is_some_and(|text| !text.is_empty()), "{name}");
        }
    }
}

#[tokio::test]
async fn every_command_of_the_runbook_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut commands = 0;
    for line in read("docs/runbook.md").lines() {
        let Some(command) = line.strip_prefix("    smh-gateway ") else { continue };
        let command = command.split(" # ").next().unwrap().replace("$CONFIG", "gateway.yaml");
        // What is quoted has a space in it.
        let pieces = command.split('"').enumerate().map(|(index, piece)| {
            if index % 2 == 1 { piece.replace(' ', "\u{a0}") } else { piece.to_owned() }
        });
        let command: String = pieces.collect();
        let arguments = command.split_ascii_whitespace().map(|word| word.replace('\u{a0}', " "));
        let ran = binary::run(folder.path(), &arguments.collect::<Vec<_>>()).await;
        // There is no such file, which is another matter.
        assert_eq!(ran.code, Some(1), "{line}: {}", ran.err);
        commands += 1;
    }
    assert!(commands > 5, "{commands}");
}

#[test]
fn what_the_documents_of_monitoring_link_to_is_there() {
    for document in ["docs/metrics.md", "docs/runbook.md", "deploy/monitoring/README.md"] {
        let text = read(document);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')) {
            let (target, anchor) = link.0.split_once('#').unwrap_or((link.0, ""));
            if target.starts_with("https://") {
                continue;
            }
            let folder = root().join(document).parent().unwrap().to_owned();
            let path = if target.is_empty() { root().join(document) } else { folder.join(target) };
            let linked = std::fs::read_to_string(&path);
            let linked = linked.unwrap_or_else(|error| panic!("{document} -> {target}: {error}"));
            let is_heading = |line: &&str| line.starts_with('#');
            let anchors: Vec<_> = linked.lines().filter(is_heading).map(anchor_of).collect();
            assert!(
                anchor.is_empty() || anchors.iter().any(|one| one == anchor),
                "{document} -> {target}#{anchor}: {anchors:?}"
            );
        }
    }
}

/// As GitHub and its like make it.
fn anchor_of(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    text.chars().filter(|letter| letter.is_alphanumeric() || "-_".contains(*letter)).collect()
}
