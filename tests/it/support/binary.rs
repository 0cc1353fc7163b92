//! The real binary as a child process: what it says, where it listens, how it ends. Nothing here
//! sleeps: every wait is for a line, or for the end of what the child writes.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

use super::Folder;

/// A process of the binary. Killed when it is dropped.
pub(crate) struct Binary {
    child: Child,
    /// Standard output.
    pub(crate) out: Output,
    /// Standard error.
    pub(crate) err: Output,
    /// Where it serves callers, in the order of the configuration.
    pub(crate) data: Vec<SocketAddr>,
    /// Where it serves operators.
    pub(crate) admin: Option<SocketAddr>,
}

/// A process that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The exit code; none after a signal.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Standard error without what is said of a configuration that is valid.
    pub(crate) fn failure(&self) -> String {
        let mut kept = String::new();
        let mut in_warning = false;
        for line in self.err.lines() {
            in_warning = line.contains(": warning[") || (in_warning && line.starts_with(' '));
            if !in_warning {
                kept.push_str(line);
                kept.push('\n');
            }
        }
        kept
    }

    /// The lines of the delete log.
    pub(crate) fn deletes(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        self.out.lines().map(parse).collect()
    }
}

/// The binary with these arguments, in a folder, and with nothing of the environment of the tests. What it
/// says is text, as on a terminal.
pub(crate) fn command<A: AsRef<OsStr>>(folder: &Path, arguments: &[A]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smh-gateway"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command.env_clear().env("SMH_GATEWAY_LOG_FORMAT", "text");
    command
}

/// The same, with limits as a shell sets them.
pub(crate) fn limited(command: &Command, limits: &str) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &format!("{limits} && exec \"$0\" \"$@\"")]).arg(command.get_program());
    shell.args(command.get_args()).stdin(Stdio::null());
    shell.env_clear().env("SMH_GATEWAY_LOG_FORMAT", "text");
    shell.current_dir(command.get_current_dir().unwrap());
    shell
}

/// Runs the binary to its end.
pub(crate) async fn run<A: AsRef<OsStr>>(folder: &Path, arguments: &[A]) -> Ran {
    Binary::spawn(command(folder, arguments)).ended().await
}

/// Runs the binary to its end, with this on standard input.
pub(crate) async fn run_with_input(arguments: &[&str], input: &[u8]) -> Ran {
    let mut command = command(Path::new("/"), arguments);
    let mut binary = Binary::spawn({
        command.stdin(Stdio::piped());
        command
    });
    let mut stdin = binary.child.stdin.take().unwrap();
    let input = input.to_vec();
    // It may stop reading before the end, which is no error.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let ran = binary.ended().await;
    writer.join().unwrap();
    ran
}

impl Binary {
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = Output::of(child.stdout.take().unwrap());
        let err = Output::of(child.stderr.take().unwrap());
        Self { child, out, err, data: Vec::new(), admin: None }
    }

    /// Runs `serve` with the folder's gateway.yaml, until it serves.
    pub(crate) async fn serve(folder: &Folder) -> Self {
        Self::serving(Self::serve_command(folder)).await
    }

    pub(crate) fn serve_command(folder: &Folder) -> Command {
        command(&folder.path(""), &["serve", "--config", "gateway.yaml"])
    }

    /// Waits until a process serves, and learns from it where.
    pub(crate) async fn serving(command: Command) -> Self {
        let mut binary = Self::spawn(command);
        let said = binary.says("serving version=").await;
        let listens = |what: &str| {
            let lines = said.lines().filter(|line| line.contains(what));
            let addresses = lines.filter_map(|line| line.rsplit_once("address="));
            addresses.map(|(_, address)| address.parse().unwrap()).collect::<Vec<SocketAddr>>()
        };
        binary.data = listens("listening for deletes");
        binary.admin = listens("listening for operators").first().copied();
        binary
    }

    /// Waits until standard error holds this, and returns all of it so far.
    pub(crate) async fn says(&mut self, what: &str) -> String {
        self.err.until(what).await
    }

    /// Waits until standard output holds this, and returns all of it so far.
    pub(crate) async fn prints(&mut self, what: &str) -> String {
        self.out.until(what).await
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, by its name without `SIG`.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success(), "{kill}");
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end, in less than [`PATIENCE`].
    pub(crate) async fn ended(mut self) -> Ran {
        let (out, err) = (self.out.whole().await, self.err.whole().await);
        // Both pipes were closed by its end, so this does not wait.
        let code = self.child.wait().unwrap().code();
        Ran { code, out, err }
    }

    /// Tells it to leave, and waits for its end.
    pub(crate) async fn stop(self) -> Ran {
        self.signal("TERM");
        self.ended().await
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What comes out of a pipe, read by a thread of its own.
pub(crate) struct Output {
    read: watch::Receiver<Vec<u8>>,
    closed: watch::Sender<bool>,
}

impl Output {
    fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let (write, read) = watch::channel(Vec::new());
        let (closed, is_closed) = watch::channel(false);
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(length @ 1..) = pipe.read(&mut chunk) {
                write.send_modify(|all| all.extend_from_slice(&chunk[..length]));
                if *is_closed.borrow() {
                    break;
                }
            }
            drop(pipe);
            drop(write);
        });
        Self { read, closed }
    }

    /// Closes the pipe, but only behind the next thing that is read from it.
    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
    }

    async fn until(&mut self, what: &str) -> String {
        let holds = |all: &Vec<u8>| text(all).contains(what);
        let found = tokio::time::timeout(PATIENCE, self.read.wait_for(holds)).await;
        match found.map(|found| found.map(|all| text(&all))) {
            Ok(Ok(all)) => all,
            _ => panic!("no {what:?} in: {}", text(&self.read.borrow())),
        }
    }

    /// Waits until the pipe is closed, at either end.
    pub(crate) async fn whole(&mut self) -> String {
        let end = async { while self.read.changed().await.is_ok() {} };
        let ended = tokio::time::timeout(PATIENCE, end).await;
        let all = text(&self.read.borrow());
        assert!(ended.is_ok(), "it does not end; so far: {all}");
        all
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Longer than anything here takes; where this ends a test, something hung.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
