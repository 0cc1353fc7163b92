//! A gateway in this process, and the folder that it is started from.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use smh_gateway::config;
use smh_gateway::gateway::Applied;
use smh_gateway::run::Running;
use tempfile::TempDir;

use super::{Answer, GATEWAY_YAML, KEY, OTHER_KEY, TOKEN, request, send};

/// A folder with both files and the secrets they refer to.
pub(crate) struct Folder(TempDir);

impl Folder {
    /// `UPSTREAM` in the gateway's file stands for the address.
    pub(crate) fn new(gateway: &str, policy: Option<&str>, upstream: SocketAddr) -> Self {
        let folder = Self(TempDir::new().unwrap());
        let mut gateway = gateway.replace("UPSTREAM", &upstream.to_string());
        if let Some(policy) = policy {
            gateway.push_str("policy: policy.yaml\n");
            folder.write("policy.yaml", policy);
        }
        folder.write("gateway.yaml", &gateway);
        folder.write("token", &format!("{TOKEN}\n"));
        folder.write("app.key", KEY);
        folder.write("other.key", OTHER_KEY);
        folder
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        std::fs::write(self.0.path().join(name), content).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// A gateway in this process, on sockets of its own.
pub(crate) struct Gateway {
    pub(crate) running: Running,
    pub(crate) folder: Folder,
    pub(crate) log: Lines,
}

/// What the delete log wrote so far.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Gateway {
    pub(crate) async fn start(upstream: SocketAddr) -> Self {
        Self::with(GATEWAY_YAML, None, upstream).await
    }

    pub(crate) async fn with_policy(policy: &str, upstream: SocketAddr) -> Self {
        Self::with(GATEWAY_YAML, Some(policy), upstream).await
    }

    pub(crate) async fn with(gateway: &str, policy: Option<&str>, upstream: SocketAddr) -> Self {
        let folder = Folder::new(gateway, policy, upstream);
        let (snapshot, _) = load(&folder.path("gateway.yaml"));
        let log = Lines::default();
        let running = Running::start(snapshot, log.clone()).await.unwrap();
        Self { running, folder, log }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.addresses()[0]
    }

    /// Sends `DELETE {target}` as the caller `app`.
    pub(crate) async fn delete(&self, target: &str) -> Answer {
        self.send(&request(target, &[])).await
    }

    /// Sends bytes on a connection of their own and reads the first answer.
    pub(crate) async fn send(&self, bytes: &str) -> Answer {
        send(self.address(), bytes.as_bytes()).await
    }

    pub(crate) async fn admin(&self, path: &str) -> Answer {
        self.admin_as(path, "*/*").await
    }

    pub(crate) async fn admin_as(&self, path: &str, accept: &str) -> Answer {
        let fields = format!("Host: admin\r\nAccept: {accept}\r\nConnection: close\r\n");
        let request = format!("GET {path} HTTP/1.1\r\n{fields}\r\n");
        send(self.running.admin().unwrap(), request.as_bytes()).await
    }

    /// Changes gateway.yaml, or the policy.
    pub(crate) fn edit(&self, file: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.folder.path(file)).unwrap();
        assert!(text.contains(from), "{from:?} is not in {text}");
        self.folder.write(file, &text.replace(from, to));
    }

    /// Puts both files in force as they are now.
    pub(crate) async fn apply(&self) -> Applied {
        let (snapshot, _) = load(&self.folder.path("gateway.yaml"));
        let gateway = Arc::clone(self.running.gateway());
        let apply = move || gateway.apply(Arc::new(snapshot));
        tokio::task::spawn_blocking(apply).await.unwrap().expect("it serves")
    }

    /// Ends the gateway and returns the lines that its deletes left.
    pub(crate) async fn stop(self) -> Vec<Value> {
        self.running.stop_in_time().await;
        self.log.all()
    }
}

impl Lines {
    pub(crate) fn all(&self) -> Vec<Value> {
        let text = self.text();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub(crate) fn load(path: &Path) -> (config::Snapshot, config::report::Report) {
    config::load(path)
        .linted()
        .into_result()
        .unwrap_or_else(|report| panic!("{}", report.render(config::report::Color::Plain)))
}
