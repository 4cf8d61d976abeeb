//! What people see of a subscription, and when they are told.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Bound;
use std::sync::{Arc, PoisonError};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::Inner;
use super::state::{Key, State};
use crate::api::{
    EventTypeReference, LocalReference, SubscriptionState, UpstreamSubscription,
    UpstreamSubscriptionSpec, UpstreamSubscriptionStatus,
};
use crate::event::ObjectName;
use crate::provision::plan::Turn;
use crate::provision::record::Orphan;
use crate::provision::{Desired, Inputs, Record, keep_transitions, status};

/// The annotation that shows the app's id of a registration, where listing objects shows it.
const EXTERNAL_ID: &str = "tidegate.dev/external-id";

/// A subscription as people see it. All of it may be shown but [`View::webhook_uri`].
#[derive(Clone)]
pub struct View {
    /// Its name.
    pub name: ObjectName,
    /// The AppEventType.
    pub event_type: ObjectName,
    /// The Customer object and the customer's id; `None` for a global webhook's registration.
    pub customer: Option<(ObjectName, String)>,
    /// The object, masked.
    pub object: UpstreamSubscription,
    /// The webhook URI of the newest registration, whole: the token in it is secret.
    pub webhook_uri: Option<String>,
    /// What may stand at the app without our being able to remove it.
    pub orphans: Vec<Orphan>,
    /// Whether somebody wants it.
    pub is_wanted: bool,
}

/// Something to tell.
pub(super) enum Told {
    Shown(Box<View>),
    Gone(ObjectName),
}

impl View {
    /// Its status.
    #[must_use]
    pub fn status(&self) -> UpstreamSubscriptionStatus {
        self.object.status.clone().unwrap_or_default()
    }

    /// Its state, if it has any.
    #[must_use]
    pub fn state(&self) -> Option<SubscriptionState> {
        self.object.status.as_ref()?.state
    }

    /// Whether nothing of it is left but URIs that answer 410: there is nothing to show.
    fn is_over(&self) -> bool {
        !self.is_wanted && self.state().is_none() && self.orphans.is_empty()
    }
}

impl Inner {
    pub(super) fn views(&self, after: Option<&ObjectName>, most: usize) -> Vec<View> {
        let now = self.now();
        let mut views = Vec::new();
        let mut after = after.cloned();
        // What is read is taken in a moment; what is made of it takes longer, and holds nobody up.
        while views.len() < most {
            let read: Vec<Read> = {
                let state = self.lock();
                let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
                let keys = state.keys.range::<ObjectName, _>((from, Bound::Unbounded));
                let read = keys.map(|(name, key)| Read::of(&state, name, key));
                read.take(READ_AT_ONCE).collect()
            };
            let Some(last) = read.last() else {
                break;
            };
            after = Some(last.name.clone());
            let made = read.into_iter().filter_map(|read| read.view(now));
            views.extend(made.filter(|view| !view.is_over()));
        }
        views.truncate(most);
        views
    }

    pub(super) fn view(&self, name: &ObjectName) -> Option<View> {
        let read = {
            let state = self.lock();
            Read::of(&state, name, state.keys.get(name)?)
        };
        read.view(self.now()).filter(|view| !view.is_over())
    }

    /// A subscription came to rest: what there is to tell, if it looks different than before.
    pub(super) fn rested(
        &self,
        state: &mut State,
        name: &ObjectName,
        now: Timestamp,
    ) -> Option<Told> {
        let view = Read::of(state, name, state.keys.get(name)?).view(now)?;
        let key = state.keys.get_mut(name)?;
        if view.is_over() {
            return key.shown.take().map(|_| Told::Gone(name.clone()));
        }
        let hash = hash_of(&view);
        if key.shown.replace(hash) == Some(hash) {
            return None;
        }
        key.conditions = view.status().conditions;
        Some(Told::Shown(Box::new(view)))
    }

    /// Nothing is left of a subscription, and nothing is wanted.
    pub(super) fn dropped(&self, state: &mut State, name: &ObjectName) -> Option<Told> {
        let key = state.keys.get(name)?;
        if key.desired.is_some() || key.record.is_some() || key.unstored.is_some() {
            return None;
        }
        for rollout in state.rollouts.values_mut() {
            rollout.leave(name);
        }
        let key = state.keys.remove(name)?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.remove(name);
        drop(seen);
        if let Some(due) = key.due {
            state.due.remove(&(due, name.clone()));
        }
        key.shown.map(|_| Told::Gone(name.clone()))
    }

    pub(super) fn tell(&self, told: Told) {
        match told {
            Told::Shown(view) => self.show.shown(*view),
            Told::Gone(name) => self.show.gone(&name),
        }
    }
}

/// Subscriptions that are read under one lock.
const READ_AT_ONCE: usize = 256;

/// What a view is made from.
struct Read {
    name: ObjectName,
    record: Option<Arc<Record>>,
    desired: Option<Arc<Desired>>,
    wish: Option<Arc<Desired>>,
    turn: Turn,
    conditions: Vec<Condition>,
    unreadable: Option<String>,
}

impl Read {
    fn of(state: &State, name: &ObjectName, key: &Key) -> Self {
        let record = key.standing.clone();
        let rollout = record
            .as_ref()
            .and_then(|record| state.rollouts.get(&record.inputs.event_type));
        Self {
            turn: rollout.map_or(Turn::Granted, |rollout| rollout.shown(name)),
            name: name.clone(),
            desired: key.desired.clone(),
            wish: key.wish(state.is_complete),
            conditions: key.conditions.clone(),
            unreadable: state.unreadable.get(&name.name).cloned(),
            record,
        }
    }

    fn view(self, now: Timestamp) -> Option<View> {
        let Self {
            name,
            record,
            desired,
            wish,
            turn,
            conditions,
            unreadable,
        } = self;
        let record = record.as_deref();
        let inputs: &Inputs = match (record, &desired) {
            (Some(record), _) => &record.inputs,
            (None, Some(desired)) => &desired.inputs,
            (None, None) => return None,
        };
        let mut status = status(record, wish.as_deref(), turn, now);
        if let Some(error) = unreadable {
            status.state = Some(SubscriptionState::Failed);
            status.last_error = Some(error);
        }
        keep_transitions(&conditions, &mut status.conditions);
        let newest = record.and_then(|record| record.current().or(record.registrations.last()));
        let webhook_uri = newest.and_then(|it| {
            let uri = it.webhook_uri.as_ref().or(it.global_webhook_uri.as_ref());
            uri.cloned()
        });
        let customer = inputs.customer.as_ref();
        let mut object = UpstreamSubscription::new(
            &name.name,
            UpstreamSubscriptionSpec {
                event_type_ref: EventTypeReference {
                    name: inputs.event_type.name.clone(),
                    namespace: Some(inputs.event_type.namespace.clone())
                        .filter(|namespace| *namespace != name.namespace),
                },
                customer_ref: customer.map(|customer| LocalReference {
                    name: customer.name.name.clone(),
                }),
            },
        );
        object.metadata.namespace = Some(name.namespace.clone());
        let shown = newest.and_then(|newest| {
            let mut all = status.registrations.iter();
            all.find(|shown| shown.number == newest.number)
        });
        if let Some(id) = shown.and_then(|shown| shown.id.clone()) {
            object.metadata.annotations = Some([(EXTERNAL_ID.to_owned(), id)].into());
        }
        object.status = Some(status);
        Some(View {
            name,
            event_type: inputs.event_type.clone(),
            customer: customer.map(|customer| (customer.name.clone(), customer.id.clone())),
            object,
            webhook_uri,
            orphans: record
                .map(|record| record.orphans.clone())
                .unwrap_or_default(),
            is_wanted: wish.is_some(),
        })
    }
}

/// What tells whether something changed that is worth telling. Times of conditions are not.
fn hash_of(view: &View) -> u64 {
    let mut status = view.status();
    for condition in &mut status.conditions {
        let Condition {
            last_transition_time,
            ..
        } = condition;
        last_transition_time.0 = Timestamp::UNIX_EPOCH;
    }
    let mut hasher = DefaultHasher::new();
    // Texts and numbers always have a form in JSON.
    serde_json::to_string(&status)
        .unwrap_or_default()
        .hash(&mut hasher);
    view.is_wanted.hash(&mut hasher);
    hasher.finish()
}
