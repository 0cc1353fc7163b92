//! Reading journals line by line, in constant memory, whatever is in them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use crate::journal::chain::{NotSealed, Sealed};

/// One file of a journal, plain or compressed.
pub struct Reader {
    path: PathBuf,
    source: Box<dyn BufRead + Send>,
    line: Vec<u8>,
    number: u64,
    bytes: u64,
    is_compressed: bool,
}

/// What stands in one line.
#[derive(Debug, Clone, Copy)]
pub enum Line<'l> {
    /// A record.
    Record(Sealed<'l>),
    /// A record of a version that came later.
    Newer(u64),
    /// No record: another text, or more of it than a record can have.
    Foreign,
    /// The last line, which has no end: its writer was killed, or is just writing it.
    Torn(&'l [u8]),
}

impl Reader {
    /// Opens a file. `-` is standard input.
    ///
    /// # Errors
    /// Where it cannot be opened or read.
    pub fn open(path: &Path) -> io::Result<Self> {
        if path == Path::new("-") {
            return Self::of(path, Box::new(io::stdin()));
        }
        let file = File::open(path)?;
        if file.metadata()?.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        }
        Self::of(path, Box::new(file))
    }

    /// Reads what is open already.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(super) fn of(path: &Path, read: Box<dyn Read + Send>) -> io::Result<Self> {
        let mut source = BufReader::with_capacity(BUFFER, read);
        // RFC 1952, section 2.3.1.
        let is_compressed = source.fill_buf()?.starts_with(&[0x1f, 0x8b]);
        let source: Box<dyn BufRead + Send> = if is_compressed {
            Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(source)))
        } else {
            Box::new(source)
        };
        let (line, path) = (Vec::new(), path.to_owned());
        Ok(Self { path, source, line, number: 0, bytes: 0, is_compressed })
    }

    /// Opens a file, plain ones not at their start but so far from their end. The first line that is read
    /// may then be the rest of one.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open_end(path: &Path, most: u64) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        if length <= most {
            return Self::open(path);
        }
        file.seek(SeekFrom::End(-i64::try_from(most).unwrap_or(i64::MAX)))?;
        let source = Box::new(BufReader::with_capacity(BUFFER, file));
        let (path, line) = (path.to_owned(), Vec::new());
        Ok(Self { path, source, is_compressed: false, line, number: 0, bytes: 0 })
    }

    /// Which file it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which line was read last; the first is 1.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// How many bytes were read, uncompressed.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the file is compressed.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.is_compressed
    }

    /// Whether what was read last is the beginning of a line.
    #[must_use]
    pub(super) fn is_within_a_line(&self) -> bool {
        self.line.last().is_some_and(|&last| last != b'\n')
    }

    /// The next line; `None` at the end. After a torn line more may come, if the file grows.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn read(&mut self) -> io::Result<Option<Line<'_>>> {
        if self.line.last().is_none_or(|&last| last == b'\n') {
            self.line.clear();
            self.number += 1;
        }
        let room = MOST_BYTES.saturating_sub(self.line.len());
        let read = self.source.by_ref().take(room as u64).read_until(b'\n', &mut self.line)?;
        self.bytes += read as u64;
        if self.line.is_empty() {
            self.number -= 1;
            return Ok(None);
        }
        if self.line.len() >= MOST_BYTES && self.line.last() != Some(&b'\n') {
            self.bytes += skip_line(&mut *self.source)?;
            self.line.clear();
            return Ok(Some(Line::Foreign));
        }
        let Some(text) = self.line.strip_suffix(b"\n") else {
            return Ok((read > 0).then_some(Line::Torn(&self.line)));
        };
        Ok(Some(match Sealed::parse(text) {
            Ok(sealed) => Line::Record(sealed),
            Err(NotSealed::Newer(version)) => Line::Newer(version),
            Err(NotSealed::Foreign) => Line::Foreign,
        }))
    }
}

fn skip_line(source: &mut dyn BufRead) -> io::Result<u64> {
    let mut skipped = 0;
    loop {
        let buffer = source.fill_buf()?;
        let (used, ended) = match buffer.iter().position(|&byte| byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        source.consume(used);
        skipped += used as u64;
        if ended {
            return Ok(skipped);
        }
    }
}

/// Puts files into the order in which they were written: by journal, and by their first record.
///
/// # Errors
/// Where one cannot be read, and which.
pub fn in_order(paths: &[PathBuf]) -> Result<Vec<PathBuf>, (PathBuf, io::Error)> {
    let mut keyed = Vec::with_capacity(paths.len());
    for path in paths {
        // What is read of a pipe is gone.
        let first = match path.metadata() {
            Ok(metadata) if metadata.is_file() => {
                first(path).map_err(|error| (path.clone(), error))?
            }
            Ok(_) => None,
            Err(_) if path == Path::new("-") => None,
            Err(error) => return Err((path.clone(), error)),
        };
        keyed.push((first, path.clone()));
    }
    // Stable: what begins with nothing that is known stays where it was put.
    keyed.sort_by_key(|(first, _)| *first);
    Ok(keyed.into_iter().map(|(_, path)| path).collect())
}

/// Which record a file begins with.
pub(super) fn first(path: &Path) -> io::Result<Option<(super::JournalId, u64)>> {
    let mut reader = Reader::open(path)?;
    while let Some(line) = reader.read()? {
        match line {
            Line::Record(sealed) => return Ok(Some((sealed.journal, sealed.seq))),
            Line::Torn(_) => return Ok(None),
            Line::Newer(_) | Line::Foreign => {}
        }
    }
    Ok(None)
}

/// A path and a user id of the longest kind, each byte escaped, have a tenth of this.
const MOST_BYTES: usize = 1 << 20;

const BUFFER: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::chain::Head;

    fn reader(content: &[u8]) -> Reader {
        Reader::of(Path::new("x"), Box::new(io::Cursor::new(content.to_vec()))).unwrap()
    }

    fn told(content: &[u8]) -> Vec<(u64, &'static str)> {
        let mut reader = reader(content);
        let mut told = Vec::new();
        while let Some(line) = reader.read().unwrap() {
            let kind = match line {
                Line::Record(_) => "record",
                Line::Newer(_) => "newer",
                Line::Foreign => "foreign",
                Line::Torn(_) => "torn",
            };
            told.push((reader.number(), kind));
        }
        told
    }

    #[test]
    fn each_line_is_what_it_is() {
        assert_eq!(told(b""), []);
        let mut content = Vec::new();
        let mut head = Head::of_new();
        head.seal(b"\"a\":1", &mut content);
        content.extend_from_slice(b"\nsomething else\n{\"v\":7,\"x\":1}\n");
        content.resize(content.len() + 3 * MOST_BYTES, b'x');
        content.push(b'\n');
        head.seal(b"\"a\":2", &mut content);
        content.extend_from_slice(b"{\"v\":1,\"jour");
        let wanted = [
            (1, "record"),
            (2, "foreign"),
            (3, "foreign"),
            (4, "newer"),
            (5, "foreign"),
            (6, "record"),
            (7, "torn"),
        ];
        assert_eq!(told(&content), wanted);
    }
}
