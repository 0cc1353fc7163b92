//! Header fields by name, of messages that have few: to look at each takes less than to hash the name.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The values of all fields of this name, in their order.
pub(crate) fn named<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'h HeaderValue> {
    headers.iter().filter(move |(field, _)| *field == name).map(|(_, value)| value)
}
