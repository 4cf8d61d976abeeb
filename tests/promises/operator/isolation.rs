//! Namespaces that try to take what is another's: refused, and each says why.

use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::support::api_server::controller::Controller;

const WAITS: (&str, &str) = ("False", "GatewayNotConnected");
const NOT_ALLOWED: (&str, &str) = ("False", "NotAllowed");

fn event_type(name: &str, more: &str) -> String {
    format!(
        "
---
apiVersion: tidegate.dev/v1alpha1
kind: AppEventType
metadata: {{name: {name}}}
spec:
  example: {{id: o_1, portal: 1}}
  webhook: {{authentication: [{{none: {{}}}}]}}
  {more}
"
    )
}

fn subscription(name: &str, reference: &str, customer: &str) -> String {
    format!(
        "
---
apiVersion: tidegate.dev/v1alpha1
kind: EventSubscription
metadata: {{name: {name}}}
spec:
  eventTypeRef: {reference}
  customerRef: {{name: {customer}}}
  sink: {{uri: 'https://sink.example'}}
"
    )
}

fn customer(name: &str, spec: &str) -> String {
    format!(
        "
---
apiVersion: tidegate.dev/v1alpha1
kind: Customer
metadata: {{name: {name}}}
spec: {spec}
"
    )
}

/// What is created from now on is younger than what is there: the API server notes whole seconds.
async fn a_second_passes() {
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_cannot_take_each_others_types_paths_and_customers() {
    let controller = Controller::start(&["blue", "red"]).await;
    let [blue, red] = [&controller.others[0], &controller.others[1]];
    let own = controller.namespace.clone();
    let gateway = format!(
        "
apiVersion: tidegate.dev/v1alpha1
kind: EventGateway
metadata: {{name: default}}
spec: {{publicUrl: 'https://hooks.example.com'}}
---
apiVersion: tidegate.dev/v1alpha1
kind: EventGateway
metadata: {{name: closed}}
spec:
  publicUrl: 'https://closed.example.com'
  allowedNamespaces: {{from: Selector, selector: {{matchLabels: {{{own}: 'yes'}}}}}}
"
    );
    controller.apply(&own, &gateway).await;

    // What blue has, of which it lends `shared` to everybody.
    let portal =
        "globalWebhook: {path: contacts, customer: string(item.portal), customerField: portal}";
    let mut manifests = event_type("private", "globalWebhook: {path: orders}");
    manifests += &event_type(
        "shared",
        &format!("allowedNamespaces: {{from: All}}\n  {portal}"),
    );
    manifests += &customer("acme", "{fields: {portal: 7}}");
    manifests += &subscription("own", "{name: shared}", "acme");
    controller.apply(blue, &manifests).await;
    let ready = async |namespace: &str, kind: &str, name: &str, status| {
        controller
            .condition(namespace, kind, name, "Ready", status)
            .await
    };
    ready(blue, "AppEventType", "shared", WAITS).await;
    ready(blue, "EventSubscription", "own", WAITS).await;

    // A type that is not lent, and a customer's value that blue's customer has had before.
    let of = |name: &str| format!("{{name: {name}, namespace: {blue}}}");
    let mut manifests = customer("acme", "{fields: {portal: 7}}");
    manifests += &subscription("steals-type", &of("private"), "acme");
    manifests += &subscription("steals-customer", &of("shared"), "acme");
    // The same path in another namespace is another path.
    manifests += &event_type("private", "globalWebhook: {path: orders}");
    // A gateway that does not admit red.
    let reference =
        format!("gatewayRef: {{name: closed, namespace: {own}}}\n  globalWebhook: {{}}");
    manifests += &event_type("closed", &reference);
    manifests += &event_type("nowhere", "gatewayRef: {name: none}\n  globalWebhook: {}");
    a_second_passes().await;
    controller.apply(red, &manifests).await;
    ready(red, "EventSubscription", "steals-type", NOT_ALLOWED).await;
    let taken = ("False", "CustomerTaken");
    let object = ready(red, "EventSubscription", "steals-customer", taken).await;
    // What is in the other namespace is none of red's business.
    let said = object["status"].to_string();
    assert!(!said.contains(&format!("{blue}/acme")), "{said}");
    ready(red, "AppEventType", "private", WAITS).await;
    ready(blue, "EventSubscription", "own", WAITS).await;
    ready(red, "AppEventType", "closed", NOT_ALLOWED).await;
    ready(red, "AppEventType", "nowhere", ("False", "GatewayNotFound")).await;

    // Two of one namespace: the older has it.
    let mut manifests = event_type("again", "globalWebhook: {path: orders}");
    manifests += &customer("another", "{id: acme}");
    a_second_passes().await;
    controller.apply(red, &manifests).await;
    ready(red, "AppEventType", "again", ("False", "PathTaken")).await;
    ready(red, "Customer", "another", taken).await;
    ready(red, "Customer", "acme", WAITS).await;

    // Admitted by a label, lent, and taken back.
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(controller.admin.clone());
    let label = json!({"metadata": {"labels": {own.as_str(): "yes"}}});
    namespaces
        .patch(red, &PatchParams::default(), &Patch::Merge(label))
        .await
        .unwrap();
    ready(red, "AppEventType", "closed", WAITS).await;
    let lent = event_type(
        "private",
        "allowedNamespaces: {from: All}\n  globalWebhook: {path: orders}",
    );
    controller.apply(blue, &lent).await;
    ready(red, "EventSubscription", "steals-type", WAITS).await;
    let back = event_type(
        "private",
        "allowedNamespaces: {from: Same}\n  globalWebhook: {path: orders}",
    );
    controller.apply(blue, &back).await;
    ready(red, "EventSubscription", "steals-type", NOT_ALLOWED).await;
}
