//! What stands around the gateway as a service.

use serde_json::json;

use super::*;

fn both() -> impl Iterator<Item = &'static Rendered> {
    everything().iter().filter(|rendered| rendered.form == "central")
}

/// Whether all of these labels are among those.
fn selects(selector: &Value, labels: &Value) -> bool {
    let selector = selector.as_object().unwrap();
    !selector.is_empty() && selector.iter().all(|(key, value)| &labels[key] == value)
}

#[test]
fn there_are_never_less_than_two_where_two_can_be() {
    for rendered in both() {
        let set = rendered.workload();
        let labels = &set["spec"]["template"]["metadata"]["labels"];
        let scaler = &rendered.one("HorizontalPodAutoscaler")["spec"];
        for same in ["apiVersion", "kind"] {
            assert_eq!(scaler["scaleTargetRef"][same], set[same]);
        }
        assert_eq!(scaler["scaleTargetRef"]["name"], set["metadata"]["name"]);
        let least = scaler["minReplicas"].as_u64().unwrap();
        assert!(least >= 3, "one is being replaced, and two are left");
        assert!(set["spec"]["replicas"].is_null(), "or each `apply` would undo what it did");
        assert_eq!(scaler["metrics"][0]["resource"]["name"], "cpu");
        assert!(
            rendered.gateway()["resources"]["requests"]["cpu"].is_string(),
            "it is a share of that"
        );

        let budget = &rendered.one("PodDisruptionBudget")["spec"];
        assert_eq!(budget["maxUnavailable"], 1);
        assert!(selects(&budget["selector"]["matchLabels"], labels));
        let spread = list(&rendered.pod()["topologySpreadConstraints"]);
        let keys: Vec<_> = spread.iter().map(|one| &one["topologyKey"]).collect();
        assert_eq!(keys, ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]);
        assert!(spread.iter().all(|one| selects(&one["labelSelector"]["matchLabels"], labels)));
        let replicas = rendered.carried().limit_store.unwrap().replicas.get();
        assert_eq!(u64::from(replicas), least, "the share of each while the store is away");
    }
}

#[test]
fn each_gateway_has_a_journal_of_its_own_which_outlives_it() {
    for rendered in both() {
        let spec = &rendered.workload()["spec"];
        let claims = list(&spec["volumeClaimTemplates"]);
        assert_eq!((claims.len(), &claims[0]["metadata"]["name"]), (1, &json!("journal")));
        assert_eq!(claims[0]["spec"]["accessModes"], json!(["ReadWriteOnce"]));
        let kept = json!({ "whenDeleted": "Retain", "whenScaled": "Retain" });
        assert_eq!(spec["persistentVolumeClaimRetentionPolicy"], kept);
        let user = &rendered.gateway()["securityContext"]["runAsUser"];
        assert_eq!(&rendered.pod()["securityContext"]["fsGroup"], user, "it may write there");
        let headless = rendered.of_kind("Service").find(|one| one["spec"]["clusterIP"] == "None");
        assert_eq!(headless.unwrap()["metadata"]["name"], spec["serviceName"]);
    }
}

#[test]
fn callers_reach_it_by_a_name_that_its_certificate_has() {
    for rendered in both() {
        let labels = &rendered.workload()["spec"]["template"]["metadata"]["labels"];
        let mut services = rendered.of_kind("Service");
        let service = services.find(|one| one["spec"]["clusterIP"].is_null()).unwrap();
        assert!(selects(&service["spec"]["selector"], labels));
        let ports = list(&service["spec"]["ports"]);
        assert_eq!((ports.len(), &ports[0]["targetPort"]), (1, &json!("https")), "not the admin's");
        let snapshot = rendered.carried();
        let port = |name: &str| {
            let mut ports = list(&rendered.gateway()["ports"]).iter();
            ports.find(|port| port["name"] == name).unwrap()["containerPort"].clone()
        };
        assert_eq!(port("admin"), snapshot.admin.address.unwrap().port());
        assert!(snapshot.listeners[0].at.to_string().ends_with(&format!(":{}", port("https"))));

        let certificate = &rendered.one("Certificate")["spec"];
        let tls = list(&rendered.pod()["volumes"]).iter().find(|one| one["name"] == "tls").unwrap();
        assert_eq!(certificate["secretName"], tls["secret"]["secretName"]);
        let name = service["metadata"]["name"].as_str().unwrap();
        let full = format!("{name}.smh-gateway.svc.cluster.local");
        let names: Vec<_> =
            list(&certificate["dnsNames"]).iter().filter_map(Value::as_str).collect();
        let wanted = full.match_indices('.').map(|(at, _)| full.get(..at).unwrap()).chain([&*full]);
        let wanted: Vec<_> = wanted.filter(|name| !name.ends_with("cluster")).collect();
        assert_eq!(names, wanted);
    }
}

#[test]
fn it_has_an_identity_without_rights_and_a_network_of_few() {
    for rendered in both() {
        let account = rendered.one("ServiceAccount");
        assert_eq!(account["automountServiceAccountToken"], false);
        assert_eq!(account["metadata"]["name"], rendered.pod()["serviceAccountName"]);
        for right in ["Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"] {
            assert_eq!(rendered.of_kind(right).count(), 0);
        }

        let labels = &rendered.workload()["spec"]["template"]["metadata"]["labels"];
        let policies: Vec<_> = rendered.of_kind("NetworkPolicy").collect();
        assert_eq!(policies.len(), 2);
        let (of_gateway, others) = (&policies[0]["spec"], &policies[1]["spec"]);
        assert!(selects(&of_gateway["podSelector"]["matchLabels"], labels));
        assert_eq!(of_gateway["policyTypes"], json!(["Ingress", "Egress"]));
        let ingress = list(&of_gateway["ingress"]);
        assert!(ingress.iter().all(|rule| !list(&rule["from"]).is_empty()), "nobody unnamed");
        let ports: Vec<_> = ingress.iter().map(|rule| &rule["ports"][0]["port"]).collect();
        assert_eq!(ports, ["https", "admin"]);
        let namespaces = &ingress[0]["from"][0]["namespaceSelector"]["matchLabels"];
        let namespace = kustomized("caller").into_iter().find(|one| one["kind"] == "Namespace");
        assert!(selects(namespaces, &namespace.unwrap()["metadata"]["labels"]));

        let expression = &others["podSelector"]["matchExpressions"][0];
        assert_eq!(
            (&expression["operator"], &expression["values"]),
            (&json!("NotIn"), &json!(["smh-gateway"]))
        );
        assert_eq!(
            labels[expression["key"].as_str().unwrap()],
            "smh-gateway",
            "all but the gateway"
        );
        let outside = texts(&others["egress"]).into_iter().any(|text| text.starts_with("0.0.0.0"));
        assert!(
            !outside && list(&others["egress"]).iter().all(|rule| !list(&rule["to"]).is_empty())
        );
    }
}

#[test]
fn the_example_of_a_caller_is_one_that_the_gateway_knows() {
    let caller = Rendered { form: "caller", by: "kustomize", objects: kustomized("caller") };
    let source = loaded(&root().join("deploy/central/gateway.yaml")).redacted();
    let jwt = &source["callers"]["reports"]["credentials"][0]["jwt"];
    let namespace = caller.one("Namespace")["metadata"]["name"].as_str().unwrap();
    assert_eq!(jwt["subject"], format!("system:serviceaccount:{namespace}:default"));
    let deployment = caller.one("Deployment");
    assert_eq!(deployment["metadata"]["namespace"], namespace);
    let pod = &deployment["spec"]["template"]["spec"];
    assert!(pod["serviceAccountName"].is_null(), "it is `default`");
    let token = &pod["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"];
    let issuer = jwt["issuer"].as_str().unwrap();
    assert_eq!(json!([token["audience"]]), source["jwt_issuers"][issuer]["audience"]);
}
