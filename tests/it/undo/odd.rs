//! Answers that the simulator does not give.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{Book, Stage, UNDO_TOKEN};
use crate::support::binary::{Ran, run};
use crate::support::{Folder, GATEWAY_YAML, ports};

type Script = Arc<dyn Fn(usize, &str) -> (u16, Value) + Send + Sync>;

/// An SMH that answers what a script says: to the how-manieth request, and to which.
struct Scripted {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Scripted {
    fn start(script: impl Fn(usize, &str) -> (u16, Value) + Send + Sync + 'static) -> Self {
        let listener = ports::listen();
        let address = listener.local_addr().unwrap();
        let (asked, script) = (Arc::new(Mutex::new(Vec::new())), Arc::new(script));
        let heard = Arc::clone(&asked);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                answer(stream, &(Arc::clone(&script) as Script), &heard).await;
            }
        });
        Self { address, asked, _tasks: tasks }
    }

    /// What was asked, without its query: `GET /api/…`.
    fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let short = |one: &String| one.split(['?', ' ']).take(2).collect::<Vec<_>>().join(" ");
        asked.iter().map(short).collect()
    }
}

async fn answer(mut stream: TcpStream, script: &Script, heard: &Mutex<Vec<String>>) {
    let mut read = Vec::new();
    let end = loop {
        match read.windows(4).position(|four| four == b"\r\n\r\n") {
            Some(end) => break end + 4,
            None => assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0),
        }
    };
    let head = String::from_utf8(read[..end].to_vec()).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = length.map_or(0, |length| length.parse().unwrap());
    while read.len() < end + length {
        assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0);
    }
    let line = head.lines().next().unwrap().to_owned();
    let number = heard.lock().unwrap().len();
    let (status, body) = script(number, &line);
    heard.lock().unwrap().push(line);
    let body = body.to_string();
    let answer = format!(
        "HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
}

/// Two deletes, of the items 1 and 2, undone against a script.
async fn undone(smh: &Scripted, more: &[&str]) -> (Ran, Vec<Value>) {
    let yaml = GATEWAY_YAML.to_owned() + "undo: { token: { file: undo-token } }\n";
    let folder = Folder::new(&yaml, None, smh.address);
    folder.write("undo-token", UNDO_TOKEN);
    let mut book = Book::new();
    book.recycled("robot", "a/1", 1);
    book.recycled("robot", "a/2", 2);
    std::fs::write(folder.path("audit.jsonl"), &book.text).unwrap();
    let more = [&["--since", "1h", "--yes"], more].concat();
    let ran = run(&folder.path(""), &Stage::arguments(&["audit.jsonl"], &more)).await;
    assert!(!format!("{ran:?}").contains(UNDO_TOKEN));
    let ledger = std::fs::read_to_string(folder.path("undo.jsonl")).unwrap();
    (ran, ledger.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// Both are in the bin, the second deleted later.
fn listing() -> (u16, Value) {
    let item = |id: u64, removed: &str| {
        json!({
            "recycledItemId": id, "originalPath": ["a", id.to_string()], "type": "file",
            "removalTime": removed, "remainingTime": 3,
        })
    };
    let (second, first) = (super::now(), "2020-01-01T00:00:00.000Z");
    (200, json!({ "totalNum": 2, "contents": [item(2, &second), item(1, first)] }))
}

fn not_there() -> (u16, Value) {
    (
        404,
        json!({ "status": 404, "code": "RecycledItemNotFound", "message": "Recycled item not found." }),
    )
}

const BIN: &str = "/api/v1/recycled/smhxxx/spacexxx";

#[tokio::test]
async fn a_task_is_asked_for_until_it_ends_and_may_be_named_by_a_text() {
    let smh = Scripted::start(|number, line| match line {
        _ if line.starts_with("POST") => (202, json!({ "taskId": "t20" })),
        _ if line.contains("/task/") && number < 4 => {
            (200, json!([{ "taskId": "t20", "status": 202 }]))
        }
        _ if line.contains("/task/") => {
            let results = json!([
                { "status": 200, "recycledItemId": 1, "path": ["a", "1"] },
                { "status": 409, "code": "QuotaLimitReached", "recycledItemId": 2 },
            ]);
            (200, json!([{ "taskId": "t20", "status": 207, "result": { "result": results } }]))
        }
        _ => listing(),
    });
    let (ran, ledger) = undone(&smh, &[]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("t1: a/2: SMH refuses it: 409 QuotaLimitReached"), "{}", ran.out);
    let task = "GET /api/v1/task/smhxxx/spacexxx/t20";
    assert_eq!(smh.asked(), [&format!("GET {BIN}"), &format!("POST {BIN}"), task, task, task]);
    assert_eq!(ledger.iter().filter(|record| record["restored"] == true).count(), 1);
    let refused = ledger.iter().find(|record| record["restored"] == false).unwrap();
    assert_eq!(
        (&refused["code"], &refused["recycled_item_id"]),
        (&json!("QuotaLimitReached"), &json!(2))
    );
}

#[tokio::test]
async fn a_task_that_fails_may_have_done_some_of_it() {
    let smh = Scripted::start(|_, line| match line {
        _ if line.contains("/2?info") => (200, json!({ "type": "file" })),
        _ if line.contains("?info") => not_there(),
        _ if line.contains("/task/") => (200, json!([{ "taskId": 20, "status": 500 }])),
        _ if line.starts_with("POST") => (202, json!({ "taskId": 20 })),
        _ => listing(),
    });
    let (ran, ledger) = undone(&smh, &[]).await;
    // It fails each time, but only the first time for the one that it did.
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("1 file restored"), "{}", ran.out);
    assert!(
        ran.out.contains("t1: a/2: given up after 5 tries: the task 20 failed with 500"),
        "{}",
        ran.out
    );
    assert_eq!(ledger.iter().filter(|record| record["restored"] == true).count(), 1);
}

#[tokio::test]
async fn what_an_answer_does_not_name_is_looked_up() {
    let smh = Scripted::start(|_, line| match line {
        _ if line.contains("?info") => not_there(),
        _ if line.starts_with("POST") => {
            let one = json!({ "status": 200, "recycledItemId": 1, "path": ["a", "1"] });
            let stranger = json!({ "status": 200, "recycledItemId": 77, "path": ["x"] });
            (200, json!({ "result": [one, one, stranger] }))
        }
        _ => listing(),
    });
    let (ran, ledger) = undone(&smh, &[]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let restored = ledger.iter().filter(|record| record["restored"] == true);
    let mut ids: Vec<_> = restored.map(|record| record["recycled_item_id"].as_u64()).collect();
    ids.sort_unstable();
    assert_eq!(ids, [Some(1), Some(2)], "one because it was said, one because it has left");
    assert_eq!(smh.asked().last(), Some(&format!("GET {BIN}/2")));
}

/// SMH's documents do not say that a batch heeds the strategies.
#[tokio::test]
async fn where_a_batch_does_not_heed_the_strategies_each_is_restored_on_its_own() {
    let smh = Scripted::start(|_, line| match line {
        _ if line.contains("/1?restore") => (200, json!({ "path": ["a", "1 (1)"] })),
        _ if line.contains("/2?restore") => (200, json!({ "path": ["2"] })),
        _ if line.starts_with("POST") => {
            let taken = json!({ "status": 409, "code": "SameNameDirectoryOrFileExists", "recycledItemId": 1 });
            let lost = json!({ "status": 404, "code": "DirectoryNotFound", "recycledItemId": 2 });
            (207, json!({ "result": [taken, lost] }))
        }
        _ => listing(),
    });
    let (ran, _) = undone(&smh, &["--to-root"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for part in ["a/1 came back as a/1 (1)", "a/2 came back as 2"] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    let lines = smh.asked.lock().unwrap().clone();
    let alone = lines.iter().filter(|line| line.contains("?restore") && !line.contains("xxx?"));
    for line in alone.clone() {
        let said = "conflict_resolution_strategy=rename&restore_path_strategy=fallbackToRoot";
        assert!(line.contains(said), "{line}");
    }
    assert_eq!(alone.count(), 2);
}

#[tokio::test]
async fn a_text_of_smhs_acts_on_no_terminal() {
    let smh = Scripted::start(|_, line| match line {
        _ if line.starts_with("POST") => {
            let named =
                |id: u64| json!({ "status": 200, "recycledItemId": id, "path": ["\u{1b}[31m\nx"] });
            (200, json!({ "result": [named(1), named(2)] }))
        }
        _ => listing(),
    });
    let (ran, _) = undone(&smh, &[]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!ran.out.contains('\u{1b}') && ran.out.contains("\\u{1b}[31m"), "{}", ran.out);
}

/// It was about to be restored, and the run ended before: if it leaves the bin, that was somebody else.
#[tokio::test]
async fn one_that_was_not_tried_after_all_is_written_down_as_such() {
    let smh = Scripted::start(|_, line| match line {
        _ if line.contains("/2?restore") || line.contains("/1?restore") => {
            (403, json!({ "status": 403, "code": "NoPermission", "message": "No." }))
        }
        _ if line.starts_with("POST") => {
            let taken = |id: u64| json!({ "status": 409, "code": "SameNameDirectoryOrFileExists", "recycledItemId": id });
            (207, json!({ "result": [taken(1), taken(2)] }))
        }
        _ => listing(),
    });
    let (ran, ledger) = undone(&smh, &[]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("not tried: run it again"), "{}", ran.out);
    let alone = smh.asked().iter().filter(|line| line.starts_with("POST")).count();
    assert_eq!(alone, 2, "a batch and one alone");
    let settled: Vec<_> = ledger.iter().filter(|record| record["restored"] == false).collect();
    assert_eq!(settled.len(), 2, "{ledger:#?}");
    assert_ne!(settled[0]["recycled_item_id"], settled[1]["recycled_item_id"]);
    assert_eq!(settled[1]["cause"], "not tried");
}
