use super::*;
use crate::config::yaml;

/// Reads a file and reports its node at a key of the top level.
fn pointed_at(text: &str, key: &str, message: &str) -> Report {
    let mut report = Report::new();
    let root = yaml::read(&mut report, "gateway.yaml", text.as_bytes()).unwrap();
    let yaml::Value::Map(entries) = root.value else { panic!() };
    let entry = entries.iter().find(|entry| entry.key.text == key).unwrap();
    report.error(entry.value.place, message);
    report
}

#[test]
fn a_report_is_empty_until_something_is_wrong() {
    let report = Report::new();
    assert!(!report.has_errors());
    assert_eq!(report.render(Color::Ansi), "");
    assert_eq!(report.to_json(), json!([]));
}

#[test]
fn problems_come_by_file_and_place_and_each_once() {
    let mut report = Report::new();
    let first = report.add_file("gateway.yaml", b"a: 1\nb: 2\n").unwrap();
    let second = report.add_unread("policy.yaml");
    let at = |line, column| Place { file: first, line, column, width: 1 };
    report.push(Problem::in_file(second, "it cannot be read: no such file"));
    report.error(at(2, 4), "second");
    report.error(at(1, 4), "first");
    report.error(at(1, 4), "first");
    report.push(Problem::warning(at(1, 1), Warning::NoCases, "nothing uses `a`"));
    assert_eq!(report.error_count(), 3);
    insta::assert_snapshot!(report.render(Color::Plain), @"
    gateway.yaml:1:1: warning[no-cases]: nothing uses `a`
    gateway.yaml:1:4: first
    gateway.yaml:2:4: second
    policy.yaml: it cannot be read: no such file
    ");
}

#[test]
fn warnings_alone_are_no_errors() {
    let mut report = Report::allowing(&[Warning::NoCases]);
    let file = report.add_unread("f");
    let at = |line| Place { file, line, column: 1, width: 1 };
    report.push(Problem::warning(at(1), Warning::NoCases, "x"));
    report.push(Problem::warning(at(2), Warning::OddGlob, "y"));
    assert!(!report.has_errors());
    assert_eq!(report.problems().len(), 1);
    report.be_strict();
    assert_eq!((report.error_count(), report.warnings().count()), (1, 0));
    assert_eq!(report.render(Color::Plain), "f:2:1: error[odd-glob]: y\n");
}

#[test]
fn the_words_of_the_warnings_are_in_order_and_each_is_documented() {
    let words = Warning::ALL.map(Warning::as_str);
    assert!(words.is_sorted_by(|one, next| one < next), "{words:?}");
    let documented = include_str!("../../../docs/configuration.md");
    assert!(Warning::try_from("no-such-word").is_err());
    for (warning, word) in Warning::ALL.into_iter().zip(words) {
        assert_eq!(Warning::try_from(word), Ok(warning));
        assert!(documented.contains(&format!("| `{word}` |")), "{word}");
    }
}

#[test]
fn programs_get_the_same_as_a_list() {
    let mut report = Report::new();
    yaml::read(&mut report, "f", b"a: 1\na: 2\n");
    let file = report.add_unread("g");
    report.push(Problem::in_file(file, "it cannot be read"));
    assert_eq!(
        report.to_json(),
        json!([
            { "file": "f", "line": 2, "column": 1, "severity": "error", "code": null,
              "message": "`a` is already given on line 1", "help": null },
            { "file": "g", "line": null, "column": null, "severity": "error", "code": null,
              "message": "it cannot be read", "help": null },
        ])
    );
}

#[test]
fn colours_mark_the_place_the_gutter_and_the_caret() {
    let report = pointed_at("a: bcd\n", "a", "wrong");
    insta::assert_snapshot!(report.render(Color::Ansi).escape_debug(), @r"\u{1b}[1mgateway.yaml:1:4:\u{1b}[0m wrong\n\u{1b}[34m    1 |\u{1b}[0m a: bcd\n\u{1b}[34m      |\u{1b}[0m    \u{1b}[1;31m^^^\u{1b}[0m\n");
}

#[test]
fn carets_stand_below_wide_characters_and_after_tabs() {
    let report = pointed_at("{ 日本: \"😀\",\tb: 日 本 }\n", "b", "wrong");
    insta::assert_snapshot!(report.render(Color::Plain), @r#"
    gateway.yaml:1:15: wrong
        1 | { 日本: "😀",    b: 日 本 }
          |                     ^^^^^
    "#);
}

#[test]
fn a_long_line_is_cut_around_the_caret() {
    let text = format!("{{ x: \"{}\", y: wrong, z: \"{}\" }}", "a".repeat(500), "b".repeat(500));
    insta::assert_snapshot!(pointed_at(&text, "y", "here").render(Color::Plain), @r#"
    gateway.yaml:1:513: here
        1 | …aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", y: wrong, z: "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb…
          |                                          ^^^^^
    "#);
    insta::assert_snapshot!(pointed_at(&text, "x", "here").render(Color::Plain), @r#"
    gateway.yaml:1:6: here
        1 | { x: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…
          |      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    "#);
}

#[test]
fn what_a_terminal_would_act_on_is_escaped() {
    let report = pointed_at("a: x\u{202E}y\n", "a", "see \u{1b}[31m");
    insta::assert_snapshot!(report.render(Color::Plain), @r"
    gateway.yaml:1:4: see \u{1b}[31m
        1 | a: x\u{202e}y
          |    ^^^^^^^^^^
    ");
}

#[test]
fn comments_and_credentials_are_not_shown() {
    let text = "a: { b: redis://u:hush@h, c: 'x # y', password: hush, d: 1 } # hush\n";
    insta::assert_snapshot!(pointed_at(text, "a", "wrong").render(Color::Plain), @"
    gateway.yaml:1:4: wrong
        1 | a: { b: redis://[redacted]@h, c: 'x # y', password: [redacted], d: 1 }
          |    ^
    ");
}

#[test]
fn a_line_inside_a_secret_of_many_lines_is_masked() {
    let mut report = Report::new();
    let text = b"a: 1\ntoken: |\n  hush\n  hush\nb: \"one\n  two\"\n";
    let root = yaml::read(&mut report, "f", text).unwrap();
    report.error(Place { line: 4, column: 4, ..root.place }, "wrong");
    report.hide(&root);
    report.error(Place { line: 6, column: 3, width: 3, ..root.place }, "wrong too");
    insta::assert_snapshot!(report.render(Color::Plain), @"
    f:4:4: wrong
        4 | [redacted]
          | ^^^^^^^^^^
    f:6:3: wrong too
        6 | [redacted]
          | ^^^^^^^^^^
    ");
}

#[test]
fn a_file_that_could_not_be_parsed_shows_no_line() {
    let mut report = Report::new();
    yaml::read(&mut report, "f", b"token: hush\n x: hush: hush\n");
    insta::assert_snapshot!(report.render(Color::Plain), @"
    f:2:3: a `:` cannot stand here
          = help: look for wrong indentation or an open bracket, or put the value in quotes
    ");
}

#[test]
fn a_place_outside_the_text_shows_no_line() {
    let mut report = pointed_at("a: 1\n", "a", "inside");
    let place = report.problems()[0].place().unwrap();
    report.error(Place { line: 99, ..place }, "after the end");
    report.error(Place { file: FileId(9), ..place }, "in no file");
    report.error(Place { column: 99, ..place }, "past the line");
    insta::assert_snapshot!(report.render(Color::Plain), @"
    gateway.yaml:1:4: inside
        1 | a: 1
          |    ^
    gateway.yaml:1:99: past the line
        1 | a: 1
          |     ^
    gateway.yaml:99:4: after the end
    ?:1:4: in no file
    ");
}

#[test]
fn unknown_names_come_with_what_was_meant() {
    let mut report = Report::new();
    let file = report.add_unread("f");
    let at = |line| Place { file, line, column: 1, width: 1 };
    report.unknown_name(at(1), "library", "smhxx", ["smhxxx", "smhyyy"]);
    report.unknown_name(at(2), "library", "other", ["smhxxx", "smhyyy"]);
    report.unknown_name(at(3), "tenant", "a\nb", []);
    insta::assert_snapshot!(report.render(Color::Plain), @r"
    f:1:1: unknown library `smhxx`
          = help: did you mean `smhxxx`?
    f:2:1: unknown library `other`
          = help: defined here: `smhxxx`, `smhyyy`
    f:3:1: unknown tenant `a\u{a}b`
          = help: no tenant is defined
    ");
}

#[test]
fn more_problems_than_anyone_reads_are_counted() {
    let mut report = Report::new();
    let file = report.add_unread("f");
    for number in 0..MAX_PROBLEMS + 7 {
        report.push(Problem::in_file(file, number.to_string()));
        report.push(Problem::in_file(file, "0"));
    }
    assert_eq!((report.error_count(), report.errors().count()), (MAX_PROBLEMS + 7, MAX_PROBLEMS));
    assert!(report.render(Color::Plain).ends_with("\nand 7 more errors\n"));
}

/// A report with so many warnings of one kind, and the place of a line of its file.
fn warned(mut report: Report, warnings: usize) -> (Report, impl Fn(usize) -> Place) {
    let file = report.add_unread("f");
    let at = move |line| Place { file, line: u32::try_from(line).unwrap(), column: 1, width: 1 };
    for line in 0..warnings {
        report.push(Problem::warning(at(line), Warning::OddGlob, "odd"));
    }
    (report, at)
}

#[test]
fn however_many_warnings_there_are_they_hide_no_error() {
    let (mut report, at) = warned(Report::new(), MAX_PROBLEMS + 1);
    report.error(at(7), "wrong");
    assert_eq!((report.error_count(), report.warning_count()), (1, MAX_PROBLEMS + 1));
    let errors: Vec<_> = report.errors().map(|error| error.message).collect();
    assert_eq!(errors, ["wrong"]);
    let text = report.render(Color::Plain);
    assert!(
        text.contains("\nf:7:1: wrong\n") && text.ends_with("\nand 1 more warning\n"),
        "{text}"
    );
    report.be_strict();
    assert_eq!((report.error_count(), report.warning_count()), (MAX_PROBLEMS + 2, 0));
    assert_eq!((report.dropped(Severity::Error), report.dropped(Severity::Warning)), (1, 0));
    assert!(report.render(Color::Plain).contains("\nf:7:1: wrong\n"));
}

#[test]
fn warnings_that_are_allowed_take_no_other_ones_place() {
    let allowing = Report::allowing(&[Warning::OddGlob]);
    let (mut report, at) = warned(allowing, MAX_PROBLEMS + 1);
    assert_eq!((report.warning_count(), report.problems().len()), (0, 0));
    report.push(Problem::warning(at(1), Warning::NoCases, "none"));
    report.be_strict();
    assert_eq!(report.render(Color::Plain), "f:1:1: error[no-cases]: none\n");
}

#[test]
fn an_unknown_name_past_the_last_that_is_kept_is_counted_once_and_not_looked_for() {
    let mut report = Report::new();
    let file = report.add_unread("f");
    let at = |line| Place { file, line, column: 1, width: 1 };
    report.unknown_name(at(1), "tenant", "on", ["one"]);
    for number in 1..MAX_PROBLEMS {
        report.push(Problem::in_file(file, number.to_string()));
    }
    report.unknown_name(at(1), "tenant", "on", ["one"]);
    assert_eq!(report.error_count(), MAX_PROBLEMS);
    let never = std::iter::from_fn(|| panic!("nobody reads what it is near to"));
    report.unknown_name(at(2), "tenant", "on", never);
    assert_eq!(report.dropped(Severity::Error), 1);
}
