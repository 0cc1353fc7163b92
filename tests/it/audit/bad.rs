//! What is no journal, or no whole one. It is told, and is never the end.

use std::fs;

use super::{Journal, audit, compressed, delete, folder, story};

async fn list(files: &[(&str, &[u8])]) -> (Option<i32>, usize, String) {
    let folder = folder(files);
    let names: Vec<_> = files.iter().map(|(name, _)| *name).collect();
    let arguments = [&["list", "--event", "all", "--format", "json"], &names[..]].concat();
    let ran = audit(folder.path(), &arguments).await;
    (ran.code, ran.out.lines().count(), ran.err)
}

const NOT_UNDERSTOOD: &str =
    "smh-gateway: passed over, as records with fields that are not understood: 1\n";

#[tokio::test]
async fn lines_that_are_no_records_are_counted_and_passed_over() {
    let story = story();
    let lines = story.lines();
    let huge = [vec![b'x'; 5 << 20], b"\n".to_vec()].concat();
    for (added, said) in [
        (&b"\n"[..], "smh-gateway: passed over, as lines that are no records: 1\n"),
        (b"\xff\xfe\0\n", "smh-gateway: passed over, as lines that are no records: 1\n"),
        (&huge, "smh-gateway: passed over, as lines that are no records: 1\n"),
        (
            b"{\"v\":2,\"journal\":7}\n",
            "smh-gateway: passed over, as lines of a newer version, for which to use a newer smh-gateway: 1\n",
        ),
    ] {
        let content = [&lines[..3].concat(), added, &lines[3..].concat()].concat();
        assert_eq!(list(&[("journal", &content)]).await, (Some(0), 8, said.to_owned()));
    }
    for body in ["\"time\":1,\"event\":\"delete\"", "\"x\":", "\"event\":\"delete\""] {
        let mut journal = super::story();
        journal.add(body);
        let wanted = (Some(0), 8, NOT_UNDERSTOOD.to_owned());
        assert_eq!(list(&[("journal", &journal.text)]).await, wanted, "{body}");
    }
}

#[tokio::test]
async fn a_line_without_an_end_is_counted_and_no_record() {
    let story = story();
    let content = &story.text[..story.text.len() - 1];
    let said = "smh-gateway: passed over, as lines without an end, whose writer was killed or is just writing: 1\n";
    assert_eq!(list(&[("journal", content)]).await, (Some(0), 7, said.to_owned()));
}

#[tokio::test]
async fn an_empty_file_has_no_records() {
    for format in ["table", "json"] {
        let folder = folder(&[("journal", b""), ("empty.gz", &compressed(b""))]);
        let ran = audit(folder.path(), &["list", "--format", format, "journal", "empty.gz"]).await;
        assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(0), "", ""));
        let ran = audit(folder.path(), &["verify", "journal", "empty.gz"]).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(0), "no records\n"));
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_fails_and_the_others_are_read() {
    let story = story();
    let whole = compressed(&story.text);
    let broken = &whole[..whole.len() / 2];
    let (code, records, said) = list(&[("journal", &story.text), ("broken.gz", broken)]).await;
    assert_eq!(code, Some(1));
    assert!(records >= 8, "{records}");
    assert!(said.starts_with("broken.gz: it cannot be read: "), "{said}");

    let folder = folder(&[("journal", &story.text)]);
    fs::create_dir(folder.path().join("folder")).unwrap();
    for command in ["list", "verify"] {
        let ran = audit(folder.path(), &[command, "missing", "folder", "journal"]).await;
        assert_eq!(ran.code, Some(1));
        assert!(ran.err.contains("missing: it cannot be read: No such file"), "{}", ran.err);
        assert!(ran.err.contains("folder: "), "{}", ran.err);
        assert!(ran.out.lines().count() >= 3, "{}", ran.out);
    }
}

#[tokio::test]
async fn two_gateways_in_one_file_are_listed_together() {
    let (mut one, mut other) = (Journal::new(), Journal::new());
    for minute in 0..10 {
        one.add(delete(minute, "\"path\":\"one\""));
        other.add(delete(minute, "\"path\":\"other\""));
    }
    let mixed: Vec<_> =
        one.lines().into_iter().zip(other.lines()).flat_map(|(a, b)| [a, b]).collect();
    assert_eq!(list(&[("journal", &mixed.concat())]).await, (Some(0), 20, String::new()));
}
