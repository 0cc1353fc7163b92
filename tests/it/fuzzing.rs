//! The fuzz targets in `fuzz/`, which `./test` runs, are of one piece with the rest.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Name, version and hash of each crate of a lockfile.
fn locked(path: &str) -> BTreeSet<Vec<String>> {
    let kept = ["name = ", "version = ", "checksum = "];
    let text = read(path);
    let packages = text.split("[[package]]").skip(1).map(|package| {
        let lines = package.lines().filter(|line| kept.iter().any(|key| line.starts_with(key)));
        lines.map(str::to_owned).collect()
    });
    packages.collect()
}

/// What is fuzzed is what is shipped, and nothing is built for it that the tests have built already.
#[test]
fn they_are_built_of_the_crates_that_the_gateway_is_built_of() {
    let (ours, fuzzed) = (locked("Cargo.lock"), locked("fuzz/Cargo.lock"));
    let others: Vec<_> = fuzzed.difference(&ours).map(|package| package[0].as_str()).collect();
    let own = ["name = \"arbitrary\"", "name = \"libfuzzer-sys\"", "name = \"smh-gateway-fuzz\""];
    assert_eq!(others, own);
    assert!(fuzzed.len() > 100);
}

#[test]
fn each_has_inputs_to_begin_with_and_they_are_small() {
    let main = read("fuzz/src/main.rs");
    let folders = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")).unwrap();
    let mut named = 0;
    for folder in folders {
        let folder = folder.unwrap();
        let name = folder.file_name().into_string().unwrap();
        assert!(main.contains(&format!("(\"{name}\", ")), "{name} is no target");
        let inputs = fs::read_dir(folder.path()).unwrap();
        let sizes: Vec<u64> =
            inputs.map(|input| input.unwrap().metadata().unwrap().len()).collect();
        assert!(sizes.len() > 1 && sizes.iter().sum::<u64>() < 8_192, "{name}: {sizes:?}");
        named += 1;
    }
    assert_eq!(main.lines().filter(|line| line.starts_with("    (\"")).count(), named);
}
