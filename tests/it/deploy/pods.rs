//! The pods: with the least they need, probed and reached where the gateway listens.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use smh_gateway::listener::At;

use super::*;

#[test]
fn every_container_runs_with_the_least_it_needs() {
    let caller = Rendered { form: "caller", by: "kustomize", objects: kustomized("caller") };
    for rendered in everything() {
        assert_least(rendered.pod(), &format!("{}, {}", rendered.form, rendered.by));
    }
    assert_least(&caller.one("Deployment")["spec"]["template"]["spec"], "caller");
}

fn assert_least(pod: &Value, what: &str) {
    assert_eq!(pod["automountServiceAccountToken"], false, "{what}");
    for shared in ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"] {
        assert!(pod[shared].is_null(), "{what}: {shared}");
    }
    let of_pod = &pod["securityContext"];
    assert_eq!(of_pod["seccompProfile"], json!({ "type": "RuntimeDefault" }), "{what}");
    assert_eq!(of_pod["runAsNonRoot"], true, "{what}");
    let mut users = BTreeSet::new();
    for container in containers(pod) {
        let name = container["name"].as_str().unwrap();
        let at = format!("{what}: {name}");
        let own = &container["securityContext"];
        // What the pod says holds: nothing here says otherwise.
        let keys: BTreeSet<_> = own.as_object().unwrap().keys().map(String::as_str).collect();
        let wanted = [
            "allowPrivilegeEscalation",
            "capabilities",
            "readOnlyRootFilesystem",
            "runAsGroup",
            "runAsUser",
        ];
        assert_eq!(keys, wanted.into(), "{at}");
        assert_eq!(own["allowPrivilegeEscalation"], false, "{at}");
        assert_eq!(own["readOnlyRootFilesystem"], true, "{at}");
        assert_eq!(own["capabilities"], json!({ "drop": ["ALL"] }), "{at}");
        assert_eq!(own["runAsUser"], own["runAsGroup"], "{at}");
        let user = own["runAsUser"].as_u64().unwrap();
        assert!(user > 0 && users.insert(user), "{at}: a user of its own");
        let image = container["image"].as_str().unwrap();
        let tag = image.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        assert_ne!(tag, "latest", "{at}: {image}");
        for bound in ["requests", "limits"] {
            for resource in ["cpu", "memory"] {
                assert!(container["resources"][bound][resource].is_string(), "{at}: {bound}");
            }
        }
        for mount in list(&container["volumeMounts"]) {
            // What the gateway makes: its socket, and its journal.
            let made = ["socket", "journal"].contains(&mount["name"].as_str().unwrap());
            let writes = name == "smh-gateway" && made;
            assert_eq!(mount["readOnly"] == true, !writes, "{at}: {mount}");
        }
    }
}

#[test]
fn what_is_in_flight_is_finished_before_the_pod_is_killed() {
    for rendered in everything() {
        let shutdown = rendered.carried().shutdown;
        let grace = rendered.pod()["terminationGracePeriodSeconds"].as_u64().unwrap();
        let grace = Duration::from_secs(grace);
        // And what comes after: the last words of the journal.
        let needed = shutdown.delay + shutdown.drain + Duration::from_secs(10);
        assert!(grace > needed, "{}, {}: {grace:?}", rendered.form, rendered.by);
    }
}

#[test]
fn no_secret_is_mounted_beside_the_gateway() {
    for rendered in everything() {
        let pod = rendered.pod();
        let volume = |name: &str| {
            let mut volumes = list(&pod["volumes"]).iter();
            volumes.find(|volume| volume["name"] == name).cloned()
        };
        let secrets = volume("secrets").unwrap();
        assert_eq!(secrets["secret"]["secretName"], "smh-gateway", "{}", rendered.form);
        let map = &rendered.one("ConfigMap")["metadata"]["name"];
        assert_eq!(&volume("config").unwrap()["configMap"]["name"], map);
        for container in containers(pod).filter(|container| container["name"] != "smh-gateway") {
            for (name, _) in mounts(container) {
                assert_eq!(name, "socket", "{}", rendered.form);
                assert!(volume(name).unwrap()["emptyDir"].is_object(), "{}", rendered.form);
            }
            assert!(!container.to_string().contains("secret"), "{container}");
        }
        assert_eq!(containers(pod).count(), if rendered.form == "central" { 1 } else { 2 });
    }
}

/// The files that the configuration reads secrets from.
fn secret_files(snapshot: &Snapshot) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut values = vec![snapshot.redacted()];
    while let Some(value) = values.pop() {
        match value {
            Value::Object(mut fields) => {
                // It is written, and looked at beside the volume that it is on.
                fields.remove("audit");
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

#[test]
fn every_file_that_the_configuration_names_is_in_a_folder_that_is_mounted() {
    for rendered in everything() {
        let (snapshot, gateway) = (rendered.carried(), rendered.gateway());
        let mounted = |volume: &str| {
            let mut all = mounts(gateway);
            all.find(|(name, _)| *name == volume).map(|(_, path)| path)
        };
        let config = list(&gateway["args"]).last().unwrap().as_str().unwrap();
        assert_eq!(Path::new(config).parent(), mounted("config").as_deref());
        for file in secret_files(&snapshot) {
            let is_in = |(_, folder): (&str, PathBuf)| file.parent() == Some(&*folder);
            assert!(mounts(gateway).any(is_in), "{}: {}", rendered.form, file.display());
        }
        for listener in &snapshot.listeners {
            if let Some(files) = &listener.tls {
                for file in [&files.certificate, &files.private_key] {
                    assert_eq!(file.parent(), mounted("tls").as_deref(), "{}", rendered.form);
                }
            }
            if let At::Unix(plan) = &listener.at {
                assert_eq!(plan.path.parent(), mounted("socket").as_deref(), "{}", rendered.form);
            }
        }
        let journal = snapshot.audit.as_ref().map(|audit| audit.file.parent().unwrap().to_owned());
        assert_eq!(journal, mounted("journal"), "{}", rendered.form);
    }
}

#[test]
fn each_probe_asks_one_thing_where_the_gateway_answers_it() {
    for rendered in everything() {
        let (snapshot, gateway) = (rendered.carried(), rendered.gateway());
        let admin = snapshot.admin.address.unwrap();
        for (probe, page, asks) in [
            ("startupProbe", "/livez", &["health"][..]),
            ("livenessProbe", "/livez", &["health"]),
            ("readinessProbe", "/readyz", &["health", "--ready"]),
        ] {
            let at = format!("{}, {}: {probe}", rendered.form, rendered.by);
            let probe = &gateway[probe];
            if rendered.form == "central" {
                assert!(admin.ip().is_unspecified(), "{at}: the kubelet asks from outside");
                assert_eq!(probe["httpGet"], json!({ "path": page, "port": "admin" }), "{at}");
            } else {
                assert!(admin.ip().is_loopback(), "{at}: no other pod asks");
                assert_eq!(admin.to_string(), "127.0.0.1:9901", "{at}: where `health` asks");
                let command: Vec<_> = ["/usr/bin/smh-gateway"].iter().chain(asks).collect();
                assert_eq!(probe["exec"]["command"], json!(command), "{at}");
            }
            // `health` gives up after two.
            assert_eq!(probe["timeoutSeconds"], 3, "{at}");
        }
    }
}

#[test]
fn a_sidecar_is_reached_by_its_pod_alone() {
    for rendered in everything().iter().filter(|rendered| rendered.form != "central") {
        let pod = rendered.pod();
        let is_native = rendered.form != "job-before-1.29";
        let gateways = list(&pod[if is_native { "initContainers" } else { "containers" }]);
        assert_eq!(gateways[0]["name"], "smh-gateway");
        let restarts = if is_native { json!("Always") } else { Value::Null };
        assert_eq!(gateways[0]["restartPolicy"], restarts, "{}", rendered.form);
        let app = list(&pod["containers"]).last().unwrap();
        let snapshot = rendered.carried();
        assert_eq!(snapshot.listeners.len(), 1);
        let address = match &snapshot.listeners[0].at {
            At::Tcp(address) => {
                assert!(address.ip().is_loopback());
                format!("http://{address}")
            }
            At::Unix(plan) => {
                let groups = &pod["securityContext"]["supplementalGroups"];
                assert_eq!((plan.mode, groups), (0o660, &json!([10933])), "both are in the group");
                plan.path.display().to_string()
            }
        };
        assert!(texts(app).iter().any(|text| text.contains(&address)), "{app}");
        assert_eq!(snapshot.admin.allow_quit, !is_native, "{}", rendered.form);
    }
}
