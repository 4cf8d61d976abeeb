//! A gateway on a socket over a real event log, with types that can be got wrong in every way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::hmac;
use prometheus_client::registry::Registry;
use serde_json::json;
use tempfile::TempDir;
use tidegate::configuration::{
    Configuration, NoReports, RegistrationChange, Registrations, Reports, RouteEntry, Sensitive,
    SubscriptionEntry,
};
use tidegate::delivery::dead_letters::{self, DeadLetters};
use tidegate::delivery::{self, Delivery, StateError, UnusableSink};
use tidegate::event::ObjectName;
use tidegate::event_log::{self, EventLog, FileStorage};
use tidegate::gateway::{Bounds, Gateway, Parts, token};
use tokio::net::TcpSocket;

use super::wire::{Connection, Request};
use crate::support::eventually;

const KEY: &[u8] = b"the key of the app";
const TOKEN_KEY: &str = "the key of the tokens";

/// A gateway that is running.
pub struct Server {
    gateway: Gateway,
    log: EventLog,
    dead_letters: DeadLetters,
    delivery: Delivery,
    bounds: Bounds,
    folder: TempDir,
}

/// The signature that the type `signed` wants.
pub fn signature(body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, KEY);
    format!("sha256={}", hex::encode(hmac::sign(&key, body)))
}

/// The signature that the type `timed` wants.
pub fn signed_at(time: &str, body: &[u8]) -> String {
    signature(&[time.as_bytes(), b".", body].concat())
}

impl Server {
    pub async fn start(bounds: Bounds) -> Self {
        Self::start_for(bounds, Arc::new(NoReports)).await
    }

    /// Starts with somebody who is told what comes in for registrations.
    pub async fn start_for(bounds: Bounds, reports: Arc<dyn Reports>) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), bounds, reports).await
    }

    async fn start_in(folder: TempDir, bounds: Bounds, reports: Arc<dyn Reports>) -> Self {
        let storage = |name: &str| FileStorage::new(folder.path().join(name));
        let (log, _) =
            EventLog::open(storage("log"), event_log::Options::for_capacity(64 << 20)).unwrap();
        let (dead_letters, _) = DeadLetters::open(
            storage("dead-letters"),
            dead_letters::Options::for_storage(64 << 20),
            jiff::Timestamp::now(),
        )
        .unwrap();
        let mut registry = Registry::with_prefix("tidegate");
        let parts = || {
            let (clock, random) = delivery::Parts::system();
            delivery::Parts {
                log: log.clone(),
                state: folder.path().join("state"),
                dead_letters: Arc::new(dead_letters.clone()),
                build_sender: Arc::new(|_: &SubscriptionEntry| {
                    Err(UnusableSink("there are no sinks in this test".into()))
                }),
                settings: delivery::Settings {
                    undelivered_share: 20,
                    replay_retention: Duration::from_secs(3_600),
                },
                clock,
                random,
            }
        };
        let mut delivery = None;
        eventually("the threads of the one before have ended", async || {
            match Delivery::open(parts(), &mut registry) {
                Ok(opened) => delivery = Some(opened),
                Err(StateError::Locked(_)) => {}
                Err(error) => panic!("{error}"),
            }
            delivery.is_some()
        })
        .await;
        let delivery = delivery.unwrap();
        let configuration = configuration();
        delivery.apply(&configuration.subscriptions).await.unwrap();
        let gateway = Gateway::start(Parts {
            listen: "127.0.0.1:0".parse().unwrap(),
            probes: None,
            admin: "127.0.0.1:0".parse().unwrap(),
            bounds: bounds.clone(),
            token_key: Sensitive::from(TOKEN_KEY),
            reports,
            log: log.clone(),
            dead_letters: dead_letters.clone(),
            delivery: delivery.clone(),
            registry,
            beside_probes: axum::Router::new(),
        })
        .await
        .unwrap();
        let refused = gateway.apply(&configuration);
        assert!(refused.is_empty(), "{refused:?}");
        Self {
            gateway,
            log,
            dead_letters,
            delivery,
            bounds,
            folder,
        }
    }

    pub fn register(&self, changes: Vec<RegistrationChange>) {
        self.gateway.set_registrations(changes);
    }

    pub fn address(&self) -> SocketAddr {
        self.gateway.public_address()
    }

    pub fn admin_address(&self) -> SocketAddr {
        self.gateway.admin_address()
    }

    pub async fn connect(&self) -> Connection {
        Connection::open(self.address()).await
    }

    /// Connects from another address of this machine.
    pub async fn connect_from(&self, address: [u8; 4]) -> Connection {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((address, 0).into()).unwrap();
        Connection::new(socket.connect(self.address()).await.unwrap())
    }

    /// A request that is right in everything, with an id of its own.
    pub fn good(&self) -> Request {
        good()
    }

    /// A token of this gateway.
    pub fn token(&self, purpose: &str) -> String {
        token::issue(&Sensitive::from(TOKEN_KEY), purpose)
    }

    /// Ends in an orderly way; nothing panicked meanwhile.
    pub async fn end(self) {
        self.stop().await;
    }

    /// Ends, and starts again over the same folder.
    pub async fn restart(self) -> Self {
        let bounds = self.bounds.clone();
        let folder = self.stop().await;
        Self::start_in(folder, bounds, Arc::new(NoReports)).await
    }

    async fn stop(self) -> TempDir {
        let mut admin = Connection::open(self.admin_address()).await;
        let metrics = admin
            .response_to(&Request::new("GET", "/metrics"))
            .await
            .unwrap()
            .body;
        assert!(
            !metrics.contains("outcome=\"failed\""),
            "something panicked: {metrics}"
        );
        drop(admin);
        let Self {
            gateway,
            log,
            dead_letters,
            delivery,
            bounds: _,
            folder,
        } = self;
        gateway.drain().await;
        delivery.drain(Duration::from_secs(120)).await;
        drop(gateway);
        drop(delivery);
        log.close().await;
        dead_letters.close().await;
        folder
    }
}

/// A request that is right in everything, with an id of its own.
pub fn good() -> Request {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let body = json!({"id": format!("good-{number}")})
        .to_string()
        .into_bytes();
    Request::post("/shop/signed")
        .header("x-signature", &signature(&body))
        .body(body)
}

fn configuration() -> Configuration {
    let key = json!({"secretKeyRef": {"name": "shop", "key": "webhook"}});
    let hmac =
        json!({"keys": [key], "signature": "request.headers['x-signature']", "prefix": "sha256="});
    let mut timed = hmac.clone();
    timed["message"] = json!("$(request.headers['x-timestamp']).$(request.rawBody)");
    timed["timestamp"] =
        json!({"value": "request.headers['x-timestamp']", "format": "Seconds", "tolerance": "5m"});
    let token = json!([{"token": {"value": "request.headers['x-token']", "keys": [key]}}]);
    let by_id = json!({"id": "item.id"});
    let types = [
        (
            "signed",
            json!({"authentication": [{"hmac": hmac}], "events": by_id, "maxBodyBytes": 1 << 20}),
            json!(KEY),
        ),
        (
            "timed",
            json!({"authentication": [{"hmac": timed}]}),
            json!(KEY),
        ),
        (
            "posted",
            json!({"authentication": token, "methods": ["POST"]}),
            json!(KEY),
        ),
        ("empty-key", json!({"authentication": token}), json!(null)),
        ("registered", registered(), json!(null)),
    ];
    let entries = types.map(|(name, webhook, value)| {
        let entry = json!({
            "name": {"namespace": "shop", "name": name},
            "event_type": name,
            "webhook": webhook,
            "global_webhook": {},
            "registrations": Registrations {
                per_customer: name == "registered",
                signing_secret: name == "registered",
                from_handshake: name == "registered",
                global: false,
            },
            "schema": json!({"type": "object", "required": ["id"]}).to_string(),
            "on_invalid": "Reject",
            "variants": [],
            "keys": [{"source": key, "value": value}],
            "customer_namespaces": ["shop"],
        });
        Arc::new(serde_json::from_value(entry).unwrap())
    });
    Configuration {
        gateway: serde_json::from_value(json!({
            "public_url": "https://hooks.example.com",
            "requests_per_second": null,
            "connections": 10_000,
            "undelivered_share": 20,
            "replay_retention": {"secs": 3600, "nanos": 0},
            "trusted_proxies": [],
        }))
        .unwrap(),
        routes: types_routes(),
        event_types: entries.into(),
        customers: Vec::new(),
        subscriptions: Vec::new(),
    }
}

/// Whose requests the secrets of registrations sign, which handshakes bring.
fn registered() -> serde_json::Value {
    json!({
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
    })
}

fn types_routes() -> Vec<Arc<RouteEntry>> {
    let route = |name: &str| {
        Arc::new(RouteEntry {
            path: format!("/shop/{name}"),
            event_type: ObjectName::new("shop", name),
        })
    };
    ["signed", "timed", "posted", "empty-key"].map(route).into()
}
