//! A whole gateway in this process: listeners, workers, admin, and their orderly end.
//!
//! `serve` and `demo` run one, and so do the tests.

use std::future::pending;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;

use crate::admin::{Admin, Door};
use crate::audit;
use crate::config::{DeleteLog, Snapshot};
use crate::gateway::{Gateway, Phase};
use crate::limit_state::LimitState;
use crate::listener::{Listener, TlsError, UnixError, UnixSocket};
use crate::log::Log;
use crate::reload::Reloads;
use crate::server::{BindError, Bound, Server};

/// A gateway that serves.
pub struct Running {
    gateway: Arc<Gateway>,
    reloads: Arc<Reloads>,
    limit_state: Arc<LimitState>,
    server: Server,
    log: Log,
    /// The admin listener and the reading of files: ended when this is dropped.
    helpers: JoinSet<()>,
    data: Vec<SocketAddr>,
    sockets: Vec<PathBuf>,
    admin: Option<SocketAddr>,
    /// Its file goes with it.
    _admin_socket: Option<UnixSocket>,
}

/// Why a gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A data listener's address cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A listener's certificate, key or client CA cannot be used.
    #[error("a listener cannot speak TLS: {0}{cause}", cause = cause(.0))]
    Tls(#[from] TlsError),
    /// The admin listener's address cannot be had.
    #[error("cannot listen on {0} for the admin listener: {1}")]
    Admin(SocketAddr, #[source] io::Error),
    /// The admin socket cannot be had.
    #[error("cannot listen on `admin.socket`: {0}")]
    AdminSocket(#[source] UnixError),
    /// The journal cannot be written.
    #[error(transparent)]
    Audit(#[from] audit::StartError),
    /// The system gives no thread or runtime.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] io::Error),
}

/// Keeps what is in memory, tokens and keys, out of core dumps, and away from other processes of the same
/// user: without leave to trace anything, they cannot trace this one either, nor read its memory.
///
/// # Errors
/// If the system does not let a process hide.
pub fn hide_memory() -> io::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_dumpable(false)?;
    Ok(())
}

/// How many files this process may have open, and how many its configuration may come to need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenFiles {
    /// What the system allows, now that it was asked for all it has.
    pub limit: u64,
    /// A connection for each that the listeners let in, one to SMH for each delete under way, and some.
    pub needed: u64,
}

/// Asks the system for as many open files as it lets this process have: what a shell or systemd starts
/// a program with (often 1024) is for programs that use `select`.
///
/// # Errors
/// If the system does not tell its limit. That it keeps the lower one is none: it is told as `limit`.
pub fn raise_open_files(snapshot: &Snapshot) -> io::Result<OpenFiles> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let raised = soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
    let callers: usize = snapshot.listeners.iter().map(|plan| plan.bounds.connections).sum();
    let needed = callers.saturating_add(snapshot.max_in_flight).saturating_add(OTHER_FILES);
    Ok(OpenFiles {
        limit: if raised { hard } else { soft },
        needed: u64::try_from(needed).unwrap_or(u64::MAX),
    })
}

/// Listeners, journals, what is read anew, the limit store's and operators' connections.
const OTHER_FILES: usize = 256;

impl Running {
    /// Binds everything, then serves. `deletes` gets the delete log, if the configuration has one.
    ///
    /// # Errors
    /// [`StartError`]; nothing was served then.
    pub async fn start(
        snapshot: Snapshot,
        deletes: impl Write + Send + 'static,
    ) -> Result<Self, StartError> {
        let listeners: Vec<_> =
            snapshot.listeners.iter().map(Listener::open).collect::<Result<_, _>>()?;
        let bound = Bound::bind(&listeners, snapshot.workers)?;
        let mut doors = Vec::new();
        let mut admin = None;
        if let Some(address) = snapshot.admin.address {
            let fail = |error| StartError::Admin(address, error);
            let listener = TcpListener::bind(address).await.map_err(fail)?;
            admin = listener.local_addr().ok();
            doors.push(Door::Tcp(listener));
        }
        let mut admin_socket = None;
        if let Some(plan) = &snapshot.admin.socket {
            let socket = UnixSocket::bind(plan, ADMIN_BACKLOG).map_err(StartError::AdminSocket)?;
            doors.push(Door::Unix(UnixListener::from_std(socket.share()?)?));
            admin_socket = Some(socket);
        }
        let data = bound.addresses().to_vec();
        let sockets = bound.sockets().map(Path::to_owned).collect();
        let logs = snapshot.log.deletes;
        let gateway = Gateway::new(Arc::new(snapshot), listeners);
        let opened = Arc::clone(&gateway);
        let opened = tokio::task::spawn_blocking(move || opened.open_journal()).await;
        opened.map_err(io::Error::other)??;
        let limit_state = LimitState::restored(&gateway);
        let log = match logs {
            DeleteLog::Stdout => Log::start(deletes)?,
            DeleteLog::Off => Log::off(),
        };
        let server = Server::start(&gateway, bound, &log)?;
        let mut helpers = JoinSet::new();
        helpers.spawn(refresh_secrets(Arc::clone(&gateway)));
        let reloads = Reloads::new(Arc::clone(&gateway));
        helpers.spawn(Arc::clone(&reloads).follow());
        let pages = Admin::new(Arc::clone(&gateway), Arc::clone(&reloads));
        for door in doors {
            helpers.spawn(Arc::clone(&pages).serve(door));
        }
        helpers.spawn(Arc::clone(&limit_state).keep());
        Ok(Self {
            gateway,
            reloads,
            limit_state,
            server,
            log,
            helpers,
            data,
            sockets,
            admin,
            _admin_socket: admin_socket,
        })
    }

    /// Where callers are served, with the ports that were had.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.data
    }

    /// The unix sockets on which callers are served.
    #[must_use]
    pub fn sockets(&self) -> &[PathBuf] {
        &self.sockets
    }

    /// Where operators are served.
    #[must_use]
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// What is shared by everything that runs.
    #[must_use]
    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// What follows gateway.yaml and policy.yaml.
    #[must_use]
    pub fn reloads(&self) -> &Arc<Reloads> {
        &self.reloads
    }

    /// Leaves: not ready from now on, accepting for `shutdown.delay`, then finishing what is in
    /// flight for at most `shutdown.drain`. Ends at once when `hurry` does.
    pub async fn stop(mut self, hurry: impl Future<Output = ()>) -> Ended {
        tokio::pin!(hurry);
        self.gateway.advance(Phase::Leaving);
        let shutdown = self.gateway.in_force().snapshot.shutdown;
        let hurried = tokio::select! {
            () = tokio::time::sleep(shutdown.delay) => false,
            () = &mut hurry => true,
        };
        let limit = if hurried { Duration::ZERO } else { shutdown.drain };
        let mut hurried = hurried;
        let cut_off = self
            .server
            .drain(async {
                tokio::select! {
                    () = tokio::time::sleep(limit) => {}
                    () = &mut hurry, if !hurried => hurried = true,
                }
            })
            .await;
        // After the last delete, since it would need its token.
        self.gateway.in_force().tokens.revoke_all().await;
        self.helpers.shutdown().await;
        let limit_state = self.limit_state;
        let gateway = Arc::clone(&self.gateway);
        let last_words = move || {
            limit_state.save();
            if let Some(audit) = gateway.audit() {
                audit.close();
            }
        };
        // A disk that does not come back must not keep the process, and a collector neither.
        let written = tokio::time::timeout(LAST_WORDS, tokio::task::spawn_blocking(last_words));
        let traces = self.gateway.in_force().traces.clone().filter(|_| !hurried);
        let told = async {
            if let Some(exporter) = traces {
                exporter.finish().await;
            }
        };
        tokio::select! {
            _ = async { tokio::join!(written, told) } => {}
            () = &mut hurry, if !hurried => hurried = true,
        }
        drop(self.log);
        match (cut_off, hurried) {
            (None, _) => Ended::Finished,
            (Some(cut_off), true) => Ended::Hurried { cut_off },
            (Some(cut_off), false) => Ended::Overdue { cut_off },
        }
    }

    /// As [`Running::stop`], in no hurry.
    pub async fn stop_in_time(self) -> Ended {
        self.stop(pending()).await
    }
}

/// How a gateway came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Nothing was cut off.
    Finished,
    /// Connections were still open after `shutdown.drain`, and so many deletes in flight.
    Overdue {
        /// Deletes of which SMH's answer was not waited for.
        cut_off: usize,
    },
    /// It was told to leave at once.
    Hurried {
        /// Deletes of which SMH's answer was not waited for.
        cut_off: usize,
    },
}

fn cause(error: &TlsError) -> String {
    std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default()
}

/// Follows the files that hold secrets: no event is relied upon, since mounts are swapped in ways that
/// give none.
async fn refresh_secrets(gateway: Arc<Gateway>) {
    loop {
        tokio::time::sleep(REFRESH).await;
        let gateway = Arc::clone(&gateway);
        // It cannot be cancelled and does not panic; if it did, the next round would be tried.
        let _ = tokio::task::spawn_blocking(move || gateway.refresh_secrets()).await;
    }
}

/// An operator or two.
const ADMIN_BACKLOG: i32 = 16;

/// For the files of the journal and of the limits.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// How soon another token or key in a file is noticed.
const REFRESH: Duration = Duration::from_secs(1);
