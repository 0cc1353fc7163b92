//! `--sandbox`: what a gateway gives up before it serves.

use std::fs;

use super::*;
use crate::support::binary::{Binary, command};
use crate::support::{Folder, GATEWAY_YAML, Smh};

const POLICY: &str = "rate_limits:\n  - { name: daily, limit: 100000/day }\n";

fn yaml(smh: &Smh, state: &str) -> String {
    let files = format!("audit: {{ file: inside/audit.jsonl }}\nrate_limit_state: {state}\n");
    format!("{GATEWAY_YAML}policy: policy.yaml\n{files}")
        .replace("UPSTREAM", &smh.address.to_string())
}

#[tokio::test]
async fn a_confined_gateway_does_all_that_it_is_for_and_the_kernel_lets_it_write_nowhere_else() {
    let smh = Smh::start().await.with_file("a").with_file("b").with_file("c");
    let folder = Folder::new(&yaml(&smh, "inside/limits.json"), None, smh.address);
    folder.write("policy.yaml", POLICY);
    fs::create_dir(folder.path("inside")).unwrap();
    let mut serve = Binary::serve_command(&folder);
    serve.env("SMH_GATEWAY_SANDBOX", "required");
    let mut gateway = Binary::serving(serve).await;
    gateway.says("confined: runs no program, writes in these folders alone").await;
    let threads = fs::read_dir(format!("/proc/{}/task", gateway.id())).unwrap();
    let mut confined = 0;
    for thread in threads {
        // One that read a file may have ended meanwhile.
        let status = thread.and_then(|thread| fs::read_to_string(thread.path().join("status")));
        let Ok(status) = status else { continue };
        assert!(status.contains("NoNewPrivs:\t1\n"), "{status}");
        confined += 1;
    }
    assert!(confined > 3, "the main thread, two workers and the journal's");

    assert_eq!(delete(gateway.data[0], "/v1/files/t1/a").await.status(), 200);
    fs::rename(folder.path("inside/audit.jsonl"), folder.path("inside/full.jsonl")).unwrap();
    becomes("the journal is opened anew", async || {
        delete(gateway.data[0], "/v1/files/t1/none").await;
        folder.path("inside/audit.jsonl").exists()
    })
    .await;
    becomes("budgets are written", async || folder.path("inside/limits.json").exists()).await;

    // An edit is taken, and what it asks for is refused by the kernel. The user of this test may write there.
    folder.write("gateway.yaml", &yaml(&smh, "limits.json"));
    gateway.says("the state of rate limits cannot be written").await;
    assert!(!folder.path("limits.json").exists());
    folder.write(
        "policy.yaml",
        &format!("{POLICY}rules: [{{ name: no, deny: {{ paths: [b] }} }}]\n"),
    );
    becomes("another policy is in force", async || {
        delete(gateway.data[0], "/v1/files/t1/b").await.status() == 403
    })
    .await;
    assert_eq!(delete(gateway.data[0], "/v1/files/t1/c").await.status(), 200);
    let ran = gateway.stop().await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.err.contains("Permission denied"), "{}", ran.err);
    assert!(!folder.path("limits.json").exists());
}

#[tokio::test]
async fn nothing_is_given_up_unless_it_is_asked_for() {
    let smh = Smh::start().await;
    let folder = Folder::new(&yaml(&smh, "limits.json"), None, smh.address);
    folder.write("policy.yaml", POLICY);
    fs::create_dir(folder.path("inside")).unwrap();
    let gateway = Binary::serve(&folder).await;
    becomes("budgets are written", async || folder.path("limits.json").exists()).await;
    let ran = gateway.stop().await;
    assert!(!ran.err.contains("confined"), "{}", ran.err);

    let arguments = ["serve", "--config", "gateway.yaml", "--sandbox", "sometimes"];
    let ran = Binary::spawn(command(&folder.path(""), &arguments)).ended().await;
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("off, best-effort, required"), "{}", ran.err);
}
