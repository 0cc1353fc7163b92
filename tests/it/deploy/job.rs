//! The Job that ends its gateway itself.

use super::*;
use crate::support::binary::Binary;
use crate::support::{Folder, Smh};

const GATEWAY: &str = "\
listeners: [{ address: 127.0.0.1:0 }]
admin: { address: 127.0.0.1:0, allow_quit: true }
upstream: { url: http://UPSTREAM }
libraries: { smhxxx: { token: { file: token } } }
tenants: { photos: { library: smhxxx, space: spacexxx } }
callers: { job: { trust: loopback, tenants: [photos] } }
shutdown: { delay: 0s, drain: 2s }
";

/// Runs what the Job's container runs, against a gateway outside of a cluster. Returns the exit codes of
/// the job and of the gateway.
async fn run(files: &[&str]) -> (Option<i32>, Option<i32>, Vec<String>) {
    let mut smh = Smh::start().await;
    for file in files {
        smh = smh.with_file(file);
    }
    let folder = Folder::new(GATEWAY, None, smh.address);
    let gateway = Binary::serve(&folder).await;

    let objects = kustomized("job-before-1.29");
    let rendered = Rendered { form: "job-before-1.29", by: "kustomize", objects };
    let job = list(&rendered.pod()["containers"]).iter().find(|one| one["name"] == "job").unwrap();
    let command: Vec<_> = list(&job["command"]).iter().filter_map(Value::as_str).collect();
    let [shell, option, script] = command[..] else { panic!("{command:?}") };
    assert_eq!(
        (script.matches("127.0.0.1:9901").count(), script.matches("127.0.0.1:8080").count()),
        (1, 1)
    );
    let script = script
        .replace("127.0.0.1:9901", &gateway.admin.unwrap().to_string())
        .replace("127.0.0.1:8080", &gateway.data[0].to_string());
    let mut command = Command::new(shell);
    command.args([option, &script]);
    let job = Binary::spawn(command).ended().await;
    let gateway = gateway.ended().await;
    (job.code, gateway.code, smh.files())
}

#[tokio::test]
async fn a_job_that_is_done_ends_its_gateway() {
    let (job, gateway, left) = run(&["tmp/example.jpg", "other"]).await;
    assert_eq!((job, gateway), (Some(0), Some(0)));
    assert_eq!(left, ["other"]);
}

#[tokio::test]
async fn a_job_that_fails_ends_its_gateway_and_has_failed() {
    let (job, gateway, left) = run(&["other"]).await;
    // curl's word for an answer that is an error, here SMH's 404.
    assert_eq!((job, gateway), (Some(22), Some(0)));
    assert_eq!(left, ["other"]);
}
