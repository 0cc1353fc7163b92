//! The delete log for people: the same lines, as a terminal shows them best.

use std::fmt::{self, Write as _};
use std::io::{self, Write};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

/// Writes lines of the log as text: `TIME delete name=value …`. What is given to it at once are whole
/// lines. It is where nobody waits that serves.
pub struct Readable<W>(pub W);

impl<W: Write> Write for Readable<W> {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let mut shown = String::with_capacity(lines.len());
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            show(line, &mut shown);
        }
        self.0.write_all(shown.as_bytes())?;
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn show(line: &[u8], shown: &mut String) {
    // It is our own, and whole.
    let Pairs(pairs) = serde_json::from_slice(line).unwrap_or_default();
    for (at, (name, value)) in pairs.iter().enumerate() {
        let separator = if at == 0 { "" } else { " " };
        // Writing to a string cannot fail.
        let _ = match (name.as_str(), value) {
            ("time" | "event", Value::String(text)) => write!(shown, "{separator}{text}"),
            (_, Value::String(text)) if is_plain(text) => write!(shown, "{separator}{name}={text}"),
            // As Rust shows it: nothing in it reaches the terminal but what can be seen.
            (_, Value::String(text)) => write!(shown, "{separator}{name}={text:?}"),
            (_, Value::Array(texts)) => {
                let texts: Vec<_> = texts.iter().filter_map(Value::as_str).collect();
                write!(shown, "{separator}{name}={texts:?}")
            }
            (_, other) => write!(shown, "{separator}{name}={other}"),
        };
    }
    shown.push('\n');
}

fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'=' | b'\\'))
}

/// An object in the order in which it is written.
#[derive(Default)]
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Pairs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Pairs(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shown_in_its_order_and_nothing_in_it_moves_a_cursor() {
        let mut shown = Readable(Vec::new());
        let lines = "{\"time\":\"T\",\"event\":\"delete\",\"path\":\"a b/\\u001b[2J\\u202e\",\"caller\":\"app\",\
                     \"status\":204,\"permanent\":false,\"shadow_rules\":[\"one\",\"two\"]}\n{\"time\":\"T\"}\n";
        shown.write_all(lines.as_bytes()).unwrap();
        assert_eq!(
            String::from_utf8(shown.0).unwrap(),
            "T delete path=\"a b/\\u{1b}[2J\\u{202e}\" caller=app status=204 permanent=false \
             shadow_rules=[\"one\", \"two\"]\nT\n"
        );
    }
}
