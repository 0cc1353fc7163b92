//! Reading the files that a configuration names: whole, bounded, and wiped when it is done with.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use zeroize::Zeroizing;

/// A file of at most `most` bytes. Blocks, so not for a thread that serves.
///
/// # Errors
/// Where it is missing, cannot be read, is too large, or is no regular file: opening a FIFO would
/// wait for somebody to write to it.
pub fn read(path: &Path, most: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = fs::metadata(path)?;
    if !file.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let length = usize::try_from(file.len()).unwrap_or(usize::MAX);
    if length > most {
        return Err(io::Error::other(format!("it is larger than {most} bytes")));
    }
    // The room is there from the start, so that no half-filled buffer is left behind when it grows;
    // one byte more than there should be tells a file that is just being written.
    let room = length + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    let limit = u64::try_from(room).unwrap_or(u64::MAX);
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    if bytes.len() == room {
        return Err(io::Error::other("it is being written"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_or_too_large_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        assert_eq!(read(&path, 3).unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::write(&path, "abc").unwrap();
        assert_eq!(**read(&path, 3).unwrap(), *b"abc");
        assert!(read(&path, 2).unwrap_err().to_string().contains("larger than 2 bytes"));
        assert!(read(folder.path(), 3).unwrap_err().to_string().contains("regular file"));
        // Its length says nothing of what is in it.
        assert!(read(Path::new("/proc/self/stat"), 3).unwrap_err().to_string().contains("written"));
    }
}
