//! The status page in a browser: `tests/browser/page.py` drives headless Chromium, with a gateway and a
//! simulated SMH of its own. What it needs is set up by `./test`; where that is missing, it fails.

use std::path::Path;
use std::process::Command;

#[test]
fn the_page_does_in_a_browser_what_it_is_for() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = repository.join("target/browser/bin/python");
    assert!(python.exists(), "{} is missing: `./test` sets it up", python.display());
    let ran = Command::new(python)
        .arg("-B") // It leaves nothing beside the script.
        .arg(repository.join("tests/browser/page.py"))
        .arg(env!("CARGO_BIN_EXE_smh-gateway"))
        .arg(repository.join("target/browser-shots"))
        .output()
        .unwrap();
    let said = [ran.stdout, ran.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(ran.status.success(), "{}", said.concat());
    assert!(said[0].ends_with("the page does what it is for\n"), "{}", said.concat());
}
