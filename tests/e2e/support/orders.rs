//! A shop that calls one webhook URI for all its customers, and one consumer of everything.

use super::Installation;

/// The token that the shop shows.
pub const TOKEN: &str = "e2e-shop-token";

/// Type, key, customer, and a subscription whose sink is the Service `load`.
pub const MANIFESTS: &str = r#"
apiVersion: v1
kind: Secret
metadata: {name: shop, namespace: NAMESPACE}
stringData: {token: e2e-shop-token}
---
apiVersion: tidegate.dev/v1alpha1
kind: AppEventType
metadata: {name: order-placed, namespace: NAMESPACE}
spec:
  example: {id: e-1, account: acme, total: 1}
  webhook:
    authentication: [{token: {keys: [{secretKeyRef: {name: shop, key: token}}]}}]
    events: {id: item.id}
  globalWebhook: {path: orders, customer: item.account}
---
apiVersion: tidegate.dev/v1alpha1
kind: Customer
metadata: {name: acme, namespace: NAMESPACE}
---
apiVersion: tidegate.dev/v1alpha1
kind: EventSubscription
metadata: {name: invoicing, namespace: NAMESPACE}
spec:
  eventTypeRef: {name: order-placed}
  sink: {service: {name: load, port: 9090}}
  # So that a sink that was away is tried again soon.
  delivery: {backoff: {max: 5s}}
"#;

/// Declares the shop and waits until everything of it is `Ready`.
pub fn declare(installation: &Installation) {
    installation.apply(MANIFESTS);
    for what in [
        "appeventtype/order-placed",
        "customer/acme",
        "eventsubscription/invoicing",
    ] {
        installation.wait_for_condition(what, "Ready");
    }
}

/// Where the shop sends to.
pub fn url(installation: &Installation) -> String {
    let namespace = &installation.namespace;
    format!("http://tidegate-gateway-default.{namespace}.svc/{namespace}/orders")
}
