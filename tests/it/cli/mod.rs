//! The command line and what it prints.

/// `check`, of a valid file and of both files at once.
mod check;
/// Each mistake, and what is said of it.
mod mistakes;
/// What is not shown, whatever is wrong on its line.
mod hidden;
/// What is valid, and likely a mistake.
mod warnings;
/// `test`, and `policy_tests`.
mod cases;
/// Files that are no files, and files made to do harm.
mod harm;
/// `health`, as a container runtime runs it.
mod health;
/// Wrong usage, and `hash-key`.
mod hash_key;
/// The tour, the demo and the simulator alone.
mod demo;

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::support::binary::{Ran, run};

/// A valid file, in the lines that the tests change.
const GATEWAY: &str = "\
listeners:
  - address: 127.0.0.1:8080
libraries:
  smhxxx:
    token: { file: token }
tenants:
  photos: { library: smhxxx, space: spacexxx }
  invoices: { library: smhxxx, space: space2 }
callers:
  app: { api_key: { file: app.key }, tenants: [photos] }
  janitor: { api_key: { file: janitor.key }, tenants: [photos, invoices] }
workers: 2
";

const POLICY: &str = "\
permanent_deletes: by_rule
rules:
  - name: legal hold
    deny: { tenants: [invoices], paths: [\"legal/**\"] }
  - name: janitor may purge
    allow_permanent: { callers: [janitor], paths: [\"tmp/**\"] }
rate_limits:
  - { name: per caller, per: [caller], limit: 100/s, burst: 200 }
";

/// What stands where a reference to a secret belongs.
const LITERAL: &str = "acctk-literal-sentinel-0123456789";

fn folder(gateway: impl AsRef<[u8]>, policy: Option<&str>) -> TempDir {
    let folder = TempDir::new().unwrap();
    let mut gateway = gateway.as_ref().to_vec();
    if let Some(policy) = policy {
        gateway.extend_from_slice(b"policy: policy.yaml\n");
        fs::write(folder.path().join("policy.yaml"), policy).unwrap();
    }
    fs::write(folder.path().join("gateway.yaml"), gateway).unwrap();
    folder
}

async fn check_in(folder: &Path) -> Ran {
    run(folder, &["check", "--config", "gateway.yaml"]).await
}

/// What `check` says of a file that is not valid.
async fn mistakes(gateway: impl AsRef<[u8]>, policy: Option<&str>) -> String {
    let ran = check_in(folder(gateway, policy).path()).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{}", ran.err);
    assert!(!ran.err.contains('\x1b'), "plain through a pipe: {:?}", ran.err);
    ran.err
}

/// The same with [`GATEWAY`], in which one text is replaced by another.
async fn mistake(text: &str, by: &str) -> String {
    assert_eq!(GATEWAY.matches(text).count(), 1, "{text}");
    mistakes(GATEWAY.replace(text, by), None).await
}

/// The same with [`POLICY`].
async fn policy_mistake(text: &str, by: &str) -> String {
    assert_eq!(POLICY.matches(text).count(), 1, "{text}");
    mistakes(GATEWAY, Some(&POLICY.replace(text, by))).await
}
