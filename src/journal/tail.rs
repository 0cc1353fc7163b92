//! Following a file that is being written, also where another takes its place.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::journal::read::Reader;

/// The file at a path, whichever it is.
pub struct Tail {
    path: PathBuf,
    reader: Reader,
    /// Device and inode.
    file: (u64, u64),
    /// What took its place, and is read once nothing more is in this one.
    next: Option<(Reader, (u64, u64))>,
}

/// What a look at the path found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turned {
    /// The same file.
    Same,
    /// Another one, or it was emptied: it is read from its beginning. Whether the last line of what was
    /// read before has no end.
    Another {
        /// So.
        torn: bool,
    },
}

impl Tail {
    /// Begins at the beginning of the file.
    ///
    /// # Errors
    /// Where it cannot be read, or is compressed: nobody writes on in that.
    pub fn open(path: &Path) -> io::Result<Self> {
        let (reader, file) = open(path)?;
        if reader.is_compressed() {
            return Err(io::Error::other("a compressed file does not grow: it cannot be followed"));
        }
        Ok(Self { path: path.to_owned(), reader, file, next: None })
    }

    /// What is there to read, up to the end of what was written.
    pub fn reader(&mut self) -> &mut Reader {
        &mut self.reader
    }

    /// Looks whether another file is at the path. To be called when all was read.
    ///
    /// # Errors
    /// Where another is there that cannot be read.
    pub fn turn(&mut self) -> io::Result<Turned> {
        if let Some((reader, file)) = self.next.take() {
            let torn = self.reader.is_within_a_line();
            (self.reader, self.file) = (reader, file);
            return Ok(Turned::Another { torn });
        }
        let there = match self.path.metadata() {
            Ok(there) => there,
            // Between two files there is none.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Turned::Same),
            Err(error) => return Err(error),
        };
        let is_another = (there.dev(), there.ino()) != self.file;
        if is_another && there.len() > 0 {
            // The writer may have written to the old one until it opened this one: that is read first.
            self.next = Some(open(&self.path)?);
        } else if !is_another && there.len() < self.reader.bytes() {
            let torn = self.reader.is_within_a_line();
            (self.reader, self.file) = open(&self.path)?;
            return Ok(Turned::Another { torn });
        }
        Ok(Turned::Same)
    }
}

fn open(path: &Path) -> io::Result<(Reader, (u64, u64))> {
    let file = File::open(path)?;
    let there = file.metadata()?;
    if !there.is_file() {
        return Err(io::Error::other("it is no file: it cannot be followed"));
    }
    Ok((Reader::of(path, Box::new(file))?, (there.dev(), there.ino())))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use tempfile::TempDir;

    use super::*;
    use crate::journal::chain::Head;
    use crate::journal::read::Line;

    /// What is new since the last time, and what was found at the path.
    fn news(tail: &mut Tail) -> (Vec<u64>, Turned) {
        let mut seen = Vec::new();
        while let Some(line) = tail.reader().read().unwrap() {
            if let Line::Record(sealed) = line {
                seen.push(sealed.seq);
            }
        }
        (seen, tail.turn().unwrap())
    }

    fn append(path: &Path, bytes: &[u8]) {
        let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(bytes).unwrap();
    }

    fn record(head: &mut Head) -> Vec<u8> {
        let mut line = Vec::new();
        head.seal(b"\"a\":1", &mut line);
        line
    }

    #[test]
    fn what_is_written_is_read_once_also_in_pieces() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("journal");
        let mut head = Head::of_new();
        append(&path, b"");
        let mut tail = Tail::open(&path).unwrap();
        assert_eq!(news(&mut tail), (vec![], Turned::Same));
        append(&path, &record(&mut head));
        assert_eq!(news(&mut tail), (vec![1], Turned::Same));
        let line = record(&mut head);
        append(&path, &line[..20]);
        assert_eq!(news(&mut tail), (vec![], Turned::Same));
        append(&path, &line[20..]);
        assert_eq!(news(&mut tail), (vec![2], Turned::Same));
    }

    #[test]
    fn a_file_that_takes_its_place_is_read_after_the_last_line_of_the_old_one() {
        let folder = TempDir::new().unwrap();
        let (path, old) = (folder.path().join("journal"), folder.path().join("journal.1"));
        let mut head = Head::of_new();
        append(&path, &record(&mut head));
        let mut tail = Tail::open(&path).unwrap();
        assert_eq!(news(&mut tail).0, [1]);
        fs::rename(&path, &old).unwrap();
        assert_eq!(news(&mut tail).0, [0; 0]);
        append(&path, b"");
        append(&old, &record(&mut head));
        assert_eq!(news(&mut tail).0, [2], "an empty one is not in use yet");
        append(&old, &record(&mut head));
        append(&path, &record(&mut head));
        assert_eq!(news(&mut tail), (vec![3], Turned::Same));
        assert_eq!(news(&mut tail), (vec![], Turned::Another { torn: false }));
        assert_eq!(news(&mut tail), (vec![4], Turned::Same));
    }

    #[test]
    fn a_file_that_was_emptied_is_read_from_its_beginning() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("journal");
        let mut head = Head::of_new();
        append(&path, &record(&mut head));
        append(&path, b"{\"v\":1,");
        let mut tail = Tail::open(&path).unwrap();
        assert_eq!(news(&mut tail).0, [1]);
        fs::write(&path, b"").unwrap();
        assert_eq!(news(&mut tail), (vec![], Turned::Another { torn: true }));
        append(&path, &record(&mut head));
        assert_eq!(news(&mut tail), (vec![2], Turned::Same));
    }
}
