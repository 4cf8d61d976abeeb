//! From what is applied to an event at a sink: the real controller, the real gateway as its pod.

use serde_json::json;

use super::pod::Pod;
use crate::support::api_server::controller::{Controller, condition_of};
use crate::support::dev::free_address;
use crate::support::eventually;
use crate::support::sink::Sink;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_applied_comes_live_and_an_event_arrives() {
    let controller = Controller::start(&[]).await;
    let namespace = controller.namespace.clone();
    let listen = free_address();
    let sink = Sink::start().await;
    let manifests = format!(
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
spec: {{eventTypeRef: {{name: orders}}, customerRef: {{name: acme}}, sink: {{uri: '{}'}}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: shop}}
stringData: {{token: one}}
",
        sink.url("/events")
    );
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
