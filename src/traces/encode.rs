//! Spans as OTLP has them (opentelemetry-proto 1.x, `trace.proto`), in the encoding of Protocol Buffers.
//!
//! By hand, since it is little, and since a span can then be written where a delete ends, into a buffer
//! that is sent as it stands. What reads it in the tests is OpenTelemetry's own.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::refusal::render::PRODUCT;
use crate::traces::{Kind, Parent, Span, TraceId, TracesPlan, Value};

/// Appends one span as an element of `ScopeSpans.spans`.
pub(super) fn span(buffer: &mut Vec<u8>, trace_id: TraceId, span: &Span<'_>) {
    nested(buffer, 2, |buffer| {
        bytes(buffer, 1, &trace_id.to_bytes());
        bytes(buffer, 2, &span.id.to_bytes());
        let is_remote = match span.parent {
            Some(Parent::Remote(id) | Parent::Own(id)) => {
                bytes(buffer, 4, &id.to_bytes());
                matches!(span.parent, Some(Parent::Remote(_)))
            }
            None => false,
        };
        bytes(buffer, 5, span.name.as_bytes());
        number(
            buffer,
            6,
            match span.kind {
                Kind::Internal => 1,
                Kind::Server => 2,
                Kind::Client => 3,
            },
        );
        fixed64(buffer, 7, nanos(span.from));
        fixed64(buffer, 8, nanos(span.to.max(span.from)));
        for (name, value) in &span.attributes {
            attribute(buffer, 9, name, *value);
        }
        if span.failed {
            nested(buffer, 15, |status| number(status, 3, STATUS_ERROR));
        }
        let remote = if is_remote { FLAG_REMOTE } else { 0 };
        fixed32(buffer, 16, FLAG_SAMPLED | FLAG_KNOWS_REMOTE | remote);
    });
}

/// A whole `ExportTraceServiceRequest` around such spans.
pub(super) fn request(plan: &TracesPlan, spans: &[u8]) -> Vec<u8> {
    let mut head = Vec::with_capacity(512);
    nested(&mut head, 1, |resource| {
        attribute(resource, 1, "service.name", Value::Text(&plan.service));
        attribute(resource, 1, "service.version", Value::Text(env!("CARGO_PKG_VERSION")));
        for (name, value) in &plan.attributes {
            attribute(resource, 1, name, Value::Text(value));
        }
    });
    let mut scope = Vec::with_capacity(64);
    nested(&mut scope, 1, |scope| {
        bytes(scope, 1, PRODUCT.as_bytes());
        bytes(scope, 2, env!("CARGO_PKG_VERSION").as_bytes());
    });
    let scope_bytes = scope.len() + spans.len();
    tag(&mut head, 2, LENGTH);
    varint(&mut head, scope_bytes as u64);
    let mut whole = Vec::with_capacity(head.len() + scope_bytes + 2 * LONGEST_VARINT);
    tag(&mut whole, 1, LENGTH);
    varint(&mut whole, (head.len() + scope_bytes) as u64);
    whole.extend_from_slice(&head);
    whole.extend_from_slice(&scope);
    whole.extend_from_slice(spans);
    whole
}

/// How many spans a collector says it has rejected (`ExportTraceServiceResponse.partial_success`); none
/// where its answer cannot be read.
pub(super) fn rejected(answer: &[u8]) -> u64 {
    let partial = fields(answer).find_map(|(field, content)| match (field, content) {
        (1, Content::Bytes(partial)) => Some(partial),
        _ => None,
    });
    let count =
        partial.into_iter().flat_map(fields).find_map(|(field, content)| match (field, content) {
            (1, Content::Number(count)) => Some(count),
            _ => None,
        });
    count.unwrap_or(0)
}

enum Content<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed,
}

/// The fields of a message, up to what is malformed.
fn fields(mut rest: &[u8]) -> impl Iterator<Item = (u64, Content<'_>)> {
    std::iter::from_fn(move || {
        let key = read_varint(&mut rest)?;
        let content = match key & 7 {
            NUMBER => Content::Number(read_varint(&mut rest)?),
            LENGTH => {
                let length = usize::try_from(read_varint(&mut rest)?).ok()?;
                Content::Bytes(rest.split_off(..length)?)
            }
            FIXED64 => rest.split_off(..8).map(|_| Content::Fixed)?,
            FIXED32 => rest.split_off(..4).map(|_| Content::Fixed)?,
            _ => return None,
        };
        Some((key >> 3, content))
    })
}

fn read_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for at in 0..LONGEST_VARINT {
        let byte = *rest.split_off_first()?;
        number |= u64::from(byte & 0x7F) << (7 * at);
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn attribute(buffer: &mut Vec<u8>, field: u64, name: &str, value: Value<'_>) {
    nested(buffer, field, |pair| {
        bytes(pair, 1, name.as_bytes());
        nested(pair, 2, |any| match value {
            Value::Text(text) => bytes(any, 1, text.as_bytes()),
            Value::Digits(value) => bytes(any, 1, itoa::Buffer::new().format(value).as_bytes()),
            Value::Flag(flag) => number(any, 2, u64::from(flag)),
            Value::Number(value) => number(any, 3, u64::from(value)),
        });
    });
}

/// A message in a message: its length, which is known only behind it, is put before it then.
fn nested(buffer: &mut Vec<u8>, field: u64, write: impl FnOnce(&mut Vec<u8>)) {
    tag(buffer, field, LENGTH);
    let start = buffer.len();
    write(buffer);
    let length = buffer.len() - start;
    varint(buffer, length as u64);
    if let Some(moved) = buffer.get_mut(start..) {
        moved.rotate_left(length);
    }
}

fn bytes(buffer: &mut Vec<u8>, field: u64, content: &[u8]) {
    tag(buffer, field, LENGTH);
    varint(buffer, content.len() as u64);
    buffer.extend_from_slice(content);
}

fn number(buffer: &mut Vec<u8>, field: u64, value: u64) {
    tag(buffer, field, NUMBER);
    varint(buffer, value);
}

fn fixed64(buffer: &mut Vec<u8>, field: u64, value: u64) {
    tag(buffer, field, FIXED64);
    buffer.extend_from_slice(&value.to_le_bytes());
}

fn fixed32(buffer: &mut Vec<u8>, field: u64, value: u32) {
    tag(buffer, field, FIXED32);
    buffer.extend_from_slice(&value.to_le_bytes());
}

fn tag(buffer: &mut Vec<u8>, field: u64, wire: u64) {
    varint(buffer, field << 3 | wire);
}

fn varint(buffer: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            buffer.push(low & 0x7F);
            return;
        }
        buffer.push(low | 0x80);
    }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

// How a field is written, in the low bits of its tag.
const NUMBER: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH: u64 = 2;
const FIXED32: u64 = 5;

const LONGEST_VARINT: usize = 10;

const STATUS_ERROR: u64 = 2;

// `SpanFlags`: those of W3C, whether it is known where the parent is, and whether that is elsewhere.
const FLAG_SAMPLED: u32 = 1;
const FLAG_KNOWS_REMOTE: u32 = 0x100;
const FLAG_REMOTE: u32 = 0x200;

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceResponse,
    };
    use proptest::prelude::*;
    use prost::Message;

    #[test]
    fn what_a_collector_rejected_is_read_from_its_answer() {
        assert_eq!(rejected(&[]), 0);
        for count in [0, 1, 127, 128, 70_000] {
            let error_message = "too many".to_owned();
            let partial = ExportTracePartialSuccess { rejected_spans: count, error_message };
            let answer = ExportTraceServiceResponse { partial_success: Some(partial) };
            assert_eq!(rejected(&answer.encode_to_vec()), u64::try_from(count).unwrap());
        }
    }

    proptest! {
        #[test]
        fn no_answer_is_too_strange_to_be_read(answer: Vec<u8>) {
            rejected(&answer);
        }
    }
}
