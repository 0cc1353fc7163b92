//! What a chain proves, and what only a head does.

use serde_json::{Value, json};

use super::{Journal, audit, compressed, delete, folder, story};

/// The exit code, and what is said on standard error.
async fn verified(files: &[(&str, &[u8])], heads: &[&str]) -> (Option<i32>, String) {
    let folder = folder(files);
    let mut arguments = vec!["verify"];
    heads.iter().for_each(|head| arguments.extend(["--head", head]));
    arguments.extend(files.iter().map(|(name, _)| *name));
    let ran = audit(folder.path(), &arguments).await;
    let last = ran.out.lines().last().unwrap_or_default();
    assert_eq!(last.starts_with("broken: "), ran.code == Some(1), "{}{}", ran.out, ran.err);
    (ran.code, ran.err)
}

#[tokio::test]
async fn a_whole_journal_is_summed_up_with_its_head() {
    let story = story();
    let folder = folder(&[("journal", &story.text)]);
    let head = story.head.to_string();
    let ran = audit(folder.path(), &["verify", "--head", &head, "journal"]).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let journal = story.head.journal;
    let wanted = format!("journal {journal}: 8 records, 1 to 8\n  head {head}\nwhole\n");
    assert_eq!(ran.out, wanted);
}

#[tokio::test]
async fn a_journal_is_whole_over_its_files_in_any_order_compressed_or_not() {
    let story = story();
    let lines = story.lines();
    let old = compressed(&lines[..3].concat());
    let (mid, new) = (lines[3..5].concat(), lines[5..].concat());
    let files: [(&str, &[u8]); 3] = [("a", &new), ("b.gz", &old), ("c", &mid)];
    assert_eq!(verified(&files, &[]).await, (Some(0), String::new()));
    let (code, said) = verified(&files[..2], &[]).await;
    assert_eq!((code, said.as_str()), (Some(1), "a:1: records 4 to 5 are missing\n"));
}

#[tokio::test]
async fn whatever_was_done_to_a_journal_is_found_with_its_place() {
    let story = story();
    let lines = story.lines();
    let mut swapped = lines.clone();
    swapped.swap(3, 4);
    let dropped = [&lines[..3], &lines[4..]].concat();
    let twice = [&lines[..3], &lines[2..]].concat();
    let added = [&lines[..3], &[b"{\"v\":1}\n"], &lines[3..]].concat();
    let text = String::from_utf8(story.text.clone()).unwrap();
    let changed = text.replace("legal/a.pdf", "legal/b.pdf").into_bytes();
    for (content, said) in [
        (changed, "journal:5: record 5 was changed: its hash does not fit\n"),
        (dropped.concat(), "journal:4: record 4 is missing\n"),
        (twice.concat(), "journal:4: record 3 stands behind record 3: moved, or there twice\n"),
        (added.concat(), "journal:4: this line is no record\n"),
        (
            swapped.concat(),
            "journal:4: record 4 is missing\n\
             journal:5: record 4 stands behind record 5: moved, or there twice\n",
        ),
    ] {
        assert_eq!(verified(&[("journal", &content)], &[]).await, (Some(1), said.to_owned()));
    }
}

#[tokio::test]
async fn a_record_that_was_sealed_anew_does_not_fit_the_next() {
    let bodies =
        |path: &str| [delete(1, "\"path\":\"a\""), delete(2, &format!("\"path\":\"{path}\""))];
    let mut journal = Journal::of(bodies("b"));
    let mut forged = Journal { head: journal.head, text: Vec::new() };
    forged.head.seq = 1;
    forged.add(delete(2, "\"path\":\"forged\""));
    journal.add(delete(3, "\"path\":\"c\""));
    let lines = journal.lines();
    let content = [lines[0], &forged.text, lines[2]].concat();
    let (code, said) = verified(&[("journal", &content)], &[]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("does not follow the one before"), "{said}");
}

#[tokio::test]
async fn what_a_chain_cannot_prove_a_head_does() {
    let story = story();
    let head = story.head.to_string();
    let shorter = story.lines()[..6].concat();
    assert_eq!(verified(&[("journal", &shorter)], &[]).await, (Some(0), String::new()));
    let (code, said) = verified(&[("journal", &shorter)], &[&head]).await;
    assert_eq!(code, Some(1));
    assert!(said.starts_with("--head: journal "), "{said}");
    assert!(
        said.ends_with("ends with record 6: those up to the head, 8, were dropped\n"),
        "{said}"
    );

    let other = Journal::of([delete(1, "\"path\":\"a\"")]);
    let (code, said) = verified(&[("journal", &other.text)], &[&head]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("no record is of journal"), "{said}");
}

#[tokio::test]
async fn a_last_line_that_is_just_being_written_is_noted_and_no_more() {
    let story = story();
    let lines = story.lines();
    let (old, torn) = (lines[..4].concat(), [&lines[4..7].concat(), &lines[7][..40]].concat());
    let (code, said) = verified(&[("old", &old), ("new", &torn)], &[]).await;
    assert_eq!(code, Some(0));
    assert!(said.starts_with("new:4: note: the last line has no end"), "{said}");
    // A file that was just begun.
    let (code, said) =
        verified(&[("old", &lines[..7].concat()), ("new", &lines[7][..9])], &[]).await;
    assert_eq!(code, Some(0), "{said}");
}

#[tokio::test]
async fn a_torn_line_is_wrong_in_an_older_file_and_where_anything_else_is() {
    let story = story();
    let lines = story.lines();
    let torn = [&lines[..4].concat(), &b"{\"v\":1,\"jour"[..]].concat();
    let (code, said) = verified(&[("old", &torn), ("new", &lines[4..].concat())], &[]).await;
    assert_eq!(code, Some(1));
    assert!(said.starts_with("old:5: the last line has no end"), "{said}");
    let dropped = [lines[0], lines[2], &lines[3][..30]].concat();
    let (code, said) = verified(&[("journal", &dropped)], &[]).await;
    assert_eq!((code, said.lines().count()), (Some(1), 2), "{said}");
}

#[tokio::test]
async fn two_gateways_in_one_file_are_two_journals() {
    let (one, other) = (story(), story());
    let mixed: Vec<_> =
        one.lines().into_iter().zip(other.lines()).flat_map(|(a, b)| [a, b]).collect();
    let heads = [one.head.to_string(), other.head.to_string()];
    let content = mixed.concat();
    let files: [(&str, &[u8]); 1] = [("journal", &content)];
    assert_eq!(verified(&files, &[&heads[0], &heads[1]]).await, (Some(0), String::new()));
    // One of the other's is missing.
    let content = [&mixed[..5], &mixed[6..]].concat().concat();
    let (code, said) = verified(&[("journal", &content)], &[]).await;
    assert_eq!((code, said.as_str()), (Some(1), "journal:7: record 3 is missing\n"));
}

#[tokio::test]
async fn of_many_things_that_are_wrong_the_first_are_shown_and_all_are_counted() {
    let content = "no record\n".repeat(5000);
    let folder = folder(&[("x", content.as_bytes())]);
    let ran = audit(folder.path(), &["verify", "x"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), "broken: 5000 things are wrong\n"));
    assert_eq!(ran.err.lines().count(), 101);
    assert!(ran.err.ends_with("x:100: this line is no record\n… and 4900 more\n"), "{}", ran.err);
    let ran = audit(folder.path(), &["verify", "--format", "json", "x"]).await;
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&told["found"], told["findings"].as_array().unwrap().len()), (&json!(5000), 100));
}

#[tokio::test]
async fn programs_get_one_object() {
    let story = story();
    let lines = story.lines();
    let folder = folder(&[("journal", &[lines[0], lines[2], lines[3]].concat())]);
    let ran = audit(folder.path(), &["verify", "--format", "json", "journal", "missing"]).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""));
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    let head = told["journals"][0]["head"].as_str().unwrap();
    assert!(head.starts_with(&format!("{}:4:", story.head.journal)), "{head}");
    let missing = "it cannot be read: No such file or directory (os error 2)";
    assert_eq!(
        told,
        json!({
            "whole": false,
            "found": 2,
            "being_written": [],
            "findings": [
                { "file": "missing", "line": null, "kind": "unreadable", "what": missing },
                { "file": "journal", "line": 2, "kind": "dropped", "what": "record 2 is missing" },
            ],
            "journals": [{
                "journal": story.head.journal.to_string(), "records": 3, "first": 1, "last": 4,
                "head": head,
            }],
        })
    );
}

#[tokio::test]
async fn a_head_that_is_none_is_wrong_usage() {
    let folder = folder(&[("journal", &story().text)]);
    for head in ["x", "0011223344556677:1", "0011223344556677:x:00"] {
        let ran = audit(folder.path(), &["verify", "--head", head, "journal"]).await;
        assert_eq!(ran.code, Some(2), "{head}");
        assert!(ran.err.contains("a head is JOURNAL:SEQ:HASH"), "{}", ran.err);
    }
    assert_eq!(audit(folder.path(), &["verify"]).await.code, Some(2));
}
