//! What would change.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use super::{Journal, delete, folder};
use crate::support::binary::{Ran, run};

const GATEWAY: &str = "\
listeners: [{ address: 127.0.0.1:8080 }]
libraries:
  smhxxx: { token: { env: SMH_TOKEN } }
tenants:
  photos: { library: smhxxx, space: spacexxx }
  contracts: { library: smhxxx, space: space2 }
callers:
  app: { trust: loopback, tenants: [photos] }
  janitor: { api_key: { file: janitor.key }, tenants: [photos, contracts] }
policy: policy.yaml
";

const POLICY: &str = "\
rules:
  - name: legal hold
    deny: { paths: [\"legal/**\"] }
  - name: until noon
    deny: { paths: [\"noon/**\"] }
    until: 2026-11-25T13:30:00Z
";

fn past() -> Journal {
    let allowed = |minute, caller: &str, tenant: &str, path: &str| {
        delete(
            minute,
            &format!(
                "\"request_id\":\"r\",\"caller\":\"{caller}\",\"tenant\":\"{tenant}\",\"path\":\"{path}\",\"decision\":\"allow\",\"outcome\":\"relayed\""
            ),
        )
    };
    let mut journal = Journal::new();
    for minute in 0..5 {
        journal.add(allowed(minute, "app", "photos", &format!("legal/{minute}.pdf")));
        journal.add(allowed(minute, "app", "photos", "fine"));
    }
    journal.add(allowed(6, "janitor", "contracts", "legal/\\u202e"));
    journal.add(allowed(7, "janitor", "contracts", "legal/z"));
    journal.add(allowed(29, "app", "photos", "noon/before"));
    journal.add(allowed(31, "app", "photos", "noon/after"));
    journal.add(allowed(32, "app", "contracts", "a"));
    journal.add(allowed(33, "left", "photos", "a"));
    journal.add(delete(34, r#""caller":"app","tenant":"photos","path":"tmp/a","decision":"deny","code":"DeniedByRule","rule":"no tmp","outcome":"refused""#));
    journal.add(delete(35, r#""caller":"app","tenant":"photos","path":"a","decision":"deny","code":"RateLimited","limit":"l","outcome":"refused""#));
    journal.add(delete(
        36,
        r#""code":"Unauthenticated","tenant":"photos","path":"a","outcome":"refused""#,
    ));
    journal.add(allowed(37, "app", "photos", "legal/a\",\"dry_run\":true,\"reason\":\""));
    journal.add(allowed(38, "app", "photos", "legal/x").replace("\"delete\"", "\"intent\""));
    journal
}

fn stage(policy: &str, journal: &[u8]) -> TempDir {
    let folder = folder(&[("gateway.yaml", GATEWAY.as_bytes()), ("journal", journal)]);
    fs::write(folder.path().join("policy.yaml"), policy).unwrap();
    folder
}

async fn replay(folder: &TempDir, arguments: &[&str]) -> Ran {
    let all = [&["replay", "--config", "gateway.yaml"], arguments].concat();
    run(folder.path(), &all).await
}

#[tokio::test]
async fn what_would_change_is_told_by_caller_tenant_and_rule() {
    let folder = stage(POLICY, &past().text);
    let ran = replay(&folder, &["journal"]).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    insta::assert_snapshot!(ran.out, @r#"
    18 deletes from 2026-11-25T13:00:00.000000Z to 2026-11-25T13:35:00.000000Z: allowed 17, denied 1
    left out, as dry runs: 1
    left out, as refused before anything was decided about them: 1

    10 of 18 deletes would now be denied
      1 of them by callers that are not configured any more
      1 of them in tenants that are not granted, or not configured, any more
              5  app  photos  DeniedByRule "legal hold" (policy.yaml:2)
                 2026-11-25T13:00:00.000000Z  legal/0.pdf
                 2026-11-25T13:01:00.000000Z  legal/1.pdf
                 2026-11-25T13:02:00.000000Z  legal/2.pdf
              2  janitor  contracts  DeniedByRule "legal hold" (policy.yaml:2)
                 2026-11-25T13:06:00.000000Z  legal/\u{202e}
                 2026-11-25T13:07:00.000000Z  legal/z
              1  app  contracts  TenantNotGranted
                 2026-11-25T13:32:00.000000Z  a
              1  app  photos  DeniedByRule "until noon" (policy.yaml:4)
                 2026-11-25T13:29:00.000000Z  noon/before
              1  left  photos  Unauthenticated
                 2026-11-25T13:33:00.000000Z  a

    1 of 18 deletes would now be allowed
              1  app  photos  was DeniedByRule "no tmp"
                 2026-11-25T13:34:00.000000Z  tmp/a
    "#);
}

#[tokio::test]
async fn programs_get_the_same() {
    let folder = stage(POLICY, &past().text);
    let ran = replay(&folder, &["--format", "json", "journal"]).await;
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    let totals = [
        "deletes",
        "were_allowed",
        "are_allowed",
        "now_denied",
        "unknown_caller",
        "not_granted",
        "now_allowed",
        "dry_runs",
        "undecided",
    ];
    let counts = totals.map(|name| told["totals"][name].as_u64().unwrap());
    assert_eq!(counts, [18, 17, 8, 10, 1, 1, 1, 1, 1]);
    let first = &told["now_denied"]["groups"][0];
    assert_eq!((first["deletes"].as_u64(), first["rule"].as_str()), (Some(5), Some("legal hold")));
    assert_eq!(first["examples"].as_array().unwrap().len(), 3);
    assert_eq!(told["now_denied"]["others"], 0);
}

#[tokio::test]
async fn a_policy_that_changes_nothing_says_so() {
    let journal = Journal::of([delete(1, r#""caller":"app","tenant":"photos","path":"a""#)]);
    let folder = stage(POLICY, &journal.text);
    let ran = replay(&folder, &["--fail-on-change", "journal"]).await;
    assert_eq!(ran.code, Some(0));
    let at = "2026-11-25T13:01:00.000000Z";
    let wanted = format!("1 delete from {at} to {at}: allowed 1, denied 0\nnothing changes\n");
    assert_eq!(ran.out, wanted);
}

#[tokio::test]
async fn a_change_fails_where_it_is_asked_to() {
    let folder = stage(POLICY, &past().text);
    assert_eq!(replay(&folder, &["--fail-on-change", "journal"]).await.code, Some(1));
    let before = ["--fail-on-change", "--path", "fine", "journal"];
    assert_eq!(replay(&folder, &before).await.code, Some(0));
    let since = ["--fail-on-change", "--since", "2026-11-25T13:35:00Z", "journal"];
    let ran = replay(&folder, &since).await;
    assert_eq!(ran.code, Some(0), "{}", ran.out);
}

#[tokio::test]
async fn freezes_of_the_policy_are_in_force_and_dry_run_refuses_nothing() {
    let folder = stage("freeze: [{ everything: true }]\n", &past().text);
    let ran = replay(&folder, &["journal"]).await;
    assert!(ran.out.contains("17 of 18 deletes would now be denied"), "{}", ran.out);
    assert!(ran.out.contains("app  photos  Frozen"), "{}", ran.out);

    let folder = stage(&format!("dry_run: true\n{POLICY}"), &past().text);
    let ran = replay(&folder, &["journal"]).await;
    assert!(ran.out.contains("2 of 18 deletes would now be denied"), "{}", ran.out);
}

#[tokio::test]
async fn lines_that_are_no_records_are_told_and_passed_over() {
    let mut content = past().text;
    content.extend_from_slice(b"what\n{\"v\":9}\n{\"v\":1,\"j");
    let folder = stage(POLICY, &content);
    let ran = replay(&folder, &["journal"]).await;
    assert_eq!((ran.code, ran.err.lines().count()), (Some(0), 3), "{}", ran.err);
    assert!(ran.out.contains("10 of 18 deletes"), "{}", ran.out);
    let ran = replay(&folder, &["journal", "missing"]).await;
    assert_eq!(ran.code, Some(1), "what could not be read may have changed, too");
}

#[tokio::test]
async fn an_empty_journal_has_nothing_to_decide() {
    let folder = stage(POLICY, b"");
    let ran = replay(&folder, &["--fail-on-change", "journal"]).await;
    assert_eq!(ran.code, Some(0));
    assert_eq!(ran.out, "no delete was decided in what was read\n");
}

#[tokio::test]
async fn a_configuration_that_is_not_valid_is_reported_and_nothing_is_read() {
    let folder = stage("rules: 1\n", &past().text);
    let ran = replay(&folder, &["journal"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert!(ran.err.contains("policy.yaml:1:8: "), "{}", ran.err);
    assert_eq!(replay(&folder, &[]).await.code, Some(2));
}
