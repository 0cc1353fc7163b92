//! `health`, as a container runtime runs it.

use serde_json::Value;

use super::*;
use crate::support::binary::Binary;
use crate::support::{Folder, GATEWAY_YAML, Smh, ports};

async fn health(folder: &Path, arguments: &[&str]) -> Ran {
    run(folder, &[&["health"], arguments].concat()).await
}

#[tokio::test]
async fn a_gateway_that_runs_is_healthy_and_one_that_has_gone_is_not() {
    let smh = Smh::start().await;
    let folder = Folder::new(GATEWAY_YAML, None, smh.address);
    let gateway = Binary::serve(&folder).await;
    let admin = gateway.admin.unwrap().to_string();
    let nowhere = TempDir::new().unwrap();
    for more in [&[][..], &["--ready"]] {
        let ran = health(nowhere.path(), &[&["--address", &admin], more].concat()).await;
        assert_eq!((ran.code, &*ran.out, &*ran.err), (Some(0), "ok\n", ""), "no file is needed");
    }
    let ran = health(nowhere.path(), &["--address", &admin, "--format", "json"]).await;
    let said: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (ran.code, &said["healthy"], &said["asked"]),
        (Some(0), &true.into(), &"/livez".into())
    );

    gateway.stop().await;
    let ran = health(nowhere.path(), &["--address", &admin]).await;
    assert_eq!((ran.code, &*ran.out), (Some(1), ""));
    assert!(ran.err.contains(&format!("no gateway answers on {admin}")), "{}", ran.err);
    let ran = health(nowhere.path(), &["--address", &admin, "--format", "json"]).await;
    let said: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &said["healthy"]), (Some(1), &false.into()), "{said}");
}

#[tokio::test]
async fn a_gateway_without_its_token_is_alive_and_not_ready() {
    let smh = Smh::start().await;
    let yaml = GATEWAY_YAML.replace("{ file: token }", "{ file: not-yet }");
    let folder = Folder::new(&yaml, None, smh.address);
    let gateway = Binary::serve(&folder).await;
    let admin = gateway.admin.unwrap().to_string();
    let nowhere = TempDir::new().unwrap();
    assert_eq!(health(nowhere.path(), &["--address", &admin]).await.code, Some(0));
    let ran = health(nowhere.path(), &["--address", &admin, "--ready"]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.starts_with("smh-gateway: /readyz says 503"), "{}", ran.err);
    assert!(ran.err.contains("smhxxx"), "it says what is missing: {}", ran.err);
}

#[tokio::test]
async fn the_file_says_where_to_ask_and_nothing_else_in_it_matters() {
    let smh = Smh::start().await;
    let folder = Folder::new(GATEWAY_YAML, None, smh.address);
    let gateway = Binary::serve(&folder).await;
    let port = gateway.admin.unwrap().port();
    let other = TempDir::new().unwrap();
    // From inside the pod, all addresses are reached on loopback.
    fs::write(
        other.path().join("g.yaml"),
        format!("admin: {{ address: 0.0.0.0:{port} }}\nwrong: 1\n"),
    )
    .unwrap();
    let ran = health(other.path(), &["--config", "g.yaml"]).await;
    assert_eq!((ran.code, &*ran.err), (Some(0), ""));

    for (file, said) in [
        ("admin: none\n", "gateway.yaml has no admin listener to ask"),
        ("admin: { address: here }\n", "g.yaml:1:19: `here` is not an address"),
    ] {
        fs::write(other.path().join("g.yaml"), file).unwrap();
        let ran = health(other.path(), &["--config", "g.yaml"]).await;
        assert_eq!(ran.code, Some(1));
        assert!(ran.err.contains(said), "{}", ran.err);
    }
    let ran = health(other.path(), &["--config", "none.yaml"]).await;
    assert!(
        ran.code == Some(1) && ran.err.contains("none.yaml: the file cannot be read"),
        "{}",
        ran.err
    );
}

#[tokio::test]
async fn nobody_is_waited_for_longer_than_a_probe_waits() {
    // It accepts, and says nothing.
    let silent = ports::listen_std();
    let address = silent.local_addr().unwrap().to_string();
    let nowhere = TempDir::new().unwrap();
    let ran = health(nowhere.path(), &["--address", &address]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("does not answer within 2s"), "{}", ran.err);
}
