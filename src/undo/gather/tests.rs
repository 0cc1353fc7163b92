use super::*;
use crate::journal::Head;

/// What is gathered of these records, which are of one journal; times are left out.
fn gathered(bodies: &[&str]) -> Vec<(u64, What)> {
    let selection = Selection::default();
    let (mut gatherer, mut head) = (Gatherer::new(&selection), Head::of_new());
    for body in bodies {
        let mut line = Vec::new();
        let place = "\"time\":\"2026-11-25T13:00:00.000000Z\",\"library\":\"l\",\"space\":\"s\",\"path\":\"a\"";
        head.seal(format!("{place},{body}").as_bytes(), &mut line);
        gatherer.line(Line::Record(Sealed::parse(line.trim_ascii_end()).unwrap()));
    }
    let gathered = gatherer.end();
    assert_eq!((gathered.notes.records, gathered.notes.unreadable), (bodies.len() as u64, 0));
    gathered.deleted.into_iter().map(|one| (one.seq, one.what)).collect()
}

fn unknown(took_seconds: i64) -> What {
    let time = OffsetDateTime::parse("2026-11-25T13:00:00Z", &Rfc3339).unwrap();
    let from = time - SKEW - Duration::seconds(took_seconds);
    What::Unknown { from, to: time + LATE }
}

#[test]
fn a_record_says_what_became_of_a_file() {
    let relayed = |more: &str| {
        format!("\"event\":\"delete\",\"delete\":\"d\",\"outcome\":\"relayed\",{more}")
    };
    let not_relayed = |more: &str| format!("\"event\":\"delete\",\"outcome\":\"unknown\",{more}");
    for (body, what) in [
        (
            relayed("\"smh_status\":200,\"recycled_item_id\":7,\"reversible\":true"),
            What::Recycled(7),
        ),
        (relayed("\"smh_status\":200,\"recycled_item_id\":7,\"reversible\":false"), What::BinOff),
        (relayed("\"smh_status\":204,\"permanent\":true"), What::Permanent),
        (relayed("\"smh_status\":204,\"permanent\":false"), What::BinOff),
        (relayed("\"smh_status\":200"), unknown(0)),
        (relayed("\"smh_status\":503,\"duration_us\":5000000"), unknown(5)),
        (relayed("\"smh_status\":500,\"permanent\":true"), What::UnknownForGood),
        ("\"event\":\"intent\",\"delete\":\"d\"".into(), unknown(0)),
        ("\"event\":\"intent\",\"permanent\":true".into(), What::UnknownForGood),
        ("\"event\":\"delete\",\"outcome\":\"unknown\"".into(), unknown(0)),
        (not_relayed("\"smh_status\":200"), unknown(0)),
        (not_relayed("\"smh_status\":404"), unknown(0)),
        (not_relayed("\"smh_status\":200,\"recycled_item_id\":7"), What::Recycled(7)),
        (not_relayed("\"smh_status\":204,\"permanent\":true"), What::Permanent),
        (not_relayed("\"smh_status\":204"), What::BinOff),
        (not_relayed("\"smh_status\":200,\"reversible\":false"), What::BinOff),
    ] {
        assert_eq!(gathered(&[&body]), [(1, what)], "{body}");
    }
    for nothing in [
        relayed("\"smh_status\":404"),
        relayed("\"smh_status\":403"),
        relayed("\"smh_status\":429"),
        "\"event\":\"delete\",\"outcome\":\"refused\"".into(),
        "\"event\":\"delete\",\"outcome\":\"not_sent\"".into(),
        "\"event\":\"delete\",\"dry_run\":true,\"outcome\":\"refused\"".into(),
        "\"event\":\"undo\",\"delete\":\"d\",\"recycled_item_id\":7".into(),
        "\"event\":\"something_later\"".into(),
    ] {
        assert_eq!(gathered(&[&nothing]), [], "{nothing}");
    }
}

#[test]
fn an_intent_counts_only_where_nothing_says_what_became_of_it() {
    let intent = |delete| format!("\"event\":\"intent\",\"delete\":\"{delete}\"");
    let over = "\"event\":\"delete\",\"delete\":\"one\",\"outcome\":\"relayed\",\"smh_status\":404";
    assert_eq!(gathered(&[&intent("one"), &intent("two"), over]), [(2, unknown(0))]);
    assert_eq!(gathered(&[over, &intent("two")]), [(2, unknown(0))]);
}

/// Two records of one delete, with these fields, and what is gathered with this selection.
fn of_two(selection: &Selection, intent: &str, over: &str) -> Gathered {
    let (mut gatherer, mut head) = (Gatherer::new(selection), Head::of_new());
    for (event, more) in [("intent", intent), ("delete", over)] {
        let mut line = Vec::new();
        let body = format!(
            "\"event\":\"{event}\",\"delete\":\"d\",\"library\":\"l\",\"space\":\"s\",\"path\":\"a\",\
             {more}"
        );
        if !more.is_empty() {
            head.seal(body.as_bytes(), &mut line);
            gatherer.line(Line::Record(Sealed::parse(line.trim_ascii_end()).unwrap()));
        }
    }
    gatherer.end()
}

#[test]
fn a_delete_that_was_closed_after_a_restart_is_of_the_time_at_which_it_began() {
    let at = |text| OffsetDateTime::parse(text, &Rfc3339).unwrap();
    let intent = "\"time\":\"2026-11-25T12:30:00Z\"";
    let closing = "\"time\":\"2026-11-25T13:00:00Z\",\"outcome\":\"unknown\"";
    let intended = format!("{closing},\"intended\":\"2026-11-25T12:30:00Z\"");
    let until = Some(at("2026-11-25T12:45:00Z"));
    let early = Selection { until, ..Selection::default() };
    let late = Selection { since: until, ..Selection::default() };
    for (intent, over) in [(intent, closing), (intent, &*intended), ("", &*intended)] {
        let [deleted] = &*of_two(&early, intent, over).deleted else { panic!("{over}") };
        let began = at("2026-11-25T12:30:00Z");
        let to = at("2026-11-25T13:00:00Z") + LATE;
        assert_eq!(deleted.time, began);
        assert_eq!(deleted.what, What::Unknown { from: began - SKEW, to });
        assert_eq!(of_two(&late, intent, over).deleted.len(), 0);
    }
    // Without an intent and without its time there is only that of the record.
    assert_eq!(of_two(&early, "", closing).deleted.len(), 0);
    assert_eq!(of_two(&late, "", closing).deleted.len(), 1);
    // A gateway that stood still for a week does not make a delete that lasted a week.
    let week = intended.replace("11-25T13", "12-02T13");
    let [deleted] = &*of_two(&early, intent, &week).deleted else { panic!() };
    let from = at("2026-11-25T12:30:00Z");
    let to = from + LONGEST + LATE;
    assert_eq!(deleted.what, What::Unknown { from: from - SKEW, to });
}

#[test]
fn what_cannot_be_made_out_of_a_record_is_counted_and_its_intent_stays() {
    let selection = Selection::default();
    let intent = "\"time\":\"2026-11-25T12:30:00Z\"";
    for bad in [
        "\"time\":\"today\",\"outcome\":\"unknown\"",
        "\"time\":\"2026-11-25T12:30:00Z\",\"outcome\":\"unknown\",\"intended\":\"then\"",
        "\"time\":\"2026-11-25T12:30:00Z\",\"outcome\":\"unheard_of\"",
        "\"outcome\":\"unknown\"",
    ] {
        let gathered = of_two(&selection, intent, bad);
        assert_eq!((gathered.notes.unreadable, gathered.deleted.len()), (1, 1), "{bad}");
        assert!(gathered.notes.hide_something());
    }
}

#[test]
fn a_record_that_comes_twice_is_one_whatever_came_between() {
    let selection = Selection::default();
    let (mut head, mut lines) = (Head::of_new(), Vec::new());
    for (event, delete) in [("intent", "one"), ("delete", "one"), ("intent", "two")] {
        let mut line = Vec::new();
        let body = format!(
            "\"time\":\"2026-11-25T13:00:00Z\",\"event\":\"{event}\",\"delete\":\"{delete}\",\"library\":\"l\",\
             \"space\":\"s\",\"path\":\"a\",\"outcome\":\"relayed\",\"smh_status\":404"
        );
        head.seal(body.as_bytes(), &mut line);
        lines.push(line);
    }
    let mut gatherer = Gatherer::new(&selection);
    for at in [0, 1, 0, 2, 1, 2, 0] {
        gatherer.line(Line::Record(Sealed::parse(lines[at].trim_ascii_end()).unwrap()));
    }
    let gathered = gatherer.end();
    assert_eq!((gathered.notes.records, gathered.deleted.len()), (3, 1));
    assert_eq!((gathered.deleted[0].seq, gathered.missing.len()), (3, 0));
}

#[test]
fn a_time_at_the_edge_of_all_times_is_one_like_any_other() {
    let selection = Selection::default();
    for year in ["0000", "9999"] {
        let mut gatherer = Gatherer::new(&selection);
        let mut line = Vec::new();
        let body = format!(
            "\"time\":\"{year}-01-01T00:00:00.000000Z\",\"event\":\"intent\",\"library\":\"l\",\
             \"space\":\"s\",\"path\":\"a\",\"duration_us\":18446744073709551615"
        );
        Head::of_new().seal(body.as_bytes(), &mut line);
        gatherer.line(Line::Record(Sealed::parse(line.trim_ascii_end()).unwrap()));
        assert_eq!(gatherer.end().deleted.len(), 1);
    }
}
