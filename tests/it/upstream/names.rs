//! Names: where they lead, and what becomes of that.
//!
//! The system reads `127.1` and the like as a name that needs nobody to resolve it. For the other names there is
//! an /etc/hosts of the test's own, in a process that has its own view of the file system: that needs root.

use std::path::Path;
use std::process::{Command, Stdio};

use smh_gateway::simulator::{Fault, Injection};

use super::*;
use crate::support::Folder;
use crate::support::binary::{Binary, run};

fn allowing(yaml: &str) -> String {
    yaml.replace("upstream:\n", "upstream:\n  private_addresses: allow\n")
}

#[tokio::test]
async fn a_name_that_leads_inside_is_not_dialled() {
    let smh = ByHand::listen().await;
    let port = smh.address().port();
    for (name, why) in [
        ("127.1", "127.0.0.1, a private address"),
        ("2130706433", "127.0.0.1, a private address"),
        ("0x7f.0.0.1", "127.0.0.1, a private address"),
        ("0", "0.0.0.0, a private address"),
        ("10.1", "10.0.0.1, a private address"),
        ("2852039166", "169.254.169.254, which is link-local"),
        ("100.100.25800", "100.100.100.200, which is link-local or of a metadata service"),
    ] {
        let url = format!("https://{name}:{port}");
        let gateway = start(&one_worker().replace("http://UPSTREAM", &url), smh.address()).await;
        let answer = delete(gateway.address(), "/v1/files/t1/a").await;
        assert_eq!(told(&answer), refusal(502, "UpstreamUnreachable", "not_sent"), "{name}");
        let lines = gateway.stop().await;
        let cause = lines[0]["cause"].as_str().unwrap();
        assert!(cause.contains(why), "{name}: {cause}");
    }
    smh.assert_no_more_connections();
}

#[tokio::test]
async fn private_addresses_may_be_allowed_and_others_inside_never() {
    let smh = ByHand::listen().await;
    let port = smh.address().port();
    for (name, is_dialled) in [("127.1", true), ("2852039166", false)] {
        let url = format!("https://{name}:{port}");
        let yaml = allowing(&one_worker().replace("http://UPSTREAM", &url));
        let gateway = start(&yaml, smh.address()).await;
        let (answer, ()) = tokio::join!(delete(gateway.address(), "/v1/files/t1/a"), async {
            if is_dialled {
                smh.accept().await; // And ended at once.
            }
        });
        assert_eq!(told(&answer), refusal(502, "UpstreamUnreachable", "not_sent"), "{name}");
    }
    smh.assert_no_more_connections();
}

#[tokio::test]
async fn the_doctor_says_where_a_name_leads() {
    let url = "https://169.16689662:9000";
    let yaml = one_worker().replace("http://UPSTREAM", url);
    let folder = Folder::new(&yaml, None, ports::nobody());
    let ran = run(&folder.path(""), &["doctor", "--config", "gateway.yaml"]).await;
    assert!(ran.out.contains("169.254.169.254, which is link-local"), "{} {}", ran.out, ran.err);
    assert_eq!(ran.code, Some(1));
}

/// The gateway with names of its own, which are those in the folder's `hosts`.
fn with_hosts(folder: &Path) -> Command {
    let mut command = Command::new("/usr/bin/unshare");
    let script = "/usr/bin/mount --bind hosts /etc/hosts && \
                  /usr/bin/mount --bind nsswitch /etc/nsswitch.conf && \
                  exec \"$0\" serve --config gateway.yaml";
    command.args(["--mount", "/bin/sh", "-c", script, env!("CARGO_BIN_EXE_smh-gateway")]);
    command.current_dir(folder).env_clear().env("SMH_GATEWAY_LOG_FORMAT", "text");
    command.stdin(Stdio::null());
    command
}

#[tokio::test]
async fn a_name_that_changes_or_vanishes_is_heeded_by_new_connections_alone() {
    let authority = Authority::new();
    let smh = Encrypted::start(authority.acceptor(&["smh.test"], &["http/1.1"])).await;
    let host = format!("smh.test:{}", smh.address.port());
    let folder = Folder::new(&allowing(&authority.trusted(&host)), None, smh.address);
    folder.write("nsswitch", "hosts: files\n");
    folder.write("hosts", "127.0.0.1 smh.test\n");
    let mut gateway = Binary::serving(with_hosts(&folder.path(""))).await;
    assert_eq!(delete(gateway.data[0], "/v1/files/t1/a").await.status(), 200);

    let unreachable = refusal(502, "UpstreamUnreachable", "not_sent");
    for (hosts, told_anew, cause) in [
        ("", Some(&unreachable), "cannot connect"),
        ("169.254.169.254 smh.test\n", Some(&unreachable), "169.254.169.254, which is link-local"),
        ("::ffff:100.100.100.200 smh.test\n", Some(&unreachable), "of a metadata service"),
        ("169.254.169.254 smh.test\n127.0.0.1 smh.test\n", None, ""),
    ] {
        folder.write("hosts", hosts);
        smh.simulator.clear_received();
        smh.simulator.inject(Injection::once(Fault::Slow(Duration::from_millis(500))));
        let first = async {
            let answer = delete(gateway.data[0], "/v1/files/t1/none").await;
            assert_eq!(answer.status(), 404, "over the connection that is kept");
        };
        let second = async {
            until(async || (!smh.simulator.received().is_empty()).then_some(())).await;
            let answer = delete(gateway.data[0], "/v1/files/t1/none").await;
            match told_anew {
                Some(expected) => assert_eq!(&told(&answer), expected, "{hosts:?}"),
                None => assert_eq!(answer.status(), 404, "{hosts:?}"),
            }
        };
        tokio::join!(first, second);
        smh.simulator.clear_faults();
        if told_anew.is_some() {
            assert_eq!(smh.simulator.received().len(), 1, "{hosts:?}");
            gateway.prints(cause).await;
        }
    }
}
