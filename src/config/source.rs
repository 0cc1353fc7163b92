//! A configuration file as text, and places in it.
//!
//! Nothing here touches the file system: whoever reads the bytes hands them over with a name.

use std::ops::Range;
use std::sync::Arc;

/// Largest file that is looked at, in bytes. Kubernetes stops a `ConfigMap` at 1 MiB; past four
/// times that it is the wrong file, and reading on would only cost time and memory.
pub const MAX_FILE_BYTES: usize = 4 << 20;

/// A file of one [`Report`](super::report::Report), by the order in which it was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub(super) usize);

/// Where something stands: a run of characters on one line of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file.
    pub file: FileId,
    /// The line, from 1.
    pub line: u32,
    /// The first character, from 1; one past the last where something is missing at the end.
    pub column: u32,
    /// How many characters are meant, at least 1.
    pub width: u32,
}

/// A value that remembers where it was written, for checks that come later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Spanned<T> {
    /// Where the value stands.
    pub place: Place,
    /// The value.
    pub value: T,
}

/// One file: its text, and what of it may be shown.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: Arc<str>,
    pub(super) text: Arc<str>,
    /// Byte offset of each line's first character.
    line_starts: Vec<usize>,
    /// What the parser found, once it has. Without it nobody knows which part of a line is a
    /// secret, and no line is shown.
    pub(super) layout: Option<Layout>,
}

/// What the parser knows about the bytes of a file.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// Every key and scalar, in order: a `#` inside one does not begin a comment.
    pub(super) scalars: Vec<Range<usize>>,
    /// What must not be shown.
    pub(super) hidden: Vec<Range<usize>>,
}

impl Source {
    pub(super) fn new(name: &str, text: &str) -> Self {
        Self {
            name: Arc::from(name),
            text: Arc::from(text),
            line_starts: line_starts(text),
            layout: None,
        }
    }

    /// The byte range of a line, without its end.
    pub(super) fn line(&self, line: u32) -> Option<Range<usize>> {
        let index = usize::try_from(line).ok()?.checked_sub(1)?;
        let start = *self.line_starts.get(index)?;
        let end = self.line_starts.get(index + 1).copied().unwrap_or(self.text.len());
        let line = self.text.get(start..end)?;
        Some(start..start + line.trim_end_matches(['\n', '\r']).len())
    }
}

/// Why bytes are not a text that can be parsed: what is wrong, and after which text.
pub(super) struct Unreadable<'a> {
    pub(super) message: String,
    pub(super) before: Option<&'a [u8]>,
}

/// The text of a file, without a byte order mark.
pub(super) fn text_of(bytes: &[u8]) -> Result<&str, Unreadable<'_>> {
    if bytes.len() > MAX_FILE_BYTES {
        let message = format!("the file is larger than {} MiB", MAX_FILE_BYTES >> 20);
        return Err(Unreadable { message, before: None });
    }
    if matches!(bytes, [0xFE, 0xFF, ..] | [0xFF, 0xFE, ..] | [0, _, ..] | [_, 0, ..]) {
        let message = "the file is UTF-16 or UTF-32; save it as UTF-8".to_owned();
        return Err(Unreadable { message, before: None });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| Unreadable {
        message: "the file is not UTF-8 from here on".to_owned(),
        before: bytes.get(..error.valid_up_to()),
    })?;
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    match text.char_indices().find(|&(_, character)| is_forbidden(character)) {
        None => Ok(text),
        Some((offset, character)) => Err(Unreadable {
            message: format!("a control character, U+{:04X}, stands here", u32::from(character)),
            before: text.as_bytes().get(..offset),
        }),
    }
}

/// Line and column, from 1, of what follows `text`.
pub(super) fn position_after(text: &str) -> (u32, u32) {
    let starts = line_starts(text);
    let last = starts.last().copied().unwrap_or_default();
    let columns = text.get(last..).map_or(0, |line| line.chars().count());
    (clamped(starts.len()), clamped(columns + 1))
}

/// A count as it stands in a [`Place`]; [`MAX_FILE_BYTES`] keeps it far from the end.
pub(super) fn clamped(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// YAML 1.2 ends lines at `\n`, `\r\n` and `\r`, and nowhere else.
fn line_starts(text: &str) -> Vec<usize> {
    let bytes = text.as_bytes();
    let ends = bytes.iter().enumerate().filter(|&(at, &byte)| {
        byte == b'\n' || (byte == b'\r' && bytes.get(at + 1) != Some(&b'\n'))
    });
    std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect()
}

/// What YAML does not allow unescaped. NEL (U+0085) it does.
fn is_forbidden(character: char) -> bool {
    character.is_control() && !matches!(character, '\t' | '\n' | '\r' | '\u{85}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: &[u8]) -> String {
        text_of(bytes).err().map(|unreadable| unreadable.message).unwrap_or_default()
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_text() {
        assert_eq!(text_of(b"\xEF\xBB\xBFa: 1").ok(), Some("a: 1"));
    }

    #[test]
    fn the_largest_file_is_four_mebibytes() {
        assert!(text_of(&vec![b' '; MAX_FILE_BYTES]).is_ok());
        assert_eq!(message(&vec![b' '; MAX_FILE_BYTES + 1]), "the file is larger than 4 MiB");
    }

    #[test]
    fn utf_16_is_recognised_with_and_without_its_mark() {
        for bytes in [&b"\xFF\xFEa\0"[..], b"\xFE\xFF\0a", b"a\0:\0", b"\0a\0:"] {
            assert!(message(bytes).contains("UTF-16"), "{bytes:?}");
        }
    }

    #[test]
    fn a_position_counts_characters_and_every_kind_of_line_end() {
        assert_eq!(position_after(""), (1, 1));
        assert_eq!(position_after("a\r\nb\rc\nüx"), (4, 3));
        assert_eq!(position_after("a\n"), (2, 1));
    }

    #[test]
    fn a_line_comes_without_its_end() {
        let source = Source::new("f", "a\r\nbc\rd\n");
        let lines: Vec<_> = (0..6).map(|line| source.line(line)).collect();
        assert_eq!(lines, [None, Some(0..1), Some(3..5), Some(6..7), Some(8..8), None]);
    }
}
