use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::report::Color;
use crate::config::yaml;

#[derive(Debug, PartialEq)]
struct Gateway {
    address: SocketAddr,
    libraries: Vec<(Spanned<String>, Library)>,
    tenants: Vec<(Spanned<String>, Tenant)>,
    timeout: Duration,
}

#[derive(Debug, PartialEq)]
struct Library {
    recycle_bin: bool,
    token: Source,
}

#[derive(Debug, Clone, PartialEq)]
enum Source {
    Env(String),
    File(String),
}

#[derive(Debug, PartialEq)]
struct Tenant {
    library: Spanned<String>,
}

fn name(text: &str) -> Result<String, &'static str> {
    let bad = text.is_empty() || text.contains(['/', ' ']);
    if bad { Err("use letters and digits") } else { Ok(text.to_owned()) }
}

impl Decode for Gateway {
    fn decode(node: &Node, report: &mut Report) -> Option<Self> {
        let mut fields = Fields::of(node, "gateway.yaml", report)?;
        let address = fields.required_with("address", |node, report| {
            parsed(node, "an address", report, str::parse)
        });
        let libraries = fields.required_with("libraries", |node, report| {
            named(node, "a library", report, name, Library::decode)
        });
        let tenants = fields.required_with("tenants", |node, report| {
            named(node, "a tenant", report, name, Tenant::decode)
        });
        let timeout = fields.or("timeout", Duration::from_secs(10));
        fields.finish();
        let (libraries, tenants) = (libraries?, tenants?);
        let known = || libraries.iter().map(|(name, _)| &*name.value);
        for tenant in tenants.iter().filter_map(|(_, tenant)| tenant.as_ref()) {
            let Spanned { place, value } = &tenant.library;
            if !known().any(|name| name == value) {
                report.unknown_name(*place, "library", value, known());
            }
        }
        let (libraries, tenants) = (whole(libraries)?, whole(tenants)?);
        Some(Self { address: address?, libraries, tenants, timeout: timeout? })
    }
}

impl Decode for Library {
    fn decode(node: &Node, report: &mut Report) -> Option<Self> {
        let mut fields = Fields::of(node, "a library", report)?;
        let recycle_bin = fields.or_with("recycle_bin", true, |node, report| {
            word(node, "a recycle bin setting", report, &[("on", true), ("off", false)])
        });
        let token = fields.required("token");
        fields.finish();
        Some(Self { recycle_bin: recycle_bin?, token: token? })
    }
}

impl Decode for Source {
    fn decode(node: &Node, report: &mut Report) -> Option<Self> {
        let mut fields = Fields::of(node, "a token source", report)?;
        let source = fields.one_of(&["env", "file"]);
        fields.finish();
        let (key, node) = source?;
        let text = String::decode(node, report)?;
        Some(if key == "env" { Self::Env(text) } else { Self::File(text) })
    }
}

impl Decode for Tenant {
    fn decode(node: &Node, report: &mut Report) -> Option<Self> {
        let mut fields = Fields::of(node, "a tenant", report)?;
        let library = fields.required("library");
        fields.finish();
        Some(Self { library: library? })
    }
}

const GOOD: &str = "address: 127.0.0.1:8080
timeout: 250ms
libraries:
  smhxxx: { recycle_bin: off, token: { env: SMH_TOKEN } }
  smhyyy:
    token:
      file: /run/secrets/token
tenants:
  photos: { library: smhxxx }
";

fn decoded<T: Decode>(text: &str) -> (Option<T>, Report) {
    let mut report = Report::new();
    let node = yaml::read(&mut report, "gateway.yaml", text.as_bytes());
    let value = node.and_then(|node| T::decode(&node, &mut report));
    (value, report)
}

fn rendered<T: Decode>(text: &str) -> String {
    let (value, report) = decoded::<T>(text);
    assert_eq!(value.is_none(), report.has_errors(), "a value is whole or its problem is known");
    report.render(Color::Plain)
}

#[test]
fn a_file_without_mistakes_becomes_its_values() {
    let (gateway, report) = decoded::<Gateway>(GOOD);
    assert_eq!(report.render(Color::Plain), "");
    let gateway = gateway.unwrap();
    assert_eq!(gateway.timeout, Duration::from_millis(250));
    assert_eq!(
        gateway.libraries[0].1,
        Library { recycle_bin: false, token: Source::Env("SMH_TOKEN".into()) }
    );
    assert_eq!(gateway.libraries[1].1.token, Source::File("/run/secrets/token".into()));
    let Spanned { place, value } = &gateway.tenants[0].0;
    assert_eq!((place.line, place.column, place.width, &**value), (9, 3, 6, "photos"));
}

#[test]
fn one_run_shows_all_mistakes_in_the_order_of_the_file() {
    let text = "adress: 127.0.0.1:8080
timeout: 30
libraries:
  smh/x: { token: { env: SMH_TOKEN } }
  smhxxx: { recycle_bin: onn, token: { env: A, file: b } }
  smhyyy: { recycle-bin: off }
# nothing
tenants:
  photos: { librarys: smhxxx }
  archive: { library: smhxx }
  invoices:
";
    insta::assert_snapshot!(rendered::<Gateway>(text), @"
    gateway.yaml:1:1: gateway.yaml needs `address`
        1 | adress: 127.0.0.1:8080
          | ^^^^^^
    gateway.yaml:1:1: unknown field `adress` in gateway.yaml
        1 | adress: 127.0.0.1:8080
          | ^^^^^^ did you mean `address`?
    gateway.yaml:2:10: `30` is not a duration
        2 | timeout: 30
          |          ^^ it has no unit; the units are `ms`, `s`, `m`, `h` and `d`
    gateway.yaml:4:3: `smh/x` is not the name of a library: use letters and digits
        4 |   smh/x: { token: { env: SMH_TOKEN } }
          |   ^^^^^
    gateway.yaml:5:26: `onn` is not a recycle bin setting: one of `on`, `off`
        5 |   smhxxx: { recycle_bin: onn, token: { env: A, file: b } }
          |                          ^^^ did you mean `on`?
    gateway.yaml:5:48: a token source has both `env` and `file`
        5 |   smhxxx: { recycle_bin: onn, token: { env: A, file: b } }
          |                                                ^^^^ keep one of `env`, `file`
    gateway.yaml:6:11: a library needs `token`
        6 |   smhyyy: { recycle-bin: off }
          |           ^
    gateway.yaml:6:13: unknown field `recycle-bin` in a library
        6 |   smhyyy: { recycle-bin: off }
          |             ^^^^^^^^^^^ did you mean `recycle_bin`?
    gateway.yaml:9:11: a tenant needs `library`
        9 |   photos: { librarys: smhxxx }
          |           ^
    gateway.yaml:9:13: unknown field `librarys` in a tenant
        9 |   photos: { librarys: smhxxx }
          |             ^^^^^^^^ did you mean `library`?
    gateway.yaml:10:23: unknown library `smhxx`
       10 |   archive: { library: smhxx }
          |                       ^^^^^ did you mean `smhxxx`?
    gateway.yaml:11:11: expected the fields of a tenant, found nothing
       11 |   invoices:
          |           ^
    ");
}

#[test]
fn a_tenant_of_a_library_that_is_itself_wrong_is_not_reported_as_well() {
    let text = GOOD.replace("recycle_bin: off", "recycle_bin: x");
    let (_, report) = decoded::<Gateway>(&text);
    assert_eq!(report.error_count(), 1, "{}", report.render(Color::Plain));
}

#[test]
fn a_secret_written_into_the_file_is_not_shown() {
    let text = GOOD.replace("{ env: SMH_TOKEN }", "hush-1").replace(
        "      file: /run/secrets/token",
        "      \"hush-2\n      hush-3\"\n    toke: hush-4",
    );
    insta::assert_snapshot!(rendered::<Gateway>(&text), @"
    gateway.yaml:4:38: expected the fields of a token source, found a text
        4 |   smhxxx: { recycle_bin: off, token: [redacted] }
          |                                      ^^^^^^^^^^
    gateway.yaml:7:7: expected the fields of a token source, found a text
        7 |       [redacted]
          |       ^^^^^^^^^^
    gateway.yaml:9:5: unknown field `toke` in a library
        9 |     toke: [redacted]
          |     ^^^^ did you mean `token`?
    ");
}

#[test]
fn only_true_and_false_are_booleans() {
    assert_eq!(decoded::<Vec<bool>>("[true, false]").0, Some(vec![true, false]));
    insta::assert_snapshot!(rendered::<Vec<bool>>("- yes\n- 'true'\n- True\n- 1\n- []\n-\n"), @"
    gateway.yaml:1:3: expected `true` or `false`, found `yes`
        1 | - yes
          |   ^^^ write `true` or `false`
    gateway.yaml:2:3: expected `true` or `false`, found `true`
        2 | - 'true'
          |   ^^^^^^ write it without quotes
    gateway.yaml:3:3: expected `true` or `false`, found `True`
        3 | - True
          |   ^^^^ write `true` or `false`
    gateway.yaml:4:3: expected `true` or `false`, found `1`
        4 | - 1
          |   ^ write `true` or `false`
    gateway.yaml:5:3: expected `true` or `false`, found a list
        5 | - []
          |   ^
    gateway.yaml:6:2: expected `true` or `false`, found nothing
        6 | -
          |  ^
    ");
}

#[test]
fn numbers_are_plain_digits_in_range() {
    assert_eq!(decoded::<Vec<u8>>("[0, 7, 255]").0, Some(vec![0, 7, 255]));
    assert_eq!(decoded::<u64>("18446744073709551615").0, Some(u64::MAX));
    insta::assert_snapshot!(rendered::<Vec<u8>>("- 256\n- -1\n- 0x10\n- 1_0\n- 010\n- \"5\"\n- ''\n- 99999999999999999999\n"), @r#"
    gateway.yaml:1:3: expected a whole number, found `256`
        1 | - 256
          |   ^^^ the largest one here is 255
    gateway.yaml:2:3: expected a whole number, found `-1`
        2 | - -1
          |   ^^ write it in digits alone
    gateway.yaml:3:3: expected a whole number, found `0x10`
        3 | - 0x10
          |   ^^^^ write it in digits alone
    gateway.yaml:4:3: expected a whole number, found `1_0`
        4 | - 1_0
          |   ^^^ write it in digits alone
    gateway.yaml:5:3: expected a whole number, found `010`
        5 | - 010
          |   ^^^ write it without leading zeros
    gateway.yaml:6:3: expected a whole number, found `5`
        6 | - "5"
          |   ^^^ write it without quotes
    gateway.yaml:7:3: expected a whole number, found an empty text
        7 | - ''
          |   ^^ write it in digits alone
    gateway.yaml:8:3: expected a whole number, found `99999999999999999999`
        8 | - 99999999999999999999
          |   ^^^^^^^^^^^^^^^^^^^^ the largest one here is 255
    "#);
}

#[test]
fn durations_are_a_whole_number_and_a_unit() {
    let text = "[250ms, 2s, 5m, 2h, 1d, 3650d, '2s']";
    let seconds: Vec<_> =
        decoded::<Vec<Duration>>(text).0.unwrap().iter().map(Duration::as_secs_f64).collect();
    assert_eq!(seconds, [0.25, 2.0, 300.0, 7200.0, 86400.0, 315_360_000.0, 2.0]);
    insta::assert_snapshot!(rendered::<Vec<Duration>>(
        "- 30\n- 0s\n- -1s\n- 1.5s\n- 5min\n- s\n- 3651d\n- 99999999999999999999s\n- 18446744073709551615d\n- 1 s\n- ٣s\n"
    ), @"
    gateway.yaml:1:3: `30` is not a duration
        1 | - 30
          |   ^^ it has no unit; the units are `ms`, `s`, `m`, `h` and `d`
    gateway.yaml:2:3: this duration must be longer than nothing
        2 | - 0s
          |   ^^
    gateway.yaml:3:3: `-1s` is not a duration
        3 | - -1s
          |   ^^^ write a whole number and a unit; the units are `ms`, `s`, `m`, `h` and `d`
    gateway.yaml:4:3: `1.5s` is not a duration
        4 | - 1.5s
          |   ^^^^ write a whole number and a smaller unit; the units are `ms`, `s`, `m`, `h` and `d`
    gateway.yaml:5:3: `5min` is not a duration
        5 | - 5min
          |   ^^^^ the units are `ms`, `s`, `m`, `h` and `d`
    gateway.yaml:6:3: `s` is not a duration
        6 | - s
          |   ^ write a whole number and a unit; the units are `ms`, `s`, `m`, `h` and `d`
    gateway.yaml:7:3: `3651d` is not a duration
        7 | - 3651d
          |   ^^^^^ the longest one is `3650d`
    gateway.yaml:8:3: `99999999999999999999s` is not a duration
        8 | - 99999999999999999999s
          |   ^^^^^^^^^^^^^^^^^^^^^ the longest one is `3650d`
    gateway.yaml:9:3: `18446744073709551615d` is not a duration
        9 | - 18446744073709551615d
          |   ^^^^^^^^^^^^^^^^^^^^^ the longest one is `3650d`
    gateway.yaml:10:3: `1 s` is not a duration
       10 | - 1 s
          |   ^^^ the units are `ms`, `s`, `m`, `h` and `d`
    gateway.yaml:11:3: `٣s` is not a duration
       11 | - ٣s
          |   ^^ write a whole number and a unit; the units are `ms`, `s`, `m`, `h` and `d`
    ");
}

#[test]
fn a_duration_may_be_zero_where_the_field_says_so() {
    let mut report = Report::new();
    let node = yaml::read(&mut report, "f", b"0s").unwrap();
    assert_eq!(duration_or_zero(&node, &mut report), Some(Duration::ZERO));
}

#[test]
fn one_or_many_takes_a_value_or_a_list_of_them() {
    let many = |text: &str| {
        let mut report = Report::new();
        let node = yaml::read(&mut report, "f", text.as_bytes()).unwrap();
        one_or_many(&node, &mut report, u8::decode)
    };
    assert_eq!(many("1"), Some(vec![1]));
    assert_eq!(many("[1, 2]"), Some(vec![1, 2]));
    assert_eq!(many("[1, x]"), None);
}

#[test]
fn a_list_or_map_that_was_left_empty_says_how_to_write_that() {
    insta::assert_snapshot!(rendered::<Vec<bool>>("a: 1"), @"
    gateway.yaml:1:1: expected a list, found a map
        1 | a: 1
          | ^ an empty list is written `[]`
    ");
    let mut report = Report::new();
    let node = yaml::read(&mut report, "f", b"[a]").unwrap();
    let same = |text: &str| Ok::<_, Infallible>(text.to_owned());
    assert!(named(&node, "a tenant", &mut report, same, u8::decode).is_none());
    insta::assert_snapshot!(report.render(Color::Plain), @"
    f:1:1: expected a map with the name of a tenant as key, found a list
        1 | [a]
          | ^ an empty map is written `{}`
    ");
}

#[test]
fn a_field_whose_colon_was_forgotten_shows_no_value() {
    let text = GOOD.replace("env: SMH_TOKEN", "env hush");
    let shown = rendered::<Gateway>(&text);
    assert!(shown.contains("unknown field [redacted] in a token source"), "{shown}");
    assert!(!shown.contains("hush"), "{shown}");
    let text = GOOD.replace("token:\n      file:", "token hush:\n      file:");
    let shown = rendered::<Gateway>(&text);
    assert!(shown.contains("unknown field `token…` in a library"), "{shown}");
    assert!(!shown.contains("hush"), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whoever pastes a secret into the file, and mistypes one character more, still finds it in
    /// no message.
    #[test]
    fn no_secret_is_shown_after_any_one_mistake(
        at in 0..600_usize,
        typed in "|[ :\n{}\\[\\]\"'#,x|\t&*!-]",
        removes in any::<bool>(),
        shape in 0..6_usize,
    ) {
        let shapes =
            ["hush", "\"hush\"", "{ hush }", "[hush, hush]", "|\n     hush\n     hush", "{ env: hush }"];
        let secret = shapes[shape];
        let text = format!(
            "address: 127.0.0.1:8080\nlibraries:\n  \
               smhxxx: {{ recycle_bin: off, token: {{ file: hash }} }}\n  \
               smhyyy:\n    token: {secret}\n    recycle_bin: x\n\
             tenants:\n  photos: {{ library: smhxxx, user: redis://u:hush@h }}\n"
        );
        let at = at % text.chars().count();
        let mut mistyped: String = text.chars().take(at).collect();
        mistyped.push_str(&typed);
        mistyped.extend(text.chars().skip(at + usize::from(removes)));
        let (_, report) = decoded::<Gateway>(&mistyped);
        let shown = report.render(Color::Plain) + &report.to_json().to_string();
        // A mistake inside the secret leaves halves of it: neither may be shown.
        let shows = ["hus", "ush"].iter().any(|half| shown.contains(half));
        prop_assert!(!shows, "{mistyped}\n{shown}");
    }
}
