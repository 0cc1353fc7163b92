use proptest::prelude::*;

use super::*;
use crate::config::report::Color;

/// The tree in one line, texts in quotes if they were quoted.
fn outline(node: &Node) -> String {
    let scalar = |scalar: &Scalar| {
        if scalar.quoted { format!("{:?}", scalar.text) } else { scalar.text.clone() }
    };
    match &node.value {
        Value::Null => "~".to_owned(),
        Value::Scalar(text) => scalar(text),
        Value::List(items) => {
            format!("[{}]", items.iter().map(outline).collect::<Vec<_>>().join(", "))
        }
        Value::Map(entries) => {
            let entry =
                |entry: &Entry| format!("{}: {}", scalar(&entry.key), outline(&entry.value));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}

fn parsed(text: &str) -> String {
    let mut report = Report::new();
    let node = read(&mut report, "f", text.as_bytes());
    assert_eq!(report.render(Color::Plain), "");
    outline(&node.unwrap())
}

/// The first line of each problem.
fn problems(bytes: impl AsRef<[u8]>) -> Vec<String> {
    let mut report = Report::new();
    read(&mut report, "f", bytes.as_ref());
    let line = |problem: &&Problem| {
        let at = problem.place().map(|place| format!("{}:{} ", place.line, place.column));
        format!("{}{}", at.unwrap_or_default(), problem.message())
    };
    report.problems().iter().map(line).collect()
}

#[test]
fn every_plain_scalar_keeps_its_text() {
    for text in [
        "1.20",
        "100/s",
        "0x10",
        "0o7",
        "1_000",
        "yes",
        "on",
        "true",
        "2026-12-31",
        "1e10",
        "0123",
        "-0",
        "+1",
        ".5",
        ".inf",
        ".nan",
        "1e999",
        "12:30:45",
        "80%",
        "99999999999999999999",
        "Null1",
        "spiffe://a/b",
        "legal/**",
        "a#b",
        "9f86d0",
        "{library_id}",
    ] {
        let quoted = text.starts_with('{');
        assert_eq!(parsed(&format!("'{text}'")), format!("{text:?}"));
        if !quoted {
            assert_eq!(parsed(text), text);
            assert_eq!(parsed(&format!("a: [{text}, {text}]")), format!("{{a: [{text}, {text}]}}"));
            assert_eq!(parsed(&format!("{text}: 1")), format!("{{{text}: 1}}"));
        }
    }
}

#[test]
fn a_quoted_or_block_scalar_is_told_from_a_plain_one() {
    assert_eq!(
        parsed("a: \"tr\\x75e\"\nb: 'true'\nc: true\n"),
        "{a: \"true\", b: \"true\", c: true}"
    );
    assert_eq!(parsed("a: |-\n  true\nb: >\n  x\n  y\n"), "{a: \"true\", b: \"x y\\n\"}");
    assert_eq!(parsed("a: ''\nb: |\n"), "{a: \"\", b: \"\"}");
    assert_eq!(parsed("a: b\n  c\n"), "{a: b c}");
}

#[test]
fn nothing_is_null_in_its_usual_spellings() {
    assert_eq!(parsed("a:\nb: ~\nc: null\nd: [null]\n"), "{a: ~, b: ~, c: ~, d: [~]}");
    for empty in ["", "\n\n", "# nothing but a comment\n", "---\n"] {
        assert_eq!(parsed(empty), "~");
    }
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_change_nothing() {
    assert_eq!(parsed("\u{FEFF}a: 1\r\nb:\r\n  - x\r\n"), "{a: 1, b: [x]}");
    assert_eq!(
        problems("\u{FEFF}a: 1\r\nb: 1\r\nü: { a: 1, a: 2 }\r\n"),
        ["3:12 `a` is already given on line 3"]
    );
}

#[test]
fn places_count_characters_from_one() {
    let mut report = Report::new();
    let root = read(&mut report, "f", "ü:\n  - x\n  - { é: \"日本\" }\n".as_bytes()).unwrap();
    let Value::Map(entries) = root.value else { panic!() };
    let Value::List(items) = &entries[0].value.value else { panic!() };
    let Value::Map(inner) = &items[1].value else { panic!() };
    let place = |place: Place| (place.line, place.column, place.width);
    assert_eq!(place(root.place), (1, 1, 1));
    assert_eq!(place(items[0].place), (2, 5, 1));
    assert_eq!(place(inner[0].key_place), (3, 7, 1));
    assert_eq!(place(inner[0].value.place), (3, 10, 4));
}

#[test]
fn every_key_given_twice_is_reported() {
    let text = "a: 1\nb: { c: 1, c: 2, \"c\": 3 }\na: 2\n'a': 3\n";
    assert_eq!(
        problems(text),
        [
            "2:12 `c` is already given on line 2",
            "2:18 `c` is already given on line 2",
            "3:1 `a` is already given on line 1",
            "4:1 `a` is already given on line 1",
        ]
    );
}

#[test]
fn keys_are_compared_by_their_text() {
    assert_eq!(parsed("0xB: a\n11: b\n011: c\n"), "{0xB: a, 11: b, 011: c}");
}

#[test]
fn what_could_mislead_a_reader_is_refused() {
    let aliases = "anchors and aliases (`&`, `*`) are not supported";
    assert_eq!(problems("a: &x 1\nb: *x\n"), [format!("1:7 {aliases}")]);
    assert_eq!(problems("a: *x\n"), [format!("1:4 {aliases}")]);
    assert_eq!(problems("<<: { a: 1 }\n"), ["1:1 merge keys (`<<`) are not supported"]);
    assert_eq!(parsed("\"<<\": 1\n"), "{\"<<\": 1}");
    assert_eq!(
        problems("a: !!python/x 1\nb: !!str 5\nc: !x [!y z]\n"),
        ["1:15", "2:10", "3:7", "3:11"].map(|at| format!("{at} tags (`!`) are not supported"))
    );
    assert_eq!(problems("a: !!int x\n"), ["1:10 tags (`!`) are not supported"]);
    assert_eq!(
        problems("a: 1\n---\nb: 1\n"),
        ["2:1 a second document (`---`) begins here; a file holds one"]
    );
    assert_eq!(problems("? [a]\n: b\n"), ["1:3 a key is a text, not a list"]);
    assert_eq!(problems("? {a: 1}\n: b\n"), ["1:3 a key is a text, not a map"]);
    assert_eq!(problems("~: b\n"), ["1:1 a key is missing here"]);
}

#[test]
fn bytes_that_are_no_yaml_are_named_with_their_place() {
    let cases: [(&[u8], &str); 12] = [
        (b"a:\n\tb: 1\n", "2:2 a tab cannot indent a line in YAML"),
        (b"a: b\n c: d\n", "2:3 a `:` cannot stand here"),
        (b"a: 'x\n", "1:4 this quote is never closed"),
        (b"a: [x\n", "1:4 a `[` or `{` is never closed"),
        (b"a: x]\nb: [y]]\n", "2:7 this bracket closes nothing"),
        (b"a: @x\n", "1:4 a value cannot begin with this character"),
        (b"a: \"\\q\"\n", "1:4 this escape is not known"),
        (b"a: 'x'y\n", "1:7 nothing may follow the closing quote"),
        (b"a: b\0c\n", "1:5 a control character, U+0000, stands here"),
        (b"x\na: \xC3\xBC\x1B\n", "2:5 a control character, U+001B, stands here"),
        (b"a: \xC3\xBC\xFF\n", "1:5 the file is not UTF-8 from here on"),
        (b"\xFF\xFEa\0", "the file is UTF-16 or UTF-32; save it as UTF-8"),
    ];
    for (bytes, expected) in cases {
        assert_eq!(problems(bytes), [expected]);
    }
}

#[test]
fn hostile_files_end_at_a_budget() {
    let bomb: String = std::iter::once("a0: &a0 [x, x]\n".to_owned())
        .chain((1..30).map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}, *a{0}]\n", n - 1)))
        .collect();
    let too_deep = "maps and lists are nested more than 16 deep";
    let too_many = "the file holds more than 200000 keys and values";
    let indented: String = (0..1500).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    let cases = [
        (bomb, "1:9 anchors and aliases (`&`, `*`) are not supported".to_owned()),
        ("[".repeat(200_000), format!("1:256 {too_deep}")),
        ("{a: ".repeat(200_000), format!("1:1021 {too_deep}")),
        ("- ".repeat(200_000), format!("1:33 {too_deep}")),
        ("? ".repeat(200_000), format!("1:33 {too_deep}")),
        (indented, format!("17:17 {too_deep}")),
        ("- 1\n".repeat(1_000_000), format!("200000:3 {too_many}")),
        (format!("[{}]", "1,".repeat(1_000_000)), format!("1:400000 {too_many}")),
        (" ".repeat((4 << 20) + 1), "the file is larger than 4 MiB".to_owned()),
    ];
    for (text, expected) in cases {
        assert_eq!(problems(text), [expected]);
    }
}

#[test]
fn the_deepest_nesting_allowed_is_read() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert_eq!(problems(nested(MAX_DEPTH)), Vec::<String>::new());
    assert_eq!(problems(nested(MAX_DEPTH + 1)).len(), 1);
}

#[test]
fn what_stands_below_a_name_like_token_prints_nothing_of_itself() {
    let text = "token: hush\nt: { api_key: [hush, { sha256: hush, x: hush }], file: plain }\n\
                mySecret: { env: hush, file: plain, mint: { any: hush, period: plain } }\n\
                token_in: plain\nlibrary_secret: { env: PLAIN }\npassword: { hush }\n";
    let mut report = Report::new();
    let printed = format!("{:?}", read(&mut report, "f", text.as_bytes()));
    assert!(!printed.contains("hush"), "{printed}");
    assert_eq!(printed.matches("`plain`").count(), 4, "{printed}");
    assert!(printed.contains("`PLAIN`"));
}

/// Text that is more likely YAML than random characters are.
fn yaml_like() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a", "b: ", ": ", "- ", "\n", "\n  ", "\n    ", "[", "]", "{", "}", ", ", "'", "\"", "#",
        " # c", "|\n", ">-\n", "&x ", "*x", "!t ", "? ", "<<: ", "---\n", "...\n", "%a\n", "\t",
        "\r", "\r\n", "é", "日", "\u{85}", "\u{2028}", "\\", "~", "1.0", "true", "@", "`",
        "\u{FEFF}", "token: ", "x@y",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn every_place_lies_inside(text: &str) -> Result<(), TestCaseError> {
    let mut report = Report::new();
    let node = read(&mut report, "f", text.as_bytes());
    prop_assert!(node.is_some() || report.has_errors());
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let unified = text.replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<_> = unified.split('\n').map(|line| line.chars().count()).collect();
    for problem in report.problems() {
        let Some(place) = problem.place() else { continue };
        let columns = lines.get(place.line as usize - 1);
        prop_assert!(
            columns.is_some_and(|&columns| place.column as usize <= columns + 1),
            "{problem:?}"
        );
    }
    for color in [Color::Plain, Color::Ansi] {
        let _ = report.render(color);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_or_refused_at_a_place_inside_it(text in "\\PC{0,80}|[ -~\\n\\t]{0,80}") {
        every_place_lies_inside(&text)?;
    }

    #[test]
    fn anything_like_yaml_is_read_or_refused_at_a_place_inside_it(text in yaml_like()) {
        every_place_lies_inside(&text)?;
    }

    #[test]
    fn a_plain_word_is_its_own_text(word in "[a-zA-Z0-9][a-zA-Z0-9_.+/-]{0,20}") {
        prop_assume!(!matches!(&*word.to_lowercase(), "null"));
        prop_assert_eq!(parsed(&format!("- {word}\n")), format!("[{word}]"));
    }
}

#[test]
fn a_secret_that_begins_like_a_tag_is_not_shown() {
    for text in
        ["token: [hush, !hush]\n", "key: !hush\n", "secret: { a: !hush , b: 1 }\n", "x: !hush y\n"]
    {
        let mut report = Report::new();
        read(&mut report, "f", text.as_bytes());
        assert!(report.has_errors(), "{text}");
        let shown = report.render(Color::Plain);
        assert!(!shown.contains("hush"), "{shown}");
    }
}
