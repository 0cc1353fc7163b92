//! A caller that speaks HTTP/2 frame by frame.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::support::{Gateway, KEY};

/// RFC 9113, section 6.
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const CONTINUATION: u8 = 9;
}

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const WHOLE: u8 = END_STREAM | END_HEADERS;
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// RFC 7541: literals without indexing, nothing compressed.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            integer(&mut bytes, text.len());
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    bytes
}

/// RFC 7541, section 5.1, with seven bits in front.
pub(crate) fn integer(bytes: &mut Vec<u8>, number: usize) {
    let Some(mut rest) = number.checked_sub(127) else {
        bytes.push(u8::try_from(number).unwrap());
        return;
    };
    bytes.push(127);
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).unwrap());
}

/// The fields of a good delete.
pub(crate) fn delete_of<'a>(
    target: &'a str,
    more: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![
        (":method", "DELETE"),
        (":scheme", "http"),
        (":authority", "gateway"),
        (":path", target),
        ("x-api-key", KEY),
    ];
    fields.extend_from_slice(more);
    fields
}

/// The same with one of them replaced, or left out where the new value is `None`.
pub(crate) fn changed<'a>(name: &'a str, value: Option<&'a str>) -> Vec<(&'a str, &'a str)> {
    let mut fields = delete_of("/v1/files/t1/bad", &[]);
    match value {
        Some(value) => fields.iter_mut().filter(|field| field.0 == name).for_each(|f| f.1 = value),
        None => fields.retain(|field| field.0 != name),
    }
    fields
}

/// What became of a stream.
#[derive(Debug, PartialEq)]
pub(crate) enum Told {
    /// The body as JSON; `Null` where it is empty.
    Answered(Value),
    Reset,
    /// The connection ended.
    Gone,
}

impl Told {
    pub(crate) fn code(&self) -> &str {
        match self {
            Self::Answered(body) => body["code"].as_str().unwrap_or_default(),
            Self::Reset | Self::Gone => "",
        }
    }

    pub(crate) fn is_recycled(&self) -> bool {
        matches!(self, Self::Answered(body) if body["recycledItemId"].is_u64())
    }
}

/// A caller that speaks HTTP/2, one frame after the other.
pub(crate) struct Frames {
    pub(crate) stream: TcpStream,
    pub(crate) read: Vec<u8>,
}

impl Frames {
    pub(crate) async fn open(gateway: &Gateway) -> Self {
        Self::open_at(gateway.address()).await
    }

    pub(crate) async fn open_at(gateway: SocketAddr) -> Self {
        let stream = TcpStream::connect(gateway).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut frames = Self { stream, read: Vec::new() };
        frames.write(&[PREFACE, &frame(kind::SETTINGS, 0, 0, &[])].concat()).await;
        frames
    }

    /// A gateway that gives up a connection may not take all of it.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    pub(crate) async fn ask(&mut self, stream: u32, fields: &[(&str, &str)]) {
        self.write(&frame(kind::HEADERS, WHOLE, stream, &block(fields))).await;
    }

    /// Kind, flags, stream and payload of the next frame; `None` at the end of the connection.
    pub(crate) async fn next(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        while self.read.len() < 9 || self.read.len() < 9 + self.length() {
            match self.stream.read_buf(&mut self.read).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
        let rest = self.read.split_off(9 + self.length());
        let mut whole = std::mem::replace(&mut self.read, rest);
        let payload = whole.split_off(9);
        let stream = u32::from_be_bytes(whole[5..9].try_into().unwrap());
        Some((whole[3], whole[4], stream, payload))
    }

    fn length(&self) -> usize {
        self.read[..3].iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
    }

    /// Reads until a stream ends in one way or another.
    pub(crate) async fn told(&mut self, stream: u32) -> Told {
        let told = async {
            let mut body = Vec::new();
            loop {
                let Some((kind, flags, of, payload)) = self.next().await else {
                    return Told::Gone;
                };
                if of != stream {
                    continue;
                }
                match kind {
                    kind::RST_STREAM => return Told::Reset,
                    kind::DATA => body.extend_from_slice(&payload),
                    _ => {}
                }
                if matches!(kind, kind::DATA | kind::HEADERS) && flags & END_STREAM != 0 {
                    return Told::Answered(serde_json::from_slice(&body).unwrap_or(Value::Null));
                }
            }
        };
        tokio::time::timeout(PATIENCE, told).await.expect("an end in time")
    }

    /// Sends one request as the first of a new connection.
    pub(crate) async fn ask_first(gateway: &Gateway, fields: &[(&str, &str)]) -> Told {
        let mut frames = Self::open(gateway).await;
        frames.ask(1, fields).await;
        frames.told(1).await
    }
}
