//! Kubernetes takes them: both the oldest version that they are for and a current one.

use super::*;

/// What kubernetes-validate says of objects, every field of which must be known.
fn validated(version: &str, objects: &[Value]) -> Output {
    let folder = TempDir::new().unwrap();
    // JSON is YAML.
    let documents: Vec<_> = objects.iter().map(ToString::to_string).collect();
    let file = folder.path().join("objects.yaml");
    fs::write(&file, documents.join("\n---\n")).unwrap();
    let mut validate = tool("kubernetes-validate");
    validate.args(["--strict", "--kubernetes-version", version]).arg(file).output().unwrap()
}

fn assert_valid(what: &str, version: &str, objects: &[Value]) {
    let output = validated(version, objects);
    let text = said(&output);
    assert!(output.status.success(), "{what}, {version}: {text}");
    // What it has no schema of, it lets through.
    let passed = text.matches(" passed for resource ").count();
    assert_eq!(passed, objects.len(), "{what}, {version}: {text}");
}

#[test]
fn every_object_of_kubernetes_is_valid_in_the_oldest_version_and_in_a_current_one() {
    for rendered in everything() {
        let Rendered { form, by, objects } = rendered;
        let of_kubernetes = objects.iter().filter(|one| one["apiVersion"] != "cert-manager.io/v1");
        let of_kubernetes: Vec<_> = of_kubernetes.cloned().collect();
        let foreign = objects.len() - of_kubernetes.len();
        assert_eq!(foreign, usize::from(*form == "central"), "{form}: the Certificate alone");
        let oldest = if *form == "job-before-1.29" { "1.27" } else { "1.29" };
        for version in [oldest, "1.37"] {
            assert_valid(&format!("{form}, {by}"), version, &of_kubernetes);
        }
    }
    for version in ["1.29", "1.37"] {
        assert_valid("caller", version, &kustomized("caller"));
    }
}

#[test]
fn a_field_that_kubernetes_does_not_know_would_be_found() {
    let mut objects = kustomized("sidecar");
    let deployment = objects.iter_mut().find(|object| object["kind"] == "Deployment").unwrap();
    deployment["spec"]["template"]["spec"]["initContainers"][0]["restartPolicies"] =
        "Always".into();
    for version in ["1.29", "1.37"] {
        let output = validated(version, &objects);
        assert!(!output.status.success(), "{version}");
        assert!(said(&output).contains("restartPolicies"), "{}", said(&output));
    }
}
