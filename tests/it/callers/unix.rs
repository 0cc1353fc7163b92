//! Callers of the same machine, over a unix socket.

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use nix::unistd::{getgid, getuid};
use smh_gateway::simulator::{Fault, Injection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::*;
use crate::support::binary::{Binary, PATIENCE, Ran, command};

const TARGET: &str = "/v1/files/t1/a";

/// `LISTENER` stands for a socket; who comes through it is `app`.
const YAML: &str = "\
listeners:
  - LISTENER
admin:
  address: 127.0.0.1:0
upstream:
  url: http://UPSTREAM
libraries:
  smhxxx:
    token: { file: token }
tenants:
  t1: { library: smhxxx, space: spacexxx }
callers:
  app: { trust: loopback, tenants: [t1] }
  other: { api_key: { file: other.key }, tenants: [] }
workers: 2
shutdown: { delay: 0s, drain: 10s }
";

fn folder(smh: &Smh) -> Folder {
    Folder::new(&YAML.replace("LISTENER", "unix: gateway.sock"), None, smh.address)
}

/// Sends bytes on a connection of their own: the status, and everything behind the head.
async fn exchange(socket: &Path, bytes: &str) -> (u16, String) {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    rest_of(stream).await
}

async fn rest_of(mut stream: UnixStream) -> (u16, String) {
    let mut all = String::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut all)).await;
    read.expect("the connection ends").unwrap();
    let (head, body) = all.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// A gateway that must not start.
async fn refused(folder: &Folder) -> Ran {
    let ran = Binary::spawn(Binary::serve_command(folder)).ended().await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{}", ran.err);
    // What is said of a valid file comes before it.
    let err = ran.failure();
    assert_eq!(err.lines().count(), 1, "{err}");
    Ran { err, ..ran }
}

#[tokio::test]
async fn whoever_may_connect_is_the_caller_and_the_log_says_which_process_it_was() {
    let smh = Smh::start().await.with_file("a");
    let listener = format!("{{ unix: gateway.sock, mode: 0620, group: {} }}", getgid().as_raw());
    let folder = Folder::new(&YAML.replace("LISTENER", &listener), None, smh.address);
    let mut gateway = Binary::serve(&folder).await;
    let socket = folder.path("gateway.sock");
    let said = gateway.says("serving").await;
    assert!(said.contains("listening for deletes socket=gateway.sock"), "{said}");
    let file = fs::symlink_metadata(&socket).unwrap();
    assert!(file.file_type().is_socket());
    assert_eq!((file.permissions().mode() & 0o7777, file.gid()), (0o620, getgid().as_raw()));

    let (status, body) = exchange(&socket, &asking(TARGET, &[])).await;
    assert_eq!(status, 200, "{body}");
    let wrong = ["X-Api-Key: a-key-that-nobody-has", "X-Request-Id: wrong"];
    assert_eq!(exchange(&socket, &asking(TARGET, &wrong)).await.0, 401);
    assert_eq!((smh.received().len(), smh.files().len()), (1, 0));
    assert_nothing_of("a-key-that-nobody-has", "SMH", &received(&smh));

    let lines = gateway.stop().await.deletes();
    for line in &lines {
        assert_eq!(line["peer"], "unix", "{line}");
        assert_eq!(line["peer_uid"], getuid().as_raw(), "{line}");
        assert_eq!(line["peer_pid"], std::process::id(), "{line}");
        let trusted = line["request_id"] != "wrong";
        let by = [("caller", trusted, "app"), ("proof", trusted, "loopback")];
        let why = ("reason", !trusted, "a credential nobody has");
        for (name, is_there, value) in by.into_iter().chain([why]) {
            assert_eq!(line[name].as_str(), is_there.then_some(value), "{line}");
        }
    }
    assert_eq!(lines.len(), 2);
    assert!(!socket.exists(), "it goes with the gateway");
}

#[tokio::test]
async fn its_path_begins_where_gateway_yaml_is() {
    let smh = Smh::start().await;
    let folder = folder(&smh);
    let file = folder.path("gateway.yaml");
    let arguments = ["serve".as_ref(), "--config".as_ref(), file.as_os_str()];
    let gateway = Binary::serving(command(Path::new("/"), &arguments)).await;
    let socket = folder.path("gateway.sock");
    assert_eq!(exchange(&socket, &asking(TARGET, &[])).await.0, 404);
    assert_eq!(gateway.stop().await.code, Some(0));
    assert_eq!(smh.received().len(), 1);
}

#[tokio::test]
async fn what_a_killed_gateway_left_behind_is_replaced() {
    let smh = Smh::start().await;
    let folder = folder(&smh);
    let socket = folder.path("gateway.sock");
    let killed = Binary::serve(&folder).await;
    killed.signal("KILL");
    assert_eq!(killed.ended().await.code, None);
    assert!(socket.exists());
    assert!(UnixStream::connect(&socket).await.is_err());
    let gateway = Binary::serve(&folder).await;
    assert_eq!(exchange(&socket, &asking(TARGET, &[])).await.0, 404);
    drop(gateway);
}

#[tokio::test]
async fn two_gateways_never_share_a_socket() {
    let smh = Smh::start().await;
    let folder = folder(&smh);
    let mut first = Binary::serve(&folder).await;
    let ran = refused(&folder).await;
    let wanted = "smh-gateway: cannot listen on unix:gateway.sock: another process listens on it";
    assert_eq!(ran.err.trim_end(), wanted);
    assert!(first.is_running());
    for _ in 0..4 {
        let socket = folder.path("gateway.sock");
        assert_eq!(exchange(&socket, &asking(TARGET, &[])).await.0, 404);
    }
    assert_eq!(first.stop().await.deletes().len(), 4, "each was served by the first");
}

#[tokio::test]
async fn a_file_that_is_no_socket_stays_as_it_is() {
    let smh = Smh::start().await;
    let folder = folder(&smh);
    folder.write("gateway.sock", "precious");
    let ran = refused(&folder).await;
    let wanted = "smh-gateway: cannot listen on unix:gateway.sock: there is a file of this name \
                  that is no socket; remove it, or choose another path";
    assert_eq!(ran.err.trim_end(), wanted);
    assert_eq!(fs::read_to_string(folder.path("gateway.sock")).unwrap(), "precious");
}

#[tokio::test]
async fn a_folder_or_a_group_that_is_not_there_is_named() {
    let smh = Smh::start().await;
    let mut said = String::new();
    for listener in
        ["unix: no/such/folder/gateway.sock", "{ unix: gateway.sock, group: no-such-group }"]
    {
        let yaml = YAML.replace("LISTENER", listener);
        said += &refused(&Folder::new(&yaml, None, smh.address)).await.err;
    }
    insta::assert_snapshot!(said, @r#"
    smh-gateway: cannot listen on unix:no/such/folder/gateway.sock: the folder that it is to be in is not there
    smh-gateway: cannot listen on unix:gateway.sock: there is no group "no-such-group" on this machine
    "#);
}

#[tokio::test]
async fn a_gateway_that_leaves_finishes_what_it_has_and_lets_nobody_wait_in_vain() {
    let smh = Smh::start().await.with_file("a");
    let folder = folder(&smh);
    let mut gateway = Binary::serve(&folder).await;
    let socket: PathBuf = folder.path("gateway.sock");
    smh.simulator.inject(Injection::once(Fault::Slow(Duration::from_secs(1))));
    let mut held = UnixStream::connect(&socket).await.unwrap();
    held.write_all(asking(TARGET, &[]).as_bytes()).await.unwrap();
    becomes("SMH has the delete", async || smh.received().len() == 1).await;
    let mut idle = UnixStream::connect(&socket).await.unwrap();

    gateway.signal("TERM");
    becomes("the socket is gone", async || !socket.exists()).await;
    assert!(gateway.is_running());
    let error = UnixStream::connect(&socket).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    let end = tokio::time::timeout(PATIENCE, idle.read(&mut [0; 1])).await.unwrap();
    assert_eq!(end.unwrap_or(0), 0);
    // The next one can begin while this one ends.
    let next = Binary::serve(&folder).await;
    assert_eq!(exchange(&socket, &asking("/v1/files/t1/b", &[])).await.0, 404);

    assert_eq!(rest_of(held).await.0, 200);
    let ran = gateway.ended().await;
    assert_eq!((ran.code, ran.deletes().len()), (Some(0), 1));
    assert!(socket.exists(), "it is the next one's");
    assert_eq!(next.stop().await.deletes().len(), 1);
}

#[tokio::test]
async fn http2_is_spoken_by_prior_knowledge() {
    let smh = Smh::start().await.with_file("a");
    let folder = folder(&smh);
    let gateway = Binary::serve(&folder).await;
    let stream = UnixStream::connect(folder.path("gateway.sock")).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let request = |path: &str| {
        let target = format!("http://gateway/v1/files/t1/{path}");
        http::Request::delete(target).body(Empty::<Bytes>::new()).unwrap()
    };
    let deletes = async {
        let (one, two) = tokio::join!(
            sender.send_request(request("a")),
            sender.clone().send_request(request("b"))
        );
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!((one.status().as_u16(), two.status().as_u16()), (200, 404));
        assert_eq!(one.version(), http::Version::HTTP_2);
        one.into_body().collect().await.unwrap();
        drop(sender);
    };
    let _ = tokio::join!(deletes, connection);
    assert_eq!(smh.files(), [""; 0]);
    let lines = gateway.stop().await.deletes();
    assert!(lines.iter().all(|line| line["peer_pid"] == std::process::id()), "{lines:?}");
    assert_eq!(lines.len(), 2);
}
