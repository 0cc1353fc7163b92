//! Globs that look like another kind of pattern: a regular expression, or a shell's glob.

use crate::config::report::{Problem, Report, Warning};
use crate::config::yaml::Node;

/// Warns of a glob in which something would mean more elsewhere. It may be meant as it stands: all
/// these characters can be part of a file's name.
pub(super) fn warn(text: &str, node: &Node, report: &mut Report) {
    if let Some((what, help)) = oddity(text) {
        let message = format!("{what} has no special meaning in a glob: it stands for itself");
        report.push(Problem::warning(node.place, Warning::OddGlob, message).with_help(help));
    }
}

/// What is odd, and what is written instead.
fn oddity(text: &str) -> Option<(&'static str, &'static str)> {
    const WHOLE: &str = "a glob always matches the whole; put `*` or `**` where anything may stand";
    const ANY: &str = "`*` alone stands for anything within a segment, `**` for whole segments";
    const SEVERAL: &str = "write one glob for each";
    if text.starts_with('^') {
        return Some(("`^`", WHOLE));
    }
    if text.len() > 1 && text.ends_with('$') {
        return Some(("`$`", WHOLE));
    }
    // In `report.*` it is what comes after a dot; by itself it would be names that begin with one.
    if text.split('/').any(|segment| segment == ".*") || text.contains(".*)") {
        return Some(("the dot of `.*`", ANY));
    }
    if text.contains(".+") {
        return Some(("`.+`", ANY));
    }
    if text.contains('\\') {
        return Some(("a backslash", "there are no escapes"));
    }
    if within(text, '(', ')').any(|inside| inside.contains('|')) {
        return Some(("`(…|…)`", SEVERAL));
    }
    if within(text, '{', '}').any(|inside| inside.contains(',')) {
        return Some(("`{…,…}`", SEVERAL));
    }
    if within(text, '[', ']').any(is_class) {
        return Some(("`[…]`", SEVERAL));
    }
    None
}

/// What stands between two brackets, however often there are any.
fn within(text: &str, open: char, close: char) -> impl Iterator<Item = &str> {
    text.split(open).skip(1).filter_map(move |rest| Some(rest.split_once(close)?.0))
}

/// `a-z`, `^/`, `!x`; `[Holiday] a.jpg` is an ordinary name.
fn is_class(inside: &str) -> bool {
    let mut characters = inside.chars();
    let range = match (characters.next(), characters.next(), characters.next()) {
        (Some(from), Some('-'), Some(to)) => from.is_alphanumeric() && to.is_alphanumeric(),
        _ => false,
    };
    range || inside.starts_with(['^', '!'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_more_elsewhere_is_odd() {
        for odd in [
            "^tmp/**",
            "tmp/a$",
            "tmp/.*",
            ".*",
            "a/.*/b",
            "tmp/.+",
            "(.*)",
            "a\\.jpg",
            "(a|b)/*",
            "*.{jpg,png}",
            "[a-z]*",
            "img[0-9]*.jpg",
            "[^/]*",
            "[!a]",
        ] {
            assert!(oddity(odd).is_some(), "{odd}");
        }
        for ordinary in [
            "tmp/**",
            "*",
            "report.*",
            "**/*.tmp",
            ".git/**",
            ".cache*",
            "a^b",
            "a$b",
            "$",
            "photo[1]{2}?.jpg",
            "[Holiday] *.jpg",
            "(1)",
            "a (copy).txt",
            "{x}",
            "what?",
            "a+b.c",
        ] {
            assert_eq!(oddity(ordinary), None, "{ordinary}");
        }
    }
}
