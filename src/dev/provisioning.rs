//! Subscriptions at apps, put together for `dev`: the driver with records and objects in the data
//! folder, URIs in the gateway of this process, and news for the console.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use prometheus_client::registry::Registry;
use serde_json::{Map, Value, json};

use super::data_dir::DataDir;
use super::news::News;
use super::objects::Objects;
use super::records::Records;
use super::session::Outcome;
use crate::configuration::{RegistrationChange, Sensitive};
use crate::event::ObjectName;
use crate::gateway::{Gateway, UpstreamSubscriptions, token};
use crate::outbound::{ClientError, Outbound, PrivateAddresses};
use crate::provision::Desired;
use crate::provision::client::Client;
use crate::provision::driver::{Driver, Parts, Show, StartError, View, Wishes};
use crate::provision::plan::Seeds;
use crate::provision::record::Orphan;
use crate::provision::store::{NotPublished, Publish};

/// How long the start-up table waits for subscriptions that are just being made.
const TABLE_WAITS: Duration = Duration::from_secs(2);

/// Subscriptions that the start-up table shows.
pub const MOST_SHOWN: usize = 50;

/// Everything about subscriptions at apps.
pub struct Provisioning {
    driver: Driver,
    shows: Arc<Shows>,
    allow_re_registration: bool,
}

impl Provisioning {
    /// Does nothing yet.
    ///
    /// # Errors
    /// When the proxy or the additional roots cannot be used.
    pub fn new(
        data_dir: &DataDir,
        token_key: &Sensitive,
        outbound: Outbound,
        allow_re_registration: bool,
        registry: &mut Registry,
    ) -> Result<Self, ClientError> {
        let shows = Arc::new(Shows {
            objects: Objects::new(data_dir.objects()),
            news: Mutex::new(News::since(Timestamp::now())),
        });
        let key = token_key.clone();
        let parts = Parts {
            store: Arc::new(Records::new(data_dir.records())),
            caller: Arc::new(Client::new(outbound, PrivateAddresses::All)?),
            show: shows.clone(),
            clock: Arc::new(Timestamp::now),
            seeds: Arc::new(move || seeds(&key)),
        };
        Ok(Self {
            driver: Driver::new(parts, registry),
            shows,
            allow_re_registration,
        })
    }

    /// Whom the gateway reports to.
    pub fn reports(&self) -> Arc<Driver> {
        Arc::new(self.driver.clone())
    }

    /// What the admin API shows.
    pub fn list(&self) -> Arc<dyn UpstreamSubscriptions> {
        Arc::new(List(self.driver.clone()))
    }

    /// Makes the URIs of what is recorded live. What could not be read, in sentences.
    ///
    /// # Errors
    /// When the records' folder cannot be read.
    pub async fn start(&self, gateway: Arc<Gateway>) -> Result<Vec<String>, StartError> {
        self.driver.start(Arc::new(ThisGateway(gateway))).await
    }

    /// From now on this is wanted. `is_complete`: nothing was unreadable, so that what is not
    /// wanted here is not wanted at all.
    pub fn apply(&self, outcome: &Outcome, is_complete: bool) {
        let compiled = &outcome.compiled;
        let desired = compiled.upstream.iter().map(|desired| {
            if self.allow_re_registration && !desired.allow_re_registration {
                Arc::new(Desired {
                    allow_re_registration: true,
                    ..(**desired).clone()
                })
            } else {
                Arc::clone(desired)
            }
        });
        self.driver.apply(Wishes {
            desired: desired.collect(),
            held: compiled.held.clone(),
            is_complete,
        });
    }

    /// The subscriptions for the start-up table, after a moment for those that are just being made;
    /// at most one more than are shown. Changes are told as news from then on.
    pub async fn at_start(&self) -> Vec<View> {
        let deadline = tokio::time::Instant::now() + TABLE_WAITS;
        loop {
            if self.driver.is_at_rest() || tokio::time::Instant::now() >= deadline {
                let views = self.driver.views(None, MOST_SHOWN + 1);
                self.shows.news().begin(&views);
                return views;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits for what is under way, at most so long.
    pub async fn drain(&self, most: Duration) {
        self.driver.drain(most).await;
        tokio::task::block_in_place(|| self.shows.objects.close());
    }
}

fn seeds(key: &Sensitive) -> Seeds {
    let purpose: [u8; 16] = rand::random();
    let mut secret = [0; 96];
    rand::fill(&mut secret);
    Seeds {
        attempt_id: uuid::Uuid::new_v4().to_string(),
        token: token::issue(key, &format!("registration {}", hex::encode(purpose))),
        secret,
        jitter: rand::random(),
    }
}

/// The gateway of this process: what is set there is live at once.
struct ThisGateway(Arc<Gateway>);

impl Publish for ThisGateway {
    fn publish(&self, changes: Vec<RegistrationChange>) -> BoxFuture<'_, Result<(), NotPublished>> {
        self.0.set_registrations(changes);
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Objects for people, and news for the console.
struct Shows {
    objects: Objects,
    news: Mutex<News>,
}

impl Shows {
    fn news(&self) -> std::sync::MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Show for Shows {
    fn shown(&self, view: View) {
        if let Some(line) = self.news().shown(&view) {
            self.objects.say(line);
        }
        self.objects.put(view.name, Some(view.object));
    }

    fn gone(&self, name: &ObjectName) {
        if let Some(line) = self.news().gone(name) {
            self.objects.say(line);
        }
        self.objects.put(name.clone(), None);
    }
}

/// The admin API's list.
struct List(Driver);

impl UpstreamSubscriptions for List {
    fn page(&self, after: Option<&ObjectName>, most: usize) -> Vec<(ObjectName, Value)> {
        let views = self.0.views(after, most);
        views
            .into_iter()
            .map(|view| (view.name.clone(), item(&view)))
            .collect()
    }
}

/// A subscription as the admin API shows it: its status, and what every list's items have.
fn item(view: &View) -> Value {
    let status = view.status();
    let mut item: Map<String, Value> = match serde_json::to_value(&status) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let id = status.registrations.last().and_then(|it| it.id.clone());
    let reasons: Vec<Value> = status
        .conditions
        .iter()
        .map(|it| json!({"code": it.reason, "message": it.message}))
        .collect();
    let common = BTreeMap::from([
        ("kind", json!("UpstreamSubscription")),
        ("subscription", json!(view.name.to_string())),
        ("eventType", json!(view.event_type.to_string())),
        ("customer", json!(view.customer.as_ref().map(|(_, id)| id))),
        ("id", json!(id)),
        ("reasons", json!(reasons)),
        (
            "orphans",
            json!(view.orphans.iter().map(orphan).collect::<Vec<_>>()),
        ),
    ]);
    item.extend(
        common
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value)),
    );
    Value::Object(item)
}

fn orphan(orphan: &Orphan) -> Value {
    json!({
        "number": orphan.number,
        "lastNumber": orphan.last_number,
        "id": orphan.id,
        "request": orphan.request,
        "reason": orphan.why,
        "since": orphan.since.to_string(),
    })
}
