//! `undo`: the real binary, with journals as gateways write them, against a simulated SMH whose files and
//! received requests are looked at.

/// Exactly what was asked for comes back, and what cannot is told.
mod chosen;
/// The files of a journal: moved, compressed, missing.
mod files;
/// An SMH in trouble, and what is in the way.
mod trouble;
/// Deletes whose answer was lost.
mod unknown;
/// From real gateways' journals to the files as they were.
mod accident;
/// Runs that were killed.
mod interrupted;
/// Answers that the simulator does not give.
mod odd;
/// What it needs and says: configuration, credentials, questions.
mod asking;

use serde_json::{Value, json};
use smh_gateway::journal::Head;
use smh_gateway::simulator::{Effect, RouteKind, TokenSpec};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::support::binary::{Ran, run};
use crate::support::{Folder, GATEWAY_YAML, LIBRARY, SPACE, Smh, send};

const UNDO_TOKEN: &str = "acctkUNDOsentinel9876543210fedcba9876543210";
const ADMIN_TOKEN: &str = "acctkADMINsentinel0123456789";

/// A simulated SMH, and a folder with what an undo of it needs.
struct Stage {
    smh: Smh,
    folder: Folder,
}

impl Stage {
    async fn new() -> Self {
        Self::with("undo: { token: { file: undo-token } }\n").await
    }

    /// With this `undo` in gateway.yaml.
    async fn with(undo: &str) -> Self {
        let smh = Smh::start().await;
        let admin = TokenSpec::new(LIBRARY).with_grant("admin").with_value(ADMIN_TOKEN);
        smh.simulator.issue_token(admin);
        let undoing = TokenSpec::new(LIBRARY).with_grant("restore_recycled");
        smh.simulator.issue_token(undoing.with_value(UNDO_TOKEN));
        let yaml = GATEWAY_YAML.replace("timeout: 3s", "timeout: 500ms") + undo;
        let folder = Folder::new(&yaml, None, smh.address);
        folder.write("undo-token", UNDO_TOKEN);
        Self { smh, folder }
    }

    /// Deletes files, in one request for a thousand; their ids in the bin.
    async fn delete(&self, paths: &[String]) -> Vec<u64> {
        let mut ids = Vec::new();
        for some in paths.chunks(1000) {
            some.iter().for_each(|path| self.smh.simulator.put_file(LIBRARY, SPACE, path));
            let items: Vec<_> = some.iter().map(|path| json!({ "path": path })).collect();
            let target = format!("/api/v1/batch/{LIBRARY}/{SPACE}?delete");
            let answer = self.as_admin("POST", &target, &json!(items).to_string()).await;
            let results = answer["result"].as_array().unwrap().clone();
            ids.extend(results.iter().map(|one| one["recycledItemId"].as_u64().unwrap()));
        }
        self.smh.simulator.clear_received();
        ids
    }

    async fn delete_one(&self, path: &str) -> u64 {
        self.delete(&[path.to_owned()]).await[0]
    }

    /// Deletes files, and has a journal say so, as deletes of a caller.
    async fn deleted(&self, book: &mut Book, caller: &str, paths: &[&str]) -> Vec<u64> {
        let paths: Vec<_> = paths.iter().map(|&path| path.to_owned()).collect();
        let ids = self.delete(&paths).await;
        for (path, id) in paths.iter().zip(&ids) {
            book.recycled(caller, path, *id);
        }
        ids
    }

    async fn as_admin(&self, method: &str, target: &str, body: &str) -> Value {
        let request = format!(
            "{method} {target}&access_token={ADMIN_TOKEN} HTTP/1.1\r\nHost: smh\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = send(self.smh.address, request.as_bytes()).await;
        assert!(answer.status() < 300, "{answer:?}");
        answer.json()
    }

    fn arguments(journals: &[&str], more: &[&str]) -> Vec<String> {
        let fixed = ["undo", "--config", "gateway.yaml", "--rate", "100"];
        let journals = journals.iter().flat_map(|&journal| ["--journal", journal]);
        let all = fixed.into_iter().chain(journals).chain(more.iter().copied());
        all.map(str::to_owned).collect()
    }

    /// Undoes to the end, without a question; nothing that it says or leaves holds a secret.
    async fn undo(&self, journals: &[&str], more: &[&str]) -> Ran {
        let more: Vec<_> = [&["--since", "1h", "--yes"], more].concat();
        self.run(journals, &more).await
    }

    async fn run(&self, journals: &[&str], more: &[&str]) -> Ran {
        let ran = run(&self.folder.path(""), &Self::arguments(journals, more)).await;
        self.assert_no_secret(&ran);
        ran
    }

    fn assert_no_secret(&self, ran: &Ran) {
        let journal = std::fs::read_to_string(self.folder.path("undo.jsonl")).unwrap_or_default();
        for said in [&ran.out, &ran.err, &journal] {
            for secret in [UNDO_TOKEN, "UNDOsentinel", "sentinel-library-secret"] {
                assert!(!said.contains(secret), "{said}");
            }
        }
    }

    fn write(&self, name: &str, book: &Book) {
        std::fs::write(self.folder.path(name), &book.text).unwrap();
    }

    /// The requests that restored, or were to: how, and the ids.
    fn restores(&self) -> Vec<(RouteKind, Vec<u64>)> {
        let mut restores = Vec::new();
        for request in self.smh.received() {
            match request.route {
                Some(RouteKind::RestoreBatch) => {
                    let ids = serde_json::from_slice(&request.body).unwrap();
                    restores.push((RouteKind::RestoreBatch, ids));
                }
                Some(RouteKind::RestoreRecycled) => {
                    let path = request.target.split('?').next().unwrap();
                    let id = path.rsplit('/').next().unwrap().parse().unwrap();
                    restores.push((RouteKind::RestoreRecycled, vec![id]));
                }
                _ => {}
            }
        }
        restores
    }

    /// The ids that SMH brought back, in that order.
    fn brought_back(&self) -> Vec<u64> {
        let effects = self.smh.received().into_iter().flat_map(|request| request.effects);
        let id = |effect| if let Effect::Restored { id, .. } = effect { Some(id) } else { None };
        effects.filter_map(id).collect()
    }

    fn asked_for(&self, route: RouteKind) -> usize {
        self.smh.received().iter().filter(|request| request.route == Some(route)).count()
    }

    fn in_bin(&self) -> Vec<u64> {
        self.smh.simulator.recycled(LIBRARY, SPACE).iter().map(|item| item.id).collect()
    }

    /// What the undo's own journal says.
    fn ledger(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path("undo.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A journal of a gateway.
#[derive(Clone)]
struct Book {
    head: Head,
    text: Vec<u8>,
    deletes: usize,
}

impl Book {
    fn new() -> Self {
        Self { head: Head::of_new(), text: Vec::new(), deletes: 0 }
    }

    /// One record.
    fn record(&mut self, body: &Value) {
        let body = body.to_string().into_bytes();
        self.head.seal(&body[1..body.len() - 1], &mut self.text);
    }

    /// An intent and what became of it, with these fields besides or instead.
    fn delete(&mut self, caller: &str, path: &str, more: Value) {
        let intent = self.intent(caller, path, json!({}));
        let mut outcome = intent;
        outcome["event"] = json!("delete");
        outcome["duration_us"] = json!(20_000);
        merge(&mut outcome, more);
        self.record(&outcome);
    }

    fn intent(&mut self, caller: &str, path: &str, more: Value) -> Value {
        self.deletes += 1;
        let mut body = json!({
            "time": now(), "event": "intent", "delete": format!("d{}", self.deletes),
            "request_id": format!("request-{caller}-{}", self.deletes), "caller": caller,
            "tenant": "t1", "library": LIBRARY, "space": SPACE, "path": path, "permanent": false,
            "decision": "allow",
        });
        merge(&mut body, more);
        self.record(&body);
        body
    }

    fn recycled(&mut self, caller: &str, path: &str, id: u64) {
        let more = json!({
            "outcome": "relayed", "status": 200, "smh_status": 200, "recycled_item_id": id,
            "reversible": true,
        });
        self.delete(caller, path, more);
    }
}

fn merge(into: &mut Value, more: Value) {
    let Value::Object(more) = more else { panic!("{more}") };
    into.as_object_mut().unwrap().extend(more);
}

fn now() -> String {
    OffsetDateTime::now_utc().format(&Rfc3339).unwrap()
}

/// In so many seconds, or so many seconds ago.
fn since_now(seconds: i64) -> String {
    (OffsetDateTime::now_utc() + time::Duration::seconds(seconds)).format(&Rfc3339).unwrap()
}
