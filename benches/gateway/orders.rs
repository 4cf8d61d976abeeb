//! The app of the benchmarks: orders of 1 KiB for fifty customers, signed with HMAC, checked
//! against a schema, recognised by their ids.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::hmac;
use jiff::Timestamp;
use serde_json::json;
use tidegate::configuration::{
    Configuration, CustomerEntry, EventTypeEntry, GatewayEntry, Registrations, RouteEntry,
};
use tidegate::event::ObjectName;

/// Bytes of one event.
pub const EVENT_BYTES: usize = 1024;

const KEY: &[u8] = b"a key that only the app and the gateway know";
const CUSTOMERS: u64 = 50;
const NAMESPACE: &str = "shop";

/// What an order must look like.
pub const SCHEMA: &str = r#"{
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["id", "account", "currency", "total", "placedAt", "items"],
    "properties": {
        "id": {"type": "string", "minLength": 1, "maxLength": 64},
        "account": {"type": "string"},
        "currency": {"enum": ["EUR", "USD", "GBP"]},
        "total": {"type": "number", "minimum": 0},
        "placedAt": {"type": "string", "format": "date-time"},
        "email": {"type": "string", "format": "email"},
        "items": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["sku", "quantity", "price"],
                "properties": {
                    "sku": {"type": "string", "pattern": "^SKU-[0-9]{5}$"},
                    "name": {"type": "string"},
                    "quantity": {"type": "integer", "minimum": 1},
                    "price": {"type": "number"}
                }
            }
        },
        "note": {"type": "string", "maxLength": 1000}
    }
}"#;

/// Never the same order twice, in all rounds of a run.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Where an order's id stands: behind `{"id":"`.
const ID_AT: usize = 7;
const ID_DIGITS: usize = 16;

/// The number of the next order.
pub fn next_number() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// An order of exactly [`EVENT_BYTES`].
pub fn order(number: u64) -> Vec<u8> {
    let account = format!("acct-{:02}", number % CUSTOMERS);
    let item = r#"{"sku":"SKU-00417","name":"A thing of some use","quantity":2,"price":12.5}"#;
    let mut text = format!(
        r#"{{"id":"{number:016x}","account":"{account}","currency":"EUR","total":62.5,"placedAt":"2026-01-02T03:04:05Z","email":"jo@example.com","items":[{item},{item},{item},{item},{item}],"note":""#
    );
    while text.len() < EVENT_BYTES - 2 {
        text.push('x');
    }
    text.push_str("\"}");
    text.into_bytes()
}

/// Requests of one connection: made once, then only numbered and signed again.
pub struct Requests {
    bytes: Vec<u8>,
    path_at: usize,
    path_length: usize,
    signature_at: usize,
    body_at: usize,
    events: usize,
    key: hmac::Key,
}

impl Requests {
    /// Requests of so many events to paths as long as `path`; one event is the body, several are
    /// an array.
    pub fn new(path: &str, events: usize) -> Self {
        let orders: Vec<Vec<u8>> = (0..events).map(|_| order(next_number())).collect();
        let body = match &*orders {
            [order] => order.clone(),
            orders => [b"[", &*orders.join(&b","[..]), b"]"].concat(),
        };
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: hooks.example.com\r\nuser-agent: shop/1.0\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nx-signature: sha256={}\r\n\r\n",
            body.len(),
            "0".repeat(64),
        );
        Self {
            path_at: "POST ".len(),
            path_length: path.len(),
            signature_at: head.len() - 4 - 64,
            body_at: head.len(),
            bytes: [head.into_bytes(), body].concat(),
            events,
            key: hmac::Key::new(hmac::HMAC_SHA256, KEY),
        }
    }

    /// The next request, to `path`.
    pub fn next(&mut self, path: &str) -> &[u8] {
        assert_eq!(path.len(), self.path_length);
        self.bytes[self.path_at..][..self.path_length].copy_from_slice(path.as_bytes());
        let first = self.body_at + usize::from(self.events > 1);
        for event in 0..self.events {
            let at = first + event * (EVENT_BYTES + 1) + ID_AT;
            let digits = format!("{:016x}", next_number());
            self.bytes[at..at + ID_DIGITS].copy_from_slice(digits.as_bytes());
        }
        let tag = hmac::sign(&self.key, &self.bytes[self.body_at..]);
        hex::encode_to_slice(tag.as_ref(), &mut self.bytes[self.signature_at..][..64])
            .expect("a tag of 32 bytes");
        &self.bytes
    }

    /// The body of the last request.
    pub fn body(&self) -> &[u8] {
        &self.bytes[self.body_at..]
    }
}

/// The name of type `number`.
pub fn type_name(number: usize) -> ObjectName {
    ObjectName::new(NAMESPACE, format!("order-placed-{number}"))
}

/// A configuration of `types` types and these routes.
pub fn configuration(types: usize, routes: Vec<Arc<RouteEntry>>) -> Configuration {
    let event_types = (0..types).map(|number| Arc::new(event_type(&type_name(number))));
    let customers = (0..CUSTOMERS).map(|number| {
        let id = format!("acct-{number:02}");
        Arc::new(CustomerEntry {
            name: ObjectName::new(NAMESPACE, &id),
            id,
            since: Timestamp::UNIX_EPOCH,
            fields: Default::default(),
        })
    });
    Configuration {
        gateway: GatewayEntry {
            public_url: "https://hooks.example.com".into(),
            requests_per_second: None,
            connections: 10_000,
            undelivered_share: 100,
            replay_retention: Duration::ZERO,
            trusted_proxies: Vec::new(),
        },
        event_types: event_types.collect(),
        routes,
        customers: customers.collect(),
        subscriptions: Vec::new(),
    }
}

/// One type at one path.
pub fn one_route(path: &str) -> Configuration {
    let route = RouteEntry {
        path: path.into(),
        event_type: type_name(0),
    };
    configuration(1, vec![Arc::new(route)])
}

fn event_type(name: &ObjectName) -> EventTypeEntry {
    let source = json!({"secretKeyRef": {"name": "shop", "key": "webhook"}});
    let entry = json!({
        "name": name,
        "event_type": "com.example.order.placed",
        "webhook": {
            "authentication": [{"hmac": {
                "keys": [source],
                "signature": "request.headers[\"x-signature\"]",
                "prefix": "sha256=",
            }}],
            "events": {"id": "item.id"},
        },
        "global_webhook": {"customer": "item.account"},
        "registrations": Registrations::default(),
        "schema": SCHEMA,
        "on_invalid": "Reject",
        "variants": [],
        "keys": [{"source": source, "value": KEY}],
        "customer_namespaces": [NAMESPACE],
    });
    serde_json::from_value(entry).expect("the entry is as the contract says")
}
