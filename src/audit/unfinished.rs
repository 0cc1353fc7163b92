//! Deletes of which a journal has the intent and not what became of them: their gateway was killed.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use memchr::memmem;

use crate::journal::{Entry, Line, Reader, all_rotated};
use crate::log::JsonLine;

/// Such a delete.
pub(super) struct Intent {
    line: Vec<u8>,
}

const INTENT: &[u8] = b"\"event\":\"intent\",\"delete\":\"";

const DELETE: &[u8] = b"\"event\":\"delete\",\"delete\":\"";

/// All of them, in the order in which they began. Looks at the end of the journal, in which all lie that
/// were under way at once.
pub(super) fn unfinished(path: &Path) -> io::Result<Vec<Intent>> {
    let mut open = HashMap::new();
    if fs::metadata(path)?.len() < LOOKED_AT
        && let Some(before) = all_rotated(path)?.pop()
    {
        scan(&before.path, &mut open)?;
    }
    scan(path, &mut open)?;
    let mut left: Vec<(u64, Intent)> = open.into_values().collect();
    left.sort_by_key(|(seq, _)| *seq);
    Ok(left.into_iter().map(|(_, intent)| intent).collect())
}

fn scan(path: &Path, open: &mut HashMap<Vec<u8>, (u64, Intent)>) -> io::Result<()> {
    let mut reader = Reader::open_end(path, LOOKED_AT)?;
    while let Some(line) = reader.read()? {
        let Line::Record(sealed) = line else { continue };
        let text = sealed.text();
        if let Some(id) = behind(text, INTENT) {
            open.insert(id.to_vec(), (sealed.seq, Intent { line: text.to_vec() }));
        } else if let Some(id) = behind(text, DELETE) {
            open.remove(id);
        }
    }
    Ok(())
}

/// The text that begins behind this. A quote in a text is escaped, so this is found in none.
fn behind<'l>(line: &'l [u8], start: &[u8]) -> Option<&'l [u8]> {
    let rest = line.get(memmem::find(line, start)? + start.len()..)?;
    rest.get(..memchr::memchr(b'"', rest)?)
}

impl Intent {
    /// The record that says that nobody knows what became of it.
    pub(super) fn closing_body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.line.len() + 128);
        let mut line = JsonLine::new(&mut body);
        line.now().text("event", "delete");
        let id = behind(&self.line, INTENT).and_then(|id| str::from_utf8(id).ok());
        line.text("delete", id.unwrap_or_default());
        // What the intent says of the delete, as it stands there.
        let known = self.known().unwrap_or_default();
        if !known.is_empty() {
            line.raw(known);
        }
        line.text("outcome", "unknown");
        line.text("cause", "the gateway ended before it recorded what became of it");
        line.end();
        body.pop();
        body.remove(0);
        body
    }

    /// The fields between its name and its hash.
    fn known(&self) -> Option<&[u8]> {
        let from = memmem::find(&self.line, INTENT)? + INTENT.len();
        let rest = self.line.get(from..)?;
        let rest = rest.get(memchr::memchr(b'"', rest)? + 1..)?;
        let end = memmem::rfind(rest, b",\"hash\":\"")?;
        rest.get(..end)?.strip_prefix(b",")
    }

    /// Tenant, path and request id, for the log.
    pub(super) fn names(&self) -> (String, String, String) {
        let Ok(entry) = Entry::parse(&self.line) else { return Default::default() };
        let text = |text: &Option<crate::journal::Text<'_>>| {
            text.as_ref().map(|text| text.escape_debug().to_string()).unwrap_or_default()
        };
        (text(&entry.tenant), text(&entry.path), text(&entry.request_id))
    }
}

/// More than is written in the time that a delete may take.
const LOOKED_AT: u64 = 256 << 20;
