//! Where issuers publish their keys: a server that answers as it is told, and keeps what it was
//! asked.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::ports;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// An HTTP server with an answer for each path. Every connection is for one request.
pub(super) struct Endpoint {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    answers: Mutex<HashMap<String, Reply>>,
    asked: Mutex<Vec<String>>,
}

/// What it does when it is asked.
#[derive(Clone)]
pub(super) enum Reply {
    /// Status line, further fields, body.
    Whole(&'static str, String, String),
    /// Only to who shows this token; 401 to others.
    For(&'static str, String),
    /// The head, and then a byte a second.
    Drip,
    /// The connection is closed without a word.
    Nothing,
}

impl Reply {
    pub(super) fn keys(keys: impl Into<String>) -> Self {
        Self::Whole("200 OK", String::new(), keys.into())
    }

    pub(super) fn status(line: &'static str) -> Self {
        Self::Whole(line, String::new(), "no keys today".to_owned())
    }

    pub(super) fn redirect(to: &str) -> Self {
        Self::Whole("302 Found", format!("Location: {to}\r\n"), String::new())
    }
}

impl Endpoint {
    pub(super) async fn start() -> Self {
        Self::behind(None).await
    }

    pub(super) async fn behind(tls: Option<TlsAcceptor>) -> Self {
        let listener = ports::listen();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let mut tasks = JoinSet::new();
        let served = Arc::clone(&shared);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (tls, shared) = (tls.clone(), Arc::clone(&served));
                connections.spawn(async move {
                    match tls {
                        None => shared.answer(stream).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                shared.answer(stream).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, shared, _tasks: tasks }
    }

    /// Answers so at this path from now on. Elsewhere it is `404`.
    pub(super) fn says(&self, path: &str, reply: Reply) {
        self.shared.answers.lock().unwrap().insert(path.to_owned(), reply);
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The heads of the requests for this path.
    pub(super) fn asked(&self, path: &str) -> Vec<String> {
        let line = format!("GET {path} HTTP/1.1\r\n");
        let asked = self.shared.asked.lock().unwrap();
        asked.iter().filter(|head| head.starts_with(&line)).cloned().collect()
    }
}

impl Shared {
    async fn answer<S: AsyncRead + AsyncWrite + Unpin>(&self, mut stream: S) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if !matches!(stream.read_buf(&mut head).await, Ok(1..)) {
                return;
            }
        }
        let head = String::from_utf8(head).unwrap();
        let path = head.split(' ').nth(1).unwrap();
        let reply = self.answers.lock().unwrap().get(path).cloned();
        self.asked.lock().unwrap().push(head.clone());
        let reply = match reply.unwrap_or(Reply::status("404 Not Found")) {
            Reply::For(token, _) if !head.contains(&format!(": Bearer {token}\r\n")) => {
                Reply::status("401 Unauthorized")
            }
            Reply::For(_, keys) => Reply::keys(keys),
            reply @ (Reply::Whole(..) | Reply::Drip | Reply::Nothing) => reply,
        };
        // A gateway that has read enough hangs up.
        let _ = reply.write(&mut stream).await;
    }
}

impl Reply {
    async fn write<S: AsyncWrite + Unpin>(self, stream: &mut S) -> std::io::Result<()> {
        match self {
            Self::Whole(status, fields, body) => {
                let length = body.len();
                let head = format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {length}\r\n\r\n");
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(body.as_bytes()).await?;
                stream.shutdown().await
            }
            Self::Drip => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").await?;
                loop {
                    stream.write_all(b" ").await?;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
            Self::For(..) | Self::Nothing => Ok(()),
        }
    }
}
