//! A log, a state store, senders that do as they are told, and a keeper of dead letters that can
//! fail.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use prometheus_client::registry::Registry;

use crate::configuration::{
    Customers, DeliverySettings, Format, Ordering, Sink, SubscriptionEntry, Tls,
};
use crate::delivery::{
    Attempt, Delivery, Failure, FailureKind, KeepDeadLetters, KeepError, Outcome, Parts, Sender,
    Settings, UnusableSink, encode,
};
use crate::event::{Attributes, CustomerKey, DeadLetter, Event, ObjectName, source};
use crate::event_log::{AppendError, EventLog, FileStorage, Options};

/// How long a test waits before it fails; never how long one takes.
const PATIENCE: Duration = Duration::from_secs(300);

pub fn settings() -> DeliverySettings {
    DeliverySettings {
        timeout: Duration::from_secs(15),
        backoff_initial: Duration::from_secs(1),
        backoff_max: Duration::from_secs(600),
        max_attempts: 0,
        max_age: Duration::from_secs(24 * 3600),
        max_in_flight: 16,
        ordering: Ordering::None,
    }
}

pub fn customer(id: &str) -> CustomerKey {
    CustomerKey {
        namespace: "shop".into(),
        id: id.into(),
    }
}

pub fn event(id: &str, of: Option<&str>) -> Event {
    let app_event_type = ObjectName::new("shop", "order-placed");
    let customer = of.map(customer);
    Event {
        attributes: Attributes {
            id: id.into(),
            source: source(&app_event_type, customer.as_ref()),
            event_type: "order-placed".into(),
            subject: of.map(Into::into),
            time: "2026-01-02T03:04:05Z".parse().unwrap(),
            data_content_type: Some("application/json".into()),
            extensions: BTreeMap::new(),
            app_event_type,
            customer,
            deduplication: None,
        },
        data: Some(Bytes::from(format!("{{\"id\": \"{id}\"}}"))),
    }
}

/// A subscription for all orders, whose sink is called by its own name.
pub fn entry(name: &str) -> SubscriptionEntry {
    SubscriptionEntry {
        name: ObjectName::new("shop", name),
        uid: format!("uid-{name}"),
        event_type: ObjectName::new("shop", "order-placed"),
        customers: Customers::All,
        filter: None,
        sink: Sink {
            uri: name.into(),
            may_be_private: false,
            format: Format::Binary,
            headers: Vec::new(),
            signing: None,
            tls: Tls::default(),
        },
        delivery: DeliverySettings {
            backoff_initial: Duration::from_millis(5),
            backoff_max: Duration::from_millis(50),
            ..settings()
        },
        suspend: false,
        held: None,
    }
}

/// What a sink does with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    Accept,
    Answer500,
    Refuse,
    Hang,
    Panic,
    /// 500 for the first so many attempts of each event.
    FailFirst(u32),
    /// Refuses events whose id begins so.
    RefuseIds(&'static str),
}

/// All sinks, by URI, and what each got.
#[derive(Default)]
pub struct Sinks {
    behaviours: Mutex<HashMap<String, Behaviour>>,
    accepted: Mutex<HashMap<String, Vec<String>>>,
    attempts: Mutex<HashMap<String, usize>>,
}

impl Sinks {
    pub fn behave(&self, uri: &str, behaviour: Behaviour) {
        self.behaviours
            .lock()
            .unwrap()
            .insert(uri.into(), behaviour);
    }

    /// Ids of the events a sink took, in that order.
    pub fn accepted(&self, uri: &str) -> Vec<String> {
        self.accepted
            .lock()
            .unwrap()
            .get(uri)
            .cloned()
            .unwrap_or_default()
    }

    pub fn attempts(&self, uri: &str) -> usize {
        self.attempts
            .lock()
            .unwrap()
            .get(uri)
            .copied()
            .unwrap_or_default()
    }

    pub fn forget(&self) {
        self.accepted.lock().unwrap().clear();
        self.attempts.lock().unwrap().clear();
    }
}

struct FakeSender {
    uri: String,
    sinks: Arc<Sinks>,
}

impl Sender for FakeSender {
    fn send<'a>(&'a self, event: &'a Event, attempt: Attempt) -> BoxFuture<'a, Outcome> {
        async move {
            let behaviour = {
                let behaviours = self.sinks.behaviours.lock().unwrap();
                let behaviour = behaviours.get(&self.uri).copied();
                behaviour.unwrap_or(Behaviour::Accept)
            };
            *self
                .sinks
                .attempts
                .lock()
                .unwrap()
                .entry(self.uri.clone())
                .or_default() += 1;
            let failure = |status| Failure {
                kind: FailureKind::Status,
                status: Some(status),
                message: format!("the sink answered {status}"),
            };
            let retry = Outcome::Retry {
                failure: failure(500),
                after: None,
            };
            let refused = Outcome::Refused {
                failure: failure(400),
            };
            match behaviour {
                Behaviour::Answer500 => return retry,
                Behaviour::FailFirst(count) if attempt.number <= count => return retry,
                Behaviour::Refuse => return refused,
                Behaviour::RefuseIds(ids) if event.attributes.id.starts_with(ids) => {
                    return refused;
                }
                Behaviour::Hang => std::future::pending().await,
                Behaviour::Panic => panic!("a sender that panics"),
                Behaviour::Accept | Behaviour::FailFirst(_) | Behaviour::RefuseIds(_) => {}
            }
            // The event's own data must come with it, wherever it was read from.
            let data = format!("{{\"id\": \"{}\"", event.attributes.id);
            assert!(event.data.as_ref().unwrap().starts_with(data.as_bytes()));
            let mut accepted = self.sinks.accepted.lock().unwrap();
            accepted
                .entry(self.uri.clone())
                .or_default()
                .push(event.attributes.id.clone());
            Outcome::Delivered { status: 200 }
        }
        .boxed()
    }
}

/// Keeps dead letters in memory, or fails to.
#[derive(Default)]
pub struct DeadLetters {
    pub kept: Mutex<Vec<DeadLetter>>,
    pub broken: Mutex<bool>,
}

impl DeadLetters {
    pub fn ids(&self) -> BTreeSet<String> {
        let kept = self.kept.lock().unwrap();
        kept.iter()
            .map(|letter| letter.event.attributes.id.clone())
            .collect()
    }
}

impl KeepDeadLetters for DeadLetters {
    fn keep(&self, letters: Vec<DeadLetter>) -> BoxFuture<'_, Result<(), KeepError>> {
        async move {
            if *self.broken.lock().unwrap() {
                return Err(KeepError("the disk is full".into()));
            }
            self.kept.lock().unwrap().extend(letters);
            Ok(())
        }
        .boxed()
    }
}

/// Everything delivery works with; it outlives a restart.
pub struct World {
    pub folder: tempfile::TempDir,
    pub log: EventLog,
    pub sinks: Arc<Sinks>,
    pub dead_letters: Arc<DeadLetters>,
    pub settings: Settings,
}

impl World {
    pub fn new() -> Self {
        Self::with_capacity(64 << 20)
    }

    pub fn with_capacity(capacity: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options::for_capacity(capacity);
        let storage = FileStorage::new(folder.path().join("log"));
        let (log, _) = EventLog::open(storage, options).unwrap();
        Self {
            folder,
            log,
            sinks: Arc::default(),
            dead_letters: Arc::default(),
            settings: Settings {
                undelivered_share: 20,
                replay_retention: Duration::from_secs(3600),
            },
        }
    }

    pub fn state_file(&self) -> std::path::PathBuf {
        self.folder.path().join("state.redb")
    }

    /// Opens delivery; after a restart that may take until the last one has let go of its files.
    pub async fn open(&self) -> Delivery {
        let (clock, random) = Parts::system();
        let sinks = self.sinks.clone();
        for _ in 0..30_000 {
            let sinks = sinks.clone();
            let parts = Parts {
                log: self.log.clone(),
                state: self.state_file(),
                dead_letters: self.dead_letters.clone(),
                build_sender: Arc::new(move |entry| {
                    if entry.sink.uri == "unusable" {
                        return Err(UnusableSink("its URL is none".into()));
                    }
                    Ok(Arc::new(FakeSender {
                        uri: entry.sink.uri.clone(),
                        sinks: sinks.clone(),
                    }))
                }),
                settings: self.settings,
                clock: clock.clone(),
                random: random.clone(),
            };
            match Delivery::open(parts, &mut Registry::default()) {
                Ok(delivery) => return delivery,
                Err(crate::delivery::StateError::Locked(_)) => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
        panic!("the state file stays locked");
    }

    pub async fn start(&self, entries: &[SubscriptionEntry]) -> Delivery {
        let delivery = self.open().await;
        apply(&delivery, entries).await;
        delivery
    }

    pub async fn append(&self, event: &Event) -> Result<u64, AppendError> {
        let stored = self.log.append(vec![encode(event)]).await?;
        Ok(stored[0].0.0)
    }

    /// Stores events with the ids `prefix-0` and so on, of three customers in turn.
    pub async fn ingest(&self, prefix: &str, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for number in 0..count {
            let id = format!("{prefix}-{number:05}");
            let event = event(&id, Some(["acme", "beta", "cora"][number % 3]));
            self.append(&event).await.unwrap();
            ids.push(id);
        }
        ids
    }

    /// Waits until a sink has taken exactly these, in whatever order and however often.
    pub async fn until_accepted(&self, uri: &str, ids: &[String]) {
        let expected: BTreeSet<String> = ids.iter().cloned().collect();
        until(&format!("{uri} has {} events", expected.len()), || {
            let accepted: BTreeSet<String> = self.sinks.accepted(uri).into_iter().collect();
            assert!(
                accepted.is_subset(&expected),
                "{uri} got what it should not"
            );
            accepted == expected
        })
        .await;
    }
}

pub async fn apply(delivery: &Delivery, entries: &[SubscriptionEntry]) {
    let entries: Vec<_> = entries.iter().cloned().map(Arc::new).collect();
    delivery.apply(&entries).await.unwrap();
}

/// Waits until something holds.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
        panic!("it never came true that {what}");
    }
}

/// Undelivered events of a subscription.
pub fn undelivered(delivery: &Delivery, name: &str) -> u64 {
    status(delivery, name).undelivered
}

pub fn status(delivery: &Delivery, name: &str) -> crate::delivery::SubscriptionStatus {
    let all = delivery.status();
    all.into_iter()
        .find(|status| status.name.name == name)
        .unwrap()
}

pub fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
