//! Which statuses are to be written: those that are another than what the objects have. Pure.
//!
//! What merely counts (dead letters, subscriptions that are ready) changes all the time on a busy
//! installation, so on its own it is written only now and then.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Resource;
use serde::Serialize;
use serde_json::Value;

use super::app_event_type::{self, Counts};
use super::attention::{Key, Touched};
use super::customer;
use super::decide::Decision;
use super::event_subscription::{self, Shown};
use super::merge_patch::merge_patch;
use super::progress::Progress;
use super::status::{News, news, trouble};
use super::world::{Known, World};
use crate::api::{
    AppEventType, AppEventTypeStatus, Customer, CustomerStatus, EventSubscription,
    EventSubscriptionStatus,
};
use crate::compile::Kind;
use crate::event::ObjectName;

/// How long what merely counts may lag behind.
const COUNTS_LAG: SignedDuration = SignedDuration::from_secs(30);

/// A status to write.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusWrite {
    /// Of which kind.
    pub kind: Kind,
    /// Of which object.
    pub name: ObjectName,
    /// Its uid: another object of the same name must not get it.
    pub uid: String,
    /// What is different, as a merge patch of `status`.
    pub patch: Value,
    /// What to tell once it is written.
    pub news: Option<News>,
}

/// What is to be written now, and what is to be looked at again.
#[derive(Debug, Default)]
pub struct Due {
    /// The writes.
    pub writes: Vec<StatusWrite>,
    /// What may lag behind, or will have to be another by itself, and when to look at these again.
    pub look_again: Option<(Timestamp, BTreeSet<Key>)>,
}

impl Due {
    fn look_again(&mut self, key: Key, at: Timestamp) {
        let (next, keys) = self.look_again.get_or_insert_with(|| (at, BTreeSet::new()));
        *next = at.min(*next);
        keys.insert(key);
    }
}

/// What was written last, so that nothing is written twice.
#[derive(Debug, Default)]
pub struct Written {
    last: HashMap<Key, Last>,
}

#[derive(Debug)]
struct Last {
    at: Timestamp,
    uid: String,
    version: Option<String>,
    /// As text, which is a fraction of the values' size.
    patch: String,
}

/// What statuses are made of.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// What is known of the cluster.
    pub world: &'a World,
    /// What is to be.
    pub decision: &'a Decision,
    /// How far that has come.
    pub progress: &'a Progress,
    /// UpstreamSubscriptions by type.
    pub counts: &'a BTreeMap<ObjectName, Counts>,
    /// The time.
    pub now: Timestamp,
}

/// The statuses of what was touched, but for gateways, as they are to be, against what they are.
pub fn due(facts: Facts<'_>, touched: &Touched, written: &mut Written) -> Due {
    let mut due = Due::default();
    let world = facts.world;
    match touched {
        Touched::All => {
            for (name, known) in world.event_types.iter() {
                facts.event_type(&mut due, written, name, known);
            }
            for (name, known) in world.customers.iter() {
                facts.customer(&mut due, written, name, known);
            }
            for (name, known) in world.subscriptions.iter() {
                facts.subscription(&mut due, written, name, known);
            }
            written.forget_all_but(world);
        }
        Touched::These(these) => {
            for key in these {
                let (kind, name) = key;
                match kind {
                    Kind::AppEventType => {
                        if let Some(known) = world.event_types.get(name) {
                            facts.event_type(&mut due, written, name, known);
                        }
                    }
                    Kind::Customer => {
                        if let Some(known) = world.customers.get(name) {
                            facts.customer(&mut due, written, name, known);
                        }
                    }
                    Kind::EventSubscription => {
                        if let Some(known) = world.subscriptions.get(name) {
                            facts.subscription(&mut due, written, name, known);
                        }
                    }
                    Kind::EventGateway => {}
                }
            }
        }
    }
    due
}

impl Facts<'_> {
    fn event_type(
        self,
        due: &mut Due,
        written: &mut Written,
        name: &ObjectName,
        known: &Known<AppEventType>,
    ) {
        let counts = self.counts.get(name).copied();
        let (decision, progress) = (self.decision, self.progress);
        let wanted = app_event_type::status(name, known, decision, progress, counts, self.now);
        let present = known.present.as_ref().ok();
        let present = present.and_then(|it| it.status.clone()).unwrap_or_default();
        let quiet = AppEventTypeStatus {
            upstream_subscriptions: present.upstream_subscriptions,
            ready: present.ready,
            ..wanted.clone()
        };
        let change = Change {
            key: (Kind::AppEventType, name.clone()),
            present: &present,
            wanted: &wanted,
            is_minor: quiet == present,
            news: news(&present.conditions, &wanted.conditions),
        };
        written.add(due, known, change, self.now);
    }

    fn customer(
        self,
        due: &mut Due,
        written: &mut Written,
        name: &ObjectName,
        known: &Known<Customer>,
    ) {
        let wanted = customer::status(name, known, self.decision, self.progress, self.now);
        let present = known.present.as_ref().ok();
        let present: CustomerStatus = present.and_then(|it| it.status.clone()).unwrap_or_default();
        let news = trouble(&present.conditions, &wanted.conditions);
        let change = Change {
            key: (Kind::Customer, name.clone()),
            present: &present,
            wanted: &wanted,
            is_minor: false,
            news,
        };
        written.add(due, known, change, self.now);
    }

    fn subscription(
        self,
        due: &mut Due,
        written: &mut Written,
        name: &ObjectName,
        known: &Known<EventSubscription>,
    ) {
        let (decision, progress) = (self.decision, self.progress);
        let key = (Kind::EventSubscription, name.clone());
        let Shown { status, another_at } =
            event_subscription::status(name, known, decision, progress, self.now);
        if let Some(at) = another_at {
            due.look_again(key.clone(), at);
        }
        let present = known.present.as_ref().ok();
        let present = present.and_then(|it| it.status.clone()).unwrap_or_default();
        let quiet = EventSubscriptionStatus {
            dead_letters: present.dead_letters,
            oldest_undelivered: present.oldest_undelivered.clone(),
            ..status.clone()
        };
        let change = Change {
            key,
            present: &present,
            wanted: &status,
            is_minor: quiet == present,
            news: news(&present.conditions, &status.conditions)
                .or_else(|| delivering_news(&present.conditions, &status.conditions)),
        };
        written.add(due, known, change, self.now);
    }
}

/// That delivery stopped, or goes on again.
fn delivering_news(before: &[Condition], after: &[Condition]) -> Option<News> {
    let of = |all: &[Condition]| {
        let mut all = all.iter();
        all.find(|it| it.type_ == crate::api::condition::DELIVERING)
            .cloned()
    };
    let (before, after) = (of(before), of(after)?);
    let was_bad = before.is_some_and(|it| it.status != "True");
    let is_bad = after.status != "True";
    (was_bad != is_bad).then_some(News {
        reason: after.reason,
        message: after.message,
        is_bad,
    })
}

/// What a status is and what it is to be.
struct Change<'a, S> {
    key: Key,
    present: &'a S,
    wanted: &'a S,
    /// Whether only what counts is different.
    is_minor: bool,
    news: Option<News>,
}

impl Written {
    fn add<K: Resource, S: Serialize + PartialEq>(
        &mut self,
        due: &mut Due,
        known: &Known<K>,
        change: Change<'_, S>,
        now: Timestamp,
    ) {
        let Change {
            key,
            present,
            wanted,
            is_minor,
            news,
        } = change;
        // What is being deleted is left alone.
        if present == wanted || known.metadata().deletion_timestamp.is_some() {
            return;
        }
        let values = serde_json::to_value(present).and_then(|present| {
            let wanted = serde_json::to_value(wanted)?;
            Ok(merge_patch(&present, &wanted))
        });
        // A status is made of texts, numbers and JSON, which all can be written as JSON.
        let Ok(Some(patch)) = values else { return };
        let version = known.metadata().resource_version.clone();
        let text = patch.to_string();
        if let Some(last) = self.last.get(&key).filter(|last| last.uid == known.uid()) {
            // It did not become what it was to be; to write the same again would not help.
            if last.patch == text && last.version == version {
                return;
            }
            let next = last.at + COUNTS_LAG;
            if is_minor && next > now {
                due.look_again(key, next);
                return;
            }
        }
        let last = Last {
            at: now,
            uid: known.uid().to_owned(),
            version,
            patch: text,
        };
        self.last.insert(key.clone(), last);
        let (kind, name) = key;
        due.writes.push(StatusWrite {
            kind,
            name,
            uid: known.uid().to_owned(),
            patch,
            news,
        });
    }

    fn forget_all_but(&mut self, world: &World) {
        self.last.retain(|(kind, name), _| match kind {
            Kind::AppEventType => world.event_types.get(name).is_some(),
            Kind::Customer => world.customers.get(name).is_some(),
            Kind::EventSubscription => world.subscriptions.get(name).is_some(),
            Kind::EventGateway => world.gateways.get(name).is_some(),
        });
    }
}
