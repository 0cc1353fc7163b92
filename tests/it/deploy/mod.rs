//! What is deployed: manifests, chart and image.

/// Kubernetes takes them: both the oldest version that they are for and a current one.
mod valid;
/// The pods: with the least they need, probed and reached where the gateway listens.
mod pods;
/// What stands around the gateway as a service.
mod central;
/// What the chart renders, and what it refuses to.
mod chart;
/// The Job that ends its gateway itself.
mod job;
/// The image, as its user runs it.
mod image;

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::{fs, iter};

use serde_json::Value;
use smh_gateway::config::Snapshot;
use tempfile::TempDir;

use crate::examples::{loaded, root};

/// The folders below deploy/ that run a gateway, each with its name as a release of the chart.
const FORMS: [(&str, &str); 4] = [
    ("sidecar", "example-app"),
    ("job", "example-job"),
    ("job-before-1.29", "example-job"),
    ("central", "smh-gateway"),
];

/// What comes of one form, either way.
struct Rendered {
    form: &'static str,
    by: &'static str,
    objects: Vec<Value>,
}

/// Every form, by kustomize and by the chart.
fn everything() -> &'static [Rendered] {
    static EVERYTHING: OnceLock<Vec<Rendered>> = OnceLock::new();
    EVERYTHING.get_or_init(render_everything)
}

fn render_everything() -> Vec<Rendered> {
    let forms = FORMS.into_iter().flat_map(|(form, release)| {
        let by_helm = charted(form, release, &[]).unwrap_or_else(|said| panic!("{form}: {said}"));
        [("kustomize", kustomized(form)), ("helm", by_helm)].map(|(by, objects)| Rendered {
            form,
            by,
            objects,
        })
    });
    forms.collect()
}

/// As `./test` installs it.
fn tool(name: &str) -> Command {
    let path = root().join("target/tools/bin").join(name);
    assert!(path.exists(), "{}: ./test installs it", path.display());
    Command::new(path)
}

fn said(output: &Output) -> String {
    let both = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    both.concat()
}

fn parsed(yaml: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(yaml).unwrap();
    let objects: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    objects.into_iter().filter(|object| !object.is_null()).collect()
}

/// What `kubectl kustomize` makes of an overlay: every object.
fn kustomized(overlay: &str) -> Vec<Value> {
    let output =
        tool("kubectl").arg("kustomize").arg(root().join("deploy").join(overlay)).output().unwrap();
    assert!(output.status.success(), "{overlay}: {}", said(&output));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{overlay}: nothing is deprecated");
    parsed(&output.stdout)
}

/// What the chart makes of the example values and the two files of an overlay, with further arguments;
/// or why it does not.
fn charted(form: &str, release: &str, more: &[&str]) -> Result<Vec<Value>, String> {
    let deploy = root().join("deploy");
    let file = |name: &str| deploy.join(form).join(name).display().to_string();
    let output = tool("helm")
        .args(["template", release, "--namespace", "smh-gateway", "--values"])
        .arg(deploy.join(format!("chart/examples/{form}.yaml")))
        .args(["--set-file", &format!("gatewayYaml={}", file("gateway.yaml"))])
        .args(["--set-file", &format!("policyYaml={}", file("policy.yaml"))])
        .args(more)
        .arg(deploy.join("chart"))
        .output()
        .unwrap();
    if output.status.success() { Ok(parsed(&output.stdout)) } else { Err(said(&output)) }
}

impl Rendered {
    /// The one object of this kind.
    fn one(&self, kind: &str) -> &Value {
        let mut found = self.of_kind(kind);
        let one = found.next().unwrap_or_else(|| panic!("{}, {}: a {kind}", self.form, self.by));
        assert!(found.next().is_none(), "{}, {}: one {kind}", self.form, self.by);
        one
    }

    fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(move |object| object["kind"] == kind)
    }

    /// What runs the gateway.
    fn workload(&self) -> &Value {
        self.one(match self.form {
            "sidecar" => "Deployment",
            "central" => "StatefulSet",
            _ => "Job",
        })
    }

    fn pod(&self) -> &Value {
        &self.workload()["spec"]["template"]["spec"]
    }

    fn gateway(&self) -> &Value {
        let mut all = containers(self.pod());
        all.find(|container| container["name"] == "smh-gateway").expect(self.form)
    }

    /// The configuration that it carries, loaded as the pod will.
    fn carried(&self) -> Snapshot {
        let data = self.one("ConfigMap")["data"].as_object().unwrap();
        let folder = TempDir::new().unwrap();
        let names: Vec<_> = data.keys().collect();
        assert_eq!(names, ["gateway.yaml", "policy.yaml"]);
        for (name, text) in data {
            fs::write(folder.path().join(name), text.as_str().unwrap()).unwrap();
        }
        let snapshot = loaded(&folder.path().join("gateway.yaml"));
        assert_eq!(snapshot.policy_file, Some(folder.path().join("policy.yaml")));
        snapshot
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// All containers of a pod, the gateway's among them.
fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    list(&pod["initContainers"]).iter().chain(list(&pod["containers"]))
}

/// Where a container mounts each volume.
fn mounts(container: &Value) -> impl Iterator<Item = (&str, PathBuf)> {
    let mounts = list(&container["volumeMounts"]).iter();
    mounts.map(|mount| {
        let path = PathBuf::from(mount["mountPath"].as_str().unwrap());
        (mount["name"].as_str().unwrap(), path)
    })
}

/// Every text in a value, keys too.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(key, value)| iter::once(key.as_str()).chain(texts(value)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

#[test]
fn the_configuration_of_every_form_loads_as_it_stands_in_its_folder() {
    for rendered in everything() {
        let folder = root().join("deploy").join(rendered.form);
        let source = loaded(&folder.join("gateway.yaml"));
        let (form, by) = (rendered.form, rendered.by);
        assert_eq!(rendered.carried().sha256, source.sha256, "{form}, {by}");
    }
}

#[test]
fn no_secret_is_kept_here_and_nothing_is_mounted_that_cannot_change() {
    let caller = Rendered { form: "caller", by: "kustomize", objects: kustomized("caller") };
    for rendered in everything().iter().chain([&caller]) {
        assert_eq!(rendered.of_kind("Secret").count(), 0, "{}", rendered.form);
        for object in &rendered.objects {
            let sub = texts(object).into_iter().find(|text| text.starts_with("subPath"));
            assert_eq!(sub, None, "{}: a subPath is never updated", rendered.form);
        }
    }
}
