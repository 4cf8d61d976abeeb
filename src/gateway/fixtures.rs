//! What the gateway's tests share: a configuration, and a store that can be told to fail.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::bounds::Bounds;
use super::deduplication::Deduplication;
use super::ingest::Ingest;
use super::places::Places;
use super::snapshot::Snapshot;
use super::store::{Store, StoreError};
use crate::api::LifecycleAction;
use crate::configuration::{
    CaptureAnswer, Captured, Configuration, CustomerEntry, EventTypeEntry, LiveRegistration,
    NoReports, NotStored, RegistrationCustomer, RegistrationEntry, RegistrationState,
    Registrations, Reports, RouteEntry, Sensitive,
};
use crate::event::{CustomerKey, DeadLetter, Event, ObjectName};

/// The key of tokens in tests.
pub const TOKEN_KEY: &str = "the key of the tokens";

/// Keeps everything in memory; can be told to wait and to fail.
pub struct Memory {
    pub events: Mutex<Vec<Event>>,
    pub letters: Mutex<Vec<DeadLetter>>,
    pub failing: Mutex<Option<StoreError>>,
    pub letters_failing: Mutex<Option<StoreError>>,
    /// Every append takes one permit.
    pub gate: Semaphore,
    pub appends: AtomicU32,
}

impl Memory {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            events: Mutex::default(),
            letters: Mutex::default(),
            failing: Mutex::default(),
            letters_failing: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS / 2),
            appends: AtomicU32::new(0),
        })
    }

    pub fn stored(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        events
            .iter()
            .map(|event| event.attributes.id.clone())
            .collect()
    }

    pub fn fail(&self, error: Option<StoreError>) {
        *self.failing.lock().unwrap() = error;
    }
}

impl Store for Memory {
    fn append(&self, events: Vec<Event>) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            self.appends.fetch_add(1, Ordering::SeqCst);
            self.gate.acquire().await.unwrap().forget();
            match *self.failing.lock().unwrap() {
                Some(error) => return Err(error),
                None => self.events.lock().unwrap().extend(events),
            }
            Ok(())
        }
        .boxed()
    }

    fn keep(&self, letters: Vec<DeadLetter>) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            match *self.letters_failing.lock().unwrap() {
                Some(error) => return Err(error),
                None => self.letters.lock().unwrap().extend(letters),
            }
            Ok(())
        }
        .boxed()
    }

    fn trouble(&self) -> Option<StoreError> {
        *self.failing.lock().unwrap()
    }
}

/// Keeps what it is told; can be told to wait and to answer otherwise.
#[derive(Default)]
pub struct Told {
    /// The first secret captured for each registration.
    pub captured: Mutex<HashMap<(ObjectName, u32), Captured>>,
    pub notices: Mutex<Vec<(ObjectName, u32, LifecycleAction)>>,
    pub received: Mutex<Vec<(ObjectName, u32)>>,
    /// What captures are answered with, instead of what `captured` says.
    pub answer: Mutex<Option<CaptureAnswer>>,
    pub failing: AtomicBool,
    /// Nothing is ever answered.
    pub stuck: AtomicBool,
}

impl Told {
    async fn wait(&self) {
        tokio::task::yield_now().await;
        if self.stuck.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }
}

impl Reports for Told {
    fn captured<'a>(
        &'a self,
        subscription: &'a ObjectName,
        number: u32,
        captured: Captured,
    ) -> BoxFuture<'a, CaptureAnswer> {
        async move {
            self.wait().await;
            if let Some(answer) = *self.answer.lock().unwrap() {
                return answer;
            }
            let mut all = self.captured.lock().unwrap();
            let first = all
                .entry((subscription.clone(), number))
                .or_insert_with(|| captured.clone());
            match *first == captured {
                true => CaptureAnswer::Taken,
                false => CaptureAnswer::Refused,
            }
        }
        .boxed()
    }

    fn noticed<'a>(
        &'a self,
        subscription: &'a ObjectName,
        number: u32,
        action: LifecycleAction,
    ) -> BoxFuture<'a, Result<(), NotStored>> {
        async move {
            self.wait().await;
            if self.failing.load(Ordering::SeqCst) {
                return Err(NotStored);
            }
            let mut notices = self.notices.lock().unwrap();
            notices.push((subscription.clone(), number, action));
            Ok(())
        }
        .boxed()
    }

    fn received(&self, subscription: &ObjectName, number: u32, _: Timestamp) {
        let mut received = self.received.lock().unwrap();
        received.push((subscription.clone(), number));
    }
}

/// The registration of a customer with a type of namespace `shop`, at `path`; its secret is
/// `<customer>-<number>`.
pub fn registration(
    event_type: &str,
    customer: &str,
    number: u32,
    path: &str,
) -> RegistrationEntry {
    RegistrationEntry {
        subscription: ObjectName::new("shop", format!("{event_type}-{customer}")),
        number,
        path: path.to_owned(),
        event_type: ObjectName::new("shop", event_type),
        state: RegistrationState::Live(Box::new(LiveRegistration {
            customer: Some(RegistrationCustomer {
                key: CustomerKey {
                    namespace: "shop".into(),
                    id: customer.to_owned(),
                },
                fields: BTreeMap::new(),
                keys: BTreeMap::new(),
            }),
            id: Some(format!("wh-{number}")),
            values: BTreeMap::new(),
            signing_secret: Some(Sensitive::from(format!("{customer}-{number}").as_str())),
            capture_open: false,
        })),
    }
}

/// A handler over a store, without a configuration yet; nobody provisions.
pub fn ingest(store: Arc<dyn Store>, bounds: &Bounds) -> Arc<Ingest> {
    ingest_for(store, Arc::new(NoReports), bounds)
}

/// A handler over a store that tells `reports`, without a configuration yet.
pub fn ingest_for(
    store: Arc<dyn Store>,
    reports: Arc<dyn Reports>,
    bounds: &Bounds,
) -> Arc<Ingest> {
    super::ingest(
        store,
        Deduplication::new(10_000),
        Sensitive::from(TOKEN_KEY),
        reports,
        bounds,
        &Places::new(bounds.connections),
        &mut Registry::default(),
    )
}

/// Takes a configuration into use.
pub fn apply(ingest: &Ingest, configuration: &Configuration) {
    let (snapshot, refused) = Snapshot::build(None, configuration);
    assert!(refused.is_empty(), "{refused:?}");
    ingest.snapshot.store(Some(Arc::new(snapshot)));
}

/// A type named `shop/<name>`; `webhook` and `fields` are what a test is about.
pub fn event_type(name: &str, webhook: Value, fields: Value) -> Arc<EventTypeEntry> {
    let mut entry = json!({
        "name": {"namespace": "shop", "name": name},
        "event_type": name,
        "webhook": webhook,
        "global_webhook": {},
        "registrations": Registrations::default(),
        "schema": null,
        "on_invalid": "DeadLetter",
        "variants": [],
        "keys": [],
        "customer_namespaces": ["shop"],
    });
    for (field, value) in fields.as_object().unwrap() {
        entry[field] = value.clone();
    }
    Arc::new(serde_json::from_value(entry).unwrap())
}

/// Each type at `/shop/<name>`; a customer `acme`.
pub fn configuration(event_types: Vec<Arc<EventTypeEntry>>) -> Configuration {
    let routes = event_types.iter().map(|entry| RouteEntry {
        path: format!("/shop/{}", entry.name.name),
        event_type: entry.name.clone(),
    });
    Configuration {
        gateway: serde_json::from_value(json!({
            "public_url": "https://hooks.example.com",
            "requests_per_second": null,
            "connections": 10_000,
            "undelivered_share": 20,
            "replay_retention": {"secs": 3600, "nanos": 0},
            "trusted_proxies": ["10.0.0.0/8"],
        }))
        .unwrap(),
        routes: routes.map(Arc::new).collect(),
        event_types,
        customers: vec![Arc::new(CustomerEntry {
            name: ObjectName::new("shop", "acme"),
            id: "acme".into(),
            since: Timestamp::UNIX_EPOCH,
            fields: Default::default(),
        })],
        subscriptions: Vec::new(),
    }
}

/// Authentication that accepts everything.
pub fn open() -> Value {
    json!([{"none": {}}])
}
