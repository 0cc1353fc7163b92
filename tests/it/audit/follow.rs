//! What is written while it looks.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use tempfile::TempDir;

use super::{Journal, audit, compressed, delete, folder, story};
use crate::support::binary::{Binary, command};

fn append(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(bytes).unwrap();
}

fn follow(folder: &TempDir, files: &[&str]) -> Binary {
    let arguments = [&["audit", "list", "-f", "--format", "json"], files].concat();
    Binary::spawn(command(folder.path(), &arguments))
}

/// A journal of deletes of files named by their number.
struct Numbered(Journal, u32);

impl Numbered {
    fn new() -> Self {
        Self(Journal::new(), 0)
    }

    fn next(&mut self) -> Vec<u8> {
        self.1 += 1;
        self.0.text.clear();
        self.0.add(delete(1, &format!("\"path\":\"file-{}\"", self.1)));
        self.0.text.clone()
    }
}

fn paths(out: &str) -> Vec<u32> {
    let number = |line: &str| {
        let (_, from) = line.split_once("file-")?;
        from.split('"').next()?.parse().ok()
    };
    out.lines().filter_map(number).collect()
}

#[tokio::test]
async fn what_is_written_is_shown_when_its_line_ends() {
    let mut journal = Numbered::new();
    let folder = folder(&[("journal", &journal.next())]);
    let path = folder.path().join("journal");
    let mut binary = follow(&folder, &["journal"]);
    binary.prints("file-1").await;
    let line = journal.next();
    append(&path, &line[..30]);
    append(&path, &line[30..]);
    append(&path, b"something else\n");
    append(&path, &journal.next());
    let out = binary.prints("file-3").await;
    assert_eq!(paths(&out), [1, 2, 3]);
    binary.says("passed over, as lines that are no records: 1").await;
    assert!(binary.is_running());
}

#[tokio::test]
async fn it_goes_on_in_the_file_that_takes_the_place_and_misses_nothing_in_between() {
    let mut journal = Numbered::new();
    let folder = folder(&[("journal", &journal.next())]);
    let path = folder.path().join("journal");
    let mut binary = follow(&folder, &["journal"]);
    binary.prints("file-1").await;
    for round in 0..5 {
        let old = folder.path().join(format!("journal.{round}"));
        fs::rename(&path, &old).unwrap();
        append(&old, &journal.next());
        append(&path, &journal.next());
        let last = format!("file-{}\"", journal.1);
        binary.prints(&last).await;
    }
    let out = binary.prints("file-11").await;
    assert_eq!(paths(&out), (1..=11).collect::<Vec<_>>());
}

#[tokio::test]
async fn it_begins_again_in_a_file_that_was_emptied() {
    let mut journal = Numbered::new();
    let folder = folder(&[("journal", &journal.next())]);
    let path = folder.path().join("journal");
    append(&path, &journal.next());
    append(&path, b"{\"v\":1,\"jour");
    let mut binary = follow(&folder, &["journal"]);
    binary.prints("file-2").await;
    fs::write(&path, b"").unwrap();
    binary.says("passed over, as lines without an end").await;
    append(&path, &journal.next());
    let out = binary.prints("file-3").await;
    assert_eq!(paths(&out), [1, 2, 3]);
}

#[tokio::test]
async fn files_before_the_last_are_shown_first_and_whoever_stops_reading_ends_it() {
    let mut journal = Numbered::new();
    let old = compressed(&journal.next());
    let folder = folder(&[("journal.1.gz", &old), ("journal", &journal.next())]);
    let mut binary = follow(&folder, &["journal", "journal.1.gz"]);
    let out = binary.prints("file-2").await;
    assert_eq!(paths(&out), [1, 2]);
    binary.out.close();
    let path = folder.path().join("journal");
    // That the pipe is closed only another record finds out.
    let mut number = 0;
    while binary.is_running() {
        append(&path, &journal.next());
        number += 1;
        assert!(number < 10_000, "it does not end");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let ran = binary.ended().await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn a_file_that_was_just_begun_is_followed_and_not_the_full_one() {
    let mut journal = Numbered::new();
    let folder = folder(&[("journal.1", &journal.next())]);
    let path = folder.path().join("journal");
    let earlier = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    let old = OpenOptions::new().append(true).open(folder.path().join("journal.1")).unwrap();
    old.set_modified(earlier).unwrap();
    append(&path, b"");
    let mut binary = follow(&folder, &["journal.1", "journal"]);
    binary.prints("file-1").await;
    append(&path, &journal.next());
    let out = binary.prints("file-2").await;
    assert_eq!(paths(&out), [1, 2]);
}

#[tokio::test]
async fn what_does_not_grow_cannot_be_followed() {
    let folder = folder(&[("journal.gz", &compressed(&story().text))]);
    let ran = audit(folder.path(), &["list", "-f", "journal.gz"]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("journal.gz: it cannot be read: a compressed file does not grow"));
}
