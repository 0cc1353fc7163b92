//! JSON objects in which no name stands twice, and base64url that can be written in one way only.
//!
//! Of two members with one name some readers take the first, others the last: a token must not
//! mean one thing to its issuer and another here.

use std::cell::Cell;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Why bytes are not such an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotAnObject {
    /// A name stands twice in one object, at whatever depth.
    Repeated,
    Malformed,
}

/// Reads one object, and nothing after it. The depth is bounded by `serde_json`.
pub(super) fn object(bytes: &[u8]) -> Result<Map<String, Value>, NotAnObject> {
    let repeated = Cell::new(false);
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = Strict(&repeated).deserialize(&mut json);
    match (value, json.end()) {
        (Ok(Value::Object(members)), Ok(())) => Ok(members),
        _ if repeated.get() => Err(NotAnObject::Repeated),
        _ => Err(NotAnObject::Malformed),
    }
}

/// Without padding, whitespace, or bits that stand for nothing.
pub(super) fn base64url(text: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Says in its cell whether a repeated name is what made it fail.
#[derive(Clone, Copy)]
struct Strict<'a>(&'a Cell<bool>);

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            // Before its value, so that what is deep inside a second one is never read.
            if object.contains_key(&name) {
                self.0.set(true);
                return Err(A::Error::custom("a name stands twice"));
            }
            object.insert(name, members.next_value_seed(self)?);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_stands_twice_is_refused_at_every_depth() {
        for json in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":{"a":1,"a":2}}"#,
            r#"{"x":[[{"a":1,"b":2,"a":3}]]}"#,
        ] {
            assert_eq!(object(json.as_bytes()), Err(NotAnObject::Repeated), "{json}");
        }
        object(br#"{"a":{"a":[{"a":1},{"a":2}]},"A":null}"#).unwrap();
    }

    #[test]
    fn only_one_whole_object_is_read() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
        for json in ["", "1", "[]", "\"{}\"", "null", "{", "{}{}", "{} x", "{\"a\":1e400}", &deep] {
            assert_eq!(object(json.as_bytes()), Err(NotAnObject::Malformed), "{json}");
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}"), Err(NotAnObject::Malformed));
        assert_eq!(object(br#"{"a":"\ud800"}"#), Err(NotAnObject::Malformed));
        object(b" {\"a\" : 1.5}\n").unwrap();
    }

    #[test]
    fn base64url_is_written_in_one_way() {
        assert_eq!(base64url("Zm8").as_deref(), Some(&b"fo"[..]));
        for text in ["Zm8=", "Z", "Zm8 ", " Zm8", "Zm\n8", "Zm8\0", "+/8", "Zm8é"] {
            assert_eq!(base64url(text), None, "{text:?}");
        }
        assert_eq!(base64url("Zm9"), None, "the last two bits stand for nothing");
    }
}
