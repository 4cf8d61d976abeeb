//! The entries that say how requests are received: gateway, event types, routes, customers.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Sensitive;
use super::network::Network;
use crate::api::{AppEventTypeSpec, GlobalWebhook, KeySource, OnInvalid, Subscription, Webhook};
use crate::event::ObjectName;

/// What one EventGateway says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GatewayEntry {
    /// The base of every webhook URI, exactly as written: signatures are computed over it.
    pub public_url: String,
    /// Requests a second over all URIs; more are answered 429. `None`: no limit.
    pub requests_per_second: Option<u32>,
    /// Connections open at the same time.
    pub connections: u32,
    /// Percent of the log that one subscription's undelivered events may hold.
    pub undelivered_share: u8,
    /// How long delivered events are kept for replays.
    pub replay_retention: Duration,
    /// From which addresses forwarding headers are believed.
    pub trusted_proxies: Vec<Network>,
}

/// One AppEventType: everything a request to one of its URIs is judged by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventTypeEntry {
    /// The AppEventType.
    pub name: ObjectName,
    /// CloudEvents `type`, where the type's `events.type` says nothing else.
    pub event_type: String,
    /// How a request is read and trusted.
    pub webhook: Webhook,
    /// How the global webhook names customers; `None`: no global webhook.
    pub global_webhook: Option<GlobalWebhook>,
    /// Which URIs registrations at the app give it.
    pub registrations: Registrations,
    /// The schema of events that no variant claims, as JSON text; `None`: anything is valid.
    pub schema: Option<String>,
    /// What happens to an event that is not valid.
    pub on_invalid: OnInvalid,
    /// The variants, in the order they are tried.
    pub variants: Vec<VariantEntry>,
    /// The keys that authentication names, each with its value. A key without one is missing: what
    /// depends on it is answered 503.
    pub keys: Vec<KeyEntry>,
    /// The namespaces whose Customers its events may be for.
    pub customer_namespaces: Vec<String>,
}

impl EventTypeEntry {
    /// The value of a key; `None` where it is missing.
    pub fn key(&self, source: &KeySource) -> Option<&Sensitive> {
        self.keys
            .iter()
            .find(|key| key.source == *source)?
            .value
            .as_ref()
    }
}

/// Which registrations at the app an AppEventType has, as far as requests to their URIs need to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registrations {
    /// One for each customer (`spec.subscription`).
    pub per_customer: bool,
    /// One for the global webhook (`globalWebhook.registration`).
    pub global: bool,
    /// Whether one of them has a signing secret, wherever it is from.
    pub signing_secret: bool,
    /// Whether one of them has it from a handshake (`signingSecret.fromHandshake`).
    pub from_handshake: bool,
}

impl Registrations {
    /// Those that a type declares.
    #[must_use]
    pub fn of(spec: &AppEventTypeSpec) -> Self {
        let per_customer = spec.subscription.as_ref();
        let global = spec.global_webhook.as_ref();
        let global = global.and_then(|global| global.registration.as_deref());
        let any = |has: fn(&Subscription) -> bool| {
            per_customer.is_some_and(has) || global.is_some_and(has)
        };
        Self {
            per_customer: per_customer.is_some(),
            global: global.is_some(),
            signing_secret: any(|subscription| {
                let mut steps = subscription.prepare.iter().chain(&subscription.follow_ups);
                subscription.signing_secret.is_some()
                    || steps.any(|step| step.response.signing_secret.is_some())
            }),
            from_handshake: any(|subscription| {
                let secret = subscription.signing_secret.as_ref();
                secret.is_some_and(|secret| secret.from_handshake.is_some())
            }),
        }
    }

    /// Whether there are any.
    #[must_use]
    pub const fn exist(self) -> bool {
        self.per_customer || self.global
    }
}

/// One variant of an AppEventType.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VariantEntry {
    /// CEL over `event`.
    pub when: String,
    /// Its schema, as JSON text; `None`: anything is valid.
    pub schema: Option<String>,
    /// What happens to an event of this variant that is not valid.
    pub on_invalid: OnInvalid,
}

/// One key of an AppEventType.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyEntry {
    /// How the type names it.
    pub source: KeySource,
    /// Its bytes, never empty; `None` where it is missing.
    pub value: Option<Sensitive>,
}

/// One webhook URI.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteEntry {
    /// The path below the public URL: `/<namespace>/<path>` or `/h/<token>`.
    pub path: String,
    /// The AppEventType it belongs to. One that has no entry was never good: answered 503.
    pub event_type: ObjectName,
}

/// One Customer, as far as requests need to know it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CustomerEntry {
    /// The Customer object.
    pub name: ObjectName,
    /// `spec.id`, unique in its namespace.
    pub id: String,
    /// When it came to be: where two claim the same field value, the older has it.
    pub since: Timestamp,
    /// Those of its fields that some `customerField` names, as text; none of them sensitive.
    pub fields: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_says_which_registrations_it_has_and_where_secrets_are_from() {
        let check = |fields: &str, expected: [bool; 4]| {
            let spec = format!("{{webhook: {{authentication: [{{none: {{}}}}]}}, {fields}}}");
            let spec: AppEventTypeSpec = serde_saphyr::from_str(&spec).unwrap();
            let Registrations {
                per_customer,
                global,
                signing_secret,
                from_handshake,
            } = Registrations::of(&spec);
            let found = [per_customer, global, signing_secret, from_handshake];
            assert_eq!(found, expected, "{fields}");
        };
        let request = "request: {url: 'https://a.example/hooks'}";
        check("globalWebhook: {}", [false; 4]);
        check(
            &format!("subscription: {{{request}}}"),
            [true, false, false, false],
        );
        check(
            &format!("subscription: {{{request}, signingSecret: {{fromHandshake: {{}}}}}}"),
            [true, false, true, true],
        );
        check(
            &format!(
                "globalWebhook: {{registration: {{{request}, signingSecret: {{generate: {{}}}}}}}}"
            ),
            [false, true, true, false],
        );
        for steps in ["prepare", "followUps"] {
            check(
                &format!(
                    "subscription: {{{request}, {steps}: [{{name: s, {request}, response: {{signingSecret: response.body.s}}}}]}}"
                ),
                [true, false, true, false],
            );
        }
    }
}
