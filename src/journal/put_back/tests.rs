use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::journal::{Appender, Durability, Line, OpenError, Reader, Recovered, all_rotated};

const HALF: u64 = 4_096;

fn begun(folder: &TempDir) -> Appender {
    let (mut appender, _) = Appender::open(&folder.path().join("a.jsonl")).unwrap();
    appender.write_ahead_in(HALF).unwrap();
    appender
}

/// One flush for each.
fn write(appender: &mut Appender, records: usize) {
    for number in 0..records {
        appender.add(format!("\"n\":{number}").as_bytes());
        appender.commit(Durability::Sync).unwrap();
    }
}

/// A journal with so many records, whose process and machine then ended.
fn written(folder: &TempDir, records: usize) -> (PathBuf, Head) {
    let mut appender = begun(folder);
    write(&mut appender, records);
    (appender.path().to_owned(), appender.head())
}

fn open(path: &Path) -> Recovered {
    Appender::open(path).unwrap().1
}

/// The numbers of the records of a journal, each of which follows the one before.
fn whole_chain(path: &Path) -> u64 {
    let mut last: Option<Head> = None;
    let mut files: Vec<_> = all_rotated(path).unwrap().into_iter().map(|one| one.path).collect();
    files.push(path.to_owned());
    for file in files {
        let mut reader = Reader::open(&file).unwrap();
        while let Some(line) = reader.read().unwrap() {
            let Line::Record(record) = line else { panic!("{line:?}") };
            assert!(record.holds());
            assert!(last.is_none_or(|last| (last.seq + 1, last.hash) == (record.seq, record.prev)));
            last = Some(record.head());
        }
    }
    last.map_or(0, |last| last.seq)
}

/// So much of the end of the journal is not known to be on disk.
fn not_flushed(path: &Path) -> u64 {
    let ahead = fs::read(ahead::name(path)).unwrap();
    let halves = ahead.chunks(ahead.len() / 2);
    let lines = halves.flat_map(|half| half.split(|&byte| byte == b'\n'));
    let whole = lines.filter(|line| Sealed::parse(line).is_ok());
    whole.map(|line| line.len() as u64 + 1).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_a_machine_did_not_write_any_more_is_put_back(
        records in 1_usize..90,
        lost in 0_u64..=1_000,
        holes in prop::collection::vec((0_u64..1_000, 1_usize..600), 0..3),
    ) {
        let folder = TempDir::new().unwrap();
        let (path, head) = written(&folder, records);
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        let length = file.metadata().unwrap().len();
        let flushed = length - not_flushed(&path).min(length);
        let part = |thousandths: u64| flushed + (length - flushed) * thousandths / 1_000;
        for (at, bytes) in holes {
            // The end that is cut off then takes what is too long with it.
            file.write_all_at(&vec![0; bytes], part(at)).unwrap();
        }
        file.set_len(part(lost)).unwrap();
        // What the lock says was written without being flushed.
        fs::remove_file(folder.path().join(".a.jsonl.lock")).unwrap();

        let recovered = open(&path);
        prop_assert_eq!(recovered.head, Some(head));
        prop_assert_eq!(recovered.missing_to, None);
        prop_assert_eq!(whole_chain(&path), records as u64);
        prop_assert!(!ahead::name(&path).exists());
    }
}

#[test]
fn where_only_the_process_ended_nothing_is_put_back() {
    let folder = TempDir::new().unwrap();
    let (path, head) = written(&folder, 100);
    let recovered = open(&path);
    assert_eq!(recovered, Recovered { head: Some(head), ..Recovered::default() });
    assert_eq!(whole_chain(&path), 100);
}

#[test]
fn what_a_new_file_lost_follows_the_full_one_before_it() {
    let folder = TempDir::new().unwrap();
    let mut appender = begun(&folder);
    write(&mut appender, 30);
    appender.rotate().unwrap();
    write(&mut appender, 10);
    let path = appender.path().to_owned();
    drop(appender);
    OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
    fs::remove_file(folder.path().join(".a.jsonl.lock")).unwrap();
    let put_back = PutBack::Records { records: 10, aside: None };
    assert_eq!(open(&path).put_back, Some(put_back));
    assert_eq!(whole_chain(&path), 40);
}

#[test]
fn the_damaged_end_is_put_aside() {
    let folder = TempDir::new().unwrap();
    let (path, _) = written(&folder, 3);
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    let length = file.metadata().unwrap().len();
    file.write_all_at(b"?", length / 2).unwrap();
    let torn = folder.path().join(".a.jsonl.torn");
    let put_back = PutBack::Records { records: 2, aside: Some((torn.clone(), length / 3 * 2)) };
    assert_eq!(open(&path).put_back, Some(put_back));
    assert_eq!(fs::metadata(torn).unwrap().len(), length / 3 * 2 + 1);
    assert_eq!(whole_chain(&path), 3);
}

#[test]
fn records_that_do_not_follow_are_kept() {
    let folder = TempDir::new().unwrap();
    let (path, _) = written(&folder, 200);
    // More is gone than can be missing, and nothing else says how far it went.
    OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
    fs::remove_file(folder.path().join(".a.jsonl.lock")).unwrap();
    let content = fs::read(ahead::name(&path)).unwrap();
    let Some(PutBack::Kept(kept)) = open(&path).put_back else { panic!("it is not kept") };
    assert_eq!(fs::read(kept).unwrap(), content);
}

#[test]
fn what_was_moved_away_after_a_kill_is_not_put_back_beside_it() {
    for rotated_before in [false, true] {
        let folder = TempDir::new().unwrap();
        let mut appender = begun(&folder);
        write(&mut appender, 5);
        if rotated_before {
            appender.rotate().unwrap();
        }
        write(&mut appender, 4);
        let (path, head) = (appender.path().to_owned(), appender.head());
        drop(appender);
        // As logrotate does, which makes a new file as well.
        fs::rename(&path, folder.path().join("a.jsonl.1")).unwrap();
        fs::write(&path, "").unwrap();
        let recovered = open(&path);
        let is_kept = matches!(recovered.put_back, Some(PutBack::Kept(_)));
        assert_eq!(is_kept, rotated_before, "{recovered:?}");
        assert_eq!((recovered.head, recovered.missing_to), (Some(head), Some(head)));
        assert_eq!(fs::read(&path).unwrap(), b"");
    }
}

#[test]
fn what_is_no_file_ahead_of_a_journal_is_waited_for_by_nobody() {
    let folder = TempDir::new().unwrap();
    let fifo = folder.path().join(".a.jsonl.ahead");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (mut appender, _) = Appender::open(&folder.path().join("a.jsonl")).unwrap();
    fs::create_dir(&fifo).unwrap();
    assert!(appender.write_ahead().is_err());
}

#[test]
fn nothing_is_put_into_what_is_no_journal() {
    let folder = TempDir::new().unwrap();
    let (path, _) = written(&folder, 3);
    fs::write(&path, "another text\n").unwrap();
    assert!(matches!(Appender::open(&path), Err(OpenError::NoJournal(_))));
    assert_eq!(fs::read(&path).unwrap(), b"another text\n");
}

#[test]
fn what_others_took_out_of_a_journal_is_not_put_back() {
    let folder = TempDir::new().unwrap();
    let mut appender = begun(&folder);
    write(&mut appender, 20);
    let path = appender.path().to_owned();
    // As logrotate's copytruncate does.
    OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
    write(&mut appender, 3);
    let head = appender.head();
    drop(appender);
    let recovered = open(&path);
    assert_eq!(recovered, Recovered { head: Some(head), ..Recovered::default() });
    assert_eq!(whole_chain(&path), 23, "from 21 on");
}
