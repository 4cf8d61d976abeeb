//! Which statuses are to be written: those that are another than what the objects have. Pure.
//!
//! What merely counts (dead letters, subscriptions that are ready) changes all the time on a busy
//! installation, so on its own it is written only now and then.

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::Serialize;
use serde_json::Value;

use super::app_event_type::{self, Counts};
use super::customer;
use super::decide::Decision;
use super::event_subscription;
use super::merge_patch::merge_patch;
use super::progress::Progress;
use super::status::{News, news};
use super::world::{Known, World};
use crate::api::{AppEventTypeStatus, CustomerStatus, EventSubscriptionStatus};
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

/// What is to be written now, and when to look again because something may lag behind until then.
#[derive(Debug, Default)]
pub struct Due {
    /// The writes.
    pub writes: Vec<StatusWrite>,
    /// When to look again.
    pub look_again_at: Option<Timestamp>,
}

/// What was written last, so that nothing is written twice.
#[derive(Debug, Default)]
pub struct Written {
    last: HashMap<(Kind, ObjectName), Last>,
}

#[derive(Debug)]
struct Last {
    at: Timestamp,
    uid: String,
    version: Option<String>,
    patch: Value,
}

/// The statuses of all objects but gateways, as they are to be, against what they are.
pub fn due(
    world: &World,
    decision: &Decision,
    progress: &Progress,
    counts: &BTreeMap<ObjectName, Counts>,
    written: &mut Written,
    now: Timestamp,
) -> Due {
    let mut due = Due::default();
    for (name, known) in world.event_types.iter() {
        let counts = counts.get(name).copied();
        let wanted = app_event_type::status(name, known, decision, progress, counts, now);
        let present = known.present.as_ref().ok();
        let present = present.and_then(|it| it.status.clone()).unwrap_or_default();
        let quiet = AppEventTypeStatus {
            upstream_subscriptions: present.upstream_subscriptions,
            ready: present.ready,
            ..wanted.clone()
        };
        let is_minor = quiet == present;
        let conditions = (&*present.conditions, &*wanted.conditions);
        let news = news(conditions.0, conditions.1);
        written.add(
            &mut due,
            Kind::AppEventType,
            name,
            known,
            (&present, &wanted),
            is_minor,
            news,
            now,
        );
    }
    let gateways = gateways_of_customers(decision);
    for (name, known) in world.customers.iter() {
        let gateways = gateways.get(name).map_or(&[][..], |it| it);
        let wanted = customer::status(name, known, decision, progress, gateways, now);
        let present = known.present.as_ref().ok();
        let present: CustomerStatus = present.and_then(|it| it.status.clone()).unwrap_or_default();
        let news = news(&present.conditions, &wanted.conditions);
        let both = (&present, &wanted);
        written.add(
            &mut due,
            Kind::Customer,
            name,
            known,
            both,
            false,
            news,
            now,
        );
    }
    for (name, known) in world.subscriptions.iter() {
        let wanted = event_subscription::status(name, known, decision, progress, now);
        let present = known.present.as_ref().ok();
        let present = present.and_then(|it| it.status.clone()).unwrap_or_default();
        let quiet = EventSubscriptionStatus {
            dead_letters: present.dead_letters,
            oldest_undelivered: present.oldest_undelivered.clone(),
            ..wanted.clone()
        };
        let is_minor = quiet == present;
        let news = news(&present.conditions, &wanted.conditions)
            .or_else(|| delivering_news(&present.conditions, &wanted.conditions));
        written.add(
            &mut due,
            Kind::EventSubscription,
            name,
            known,
            (&present, &wanted),
            is_minor,
            news,
            now,
        );
    }
    written.forget_all_but(world);
    due
}

/// Which gateways know each customer.
fn gateways_of_customers(decision: &Decision) -> BTreeMap<&ObjectName, Vec<&ObjectName>> {
    let mut gateways: BTreeMap<&ObjectName, Vec<&ObjectName>> = BTreeMap::new();
    for (gateway, configuration) in &decision.configurations {
        for customer in &configuration.customers {
            gateways.entry(&customer.name).or_default().push(gateway);
        }
    }
    gateways
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

impl Written {
    #[expect(
        clippy::too_many_arguments,
        reason = "one call for each kind, all of it needed"
    )]
    fn add<K, S: Serialize + PartialEq>(
        &mut self,
        due: &mut Due,
        kind: Kind,
        name: &ObjectName,
        known: &Known<K>,
        (present, wanted): (&S, &S),
        is_minor: bool,
        news: Option<News>,
        now: Timestamp,
    ) {
        // What is being deleted is left alone.
        if present == wanted || known.metadata.deletion_timestamp.is_some() {
            return;
        }
        let values = serde_json::to_value(present).and_then(|present| {
            let wanted = serde_json::to_value(wanted)?;
            Ok(merge_patch(&present, &wanted))
        });
        // A status is made of texts, numbers and JSON, which all can be written as JSON.
        let Ok(Some(patch)) = values else { return };
        let key = (kind, name.clone());
        let version = known.metadata.resource_version.clone();
        if let Some(last) = self.last.get(&key).filter(|last| last.uid == known.uid()) {
            // It did not become what it was to be; to write the same again would not help.
            if last.patch == patch && last.version == version {
                return;
            }
            let next = last.at + COUNTS_LAG;
            if is_minor && next > now {
                let at = due.look_again_at.get_or_insert(next);
                *at = next.min(*at);
                return;
            }
        }
        let last = Last {
            at: now,
            uid: known.uid().to_owned(),
            version,
            patch: patch.clone(),
        };
        self.last.insert(key, last);
        due.writes.push(StatusWrite {
            kind,
            name: name.clone(),
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
