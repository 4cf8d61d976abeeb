//! What survives a restart, what happens when nothing happens, and who leads.

use std::time::Duration;

use kube::api::{Api, ListParams};
use serde_json::Value;

use super::SIMPLE;
use crate::support::api_server::controller::{Controller, condition_of};
use crate::support::eventually;

const BROKEN: &str = "
apiVersion: tidegate.dev/v1alpha1
kind: AppEventType
metadata: {name: orders}
spec:
  example: {id: o_1, account: acme}
  schema: {type: 7}
  webhook: {authentication: [{none: {}}]}
  globalWebhook: {path: orders, customer: item.account}
";

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_edit_keeps_the_last_good_form_over_a_restart() {
    let mut controller = Controller::start(&[]).await;
    let namespace = controller.namespace.clone();
    controller.apply(&namespace, SIMPLE).await;
    let kind = "AppEventType";
    let waits = ("False", "GatewayNotConnected");
    controller
        .condition(&namespace, kind, "orders", "Ready", waits)
        .await;
    controller.kill();
    // Broken while nobody looks.
    controller.apply(&namespace, BROKEN).await;
    controller.run().await;
    let invalid = ("False", "Invalid");
    let object = controller
        .condition(&namespace, kind, "orders", "Ready", invalid)
        .await;
    let stalled = condition_of(&object, "Stalled").unwrap();
    let message = stalled["message"].as_str().unwrap();
    assert!(
        message.contains("last good form goes on being served"),
        "{message}"
    );
    // It is served, so who refers to it is not hurt.
    controller
        .condition(&namespace, "EventSubscription", "invoicing", "Ready", waits)
        .await;
    let uri = object["status"]["globalWebhookUri"].as_str().unwrap();
    assert!(uri.ends_with("/orders"), "{uri}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_while_nothing_changes() {
    let controller = Controller::start(&[]).await;
    let namespace = controller.namespace.clone();
    controller.apply(&namespace, SIMPLE).await;
    let waits = ("False", "GatewayNotConnected");
    for (kind, name) in [
        ("AppEventType", "orders"),
        ("Customer", "acme"),
        ("EventSubscription", "invoicing"),
    ] {
        controller
            .condition(&namespace, kind, name, "Ready", waits)
            .await;
    }
    // Until it is quiet for the first time.
    let mut before = usize::MAX;
    eventually("the controller has written everything", async || {
        let now = controller.writes_but_the_lease().len();
        tokio::time::sleep(Duration::from_secs(5)).await;
        std::mem::replace(&mut before, now) == now
    })
    .await;
    let leases = controller.writes().len();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let after = controller.writes_but_the_lease();
    assert_eq!(after.len(), before, "{:#?}", &after[before..]);
    assert!(
        controller.writes().len() > leases,
        "not even the Lease is renewed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn transitions_are_told_as_events() {
    let controller = Controller::start(&[]).await;
    let namespace = controller.namespace.clone();
    controller
        .apply(&namespace, &format!("{SIMPLE}\n---\n{BROKEN}"))
        .await;
    let events: Api<k8s_openapi::api::events::v1::Event> =
        Api::namespaced(controller.admin.clone(), &namespace);
    eventually("a Warning tells of the broken type", async || {
        let all = events.list(&ListParams::default()).await.unwrap();
        all.items.iter().any(|event| {
            let of = event.regarding.as_ref().and_then(|it| it.name.as_deref());
            of == Some("orders")
                && event.type_.as_deref() == Some("Warning")
                && event.reason.as_deref() == Some("Invalid")
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_controller_leads_and_another_takes_over() {
    let mut first = Controller::start(&[]).await;
    let namespace = first.namespace.clone();
    first.apply(&namespace, SIMPLE).await;
    let mut second = first.another();
    second.spawn();
    eventually("the second one stands by", async || {
        second.readiness().await.as_deref() == Some("another one leads\n")
    })
    .await;
    let admin = first.admin.clone();
    let epoch = async || -> u64 {
        let secrets: Api<k8s_openapi::api::core::v1::Secret> =
            Api::namespaced(admin.clone(), &namespace);
        let secret = secrets.get("tidegate-epoch").await.unwrap();
        let text = secret.data.unwrap().remove("epoch").unwrap();
        String::from_utf8(text.0).unwrap().parse().unwrap()
    };
    let before = epoch().await;
    assert!(first.stop().await.success());
    eventually("the second one leads", async || {
        second.readiness().await.as_deref() == Some("leading\n")
    })
    .await;
    assert!(epoch().await > before);
    // It does what the first one did.
    let object: Value = second.get(&namespace, "AppEventType", "orders").await;
    assert!(object["status"]["conditions"].is_array(), "{object:#}");
}
