//! `docs/threats.md` names only what is there: files, tests, and suites of `.ci/conformance`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

struct Row {
    line: String,
    stops: String,
    shown: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn document() -> String {
    read("docs/threats.md")
}

/// The rows of its tables, numbered without a gap.
fn rows(document: &str) -> Vec<Row> {
    let is_numbered = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    let mut rows = Vec::new();
    for line in document.lines() {
        if !line.strip_prefix("| ").is_some_and(is_numbered) {
            continue;
        }
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let ["", number, attack, stops, shown, ""] = cells[..] else {
            panic!("not four cells: {line}");
        };
        assert_eq!(number, (rows.len() + 1).to_string(), "{line}");
        for cell in [attack, stops, shown] {
            assert!(!cell.is_empty(), "{line}");
        }
        rows.push(Row { line: line.into(), stops: stops.into(), shown: shown.into() });
    }
    assert!(rows.len() > 20, "the twenty of the conformance suite, and our own");
    rows
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn is_path(word: &str) -> bool {
    let begins = ["src/", "tests/", "docs/", "deploy/", "benches/", ".ci/"];
    begins.iter().any(|folder| word.starts_with(folder))
        || ["Cargo.toml", "Cargo.lock", "deny.toml"].contains(&word)
}

fn add_functions(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            add_functions(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let lines = text.lines().map(str::trim_start);
            let declared = lines.filter_map(|line| {
                line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn "))
            });
            names.extend(declared.filter_map(|rest| Some(rest.split_once('(')?.0.to_owned())));
        }
    }
}

/// Those that `.ci/conformance` runs.
fn suites() -> BTreeSet<String> {
    let script = read(".ci/conformance");
    let (_, behind) = script.split_once("for suite in ").unwrap();
    let (names, _) = behind.split_once("; do").unwrap();
    names.split_whitespace().map(str::to_owned).collect()
}

/// `suite NAME`.
fn named_suites(cell: &str) -> impl Iterator<Item = &str> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    cell.split("suite ")
        .skip(1)
        .map(move |rest| rest.split(|c: char| !is_of_name(c)).next().unwrap())
        .filter(|name| !name.is_empty())
}

#[test]
fn every_file_that_stops_an_attack_is_there() {
    let document = document();
    for row in rows(&document) {
        assert!(quoted(&row.stops).any(is_path), "no file: {}", row.line);
    }
    for path in quoted(&document).filter(|word| is_path(word)) {
        assert!(root().join(path).exists(), "{path}");
    }
}

#[test]
fn every_test_that_shows_it_is_there() {
    let (document, mut functions) = (document(), BTreeSet::new());
    for folder in ["src", "tests"] {
        add_functions(&root().join(folder), &mut functions);
    }
    for row in rows(&document) {
        let named: Vec<_> = quoted(&row.shown).collect();
        for name in &named {
            assert!(functions.contains(*name), "{name} is no test: {}", row.line);
        }
        let is_shown = !named.is_empty() || named_suites(&row.shown).next().is_some();
        assert!(is_shown || row.shown.starts_with("none"), "{}", row.line);
    }
}

#[test]
fn every_suite_is_one_that_runs_and_none_is_left_out() {
    let document = document();
    let rows = rows(&document);
    let named: BTreeSet<_> =
        rows.iter().flat_map(|row| named_suites(&row.shown)).map(str::to_owned).collect();
    assert_eq!(named, suites());
}
