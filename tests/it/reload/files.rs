//! Every way in which a file is changed, and what is told of it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use super::*;
use crate::support::binary::Binary;
use crate::support::{Folder, GATEWAY_YAML, Lines, Smh, load, send};
use smh_gateway::run::Running;

#[tokio::test]
async fn a_plain_write_a_rename_and_an_editors_save_are_noticed() {
    let smh = Smh::start().await;
    let gateway = Gateway::with_policy(&denying("first"), smh.address).await;
    let path = |name: &str| gateway.folder.path(name);
    assert_eq!(denied_by(&gateway, "/v1/files/t1/x/1").await, "first");

    gateway.folder.write("policy.yaml", &denying("written"));
    becomes_denied_by(&gateway, "written").await;

    gateway.folder.write("policy.new", &denying("renamed"));
    fs::rename(path("policy.new"), path("policy.yaml")).unwrap();
    becomes_denied_by(&gateway, "renamed").await;

    // As vim does it: the old file is moved away, a new one is written in its place.
    fs::rename(path("policy.yaml"), path("policy.yaml~")).unwrap();
    gateway.folder.write("policy.yaml", &denying("saved"));
    fs::remove_file(path("policy.yaml~")).unwrap();
    becomes_denied_by(&gateway, "saved").await;

    // As rsync and `cp -p` do it: the new file looks older than the one before.
    gateway.folder.write("policy.yaml", &denying("ancient"));
    let file = fs::File::options().write(true).open(path("policy.yaml")).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1)).unwrap();
    becomes_denied_by(&gateway, "ancient").await;
    assert_eq!(reloads(&gateway).await, json!([4.0, 0.0]), "each once");
    assert_eq!(smh.targets(), [""; 0]);
}

#[tokio::test]
async fn a_kubernetes_symlink_swap_is_noticed_also_with_the_file_gone_for_a_moment() {
    let smh = Smh::start().await;
    let folder = Folder::new(GATEWAY_YAML, Some(&denying("v1")), smh.address);
    let gateway_yaml = fs::read_to_string(folder.path("gateway.yaml")).unwrap();
    // As the kubelet mounts a ConfigMap: policy.yaml -> ..data/policy.yaml, ..data -> a folder.
    let version = |name: &str, policy: &str| {
        fs::create_dir(folder.path(name)).unwrap();
        folder.write(&format!("{name}/gateway.yaml"), &gateway_yaml);
        folder.write(&format!("{name}/policy.yaml"), policy);
    };
    version("..1", &denying("v1"));
    symlink("..1", folder.path("..data")).unwrap();
    for name in ["gateway.yaml", "policy.yaml"] {
        fs::remove_file(folder.path(name)).unwrap();
        symlink(format!("..data/{name}"), folder.path(name)).unwrap();
    }
    let (snapshot, _) = load(&folder.path("gateway.yaml"));
    version("..2", &denying("v2"));
    version("..3", &denying("v3"));
    let log = Lines::default();
    let running = Running::start(snapshot, log.clone()).await.unwrap();
    let gateway = Gateway { running, folder, log };
    let path = |name: &str| gateway.folder.path(name);

    symlink("..2", path("..data_tmp")).unwrap();
    fs::rename(path("..data_tmp"), path("..data")).unwrap();
    fs::remove_dir_all(path("..1")).unwrap();
    becomes_denied_by(&gateway, "v2").await;

    // Not atomic, as some mounts are: for longer than a look takes, there is nothing.
    fs::remove_file(path("..data")).unwrap();
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(denied_by(&gateway, "/v1/files/t1/x/1").await, "v2");
    assert!(config(&gateway).await["rejected"].is_null(), "it may be a swap");
    symlink("..3", path("..data")).unwrap();
    becomes_denied_by(&gateway, "v3").await;
    assert_eq!(reloads(&gateway).await, json!([2.0, 0.0]));
}

/// The wait is the promise. Of five attempts one may do: the machine may be busy, not the gateway.
#[tokio::test]
async fn an_edit_is_in_force_within_two_seconds_also_where_it_renames_the_policy() {
    let smh = Smh::start().await;
    let gateway = Gateway::with_policy(&denying("first"), smh.address).await;
    let took = async |rule: &str| {
        let start = Instant::now();
        becomes_denied_by(&gateway, rule).await;
        start.elapsed()
    };
    let (mut written, mut renamed) = (Vec::new(), Vec::new());
    let mut named = "policy.yaml".to_owned();
    for attempt in 0..5 {
        gateway.folder.write(&named, &denying(&format!("written{attempt}")));
        written.push(took(&format!("written{attempt}")).await);

        let other = format!("policy{attempt}.yaml");
        gateway.folder.write(&other, &denying(&format!("renamed{attempt}")));
        gateway.edit("gateway.yaml", &format!("policy: {named}"), &format!("policy: {other}"));
        fs::remove_file(gateway.folder.path(&named)).unwrap();
        renamed.push(took(&format!("renamed{attempt}")).await);
        named = other;
    }
    for took in [written, renamed] {
        assert!(took.iter().min().unwrap() < &Duration::from_secs(2), "{took:?}");
    }
}

/// As a tool does it that copies files whether or not they changed.
#[tokio::test]
async fn a_file_that_is_replaced_by_its_like_all_the_time_holds_up_no_edit_of_another() {
    let smh = Smh::start().await;
    let gateway = Gateway::with_policy(&denying("first"), smh.address).await;
    let path = gateway.folder.path("gateway.yaml");
    let bytes = fs::read(&path).unwrap();
    let (over, new) = (Arc::new(AtomicBool::new(false)), gateway.folder.path("gateway.new"));
    let copying = {
        let over = Arc::clone(&over);
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                fs::write(&new, &bytes).unwrap();
                fs::rename(&new, &path).unwrap();
                std::thread::sleep(Duration::from_millis(50));
            }
        })
    };
    gateway.folder.write("policy.yaml", &denying("edited"));
    becomes_denied_by(&gateway, "edited").await;
    over.store(true, Ordering::Relaxed);
    copying.join().unwrap();
}

#[tokio::test]
async fn half_of_a_policy_is_never_in_force() {
    let smh = Smh::start().await;
    for _ in 0..5 {
        let gateway = Gateway::with_policy(&denying("first"), smh.address).await;
        let path = gateway.folder.path("policy.yaml");
        let writer = tokio::task::spawn_blocking(move || write_for_long(&path));
        let mut seen = Vec::new();
        while seen.last() != Some(&json!("whole")) {
            let rule = denied_by(&gateway, "/v1/files/t1/x/1").await;
            if seen.last() != Some(&rule) {
                seen.push(rule);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // On a machine that holds the writer up, half a file stands still like a whole one.
        if writer.await.unwrap() < Duration::from_millis(300) {
            assert_eq!(seen, ["first", "whole"]);
            assert_eq!(reloads(&gateway).await, json!([1.0, 0.0]));
            return;
        }
    }
    panic!("this machine is too busy");
}

/// For longer than the files are looked at twice, they are always being written. Returns the
/// longest pause in between.
fn write_for_long(path: &Path) -> Duration {
    let half = denying("half");
    let whole = format!("{}  # and the rest\n", denying("whole"));
    let start = Instant::now();
    let (mut last, mut longest) = (start, Duration::ZERO);
    while start.elapsed() < Duration::from_secs(3) {
        fs::write(path, &half).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        fs::write(path, &whole).unwrap();
        fs::write(path, "").unwrap();
        longest = longest.max(last.elapsed());
        last = Instant::now();
    }
    fs::write(path, &whole).unwrap();
    longest.max(last.elapsed())
}

#[tokio::test]
async fn what_is_in_force_is_told_with_its_hash_its_files_and_since_when() {
    let smh = Smh::start().await;
    let gateway = Gateway::with_policy(&denying("first"), smh.address).await;
    let before = config(&gateway).await;
    let info = |config: &Value| {
        format!("smh_gateway_config_info{{sha256=\"{}\"}}", config["sha256"].as_str().unwrap())
    };
    assert_eq!(metric(&gateway, &info(&before)).await, 1.0);
    let restart = "smh_gateway_config_restart_needed";
    assert_eq!(metric(&gateway, restart).await, 0.0);
    gateway.folder.write("policy.yaml", &denying("second"));
    becomes_denied_by(&gateway, "second").await;
    let after = config(&gateway).await;
    assert_ne!(after["sha256"], before["sha256"]);
    assert_eq!(after["policy_file"], json!(gateway.folder.path("policy.yaml")));
    assert!(after["since"].as_str().unwrap() >= before["since"].as_str().unwrap());
    assert_eq!((&after["needs_restart"], &after["rejected"]), (&json!([]), &json!(null)));
    assert_eq!(metric(&gateway, &info(&after)).await, 1.0);
    let metrics = text(&gateway.admin("/metrics").await);
    assert_eq!(metrics.matches("smh_gateway_config_info{").count(), 1, "{metrics}");
    assert_eq!(metric(&gateway, SUCCESSFUL).await, 1.0);
    let since = metric(&gateway, "smh_gateway_config_last_applied_timestamp_seconds").await;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((now - 60.0..=now).contains(&since), "{since}, and it is {now}");
    let both = ["gateway.yaml", "policy.yaml"].map(|n| fs::read(gateway.folder.path(n)).unwrap());
    assert_eq!(after["sha256"], json!(sha256(&both.concat())), "as `cat | sha256sum` says it");
}

#[tokio::test]
async fn what_needs_a_restart_is_named_and_the_rest_applied() {
    let smh = Smh::start().await;
    let gateway = Gateway::with_policy(&denying("first"), smh.address).await;
    let before = fs::read_to_string(gateway.folder.path("gateway.yaml")).unwrap();
    let address = gateway.address();
    let edited = before
        .replace("workers: 2", "workers: 3")
        .replace("  - address: 127.0.0.1:0\nadmin", "  - address: 127.0.0.1:1\nadmin");
    gateway.folder.write("gateway.yaml", &edited.replace("space: spacexxx", "space: space2"));
    gateway.folder.write("policy.yaml", &denying("second"));
    becomes_denied_by(&gateway, "second").await;
    assert_eq!(config(&gateway).await["needs_restart"], json!(["listeners", "workers"]));
    assert_eq!(metric(&gateway, "smh_gateway_config_restart_needed").await, 1.0);
    let page = text(&gateway.admin_as("/", "text/plain").await);
    assert!(page.contains("needs restart  listeners, workers\n"), "{page}");
    assert_eq!(gateway.address(), address);
    assert_eq!(gateway.delete("/v1/files/t1/a").await.status(), 404);
    assert!(smh.targets()[0].contains("/space2/a"), "{:?}", smh.targets());

    gateway.folder.write("gateway.yaml", &before);
    becomes("nothing needs a restart", async || {
        config(&gateway).await["needs_restart"] == json!([])
    })
    .await;
    assert_eq!(metric(&gateway, "smh_gateway_config_restart_needed").await, 0.0);
}

#[tokio::test]
async fn a_policy_file_that_is_named_for_the_first_time_is_followed_too() {
    let smh = Smh::start().await;
    let gateway = Gateway::start(smh.address).await;
    let yaml = fs::read_to_string(gateway.folder.path("gateway.yaml")).unwrap();
    gateway.folder.write("other.yaml", &denying("named"));
    gateway.folder.write("gateway.yaml", &format!("{yaml}policy: other.yaml\n"));
    becomes_denied_by(&gateway, "named").await;
    gateway.folder.write("other.yaml", &denying("edited"));
    becomes_denied_by(&gateway, "edited").await;
    gateway.folder.write("gateway.yaml", &yaml);
    becomes("the default policy", async || {
        gateway.delete("/v1/files/t1/x/1").await.status() == 404
    })
    .await;
    assert_eq!(reloads(&gateway).await, json!([3.0, 0.0]));
}

#[tokio::test]
async fn the_roots_of_the_upstream_are_followed_with_the_file_that_names_them() {
    let root = || rcgen::generate_simple_self_signed(["smh".to_owned()]).unwrap().cert.pem();
    let smh = Smh::start().await;
    let yaml = GATEWAY_YAML.replace("  timeout:", "  ca_file: roots.pem\n  timeout:");
    let folder = Folder::new(&yaml, Some(&denying("first")), smh.address);
    folder.write("roots.pem", &root());
    let (snapshot, _) = load(&folder.path("gateway.yaml"));
    let log = Lines::default();
    let running = Running::start(snapshot, log.clone()).await.unwrap();
    let gateway = Gateway { running, folder, log };
    gateway.folder.write("roots.pem", &root());
    becomes("applied", async || metric(&gateway, APPLIED).await == 1.0).await;
    gateway.folder.write("roots.pem", "no certificate\n");
    let problem = becomes_rejected(&gateway).await["problems"][0].clone();
    let line = yaml.lines().position(|line| line.contains("ca_file")).unwrap() + 1;
    assert_eq!(problem["line"], line, "{problem}");
    assert!(problem["message"].as_str().unwrap().contains("holds no certificate"), "{problem}");
    gateway.folder.write("roots.pem", &root());
    becomes("applied", async || metric(&gateway, APPLIED).await == 2.0).await;
}

#[tokio::test]
async fn the_binary_reloads_on_a_hang_up_signal_and_says_what_came_of_it() {
    let smh = Smh::start().await;
    let folder = Folder::new(GATEWAY_YAML, Some(&denying("first")), smh.address);
    let mut gateway = Binary::serve(&folder).await;
    let rule = async |address| {
        let answer = send(address, request("/v1/files/t1/x/1", &[]).as_bytes()).await;
        answer.json()["rule"].clone()
    };
    folder.write("policy.yaml", &denying("second"));
    gateway.signal("HUP");
    gateway.says("another configuration is in force").await;
    assert_eq!(rule(gateway.data[0]).await, "second");
    gateway.signal("HUP");
    gateway.says("nothing is reloaded: the files are those in force").await;

    folder.write("policy.yaml", "rules: yes\nrate_limits: 5\n");
    gateway.signal("HUP");
    let said = gateway.says("policy.yaml:2:14: ").await;
    assert!(said.contains("errors=2 first=\"policy.yaml:1:8: expected a list"), "{said}");
    gateway.signal("HUP");
    gateway.says("still those that were rejected").await;
    assert_eq!(rule(gateway.data[0]).await, "second");

    folder.write("policy.yaml", &denying("second"));
    gateway.says("the files are again those in force").await;
    let yaml = fs::read_to_string(folder.path("gateway.yaml")).unwrap();
    folder.write("gateway.yaml", &yaml.replace("workers: 2", "workers: 1"));
    gateway.signal("HUP");
    let said = gateway.says("take effect only after a restart parts=\"workers\"").await;
    assert!(said.contains("changed=[\"gateway.yaml\"]"), "{said}");
    assert_eq!(rule(gateway.data[0]).await, "second");
    let ran = gateway.stop().await;
    assert_eq!(ran.code, Some(0));
    assert_eq!(ran.err.matches("is not valid;").count(), 1, "{}", ran.err);
}
