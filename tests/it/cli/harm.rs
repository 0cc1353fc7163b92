//! Files that are no files, and files made to do harm.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::*;
use crate::support::binary::{Binary, Ran, command, limited, run};

#[tokio::test]
async fn text_that_is_not_yaml_says_where_and_shows_no_line() {
    let mut said = String::new();
    for text in [
        &b"listeners:\n\t- a\n"[..],
        b"a: [1, 2\n",
        b"a: \"never closed\n",
        b"a: b: c\n",
        b"---\na: 1\n---\nb: 2\n",
        b"a: *x\n",
        b"a: !secret x\n",
        b"\xff\xfe\n",
        b"a: \xff\n",
        b"a: \x07\n",
        b"- a\n",
    ] {
        said.push_str(&mistakes(text, None).await);
    }
    insta::assert_snapshot!(said, @r#"
    gateway.yaml:2:2: a tab cannot indent a line in YAML
          = help: use spaces
    gateway.yaml:1:4: a `[` or `{` is never closed
    gateway.yaml:1:4: this quote is never closed
    gateway.yaml:1:5: a `:` cannot stand here
          = help: look for wrong indentation or an open bracket, or put the value in quotes
    gateway.yaml:3:1: a second document (`---`) begins here; a file holds one
    gateway.yaml:1:4: anchors and aliases (`&`, `*`) are not supported
          = help: write the value out, or quote it
    gateway.yaml:1:1: gateway.yaml needs `callers`
        1 | a: [redacted] [redacted]
          | ^
    gateway.yaml:1:1: gateway.yaml needs `libraries`
        1 | a: [redacted] [redacted]
          | ^
    gateway.yaml:1:1: gateway.yaml needs `listeners`
        1 | a: [redacted] [redacted]
          | ^
    gateway.yaml:1:1: gateway.yaml needs `tenants`
        1 | a: [redacted] [redacted]
          | ^
    gateway.yaml:1:1: unknown field `a` in gateway.yaml
        1 | a: [redacted] [redacted]
          | ^
          = help: it may have `listeners`, `admin`, `upstream`, `libraries`, `tenants`, `callers`, `workers`, `shutdown`, …
    gateway.yaml:1:12: tags (`!`) are not supported
        1 | a: [redacted] [redacted]
          |               ^^^^^^^^^^ write the value without it
    gateway.yaml: the file is UTF-16 or UTF-32; save it as UTF-8
    gateway.yaml:1:4: the file is not UTF-8 from here on
    gateway.yaml:1:4: a control character, U+0007, stands here
    gateway.yaml:1:1: expected the fields of gateway.yaml, found a list
        1 | - [redacted]
          | ^
    "#);
}

/// Runs `check`, which may use so many seconds of the processor: however many others use it, too, and no more.
async fn check_using(seconds: u32, folder: &Path) -> Ran {
    let check = command(folder, &["check", "--config", "gateway.yaml"]);
    Binary::spawn(limited(&check, &format!("ulimit -t {seconds}"))).ended().await
}

/// Runs `check` where it must end with a message, and soon.
async fn ends_soon(what: &str, folder: &Path) -> String {
    let ran = check_using(10, folder).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{what}: {}", ran.err);
    assert!(ran.err.starts_with("gateway.yaml:"), "{what}: {}", ran.err);
    assert!(ran.err.len() < 4096, "{what}: {} bytes", ran.err.len());
    ran.err.lines().next().unwrap().to_owned()
}

#[tokio::test]
async fn a_file_made_to_do_harm_ends_soon_and_with_a_message() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let of = format!("*a{}, ", level - 1).repeat(9);
        bomb.push_str(&format!("a{level}: &a{level} [{of}]\n"));
    }
    let mut keys: String = (0..120_000).map(|key| format!("key{key}: 1\n")).collect();
    keys.truncate(keys.len() - 1);
    let utf_16: Vec<u8> = GATEWAY.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let marked = [&[0xFF, 0xFE], utf_16.as_slice()].concat();
    for (what, text, wanted) in [
        ("aliases", bomb.into_bytes(), "anchors and aliases"),
        ("flow nesting", b"[".repeat(200_000), "nested more than 16 deep"),
        ("flow maps", b"{a: ".repeat(200_000), "nested more than 16 deep"),
        ("block nesting", b"- ".repeat(200_000), "nested more than 16 deep"),
        ("keys", format!("a: {}\n", "? ".repeat(200_000)).into_bytes(), ""),
        ("large", vec![b' '; (4 << 20) + 1], "the file is larger than 4 MiB"),
        ("10 MiB", vec![b'#'; 10 << 20], "the file is larger than 4 MiB"),
        ("many keys", keys.into_bytes(), "the file holds more than 200000 keys and values"),
        ("one long key", format!("{}: 1\n", "k".repeat(1 << 20)).into_bytes(), ""),
        ("UTF-16", utf_16, "the file is UTF-16 or UTF-32"),
        ("UTF-16 with its mark", marked, "the file is UTF-16 or UTF-32"),
        ("zeros", vec![0; 4096], "the file is UTF-16 or UTF-32"),
    ] {
        let said = ends_soon(what, folder(text, None).path()).await;
        assert!(said.contains(wanted), "{what}: {said}");
    }
}

#[tokio::test]
async fn what_is_no_file_is_an_error_and_is_not_waited_for() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("gateway.yaml");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let said = ends_soon("FIFO", folder.path()).await;
    assert_eq!(said, "gateway.yaml: the file cannot be read: it is not a regular file");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let said = ends_soon("directory", folder.path()).await;
    assert_eq!(said, "gateway.yaml: the file cannot be read: it is not a regular file");
    let yaml = format!("{GATEWAY}upstream: {{ ca_file: roots.pem }}\n");
    fs::remove_dir(&path).unwrap();
    fs::write(&path, yaml).unwrap();
    let roots = folder.path().join("roots.pem");
    assert!(Command::new("mkfifo").arg(&roots).status().unwrap().success());
    let said = ends_soon("FIFO of roots", folder.path()).await;
    assert!(said.starts_with("gateway.yaml:13:22: "), "{said}");
    let ran = run(folder.path(), &["check", "--config", "/dev/zero"]).await;
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.err, "/dev/zero: the file cannot be read: it is not a regular file\n");
}

/// A file from another system: a mark at its beginning, and its ends of lines.
#[tokio::test]
async fn a_byte_order_mark_and_other_ends_of_lines_are_no_mistake() {
    for text in [format!("\u{FEFF}{GATEWAY}"), GATEWAY.replace('\n', "\r\n")] {
        let folder = folder(&text, Some(&POLICY.replace('\n', "\r\n")));
        let ran = check_in(folder.path()).await;
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    }
    let said =
        mistakes(GATEWAY.replace("photos:", "phot\u{7}os:").replace('\n', "\r\n"), None).await;
    assert_eq!(said, "gateway.yaml:7:7: a control character, U+0007, stands here\n");
}

#[tokio::test]
async fn ten_thousand_rules_are_read_and_looked_through() {
    let tenants: String =
        (0..100).map(|t| format!("  t{t}: {{ library: smhxxx, space: s{t} }}\n")).collect();
    let granted: Vec<_> = (0..100).map(|tenant| format!("t{tenant}")).collect();
    let gateway = GATEWAY.replace("callers:\n", &format!("{tenants}callers:\n")).replace(
        "tenants: [photos, invoices]",
        &format!("tenants: [photos, invoices, {}]", granted.join(", ")),
    );
    let mut policy = String::from("rules:\n");
    for rule in 0..10_000 {
        let tenant = rule % 100;
        policy.push_str(&format!(
            "  - {{ name: r{rule}, deny: {{ tenants: [t{tenant}], paths: [\"f{rule}/**\"] }} }}\n"
        ));
    }
    policy.push_str("  - { name: last, deny: { tenants: [t99], paths: [\"f9999/x\"] } }\n");
    let ran = check_using(20, folder(&gateway, Some(&policy)).path()).await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let first = ran.err.lines().next().unwrap();
    assert_eq!(
        first,
        "policy.yaml:10002:13: warning[shadowed-rule]: the rule `r9999` on line 10001 is about all that \
         this is about, and goes before it"
    );
}

/// A write that was cut off must not take every rule away.
#[tokio::test]
async fn an_empty_policy_is_a_mistake_and_so_is_one_of_comments_alone() {
    let wanted = "policy.yaml: the file is empty\n      \
                  = help: a policy that says nothing is written `rules: []`\n";
    for empty in ["", "\n", " \t\r\n\n", "\u{FEFF}", "\u{FEFF}\n"] {
        assert_eq!(mistakes(GATEWAY, Some(empty)).await, wanted, "{empty:?}");
        assert_eq!(mistakes(empty, None).await, "gateway.yaml: the file is empty\n");
    }
    for says_nothing in
        ["# our rules\n", "\u{FEFF}# our rules\n\n", "---\n", "null\n", "~\n", "# rules\n---\n#\n"]
    {
        assert_eq!(mistakes(GATEWAY, Some(says_nothing)).await, wanted, "{says_nothing:?}");
        let ran = check_in(folder(says_nothing, None).path()).await;
        assert_eq!(ran.code, Some(1), "{says_nothing:?}: {}", ran.out);
    }
    for whole in ["rules: []\n", "# none yet\nrules: []\n", "dry_run: false\n"] {
        let ran = check_in(folder(GATEWAY, Some(whole)).path()).await;
        assert_eq!(ran.code, Some(0), "{whole:?}: {}", ran.err);
    }
}

#[tokio::test]
async fn a_policy_made_to_do_harm_ends_soon_too() {
    let glob =
        format!("rules: [{{ name: a, deny: {{ paths: [\"{}\"] }} }}]", "**/a/".repeat(20_000));
    let long = format!("rules: [{{ name: {}, deny: {{}} }}]", "n".repeat(100_000));
    for policy in ["[".repeat(200_000), glob, long] {
        let ran = check_using(10, folder(GATEWAY, Some(&policy)).path()).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{}", ran.err);
        let said = ran.err;
        assert!(!said.contains('\x1b'), "plain through a pipe: {said:?}");
        assert!(said.starts_with("policy.yaml:1:") && said.len() < 4096, "{said}");
    }
}
