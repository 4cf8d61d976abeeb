//! Every object says how it stands, and one that is wrong stops no other.

use serde_json::{Value, json};

use super::SIMPLE;
use crate::support::api_server::controller::{Controller, condition_of};
use crate::support::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_applied_gets_a_status_that_says_what_is_missing() {
    let mut controller = Controller::start(&[]).await;
    let namespace = controller.namespace.clone();
    controller.apply(&namespace, SIMPLE).await;
    // No pod runs here.
    let waits = ("False", "GatewayNotConnected");
    let orders = controller
        .condition(&namespace, "AppEventType", "orders", "Ready", waits)
        .await;
    assert_eq!(
        orders["status"]["globalWebhookUri"],
        format!("https://hooks.example.com/{namespace}/orders")
    );
    assert_eq!(orders["status"]["schema"]["type"], "object", "{orders:#}");
    assert!(condition_of(&orders, "Reconciling").is_some(), "{orders:#}");
    for (kind, name) in [("Customer", "acme"), ("EventSubscription", "invoicing")] {
        controller
            .condition(&namespace, kind, name, "Ready", waits)
            .await;
    }

    // Broken, and then mended: the condition says where, and when that began.
    let broken = "
apiVersion: tidegate.dev/v1alpha1
kind: EventSubscription
metadata: {name: invoicing}
spec: {eventTypeRef: {name: orders}, filter: event.dato.vip, sink: {uri: 'https://sink.example'}}
";
    controller.apply(&namespace, broken).await;
    let kind = "EventSubscription";
    let invalid = ("False", "Invalid");
    let object = controller
        .condition(&namespace, kind, "invoicing", "Ready", invalid)
        .await;
    let ready = condition_of(&object, "Ready").unwrap();
    let message = ready["message"].as_str().unwrap();
    assert!(message.starts_with("spec.filter: "), "{message}");
    assert!(message.contains("last good form"), "{message}");
    assert_eq!(condition_of(&object, "Stalled").unwrap()["status"], "True");
    controller.apply(&namespace, SIMPLE).await;
    let mended = controller
        .condition(&namespace, kind, "invoicing", "Ready", waits)
        .await;
    assert!(condition_of(&mended, "Stalled").is_none(), "{mended:#}");
    // It was not ready all the time.
    let time =
        |object: &Value| condition_of(object, "Ready").unwrap()["lastTransitionTime"].clone();
    assert_eq!(time(&object), time(&mended));
    assert!(controller.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_comes_later_is_found_and_one_that_goes_is_missed() {
    let controller = Controller::start(&[]).await;
    let namespace = controller.namespace.clone();
    let manifests = format!(
        "{SIMPLE}---
apiVersion: tidegate.dev/v1alpha1
kind: AppEventType
metadata: {{name: signed}}
spec:
  example: {{id: o_1}}
  webhook: {{authentication: [{{token: {{keys: [{{secretKeyRef: {{name: shop, key: token}}}}]}}}}]}}
  globalWebhook: {{}}
"
    );
    controller.apply(&namespace, &manifests).await;
    let ready = async |status| {
        controller
            .condition(&namespace, "AppEventType", "signed", "Ready", status)
            .await
    };
    let object = ready(("False", "SecretNotFound")).await;
    let uri = object["status"]["globalWebhookUri"].as_str().unwrap();
    // The token in it is for the app alone.
    assert_eq!(uri, "https://hooks.example.com/h/***");
    let secret =
        "{apiVersion: v1, kind: Secret, metadata: {name: shop}, stringData: {token: s3cr3t}}";
    controller.apply(&namespace, secret).await;
    ready(("False", "GatewayNotConnected")).await;
    let empty = "{apiVersion: v1, kind: Secret, metadata: {name: shop}, stringData: {token: ''}}";
    controller.apply(&namespace, empty).await;
    let object = ready(("False", "SecretNotFound")).await;
    assert!(!object.to_string().contains("s3cr3t"));
    assert!(!controller.output().contains("s3cr3t"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_object_that_cannot_be_read_stops_no_other() {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
    use kube::api::{Api, PostParams};

    let controller = Controller::start(&[]).await;
    let namespace = controller.namespace.clone();
    // As a newer version's CRD would: it knows a value more than this version does.
    let crds: Api<CustomResourceDefinition> = Api::all(controller.admin.clone());
    let path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/onInvalid/enum";
    let crd = crds.get("appeventtypes.tidegate.dev").await.unwrap();
    let mut crd = serde_json::to_value(crd).unwrap();
    let values = crd.pointer_mut(path).unwrap().as_array_mut().unwrap();
    values.push(json!("Ponder"));
    let crd: CustomResourceDefinition = serde_json::from_value(crd).unwrap();
    crds.replace("appeventtypes.tidegate.dev", &PostParams::default(), &crd)
        .await
        .unwrap();
    let odd = "
apiVersion: tidegate.dev/v1alpha1
kind: AppEventType
metadata: {name: odd}
spec: {example: {a: 1}, onInvalid: Ponder, webhook: {authentication: [{none: {}}]}, globalWebhook: {}}
";
    eventually("the API server takes the newer value", async || {
        controller.try_apply(&namespace, odd).await[0].is_ok()
    })
    .await;
    controller.apply(&namespace, SIMPLE).await;
    let waits = ("False", "GatewayNotConnected");
    controller
        .condition(&namespace, "AppEventType", "orders", "Ready", waits)
        .await;
    let invalid = ("False", "Invalid");
    let object = controller
        .condition(&namespace, "AppEventType", "odd", "Ready", invalid)
        .await;
    let message = condition_of(&object, "Stalled").unwrap()["message"].clone();
    assert!(message.as_str().unwrap().contains("Ponder"), "{message}");
}
