use std::fs;
use std::path::Path;

use futures_util::FutureExt;
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::journal::{Line, Reader, Verifier, all_rotated};
use crate::log::JsonLine;
use crate::metrics::Metrics;

fn plan(folder: &TempDir) -> AuditPlan {
    AuditPlan {
        file: folder.path().join("a.jsonl"),
        durability: Durability::Sync,
        when_unavailable: WhenUnavailable::Refuse,
        rotate: Rotate::default(),
        keep: Keep::default(),
        compress: false,
    }
}

fn start(plan: &AuditPlan) -> Arc<Audit> {
    Arc::new(Audit::start(plan.clone(), "policy", Metrics::new().audit.clone()).unwrap())
}

fn write(event: &str, delete: DeleteId, path: &str, buffer: &mut Vec<u8>) {
    let mut line = JsonLine::new(buffer);
    line.now().text("event", event);
    delete.with_text(|id| {
        line.text("delete", id);
    });
    line.text("request_id", "r1").text("tenant", "t1").text("path", path);
    line.end();
}

async fn record(audit: &Arc<Audit>, event: &str, delete: DeleteId) -> Result<(), Unwritten> {
    let (desk, attendant) = Desk::of(Arc::clone(audit));
    tokio::select! {
        written = async { desk.record(|buffer| write(event, delete, "a", buffer))?.come().await } => written,
        () = attendant.attend() => unreachable!("it never ends"),
    }
}

/// All records of all files, which are whole.
fn records(path: &Path) -> Vec<Value> {
    let mut paths: Vec<_> = all_rotated(path).unwrap().into_iter().map(|one| one.path).collect();
    paths.push(path.to_owned());
    let (mut verifier, mut found, mut records) = (Verifier::default(), Vec::new(), Vec::new());
    for path in paths {
        let mut reader = Reader::open(&path).unwrap();
        while let Some(line) = reader.read().unwrap() {
            verifier.line(line, &mut found);
            if let Line::Record(sealed) = line {
                records.push(serde_json::from_slice(sealed.text()).unwrap());
            }
        }
    }
    verifier.end(&mut found);
    assert_eq!(found, []);
    records
}

fn events(records: &[Value]) -> Vec<&str> {
    records.iter().map(|record| record["event"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_record_is_there_when_it_was_waited_for_and_the_end_is_said() {
    let folder = TempDir::new().unwrap();
    let plan = plan(&folder);
    let audit = start(&plan);
    let delete = audit.name_delete();
    record(&audit, "intent", delete).await.unwrap();
    assert_eq!(events(&records(&plan.file)), ["start", "intent"]);
    record(&audit, "delete", delete).await.unwrap();
    audit.note(|buffer| write("delete", audit.name_delete(), "b", buffer));
    audit.close();
    assert_eq!(record(&audit, "delete", delete).await, Err(Unwritten));
    let records = records(&plan.file);
    assert_eq!(events(&records), ["start", "intent", "delete", "delete", "stop"]);
    assert_eq!(records[1]["delete"], records[2]["delete"]);
    assert_ne!(records[1]["delete"], records[3]["delete"]);
    assert_eq!(records[0]["unfinished"], 0);
}

#[tokio::test]
async fn what_an_earlier_process_left_open_is_closed_once() {
    let folder = TempDir::new().unwrap();
    let plan = plan(&folder);
    let audit = start(&plan);
    let deletes = [(); 4].map(|()| audit.name_delete());
    for delete in deletes {
        record(&audit, "intent", delete).await.unwrap();
    }
    record(&audit, "delete", deletes[1]).await.unwrap();
    audit.close();
    for start_again in 0..2 {
        let audit = start(&plan);
        assert_ne!(audit.name_delete(), deletes[0], "no name is used twice");
        audit.close();
        let records = records(&plan.file);
        let closed: Vec<_> = records.iter().filter(|one| one["outcome"] == "unknown").collect();
        assert_eq!(closed.len(), 3, "after start {start_again}");
        for (index, record) in [0, 2, 3].iter().zip(&closed) {
            let name = deletes[*index].with_text(str::to_owned);
            assert_eq!((&record["delete"], &record["path"]), (&name.into(), &"a".into()));
            assert_eq!(record["intended"], records[index + 1]["time"]);
        }
    }
}

#[tokio::test]
async fn a_full_file_gives_way_to_another_and_old_ones_go() {
    let folder = TempDir::new().unwrap();
    let rotate = Rotate { bytes: Some(2_000), age: None };
    let keep = Keep { files: Some(2), age: None };
    let plan = AuditPlan { rotate, keep, compress: true, ..plan(&folder) };
    let audit = start(&plan);
    let full = || all_rotated(&plan.file).unwrap();
    let mut seen = 0;
    for _ in 0..60 {
        for _ in 0..10 {
            record(&audit, "delete", audit.name_delete()).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        seen = seen.max(full().last().map_or(0, |one| one.first_seq));
        if full().len() == 2 && full()[0].first_seq > 1 {
            break;
        }
    }
    audit.close();
    assert!(seen > 0 && full().len() <= 3, "{:?}", full());
    assert!(full()[0].first_seq > 1, "{:?}", full());
    assert!(full()[0].path.extension().is_some_and(|extension| extension == "gz"));
    assert_eq!(events(&records(&plan.file)).last(), Some(&"stop"));
}

/// As logrotate does it, with a signal or without.
#[tokio::test]
async fn a_file_that_was_moved_away_is_not_written_any_more() {
    for asks in [true, false] {
        let folder = TempDir::new().unwrap();
        let plan = plan(&folder);
        let audit = start(&plan);
        record(&audit, "delete", audit.name_delete()).await.unwrap();
        let old = folder.path().join("a.jsonl.000000000001");
        fs::rename(&plan.file, &old).unwrap();
        if asks {
            audit.reopen();
        }
        for _ in 0..200 {
            if plan.file.exists() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let length = fs::metadata(&old).unwrap().len();
        record(&audit, "delete", audit.name_delete()).await.unwrap();
        audit.close();
        assert_eq!(fs::metadata(&old).unwrap().len(), length);
        assert_eq!(events(&records(&plan.file)), ["start", "delete", "delete", "stop"]);
    }
}

/// A folder in its place stands for whatever keeps it from being written.
#[tokio::test]
async fn what_cannot_be_written_is_told_and_tried_again() {
    let folder = TempDir::new().unwrap();
    let plan = plan(&folder);
    let audit = start(&plan);
    record(&audit, "delete", audit.name_delete()).await.unwrap();
    let moved = folder.path().join("a.jsonl.000000000001");
    fs::rename(&plan.file, &moved).unwrap();
    fs::create_dir(&plan.file).unwrap();
    while audit.is_available() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(record(&audit, "intent", audit.name_delete()).await, Err(Unwritten));
    assert!(audit.status().fault.is_some());
    audit.hold(|buffer| write("delete", audit.name_delete(), "held", buffer));
    audit.note(|buffer| write("delete", audit.name_delete(), "lost", buffer));
    fs::remove_dir(&plan.file).unwrap();
    while !audit.is_available() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(audit.status().fault, None);
    record(&audit, "delete", audit.name_delete()).await.unwrap();
    audit.close();
    let records = records(&plan.file);
    assert_eq!(events(&records), ["start", "delete", "resumed", "delete", "delete", "stop"]);
    assert_eq!((&records[2]["lost"], &records[3]["path"]), (&1.into(), &"held".into()));
}

/// As after a write that came back late: nothing broke, and nobody tries it again.
#[tokio::test]
async fn what_was_held_is_written_also_where_nothing_broke() {
    let folder = TempDir::new().unwrap();
    let plan = plan(&folder);
    let audit = start(&plan);
    let delete = audit.name_delete();
    audit.hold(|buffer| write("delete", delete, "held", buffer));
    while events(&records(&plan.file)).len() < 3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    audit.hold(|buffer| write("delete", delete, "at the end", buffer));
    audit.close();
    let records = records(&plan.file);
    assert_eq!(events(&records), ["start", "resumed", "delete", "resumed", "delete", "stop"]);
    assert_eq!((&records[2]["path"], &records[4]["path"]), (&"held".into(), &"at the end".into()));
}

#[tokio::test]
async fn a_worker_hears_of_its_own_records_and_of_no_others() {
    let folder = TempDir::new().unwrap();
    let plan = plan(&folder);
    let audit = start(&plan);
    let (first, second) = (audit.name_delete(), audit.name_delete());
    let (one, attendant) = Desk::of(Arc::clone(&audit));
    let (other, _nobody_attends) = Desk::of(Arc::clone(&audit));
    let others = other.record(|buffer| write("intent", second, "b", buffer)).unwrap();
    let own = one.record(|buffer| write("intent", first, "a", buffer)).unwrap();
    tokio::select! {
        written = own.come() => written.unwrap(),
        () = attendant.attend() => unreachable!("it never ends"),
    }
    audit.close();
    assert_eq!(events(&records(&plan.file)), ["start", "intent", "intent", "stop"]);
    assert_eq!(others.come().now_or_never(), None, "it is there, and nobody says so");
}
