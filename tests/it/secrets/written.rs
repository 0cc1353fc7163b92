//! What is written of secrets that are broken, and by the simulator.

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::*;
use crate::support::binary::{Binary, command};
use crate::support::{Folder, GATEWAY_YAML, KEY, Smh};

#[tokio::test]
async fn a_secret_that_cannot_be_read_is_not_shown_at_start() {
    let smh = Smh::start().await;
    for broken in [BROKEN_TOKEN, "", "\n", &*WRONG.repeat(200), "sentinel-\u{e9}-broken-0123456789"]
    {
        let folder = Folder::new(GATEWAY_YAML, None, smh.address);
        folder.write("token", broken);
        folder.write("app.key", broken);
        let mut command = Binary::serve_command(&folder);
        command.env("SMH_GATEWAY_LOG", "trace");
        let mut gateway = Binary::serving(command).await;
        let said = gateway.says("not ready yet pending=\"API key of caller app\"").await;
        assert!(said.contains("what=\"token of library\" of=\"smhxxx\""), "{said}");
        let ran = gateway.stop().await;
        let mut seen = Seen::default();
        seen.add("standard error", ran.err);
        seen.add("standard output", ran.out);
        seen.hold_none_of(&[BROKEN_TOKEN, WRONG, "sentinel-\u{e9}-broken-0123456789"]);
    }
}

#[tokio::test]
async fn a_key_that_is_hashed_wrongly_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    // The key itself where its digest belongs, and a digest with one digit too many.
    for wrong in [WRONG.to_owned(), format!("{}0", hex::encode(Sha256::digest(WRONG)))] {
        let yaml = YAML.replace("DIGEST", &wrong).replace("UPSTREAM", "127.0.0.1:1");
        fs::write(folder.path().join("gateway.yaml"), yaml).unwrap();
        for arguments in [
            &["check", "--config", "gateway.yaml"][..],
            &["check", "--config", "gateway.yaml", "--format", "json"],
            &["serve", "--config", "gateway.yaml"],
        ] {
            let mut command = command(folder.path(), arguments);
            command.env("SMH_GATEWAY_LOG", "trace");
            let ran = Binary::spawn(command).ended().await;
            assert_eq!(ran.code, Some(1), "{}", ran.err);
            let mut seen = Seen::default();
            seen.add("standard error", ran.err);
            seen.add("standard output", ran.out);
            seen.hold_none_of(&[&wrong]);
        }
    }
}

#[tokio::test]
async fn the_simulator_shows_no_credential_that_it_was_sent() {
    let arguments =
        ["simulate", "--listen", "127.0.0.1:0", "--library", "smh1", "--token", ODD_TOKEN];
    let mut command = command(Path::new("/"), &arguments);
    command.env("SMH_GATEWAY_LOG", "trace");
    let mut simulator = Binary::spawn(command);
    let shown = simulator.prints("_simulator/received").await;
    let address = shown.lines().next().unwrap().rsplit_once('/').unwrap().1.parse().unwrap();
    let encoded = "acctk%2Fsentinel%2Bodd%3D%3D0123456789abcdef";
    let mut seen = Seen::default();
    for target in [
        &*format!("/api/v1/file/smh1/space1/a?access_token={encoded}"),
        &*format!("/api/v1/file/smh1/space1/a?access_token={WRONG}"),
        "/api/v1/file/smh1/space1/a?library_secret=secret-of-smh1",
    ] {
        exchange(address, &deletes(target, &format!("Authorization: Bearer {KEY}\r\n"))).await;
    }
    for path in ["/_simulator/received", "/_simulator/tokens"] {
        let bytes = format!("GET {path} HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n");
        let answer = exchange(address, &bytes).await;
        assert_eq!(status_of(&answer), 200);
        seen.add(path, answer);
    }
    seen.add("standard error", simulator.stop().await.err);
    seen.hold_none_of(&[ODD_TOKEN, WRONG, KEY, "secret-of-smh1"]);
}
