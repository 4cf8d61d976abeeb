//! Small entries, told apart by a number.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use crate::configuration::stream::Members;
use crate::configuration::stream::{Frame, Held, Hello, Served, StreamError, Taken};
use crate::configuration::stream::{Hashes, PROTOCOL_VERSION, Published, Welcome};
use crate::configuration::{
    Configuration, CustomerEntry, Customers, DeliverySettings, EventTypeEntry, Format,
    GatewayEntry, Header, LiveRegistration, Ordering, RegistrationEntry, RegistrationState,
    RouteEntry, Sensitive, Sink, SubscriptionEntry, Tls,
};
use crate::event::ObjectName;

pub fn name(number: u8) -> ObjectName {
    ObjectName::new("shop", format!("object-{number}"))
}

pub fn gateway(version: u8) -> GatewayEntry {
    GatewayEntry {
        public_url: "https://hooks.example.com".into(),
        requests_per_second: Some(u32::from(version)),
        connections: 100,
        undelivered_share: 20,
        replay_retention: Duration::from_millis(1_500),
        trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
    }
}

pub fn event_type(number: u8, version: u8) -> Arc<EventTypeEntry> {
    let source = json!({"secretKeyRef": {"name": "shop", "key": "webhook"}});
    let entry = json!({
        "name": name(number),
        "event_type": format!("com.example.{version}"),
        "webhook": {"authentication": [{"token": {"keys": [source]}}]},
        "global_webhook": {},
        "registrations": {
            "per_customer": true, "global": false, "signing_secret": true, "from_handshake": false,
        },
        "schema": "{\"type\":\"object\"}",
        "on_invalid": "Reject",
        "variants": [],
        "keys": [{"source": source, "value": [104, 117, 110, 116, 101, 114, version]}],
        "customer_namespaces": ["shop"],
    });
    Arc::new(serde_json::from_value(entry).unwrap())
}

pub fn route(number: u32, version: u8) -> Arc<RouteEntry> {
    Arc::new(RouteEntry {
        path: format!("/shop/{number}"),
        event_type: name(version),
    })
}

pub fn customer(number: u8, version: u8) -> Arc<CustomerEntry> {
    Arc::new(CustomerEntry {
        name: name(number),
        id: format!("customer-{version}"),
        since: Timestamp::UNIX_EPOCH,
        fields: BTreeMap::from([("portalId".into(), version.to_string())]),
    })
}

pub fn subscription(number: u8, version: u8) -> Arc<SubscriptionEntry> {
    Arc::new(SubscriptionEntry {
        name: name(number),
        uid: format!("uid-{number}"),
        event_type: name(0),
        customers: Customers::All,
        filter: None,
        sink: Sink {
            uri: format!("https://sink.example/{version}"),
            may_be_private: false,
            format: Format::Binary,
            headers: vec![Header {
                name: "authorization".into(),
                value: Sensitive::from("Bearer hunter2"),
            }],
            signing: None,
            tls: Tls::default(),
        },
        delivery: DeliverySettings {
            timeout: Duration::from_secs(15),
            backoff_initial: Duration::from_secs(1),
            backoff_max: Duration::from_secs(600),
            max_attempts: 0,
            max_age: Duration::from_secs(86_400),
            max_in_flight: 16,
            ordering: Ordering::None,
        },
        suspend: false,
        held: None,
    })
}

pub fn registration(number: u8, version: u8) -> RegistrationEntry {
    let state = match version {
        0 => RegistrationState::Removed,
        _ => RegistrationState::Live(Box::new(LiveRegistration {
            customer: None,
            id: Some(version.to_string()),
            values: BTreeMap::from([("resource".into(), json!({"b": 1, "a": [1.5, null]}))]),
            signing_secret: Some(Sensitive::new([version])),
            capture_open: false,
        })),
    };
    RegistrationEntry {
        subscription: name(number),
        number: 1,
        path: format!("/h/token-{number}/1"),
        event_type: name(0),
        state,
    }
}

pub fn served(configuration: Configuration) -> Served {
    Served {
        configuration: Arc::new(configuration),
        token_key: Sensitive::from("the key"),
        members: Arc::new(Members {
            addresses: Vec::new(),
        }),
        partings: Arc::default(),
        log_capacity: 1 << 30,
    }
}

pub fn empty() -> Configuration {
    Configuration {
        gateway: gateway(0),
        event_types: Vec::new(),
        routes: Vec::new(),
        customers: Vec::new(),
        subscriptions: Vec::new(),
    }
}

/// A stream begins: what the pod says, and the lines that it is sent for it.
pub fn connect(held: &mut Held, published: &Published) -> Result<Vec<bytes::Bytes>, StreamError> {
    let hello = Hello {
        version: PROTOCOL_VERSION,
        gateway: "shop/default".into(),
        pod: "pod-0".into(),
        revision: held.revision(),
        hashes: Hashes(held.hashes()),
    };
    let hello = serde_json::to_vec(&hello).unwrap();
    let hello: Hello = serde_json::from_slice(&hello).unwrap();
    held.welcome(&Welcome {
        version: PROTOCOL_VERSION,
        session: "session".into(),
        epoch: published.revision().epoch,
    })?;
    Ok(published.resume(&hello.hashes.0).lines().collect())
}

/// Takes lines; what the last revision among them changed.
pub fn take(held: &mut Held, lines: &[bytes::Bytes]) -> Result<Option<Taken>, StreamError> {
    let mut last = None;
    for line in lines {
        let frame = Frame::read(line.strip_suffix(b"\n").unwrap()).unwrap();
        if let Some(taken) = held.take(frame)? {
            last = Some(taken);
        }
    }
    Ok(last)
}
