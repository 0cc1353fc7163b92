//! All files of one journal, also those that others have moved, and also while its gateway moves them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::journal::{Line, Reader, in_order};

/// Which file could not be read, and why.
pub type Unreadable = (PathBuf, io::Error);

/// Reads a journal with the files that were moved from it: by its gateway (`audit.jsonl.000000001234`), or by
/// logrotate (`audit.jsonl.1`, `audit.jsonl-20261125`), plain or compressed. Some records may come twice.
/// Returns how many files there are.
///
/// # Errors
/// [`Unreadable`].
pub fn read_journal(path: &Path, heed: &mut dyn FnMut(Line<'_>)) -> Result<usize, Unreadable> {
    // Opened first: if it is moved from now on, it is read twice rather than not at all.
    let current = open(path).map_err(|error| (path.to_owned(), error))?;
    let moved = moved(path).map_err(|error| (path.to_owned(), error))?;
    let mut count = 0;
    for path in moved_in_order(moved)? {
        let fail = |error| (path.clone(), error);
        if let Some(mut reader) = open_moved(&path).map_err(fail)? {
            read(&mut reader, heed).map_err(fail)?;
            count += 1;
        }
    }
    if let Some(mut reader) = current {
        read(&mut reader, heed).map_err(|error| (path.to_owned(), error))?;
        count += 1;
    }
    Ok(count)
}

/// Reads these files, in the order in which they were written.
///
/// # Errors
/// [`Unreadable`], also where one is not there.
pub fn read_files(paths: &[PathBuf], heed: &mut dyn FnMut(Line<'_>)) -> Result<(), Unreadable> {
    for path in in_order(paths)? {
        let fail = |error| (path.clone(), error);
        let mut reader = Reader::open(&path).map_err(fail)?;
        read(&mut reader, heed).map_err(fail)?;
    }
    Ok(())
}

fn read(reader: &mut Reader, heed: &mut dyn FnMut(Line<'_>)) -> io::Result<()> {
    while let Some(line) = reader.read()? {
        heed(line);
    }
    Ok(())
}

/// `None`: it is not there.
fn open(path: &Path) -> io::Result<Option<Reader>> {
    match Reader::open(path) {
        Ok(reader) => Ok(Some(reader)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// One that was listed may be compressed since, or deleted: then its records are missed.
fn open_moved(path: &Path) -> io::Result<Option<Reader>> {
    match open(path)? {
        Some(reader) => Ok(Some(reader)),
        None => open(&compressed(path)),
    }
}

fn compressed(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".gz");
    PathBuf::from(name)
}

/// Of one that is there both ways, the plain one: the other may not be whole yet.
fn moved(path: &Path) -> io::Result<Vec<PathBuf>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(Vec::new()) };
    let entries = match fs::read_dir(folder.unwrap_or(Path::new("."))) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = BTreeMap::new();
    for entry in entries {
        let entry = entry?;
        let file = entry.file_name();
        let Some(rest) = file.to_str().and_then(|file| file.strip_prefix(name)) else { continue };
        let (which, is_plain) = match rest.strip_suffix(".gz") {
            Some(which) => (which, false),
            None => (rest, true),
        };
        let number = which.strip_prefix(['.', '-']);
        let is_number = |text: &str| {
            text.starts_with(|first: char| first.is_ascii_digit())
                && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
        };
        if number.is_some_and(is_number) && (is_plain || !found.contains_key(which)) {
            found.insert(which.to_owned(), entry.path());
        }
    }
    Ok(found.into_values().collect())
}

fn moved_in_order(mut paths: Vec<PathBuf>) -> Result<Vec<PathBuf>, Unreadable> {
    loop {
        match in_order(&paths) {
            Ok(paths) => return Ok(paths),
            Err((gone, error)) if error.kind() == ErrorKind::NotFound => {
                let compressed = compressed(&gone);
                paths.retain(|path| *path != gone);
                if compressed.exists() {
                    paths.push(compressed);
                }
            }
            Err(unreadable) => return Err(unreadable),
        }
    }
}
