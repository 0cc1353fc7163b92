//! Every example and manifest loads.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use smh_gateway::config::Snapshot;
use smh_gateway::config::report::Warning;
use smh_gateway::config::schema::Format;
use smh_gateway::listener::At;
use tempfile::TempDir;

use crate::schema::assert_valid;
use crate::support::load;

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder with this extension.
pub(crate) fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|is| is == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Loads without an error, and without anything to remark.
fn loaded(path: &Path) -> Snapshot {
    let (snapshot, report) = load(path);
    assert!(report.problems().is_empty(), "{}: {:?}", path.display(), report.problems());
    snapshot
}

#[test]
fn every_example_loads_and_no_file_is_left_over() {
    for (folder, wanted) in [("config", 2), ("deploy", 2)] {
        let mut used = BTreeSet::new();
        let all = files(&root().join(folder), "yaml");
        let named = |name: &'static str| all.iter().filter(move |p| p.file_name().unwrap() == name);
        for path in named("gateway.yaml") {
            let snapshot = loaded(path);
            if folder == "config" {
                assert_eq!(snapshot.policy_tests.len(), 1, "it shows how a policy is tested");
            }
            used.extend(snapshot.policy_file);
            used.extend(snapshot.policy_tests);
            used.insert(path.clone());
        }
        assert_eq!(named("gateway.yaml").count(), wanted, "{folder}");
        let ours = ["gateway.yaml", "policy.yaml", "policy-tests.yaml"].into_iter().flat_map(named);
        let ours: BTreeSet<_> = ours.cloned().collect();
        assert_eq!(used, ours, "every policy and its tests belong to a gateway");
        if folder == "config" {
            assert_eq!(all.len(), used.len(), "{all:?}");
        }
    }
}

/// What `kubectl kustomize` makes of an overlay: every object.
fn rendered(overlay: &str) -> Vec<Value> {
    let output = Command::new("kubectl").arg("kustomize").arg(root().join(overlay)).output();
    let output = output.expect("this test needs kubectl (Debian: apt install kubernetes-client)");
    let warnings = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{overlay}: {warnings}");
    let text = String::from_utf8(output.stdout).unwrap();
    serde_saphyr::from_multiple(&text).unwrap()
}

fn of_kind<'o>(objects: &'o [Value], kind: &str) -> &'o Value {
    let mut found = objects.iter().filter(|object| object["kind"] == kind);
    let one = found.next().unwrap_or_else(|| panic!("a {kind}"));
    assert!(found.next().is_none(), "one {kind}");
    one
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The configuration that an overlay carries, loaded as the pod will.
fn carried(objects: &[Value]) -> Snapshot {
    let map = of_kind(objects, "ConfigMap");
    let folder = TempDir::new().unwrap();
    let data = map["data"].as_object().unwrap();
    let names: Vec<_> = data.keys().collect();
    assert_eq!(names, ["gateway.yaml", "policy.yaml"]);
    for (name, text) in data {
        fs::write(folder.path().join(name), text.as_str().unwrap()).unwrap();
    }
    let snapshot = loaded(&folder.path().join("gateway.yaml"));
    assert_eq!(snapshot.policy_file, Some(folder.path().join("policy.yaml")));
    snapshot
}

#[test]
fn every_manifest_renders_and_its_configuration_loads() {
    for overlay in ["deploy/sidecar", "deploy/central"] {
        let objects = rendered(overlay);
        let snapshot = carried(&objects);
        let source = loaded(&root().join(overlay).join("gateway.yaml"));
        assert_eq!(snapshot.sha256, source.sha256, "{overlay}: as it stands in the folder");
        assert!(objects.iter().all(|object| object["kind"] != "Secret"), "no secret is kept here");
        let text = serde_json::to_string(&objects).unwrap();
        assert!(!text.contains("subPath"), "a subPath is never updated");

        let pod = &of_kind(&objects, "Deployment")["spec"]["template"]["spec"];
        let shutdown = snapshot.shutdown.delay + snapshot.shutdown.drain;
        let grace = Duration::from_secs(pod["terminationGracePeriodSeconds"].as_u64().unwrap());
        assert!(grace > shutdown, "{overlay}: {grace:?} for {shutdown:?}");
        let volumes = list(&pod["volumes"]);
        let volume = |name: &str| volumes.iter().find(|v| v["name"] == name).unwrap();
        let map = &of_kind(&objects, "ConfigMap")["metadata"]["name"];
        assert_eq!(&volume("config")["configMap"]["name"], map);
        assert_eq!(volume("secrets")["secret"]["secretName"], "smh-gateway");
    }
}

#[test]
fn every_container_runs_with_the_least_it_needs() {
    for overlay in ["deploy/sidecar", "deploy/central"] {
        let objects = rendered(overlay);
        let pod = &of_kind(&objects, "Deployment")["spec"]["template"]["spec"];
        assert_eq!(pod["automountServiceAccountToken"], false);
        let of_pod = &pod["securityContext"];
        assert_eq!(of_pod["seccompProfile"], json!({ "type": "RuntimeDefault" }));
        assert_eq!(of_pod["runAsNonRoot"], true);
        let containers = list(&pod["containers"]).iter().chain(list(&pod["initContainers"]));
        let mut users = BTreeSet::new();
        let mut count = 0;
        for container in containers {
            count += 1;
            let name = &container["name"];
            let own = &container["securityContext"];
            assert_ne!(own["runAsNonRoot"], false, "{name}");
            assert!(own["seccompProfile"].is_null(), "{name}");
            assert!(own["privileged"].is_null() || own["privileged"] == false, "{name}");
            assert_eq!(own["allowPrivilegeEscalation"], false, "{name}");
            assert_eq!(own["readOnlyRootFilesystem"], true, "{name}");
            assert_eq!(own["capabilities"], json!({ "drop": ["ALL"] }), "{name}");
            let user = own["runAsUser"].as_u64().unwrap();
            assert!(user > 0 && users.insert(user), "{name}: a user of its own");
            let image = container["image"].as_str().unwrap();
            let tag = image.rsplit_once(':').map_or("latest", |(_, tag)| tag);
            assert_ne!(tag, "latest", "{image}");
            let mounts = list(&container["volumeMounts"]);
            assert!(mounts.iter().all(|mount| mount["readOnly"] == true), "{name}");
            assert_eq!(mounts.is_empty(), name != "smh-gateway", "{name} has no secret to see");
        }
        assert_eq!(count, if overlay == "deploy/sidecar" { 2 } else { 1 });
    }
}

#[test]
fn the_pods_are_probed_and_reached_where_the_gateway_listens() {
    for overlay in ["deploy/sidecar", "deploy/central"] {
        let objects = rendered(overlay);
        let snapshot = carried(&objects);
        let pod = &of_kind(&objects, "Deployment")["spec"]["template"]["spec"];
        let mut containers = list(&pod["containers"]).iter().chain(list(&pod["initContainers"]));
        let gateway = containers.find(|container| container["name"] == "smh-gateway").unwrap();
        let port = |name: &str| {
            let mut ports = list(&gateway["ports"]).iter();
            ports.find(|port| port["name"] == name).map(|port| port["containerPort"].clone())
        };
        let admin = snapshot.admin.address.expect(overlay);
        assert_eq!(port("admin"), Some(json!(admin.port())));
        assert!(admin.ip().is_unspecified(), "the kubelet asks from outside of the pod");
        for (probe, path) in
            [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")]
        {
            let asked = json!({ "path": path, "port": "admin" });
            assert_eq!(gateway[probe]["httpGet"], asked, "{overlay}: {probe}");
        }
        let At::Tcp(listener) = snapshot.listeners[0].at else { panic!("an address") };
        if overlay == "deploy/central" {
            assert_eq!(port("https"), Some(json!(listener.port())));
            assert!(listener.ip().is_unspecified());
            let service = of_kind(&objects, "Service");
            assert_eq!(service["spec"]["ports"].as_array().unwrap().len(), 1);
            assert_eq!(service["spec"]["ports"][0]["targetPort"], "https");
            let labels = &of_kind(&objects, "Deployment")["spec"]["template"]["metadata"]["labels"];
            assert_eq!(&service["spec"]["selector"], labels);
        } else {
            assert!(listener.ip().is_loopback(), "no other pod reaches it");
            assert_eq!(gateway["restartPolicy"], "Always", "a native sidecar");
            let app = &pod["containers"][0]["env"][0];
            assert_eq!(app["value"], format!("http://{listener}"));
        }
        let config = list(&gateway["args"]).last().unwrap().as_str().unwrap();
        let mounts = list(&gateway["volumeMounts"]);
        let mounted = |volume: &str| {
            let mount = mounts.iter().find(|mount| mount["name"] == volume).unwrap();
            PathBuf::from(mount["mountPath"].as_str().unwrap())
        };
        assert_eq!(Path::new(config), mounted("config").join("gateway.yaml"));
        let folders: Vec<_> =
            mounts.iter().map(|mount| mounted(mount["name"].as_str().unwrap())).collect();
        for file in secret_files(&snapshot) {
            assert!(folders.iter().any(|folder| file.parent() == Some(folder)), "{file:?}");
        }
        let tls = snapshot.listeners.iter().filter_map(|listener| listener.tls.as_ref());
        for files in tls {
            for file in [&files.certificate, &files.private_key] {
                assert_eq!(file.parent(), Some(&*mounted("tls")), "{overlay}");
            }
        }
    }
}

/// The files that the configuration reads secrets from.
fn secret_files(snapshot: &Snapshot) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut values = vec![snapshot.redacted()];
    while let Some(value) = values.pop() {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("file").and_then(Value::as_str).map(PathBuf::from));
                values.extend(fields.into_iter().map(|(_, value)| value));
            }
            Value::Array(items) => values.extend(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    assert!(!found.is_empty());
    found
}

/// The blocks of a Markdown file that are marked as YAML, with the line that each begins on.
fn yaml_blocks(text: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let indent = line.len() - line.trim_start().len();
        if !matches!(line.trim(), "```yaml" | "```yml") {
            continue;
        }
        let inside = lines.by_ref().map(|(_, line)| line);
        let inside = inside.take_while(|line| line.trim() != "```");
        let inside = inside.map(|line| format!("{}\n", line.get(indent..).unwrap_or_default()));
        blocks.push((number + 1, inside.collect()));
    }
    blocks
}

/// What a piece of a gateway.yaml in a document leaves out.
const SECTIONS: [(&str, &str); 5] = [
    ("listeners:", "  - address: 127.0.0.1:8080\n"),
    ("libraries:", "  smhxxx: { token: { file: token } }\n"),
    (
        "tenants:",
        "  photos: { library: smhxxx, space: a }\n  invoices: { library: smhxxx, space: b }\n  \
         archive: { library: smhxxx, space: c }\n",
    ),
    ("callers:", "  app: { api_key: { file: key }, tenants: [photos] }\n"),
    ("jwt_issuers:", "  {}\n"),
];

fn has_section(block: &str, name: &str) -> bool {
    block.lines().any(|line| line.starts_with(name))
}

fn completed(block: &str) -> String {
    let missing = SECTIONS.iter().filter(|(name, _)| !has_section(block, name));
    missing.fold(block.to_owned(), |whole, (name, rest)| format!("{whole}{name}\n{rest}"))
}

#[test]
fn every_configuration_in_the_documents_loads() {
    let mut documents = files(&root().join("docs"), "md");
    documents.extend([root().join("deploy/README.md"), root().join("README.md")]);
    let (mut gateways, mut policies, mut cases) = (0, 0, 0);
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        let blocks = yaml_blocks(&text);
        let is_gateway = |block: &str| SECTIONS.iter().any(|(name, _)| has_section(block, name));
        let is_policy = |block: &str| {
            let fields = ["permanent_deletes:", "rules:", "rate_limits:"];
            block.lines().any(|line| fields.iter().any(|field| line.starts_with(field)))
        };
        // A policy names the tenants and callers of the gateway that the same document shows.
        let of_document = blocks.iter().rev().find(|(_, block)| is_gateway(block));
        for (line, block) in &blocks {
            let at = format!("{}:{line}", document.display());
            let folder = TempDir::new().unwrap();
            let path = folder.path().join("gateway.yaml");
            if is_gateway(block) {
                fs::write(folder.path().join("policy.yaml"), "rules: []\n").unwrap();
                fs::write(&path, completed(block)).unwrap();
                assert_valid(Format::Gateway, &completed(block), &at);
                gateways += 1;
            } else if is_policy(block) || has_section(block, "cases:") {
                let central = root().join("config/central");
                let gateway = match of_document {
                    Some((_, gateway)) => completed(gateway),
                    None => fs::read_to_string(central.join("gateway.yaml")).unwrap(),
                };
                let gateway = gateway.lines().filter(|line| !line.starts_with("policy"));
                let gateway: String = gateway.map(|line| format!("{line}\n")).collect();
                let policy = folder.path().join("policy.yaml");
                if is_policy(block) {
                    fs::write(&path, format!("{gateway}policy: policy.yaml\n")).unwrap();
                    fs::write(policy, block).unwrap();
                    assert_valid(Format::Policy, block, &at);
                    policies += 1;
                } else {
                    // Cases are shown of the example.
                    let tests = "policy: policy.yaml\npolicy_tests: [cases.yaml]\n";
                    fs::write(&path, format!("{gateway}{tests}")).unwrap();
                    fs::copy(central.join("policy.yaml"), policy).unwrap();
                    fs::write(folder.path().join("cases.yaml"), block).unwrap();
                    assert_valid(Format::Cases, block, &at);
                    cases += 1;
                }
            } else {
                continue;
            }
            // What is shown is a piece of a file.
            let allowed = [Warning::TenantWithoutCallers];
            let report = smh_gateway::config::load_allowing(&path, &allowed).report;
            let plain = smh_gateway::config::report::Color::Plain;
            assert!(report.problems().is_empty(), "{at}\n{}", report.render(plain));
        }
        if document.ends_with("README.md") && document.parent() == Some(root()) {
            let shown = blocks.iter().filter(|(_, block)| is_gateway(block)).count();
            assert!(shown >= 1, "README.md shows a configuration");
        }
    }
    assert!(gateways >= 7 && policies >= 2 && cases >= 1, "{gateways}, {policies}, {cases}");
}
