//! Starting, or not, and secrets that cannot be read.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;

use serde_json::json;

use super::*;
use crate::support::binary::{Binary, Ran, command, limited};
use crate::support::ports;
use crate::support::{Folder, GATEWAY_YAML, Smh, request, send};

/// Runs `serve` where it cannot start.
async fn refused(folder: &Folder) -> Ran {
    let ran = Binary::spawn(Binary::serve_command(folder)).ended().await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{}", ran.err);
    assert!(!ran.err.contains("serving"), "{}", ran.err);
    ran
}

#[tokio::test]
async fn an_address_in_use_is_an_error_that_names_it() {
    let smh = Smh::start().await;
    let taken = ports::nobody();
    let by = std::net::TcpListener::bind(taken).unwrap();
    let address = format!("  - address: {taken}");
    for workers in ["workers: 1", "workers: 2"] {
        let yaml = GATEWAY_YAML.replace("workers: 2", workers);
        let data = yaml.replacen("  - address: 127.0.0.1:0", &address, 1);
        let ran = refused(&Folder::new(&data, None, smh.address)).await;
        let wanted = format!("smh-gateway: cannot listen on {taken}: Address already in use");
        assert!(ran.err.contains(&wanted), "{}", ran.err);
        assert_eq!(ran.failure().lines().count(), 1, "{}", ran.err);

        let admin = yaml
            .replace("admin:\n  address: 127.0.0.1:0", &format!("admin: {{ address: {taken} }}"));
        let ran = refused(&Folder::new(&admin, None, smh.address)).await;
        let wanted =
            format!("smh-gateway: cannot listen on {taken} for the admin listener: Address");
        assert!(ran.err.contains(&wanted), "{}", ran.err);
    }
    drop(by);
}

#[tokio::test]
async fn two_gateways_never_share_an_address() {
    let smh = Smh::start().await;
    let mut first = Binary::serve(&Folder::new(GATEWAY_YAML, None, smh.address)).await;
    let (data, admin) = (first.data[0], first.admin.unwrap());
    for (listener, operators) in [
        (data, SocketAddr::from(([127, 0, 0, 1], 0))),
        (SocketAddr::from(([127, 0, 0, 1], 0)), admin),
        (admin, SocketAddr::from(([127, 0, 0, 1], 0))),
        (SocketAddr::from(([127, 0, 0, 1], 0)), data),
    ] {
        let yaml = GATEWAY_YAML.replacen("127.0.0.1:0", &listener.to_string(), 1).replace(
            "admin:\n  address: 127.0.0.1:0",
            &format!("admin: {{ address: {operators} }}"),
        );
        let ran = refused(&Folder::new(&yaml, None, smh.address)).await;
        assert!(ran.err.contains("in use"), "{}", ran.err);
    }
    assert!(first.is_running());
    for _ in 0..8 {
        assert_eq!(delete(data, "/v1/files/t1/a").await.status(), 404);
    }
    assert_eq!(first.stop().await.deletes().len(), 8, "each was served by the first");
}

#[tokio::test]
async fn a_file_with_a_mistake_serves_nothing_and_says_where_it_is() {
    let smh = Smh::start().await;
    let yaml = GATEWAY_YAML.replace("library: smhxxx, space: spacexxx", "library: smhxx, space: s");
    let ran = refused(&Folder::new(&yaml, None, smh.address)).await;
    assert_eq!(
        ran.err,
        "gateway.yaml:13:18: unknown library `smhxx`\n   \
         13 |   t1: { library: smhxx, space: s }\n      \
         |                  ^^^^^ did you mean `smhxxx`?\n"
    );
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let ran =
        Binary::spawn(command(folder.path(), &["serve", "--config", "no.yaml"])).ended().await;
    assert_eq!(ran.code, Some(1));
    assert_eq!(
        ran.err,
        "no.yaml: the file cannot be read: No such file or directory (os error 2)\n"
    );
}

/// Opening one would wait for somebody to write to it, at the start or a second later.
#[tokio::test]
async fn a_secret_that_is_a_pipe_holds_nobody_up() {
    let smh = Smh::start().await;
    let folder = Folder::new(GATEWAY_YAML, None, smh.address);
    for name in ["token", "other.key"] {
        std::fs::remove_file(folder.path(name)).unwrap();
        let made = std::process::Command::new("mkfifo").arg(folder.path(name)).status().unwrap();
        assert!(made.success());
    }
    let mut gateway = Binary::serve(&folder).await;
    let pending = json!(["token of library smhxxx", "API key of caller other"]);
    // By then the files were looked at again.
    folder.write("app.key", "another-key-of-app-0123456789");
    gateway.says("another API key was read from its file").await;
    let answer = get(gateway.admin.unwrap(), "/readyz").await;
    assert_eq!((answer.status(), &answer.json()["pending"]), (503, &pending));
    assert_eq!(gateway.stop().await.code, Some(0));
}

#[tokio::test]
async fn a_secret_that_breaks_while_it_runs_is_complained_about_once() {
    let smh = Smh::start().await.with_file("a");
    let folder = Folder::new(GATEWAY_YAML, None, smh.address);
    let mut gateway = Binary::serve(&folder).await;
    folder.write("token", "two\nlines");
    gateway.says("a secret cannot be read; it is looked for again what=\"token of library\"").await;
    // The next one is noticed in a later round, and the first is looked at again in it.
    folder.write("other.key", "");
    gateway.says("what=\"API key of caller\" of=\"other\"").await;
    folder.write("token", crate::support::TOKEN);
    gateway.says("it is well again what=\"token of library smhxxx\"").await;
    // All the while the token that was good is used.
    assert_eq!(
        send(gateway.data[0], request("/v1/files/t1/a", &[]).as_bytes()).await.status(),
        200
    );
    let ran = gateway.stop().await;
    assert_eq!(ran.err.matches("cannot be read").count(), 2, "{}", ran.err);
}

#[tokio::test]
async fn as_many_files_are_open_as_the_system_allows_and_it_is_said_if_that_may_be_too_few() {
    let smh = Smh::start().await;
    let folder = Folder::new(GATEWAY_YAML, None, smh.address);
    for (ulimit, limit, enough) in
        [("ulimit -Sn 200 && ulimit -Hn 12000", 12_000, true), ("ulimit -n 300", 300, false)]
    {
        let gateway = Binary::serving(limited(&Binary::serve_command(&folder), ulimit)).await;
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", gateway.id())).unwrap();
        let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        let limits: Vec<u64> = files.split_whitespace().filter_map(|w| w.parse().ok()).collect();
        assert_eq!(limits, [limit, limit], "{ulimit}");
        assert_eq!(delete(gateway.data[0], "/v1/files/t1/a").await.status(), 404);
        let ran = gateway.stop().await;
        let warned = ran.err.contains("fewer open files are allowed")
            && ran.err.contains("limit=300 needed=11256");
        assert_eq!(warned, !enough, "{ulimit}: {}", ran.err);
    }
}

/// A process of another user that the system lets nobody trace belongs to root in /proc.
#[tokio::test]
async fn nobody_of_the_same_user_may_look_into_its_memory_and_no_core_is_dumped() {
    const SOMEBODY: u32 = 10932;
    let smh = Smh::start().await;
    let folder = Folder::new(GATEWAY_YAML, None, smh.address);
    let mut serve = Binary::serve_command(&folder);
    if nix::unistd::geteuid().is_root() {
        for name in ["", "gateway.yaml", "token", "app.key", "other.key"] {
            std::os::unix::fs::chown(folder.path(name), Some(SOMEBODY), None).unwrap();
        }
        serve.uid(SOMEBODY);
    }
    let gateway = Binary::serving(serve).await;
    let process = format!("/proc/{}", gateway.id());
    for file in ["mem", "environ", "maps"] {
        let owner = std::fs::metadata(format!("{process}/{file}")).unwrap().uid();
        assert_eq!(owner, 0, "{file}");
    }
    let limits = std::fs::read_to_string(format!("{process}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let limits: Vec<_> = core.split_whitespace().filter(|word| *word == "0").collect();
    assert_eq!(limits, ["0", "0"], "{core}");
    assert_eq!(delete(gateway.data[0], "/v1/files/t1/a").await.status(), 404);
    gateway.stop().await;
}
