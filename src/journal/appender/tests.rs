use std::fs::OpenOptions;
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::*;
use crate::journal::end::MOST_TAIL;
use crate::journal::rotated::Keep;
use crate::journal::{Finding, Reader, Verifier};

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
        // It was never whole.
        fs::remove_file(folder.path().join(".a.jsonl.lock")).unwrap();
        let (mut appender, recovered) = open_in(&folder);
        let torn = whole[second_ends..cut].len() as u64;
        let aside = folder.path().join(".a.jsonl.torn");
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
fn what_is_no_journal_is_left_as_it_is() {
    let long = "x".repeat(MOST_TAIL + 100_000);
    for content in
        ["hello\n", "a secret without an end", "\n\n", "{\"v\":1}\n", "{\"v\":1,\"x", &long]
    {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("a.jsonl");
        fs::write(&path, content).unwrap();
        assert!(matches!(Appender::open(&path), Err(OpenError::NoJournal(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), *content);
        assert!(!folder.path().join(".a.jsonl.torn").exists());
    }
}

#[test]
fn a_first_record_that_is_torn_is_put_aside_as_any_other() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("a.jsonl"), "{\"v\":1,\"journal\":\"01").unwrap();
    let (mut appender, recovered) = open_in(&folder);
    assert!(recovered.torn.is_some() && recovered.head.is_none());
    write(&mut appender, 1);
    assert_eq!(verified(&folder), (vec![], 1));
}

#[test]
fn what_others_gave_such_a_name_is_neither_gone_on_from_nor_deleted() {
    let folder = TempDir::new().unwrap();
    let (mut appender, _) = open_in(&folder);
    write(&mut appender, 2);
    let full = appender.rotate().unwrap();
    let theirs = folder.path().join("a.jsonl.202611251458");
    fs::copy(&full, &theirs).unwrap();
    let keep = Keep { files: Some(1), age: None };
    let gone = rotated::prune(appender.path(), keep, SystemTime::now()).unwrap();
    assert!(gone.is_empty(), "{gone:?}");
    assert!(theirs.exists() && full.exists());
}

#[test]
fn a_file_that_was_deleted_takes_no_more_records() {
    let folder = TempDir::new().unwrap();
    let (mut appender, _) = open_in(&folder);
    write(&mut appender, 1);
    fs::remove_file(appender.path()).unwrap();
    appender.add(b"\"n\":2");
    assert!(appender.commit(Durability::Sync).is_err());
    appender.reopen().unwrap();
    write(&mut appender, 1);
    assert_eq!(verified(&folder).0, [], "it begins with record 2");
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
    appender.length = good.metadata().unwrap().len();
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

#[test]
fn a_journal_whose_file_is_gone_goes_on_where_it_ended_and_says_so() {
    for rotated_before in [false, true] {
        let folder = TempDir::new().unwrap();
        let (mut appender, _) = open_in(&folder);
        write(&mut appender, 2);
        if rotated_before {
            appender.rotate().unwrap();
        }
        write(&mut appender, 3);
        let head = appender.head();
        let path = appender.path().to_owned();
        drop(appender);
        // As logrotate names it.
        fs::rename(&path, folder.path().join("a.jsonl.1")).unwrap();
        let (mut appender, recovered) = open_in(&folder);
        assert_eq!((recovered.missing_to, recovered.head), (Some(head), Some(head)));
        write(&mut appender, 1);
        assert_eq!((appender.head().journal, appender.head().seq), (head.journal, 6));
        let mut all = fs::read(folder.path().join("a.jsonl.1")).unwrap();
        all.extend(fs::read(&path).unwrap());
        fs::write(&path, all).unwrap();
        assert_eq!(verified(&folder).0, [], "with the file that was moved it is whole");
    }
}

#[test]
fn a_link_is_followed_to_the_folder_in_which_full_files_belong() {
    let (folder, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    symlink(elsewhere.path().join("real"), folder.path().join("a.jsonl")).unwrap();
    let (mut appender, _) = open_in(&folder);
    write(&mut appender, 2);
    let full = appender.rotate().unwrap();
    assert_eq!(full, fs::canonicalize(elsewhere.path()).unwrap().join("real.000000000001"));
    write(&mut appender, 1);
    drop(appender);
    let (appender, recovered) = open_in(&folder);
    assert_eq!((recovered.missing_to, appender.head().seq), (None, 3));
    // By its other name it is the same one.
    let other = elsewhere.path().join("real");
    assert!(matches!(Appender::open(&other), Err(OpenError::Locked(_))));
}

#[test]
fn a_name_that_is_taken_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let (mut appender, _) = open_in(&folder);
    write(&mut appender, 1);
    let taken = folder.path().join("a.jsonl.000000000001.gz");
    fs::write(&taken, "another journal's").unwrap();
    let full = appender.rotate().unwrap();
    assert_eq!(full, folder.path().join("a.jsonl.000000000002"));
    assert_eq!(fs::read_to_string(taken).unwrap(), "another journal's");
}

#[test]
fn a_file_that_is_compressed_already_is_only_taken_away() {
    let folder = TempDir::new().unwrap();
    let (mut appender, _) = open_in(&folder);
    write(&mut appender, 3);
    let full = appender.rotate().unwrap();
    let plain = fs::read(&full).unwrap();
    rotated::compress(&full).unwrap();
    // As after a kill between the two.
    fs::write(&full, plain).unwrap();
    rotated::compress(&full).unwrap();
    assert_eq!(rotated::all(appender.path()).unwrap().len(), 1);
    fs::write(&full, "something else\n").unwrap();
    assert!(rotated::compress(&full).is_err());
    assert_eq!(fs::read_to_string(&full).unwrap(), "something else\n");
}

/// What somebody else wrote behind it is not ours to take back.
#[test]
fn a_write_that_fails_takes_back_its_own_bytes_alone() {
    let folder = TempDir::new().unwrap();
    let (mut appender, _) = open_in(&folder);
    write(&mut appender, 1);
    let mut other = OpenOptions::new().append(true).open(appender.path()).unwrap();
    other.write_all(b"# a note\n").unwrap();
    write(&mut appender, 1);
    let length = fs::metadata(appender.path()).unwrap().len();
    assert_eq!(appender.length(), length);
}
