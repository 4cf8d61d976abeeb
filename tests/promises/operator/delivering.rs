//! From what is applied to an event at a sink: the real controller, the real gateway as its pod.

use std::net::SocketAddr;

use serde_json::json;

use super::pod::Pod;
use crate::support::api_server::controller::{Controller, condition_of};
use crate::support::dev::free_address;
use crate::support::eventually;
use crate::support::sink::Sink;

/// A gateway at `listen`, a type, a customer and a subscription of all of its events to `sink`.
fn manifests(listen: SocketAddr, sink: &str) -> String {
    format!(
        "
apiVersion: tidegate.dev/v1alpha1
kind: EventGateway
metadata: {{name: default}}
spec: {{publicUrl: 'http://{listen}'}}
---
apiVersion: tidegate.dev/v1alpha1
kind: AppEventType
metadata: {{name: orders}}
spec:
  example: {{id: o_1, account: acme}}
  webhook:
    authentication: [{{token: {{keys: [{{secretKeyRef: {{name: shop, key: token}}}}]}}}}]
    events: {{id: item.id}}
  globalWebhook: {{path: orders, customer: item.account}}
---
apiVersion: tidegate.dev/v1alpha1
kind: Customer
metadata: {{name: acme}}
spec: {{}}
---
apiVersion: tidegate.dev/v1alpha1
kind: EventSubscription
metadata: {{name: invoicing}}
spec: {{eventTypeRef: {{name: orders}}, customerRef: {{name: acme}}, sink: {{uri: '{sink}'}}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: shop}}
stringData: {{token: one}}
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_applied_comes_live_and_an_event_arrives() {
    let controller = Controller::start(&[]).await;
    let namespace = controller.namespace.clone();
    let listen = free_address();
    let sink = Sink::start().await;
    let manifests = manifests(listen, &sink.url("/events"));
    controller.apply(&namespace, &manifests).await;
    let pod = Pod::start(&controller, "default", listen).await;
    for (kind, name) in [
        ("AppEventType", "orders"),
        ("Customer", "acme"),
        ("EventSubscription", "invoicing"),
    ] {
        let live = ("True", "Programmed");
        controller
            .condition(&namespace, kind, name, "Ready", live)
            .await;
    }
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let send = async |token: &str, id: &str| {
        let request = client.post(pod.url(&format!("/{namespace}/orders")));
        let body = json!({"id": id, "account": "acme"});
        let answer = request.bearer_auth(token).json(&body).send().await;
        answer.unwrap().status().as_u16()
    };
    assert_eq!(send("one", "o_1").await, 202);
    assert_eq!(send("two", "o_2").await, 401);
    // The sink is on loopback, which a gateway in a cluster does not call: so nothing arrives, and
    // the subscription says so.
    let object = controller
        .condition(
            &namespace,
            "EventSubscription",
            "invoicing",
            "Delivering",
            ("False", "Held"),
        )
        .await;
    let message = condition_of(&object, "Delivering").unwrap()["message"].clone();
    assert!(!message.as_str().unwrap().is_empty());
    assert_eq!(sink.count(), 0);

    // A rotated key takes effect by itself.
    let rotated =
        "{apiVersion: v1, kind: Secret, metadata: {name: shop}, stringData: {token: two}}";
    controller.apply(&namespace, rotated).await;
    eventually("the new key is in force", async || {
        send("two", "o_3").await == 202
    })
    .await;
    assert_eq!(send("one", "o_4").await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_at_a_private_address_gets_events_where_the_allow_list_says_so() {
    let mut controller = Controller::prepare(&[]).await;
    let namespace = controller.namespace.clone();
    let listen = free_address();
    let (allowed, other) = (Sink::start().await, Sink::start().await);
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("allow-list.yaml");
    let port = url::Url::parse(&allowed.url("/")).unwrap().port();
    let entry = json!([{"host": "127.0.0.1", "ports": [port], "namespaces": [namespace]}]);
    std::fs::write(&list, entry.to_string()).unwrap();
    controller.start_with(&["--allow-list".to_owned(), list.display().to_string()]);
    controller.run().await;
    let manifests = format!(
        "{}---
apiVersion: tidegate.dev/v1alpha1
kind: EventSubscription
metadata: {{name: elsewhere}}
spec: {{eventTypeRef: {{name: orders}}, sink: {{uri: '{}'}}}}
",
        manifests(listen, &allowed.url("/events")),
        other.url("/events"),
    );
    controller.apply(&namespace, &manifests).await;
    let pod = Pod::start(&controller, "default", listen).await;
    let live = ("True", "Programmed");
    controller
        .condition(&namespace, "EventSubscription", "invoicing", "Ready", live)
        .await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(pod.url(&format!("/{namespace}/orders")));
    let body = json!({"id": "o_1", "account": "acme"});
    let answer = request.bearer_auth("one").json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    eventually("the event arrives", async || allowed.count() == 1).await;
    let held = ("False", "Held");
    controller
        .condition(
            &namespace,
            "EventSubscription",
            "elsewhere",
            "Delivering",
            held,
        )
        .await;
    assert_eq!(other.count(), 0);
}
