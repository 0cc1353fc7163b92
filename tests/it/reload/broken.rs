//! What is not valid, and changes nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::*;
use crate::support::binary::Binary;
use crate::support::{Folder, GATEWAY_YAML, Smh, send};

/// The gateway of a test, and what was in force before.
struct Stage {
    gateway: Gateway,
    sha256: Value,
    policy: String,
    yaml: String,
}

impl Stage {
    async fn start(smh: &Smh) -> Self {
        let gateway = Gateway::with_policy(&denying("first"), smh.address).await;
        let sha256 = config(&gateway).await["sha256"].clone();
        let yaml = fs::read_to_string(gateway.folder.path("gateway.yaml")).unwrap();
        Self { gateway, sha256, policy: denying("first"), yaml }
    }

    /// Waits for the rejection, returns its first problem, and that nothing else changed.
    async fn is_rejected(&self, what: &str) -> Value {
        self.gateway.running.reloads().ask();
        let rejected = becomes_rejected(&self.gateway).await;
        let now = config(&self.gateway).await;
        assert_eq!(now["sha256"], self.sha256, "{what}");
        assert_eq!(denied_by(&self.gateway, "/v1/files/t1/x/1").await, "first", "{what}");
        assert_eq!(metric(&self.gateway, SUCCESSFUL).await, 0.0, "{what}");
        let problem = &rejected["problems"][0];
        assert!(rejected["errors"].as_u64().unwrap() >= 1, "{what}: {rejected}");
        assert!(problem["message"].as_str().is_some_and(|m| !m.is_empty()), "{what}: {rejected}");
        problem.clone()
    }

    /// Puts both files back as they were, which ends the rejection.
    async fn restore(&self, what: &str) {
        self.gateway.folder.write("gateway.yaml", &self.yaml);
        self.gateway.folder.write("policy.yaml", &self.policy);
        self.gateway.running.reloads().ask();
        let is_well = async || config(&self.gateway).await["rejected"].is_null();
        becomes(&format!("well again after {what}"), is_well).await;
        assert_eq!(metric(&self.gateway, SUCCESSFUL).await, 1.0, "{what}");
    }
}

#[tokio::test]
async fn a_policy_that_is_not_valid_changes_nothing_and_is_told_with_its_line() {
    let smh = Smh::start().await;
    let stage = Stage::start(&smh).await;
    let limit = |limit: &str| format!("rate_limits: [{{ name: few, limit: {limit} }}]\n");
    let utf_16: Vec<u8> = denying("u").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let rules = |count: usize| -> String {
        let rule = |n| format!("  - {{ name: r{n}, deny: {{ paths: [\"{n}/**\"] }} }}\n");
        std::iter::once("rules:\n".to_owned()).chain((0..count).map(rule)).collect()
    };
    let mut cut_off = denying("first");
    cut_off.truncate(cut_off.len() - 8);
    let cases: Vec<(&str, Vec<u8>, Option<u64>)> = vec![
        ("a tab", b"rules:\n\t- a\n".to_vec(), Some(2)),
        ("cut off", cut_off.into(), Some(1)),
        ("UTF-16", utf_16, None),
        ("10 MiB", vec![b'#'; 10 << 20], None),
        ("empty", b"\n".to_vec(), None),
        ("zeros", vec![0; 512], None),
        ("not UTF-8", b"rules: []\n# \xFF\n".to_vec(), Some(2)),
        ("a control character", b"rules: [\x07]\n".to_vec(), Some(1)),
        ("yes", b"permanent_deletes: yes\n".to_vec(), Some(1)),
        ("no", b"\nrules: no\n".to_vec(), Some(2)),
        ("on", b"\nirreversible_deletes: on\n".to_vec(), Some(2)),
        ("yes for true", b"dry_run: yes\n".to_vec(), Some(1)),
        ("an underscore", limit("1_000/s").into(), Some(1)),
        ("no unit", limit("1000").into(), Some(1)),
        ("negative", limit("-1/s").into(), Some(1)),
        ("zero", limit("0/s").into(), Some(1)),
        ("a name with a control character", denying("\"a\\u0007b\"").into(), Some(1)),
        ("a name that turns the text around", denying("\"a\\u202Eb\"").into(), Some(1)),
        ("forty thousand rules", rules(40_000).into(), None),
        ("an unknown caller", b"rules: [{ name: a, deny: { callers: [b] } }]".to_vec(), Some(1)),
        ("a directory of fields", b"rules: { a: b }\n".to_vec(), Some(1)),
    ];
    let mut rejected = 0.0;
    for (what, content, line) in cases {
        fs::write(stage.gateway.folder.path("policy.yaml"), &content).unwrap();
        let problem = stage.is_rejected(what).await;
        let file = problem["file"].as_str().unwrap();
        assert!(file.ends_with("/policy.yaml"), "{what}: {problem}");
        if content.len() < 10 << 20 {
            let both = [stage.yaml.as_bytes(), &content].concat();
            let rejected = config(&stage.gateway).await["rejected"]["sha256"].clone();
            assert_eq!(rejected, json!(sha256(&both)), "{what}");
        }
        if line.is_some() {
            assert_eq!(problem["line"], json!(line), "{what}: {problem}");
        }
        let page = text(&stage.gateway.admin_as("/", "text/plain").await);
        let place = match (problem["line"].as_u64(), problem["column"].as_u64()) {
            (Some(line), Some(column)) => format!("  {file}:{line}:{column}: "),
            _ => format!("  {file}: "),
        };
        assert!(page.contains("\nREJECTED ") && page.contains(&place), "{what}: {page}");
        assert!(!page.contains(['\u{7}', '\u{202E}']), "{what}: {page:?}");
        rejected += 1.0;
        assert_eq!(reloads(&stage.gateway).await, json!([0.0, rejected]), "{what}: once");
        stage.restore(what).await;
    }
    assert_eq!(reloads(&stage.gateway).await, json!([0.0, rejected]), "going back is no reload");
}

#[tokio::test]
async fn a_gateway_file_that_is_not_valid_changes_nothing_and_shows_no_secret() {
    let smh = Smh::start().await;
    let stage = Stage::start(&smh).await;
    let literal = "acctk-literal-sentinel-0123456789";
    for (what, from, to) in [
        ("a duration without unit", "timeout: 3s", "timeout: 3"),
        ("a negative number", "workers: 2", "workers: -2"),
        ("a literal token", "{ file: token }", literal),
        ("an unknown library", "library: smhxxx, space: spacexxx", "library: smhxx, space: s"),
        ("a name with a control character", "  t1:", "  \"t\\u0007\":"),
        ("a field that is not known", "shutdown:", "shutdowns:"),
        ("an address", "127.0.0.1:0\nadmin", "127.0.0.1:http\nadmin"),
        ("roots that are not there", "  timeout:", "  ca_file: no.pem\n  timeout:"),
    ] {
        assert!(stage.yaml.contains(from), "{what}");
        stage.gateway.folder.write("gateway.yaml", &stage.yaml.replacen(from, to, 1));
        let problem = stage.is_rejected(what).await;
        assert!(problem["file"].as_str().unwrap().ends_with("/gateway.yaml"), "{what}: {problem}");
        assert!(problem["line"].as_u64().is_some_and(|line| line > 1), "{what}: {problem}");
        for page in ["/", "/api/status", "/api/config", "/metrics"] {
            let page = text(&stage.gateway.admin(page).await);
            assert!(!page.contains(literal), "{what}: {page}");
        }
        stage.restore(what).await;
    }
}

#[tokio::test]
async fn what_is_no_file_changes_nothing_and_is_told_once() {
    let smh = Smh::start().await;
    let stage = Stage::start(&smh).await;
    let path = stage.gateway.folder.path("policy.yaml");
    let is_root = fs::metadata("/proc/self").is_ok_and(|about| {
        use std::os::unix::fs::MetadataExt;
        about.uid() == 0
    });
    let mut rejected = 0.0;
    for what in ["missing", "a directory", "a FIFO", "forbidden"] {
        if what == "forbidden" && is_root {
            continue;
        }
        match what {
            "missing" => fs::remove_file(&path).unwrap(),
            "forbidden" => {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
            }
            "a directory" => {
                fs::remove_file(&path).unwrap();
                fs::create_dir(&path).unwrap();
            }
            _ => {
                fs::remove_file(&path).unwrap();
                assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
            }
        }
        let problem = stage.is_rejected(what).await;
        // Where it is named.
        assert!(problem["file"].as_str().unwrap().ends_with("/gateway.yaml"), "{problem}");
        assert!(problem["message"].as_str().unwrap().contains("cannot be read"), "{problem}");
        assert_eq!(problem["line"], json!(stage.yaml.lines().count()), "{problem}");
        assert!(config(&stage.gateway).await["rejected"]["sha256"].is_null());
        rejected += 1.0;
        // Both ways of looking agree that nothing is new.
        stage.gateway.running.reloads().ask();
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        assert_eq!(reloads(&stage.gateway).await, json!([0.0, rejected]), "{what}: once");
        match what {
            "a directory" => fs::remove_dir(&path).unwrap(),
            "missing" => {}
            _ => fs::remove_file(&path).unwrap(),
        }
        stage.restore(what).await;
    }
}

#[tokio::test]
async fn a_file_that_stays_away_is_told_of_though_nobody_asked() {
    let smh = Smh::start().await;
    let stage = Stage::start(&smh).await;
    fs::remove_file(stage.gateway.folder.path("gateway.yaml")).unwrap();
    let rejected = becomes_rejected(&stage.gateway).await;
    let problem = &rejected["problems"][0];
    assert!(problem["message"].as_str().unwrap().contains("No such file"), "{rejected}");
    assert_eq!(denied_by(&stage.gateway, "/v1/files/t1/x/1").await, "first");
    // It comes back as another one.
    stage.gateway.folder.write("policy.yaml", &denying("second"));
    stage.gateway.folder.write("gateway.yaml", &stage.yaml);
    becomes_denied_by(&stage.gateway, "second").await;
    assert!(config(&stage.gateway).await["rejected"].is_null());
    assert_eq!(reloads(&stage.gateway).await, json!([1.0, 1.0]));
}

#[tokio::test]
async fn a_byte_order_mark_and_line_ends_of_windows_are_taken() {
    let smh = Smh::start().await;
    let stage = Stage::start(&smh).await;
    let policy = format!("\u{FEFF}# {}\r\n{}", "from Windows", denying("second"));
    stage.gateway.folder.write("policy.yaml", &policy.replace("}]\n", "}]\r\n"));
    becomes_denied_by(&stage.gateway, "second").await;
}

#[tokio::test]
async fn twenty_of_many_errors_are_shown_and_all_are_counted() {
    let smh = Smh::start().await;
    let stage = Stage::start(&smh).await;
    let wrong: String = (0..100).map(|n| format!("field{n}: 1\n")).collect();
    stage.gateway.folder.write("policy.yaml", &wrong);
    let rejected = becomes_rejected(&stage.gateway).await;
    assert_eq!(rejected["errors"], 100);
    assert_eq!(rejected["problems"].as_array().unwrap().len(), 20);
}

#[tokio::test]
async fn the_log_says_once_what_is_wrong_and_where() {
    let smh = Smh::start().await;
    let folder = Folder::new(GATEWAY_YAML, Some(&denying("first")), smh.address);
    let mut gateway = Binary::serve(&folder).await;
    folder.write("policy.yaml", "rules:\n  - name: a\n    denies: {}\nrate_limit: []\n");
    let said = gateway.says("policy.yaml:4:1: unknown field `rate_limit`").await;
    let first = said.lines().find(|line| line.contains("the last good one stays")).unwrap();
    assert!(first.contains("ERROR") && first.contains(" sha256=\""), "{first}");
    assert!(
        first.contains("first=\"policy.yaml:2:5: ") || first.contains("first=\"policy.yaml:3:5: "),
        "{first}"
    );
    let deny = send(gateway.data[0], request("/v1/files/t1/x/1", &[]).as_bytes()).await;
    assert_eq!(deny.json()["rule"], "first");
    folder.write("policy.yaml", &denying("first"));
    gateway.says("the files are again those in force").await;
    let ran = gateway.stop().await;
    assert_eq!(ran.err.matches("the last good one stays in force").count(), 1, "{}", ran.err);
}
