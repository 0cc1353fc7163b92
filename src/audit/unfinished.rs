//! Deletes of which a journal has the intent and not what became of them: their gateway was killed.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use memchr::memmem;

use crate::audit::without_braces;
use crate::journal::{Entry, JournalId, Line, Reader};
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
    let mut files = vec![path.to_owned()];
    let mut looked_at = fs::metadata(path)?.len();
    for (before, length) in moved_away(path)? {
        if looked_at >= LOOKED_AT {
            break;
        }
        looked_at += length;
        files.push(before);
    }
    for file in files.iter().rev() {
        scan(file, &mut open)?;
    }
    let mut left: Vec<(u64, Intent)> = open.into_values().collect();
    left.sort_by_key(|(seq, _)| *seq);
    Ok(left.into_iter().map(|(_, intent)| intent).collect())
}

/// Whatever this one was called once it was full, by us or by others: the newest first.
fn moved_away(path: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut found = Vec::new();
    for entry in fs::read_dir(folder.unwrap_or(Path::new(".")))? {
        let entry = entry?;
        let file = entry.file_name();
        let rest = file.to_str().and_then(|file| file.strip_prefix(&*name));
        let about = entry.metadata()?;
        if rest.is_some_and(|rest| rest.starts_with(['.', '-'])) && about.is_file() {
            found.push((about.modified()?, entry.path(), about.len()));
        }
    }
    found.sort_by_key(|(modified, ..)| std::cmp::Reverse(*modified));
    Ok(found.into_iter().map(|(_, path, length)| (path, length)).collect())
}

type Open = HashMap<(JournalId, Vec<u8>), (u64, Intent)>;

fn scan(path: &Path, open: &mut Open) -> io::Result<()> {
    let is_plain = path.extension().is_none_or(|extension| extension != "gz");
    let mut reader =
        if is_plain { Reader::open_end(path, LOOKED_AT)? } else { Reader::open(path)? };
    while let Some(line) = reader.read()? {
        let Line::Record(sealed) = line else { continue };
        let text = sealed.text();
        if let Some(id) = behind(text, INTENT) {
            let intent = Intent { line: text.to_vec() };
            open.insert((sealed.journal, id.to_vec()), (sealed.seq, intent));
        } else if let Some(id) = behind(text, DELETE) {
            open.remove(&(sealed.journal, id.to_vec()));
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
        let entry = Entry::parse(&self.line).ok();
        line.text_if("intended", entry.as_ref().map(|entry| &*entry.time));
        // What the intent says of the delete, as it stands there.
        let known = self.known().unwrap_or_default();
        if !known.is_empty() {
            line.raw(known);
        }
        line.text("outcome", "unknown");
        line.text("cause", "its gateway ended without a record of what became of it");
        line.end();
        without_braces(&body).to_vec()
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
