use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::*;
use crate::journal::rotated::Keep;
use crate::journal::{Finding, Verifier};

fn open_in(folder: &TempDir) -> (Appender, Recovered) {
    Appender::open(&folder.path().join("a.jsonl")).unwrap()
}

fn write(appender: &mut Appender, records: usize) {
    for number in 0..records {
        appender.add(format!("\"n\":{number}").as_bytes());
    }
    appender.commit(Durability::Sync).unwrap();
}

/// Everything that is wrong with all files together, and how many records there are.
fn verified(folder: &TempDir) -> (Vec<Finding>, u64) {
    let path = folder.path().join("a.jsonl");
    let mut paths: Vec<_> = rotated::all(&path).unwrap().into_iter().map(|one| one.path).collect();
    paths.push(path);
    let (mut verifier, mut found) = (Verifier::default(), Vec::new());
    for path in paths {
        let mut reader = Reader::open(&path).unwrap();
        while let Some(line) = reader.read().unwrap() {
            verifier.line(line, &mut found);
        }
    }
    let records = verifier.end(&mut found).values().map(|chain| chain.records).sum();
    (found, records)
}

#[test]
fn a_journal_goes_on_where_it_ended() {
    let folder = TempDir::new().unwrap();
    let (mut first, recovered) = open_in(&folder);
    assert_eq!(recovered, Recovered::default());
    write(&mut first, 3);
    let head = first.head();
    assert!(matches!(Appender::open(first.path()), Err(OpenError::Locked(_))));
    drop(first);
    let (mut second, recovered) = open_in(&folder);
    assert_eq!(recovered.head, Some(head));
    write(&mut second, 2);
    assert_eq!((second.head().journal, second.head().seq), (head.journal, 5));
    assert_eq!(verified(&folder), (vec![], 5));
}

#[test]
fn a_torn_line_is_put_aside_wherever_it_was_torn() {
    let folder = TempDir::new().unwrap();
    let (mut appender, _) = open_in(&folder);
    write(&mut appender, 3);
    let path = appender.path().to_owned();
    drop(appender);
    let whole = fs::read(&path).unwrap();
    let second_ends = whole.iter().enumerate().filter(|(_, b)| **b == b'\n').nth(1).unwrap().0 + 1;
    for cut in second_ends..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let (mut appender, recovered) = open_in(&folder);
        let torn = whole[second_ends..cut].len() as u64;
        let aside = folder.path().join("a.jsonl.torn");
        assert_eq!(recovered.torn, (torn > 0).then_some((aside.clone(), torn)));
        if torn > 0 {
            let kept = fs::read(&aside).unwrap();
            assert_eq!(kept, [&whole[second_ends..cut], b"\n"].concat());
            fs::remove_file(aside).unwrap();
        }
        write(&mut appender, 1);
        assert_eq!(verified(&folder), (vec![], 3), "cut at {cut}");
    }
}

#[test]
fn what_others_wrote_behind_it_stays_and_the_chain_goes_on() {
    let folder = TempDir::new().unwrap();
    let (mut appender, _) = open_in(&folder);
    write(&mut appender, 2);
    let path = appender.path().to_owned();
    drop(appender);
    let mut content = fs::read(&path).unwrap();
    content.extend_from_slice(&b"hello\n".repeat(20_000));
    fs::write(&path, &content).unwrap();
    let (mut appender, recovered) = open_in(&folder);
    assert_eq!((recovered.torn, recovered.head.map(|head| head.seq)), (None, Some(2)));
    write(&mut appender, 1);
    let (found, records) = verified(&folder);
    assert_eq!((found.len(), records), (20_000, 3));
    assert!(found.iter().all(|finding| *finding == Finding::Foreign));
}

#[test]
fn a_file_without_any_record_begins_a_new_journal_behind_what_is_there() {
    for content in ["hello\n".to_owned(), "x".repeat(100_000) + "\n", "\n\n".to_owned()] {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("a.jsonl"), &content).unwrap();
        let (mut appender, recovered) = open_in(&folder);
        assert!(recovered.no_record && recovered.head.is_none() && recovered.torn.is_none());
        write(&mut appender, 1);
        let there = fs::read_to_string(folder.path().join("a.jsonl")).unwrap();
        assert!(there.starts_with(&content));
        assert_eq!(verified(&folder).1, 1);
    }
}

#[test]
fn what_a_newer_version_wrote_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.jsonl");
    fs::write(&path, "{\"v\":2}\n").unwrap();
    assert!(matches!(Appender::open(&path), Err(OpenError::Newer(_))));
}

#[test]
fn a_full_file_is_moved_away_and_the_chain_goes_on_in_the_next() {
    let folder = TempDir::new().unwrap();
    let (mut appender, _) = open_in(&folder);
    write(&mut appender, 3);
    let full = appender.rotate().unwrap();
    assert_eq!(full, folder.path().join("a.jsonl.000000000001"));
    rotated::compress(&full).unwrap();
    write(&mut appender, 2);
    let second = appender.rotate().unwrap();
    assert_eq!(second, folder.path().join("a.jsonl.000000000004"));
    // Killed before anything was in the third one.
    drop(appender);
    let (mut appender, recovered) = open_in(&folder);
    assert_eq!(recovered.head.map(|head| head.seq), Some(5));
    write(&mut appender, 1);
    assert_eq!(verified(&folder), (vec![], 6));
    let keep = Keep { files: Some(1), age: None };
    let gone = rotated::prune(appender.path(), keep, SystemTime::now()).unwrap();
    assert_eq!(gone, [folder.path().join("a.jsonl.000000000001.gz")]);
    let keep = Keep { files: None, age: Some(Duration::from_secs(60)) };
    assert_eq!(
        rotated::prune(appender.path(), keep, SystemTime::now()).unwrap(),
        [""; 0].map(PathBuf::from)
    );
    let later = SystemTime::now() + Duration::from_secs(61);
    assert_eq!(rotated::prune(appender.path(), keep, later).unwrap(), [second]);
}

#[test]
fn a_file_that_was_moved_away_by_others_is_noticed() {
    let folder = TempDir::new().unwrap();
    let (mut appender, _) = open_in(&folder);
    write(&mut appender, 2);
    assert!(!appender.is_moved());
    fs::rename(appender.path(), folder.path().join("old")).unwrap();
    assert!(appender.is_moved());
    appender.reopen().unwrap();
    assert!(!appender.is_moved());
    write(&mut appender, 1);
    let (found, records) = verified(&folder);
    assert_eq!((found, records), (vec![], 1), "it begins with record 3");
    assert_eq!(appender.head().seq, 3);
}

#[test]
fn a_record_that_cannot_be_written_is_not_there() {
    let folder = TempDir::new().unwrap();
    let (mut appender, _) = open_in(&folder);
    write(&mut appender, 2);
    // /dev/full takes nothing, as a disk that is full.
    let good = std::mem::replace(
        &mut appender.file,
        OpenOptions::new().append(true).open("/dev/full").unwrap(),
    );
    appender.add(b"\"n\":9");
    assert!(appender.commit(Durability::Sync).is_err());
    assert_eq!(appender.head().seq, 2);
    appender.file = good;
    write(&mut appender, 1);
    assert_eq!(verified(&folder), (vec![], 3));
}

#[test]
fn what_is_no_file_is_an_error_and_waits_for_nobody() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("fifo");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(matches!(Appender::open(&path), Err(OpenError::Io(..))));
    assert!(matches!(Appender::open(folder.path()), Err(OpenError::Io(..))));
    // A link to a place where logs are kept is as good as the place.
    symlink(folder.path().join("elsewhere"), folder.path().join("link")).unwrap();
    assert!(Appender::open(&folder.path().join("link")).is_ok());
}
