//! A caller: requests, answers, and connections that are kept.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::KEY;

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
const PATIENCE: Duration = Duration::from_secs(60);

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

/// A caller's connection that is kept, for several requests one after the other.
pub(crate) struct Kept<S = TcpStream> {
    pub(crate) stream: S,
    read: Vec<u8>,
}

impl Kept {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Kept<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, read: Vec::new() }
    }

    /// A gateway that closes early may not take all of it.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
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

    /// The same, however long it takes.
    pub(crate) async fn whole_answer(&mut self) -> Answer {
        self.try_answer().await.unwrap()
    }

    /// The same, or what kept it from coming.
    pub(crate) async fn try_answer(&mut self) -> io::Result<Answer> {
        let end = loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            self.more("before an answer").await?;
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
            self.more("inside a body").await?;
        }
        let rest = self.read.split_off(length);
        answer.body = std::mem::replace(&mut self.read, rest);
        Ok(answer)
    }

    async fn more(&mut self, place: &str) -> io::Result<()> {
        match self.stream.read_buf(&mut self.read).await? {
            0 => Err(io::Error::other(format!("ended {place}, after {:?}", self.read))),
            _ => Ok(()),
        }
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
