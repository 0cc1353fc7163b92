//! What outlives the process.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::support::Folder;
use crate::support::binary::Binary;

const POLICY: &str = "rate_limits:\n  - { name: daily, per: [caller], limit: 10/day }\n";

fn with_state() -> String {
    format!("{GATEWAY_YAML}rate_limit_state: state.json\n")
}

async fn passes_at(binary: &Binary, deletes: usize) -> usize {
    let mut kept = Kept::open(binary.data[0]).await;
    let mut passed = 0;
    for _ in 0..deletes {
        passed += usize::from(kept.delete("/v1/files/t1/f").await.status() == 404);
    }
    passed
}

#[tokio::test]
async fn a_budget_survives_a_restart_and_without_a_file_it_does_not() {
    for (yaml, wanted) in [(with_state(), 3), (GATEWAY_YAML.to_owned(), 10)] {
        let smh = Smh::start().await;
        let folder = Folder::new(&yaml, Some(POLICY), smh.address);
        let binary = Binary::serve(&folder).await;
        assert_eq!(passes_at(&binary, 7).await, 7);
        binary.signal("TERM");
        assert_eq!(binary.ended().await.code, Some(0));
        let binary = Binary::serve(&folder).await;
        assert_eq!(passes_at(&binary, 12).await, wanted);
        if wanted == 3 {
            let state = fs::read_to_string(folder.path("state.json")).unwrap();
            assert!(!state.contains("app"), "no name, so no user's either: {state}");
        }
    }
}

/// What was used in the last seconds may be forgotten, and no more.
#[tokio::test]
async fn a_budget_survives_a_kill_once_it_was_written() {
    let smh = Smh::start().await;
    let folder = Folder::new(&with_state(), Some(POLICY), smh.address);
    let binary = Binary::serve(&folder).await;
    assert_eq!(passes_at(&binary, 7).await, 7);
    becomes("it is written", async || {
        fs::read_to_string(folder.path("state.json"))
            .is_ok_and(|state| state.contains("\"daily\"") && !state.contains("\"used\":{}"))
    })
    .await;
    binary.signal("KILL");
    binary.ended().await;
    let binary = Binary::serve(&folder).await;
    assert_eq!(passes_at(&binary, 12).await, 3);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_put_aside_and_told() {
    let smh = Smh::start().await;
    for broken in ["", "{", "{\"version\":9,\"at\":0,\"limits\":[]}", "\0\0\0\0"] {
        let folder = Folder::new(&with_state(), Some(POLICY), smh.address);
        folder.write("state.json", broken);
        let mut binary = Binary::serve(&folder).await;
        binary.says("the state of rate limits cannot be read").await;
        assert_eq!(fs::read_to_string(folder.path("state.json.broken")).unwrap(), broken);
        assert_eq!(passes_at(&binary, 12).await, 10);
    }
}

/// Whatever is in the way: deletes go on, and it is written again when there is room.
#[tokio::test]
async fn a_file_that_cannot_be_written_is_told_and_stops_nothing() {
    let smh = Smh::start().await;
    let folder = Folder::new(&with_state(), Some(POLICY), smh.address);
    fs::create_dir_all(folder.path("state.json.new/in the way")).unwrap();
    let mut binary = Binary::serve(&folder).await;
    assert_eq!(passes_at(&binary, 4).await, 4);
    binary.says("the state of rate limits cannot be written").await;
    assert_eq!(passes_at(&binary, 20).await, 6);
    fs::remove_dir_all(folder.path("state.json.new")).unwrap();
    binary.says("the state of rate limits is written again").await;
    assert!(folder.path("state.json").exists());
}

/// Nobody has it written elsewhere.
#[tokio::test]
async fn a_link_in_the_place_of_the_new_file_is_not_followed() {
    let smh = Smh::start().await;
    let folder = Folder::new(&with_state(), Some(POLICY), smh.address);
    folder.write("victim", "untouched");
    symlink(folder.path("victim"), folder.path("state.json.new")).unwrap();
    let binary = Binary::serve(&folder).await;
    assert_eq!(passes_at(&binary, 4).await, 4);
    becomes("it is written", async || folder.path("state.json").exists()).await;
    assert_eq!(fs::read_to_string(folder.path("victim")).unwrap(), "untouched");
}

/// A folder that is gone stays gone.
#[tokio::test]
async fn a_file_that_can_never_be_written_is_told_once() {
    let smh = Smh::start().await;
    let yaml = format!("{GATEWAY_YAML}rate_limit_state: gone/state.json\n");
    let folder = Folder::new(&yaml, Some(POLICY), smh.address);
    let mut binary = Binary::serve(&folder).await;
    binary.says("the state of rate limits cannot be written").await;
    assert_eq!(passes_at(&binary, 20).await, 10);
    binary.signal("TERM");
    let ended = binary.ended().await;
    assert_eq!(ended.code, Some(0));
    assert_eq!(ended.err.matches("cannot be written").count(), 1, "{}", ended.err);
}
