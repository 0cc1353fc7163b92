//! YAML as a tree of places and texts.
//!
//! serde-saphyr reads it, but no value gets its type here: `1.20`, `0123`, `on` and `1e10` are
//! texts until the decoder of the field says what belongs there. So a plain scalar that
//! serde-saphyr took for a number or a boolean is read again from the source, at its span.
//!
//! Refused, because a reader of the file could be misled: a key given twice, anchors, aliases and
//! merge keys, tags, several documents.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde_saphyr::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy, Spanned, Tagged};

use super::report::{Problem, Report};
use super::shown;
use super::source::{self, FileId, Layout, Place};

mod fault;
mod raw;

use raw::Raw;

/// Deepest nesting; the configuration needs eight levels. Reading recurses, and a level takes
/// 60 to 80 KiB of stack in a debug build, of the 2 MiB that a thread has.
pub const MAX_DEPTH: usize = 16;

/// Most keys and values of a file: 10,000 callers and as many tenants, or 20,000 rules.
pub const MAX_NODES: usize = 200_000;

/// A value and where it stands.
#[derive(Debug)]
pub struct Node {
    /// Where its first line stands; of a block map, its first key.
    pub place: Place,
    /// What stands there.
    pub value: Value,
    bytes: Range<usize>,
}

/// What may stand in a YAML file.
#[derive(Debug)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// A text of any look.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the file, each key once.
    Map(Vec<Entry>),
}

/// A text as it stands in the file, quotes and escapes resolved.
pub struct Scalar {
    /// The text.
    pub text: String,
    /// Whether it was quoted or a block, so that it cannot mean a boolean or a number.
    pub quoted: bool,
    /// Whether it is a secret, as far as the keys above it tell. Then no message repeats it.
    pub sensitive: bool,
}

/// A key of a map and its value.
#[derive(Debug)]
pub struct Entry {
    /// The key.
    pub key: Scalar,
    /// Where the key stands.
    pub key_place: Place,
    /// Its value.
    pub value: Node,
    key_bytes: Range<usize>,
}

impl Scalar {
    /// The text for a message: in backticks and escaped, or without the text if it is a secret.
    #[must_use]
    pub fn shown(&self) -> String {
        match &*self.text {
            _ if self.sensitive => shown::REDACTED.to_owned(),
            "" => "an empty text".to_owned(),
            text => shown::quoted(text),
        }
    }
}

impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl Node {
    /// What stands here, as a noun with its article.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Scalar(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// The bytes of every text in here that is not a key with a value: all that can be a secret.
    pub(super) fn scalar_ranges(&self) -> Vec<Range<usize>> {
        match &self.value {
            Value::Null => Vec::new(),
            Value::Scalar(_) => vec![self.bytes.clone()],
            Value::List(items) => items.iter().flat_map(Self::scalar_ranges).collect(),
            Value::Map(entries) => entries.iter().flat_map(Entry::scalar_ranges).collect(),
        }
    }
}

impl Entry {
    /// The bytes of the key.
    pub(super) fn key_range(&self) -> Range<usize> {
        self.key_bytes.clone()
    }

    fn scalar_ranges(&self) -> Vec<Range<usize>> {
        match self.value.value {
            // `token: { abc }` is a map with a key and nothing in it.
            Value::Null => vec![self.key_bytes.clone()],
            Value::Scalar(_) | Value::List(_) | Value::Map(_) => self.value.scalar_ranges(),
        }
    }
}

/// Reads a file into a tree. `None`, and a problem, when there is none; a tree may come with
/// problems too. An empty file is a [`Value::Null`].
pub fn read(report: &mut Report, name: &str, bytes: &[u8]) -> Option<Node> {
    let file = report.add_file(name, bytes)?;
    let text = report.text(file)?;
    match serde_saphyr::from_str_with_options::<Spanned<Tagged<Raw>>>(&text, options()) {
        Ok(raw) => {
            let mut tree = Tree { file, text, report, layout: Layout::default() };
            let root = tree.node(raw, Around::Open);
            let layout = tree.layout;
            report.set_layout(file, layout);
            Some(root)
        }
        Err(error) => {
            report.push(fault::problem(file, &text, &error));
            None
        }
    }
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_anchors: 0,
            max_aliases: 0,
            max_documents: 1,
        },
        strict_booleans: true,
        // Every one is reported below; serde-saphyr would stop at the first.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::AsOrdinary,
        // Tags are reported below, each with its place.
        reject_unsupported_tags: false,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        // Both repeat the file, and so its secrets.
        with_snippet: false,
        emit_comments: false,
    }
}

/// What the keys above a value say about it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Around {
    /// Nothing.
    Open,
    /// It is a secret, or holds one.
    Secret,
    /// It is a field beside a secret that never is one.
    Beside,
    /// It names an environment variable, unless the secret itself was put there.
    Variable,
}

impl Around {
    fn under(self, key: &str) -> Self {
        if shown::names_a_secret(key) {
            return Self::Secret;
        }
        match (self, key) {
            (Self::Open, _) => Self::Open,
            (_, "env") => Self::Variable,
            (_, key) if BESIDE_SECRETS.contains(&key) => Self::Beside,
            _ => Self::Secret,
        }
    }

    fn hides(self, text: &str) -> bool {
        let variable = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        match self {
            Self::Open | Self::Beside => false,
            Self::Secret => true,
            Self::Variable => !text.chars().all(variable),
        }
    }
}

/// Fields that may stand below a key like `token`, or below a caller called `monkey`, and are
/// fit to be shown.
const BESIDE_SECRETS: [&str; 15] = [
    "audience",
    "file",
    "grant",
    "grant_reason",
    "issuer",
    "library",
    "period",
    "space",
    "spiffe_id",
    "subject",
    "tenants",
    "trust",
    "until",
    "url",
    "user_id",
];

/// Turns what serde-saphyr read into our own tree.
struct Tree<'r> {
    file: FileId,
    text: Arc<str>,
    report: &'r mut Report,
    layout: Layout,
}

impl Tree<'_> {
    fn node(&mut self, raw: Spanned<Tagged<Raw>>, around: Around) -> Node {
        let Spanned { value: Tagged(value, tag), referenced, .. } = raw;
        let bytes = self.bytes(&referenced);
        let mut place = self.place(&referenced, &bytes);
        if tag.is_some() {
            self.report.push(fault::tag(place));
            // A secret that begins with `!` was read as a tag.
            let tag = self.tag_before(bytes.start);
            self.layout.hidden.extend(tag);
        }
        let value = match value {
            Raw::Null => Value::Null,
            Raw::Typed | Raw::Text(_) => Value::Scalar(self.scalar(value, &bytes, around)),
            Raw::List(items) => {
                Value::List(items.into_iter().map(|item| self.node(item, around)).collect())
            }
            Raw::Map(entries) => {
                let entries = self.entries(entries, around);
                // A block map has no character of its own to point at; its first key has.
                if let Some(first) = entries.first().map(|entry| entry.key_place)
                    && (first.line, first.column) == (place.line, place.column)
                {
                    place = first;
                }
                Value::Map(entries)
            }
        };
        Node { place, value, bytes }
    }

    /// Where the tag of a value stands, the value beginning there.
    fn tag_before(&self, start: usize) -> Option<Range<usize>> {
        let before = self.text.get(..start)?.trim_end();
        let outside = |c: char| c.is_whitespace() || matches!(c, '[' | '{' | ',');
        let from = before.rfind(outside).map_or(0, |last| last + 1);
        before.get(from..)?.starts_with('!').then_some(from..before.len())
    }

    fn entries(&mut self, raw: Vec<(raw::Node, raw::Node)>, around: Around) -> Vec<Entry> {
        let mut first_lines: HashMap<String, u32> = HashMap::with_capacity(raw.len());
        let mut entries = Vec::with_capacity(raw.len());
        for (key, value) in raw {
            let empty = matches!(value.value.0, Raw::Null);
            let Some((key, key_place, key_bytes)) = self.key(key, around, empty) else {
                self.node(value, Around::Secret);
                continue;
            };
            let value = self.node(value, around.under(&key.text));
            if let Some(line) = first_lines.get(&key.text) {
                let message = format!("{} is already given on line {line}", key.shown());
                self.report.error(key_place, message);
                continue;
            }
            first_lines.insert(key.text.clone(), key_place.line);
            entries.push(Entry { key, key_place, value, key_bytes });
        }
        entries
    }

    /// A key, or nothing and a problem when it is not a text.
    fn key(
        &mut self,
        raw: raw::Node,
        around: Around,
        empty: bool,
    ) -> Option<(Scalar, Place, Range<usize>)> {
        // Below `token:` a key with nothing after it is rather a secret in braces.
        let around = if empty && around != Around::Open { Around::Secret } else { Around::Open };
        let node = self.node(raw, around);
        let problem = match node.value {
            Value::Scalar(key) if key.text == "<<" && !key.quoted => {
                Problem::error(node.place, "merge keys (`<<`) are not supported")
                    .with_help("write the fields out")
            }
            Value::Scalar(key) => return Some((key, node.place, node.bytes)),
            Value::Null => Problem::error(node.place, "a key is missing here"),
            Value::List(_) | Value::Map(_) => {
                Problem::error(node.place, format!("a key is a text, not {}", node.kind()))
            }
        };
        self.report.push(problem);
        None
    }

    fn scalar(&mut self, raw: Raw, bytes: &Range<usize>, around: Around) -> Scalar {
        let source = self.text.get(bytes.clone()).unwrap_or_default();
        let (text, quoted) = match raw {
            Raw::Text(text) => {
                // Only a block scalar spans a line end without being folded, or nothing at all.
                let quoted = source.starts_with(['"', '\'']) || source.ends_with(['\n', '\r']);
                let quoted = quoted || text.is_empty();
                (text, quoted)
            }
            Raw::Typed | Raw::Null | Raw::List(_) | Raw::Map(_) => (source.to_owned(), false),
        };
        let sensitive = around.hides(&text);
        self.layout.scalars.push(bytes.clone());
        if sensitive {
            self.layout.hidden.push(bytes.clone());
        }
        Scalar { text, quoted, sensitive }
    }

    fn bytes(&self, location: &serde_saphyr::Location) -> Range<usize> {
        let offset = |value: Option<u64>| usize::try_from(value.unwrap_or_default()).ok();
        let start = offset(location.span().byte_offset()).unwrap_or_default();
        let length = offset(location.span().byte_len()).unwrap_or_default();
        start..start.saturating_add(length)
    }

    fn place(&self, location: &serde_saphyr::Location, bytes: &Range<usize>) -> Place {
        let first_line = self.text.get(bytes.clone()).and_then(|text| text.lines().next());
        let width = first_line.map_or(1, |line| line.chars().count().max(1));
        Place { width: source::clamped(width), ..fault::place(self.file, location) }
    }
}

#[cfg(test)]
mod tests;
