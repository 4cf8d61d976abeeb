//! A small world for the driver: an app in memory, a store that counts, a gateway that notes what
//! is live, and a clock that goes with tokio's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::HeaderMap;
use jiff::Timestamp;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::*;
use crate::api::{DeletionPolicy, Subscription};
use crate::configuration::{RegistrationChange, RegistrationState, Sensitive};
use crate::provision::{
    CustomerInputs, Desired, Fields, Inputs, Program, Record, WebhookFields, subscription_name,
};

/// What the app does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// As it should.
    Well,
    /// It refuses connections.
    Down,
    /// It refuses every request that makes something.
    Refusing,
    /// It answers after this many seconds.
    Slow(u64),
    /// It says that it is asked too often, and for how many seconds to wait.
    Busy(u64),
    /// It does not take the token.
    Unauthorised,
}

/// What a test does while a webhook is being made.
type OnCreate = Arc<dyn Fn(String) -> BoxFuture<'static, ()> + Send + Sync>;

/// An app with an API for webhooks, and everything that is around a driver.
pub struct World {
    pub app: Arc<App>,
    pub store: Arc<MemoryStore>,
    pub gateway: Arc<Gateway>,
    pub show: Arc<Shows>,
    pub driver: Driver,
}

#[derive(Default)]
pub struct App {
    mood: Mutex<Option<Mood>>,
    /// What stands, by id: the target.
    pub hooks: Mutex<BTreeMap<u64, String>>,
    pub requests: AtomicUsize,
    pub tokens: AtomicUsize,
    /// The access token of the last request that made something.
    pub bearer: Mutex<Option<String>>,
    pub most_open: AtomicUsize,
    open: AtomicUsize,
    next: AtomicU64,
    /// Called when a webhook is being made, with its target, before the answer.
    pub on_create: Mutex<Option<OnCreate>>,
}

impl App {
    pub fn mood(&self, mood: Mood) {
        *self.mood.lock().unwrap() = Some(mood);
    }

    pub fn count(&self) -> usize {
        self.hooks.lock().unwrap().len()
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    async fn answer(&self, call: Call<'_>) -> Result<Reply, NoReply> {
        assert!((call.is_allowed)(call.url));
        self.requests.fetch_add(1, Ordering::Relaxed);
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_open.fetch_max(open, Ordering::Relaxed);
        // Something on the way always takes a moment.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let answer = self.decide(call).await;
        self.open.fetch_sub(1, Ordering::Relaxed);
        answer
    }

    async fn decide(&self, call: Call<'_>) -> Result<Reply, NoReply> {
        let mood = self.mood.lock().unwrap().unwrap_or(Mood::Well);
        let makes = call.url.path() == "/hooks" && *call.method == http::Method::POST;
        match mood {
            Mood::Down => {
                return Err(NoReply {
                    not_sent: true,
                    is_hosts_fault: true,
                    message: "the app refused the connection".into(),
                });
            }
            Mood::Refusing if makes => return Ok(reply(422, json!({}))),
            Mood::Busy(seconds) => {
                return Ok(Reply {
                    retry_after: Some(Duration::from_secs(seconds)),
                    ..reply(429, json!({}))
                });
            }
            Mood::Slow(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            Mood::Unauthorised if makes => return Ok(reply(401, json!({}))),
            Mood::Well | Mood::Refusing | Mood::Unauthorised => {}
        }
        if call.url.path() == "/token" {
            let number = self.tokens.fetch_add(1, Ordering::Relaxed);
            return Ok(reply(200, json!({"token": format!("t-{number}")})));
        }
        if makes {
            let bearer = call.headers.get(http::header::AUTHORIZATION);
            *self.bearer.lock().unwrap() = bearer.map(|it| it.to_str().unwrap().to_owned());
            let body: Value = serde_json::from_slice(call.body).unwrap();
            let target = body["target"].as_str().unwrap().to_owned();
            let hook = self.on_create.lock().unwrap().clone();
            if let Some(hook) = hook {
                hook(target.clone()).await;
            }
            let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
            self.hooks.lock().unwrap().insert(id, target);
            return Ok(reply(201, json!({"id": id})));
        }
        let id = call.url.path().rsplit('/').next().unwrap().parse().unwrap();
        match self.hooks.lock().unwrap().remove(&id) {
            Some(_) => Ok(reply(204, Value::Null)),
            None => Ok(reply(404, Value::Null)),
        }
    }
}

fn reply(status: u16, body: Value) -> Reply {
    Reply {
        status,
        headers: HeaderMap::from_iter([(
            http::header::CONTENT_TYPE,
            http::HeaderValue::from_static("application/json"),
        )]),
        body: Bytes::from(body.to_string()),
        retry_after: None,
    }
}

impl Caller for App {
    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Reply, NoReply>> {
        self.answer(call).boxed()
    }
}

/// Keeps records in memory, and counts.
#[derive(Default)]
pub struct MemoryStore {
    pub records: Mutex<BTreeMap<ObjectName, Record>>,
    pub unreadable: Mutex<Vec<String>>,
    pub writes: Mutex<BTreeMap<ObjectName, usize>>,
    pub fails: AtomicBool,
    pub tries: AtomicUsize,
}

impl MemoryStore {
    pub fn most_writes(&self) -> usize {
        self.writes
            .lock()
            .unwrap()
            .values()
            .copied()
            .max()
            .unwrap_or_default()
    }

    pub fn all_writes(&self) -> usize {
        self.writes.lock().unwrap().values().sum()
    }
}

impl RecordStore for MemoryStore {
    fn load(&self) -> BoxFuture<'_, Result<Vec<Loaded>, StoreError>> {
        let records = self.records.lock().unwrap();
        let good = records
            .values()
            .cloned()
            .map(|it| Loaded::Record(Box::new(it)));
        let bad = self.unreadable.lock().unwrap();
        let bad = bad.iter().map(|name| Loaded::Unreadable {
            name: name.clone(),
            error: format!("{name}.json is damaged"),
        });
        let all = good.chain(bad).collect();
        async move { Ok(all) }.boxed()
    }

    fn write<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            tokio::task::yield_now().await;
            self.tries.fetch_add(1, Ordering::Relaxed);
            if self.fails.load(Ordering::Relaxed) {
                return Err(StoreError("no space left".into()));
            }
            let name = record.name.clone();
            *self.writes.lock().unwrap().entry(name.clone()).or_default() += 1;
            self.records.lock().unwrap().insert(name, record.clone());
            Ok(())
        }
        .boxed()
    }

    fn remove<'a>(&'a self, name: &'a ObjectName) -> BoxFuture<'a, Result<(), StoreError>> {
        self.records.lock().unwrap().remove(name);
        async { Ok(()) }.boxed()
    }
}

/// What is live.
#[derive(Default)]
pub struct Gateway {
    pub live: Mutex<BTreeMap<String, RegistrationState>>,
}

impl Publish for Gateway {
    fn publish(&self, changes: Vec<RegistrationChange>) -> BoxFuture<'_, Result<(), NotPublished>> {
        let mut live = self.live.lock().unwrap();
        for change in changes {
            match change {
                RegistrationChange::Set(entry) => live.insert(entry.path, entry.state),
                RegistrationChange::Remove { path } => live.remove(&path),
            };
        }
        async { Ok(()) }.boxed()
    }
}

/// What people were told.
#[derive(Default)]
pub struct Shows {
    pub told: Mutex<BTreeMap<ObjectName, usize>>,
    pub gone: Mutex<BTreeSet<ObjectName>>,
}

impl Show for Shows {
    fn shown(&self, view: View) {
        *self.told.lock().unwrap().entry(view.name).or_default() += 1;
    }

    fn gone(&self, name: &ObjectName) {
        self.gone.lock().unwrap().insert(name.clone());
    }
}

/// 2026-01-02T03:04:05Z.
const START: i64 = 1_767_323_045;

impl World {
    /// A world in which nothing was ever wanted.
    pub async fn new() -> Self {
        Self::with(Arc::default(), Arc::default()).await
    }

    /// The process starts again, with the same app and the same store.
    pub async fn restarted(self) -> Self {
        let Self { app, store, .. } = self;
        Self::with(app, store).await
    }

    pub async fn with(app: Arc<App>, store: Arc<MemoryStore>) -> Self {
        let (gateway, show) = (Arc::new(Gateway::default()), Arc::new(Shows::default()));
        let driver = Driver::new(
            Parts {
                store: store.clone(),
                caller: app.clone(),
                show: show.clone(),
                clock: clock(),
                seeds: Arc::new(seeds),
            },
            &mut Registry::default(),
        );
        driver.start(gateway.clone()).await.unwrap();
        // The URI is live when the app hears of it.
        let live = gateway.clone();
        *app.on_create.lock().unwrap() = Some(Arc::new(move |target| {
            let path = target.strip_prefix("https://hooks.example").unwrap();
            assert!(
                live.live.lock().unwrap().contains_key(path),
                "{path} is not live"
            );
            async {}.boxed()
        }));
        Self {
            app,
            store,
            gateway,
            show,
            driver,
        }
    }

    /// Wants these, and nothing else.
    pub fn want(&self, desired: Vec<Arc<Desired>>) {
        self.driver.apply(Wishes {
            desired,
            held: BTreeSet::new(),
            is_complete: true,
        });
    }

    /// Lets time go by.
    pub async fn wait(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    /// All metrics of the driver, as text.
    pub fn metrics(&self) -> String {
        let mut registry = Registry::with_prefix("tidegate");
        metrics::register(&self.driver.0, &mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    /// The value of a metric that has no labels.
    pub fn metric(&self, name: &str) -> i64 {
        let text = self.metrics();
        let start = format!("tidegate_provision_{name} ");
        let mut values = text.lines().filter_map(|line| line.strip_prefix(&start));
        let value = values
            .next()
            .unwrap_or_else(|| panic!("no {name} in {text}"));
        value.parse().unwrap()
    }

    /// How many are in a state.
    pub fn in_state(&self, state: crate::api::SubscriptionState) -> usize {
        let views = self.driver.views(None, usize::MAX);
        views
            .iter()
            .filter(|view| view.state() == Some(state))
            .count()
    }
}

/// A clock that all worlds of a test share.
fn clock() -> Arc<dyn Fn() -> Timestamp + Send + Sync> {
    thread_local! {
        static BEGAN: Instant = Instant::now();
    }
    let began = BEGAN.with(|began| *began);
    Arc::new(move || {
        Timestamp::from_second(START)
            .unwrap()
            .checked_add(began.elapsed())
            .unwrap()
    })
}

fn seeds() -> Seeds {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    Seeds {
        attempt_id: format!("attempt-{count}"),
        token: format!("token-{count}"),
        secret: [7; 96],
        jitter: (count % 10) as f64 / 10.0,
    }
}

/// A subscription block; `more` is added to it.
pub fn subscription(event: &str, more: &str) -> Subscription {
    let text = format!(
        "limits: {{requestsPerSecond: 1000, concurrency: 16}}\n\
         request: {{url: 'https://api.example/hooks', body: {{target: $(webhookUri), event: {event}}}}}\n\
         response: {{id: string(response.body.id)}}\n\
         unsubscribe: {{steps: [{{name: delete, request: {{method: DELETE, url: 'https://api.example/hooks/$(subscription.id)'}}}}]}}\n\
         {more}\n"
    );
    serde_saphyr::from_str(&text).unwrap()
}

/// What is wanted for one customer.
pub fn desired(subscription: &Subscription, customer: &str) -> Arc<Desired> {
    let event_type = ObjectName::new("crm", "contacts");
    let name = ObjectName::new("crm", customer);
    let secret = Sensitive::from(format!("secret-of-{customer}").as_str());
    let inputs = Inputs {
        event_type: event_type.clone(),
        type_: "contact".into(),
        global: false,
        subscription: Arc::new(subscription.clone()),
        deletion_policy: DeletionPolicy::Unsubscribe,
        public_url: "https://hooks.example".into(),
        global_webhook_path: None,
        webhook_fields: WebhookFields::default(),
        app: Fields::default(),
        customer: Some(CustomerInputs {
            name: name.clone(),
            id: customer.into(),
            fields: Fields {
                plain: BTreeMap::new(),
                sensitive: BTreeMap::from([("token".into(), secret)]),
            },
        }),
    };
    let program = Program::compile(&inputs).unwrap();
    Arc::new(Desired {
        name: subscription_name(&event_type, Some(&name)),
        request_hash: program.request_hash(&inputs),
        inputs: Arc::new(inputs),
        allow_re_registration: false,
    })
}

/// What is wanted for so many customers.
pub fn many(subscription: &Subscription, count: usize) -> Vec<Arc<Desired>> {
    (0..count)
        .map(|number| desired(subscription, &format!("c{number}")))
        .collect()
}
