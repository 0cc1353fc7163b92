//! What stands in a record, and when it is there.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::support::binary::{Binary, run};
use crate::support::{Folder, Gateway, Kept, Smh, becomes, request};

const TRACE: &str = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[tokio::test]
async fn a_delete_leaves_its_intent_and_then_what_became_of_it() {
    let smh = Smh::start().await.with_file("2025/a b.jpg");
    let gateway = Gateway::with(&with_journal(""), None, smh.address).await;
    let asked = request(
        "/v1/files/t1/2025/a%20b.jpg?user_id=u1",
        &["X-Request-Id: from-the-caller", TRACE],
    );
    assert_eq!(gateway.send(&asked).await.status(), 200);
    // The caller has heard, so it is there.
    let records = records(&gateway.folder.path("audit.jsonl"));
    let (intent, whole) = (of(&records, "intent")[0], of(&records, "delete")[0]);
    assert_eq!((of(&records, "intent").len(), of(&records, "delete").len()), (1, 1));
    for record in [intent, whole] {
        for (field, wanted) in [
            ("request_id", "from-the-caller"),
            ("trace_id", "0af7651916cd43dd8448eb211c80319c"),
            ("caller", "app"),
            ("proof", "api_key"),
            ("tenant", "t1"),
            ("library", "smhxxx"),
            ("space", "spacexxx"),
            ("path", "2025/a b.jpg"),
            ("user_id", "u1"),
        ] {
            assert_eq!(record[field], wanted, "{field} of {record}");
        }
        assert_eq!(record["permanent"], false);
        assert_eq!(record["policy"], gateway.running.gateway().in_force().snapshot.sha256);
        assert!(record["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    }
    assert_eq!(intent["delete"], whole["delete"]);
    assert_eq!((&intent["outcome"], &intent["smh_status"]), (&Value::Null, &Value::Null));
    assert_eq!((&whole["decision"], &whole["outcome"]), (&"allow".into(), &"relayed".into()));
    assert_eq!((&whole["status"], &whole["smh_status"]), (&200.into(), &200.into()));
    assert_eq!((&whole["recycled_item_id"], &whole["reversible"]), (&1.into(), &true.into()));
    assert!(whole["duration_us"].as_u64().unwrap() > 0);
    let mode = gateway.folder.path("audit.jsonl").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn whatever_becomes_of_a_delete_there_is_one_record_of_it() {
    let smh = Smh::start().await.with_file("gone");
    let policy = "permanent_deletes: by_rule\nrules:\n  - { name: tmp, allow_permanent: { paths: [\"gone\"] }, ticket: OPS-1 }\n  - { name: no, deny: { paths: [\"no/**\"] }, ticket: OPS-2 }\nrate_limits:\n  - { name: daily, per: [tenant], tenants: [t2], limit: 1/day }\n";
    let gateway = Gateway::with(&with_journal(""), Some(policy), smh.address).await;
    let path = gateway.folder.path("audit.jsonl");
    let dry = request("/v1/files/t1/x", &["X-Dry-Run: 1"]);
    let stranger = "DELETE /v1/files/t1/x HTTP/1.1\r\nHost: h\r\nX-Api-Key: nobody\r\nConnection: close\r\n\r\n";
    let cases = [
        (request("/v1/files/t1/gone?permanent=1", &[]), "relayed", "allow", None),
        (request("/v1/files/t1/never-there", &[]), "relayed", "allow", None),
        (request("/v1/files/t1/no/x", &[]), "refused", "deny", Some("DeniedByRule")),
        (
            request("/v1/files/t1/x?permanent=1", &[]),
            "refused",
            "deny",
            Some("PermanentDeleteBlocked"),
        ),
        (request("/v1/files/t9/x", &[]), "refused", "deny", Some("TenantNotGranted")),
        (request("/v1/files/t1/..", &[]), "refused", "deny", Some("InvalidPath")),
        (request("/elsewhere", &[]), "refused", "deny", Some("UnknownRoute")),
        (stranger.to_owned(), "refused", "deny", Some("Unauthenticated")),
        (request("/v1/files/t2/x", &[]), "relayed", "allow", None),
        (request("/v1/files/t2/x", &[]), "refused", "deny", Some("RateLimited")),
        (dry, "not_sent", "allow", None),
    ];
    for (index, (asked, outcome, decision, code)) in cases.iter().enumerate() {
        gateway.send(asked).await;
        // What was refused is not waited for.
        becomes("it is there", async || of(&records(&path), "delete").len() == index + 1).await;
        let records = records(&path);
        let record = of(&records, "delete")[index];
        let found =
            (record["outcome"].as_str(), record["decision"].as_str(), record["code"].as_str());
        assert_eq!(found, (Some(*outcome), Some(*decision), *code), "{asked}: {record}");
    }
    let records = records(&path);
    let deletes = of(&records, "delete");
    assert_eq!((&deletes[0]["rule"], &deletes[0]["ticket"]), (&"tmp".into(), &"OPS-1".into()));
    assert_eq!(
        (&deletes[0]["reversible"], &deletes[0]["permanent"]),
        (&false.into(), &true.into())
    );
    assert_eq!((&deletes[1]["smh_status"], &deletes[1]["reversible"]), (&404.into(), &Value::Null));
    assert_eq!((&deletes[2]["rule"], &deletes[2]["ticket"]), (&"no".into(), &"OPS-2".into()));
    assert_eq!(deletes[9]["limit"], "daily");
    assert_eq!(deletes[10]["dry_run"], true);
    // Only what was sent was intended.
    let sent: Vec<_> = of(&records, "intent").iter().map(|one| one["delete"].clone()).collect();
    assert_eq!(sent, [0, 1, 8].map(|index| deletes[index]["delete"].clone()));
}

#[tokio::test]
async fn a_caller_who_hangs_up_leaves_a_record() {
    let listener = crate::support::ports::listen();
    let gateway = Gateway::with(&with_journal(""), None, listener.local_addr().unwrap()).await;
    let mut caller = Kept::open(gateway.address()).await;
    caller.write(request("/v1/files/t1/a", &["X-Request-Id: left"]).as_bytes()).await;
    // SMH has it, and never answers.
    let _held = listener.accept().await.unwrap();
    let path = gateway.folder.path("audit.jsonl");
    assert_eq!(of(&records(&path), "intent").len(), 1, "before SMH hears of it");
    drop(caller);
    becomes("recorded", async || of(&records(&path), "delete").len() == 1).await;
    let record = of(&records(&path), "delete")[0].clone();
    assert_eq!((&record["request_id"], &record["outcome"]), (&"left".into(), &"unknown".into()));
}

#[tokio::test]
async fn a_journal_goes_on_after_a_restart_and_belongs_to_one_process() {
    let smh = Smh::start().await;
    let folder = Folder::new(&with_journal("  durability: buffered\n"), None, smh.address);
    for _ in 0..2 {
        let mut binary = Binary::serve(&folder).await;
        let answer =
            crate::support::send(binary.data[0], request("/v1/files/t1/a", &[]).as_bytes()).await;
        assert_eq!(answer.status(), 404);
        let second = run(&folder.path(""), &["serve", "--config", "gateway.yaml"]).await;
        assert_eq!(second.code, Some(1));
        assert!(second.err.contains("another process writes"), "{}", second.err);
        binary.signal("TERM");
        let said = binary.says("the head of the journal").await;
        assert_eq!(binary.ended().await.code, Some(0));
        let records = records(&folder.path("audit.jsonl"));
        let last = records.last().unwrap();
        let head = format!(
            "{}:{}:{}",
            last["journal"].as_str().unwrap(),
            last["seq"],
            last["hash"].as_str().unwrap()
        );
        assert!(said.contains(&head), "{head} in {said}");
    }
    let records = records(&folder.path("audit.jsonl"));
    let events: Vec<_> = records.iter().map(|record| record["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["start", "intent", "delete", "stop"].repeat(2));
}

/// By a name that ends with a line, and by one that would move a terminal's cursor.
#[tokio::test]
async fn no_name_breaks_out_of_its_record() {
    let smh = Smh::start().await;
    let gateway = Gateway::with(&with_journal(""), None, smh.address).await;
    let path = gateway.folder.path("audit.jsonl");
    let odd = "%22%2C%22hash%22%3A%22%7D%E2%80%A8";
    assert_eq!(gateway.delete(&format!("/v1/files/t1/{odd}")).await.status(), 404);
    let records = records(&path);
    assert_eq!(of(&records, "delete")[0]["path"], "\",\"hash\":\"}\u{2028}");
}

#[tokio::test]
async fn records_go_to_the_log_where_that_is_asked_for() {
    let smh = Smh::start().await;
    let folder = Folder::new(GATEWAY_YAML, None, smh.address);
    for (filter, is_there) in [("info", false), ("info,audit=debug", true)] {
        let mut command = Binary::serve_command(&folder);
        command.env("SMH_GATEWAY_LOG", filter);
        let binary = Binary::serving(command).await;
        let asked = request("/v1/files/t1/a", &["X-Request-Id: to-the-log"]);
        crate::support::send(binary.data[0], asked.as_bytes()).await;
        binary.signal("TERM");
        let ran = binary.ended().await;
        let line = ran.err.lines().find(|line| line.contains("to-the-log"));
        assert_eq!(line.is_some(), is_there, "{}", ran.err);
        assert!(line.is_none_or(|line| line.contains("\"outcome\":\"relayed\"")));
    }
}
