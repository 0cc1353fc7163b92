//! Journals read by the real binary: listed, proved, and decided again.

/// `audit list`: which records, and how they are shown.
mod list;
/// `audit list -f`: what is written while it looks.
mod follow;
/// `audit verify`: what a chain proves, and what only a head does.
mod verify;
/// `replay`: what would change.
mod replay;
/// The JSON Schema, the reader and the guide have the same fields.
mod fields;
/// What is no journal, or no whole one.
mod bad;

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use smh_gateway::journal::Head;
use tempfile::TempDir;

use crate::support::binary::{Ran, run};

/// One gateway's journal, sealed as a gateway seals it.
struct Journal {
    head: Head,
    text: Vec<u8>,
}

impl Journal {
    fn new() -> Self {
        Self { head: Head::of_new(), text: Vec::new() }
    }

    /// Of these bodies.
    fn of<B: AsRef<str>>(bodies: impl IntoIterator<Item = B>) -> Self {
        let mut journal = Self::new();
        bodies.into_iter().for_each(|body| journal.add(body));
        journal
    }

    fn add(&mut self, body: impl AsRef<str>) {
        self.head.seal(body.as_ref().as_bytes(), &mut self.text);
    }

    /// Each line with its end.
    fn lines(&self) -> Vec<&[u8]> {
        self.text.split_inclusive(|&byte| byte == b'\n').collect()
    }
}

/// A record of a delete, in the first second of that minute.
fn delete(minute: u32, fields: &str) -> String {
    format!("\"time\":\"2026-11-25T13:{minute:02}:00.000000Z\",\"event\":\"delete\",{fields}")
}

/// Ten minutes of a gateway.
fn story() -> Journal {
    Journal::of([
        "\"time\":\"2026-11-25T13:00:00.000000Z\",\"event\":\"start\"".to_owned(),
        delete(1, r#""request_id":"r-1","caller":"app","tenant":"photos","path":"2025/a b.jpg""#)
            .replace("\"delete\"", "\"intent\""),
        delete(
            1,
            r#""request_id":"r-1","caller":"app","tenant":"photos","path":"2025/a b.jpg","status":200,"outcome":"relayed","recycled_item_id":12,"reversible":true"#,
        ),
        delete(
            2,
            r#""request_id":"r-2","caller":"janitor","tenant":"photos","path":"tmp/x","permanent":true,"status":204,"outcome":"relayed","reversible":false"#,
        ),
        delete(
            3,
            r#""request_id":"r-3","caller":"app","tenant":"contracts","path":"legal/a.pdf","status":403,"code":"DeniedByRule","rule":"legal hold","outcome":"refused""#,
        ),
        delete(
            4,
            r#""request_id":"r-4","caller":"app","tenant":"photos","path":"=cmd|x","status":504,"code":"UpstreamTimeout","outcome":"unknown""#,
        ),
        delete(
            5,
            r#""request_id":"r-5","status":401,"code":"Unauthenticated","outcome":"refused""#,
        ),
        "\"time\":\"2026-11-25T13:10:00.000000Z\",\"event\":\"stop\"".to_owned(),
    ])
}

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

fn compressed(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// `audit` with these arguments.
async fn audit(folder: &Path, arguments: &[&str]) -> Ran {
    run(folder, &[&["audit"], arguments].concat()).await
}
