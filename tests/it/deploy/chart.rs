//! What the chart renders, and what it refuses to.

use std::collections::BTreeSet;

use super::*;

/// A pod without what is made of the release's labels.
fn pod(rendered: &Rendered) -> Value {
    let mut pod = rendered.pod().clone();
    for constraint in pod["topologySpreadConstraints"].as_array_mut().into_iter().flatten() {
        constraint["labelSelector"].take();
    }
    // Which of a Job's ConfigMaps is part of the Job, of which there is another each time.
    if rendered.form.starts_with("job") {
        pod["volumes"][0]["configMap"]["name"].take();
    }
    pod
}

#[test]
fn the_chart_and_the_overlays_run_the_same_pods_among_the_same_objects() {
    for pair in everything().chunks(2) {
        let [by_kustomize, by_helm] = pair else { panic!("two ways") };
        assert_eq!(pod(by_kustomize), pod(by_helm), "{}", by_helm.form);
        let kinds = |rendered: &Rendered| -> BTreeSet<_> {
            let objects = rendered.objects.iter().filter(|object| object["kind"] != "Namespace");
            let name = |object: &Value| match rendered.form.starts_with("job") {
                true => String::new(),
                false => object["metadata"]["name"].to_string(),
            };
            objects.map(|object| (object["kind"].to_string(), name(object))).collect()
        };
        assert_eq!(kinds(by_kustomize), kinds(by_helm), "{}", by_helm.form);
        if by_helm.form == "central" {
            for kind in ["HorizontalPodAutoscaler", "Certificate", "ServiceAccount"] {
                let spec = |rendered: &Rendered| rendered.one(kind)["spec"].clone();
                assert_eq!(spec(by_kustomize), spec(by_helm), "{kind}");
            }
            let egress = |rendered: &Rendered| {
                let policies = rendered.of_kind("NetworkPolicy");
                policies.map(|one| one["spec"]["egress"].clone()).collect::<Vec<_>>()
            };
            assert_eq!(egress(by_kustomize), egress(by_helm));
        }
    }
}

#[test]
fn the_chart_refuses_what_would_not_work_and_says_why() {
    let central = |more: &[&str]| {
        let refused = charted("central", "smh-gateway", more).map(|_| more);
        refused.expect_err("it renders")
    };
    let sidecar = root().join("deploy/sidecar/gateway.yaml");
    let beside = format!("gatewayYaml={}", sidecar.display());
    for (more, why) in [
        (
            &["--set", "terminationGracePeriodSeconds=30"][..],
            "must be longer than shutdown.delay and drain together, which are 30 s",
        ),
        (&["--set", "central.journal.enabled=false"], "gatewayYaml has an `audit`"),
        (&["--set-file", &beside], "admin.address is 127.0.0.1:9901"),
        (&["--set-file", "policyYaml=/dev/null"], "gatewayYaml names the policy `policy.yaml`"),
        (&["--set-file", "gatewayYaml=/dev/null"], "/gatewayYaml"),
        (&["--set", "central.replicas=1"], "/central/replicas"),
        (&["--set", "centrall.replicas=3"], "centrall"),
        (&["--set", "image.tag=latest"], "/image/tag"),
        (&["--set", "mode=sidecar"], "/sidecar/app"),
    ] {
        let said = central(more);
        assert!(said.contains(why), "{more:?}: {said}");
    }
}

#[test]
fn without_a_journal_it_is_a_deployment_that_is_replaced_without_a_gap() {
    let folder = TempDir::new().unwrap();
    let source = fs::read_to_string(root().join("deploy/central/gateway.yaml")).unwrap();
    let (before, rest) = source.split_once("audit:\n").unwrap();
    let after = rest.split_once("\n\n").unwrap().1;
    let file = folder.path().join("gateway.yaml");
    fs::write(&file, [before, after].concat()).unwrap();
    let gateway = format!("gatewayYaml={}", file.display());
    let more = ["--set-file", &gateway, "--set", "central.journal.enabled=false"];
    let objects = charted("central", "smh-gateway", &more).unwrap();
    let rendered = Rendered { form: "central", by: "helm", objects };
    let deployment = rendered.one("Deployment");
    assert_eq!(deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"], 0);
    let target = &rendered.one("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"];
    assert_eq!(target["kind"], "Deployment");
    assert!(!deployment.to_string().contains("journal"), "{deployment}");
    assert_eq!(rendered.carried().audit.map(|audit| audit.file), None);
}

#[test]
fn helm_finds_nothing_to_complain_of() {
    let gateway = root().join("deploy/central/gateway.yaml");
    let policy = root().join("deploy/central/policy.yaml");
    let output = tool("helm")
        .args(["lint", "--strict", "--set-file", &format!("gatewayYaml={}", gateway.display())])
        .args(["--set-file", &format!("policyYaml={}", policy.display())])
        .arg(root().join("deploy/chart"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
}
