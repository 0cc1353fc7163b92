//! Every example loads.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use smh_gateway::config::Snapshot;
use smh_gateway::config::report::Warning;
use smh_gateway::config::schema::Format;
use tempfile::TempDir;

use crate::schema::assert_valid;
use crate::support::load;

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder with this extension.
pub(crate) fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|is| is == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Loads without an error, and without anything to remark.
pub(crate) fn loaded(path: &Path) -> Snapshot {
    let (snapshot, report) = load(path);
    assert!(report.problems().is_empty(), "{}: {:?}", path.display(), report.problems());
    snapshot
}

#[test]
fn every_example_loads_and_no_file_is_left_over() {
    for (folder, wanted) in [("config", 2), ("deploy", 4)] {
        let mut used = BTreeSet::new();
        let all = files(&root().join(folder), "yaml");
        let named = |name: &'static str| all.iter().filter(move |p| p.file_name().unwrap() == name);
        for path in named("gateway.yaml") {
            let snapshot = loaded(path);
            if folder == "config" {
                assert_eq!(snapshot.policy_tests.len(), 1, "it shows how a policy is tested");
            }
            used.extend(snapshot.policy_file);
            used.extend(snapshot.policy_tests);
            used.insert(path.clone());
        }
        assert_eq!(named("gateway.yaml").count(), wanted, "{folder}");
        let ours = ["gateway.yaml", "policy.yaml", "policy-tests.yaml"].into_iter().flat_map(named);
        let ours: BTreeSet<_> = ours.cloned().collect();
        assert_eq!(used, ours, "every policy and its tests belong to a gateway");
        if folder == "config" {
            assert_eq!(all.len(), used.len(), "{all:?}");
        }
    }
}

/// The blocks of a Markdown file that are marked as YAML, with the line that each begins on.
fn yaml_blocks(text: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let indent = line.len() - line.trim_start().len();
        if !matches!(line.trim(), "```yaml" | "```yml") {
            continue;
        }
        let inside = lines.by_ref().map(|(_, line)| line);
        let inside = inside.take_while(|line| line.trim() != "```");
        let inside = inside.map(|line| format!("{}\n", line.get(indent..).unwrap_or_default()));
        blocks.push((number + 1, inside.collect()));
    }
    blocks
}

/// What a piece of a gateway.yaml in a document leaves out.
const SECTIONS: [(&str, &str); 5] = [
    ("listeners:", "  - address: 127.0.0.1:8080\n"),
    ("libraries:", "  smhxxx: { token: { file: token } }\n"),
    (
        "tenants:",
        "  photos: { library: smhxxx, space: a }\n  invoices: { library: smhxxx, space: b }\n  \
         archive: { library: smhxxx, space: c }\n",
    ),
    ("callers:", "  app: { api_key: { file: key }, tenants: [photos] }\n"),
    ("jwt_issuers:", "  {}\n"),
];

fn has_section(block: &str, name: &str) -> bool {
    block.lines().any(|line| line.starts_with(name))
}

fn completed(block: &str) -> String {
    let missing = SECTIONS.iter().filter(|(name, _)| !has_section(block, name));
    missing.fold(block.to_owned(), |whole, (name, rest)| format!("{whole}{name}\n{rest}"))
}

#[test]
fn every_configuration_in_the_documents_loads() {
    let mut documents = files(&root().join("docs"), "md");
    documents.extend([root().join("deploy/README.md"), root().join("README.md")]);
    let (mut gateways, mut policies, mut cases) = (0, 0, 0);
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        let blocks = yaml_blocks(&text);
        let is_gateway = |block: &str| SECTIONS.iter().any(|(name, _)| has_section(block, name));
        let is_policy = |block: &str| {
            let fields = ["permanent_deletes:", "rules:", "rate_limits:"];
            block.lines().any(|line| fields.iter().any(|field| line.starts_with(field)))
        };
        // A policy names the tenants and callers of the gateway that the same document shows.
        let of_document = blocks.iter().rev().find(|(_, block)| is_gateway(block));
        for (line, block) in &blocks {
            let at = format!("{}:{line}", document.display());
            let folder = TempDir::new().unwrap();
            let path = folder.path().join("gateway.yaml");
            if is_gateway(block) {
                fs::write(folder.path().join("policy.yaml"), "rules: []\n").unwrap();
                fs::write(&path, completed(block)).unwrap();
                assert_valid(Format::Gateway, &completed(block), &at);
                gateways += 1;
            } else if is_policy(block) || has_section(block, "cases:") {
                let central = root().join("config/central");
                let gateway = match of_document {
                    Some((_, gateway)) => completed(gateway),
                    None => fs::read_to_string(central.join("gateway.yaml")).unwrap(),
                };
                let gateway = gateway.lines().filter(|line| !line.starts_with("policy"));
                let gateway: String = gateway.map(|line| format!("{line}\n")).collect();
                let policy = folder.path().join("policy.yaml");
                if is_policy(block) {
                    fs::write(&path, format!("{gateway}policy: policy.yaml\n")).unwrap();
                    fs::write(policy, block).unwrap();
                    assert_valid(Format::Policy, block, &at);
                    policies += 1;
                } else {
                    // Cases are shown of the example.
                    let tests = "policy: policy.yaml\npolicy_tests: [cases.yaml]\n";
                    fs::write(&path, format!("{gateway}{tests}")).unwrap();
                    fs::copy(central.join("policy.yaml"), policy).unwrap();
                    fs::write(folder.path().join("cases.yaml"), block).unwrap();
                    assert_valid(Format::Cases, block, &at);
                    cases += 1;
                }
            } else {
                continue;
            }
            // What is shown is a piece of a file.
            let allowed = [Warning::TenantWithoutCallers];
            let report = smh_gateway::config::load_allowing(&path, &allowed).report;
            let plain = smh_gateway::config::report::Color::Plain;
            assert!(report.problems().is_empty(), "{at}\n{}", report.render(plain));
        }
        if document.ends_with("README.md") && document.parent() == Some(root()) {
            let shown = blocks.iter().filter(|(_, block)| is_gateway(block)).count();
            assert!(shown >= 1, "README.md shows a configuration");
        }
    }
    assert!(gateways >= 7 && policies >= 2 && cases >= 1, "{gateways}, {policies}, {cases}");
}
