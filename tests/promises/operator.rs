//! The controller against a real API server: what is declared there is served, and every object
//! says how it stands.

mod admission;
mod delivering;
mod isolation;
mod keeping;
mod kills;
mod orphans;
mod pod;
mod restarts;
mod rights;
mod rules;
mod scaling;
mod statuses;
mod subscribing;

/// A gateway, a type with a global webhook, a customer and a subscription that need nothing else.
pub const SIMPLE: &str = "
apiVersion: tidegate.dev/v1alpha1
kind: EventGateway
metadata: {name: default}
spec: {publicUrl: 'https://hooks.example.com'}
---
apiVersion: tidegate.dev/v1alpha1
kind: AppEventType
metadata: {name: orders}
spec:
  example: {id: o_1, account: acme}
  webhook: {authentication: [{none: {}}]}
  globalWebhook: {path: orders, customer: item.account}
---
apiVersion: tidegate.dev/v1alpha1
kind: Customer
metadata: {name: acme}
spec: {}
---
apiVersion: tidegate.dev/v1alpha1
kind: EventSubscription
metadata: {name: invoicing}
spec: {eventTypeRef: {name: orders}, customerRef: {name: acme}, sink: {uri: 'https://sink.example'}}
";
