//! A collector of our own: it takes OTLP over a socket, and reads it with OpenTelemetry's own types.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::support::{becomes, ports};

/// What it says to each export.
#[derive(Clone)]
pub(super) enum Says {
    /// A status line, and a body.
    Answer(&'static str, Vec<u8>),
    /// Nothing, ever.
    Nothing,
}

impl Says {
    pub(super) fn thanks() -> Self {
        Self::Answer("200 OK", Vec::new())
    }
}

/// One request, as it came.
pub(super) struct Received {
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

pub(super) struct Collector {
    pub(super) address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    connections: Arc<Mutex<usize>>,
    _tasks: JoinSet<()>,
}

impl Collector {
    pub(super) fn start(says: Says) -> Self {
        Self::speaking(says, None)
    }

    pub(super) fn speaking(says: Says, tls: Option<TlsAcceptor>) -> Self {
        let listener = ports::listen();
        let address = listener.local_addr().unwrap();
        let received = Arc::<Mutex<Vec<Received>>>::default();
        let connections = Arc::<Mutex<usize>>::default();
        let (heard, counted) = (Arc::clone(&received), Arc::clone(&connections));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut serving = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                *counted.lock().unwrap() += 1;
                let (heard, says, tls) = (Arc::clone(&heard), says.clone(), tls.clone());
                serving.spawn(async move {
                    match tls {
                        None => serve(stream, says, heard).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, says, heard).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, received, connections, _tasks: tasks }
    }

    pub(super) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }

    /// The requests so far.
    pub(super) fn with<T>(&self, read: impl FnOnce(&[Received]) -> T) -> T {
        read(&self.received.lock().unwrap())
    }

    /// The exports so far.
    pub(super) fn exports(&self) -> Vec<ExportTraceServiceRequest> {
        self.with(|received| {
            let bodies = received.iter().map(|one| one.body.as_slice());
            bodies.map(|body| ExportTraceServiceRequest::decode(body).unwrap()).collect()
        })
    }

    /// The spans so far.
    pub(super) fn spans(&self) -> Vec<Span> {
        let resources = self.exports().into_iter().flat_map(|export| export.resource_spans);
        let scopes = resources.flat_map(|of| of.scope_spans);
        scopes.flat_map(|of| of.spans).collect()
    }

    /// Waits until there are so many spans of deletes, and returns all spans.
    pub(super) async fn deletes(&self, count: usize) -> Vec<Span> {
        let are_there = async || own(&self.spans()).count() >= count;
        becomes(&format!("{count} deletes are exported"), are_there).await;
        self.spans()
    }
}

/// Those of deletes, not of what they wait for.
pub(super) fn own(spans: &[Span]) -> impl Iterator<Item = &Span> {
    spans.iter().filter(|span| span.kind == SERVER)
}

pub(super) const INTERNAL: i32 = 1;
pub(super) const SERVER: i32 = 2;
pub(super) const CLIENT: i32 = 3;

/// The attributes of something.
pub(super) fn attributes(pairs: &[KeyValue]) -> BTreeMap<String, Value> {
    let value = |value: &Option<AnyValue>| match value.as_ref().unwrap().value.clone().unwrap() {
        any_value::Value::StringValue(text) => json!(text),
        any_value::Value::BoolValue(flag) => json!(flag),
        any_value::Value::IntValue(number) => json!(number),
        other @ (any_value::Value::DoubleValue(_)
        | any_value::Value::ArrayValue(_)
        | any_value::Value::KvlistValue(_)
        | any_value::Value::BytesValue(_)
        | any_value::Value::StringValueStrindex(_)) => {
            panic!("nothing else is expected: {other:?}")
        }
    };
    pairs.iter().map(|pair| (pair.key.clone(), value(&pair.value))).collect()
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    says: Says,
    received: Arc<Mutex<Vec<Received>>>,
) {
    let mut read = Vec::new();
    loop {
        let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") else {
            match stream.read_buf(&mut read).await {
                Ok(1..) => continue,
                _ => return,
            }
        };
        let head = String::from_utf8(read[..end].to_vec()).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let whole = end + 4 + length.expect("it says its length").parse::<usize>().unwrap();
        while read.len() < whole {
            if !matches!(stream.read_buf(&mut read).await, Ok(1..)) {
                return;
            }
        }
        let rest = read.split_off(whole);
        let body = read.split_off(end + 4);
        read = rest;
        received.lock().unwrap().push(Received { head, body });
        match &says {
            Says::Answer(status, body) => {
                let length = body.len();
                let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n");
                let answer = [head.as_bytes(), body].concat();
                if stream.write_all(&answer).await.is_err() {
                    return;
                }
            }
            Says::Nothing => std::future::pending().await,
        }
    }
}
