//! The tour, the demo and the simulator alone.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::support::binary::{Binary, command, run};
use crate::support::ports;
use crate::support::{request, send};

/// A folder for temporary files, of which a test can see whether it is empty again.
fn with_temp<A: AsRef<OsStr>>(temp: &Path, arguments: &[A]) -> Command {
    let mut command = command(Path::new("/"), arguments);
    command.env("TMPDIR", temp);
    command
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn the_tour_ends_well_is_plain_through_a_pipe_and_shows_no_token() {
    let temp = TempDir::new().unwrap();
    let ran = Binary::spawn(with_temp(temp.path(), &["demo", "--once"])).ended().await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{}", ran.out);
    assert!(ran.out.contains("6 of 6 steps ended as they should"), "{}", ran.out);
    let controls = |c: char| c.is_control() && c != '\n';
    assert!(!ran.out.contains(controls), "{:?}", ran.out);
    assert!(!ran.out.contains("acctk"), "{}", ran.out);
    let received = ran.out.lines().filter(|line| line.contains("access_token="));
    assert!(received.clone().count() >= 3, "{}", ran.out);
    for line in received {
        assert!(line.ends_with("access_token=[redacted]"), "{line}");
    }
    assert_eq!(entries(temp.path()), [""; 0], "its files are gone");
}

#[tokio::test]
async fn the_demo_stays_up_until_a_signal_and_takes_its_files_along() {
    for signal in ["INT", "TERM"] {
        let temp = TempDir::new().unwrap();
        let mut demo = Binary::spawn(with_temp(temp.path(), &["demo"]));
        let shown = demo.prints("/_simulator/received\n").await;
        let [folder] = &*entries(temp.path()) else { panic!("one folder") };
        let mode = fs::metadata(temp.path().join(folder)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "its keys and tokens are for this user alone");

        // The first line to try, as a caller would.
        let line = shown.lines().find(|line| line.contains("curl -i -X DELETE")).unwrap();
        let (_, url) = line.rsplit_once("http://").unwrap();
        let (address, target) = url.split_once('/').unwrap();
        let (_, key) = line.split_once("Authorization: Bearer ").unwrap();
        let (key, _) = key.split_once('\'').unwrap();
        let bytes = format!(
            "DELETE /{target} HTTP/1.1\r\nHost: demo\r\nAuthorization: Bearer {key}\r\n\
             Connection: close\r\n\r\n"
        );
        let answer = send(address.parse().unwrap(), bytes.as_bytes()).await;
        assert_eq!(answer.status(), 200);

        demo.signal(signal);
        let ran = demo.ended().await;
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{signal}");
        assert!(!ran.out.contains("acctk"), "{}", ran.out);
        assert_eq!(entries(temp.path()), [""; 0], "its files are gone after {signal}");
    }
}

#[tokio::test]
async fn the_demo_says_why_when_it_cannot_have_a_folder() {
    let temp = TempDir::new().unwrap();
    let none = temp.path().join("file");
    fs::write(&none, "").unwrap();
    let ran = Binary::spawn(with_temp(&none, &["demo", "--once"])).ended().await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert!(ran.err.starts_with("smh-gateway: ") && ran.err.lines().count() == 1, "{}", ran.err);
}

#[tokio::test]
async fn the_simulator_alone_serves_until_a_signal() {
    for signal in ["INT", "TERM"] {
        let arguments = [
            "simulate",
            "--listen",
            "127.0.0.1:0",
            "--library",
            "smh1",
            "--space",
            "space9",
            "--token",
            "acctk-given-0123456789",
            "--file",
            "a",
            "--file",
            "b/c d",
        ];
        let mut simulator = Binary::spawn(command(Path::new("/"), &arguments));
        let shown = simulator.prints("_simulator/received").await;
        let (_, rest) = shown.split_once("simulated SMH on http://").unwrap();
        let address = rest.lines().next().unwrap().parse().unwrap();
        for (target, status) in [
            ("/api/v1/file/smh1/space9/b/c%20d?access_token=acctk-given-0123456789", 200),
            ("/api/v1/file/smh1/space9/b/c%20d?access_token=acctk-given-0123456789", 404),
            ("/api/v1/file/smh1/space9/a?access_token=acctk-wrong", 403),
        ] {
            let bytes = request(target, &["Connection: close"]);
            let bytes =
                bytes.replace(&format!("Authorization: Bearer {}\r\n", crate::support::KEY), "");
            assert_eq!(send(address, bytes.as_bytes()).await.status(), status, "{target}");
        }
        simulator.signal(signal);
        assert_eq!(simulator.ended().await.code, Some(0), "{signal}");
    }
}

#[tokio::test]
async fn the_simulator_names_the_address_that_it_cannot_have() {
    let taken = ports::listen_std();
    let address = taken.local_addr().unwrap().to_string();
    let ran = run(Path::new("/"), &["simulate", "--listen", &address]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert!(
        ran.err.starts_with(&format!("smh-gateway: cannot listen on {address}: ")),
        "{}",
        ran.err
    );
}
