//! What was acknowledged and not delivered stays as long as the EventSubscription that waits for it is there: broken while
//! nobody looked, or of a type that another gateway serves now.

use serde_json::json;

use super::pod::Pod;
use crate::support::api_server::controller::Controller;
use crate::support::dev::free_address;
use crate::support::eventually;

/// A gateway, a type of the gateway `default` for everybody, and a consumer. Its sink is on loopback, which a gateway in a
/// cluster does not call: so events stay.
fn manifests(gateways: &[(&str, std::net::SocketAddr)], home: &str) -> String {
    let gateways = gateways.iter().map(|(name, listen)| {
        format!(
            "apiVersion: tidegate.dev/v1alpha1\nkind: EventGateway\nmetadata: {{name: {name}}}\n\
             spec: {{publicUrl: 'http://{listen}', replicas: 1}}\n---\n"
        )
    });
    let gateways: String = gateways.collect();
    format!(
        "{gateways}{}---\n{}",
        event_type(home),
        subscription("event.data.id != \"\"")
    )
}

fn event_type(home: &str) -> String {
    format!(
        "apiVersion: tidegate.dev/v1alpha1\nkind: AppEventType\nmetadata: {{name: orders}}\n\
         spec:\n  gatewayRef: {{name: {home}}}\n  example: {{id: o_1}}\n  webhook: {{authentication: [{{none: {{}}}}]}}\n  \
         globalWebhook: {{path: orders}}\n"
    )
}

fn subscription(filter: &str) -> String {
    let spec = json!({
        "eventTypeRef": {"name": "orders"},
        "filter": filter,
        "sink": {"uri": "http://127.0.0.1:9/events"},
    });
    format!(
        "apiVersion: tidegate.dev/v1alpha1\nkind: EventSubscription\nmetadata: {{name: invoicing}}\nspec: {spec}\n"
    )
}

async fn send(pod: &Pod, namespace: &str, id: &str) -> u16 {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(pod.url(&format!("/{namespace}/orders")));
    let answer = request.json(&json!({"id": id})).send().await.unwrap();
    answer.status().as_u16()
}

async fn is_live(controller: &Controller, pod: &Pod) {
    eventually("the type is live", async || {
        send(pod, &controller.namespace, "first").await == 202
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_is_broken_while_nobody_looks_keeps_what_it_has_not_got() {
    let mut controller = Controller::start(&[]).await;
    let namespace = controller.namespace.clone();
    let listen = free_address();
    let all = manifests(&[("default", listen)], "default");
    controller.apply(&namespace, &all).await;
    let pod = Pod::start(&controller, "default", listen).await;
    is_live(&controller, &pod).await;
    let name = format!("{namespace}/invoicing");
    let has = async |expected: Option<u64>| {
        eventually(&format!("it has {expected:?} undelivered"), async || {
            pod.undelivered(&name).await == expected
        })
        .await;
    };
    has(Some(1)).await;

    controller.kill();
    controller
        .apply(&namespace, &subscription("event.data."))
        .await;
    controller.run().await;
    let invalid = ("False", "Invalid");
    let kind = "EventSubscription";
    controller
        .condition(&namespace, kind, "invoicing", "Ready", invalid)
        .await;
    // The pod is told by the new leader, and goes on with what it had: for new events, too.
    eventually("the pod is connected", async || {
        let gateway = controller.get(&namespace, "EventGateway", "default").await;
        gateway["status"]["configurationRevision"]
            .as_str()
            .is_some_and(|it| it.starts_with("2."))
    })
    .await;
    assert_eq!(send(&pod, &namespace, "second").await, 202);
    has(Some(2)).await;

    // Mended, it is the same one.
    controller
        .apply(&namespace, &subscription("event.data.id != \"x\""))
        .await;
    let live = ("True", "Programmed");
    controller
        .condition(&namespace, kind, "invoicing", "Ready", live)
        .await;
    has(Some(2)).await;
    assert_eq!(send(&pod, &namespace, "third").await, 202);
    has(Some(3)).await;

    // Deleted, although nobody looks, it loses what it has not got.
    controller.kill();
    let consumers = controller.ours(&namespace, kind);
    consumers
        .delete("invoicing", &Default::default())
        .await
        .unwrap();
    controller.run().await;
    has(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_moves_leaves_behind_what_is_still_to_be_delivered() {
    let mut controller = Controller::start(&[]).await;
    let namespace = controller.namespace.clone();
    let (before, after) = (free_address(), free_address());
    let gateways = [("default", before), ("other", after)];
    controller
        .apply(&namespace, &manifests(&gateways, "default"))
        .await;
    let old = Pod::start(&controller, "default", before).await;
    let new = Pod::start(&controller, "other", after).await;
    is_live(&controller, &old).await;
    let name = format!("{namespace}/invoicing");
    let has = async |pod: &Pod, expected: Option<u64>| {
        eventually(&format!("it has {expected:?} undelivered"), async || {
            pod.undelivered(&name).await == expected
        })
        .await;
    };
    has(&old, Some(1)).await;
    controller.apply(&namespace, &event_type("other")).await;
    eventually("the other gateway serves it", async || {
        send(&new, &namespace, "second").await == 202
    })
    .await;
    eventually("the first one does not any more", async || {
        send(&old, &namespace, "third").await == 404
    })
    .await;
    has(&new, Some(1)).await;
    has(&old, Some(1)).await;
    // Another leader does not know that it ever was there.
    controller.kill();
    controller.run().await;
    eventually("the pods are connected", async || {
        let gateway = controller.get(&namespace, "EventGateway", "default").await;
        gateway["status"]["configurationRevision"]
            .as_str()
            .is_some_and(|it| it.starts_with("2."))
    })
    .await;
    has(&old, Some(1)).await;
    let consumers = controller.ours(&namespace, "EventSubscription");
    consumers
        .delete("invoicing", &Default::default())
        .await
        .unwrap();
    has(&old, None).await;
    has(&new, None).await;
}
