//! What a caller says of the trace that its request is a part of.

use http::{HeaderMap, HeaderName, HeaderValue};
use smh_gateway::traces::Context;

/// What is taken stands there, digit for digit, and is not zero.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(field) = HeaderValue::from_bytes(bytes) else { return };
    let name = HeaderName::from_static("traceparent");
    let Some(context) = Context::of(&HeaderMap::from_iter([(name, field)])) else { return };
    let text = str::from_utf8(bytes.get(..55).unwrap_or_default()).unwrap_or_default();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace_id, parent, flags] = *parts else { panic!("{text}") };
    assert!(version != "ff" && (version != "00" || bytes.len() == text.len()), "{text}");
    assert_eq!((trace_id, parent), (context.trace_id.as_str(), &*hex(&context.parent.to_bytes())));
    assert_eq!(hex(&context.trace_id.to_bytes()), trace_id);
    assert!(context.trace_id.to_bytes() != [0; 16] && context.parent.to_bytes() != [0; 8]);
    let flags = u8::from_str_radix(flags, 16).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(context.is_sampled, flags & 1 == 1);
}
