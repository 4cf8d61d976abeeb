//! After `helm uninstall` nothing of ours keeps anybody from deleting anything.

use super::support::command::{helm, json, kubectl, try_kubectl};
use super::support::load::pod;
use super::support::{Installation, wait_for};

const ALLOW: &str = "allowList: [{host: crm.e2e-uninstalled.svc.cluster.local, ports: [9091], namespaces: [\"*\"]}]";

#[test]
fn nothing_is_stuck_after_uninstalling_with_a_subscription_at_an_app() {
    let installation = Installation::new("uninstalled", ALLOW);
    let namespace = installation.namespace.clone();
    installation.wait_until_it_serves();
    let host = format!("crm.{namespace}.svc.cluster.local");
    installation.apply(&pod("crm", "crm", &["--host", &host], 9091));
    installation.wait_for_condition("pod/crm", "Ready");
    for file in ["app", "customers", "consumers"] {
        let path = format!("{}/examples/crm/{file}.yaml", env!("CARGO_MANIFEST_DIR"));
        let manifests = std::fs::read_to_string(path).unwrap();
        installation.apply(
            &manifests
                .replace("namespace: crm", "namespace: NAMESPACE")
                .replace("127.0.0.1:9091", &format!("{host}:9091")),
        );
    }
    wait_for("a subscription at the app", || {
        let list = installation.try_get("upstreamsubscriptions")?;
        match list["items"][0]["status"]["state"] == "Active" {
            true => Ok(()),
            false => Err(list.to_string()),
        }
    });

    helm(
        &[
            "uninstall",
            "tidegate",
            "--namespace",
            &namespace,
            "--timeout=5m",
        ],
        "",
    );
    let left = json(&kubectl(&[
        "--namespace",
        &namespace,
        "get",
        "upstreamsubscriptions",
        "--output",
        "json",
    ]));
    for item in left["items"].as_array().into_iter().flatten() {
        assert_eq!(
            item["metadata"]["finalizers"],
            serde_json::Value::Null,
            "{item}"
        );
    }
    kubectl(&["delete", "namespace", &namespace, "--timeout=120s"]);
    for kind in ["clusterrole", "clusterrolebinding"] {
        for name in ["tidegate-controller", "tidegate-release"] {
            let name = format!("{name}-{namespace}");
            assert!(
                try_kubectl(&["get", kind, &name]).is_err(),
                "{kind} {name} is still there"
            );
        }
    }
}
