//! By a configuration in a folder, as an operator has it.

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::config;

const GATEWAY: &str = "\
listeners: [{ address: 127.0.0.1:8080 }]
libraries:
  smhxxx: { token: { env: SMH_TOKEN } }
tenants:
  photos: { library: smhxxx, space: spacexxx }
  contracts: { library: smhxxx, space: space2, user_id: forbid }
callers:
  app: { trust: loopback, tenants: [photos] }
  janitor: { api_key: { file: janitor.key }, tenants: [photos, contracts] }
policy: policy.yaml
";

const POLICY: &str = "\
permanent_deletes: by_rule
freeze: [{ tenant: contracts }]
rules:
  - { name: legal hold, deny: { paths: [\"legal/**\"] } }
  - name: summer
    deny: { paths: [\"summer/**\"] }
    until: 2026-09-01
  - { name: purge, allow_permanent: { callers: [janitor] } }
";

fn replay(records: &[String]) -> (Totals, Changes) {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("gateway.yaml"), GATEWAY).unwrap();
    fs::write(folder.path().join("policy.yaml"), POLICY).unwrap();
    let loaded = config::load(&folder.path().join("gateway.yaml"));
    let (snapshot, _) = loaded.into_result().unwrap();
    let mut replay = Replay::by(&snapshot);
    for record in records {
        replay.entry(&Entry::parse(record.as_bytes()).unwrap());
    }
    replay.end()
}

fn record(fields: &str) -> String {
    format!("{{\"time\":\"2026-08-01T00:00:00.000000Z\",\"event\":\"delete\",{fields}}}")
}

/// The code and the rule of the one group there is; empty where nothing changes.
fn change(fields: &str) -> (Option<Change>, String) {
    let (totals, changes) = replay(&[record(fields)]);
    assert_eq!(totals.deletes, 1, "{fields}");
    for change in [Change::NowDenied, Change::NowAllowed] {
        if let [(key, group)] = *changes.groups(change) {
            assert_eq!((group.deletes, totals.is_changed()), (1, true));
            let rule = key.rule.as_deref().unwrap_or_default();
            return (Some(change), format!("{} {} {} {rule}", key.caller, key.tenant, key.code));
        }
    }
    assert!(!totals.is_changed());
    (None, String::new())
}

#[test]
fn each_delete_is_decided_by_the_policy_at_hand() {
    use Change::{NowAllowed, NowDenied};
    for (fields, wanted, why) in [
        (r#""caller":"app","tenant":"photos","path":"a""#, None, ""),
        (
            r#""caller":"app","tenant":"photos","path":"legal/a""#,
            Some(NowDenied),
            "app photos DeniedByRule legal hold",
        ),
        (
            r#""caller":"app","tenant":"photos","path":"legal/a","code":"DeniedByRule","rule":"x""#,
            None,
            "",
        ),
        (
            r#""caller":"app","tenant":"photos","path":"a","code":"DeniedByRule","rule":"old""#,
            Some(NowAllowed),
            "app photos DeniedByRule old",
        ),
        (
            r#""caller":"app","tenant":"photos","path":"a","permanent":true"#,
            Some(NowDenied),
            "app photos PermanentDeleteBlocked ",
        ),
        (
            r#""caller":"janitor","tenant":"photos","path":"a","permanent":true,"code":"PermanentDeleteBlocked""#,
            Some(NowAllowed),
            "janitor photos PermanentDeleteBlocked ",
        ),
        (
            r#""caller":"janitor","tenant":"contracts","path":"a""#,
            Some(NowDenied),
            "janitor contracts Frozen ",
        ),
        (
            r#""caller":"janitor","tenant":"contracts","path":"a","user_id":"u""#,
            Some(NowDenied),
            "janitor contracts InvalidQuery ",
        ),
        (
            r#""caller":"gone","tenant":"photos","path":"a""#,
            Some(NowDenied),
            "gone photos Unauthenticated ",
        ),
        (
            r#""caller":"app","tenant":"contracts","path":"a""#,
            Some(NowDenied),
            "app contracts TenantNotGranted ",
        ),
        (
            r#""caller":"app","library":"smhxxx","space":"spacexxx","path":"legal/a""#,
            Some(NowDenied),
            "app smhxxx/spacexxx DeniedByRule legal hold",
        ),
    ] {
        assert_eq!(change(fields), (wanted, why.to_owned()), "{fields}");
    }
}

#[test]
fn a_rule_that_has_ended_since_is_in_force_for_what_was_before() {
    let fields = r#""caller":"app","tenant":"photos","path":"summer/a""#;
    assert_eq!(change(fields).1, "app photos DeniedByRule summer");
    let later = record(fields).replace("2026-08-01", "2026-09-02");
    assert!(!replay(&[later]).0.is_changed());
}

#[test]
fn what_only_a_limit_or_the_way_to_smh_refused_was_allowed_by_the_policy() {
    for code in [
        "RateLimited",
        "Overloaded",
        "RateLimitStoreUnavailable",
        "AuditUnavailable",
        "TokenUnavailable",
        "UpstreamTimeout",
        "Abandoned",
    ] {
        let fields = format!(r#""caller":"app","tenant":"photos","path":"a","code":"{code}""#);
        assert_eq!(change(&fields).0, None, "{code}");
        let (totals, _) = replay(&[record(&fields)]);
        assert_eq!((totals.were_allowed, totals.are_allowed), (1, 1), "{code}");
    }
}

#[test]
fn what_was_never_decided_is_left_out_and_counted() {
    let (totals, changes) = replay(&[
        record(r#""code":"Unauthenticated","tenant":"photos","path":"legal/a""#),
        record(r#""caller":"app","path":"legal/a""#),
        record(r#""caller":"app","library":"smhxxx","path":"legal/a""#),
        record(r#""caller":"app","tenant":"photos","path":"legal/a","dry_run":true"#),
        record(r#""caller":"app","tenant":"photos","path":"legal/a""#)
            .replace("\"delete\"", "\"intent\""),
        record(r#""caller":"app","tenant":"photos","path":"legal/a""#)
            .replace("2026-08", "2026-88"),
    ]);
    assert_eq!((totals.deletes, totals.undecided, totals.dry_runs), (0, 4, 1));
    assert_eq!(changes, Changes::default());
    assert_eq!(totals.past(), "no delete was decided in what was read");
}

#[test]
fn more_kinds_of_change_than_there_is_room_for_are_counted_together() {
    let kinds = changes::MOST_GROUPS + 7;
    let mut records: Vec<_> = (0..kinds)
        .map(|n| record(&format!(r#""caller":"gone{n}","tenant":"photos","path":"a""#)))
        .collect();
    records.push(record(r#""caller":"gone0","tenant":"photos","path":"b""#));
    let (totals, changes) = replay(&records);
    assert_eq!(totals.now_denied, kinds as u64 + 1);
    assert_eq!(changes.groups(Change::NowDenied).len(), changes::MOST_GROUPS);
    assert_eq!(changes.others(Change::NowDenied), 7);
    let (key, group) = changes.groups(Change::NowDenied)[0];
    assert_eq!((&*key.caller, group.deletes, group.examples.len()), ("gone0", 2, 2));
}

#[test]
fn what_is_kept_of_a_text_has_an_end() {
    let long = "ü".repeat(100_000);
    let fields = format!(r#""caller":"{long}","tenant":"{long}","path":"{long}""#);
    let (_, changes) = replay(&[record(&fields)]);
    let (key, group) = changes.groups(Change::NowDenied)[0];
    assert!(key.caller.len() < 200 && key.tenant.len() < 200, "{}", key.caller.len());
    assert!(group.examples[0].path.len() < 3000);
}

#[test]
fn totals_are_sentences() {
    let (totals, _) = replay(&[
        record(r#""caller":"app","tenant":"photos","path":"legal/a""#),
        record(r#""caller":"gone","tenant":"photos","path":"a""#),
        record(r#""caller":"app","tenant":"photos","path":"a","code":"Frozen""#),
    ]);
    assert_eq!(totals.changed(Change::NowDenied), "2 of 3 deletes would now be denied");
    assert_eq!(totals.changed(Change::NowAllowed), "1 of 3 deletes would now be allowed");
    assert_eq!(totals.apart(), ["1 of them by callers that are not configured any more"]);
    for (number, wanted) in
        [(0, "0"), (999, "999"), (1000, "1,000"), (12_345, "12,345"), (9_876_543, "9,876,543")]
    {
        assert_eq!(grouped(number), wanted);
    }
}
