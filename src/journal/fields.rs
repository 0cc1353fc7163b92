//! Every field that a record may have, by name.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The fields of a record, in the order of docs/audit.md.
pub const FIELDS: [&str; 44] = [
    "v",
    "journal",
    "seq",
    "prev",
    "hash",
    "time",
    "event",
    "delete",
    "intended",
    "request_id",
    "trace_id",
    "peer",
    "peer_uid",
    "peer_pid",
    "caller",
    "proof",
    "tenant",
    "library",
    "space",
    "path",
    "permanent",
    "user_id",
    "decision",
    "dry_run",
    "status",
    "code",
    "rule",
    "ticket",
    "limit",
    "reason",
    "outcome",
    "smh_status",
    "smh_code",
    "smh_request_id",
    "recycled_item_id",
    "reversible",
    "irreversible",
    "misdirected",
    "attempts",
    "shadow_rules",
    "shadow_limits",
    "cause",
    "policy",
    "duration_us",
];

/// The JSON Schema of a record, as text that ends in a newline.
pub const SCHEMA: &str = include_str!("schema.json");

/// The values of a record's fields as text, each at the place that it has in [`FIELDS`]; a list's with
/// `; ` between them. What is not there, or not known here, is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cells<'l>([Cow<'l, str>; FIELDS.len()]);

impl<'l> Cells<'l> {
    /// Of a line.
    ///
    /// # Errors
    /// Where it is no JSON object.
    pub fn parse(line: &'l [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(line)
    }

    /// Each field with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        FIELDS.into_iter().zip(self.0.iter().map(AsRef::as_ref))
    }
}

impl<'de: 'l, 'l> Deserialize<'de> for Cells<'l> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Records;
        impl<'de> Visitor<'de> for Records {
            type Value = Cells<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a record")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Cells<'de>, A::Error> {
                let mut cells = [const { Cow::Borrowed("") }; FIELDS.len()];
                let mut next = 0;
                while let Some(Cell(name)) = map.next_key()? {
                    // They stand in this order, so the next one is mostly at hand.
                    let places = (next..FIELDS.len()).chain(0..next);
                    let is_it = |place: &usize| FIELDS.get(*place) == Some(&&*name);
                    match places.into_iter().find(is_it) {
                        Some(place) => {
                            let Cell(value) = map.next_value()?;
                            if let Some(cell) = cells.get_mut(place) {
                                *cell = value;
                            }
                            next = place + 1;
                        }
                        None => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(Cells(cells))
            }
        }
        deserializer.deserialize_map(Records)
    }
}

struct Cell<'l>(Cow<'l, str>);

impl<'de: 'l, 'l> Deserialize<'de> for Cell<'l> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyCell)
    }
}

struct AnyCell;

impl<'de> Visitor<'de> for AnyCell {
    type Value = Cell<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Cell<'de>, E> {
        Ok(Cell(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Cell<'de>, E> {
        Ok(Cell(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Cell<'de>, E> {
        Ok(Cell(Cow::Borrowed(if value { "true" } else { "false" })))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Cell<'de>, E> {
        Ok(Cell(Cow::Owned(itoa::Buffer::new().format(value).to_owned())))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Cell<'de>, E> {
        Ok(Cell(Cow::Owned(value.to_string())))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Cell<'de>, E> {
        Ok(Cell(Cow::Owned(value.to_string())))
    }

    fn visit_unit<E: Error>(self) -> Result<Cell<'de>, E> {
        Ok(Cell(Cow::Borrowed("")))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Cell<'de>, A::Error> {
        let mut all = String::new();
        while let Some(Cell(one)) = list.next_element()? {
            if !all.is_empty() {
                all.push_str("; ");
            }
            all.push_str(&one);
        }
        Ok(Cell(Cow::Owned(all)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Cell<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Cell(Cow::Borrowed("")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_is_a_text_at_its_place() {
        let line = br#"{"path":"a\n\u00e9","v":1,"permanent":true,"status":404,"x":{"y":[1]},
            "shadow_rules":["a","b c"],"cause":null,"tenant":"photos","limit":{"no":1},"rule":-1.5}"#;
        let cells = Cells::parse(line).unwrap();
        let there: Vec<_> = cells.iter().filter(|(_, value)| !value.is_empty()).collect();
        assert_eq!(
            there,
            [
                ("v", "1"),
                ("tenant", "photos"),
                ("path", "a\n\u{e9}"),
                ("permanent", "true"),
                ("status", "404"),
                ("rule", "-1.5"),
                ("shadow_rules", "a; b c"),
            ]
        );
        for line in ["", "[]", "1", "{", "{\"v\":}"] {
            assert!(Cells::parse(line.as_bytes()).is_err(), "{line}");
        }
    }
}
