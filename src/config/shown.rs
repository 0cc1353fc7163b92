//! How text from a file may be shown: escaped, cut, and without what could be a secret.

use std::fmt::Write as _;
use std::ops::Range;

pub(super) use crate::secret::REDACTED;

/// Longest piece of a file inside a message, in characters. More hides the message.
const MAX_QUOTED_CHARS: usize = 64;

/// A name or value for a message: in backticks, escaped, cut, without credentials of a URL.
pub(super) fn quoted(text: &str) -> String {
    let masks = inline_secrets(text);
    let mut shown = String::from("`");
    let mut taken = 0;
    for (offset, character) in text.char_indices() {
        if taken == MAX_QUOTED_CHARS {
            shown.push('…');
            break;
        }
        if let Some(mask) = masks.iter().find(|mask| mask.contains(&offset)) {
            if mask.start == offset {
                shown.push_str(REDACTED);
            }
            continue;
        }
        push_escaped(&mut shown, character);
        taken += 1;
    }
    shown.push('`');
    shown
}

/// Names in backticks, at most eight of them: `` `a`, `b` ``.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const MOST: usize = 8;
    let mut names = names.into_iter().map(quoted);
    let mut listed = names.by_ref().take(MOST).collect::<Vec<_>>().join(", ");
    if names.next().is_some() {
        listed.push_str(", …");
    }
    listed
}

/// A text as a terminal shows it, without acting on it.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    text.chars().for_each(|character| push_escaped(&mut shown, character));
    shown
}

/// Appends a character, or its escape where a terminal would act on it instead of showing it.
pub(super) fn push_escaped(shown: &mut String, character: char) {
    if acts_on_terminals(character) {
        // Writing to a `String` cannot fail.
        let _ = write!(shown, "{}", character.escape_unicode());
    } else {
        shown.push(character);
    }
}

/// Control characters, separators, and what turns the direction of text or takes no room.
fn acts_on_terminals(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{AD}' | '\u{61C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}')
        || matches!(character, '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}')
}

/// How many terminal columns a character takes. A table of the scripts one meets, not all of
/// Unicode: a wrong guess moves a caret by one.
pub(super) fn columns(character: char) -> usize {
    match u32::from(character) {
        0x300..=0x36F | 0xFE00..=0xFE0F => 0,
        0x1100..=0x115F | 0x2E80..=0xA4CF | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF | 0xFE30..=0xFE6F => {
            2
        }
        0xFF01..=0xFF60 | 0xFFE0..=0xFFE6 | 0x1F300..=0x1F64F | 0x1F680..=0x1F6FF => 2,
        0x1F900..=0x1F9FF | 0x20000..=0x3FFFD => 2,
        _ => 1,
    }
}

/// Credentials recognisable in any text, wherever it stands: the user info of a URL, and what
/// follows `token=` and the like.
pub(super) fn inline_secrets(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (at, _) in text.match_indices("://") {
        let start = at + "://".len();
        let word = word_at(text, start, |_| false);
        // A password may itself hold an `@` or a `/`: the last `@` of the word counts.
        if let Some(length) = word.rfind('@').or_else(|| half_of_credentials(word)) {
            found.push(start..start + length);
        }
    }
    for (at, _) in text.match_indices('=') {
        let name_start = text
            .get(..at)
            .and_then(|before| before.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_'))
            .map_or(0, |last| last + 1);
        let start = at + 1;
        if text.get(name_start..at).is_some_and(names_a_secret) {
            found.push(start..start + word_at(text, start, |c| c == '&').len());
        }
    }
    found.retain(|range| !range.is_empty());
    found.sort_by_key(|range| range.start);
    found
}

/// The length of an authority that ends in no port: credentials that a `,` or a space cut off.
fn half_of_credentials(word: &str) -> Option<usize> {
    let authority = word.split('/').next()?;
    let (_, port) = authority.rsplit_once(':')?;
    let port = port.trim_end_matches([',', ']', '}']);
    (!port.bytes().all(|byte| byte.is_ascii_digit())).then_some(authority.len())
}

/// Whether what stands under this key is a secret as far as anyone can tell from outside.
pub(super) fn names_a_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["token", "secret", "key", "passw", "credential", "sha256"]
        .iter()
        .any(|word| key.contains(word))
        && key != "token_in"
}

fn word_at(text: &str, start: usize, ends: impl Fn(char) -> bool) -> &str {
    let rest = text.get(start..).unwrap_or_default();
    let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'') || ends(c));
    rest.get(..end.unwrap_or(rest.len())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_message_is_escaped_and_cut() {
        assert_eq!(quoted("a\u{1b}[31m\u{202E}"), r"`a\u{1b}[31m\u{202e}`");
        assert_eq!(quoted(&"é".repeat(70)), format!("`{}…`", "é".repeat(64)));
    }

    #[test]
    fn credentials_in_a_url_are_masked_wherever_they_stand() {
        assert_eq!(quoted("redis://u:p@ss/w@host:1/0"), "`redis://[redacted]@host:1/0`");
        assert_eq!(
            quoted("http://h/?access_token=abc&x=1"),
            "`http://h/?access_token=[redacted]&x=1`"
        );
        assert_eq!(quoted("redis://u:p"), "`redis://[redacted]`");
        for harmless in ["redis://host", "[http://h:80/x:y,", "http://h:80]", "http://h:"] {
            assert_eq!(quoted(harmless), format!("`{harmless}`"));
        }
    }

    #[test]
    fn a_long_list_of_names_is_cut() {
        assert_eq!(listed(["a", "b"]), "`a`, `b`");
        assert!(listed(["x"; 9]).ends_with(", …"));
    }

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!("aü日\u{301}😀".chars().map(columns).sum::<usize>(), 6);
    }
}
