//! Tests of the simulator as a whole. Here: a library to test with, and two ways to ask: past the
//! wire, where only the answer matters, and over a real socket, where its bytes do.

mod checks;
mod control;
mod deletes;
mod faults;
mod protocols;
mod published;
mod recycle_bin;
mod tokens;

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Version};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::simulator::answer::Content;
use crate::simulator::exchange::{Call, Delivery};
use crate::simulator::{Library, RecycleBin, Simulator, TokenSpec};

/// A library with its recycle bin on, a space with two files, and a token for each grant that a
/// test may want.
fn photos() -> Simulator {
    let simulator = Simulator::new();
    simulator.add_library(
        Library::multi_tenant("smhlib", "the-secret").with_recycle_bin(RecycleBin::KEEPING),
    );
    simulator.put_file("smhlib", "space1", "hello.txt");
    simulator.put_file("smhlib", "space1", "dir/a b.txt");
    simulator.add_space("smhlib", "space2");
    for grant in ["delete_file", "delete_file_permanent", "space_admin", "admin", "delete_recycled"]
    {
        simulator.issue_token(
            TokenSpec::new("smhlib").with_space("space1").with_grant(grant).with_value(grant),
        );
    }
    simulator
}

/// An answer that was not sent over a wire.
#[derive(Debug)]
struct Reply {
    status: u16,
    json: Value,
}

impl Reply {
    fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }
}

fn ask(simulator: &Simulator, method: Method, target: &str) -> Reply {
    ask_with(simulator, method, target, HeaderMap::new(), "")
}

fn ask_with(
    simulator: &Simulator,
    method: Method,
    target: &str,
    headers: HeaderMap,
    body: &'static str,
) -> Reply {
    let call = Call {
        method,
        target: target.to_owned(),
        authority: None,
        version: Version::HTTP_11,
        headers,
        body: Some(Bytes::from_static(body.as_bytes())),
        connection: 0,
    };
    let delivery = simulator.inner.lock().exchange(&call).delivery;
    let Delivery::Answer(answer) = delivery else { panic!("no plain answer: {delivery:?}") };
    let json = if let Content::Json(text) = answer.content {
        serde_json::from_str(&text).unwrap()
    } else {
        Value::Null
    };
    Reply { status: answer.status.as_u16(), json }
}

fn bearer(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
    headers.insert(http::header::AUTHORIZATION, value);
    headers
}

/// A simulator on a socket, until this is dropped.
struct Served {
    address: SocketAddr,
    _server: JoinSet<()>,
}

async fn serve(simulator: &Simulator) -> Served {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = JoinSet::new();
    server.spawn(simulator.clone().serve(listener, std::future::pending()));
    Served { address, _server: server }
}

/// What came back over a socket, byte for byte, until the answer was whole or the connection ended.
#[derive(Debug)]
struct Raw {
    status_line: String,
    fields: Vec<(String, String)>,
    body: String,
}

impl Raw {
    fn names(&self) -> Vec<&str> {
        self.fields.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn field(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value.as_str())
    }
}

impl Served {
    /// Sends a request as curl would and reads one answer; `None` if there came nothing at all.
    async fn ask(&self, method: &str, target: &str) -> Option<Raw> {
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: smhlib.api.tencentsmh.cn\r\n\
             User-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n"
        );
        self.send(request.as_bytes()).await
    }

    async fn ask_with_body(&self, method: &str, target: &str, body: &str) -> Option<Raw> {
        let length = body.len();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.send(request.as_bytes()).await
    }

    async fn send(&self, request: &[u8]) -> Option<Raw> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut received = Vec::new();
        while !is_whole(&received) {
            match stream.read_buf(&mut received).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        parse(&received)
    }
}

fn is_whole(received: &[u8]) -> bool {
    parse(received).is_some_and(|raw| {
        let length = raw.field("Content-Length").parse().unwrap_or(0);
        raw.body.len() >= length
    })
}

fn parse(received: &[u8]) -> Option<Raw> {
    let text = std::str::from_utf8(received).unwrap();
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status_line = lines.next().unwrap().to_owned();
    let fields = lines.map(|line| line.split_once(": ").unwrap());
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Some(Raw { status_line, fields, body: body.to_owned() })
}
