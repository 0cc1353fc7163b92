//! What this process gives up for good before it serves: to run programs, and to write but where it has to.
//!
//! By Landlock, which the kernel holds to, whatever becomes of this process. What it may read is left as it is: an edit of the
//! configuration may name files in other folders. Sockets too: an edit may name other hosts.

use std::io;
use std::path::{Path, PathBuf};

use crate::config::Snapshot;
use crate::listener::At;

/// How far a kernel holds a process to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confined {
    /// Wholly.
    Wholly,
    /// It knows a part of what was asked for.
    Partly,
    /// It knows nothing of it, or is told not to.
    Not,
}

/// The folders in which a gateway of this configuration has to write: its journal's, those of its sockets, and that of what is
/// used of budgets.
#[must_use]
pub fn written(snapshot: &Snapshot) -> Vec<PathBuf> {
    let sockets = snapshot.listeners.iter().filter_map(|plan| match &plan.at {
        At::Unix(plan) => Some(&plan.path),
        At::Tcp(_) => None,
    });
    let files = sockets
        .chain(snapshot.admin.socket.iter().map(|plan| &plan.path))
        .chain(snapshot.audit.iter().map(|plan| &plan.file))
        .chain(snapshot.limit_state.iter());
    files.map(|file| folder_of(file)).collect()
}

fn folder_of(file: &Path) -> PathBuf {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new(".")).to_owned()
}

/// Confines this thread, and all that it starts from now on, to writing in these folders and below. There is no way back.
///
/// # Errors
/// If the kernel knows Landlock and refuses all the same.
#[cfg(target_os = "linux")]
pub fn enter(folders: &[PathBuf]) -> io::Result<Confined> {
    use landlock::{
        ABI, AccessFs, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, path_beneath_rules,
    };
    // What Linux 6.2 knows. Where a rename would take a file to another folder is not asked for: none does.
    let given_up = AccessFs::from_write(ABI::V3) | AccessFs::Execute;
    let needed = AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeSock
        | AccessFs::RemoveFile;
    let entered = Ruleset::default()
        .handle_access(given_up)
        .and_then(Ruleset::create)
        .and_then(|rules| rules.add_rules(path_beneath_rules(folders, needed)))
        .and_then(|rules| rules.restrict_self());
    match entered.map_err(io::Error::other)?.ruleset {
        RulesetStatus::FullyEnforced => Ok(Confined::Wholly),
        RulesetStatus::PartiallyEnforced => Ok(Confined::Partly),
        RulesetStatus::NotEnforced => Ok(Confined::Not),
    }
}

/// There is Landlock on Linux alone.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn enter(_: &[PathBuf]) -> io::Result<Confined> {
    Ok(Confined::Not)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::ErrorKind::PermissionDenied;
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    use super::*;

    /// Of the thread alone, so that the others of the tests go on. Needs a kernel with Landlock, as a test of it must.
    #[test]
    fn the_kernel_refuses_to_write_elsewhere_and_to_run_anything_and_nothing_else() {
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let there = outside.path().join("there");
        fs::write(&there, "x").unwrap();
        let (inside, outside) = (inside.path(), outside.path());
        let confined = || {
            assert_eq!(enter(&[inside.to_owned()]).unwrap(), Confined::Wholly);
            for refused in [
                fs::write(outside.join("new"), "x"),
                fs::write(&there, "y"),
                OpenOptions::new().append(true).open(&there).map(drop),
                fs::remove_file(&there),
                fs::rename(&there, outside.join("moved")),
                fs::create_dir(outside.join("folder")),
                std::os::unix::fs::symlink(&there, outside.join("link")),
                UnixListener::bind(outside.join("socket")).map(drop),
                Command::new("/bin/true").status().map(drop),
                fs::create_dir(inside.join("folder")),
            ] {
                assert_eq!(refused.unwrap_err().kind(), PermissionDenied);
            }
            fs::write(inside.join("next"), "1").unwrap();
            fs::rename(inside.join("next"), inside.join("file")).unwrap();
            fs::write(inside.join("file"), "2").unwrap();
            UnixListener::bind(inside.join("socket")).unwrap();
            fs::remove_file(inside.join("socket")).unwrap();
            assert_eq!(fs::read(&there).unwrap(), b"x");
            fs::read("/etc/passwd").unwrap();
            std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        };
        std::thread::scope(|scope| scope.spawn(confined).join()).unwrap();
        fs::write(&there, "after").unwrap();
    }
}
