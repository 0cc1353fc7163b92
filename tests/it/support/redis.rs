//! Redis servers, on free ports of loopback. Stopped when they are dropped.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{becomes, ports};

/// One server, without anything in it.
pub(crate) struct Redis {
    server: Option<Child>,
    pub(crate) port: u16,
    arguments: Vec<String>,
    folder: TempDir,
    tls: bool,
}

impl Redis {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With further arguments. `DIR` in them stands for a folder of its own.
    pub(crate) async fn with(arguments: &[&str]) -> Self {
        let mut redis = Self::prepared(arguments);
        redis.up().await;
        redis
    }

    /// Not started yet: files may be put into its folder.
    pub(crate) fn prepared(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let tls = false;
        let (port, folder) = (ports::free(), TempDir::new().unwrap());
        Self { server: None, port, arguments, folder, tls }
    }

    /// As [`Redis::prepared`], and it speaks TLS alone.
    pub(crate) fn prepared_for_tls(arguments: &[&str]) -> Self {
        let mut redis = Self::prepared(arguments);
        redis.tls = true;
        redis
    }

    /// Starts it, or starts it again: as empty as it was.
    pub(crate) async fn up(&mut self) {
        let dir = self.folder.path().display().to_string();
        let port = self.port.to_string();
        let mut command = Command::new("redis-server");
        let (plain, tls) = if self.tls { ("0", port.as_str()) } else { (port.as_str(), "0") };
        command.args(["--port", plain, "--tls-port", tls, "--bind", "127.0.0.1", "--dir", &dir]);
        command.args(["--save", "", "--appendonly", "no", "--daemonize", "no"]);
        command.args(self.arguments.iter().map(|argument| argument.replace("DIR", &dir)));
        command.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
        let server = command.spawn().expect("this test needs redis-server (Debian)");
        let server = self.server.insert(server);
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        becomes("Redis listens", async || {
            // Who answers at its address after it ended is somebody else.
            let ended = server.try_wait().unwrap();
            assert!(ended.is_none(), "redis-server at port {}: {ended:?}", self.port);
            tokio::net::TcpStream::connect(address).await.is_ok()
        })
        .await;
    }

    /// Kills it, as a machine would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What `redis-cli` says to a command, trimmed.
    pub(crate) fn cli(&self, command: &[&str]) -> String {
        let port = self.port.to_string();
        let output = Command::new("redis-cli").args(["-p", &port]).args(command).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Stops it for a while, as a machine that is too busy would.
    pub(crate) fn pause(&self, stopped: bool) {
        let id = self.server.as_ref().unwrap().id().to_string();
        let signal = if stopped { "-STOP" } else { "-CONT" };
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
