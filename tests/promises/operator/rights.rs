//! The controller with exactly the rights that the chart gives it: everything works, and no rule is
//! there that nothing uses. The API server's audit log says which were used.

mod rules;
mod scenario;

use std::process::Command;

use serde_json::{Value, json};

use self::rules::{Rights, Use};
use self::scenario::Scenario;
use crate::support::api_server::{ApiServer, binaries};

/// The chart's release and namespace.
const SYSTEM: &str = "tidegate";

/// Where types, customers and subscriptions are.
const TENANT: &str = "tenant";

/// What no request of the scenario can show. Setting an owner that blocks deletion is asked for without
/// a request of its own: the admission plugin `OwnerReferencesPermissionEnforcement`, which the tests'
/// API server runs, refuses it without this. And before a record goes for good, a month after the
/// last registration was removed, its object is looked at.
const UNSEEN: [&str; 4] = [
    "get tidegate.dev upstreamsubscriptions",
    "update tidegate.dev appeventtypes/finalizers",
    "update tidegate.dev customers/finalizers",
    "update tidegate.dev eventgateways/finalizers",
];

/// All objects of the chart.
fn rendered(values: &str) -> Vec<Value> {
    let chart = format!("{}/charts/tidegate", env!("CARGO_MANIFEST_DIR"));
    let values_file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(values_file.path(), values).unwrap();
    let output = Command::new(binaries::helm())
        .args([
            "template",
            SYSTEM,
            &chart,
            "--namespace",
            SYSTEM,
            "--values",
        ])
        .arg(values_file.path())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    documents.into_iter().filter(|it| !it.is_null()).collect()
}

fn is_hook(object: &Value) -> bool {
    object["metadata"]["annotations"]["helm.sh/hook"].is_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_charts_rules_are_what_the_controller_uses_and_no_more() {
    // One that does not stream lists, as Kubernetes 1.33 does not: there the most rights are needed.
    let server = ApiServer::own(&["--feature-gates=WatchList=false"]).await;
    for namespace in [SYSTEM, TENANT] {
        server.namespace_named(namespace).await;
    }
    // All namespaces, then those that are listed: the same must work with rights in those alone.
    let in_all = "{validatingWebhook: {enabled: true}}";
    let in_some = format!("{{validatingWebhook: {{enabled: true}}, watchNamespaces: [{TENANT}]}}");
    for (values, looks_at_all) in [(in_all, true), (&in_some, false)] {
        let objects = rendered(values);
        let (hooks, objects): (Vec<Value>, _) = objects.into_iter().partition(is_hook);
        let seen = server.audited(SYSTEM, "tidegate-controller").len();
        let scenario = Scenario::prepare(server, &objects, looks_at_all).await;
        let scenario = scenario.run().await;
        let rights = Rights::of(&objects, SYSTEM, "tidegate-controller");
        let used = server
            .audited(SYSTEM, "tidegate-controller")
            .split_off(seen);
        let used: Vec<Use> = used.iter().filter_map(Use::of).collect();
        rights.are_what_is_used(&used, &UNSEEN);

        // What the chart runs before it is removed has an account of its own.
        let seen = server.audited(SYSTEM, "tidegate-release").len();
        scenario.release(&objects, &hooks, looks_at_all).await;
        let rights = Rights::of(&hooks, SYSTEM, "tidegate-release");
        let used = server.audited(SYSTEM, "tidegate-release").split_off(seen);
        let used: Vec<Use> = used.iter().filter_map(Use::of).collect();
        rights.are_what_is_used(&used, &[]);
    }
}

/// An object as the API server takes it: helm leaves out the namespace of what it installs.
fn placed(object: &Value) -> Value {
    let mut object = object.clone();
    let kind = object["kind"].as_str().unwrap_or_default();
    let is_of_cluster = kind.starts_with("Cluster")
        || [
            "ValidatingWebhookConfiguration",
            "StorageClass",
            "CustomResourceDefinition",
        ]
        .contains(&kind);
    if !is_of_cluster && object["metadata"]["namespace"].is_null() {
        object["metadata"]["namespace"] = json!(SYSTEM);
    }
    object
}
