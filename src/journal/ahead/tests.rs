use tempfile::TempDir;

use super::*;

const HALF: u64 = 4_096;

fn ahead(folder: &TempDir) -> Ahead {
    Ahead::open(&folder.path().join("a.jsonl"), HALF).unwrap()
}

/// Takes what is written, and cannot be flushed.
fn unflushable() -> File {
    OpenOptions::new().write(true).open("/dev/null").unwrap()
}

#[test]
fn a_half_is_written_over_only_when_the_journal_was_flushed() {
    let folder = TempDir::new().unwrap();
    let mut ahead = ahead(&folder);
    let (record, journal) = (vec![b'x'; 1_000], unflushable());
    // Two halves take four each. The ninth comes in the place of the first.
    for _ in 0..8 {
        ahead.append(&record, &journal).unwrap();
    }
    assert!(ahead.append(&record, &journal).is_err());
    let content = fs::read(folder.path().join(".a.jsonl.ahead")).unwrap();
    assert_eq!(content.iter().filter(|&&byte| byte == b'x').count(), 8_000);
    // What the kernel says of a later flush is about later pages.
    let good = tempfile::tempfile().unwrap();
    assert!(ahead.settle(&good).is_err() && ahead.append(&record, &good).is_err());
    let kept = ahead.keep(7).unwrap().unwrap();
    assert_eq!(kept, folder.path().join(".a.jsonl.ahead.000000000007"));
    assert_eq!(fs::read(kept).unwrap(), content);
}

#[test]
fn what_is_larger_than_a_half_is_flushed_where_it_is() {
    let folder = TempDir::new().unwrap();
    let mut ahead = ahead(&folder);
    let large = vec![b'x'; 5_000];
    ahead.append(&large, &tempfile::tempfile().unwrap()).unwrap();
    assert!(ahead.append(&large, &unflushable()).is_err());
}

#[test]
fn a_file_that_was_deleted_takes_nothing() {
    let folder = TempDir::new().unwrap();
    let mut ahead = ahead(&folder);
    let journal = tempfile::tempfile().unwrap();
    ahead.append(b"x", &journal).unwrap();
    fs::remove_file(folder.path().join(".a.jsonl.ahead")).unwrap();
    assert!(ahead.append(b"x", &journal).unwrap_err().to_string().contains("was deleted"));
    ahead.settle(&journal).unwrap();
    assert_eq!(ahead.keep(1).unwrap(), None);
}

#[test]
fn records_that_could_not_be_written_leave_their_place_to_the_next() {
    let folder = TempDir::new().unwrap();
    let mut ahead = ahead(&folder);
    let journal = tempfile::tempfile().unwrap();
    ahead.append(b"{first}\n", &journal).unwrap();
    // It takes the bytes, and cannot be flushed.
    let good = std::mem::replace(&mut ahead.file, unflushable());
    assert!(ahead.append(b"{second}\n", &journal).is_err());
    ahead.file = good;
    ahead.append(b"{third}\n", &journal).unwrap();
    let content = fs::read(folder.path().join(".a.jsonl.ahead")).unwrap();
    assert!(content.starts_with(b"{first}\n{third}\n\0"));
}
