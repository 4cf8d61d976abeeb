//! From `helm install` to a delivered event: for one URI for all customers, and for registrations at an app.

use super::support::load::{Load, pod};
use super::support::{Installation, orders, wait_for};

#[test]
fn an_event_of_a_global_webhook_is_delivered() {
    let installation = Installation::new("global", "");
    installation.wait_until_it_serves();
    orders::declare(&installation);
    let url = orders::url(&installation);
    let arguments = [
        "--url",
        &url,
        "--token",
        orders::TOKEN,
        "--rate",
        "20",
        "--seconds",
        "5",
    ];
    let load = Load::start(&installation, "load", &arguments);
    let report = load.wait_until("all events to arrive", |report| report["missing"] == 0);
    assert_eq!(report["acknowledged"], 100, "{report}");
    assert_eq!(
        report["statuses"],
        serde_json::json!({"202": 100}),
        "{report}"
    );

    // What a user sees.
    let shown = installation.kubectl(&["get", "eventgateway"]);
    for word in [
        "URL",
        "REPLICAS",
        "READY",
        "http://tidegate-gateway-default",
        "True",
    ] {
        assert!(shown.contains(word), "{word} in\n{shown}");
    }
    let gateway = installation.get("eventgateway/default");
    assert_eq!(gateway["status"]["readyReplicas"], 2, "{gateway}");
    assert!(
        gateway["status"]["configurationRevision"].is_string(),
        "{gateway}"
    );
    let pods = installation.get("pods");
    for pod in pods["items"].as_array().into_iter().flatten() {
        for status in pod["status"]["containerStatuses"]
            .as_array()
            .into_iter()
            .flatten()
        {
            assert_eq!(status["restartCount"], 0, "{status}");
        }
    }
}

/// What the chart is told so that an app may be called that is in the cluster.
const ALLOW: &str =
    "allowList: [{host: crm.e2e-registered.svc.cluster.local, ports: [9091], namespaces: [\"*\"]}]";

#[test]
fn an_app_is_made_to_send_the_events_of_a_customer() {
    let installation = Installation::new("registered", ALLOW);
    installation.wait_until_it_serves();
    let host = format!("crm.{}.svc.cluster.local", installation.namespace);
    installation.apply(&pod("crm", "crm", &["--host", &host], 9091));
    installation.wait_for_condition("pod/crm", "Ready");
    // The example as it is, but for where things are.
    for file in ["app", "customers", "consumers"] {
        let path = format!("{}/examples/crm/{file}.yaml", env!("CARGO_MANIFEST_DIR"));
        let manifests = std::fs::read_to_string(&path)
            .unwrap()
            .replace("namespace: crm", "namespace: NAMESPACE")
            .replace("http://127.0.0.1:9091", &format!("http://{host}:9091"))
            .replace(
                r#"sink: {uri: "http://127.0.0.1:9090/pro"}"#,
                "sink: {service: {name: load, port: 9090}}",
            )
            .replace(
                r#"sink: {uri: "http://127.0.0.1:9090/acme-vips"}"#,
                "sink: {service: {name: load, port: 9090, path: /acme-vips}}",
            );
        assert!(!manifests.contains("127.0.0.1"), "{path}");
        installation.apply(&manifests);
    }
    // acme and globex are on the pro plan.
    let subscribed = || {
        let list = installation.try_get("upstreamsubscriptions")?;
        let items = list["items"].as_array().ok_or("no list")?;
        let active = items
            .iter()
            .filter(|item| item["status"]["state"] == "Active");
        match active.count() {
            2 => Ok(()),
            _ => Err(format!("{items:?}")),
        }
    };
    wait_for("two subscriptions at the app", subscribed);

    let url = format!("http://{host}:9091/tenants/acme/contacts");
    let arguments = [
        "--url",
        &url,
        "--token",
        "acme-example-token",
        "--rate",
        "5",
        "--seconds",
        "2",
        "--body",
        r#"{"email": "c#n@example.com"}"#,
    ];
    let load = Load::start(&installation, "load", &arguments);
    let report = load.wait_until("all contacts to arrive", |report| report["received"] == 10);
    assert_eq!(report["acknowledged"], 10, "{report}");

    // Nobody wants them any more: the app is told.
    installation.kubectl(&["delete", "eventsubscriptions", "--all"]);
    wait_for("no subscription at the app", || {
        let list = installation.try_get("upstreamsubscriptions")?;
        match list["items"].as_array().map(Vec::len) {
            Some(0) => Ok(()),
            _ => Err(list.to_string()),
        }
    });
    let log = installation.kubectl(&["logs", "crm"]);
    assert!(!log.contains("is disabled"), "{log}");
}
