//! The outcome as CI systems read it: JUnit XML, a test suite for each file.

use std::fmt::Write as _;

use super::{Suite, difference, plain};

/// Without the line end behind it.
pub(super) fn document(suites: &[Suite]) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let run: usize = suites.iter().map(tests).sum();
    let failed: usize = suites.iter().map(Suite::failed).sum();
    let invalid: usize = suites.iter().map(errors).sum();
    // Writing to a `String` cannot fail, here and below.
    let _ = writeln!(
        xml,
        "<testsuites name=\"smh-gateway test\" tests=\"{run}\" failures=\"{failed}\" \
         errors=\"{invalid}\">"
    );
    suites.iter().for_each(|one| suite(&mut xml, one));
    xml.push_str("</testsuites>");
    xml
}

/// A file that is not valid counts as one test.
fn tests(suite: &Suite) -> usize {
    suite.cases().len() + errors(suite)
}

fn errors(suite: &Suite) -> usize {
    usize::from(suite.cases.is_none())
}

fn suite(xml: &mut String, suite: &Suite) {
    let file = escaped(&suite.file);
    let (tests, failed, errors) = (tests(suite), suite.failed(), errors(suite));
    let _ = writeln!(
        xml,
        "  <testsuite name=\"{file}\" tests=\"{tests}\" failures=\"{failed}\" errors=\"{errors}\">"
    );
    if suite.cases.is_none() {
        let what = escaped(&plain(&suite.report));
        let _ = writeln!(xml, "    <testcase classname=\"{file}\" name=\"the file is valid\">");
        let _ = writeln!(xml, "      <error message=\"the file is not valid\">{what}</error>");
        xml.push_str("    </testcase>\n");
    }
    for (case, ran) in suite.cases() {
        let (name, line) = (escaped(&case.label()), case.place.line);
        let _ = write!(
            xml,
            "    <testcase classname=\"{file}\" name=\"{name}\" file=\"{file}\" line=\"{line}\""
        );
        if ran.passed {
            xml.push_str("/>\n");
            continue;
        }
        let message = escaped(&format!("expected {}, decided {}", case.expected, ran.verdict));
        let text = escaped(&format!("{}\n{}", case.request(), difference(case, ran).join("\n")));
        let _ = writeln!(xml, ">\n      <failure message=\"{message}\">{text}</failure>");
        xml.push_str("    </testcase>\n");
    }
    xml.push_str("  </testsuite>\n");
}

/// Fit for an attribute and for text. XML 1.0 has no place for most control characters, not even
/// escaped, nor for U+FFFE and U+FFFF.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\n' => escaped.push('\n'),
            '\u{FFFE}' | '\u{FFFF}' => escaped.push('\u{FFFD}'),
            _ if character.is_control() => escaped.push('\u{FFFD}'),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_cannot_hold_is_escaped_or_replaced() {
        assert_eq!(escaped("a\"b'c<d>&e\nf"), "a&quot;b&apos;c&lt;d&gt;&amp;e\nf");
        assert_eq!(escaped("\0\u{1b}\t\r\u{FFFF}\u{85}é日"), "\u{FFFD}".repeat(6) + "é日");
    }
}
