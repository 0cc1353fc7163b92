//! From the first delete to the last restore: three gateways, their own journals, and one undo.

use std::collections::BTreeSet;
use std::time::Duration;

use smh_gateway::simulator::{Fault, Injection, Matcher};
use tokio::task::JoinSet;

use super::*;
use crate::support::binary::{Binary, command};
use crate::support::{KEY, Kept, OTHER_KEY, becomes, request};

const FILES: usize = 5_000;

fn paths() -> Vec<String> {
    (0..FILES).map(|index| format!("photos/{}/{index}.jpg", index % 7)).collect()
}

/// Deletes all files through three gateways, half of them as one caller and half as another; returns those
/// of the first.
async fn an_accident(stage: &Stage) -> BTreeSet<String> {
    let paths = paths();
    paths.iter().for_each(|path| stage.smh.simulator.put_file(LIBRARY, SPACE, path));
    let mut gateways = Vec::new();
    for number in 0..3 {
        let yaml = GATEWAY_YAML.replace("tenants: [] }", "tenants: [t1] }")
            + &format!("audit: {{ file: audit{number}.jsonl }}\n");
        stage.folder.write("serve.yaml", &yaml.replace("UPSTREAM", &stage.smh.address.to_string()));
        let serve = ["serve", "--config", "serve.yaml"];
        gateways.push(Binary::serving(command(&stage.folder.path(""), &serve)).await);
    }
    let mut callers = JoinSet::new();
    for number in 0..12 {
        let address = gateways[number % 3].data[0];
        let mine: Vec<_> = paths.iter().skip(number).step_by(12).cloned().collect();
        let key = if number % 2 == 0 { KEY } else { OTHER_KEY };
        callers.spawn(async move {
            let mut kept = Kept::open(address).await;
            for path in mine {
                let asked = request(&format!("/v1/files/t1/{path}"), &[]).replace(KEY, key);
                kept.write(asked.as_bytes()).await;
                let answer = kept.answer().await;
                assert_eq!(answer.status(), 200, "{path}");
            }
        });
    }
    callers.join_all().await;
    for gateway in gateways {
        gateway.signal("TERM");
        assert_eq!(gateway.ended().await.code, Some(0));
    }
    assert_eq!(stage.smh.files(), [""; 0]);
    stage.smh.simulator.clear_received();
    paths
        .into_iter()
        .enumerate()
        .filter(|(index, _)| index % 2 == 0)
        .map(|(_, path)| path)
        .collect()
}

const JOURNALS: [&str; 3] = ["audit0.jsonl", "audit1.jsonl", "audit2.jsonl"];

#[tokio::test]
async fn one_undo_brings_back_exactly_the_deletes_of_one_caller() {
    let stage = Stage::new().await;
    let accident = an_accident(&stage).await;
    let ran = stage.undo(&JOURNALS, &["--caller", "app"]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(stage.smh.files().into_iter().collect::<BTreeSet<_>>(), accident);
    assert_eq!((stage.in_bin().len(), stage.restores().len()), (FILES / 2, FILES / 200));
    // The others' as well, and the files are what they were.
    let ran = stage.undo(&JOURNALS, &[]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(
        stage.smh.files().into_iter().collect::<BTreeSet<_>>(),
        paths().into_iter().collect()
    );
}

#[tokio::test]
async fn one_that_is_interrupted_and_started_again_comes_to_the_same_end() {
    let stage = Stage::new().await;
    let accident = an_accident(&stage).await;
    for batches in [3, 9] {
        let slow = Injection::forever(Fault::Slow(Duration::from_millis(50)));
        stage.smh.simulator.inject(slow.when(Matcher::route(RouteKind::RestoreBatch)));
        let more = ["--since", "1h", "--yes", "--caller", "app"];
        let arguments = Stage::arguments(&JOURNALS, &more);
        let binary = Binary::spawn(command(&stage.folder.path(""), &arguments));
        becomes("it restores", async || stage.restores().len() >= batches).await;
        binary.signal("KILL");
        binary.ended().await;
        stage.smh.simulator.clear_faults();
    }
    let ran = stage.undo(&JOURNALS, &["--caller", "app"]).await;
    // What was under way when it was killed is back, and nobody said so.
    let code = if ran.out.contains(" may be back: ") { 1 } else { 0 };
    assert_eq!(ran.code, Some(code), "{}", ran.out);
    assert_eq!(stage.smh.files().into_iter().collect::<BTreeSet<_>>(), accident);
    assert_eq!(stage.in_bin().len(), FILES / 2);
}
