//! Configurations as the controller compiles them, small and by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tidegate::configuration::{
    Configuration, Customers, DeliverySettings, EventTypeEntry, Format, GatewayEntry, Header,
    LiveRegistration, Ordering, RegistrationChange, RegistrationCustomer, RegistrationEntry,
    RegistrationState, Registrations, RouteEntry, Sensitive, Sink, SubscriptionEntry, Tls,
};
use tidegate::event::{CustomerKey, ObjectName};

/// The key that requests to `/shop/…` are signed with.
pub const KEY: &str = r#"hm>?"ac\/&=%+-key-1"#;

/// What a sink is sent in a header.
pub const SINK_HEADER: &str = r#"sink>?~header"\/&=%+-7"#;

pub fn name(name: &str) -> ObjectName {
    ObjectName::new("shop", name)
}

/// The event type `orders`, for requests that are signed with [`KEY`], and the type `crm`, whose
/// registrations have secrets that handshakes bring; no route and no subscription.
pub fn configuration() -> Configuration {
    Configuration {
        gateway: GatewayEntry {
            public_url: "https://hooks.example.com".into(),
            requests_per_second: None,
            connections: 1_000,
            undelivered_share: 20,
            replay_retention: Duration::from_secs(3_600),
            trusted_proxies: Vec::new(),
        },
        event_types: vec![orders("item.id"), crm()],
        routes: Vec::new(),
        customers: Vec::new(),
        subscriptions: Vec::new(),
    }
}

/// The same with a route and a subscription that delivers to `sink`.
pub fn delivering(sink: &str) -> Configuration {
    Configuration {
        routes: vec![route("/shop/orders")],
        subscriptions: vec![subscription("invoicing", sink)],
        ..configuration()
    }
}

/// The type `orders` with an expression for ids.
pub fn orders(id: &str) -> Arc<EventTypeEntry> {
    let key = json!({"secretKeyRef": {"name": "shop", "key": "webhook"}});
    let entry = json!({
        "name": name("orders"),
        "event_type": "com.example.order",
        "webhook": {
            "authentication": [{"hmac": {
                "keys": [key],
                "signature": "request.headers['x-signature']",
            }}],
            "events": {"id": id},
        },
        "global_webhook": {},
        "registrations": Registrations::default(),
        "schema": null,
        "on_invalid": "Reject",
        "variants": [],
        "keys": [{"source": key, "value": KEY.as_bytes()}],
        "customer_namespaces": ["shop"],
    });
    Arc::new(serde_json::from_value(entry).unwrap())
}

fn crm() -> Arc<EventTypeEntry> {
    let entry = json!({
        "name": name("crm"),
        "event_type": "com.example.contact",
        "webhook": {
            "authentication": [{"hmac": {
                "keys": [{"signingSecret": {}}],
                "signature": "request.headers['x-signature']",
            }}],
            "handshakes": [{
                "when": "'x-hook-secret' in request.headers",
                "authentication": [{"none": {}}],
                "respond": {"headers": {"x-hook-secret": "$(request.headers['x-hook-secret'])"}},
                "capture": {"signingSecret": "request.headers['x-hook-secret']"},
            }],
            "events": {"id": "item.id"},
            "lifecycle": [{"when": "'gone' in item", "action": "Gone"}],
        },
        "global_webhook": null,
        "registrations": Registrations {
            per_customer: true,
            global: false,
            signing_secret: true,
            from_handshake: true,
        },
        "schema": null,
        "on_invalid": "Reject",
        "variants": [],
        "keys": [],
        "customer_namespaces": ["shop"],
    });
    Arc::new(serde_json::from_value(entry).unwrap())
}

pub fn route(path: &str) -> Arc<RouteEntry> {
    Arc::new(RouteEntry {
        path: path.into(),
        event_type: name("orders"),
    })
}

pub fn subscription(of: &str, sink: &str) -> Arc<SubscriptionEntry> {
    Arc::new(SubscriptionEntry {
        name: name(of),
        uid: format!("uid of {of}"),
        event_type: name("orders"),
        customers: Customers::All,
        filter: None,
        sink: Sink {
            uri: sink.into(),
            may_be_private: true,
            format: Format::Binary,
            headers: vec![Header {
                name: "x-secret".into(),
                value: Sensitive::from(SINK_HEADER),
            }],
            signing: None,
            tls: Tls::default(),
        },
        delivery: DeliverySettings {
            timeout: Duration::from_secs(15),
            backoff_initial: Duration::from_millis(50),
            backoff_max: Duration::from_millis(500),
            max_attempts: 0,
            max_age: Duration::from_secs(86_400),
            max_in_flight: 16,
            ordering: Ordering::None,
        },
        suspend: false,
        held: None,
    })
}

/// The registration's URI.
pub fn path(number: u32) -> String {
    format!("/h/a-token/{number}")
}

/// A registration of the type `crm`; without a secret a handshake may bring one.
pub fn registration(number: u32, secret: Option<&str>) -> RegistrationChange {
    entry(number, secret, secret.is_none())
}

/// One whose secret a handshake has brought, while it is still being made: the same may come again.
pub fn captured(number: u32, secret: &str) -> RegistrationChange {
    entry(number, Some(secret), true)
}

fn entry(number: u32, secret: Option<&str>, capture_open: bool) -> RegistrationChange {
    RegistrationChange::Set(RegistrationEntry {
        subscription: name("crm-acme"),
        number,
        path: path(number),
        event_type: name("crm"),
        state: RegistrationState::Live(Box::new(LiveRegistration {
            customer: Some(RegistrationCustomer {
                key: CustomerKey {
                    namespace: "shop".into(),
                    id: "acme".into(),
                },
                fields: BTreeMap::new(),
                keys: BTreeMap::new(),
            }),
            id: None,
            values: BTreeMap::new(),
            signing_secret: secret.map(Sensitive::from),
            capture_open,
        })),
    })
}
