//! An upstream of fixed answers.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use super::ports;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

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
        let listener = ports::listen();
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
