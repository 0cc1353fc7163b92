//! Both files that operators write.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use smh_gateway::config::load;
use smh_gateway::config::report::{Color, Severity};

const GATEWAY: &str = include_str!("../corpus/gateway_yaml/whole");
const POLICY: &str = include_str!("../corpus/policy_yaml/whole");

/// A file is written for each input. `FUZZ_FOLDER` names where, or it is the folder for such files.
#[expect(clippy::disallowed_methods, reason = "the arguments are libFuzzer's")]
pub(crate) static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let named = std::env::var_os("FUZZ_FOLDER");
    let folder = named.map_or_else(std::env::temp_dir, PathBuf::from);
    write(&folder, "gateway.yaml", GATEWAY.as_bytes());
    write(&folder, "policy.yaml", POLICY.as_bytes());
    folder
});

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

pub(crate) fn gateway(bytes: &[u8]) {
    write(&FOLDER, "gateway.yaml", bytes);
    look(bytes);
}

pub(crate) fn policy(bytes: &[u8]) {
    write(&FOLDER, "policy.yaml", bytes);
    look(bytes);
}

/// There is a configuration or an error; each error of a text has a line that there is; and all of it can be shown.
fn look(bytes: &[u8]) {
    let loaded = load(&FOLDER.join("gateway.yaml"));
    assert_eq!(loaded.snapshot.is_none(), loaded.report.has_errors());
    // Of bytes that are no text at all there is only the file to name.
    let is_text =
        str::from_utf8(bytes).is_ok_and(|text| !text.trim().is_empty() && !text.contains('\0'));
    // Of both files, since an error may stand in the one that was not changed.
    let ends = |bytes: &[u8]| bytes.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
    let lines = ends(bytes).max(ends(GATEWAY.as_bytes())).max(ends(POLICY.as_bytes())) + 1;
    for problem in loaded.report.problems() {
        let line = problem.place().map(|place| place.line as usize);
        assert!(line.is_none_or(|line| (1..=lines).contains(&line)), "{line:?} of {lines}");
        if is_text && problem.severity() == Severity::Error {
            assert!(line.is_some(), "no line: {}", problem.message());
        }
    }
    assert_eq!(loaded.report.render(Color::Plain).is_empty(), loaded.report.problems().is_empty());
    let _ = loaded.report.to_json();
}
