//! A folder of the demo's own, for this user alone, that goes when the demo ends.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes a new folder; one that is there already is somebody else's.
    pub(super) fn new() -> io::Result<Self> {
        let name = format!("smh-gateway-demo-{:016x}", rand::random::<u64>());
        let path = std::env::temp_dir().join(name);
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    pub(super) fn write(&self, name: &str, content: &str) -> io::Result<()> {
        fs::write(self.0.join(name), content)
    }

    pub(super) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is in the folder for temporary things.
        let _ = fs::remove_dir_all(&self.0);
    }
}
