//! Starts a gateway and a simulated SMH on free ports, and talks to them in bytes. Asserts nothing
//! itself but that the stage is set.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use smh_gateway::config;
use smh_gateway::run::Running;
use smh_gateway::simulator::{Library, Received, RecycleBin, Simulator, TokenSpec};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

pub(crate) const LIBRARY: &str = "smhxxx";
pub(crate) const SPACE: &str = "spacexxx";
pub(crate) const TOKEN: &str = "acctksentineltoken0123456789abcdef0123456789";
pub(crate) const KEY: &str = "sentinel-key-of-app-0123456789";
pub(crate) const OTHER_KEY: &str = "sentinel-key-of-other-0123456789";

/// A caller with a tenant, one without, and a library with its recycle bin on.
pub(crate) const GATEWAY_YAML: &str = "\
listeners:
  - address: 127.0.0.1:0
admin:
  address: 127.0.0.1:0
upstream:
  url: http://UPSTREAM
  connect_timeout: 1s
  timeout: 3s
libraries:
  smhxxx:
    token: { file: token }
tenants:
  t1: { library: smhxxx, space: spacexxx }
  t2: { library: smhxxx, space: space2, user_id: forbid }
callers:
  app: { api_key: { file: app.key }, tenants: [t1, t2] }
  other: { api_key: { file: other.key }, tenants: [] }
workers: 2
shutdown: { delay: 0s, drain: 2s }
";

/// A simulated SMH that listens, with [`LIBRARY`], [`SPACE`] and [`TOKEN`].
pub(crate) struct Smh {
    pub(crate) simulator: Simulator,
    pub(crate) address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Smh {
    pub(crate) async fn start() -> Self {
        let simulator = Simulator::new();
        let library = Library::multi_tenant(LIBRARY, "sentinel-library-secret");
        simulator.add_library(library.with_recycle_bin(RecycleBin::KEEPING));
        simulator.add_space(LIBRARY, SPACE);
        simulator.add_space(LIBRARY, "space2");
        simulator.issue_token(
            TokenSpec::new(LIBRARY)
                .with_grant("delete_file")
                .with_grant("delete_file_permanent")
                .with_value(TOKEN),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(simulator.clone().serve(listener, std::future::pending()));
        Self { simulator, address, _tasks: tasks }
    }

    /// Puts a file into [`SPACE`].
    pub(crate) fn with_file(self, path: &str) -> Self {
        self.simulator.put_file(LIBRARY, SPACE, path);
        self
    }

    pub(crate) fn files(&self) -> Vec<String> {
        self.simulator.files(LIBRARY, SPACE)
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.simulator.received()
    }

    /// The targets that arrived, in order.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.received().into_iter().map(|request| request.target).collect()
    }
}

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
        let request = format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
        send(self.running.admin().unwrap(), request.as_bytes()).await
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
        .unwrap_or_else(|report| panic!("{}", report.render(config::report::Color::Plain)))
}

/// `DELETE {target}` by the caller `app`, with more header lines.
pub(crate) fn request(target: &str, fields: &[&str]) -> String {
    let mut request =
        format!("DELETE {target} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {KEY}\r\n");
    for field in fields {
        request.push_str(field);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    request
}

/// One whole HTTP/1.1 answer, in the bytes that came.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Status line and fields, without the empty line.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Whether the connection was ended behind it.
    pub(crate) closed: bool,
    /// What came behind it before the end, if it was ended.
    pub(crate) rest: Vec<u8>,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// Every value of a field, whatever the case of its name.
    pub(crate) fn fields(&self, name: &str) -> Vec<&str> {
        let fields = self.head.split("\r\n").skip(1).filter_map(|line| line.split_once(": "));
        fields.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields(name).first().copied()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The `code` of an error object.
    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn outcome(&self) -> String {
        self.json()["outcome"].as_str().unwrap_or_default().to_owned()
    }
}

/// Longer than any deadline that a test sets; where this ends a test, something hung.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends bytes on a connection of their own and reads the first answer.
pub(crate) async fn send(address: SocketAddr, bytes: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A gateway may answer and close before it has read everything.
    let _ = stream.write_all(bytes).await;
    read_answer(&mut stream).await
}

/// Reads one answer; then waits a moment for the connection to end behind it.
pub(crate) async fn read_answer(stream: &mut TcpStream) -> Answer {
    let whole = async {
        let mut read = Vec::new();
        let head = loop {
            if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            if stream.read_buf(&mut read).await.unwrap() == 0 {
                panic!("ended before an answer: {:?}", String::from_utf8_lossy(&read));
            }
        };
        let mut body = read.split_off(head + 4);
        read.truncate(head);
        let head = String::from_utf8(read).unwrap();
        let mut answer = Answer { head, body: Vec::new(), closed: false, rest: Vec::new() };
        let length = match answer.status() {
            204 => 0,
            _ => answer.field("content-length").unwrap().parse().unwrap(),
        };
        while body.len() < length {
            assert_ne!(stream.read_buf(&mut body).await.unwrap(), 0, "ended inside a body");
        }
        answer.rest = body.split_off(length);
        answer.body = body;
        answer
    };
    let mut answer = tokio::time::timeout(PATIENCE, whole).await.expect("an answer in time");
    let moment = Duration::from_millis(300);
    let rest = async {
        loop {
            match stream.read_buf(&mut answer.rest).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    };
    answer.closed = tokio::time::timeout(moment, rest).await.is_ok();
    answer
}

/// An upstream that answers each connection with fixed bytes, whatever it is asked, and keeps what
/// it was asked.
pub(crate) struct Canned {
    pub(crate) address: SocketAddr,
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Canned {
    /// Answers with `answer` and then ends the connection, if `close` says so.
    pub(crate) async fn start(answer: Vec<u8>, close: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(canned(stream, answer.clone(), close, Arc::clone(&heard)));
            }
        });
        Self { address, asked, _tasks: tasks }
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn canned(
    mut stream: TcpStream,
    answer: Vec<u8>,
    close: bool,
    asked: Arc<Mutex<Vec<String>>>,
) {
    let mut read = Vec::new();
    while let Ok(1..) = stream.read_buf(&mut read).await {
        while let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = read.split_off(end + 4);
            asked.lock().unwrap().push(String::from_utf8(read).unwrap());
            read = rest;
            if stream.write_all(&answer).await.is_err() || close {
                return;
            }
        }
    }
}

/// The real binary as a child process.
pub(crate) mod binary;

/// A caller's connection that is kept, for several requests one after the other.
pub(crate) struct Kept {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

impl Kept {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, read: Vec::new() }
    }

    /// A gateway that closes early may not take all of it.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Sends `DELETE {target}` as the caller `app`.
    pub(crate) async fn delete(&mut self, target: &str) -> Answer {
        self.write(request(target, &[]).as_bytes()).await;
        self.answer().await
    }

    /// The next answer. What comes behind it is left for later.
    pub(crate) async fn answer(&mut self) -> Answer {
        tokio::time::timeout(PATIENCE, self.whole_answer()).await.expect("an answer in time")
    }

    async fn whole_answer(&mut self) -> Answer {
        let end = loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            let read = self.stream.read_buf(&mut self.read).await.unwrap();
            assert_ne!(read, 0, "ended before an answer: {:?}", self.read);
        };
        let rest = self.read.split_off(end + 4);
        let mut head = std::mem::replace(&mut self.read, rest);
        head.truncate(end);
        let head = String::from_utf8(head).unwrap();
        let mut answer = Answer { head, body: Vec::new(), closed: false, rest: Vec::new() };
        let length = match answer.status() {
            100..=199 | 204 => 0,
            _ => answer.field("content-length").unwrap().parse().unwrap(),
        };
        while self.read.len() < length {
            let read = self.stream.read_buf(&mut self.read).await.unwrap();
            assert_ne!(read, 0, "ended inside a body");
        }
        let rest = self.read.split_off(length);
        answer.body = std::mem::replace(&mut self.read, rest);
        answer
    }

    /// Waits for the gateway to end the connection in good order, and returns what came before.
    pub(crate) async fn until_closed(&mut self) -> Vec<u8> {
        let ended = async {
            while self.stream.read_buf(&mut self.read).await.unwrap() > 0 {}
            std::mem::take(&mut self.read)
        };
        tokio::time::timeout(PATIENCE, ended).await.expect("the connection is closed")
    }
}
