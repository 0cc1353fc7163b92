//! A listening socket in the file system: whose it is, who may connect to it, and what becomes of
//! one that a dead process left behind.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, lchown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::libc;
use nix::unistd::Group as SystemGroup;
use socket2::{Domain, SockAddr, Socket, Type};

/// A socket as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnixPlan {
    /// The file.
    pub path: PathBuf,
    /// Its permissions. To connect, write permission is needed.
    pub mode: u32,
    /// Its group; `None`: that of this process.
    pub group: Option<Group>,
}

/// A group, by name or number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Group {
    /// To be looked up on this machine.
    Name(String),
    /// As it stands.
    Id(u32),
}

/// Why a socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum UnixError {
    /// Somebody listens on it.
    #[error("another process listens on it")]
    InUse,
    /// Something else has this name.
    #[error("there is a file of this name that is no socket; remove it, or choose another path")]
    NotSocket,
    /// There is nowhere to put it.
    #[error("the folder that it is to be in is not there")]
    NoFolder,
    /// There is no such group here.
    #[error("there is no group {0:?} on this machine")]
    NoGroup(String),
    /// The system says no.
    #[error("{0}: {1}")]
    Io(&'static str, #[source] io::Error),
}

/// A listening socket. Its file is removed when this is dropped, if it is still this one.
#[derive(Debug)]
pub struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode.
    file: (u64, u64),
    /// Held as long as the socket: two gateways that start at once must not take turns.
    _lock: File,
}

impl UnixSocket {
    /// Listens, on a socket file of its own: one that nobody listens on any more is replaced.
    ///
    /// # Errors
    /// [`UnixError`].
    pub fn bind(plan: &UnixPlan, backlog: i32) -> Result<Self, UnixError> {
        let path = &plan.path;
        let group = plan.group.as_ref().map(group_id).transpose()?;
        let lock = lock(path)?;
        clear(path)?;
        let listener = listen(path, backlog).map_err(|e| UnixError::Io("cannot listen", e))?;
        let socket = || {
            // The group first: for a moment nobody may connect, rather than the wrong ones.
            lchown(path, None, group)?;
            fs::set_permissions(path, Permissions::from_mode(plan.mode))?;
            listener.set_nonblocking(true)?;
            let file = fs::symlink_metadata(path)?;
            Ok((file.dev(), file.ino()))
        };
        let file = socket().map_err(|error| {
            // It is ours, by the lock; left behind, nobody could connect to it to see that it is
            // stale.
            let _ = fs::remove_file(path);
            UnixError::Io("cannot give it its group and mode", error)
        })?;
        Ok(Self { listener, path: path.clone(), file, _lock: lock })
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Another handle to the same socket, for another worker.
    ///
    /// # Errors
    /// If the process is out of file descriptors.
    pub fn share(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|file| (file.dev(), file.ino()) == self.file);
        if is_ours {
            // Gone or not, nobody is served through it any more.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A file beside the socket, locked while a gateway lives: it is never removed, since whoever had
/// opened it before would hold a lock that nobody else sees.
fn lock(path: &Path) -> Result<File, UnixError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let open = || {
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let mut options = File::options();
        options.write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
        let file = options.open(&name)?;
        let is_file = file.metadata()?.is_file();
        is_file.then_some(file).ok_or_else(|| io::Error::other("it is not a regular file"))
    };
    let file = open().map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            UnixError::NoFolder
        } else {
            UnixError::Io("cannot open the `.lock` file beside it", error)
        }
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(UnixError::InUse),
        Err(fs::TryLockError::Error(error)) => Err(UnixError::Io("cannot lock it", error)),
    }
}

/// Removes a socket file that nobody listens on. Whatever else is there stays.
fn clear(path: &Path) -> Result<(), UnixError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(UnixError::Io("cannot look at it", error)),
        Ok(file) if !file.file_type().is_socket() => return Err(UnixError::NotSocket),
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        // Only a refusal says that there is nobody; a full queue or a lack of permission does not.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|e| UnixError::Io("cannot remove a stale socket", e))
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let what = "cannot tell whether anybody listens on it; remove it if nobody does";
            Err(UnixError::Io(what, error))
        }
        _ => Err(UnixError::InUse),
    }
}

/// On Linux a socket file gets the mode that its socket had: for nobody, until `bind` is through.
fn listen(path: &Path, backlog: i32) -> io::Result<UnixListener> {
    let socket = File::from(OwnedFd::from(Socket::new(Domain::UNIX, Type::STREAM, None)?));
    socket.set_permissions(Permissions::from_mode(0o000))?;
    let socket = Socket::from(OwnedFd::from(socket));
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(backlog)?;
    Ok(OwnedFd::from(socket).into())
}

fn group_id(group: &Group) -> Result<u32, UnixError> {
    match group {
        Group::Id(id) => Ok(*id),
        Group::Name(name) => match SystemGroup::from_name(name) {
            Ok(Some(group)) => Ok(group.gid.as_raw()),
            Ok(None) => Err(UnixError::NoGroup(name.clone())),
            Err(error) => Err(UnixError::Io("cannot look up its group", error.into())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn plan(folder: &Path) -> UnixPlan {
        UnixPlan { path: folder.join("gateway.sock"), mode: 0o660, group: None }
    }

    fn bind(plan: &UnixPlan) -> Result<UnixSocket, UnixError> {
        UnixSocket::bind(plan, 16)
    }

    #[test]
    fn a_socket_has_the_mode_that_was_asked_for_and_goes_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        for mode in [0o600, 0o660, 0o666] {
            let plan = UnixPlan { mode, ..plan(folder.path()) };
            let socket = bind(&plan).unwrap();
            let file = fs::symlink_metadata(&plan.path).unwrap();
            assert_eq!(file.permissions().mode() & 0o7777, mode);
            UnixStream::connect(&plan.path).unwrap();
            drop(socket);
            assert!(!plan.path.exists());
        }
    }

    #[test]
    fn a_socket_of_the_dead_is_replaced_and_one_of_the_living_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan(folder.path());
        // A listener of the standard library leaves its file behind.
        drop(UnixListener::bind(&plan.path).unwrap());
        assert!(plan.path.exists());
        let ours = bind(&plan).unwrap();
        assert!(matches!(bind(&plan), Err(UnixError::InUse)));
        UnixStream::connect(&plan.path).unwrap();
        drop(ours);

        let theirs = UnixListener::bind(&plan.path).unwrap();
        assert!(matches!(bind(&plan), Err(UnixError::InUse)), "whoever listens there");
        drop(theirs);
    }

    #[test]
    fn what_is_no_socket_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan(folder.path());
        fs::write(&plan.path, "precious").unwrap();
        assert!(matches!(bind(&plan), Err(UnixError::NotSocket)));
        assert_eq!(fs::read(&plan.path).unwrap(), b"precious");
        // Nor what a link of this name leads to.
        fs::rename(&plan.path, folder.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &plan.path).unwrap();
        assert!(matches!(bind(&plan), Err(UnixError::NotSocket)));
    }

    #[test]
    fn another_socket_of_the_same_name_is_not_removed_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan(folder.path());
        let ours = bind(&plan).unwrap();
        fs::remove_file(&plan.path).unwrap();
        let _theirs = UnixListener::bind(&plan.path).unwrap();
        drop(ours);
        assert!(plan.path.exists());
    }

    #[test]
    fn of_many_that_start_at_once_one_gets_it() {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan(folder.path());
        drop(UnixListener::bind(&plan.path).unwrap());
        let starts: Vec<_> = (0..8)
            .map(|_| {
                let plan = plan.clone();
                thread::spawn(move || bind(&plan))
            })
            .collect();
        // All are kept until the last has tried.
        let bound: Vec<_> = starts.into_iter().map(|start| start.join().unwrap()).collect();
        assert_eq!(bound.iter().filter(|bound| bound.is_ok()).count(), 1);
    }

    #[test]
    fn an_unknown_group_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let group = Some(Group::Name("no-such-group".into()));
        let error = bind(&UnixPlan { group, ..plan(folder.path()) }).unwrap_err();
        assert!(error.to_string().contains("no-such-group"), "{error}");
    }
}
