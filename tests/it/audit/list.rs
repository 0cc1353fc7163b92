//! Which records, and how they are shown.

use serde_json::Value;

use super::{Journal, audit, compressed, delete, folder, story};
use crate::support::binary::{Binary, command, run_with_input};

async fn listed(arguments: &[&str]) -> Vec<String> {
    let folder = folder(&[("journal", &story().text)]);
    let all = [&["list", "--format", "json"], arguments, &["journal"]].concat();
    let ran = audit(folder.path(), &all).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{arguments:?}");
    let parse = |line: &str| -> Value { serde_json::from_str(line).unwrap() };
    let word = |record: &Value| match record["event"].as_str().unwrap() {
        "delete" => record["request_id"].as_str().unwrap().to_owned(),
        other => other.to_owned(),
    };
    ran.out.lines().map(|line| word(&parse(line))).collect()
}

#[tokio::test]
async fn each_wish_takes_the_records_that_it_names() {
    for (arguments, wanted) in [
        (&[][..], &["r-1", "r-2", "r-3", "r-4", "r-5"][..]),
        (&["--caller", "app"], &["r-1", "r-3", "r-4"]),
        (&["--caller", "jan*"], &["r-2"]),
        (&["--caller", "janitor", "--caller", "app"], &["r-1", "r-2", "r-3", "r-4"]),
        (&["--tenant", "contracts"], &["r-3"]),
        (&["--path", "tmp/**"], &["r-2"]),
        (&["--path", "**/*.pdf", "--path", "2025/*"], &["r-1", "r-3"]),
        (&["--outcome", "unknown"], &["r-4"]),
        (&["--code", "DeniedByRule"], &["r-3"]),
        (&["--code", "*"], &["r-3", "r-4", "r-5"]),
        (&["--request-id", "r-2"], &["r-2"]),
        (&["--since", "2026-11-25T13:03:00Z"], &["r-3", "r-4", "r-5"]),
        (&["--since", "2026-11-25T21:03:00+08:00", "--until", "2026-11-25T13:04:00Z"], &["r-3"]),
        (&["--since", "2026-11-26"], &[]),
        (&["--until", "2026-11-25"], &[]),
        (&["--event", "start,stop"], &["start", "stop"]),
        (&["--event", "intent"], &["intent"]),
        (&["--event", "all"], &["start", "intent", "r-1", "r-2", "r-3", "r-4", "r-5", "stop"]),
    ] {
        assert_eq!(listed(arguments).await, wanted, "{arguments:?}");
    }
}

#[tokio::test]
async fn so_long_ago_is_counted_from_now() {
    let now = time::OffsetDateTime::now_utc();
    let at = |ago: i64| (now - time::Duration::minutes(ago)).unix_timestamp();
    let record = |ago: i64| {
        let then = time::OffsetDateTime::from_unix_timestamp(at(ago)).unwrap();
        let (day, clock) = (then.date(), then.time());
        let (hour, minute, second) = clock.as_hms();
        format!(
            "\"time\":\"{day}T{hour:02}:{minute:02}:{second:02}.000000Z\",\"event\":\"delete\",\"path\":\"{ago}\""
        )
    };
    let folder = folder(&[("journal", &Journal::of([record(90), record(30)]).text)]);
    let ran = audit(folder.path(), &["list", "--since", "1h", "journal"]).await;
    assert!(ran.out.ends_with(" 30\n"), "{}", ran.out);
    assert_eq!(ran.out.lines().count(), 2, "{}", ran.out);
}

#[tokio::test]
async fn people_get_a_table() {
    let folder = folder(&[("journal", &story().text)]);
    let ran = audit(folder.path(), &["list", "--event", "all", "journal"]).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    insta::assert_snapshot!(ran.out, @"
    TIME                  CALLER   TENANT     OUTCOME  ANSWER               PATH
    2026-11-25 13:00:00Z  -        -          start    -
    2026-11-25 13:01:00Z  app      photos     intent   -                    2025/a b.jpg
    2026-11-25 13:01:00Z  app      photos     relayed  200 recycled         2025/a b.jpg
    2026-11-25 13:02:00Z  janitor  photos     relayed  204 gone             tmp/x
    2026-11-25 13:03:00Z  app      contracts  refused  403 DeniedByRule     legal/a.pdf
    2026-11-25 13:04:00Z  app      photos     unknown  504 UpstreamTimeout  =cmd|x
    2026-11-25 13:05:00Z  -        -          refused  401 Unauthenticated
    2026-11-25 13:10:00Z  -        -          stop     -
    ");
}

#[tokio::test]
async fn programs_get_the_records_themselves() {
    let story = story();
    let folder = folder(&[("journal", &story.text)]);
    let ran =
        audit(folder.path(), &["list", "--event", "all", "--format", "json", "journal"]).await;
    assert_eq!(ran.out.as_bytes(), story.text);
}

#[tokio::test]
async fn a_spreadsheet_gets_csv_and_no_formula() {
    let folder = folder(&[("journal", &story().text)]);
    let ran =
        audit(folder.path(), &["list", "--format", "csv", "--caller", "app", "journal"]).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let lines: Vec<_> = ran.out.split("\r\n").collect();
    assert_eq!(lines.len(), 5, "a header, three records, and the end of the last line");
    assert!(lines[0].starts_with("journal,seq,time,event,"), "{}", lines[0]);
    let column = |name: &str| lines[0].split(',').position(|column| column == name).unwrap();
    let cells: Vec<_> = lines[1].split(',').collect();
    assert_eq!(
        ["seq", "path", "recycled_item_id", "reversible"].map(|name| cells[column(name)]),
        ["3", "2025/a b.jpg", "12", "true"]
    );
    assert!(lines[3].contains(",\"'=cmd|x\","), "{}", lines[3]);
}

#[tokio::test]
async fn nothing_that_a_caller_wrote_moves_the_cursor() {
    let hostile =
        r#""caller":"\u001b[2J","tenant":"a\nb","path":"x\u001b]0;y\u0007\u202e","code":"\r""#;
    let folder = folder(&[("journal", &Journal::of([delete(1, hostile)]).text)]);
    let ran = audit(folder.path(), &["list", "journal"]).await;
    assert_eq!(ran.out.lines().count(), 2);
    let acts = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!ran.out.contains(acts), "{:?}", ran.out);
}

#[tokio::test]
async fn files_are_read_in_the_order_in_which_they_were_written_compressed_or_not() {
    let story = story();
    let lines = story.lines();
    let (old, new) = (compressed(&lines[..4].concat()), lines[4..].concat());
    let folder = folder(&[("a-new", &new), ("b-old.gz", &old)]);
    let all = ["list", "--event", "all", "--format", "json"];
    let ran = audit(folder.path(), &[&all[..], &["a-new", "b-old.gz"]].concat()).await;
    assert_eq!((ran.code, ran.out.as_bytes()), (Some(0), &*story.text));

    let arguments = [&["audit"], &all[..], &["-"]].concat();
    let ran = run_with_input(&arguments, &story.text).await;
    assert_eq!((ran.code, ran.out.as_bytes()), (Some(0), &*story.text), "standard input");
}

#[tokio::test]
async fn who_reads_the_first_lines_alone_ends_it_quietly() {
    let record = delete(1, r#""caller":"app","tenant":"photos","path":"a""#);
    let journal = Journal::of(std::iter::repeat_n(record, 20_000));
    let folder = folder(&[("journal", &journal.text)]);
    for format in ["table", "json", "csv"] {
        let arguments = ["audit", "list", "--format", format, "journal"];
        let binary = Binary::spawn(command(folder.path(), &arguments));
        binary.out.close();
        let ran = binary.ended().await;
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{format}");
        assert!(ran.out.len() < journal.text.len() / 4, "{format}: it went on to the end");
    }
}

#[tokio::test]
async fn wrong_usage_says_how_it_is_meant() {
    let folder = folder(&[("journal", &story().text)]);
    for (arguments, said) in [
        (&["list"][..], "<FILE>"),
        (&["list", "--since", "yesterday", "journal"], "the units are"),
        (&["list", "--since", "2026-13-01", "journal"], "a moment is such as 2026-12-31"),
        (&["list", "--path", "/a", "journal"], "no leading or trailing slash"),
        (&["list", "--outcome", "gone", "journal"], "not_sent"),
        (&["list", "--event", "x", "journal"], "resumed"),
        (&["list", "--format", "xml", "journal"], "csv"),
    ] {
        let ran = audit(folder.path(), arguments).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(ran.err.contains(said), "{arguments:?}: {}", ran.err);
    }
}
