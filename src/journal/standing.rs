//! What is asked about an open file before each write to it.

use std::fs::File;
use std::io;

/// How an open file stands.
pub(super) struct Standing {
    /// Bytes.
    pub(super) length: u64,
    /// No name leads to it any more.
    pub(super) is_deleted: bool,
}

impl Standing {
    /// Not when it was written: whoever asks for that makes Linux (since 6.13) note the next write to the
    /// nanosecond, which the next flush has to write down as well, in another place of the disk.
    #[cfg(target_os = "linux")]
    pub(super) fn of(file: &File) -> io::Result<Self> {
        use rustix::fs::{AtFlags, StatxFlags, statx};

        let asked = StatxFlags::SIZE | StatxFlags::NLINK;
        let about = statx(file, c"", AtFlags::EMPTY_PATH, asked)?;
        Ok(Self { length: about.stx_size, is_deleted: about.stx_nlink == 0 })
    }

    /// There are no such notes elsewhere.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn of(file: &File) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt;

        let about = file.metadata()?;
        Ok(Self { length: about.len(), is_deleted: about.nlink() == 0 })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_is_known_to_grow_to_be_cut_and_to_be_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut file = File::create(&path).unwrap();
        let standing = |file: &File| {
            let Standing { length, is_deleted } = Standing::of(file).unwrap();
            (length, is_deleted)
        };
        assert_eq!(standing(&file), (0, false));
        file.write_all(b"12345").unwrap();
        assert_eq!(standing(&file), (5, false));
        file.set_len(2).unwrap();
        fs::rename(&path, folder.path().join("moved")).unwrap();
        assert_eq!(standing(&file), (2, false));
        fs::remove_file(folder.path().join("moved")).unwrap();
        assert_eq!(standing(&file), (2, true));
    }
}
