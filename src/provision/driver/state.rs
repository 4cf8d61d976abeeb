//! What the driver knows of all subscriptions, and what each needs next.
//!
//! Everything here happens under one lock and without waiting: `plan` decides, this carries what it
//! needs to know to it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::programs::Programs;
use super::queues::{Place, Queues};
use super::rollout::Rollout;
use super::send::Ahead;
use crate::configuration::RegistrationEntry;
use crate::event::ObjectName;
use crate::provision::limits::HostName;
use crate::provision::plan::{Action, Context, Seeds, Turn, opened, plan};
use crate::provision::record::Attempt;
use crate::provision::{Desired, Record};

/// All subscriptions.
#[derive(Default)]
pub(super) struct State {
    /// In order, so that a page of them can be shown without all the others.
    pub keys: BTreeMap<ObjectName, Key>,
    pub due: BTreeSet<(Timestamp, ObjectName)>,
    pub rollouts: HashMap<ObjectName, Rollout>,
    pub queues: Queues,
    /// Subscriptions whose record is there and cannot be read: what is wrong, by the name of the
    /// UpstreamSubscription without its namespace.
    pub unreadable: BTreeMap<String, String>,
    /// Whether the list of wishes was complete once, so that what is not on it is not wanted.
    pub is_complete: bool,
    /// Whether there was a list of wishes at all.
    pub is_applied: bool,
    pub is_draining: bool,
}

/// One subscription.
#[derive(Default)]
pub(super) struct Key {
    pub desired: Option<Arc<Desired>>,
    /// Whether what is not desired of it is merely unknown.
    pub held: bool,
    /// What is stored.
    pub record: Option<Arc<Record>>,
    /// The same, once it is also live in the gateway: what people see. So nobody is told of what a
    /// kill could still undo, or of what does not hold at the URI yet.
    pub standing: Option<Arc<Record>>,
    /// What came of a request and could not be stored yet: nothing else may happen before.
    pub unstored: Option<Arc<Record>>,
    /// The attempt whose request this process has stored and not begun to send.
    pub unsent: Option<Attempt>,
    /// The entries that are live, and whether they are those of the record.
    pub published: Vec<RegistrationEntry>,
    pub is_published: bool,
    pub stage: Stage,
    /// When it is looked at next, while nobody works on it.
    pub due: Option<Timestamp>,
    /// Failures to store or publish in a row.
    pub failures: u32,
    /// Held while its record changes, from the decision until it is stored and live.
    pub writing: Arc<tokio::sync::Mutex<()>>,
    /// What was shown last: a hash of it, and its conditions for their times.
    pub shown: Option<u64>,
    pub conditions: Vec<Condition>,
}

/// Whether somebody works on a subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nobody; it waits for a time or a change.
    #[default]
    Resting,
    /// It waits for a place.
    Queued,
    /// Somebody does. If something changed meanwhile, it is looked at again afterwards.
    Working { again: bool },
}

/// What a subscription needs next.
pub(super) enum Step {
    /// Nothing until a time, or until something changes.
    Rest(Option<Timestamp>),
    /// To be forgotten: nothing is there and nothing is wanted.
    Drop,
    /// Its record is removed.
    Forget,
    /// What could not be stored or published yet.
    CatchUp,
    /// A record is stored; if a request follows from it, which one.
    Store(Box<Record>, Option<Ahead>),
    /// A request is sent.
    Send(Ahead, Timestamp),
}

impl Key {
    /// What the record is after everything that is known.
    pub fn latest(&self) -> Option<&Arc<Record>> {
        self.unstored.as_ref().or(self.record.as_ref())
    }

    /// What is wanted. What is merely unknown is wanted as it last was.
    pub fn wish(&self, is_complete: bool) -> Option<Arc<Desired>> {
        if self.desired.is_some() || (is_complete && !self.held) {
            return self.desired.clone();
        }
        let record = self.record.as_ref()?;
        let current = record.current()?;
        Some(Arc::new(Desired {
            name: record.name.clone(),
            inputs: record.inputs.clone(),
            request_hash: if current.request_hash.is_empty() {
                current.attempt.request_hash.clone()
            } else {
                current.request_hash.clone()
            },
            allow_re_registration: false,
        }))
    }
}

impl State {
    /// Looks at a subscription at a time, unless somebody works on it.
    pub fn schedule(&mut self, name: &ObjectName, at: Timestamp) {
        let Some(key) = self.keys.get_mut(name) else {
            return;
        };
        match &mut key.stage {
            Stage::Working { again } => *again = true,
            Stage::Queued => {}
            Stage::Resting => {
                if key.due.is_some_and(|due| due <= at) {
                    return;
                }
                if let Some(due) = key.due.replace(at) {
                    self.due.remove(&(due, name.clone()));
                }
                self.due.insert((at, name.clone()));
            }
        }
    }

    /// A subscription that is due.
    pub fn pop_due(&mut self, now: Timestamp) -> Option<ObjectName> {
        let (at, _) = self.due.first()?;
        if *at > now {
            return None;
        }
        let (_, name) = self.due.pop_first()?;
        if let Some(key) = self.keys.get_mut(&name) {
            key.due = None;
        }
        Some(name)
    }

    /// What a subscription needs next.
    pub fn step(
        &mut self,
        name: &ObjectName,
        now: Timestamp,
        seeds: &Seeds,
        programs: &Programs,
    ) -> Step {
        let Some(key) = self.keys.get(name) else {
            return Step::Drop;
        };
        if self.unreadable.contains_key(&name.name) {
            return if key.desired.is_none() && key.record.is_none() {
                Step::Drop
            } else {
                Step::Rest(None)
            };
        }
        if key.unstored.is_some() || !key.is_published {
            return Step::CatchUp;
        }
        let record = key.record.clone();
        let wish = key.wish(self.is_complete);
        if wish.is_none() && (key.held || !self.is_complete) && record.is_none() {
            return Step::Drop;
        }
        let unsent = key.unsent.clone();
        let turn = match (&record, &wish) {
            (Some(record), Some(wish)) => {
                let rollout = self.rollouts.entry(record.inputs.event_type.clone());
                rollout.or_default().turn(record, wish, now)
            }
            _ => {
                // What is not wanted any more must not keep others from their turns.
                if let Some(record) = &record
                    && let Some(rollout) = self.rollouts.get_mut(&record.inputs.event_type)
                {
                    rollout.leave(name);
                }
                Turn::Granted
            }
        };
        let context = Context {
            now,
            unsent: unsent.as_ref(),
            turn,
            seeds,
        };
        match plan(wish.as_deref(), record.as_deref(), &context) {
            Action::Wait { until, .. } => Step::Rest(until),
            Action::Nothing => Step::Drop,
            Action::Forget => Step::Forget,
            Action::Send {
                number,
                kind,
                deadline,
            } => match record {
                Some(record) => {
                    let program = programs.of(&record.inputs);
                    let ahead = Ahead {
                        record,
                        program,
                        number,
                        kind,
                    };
                    Step::Send(ahead, deadline)
                }
                None => Step::Rest(None),
            },
            Action::Store(next) => {
                let unsent = opened(record.as_deref(), &next).or(unsent.as_ref());
                let context = Context { unsent, ..context };
                let ahead = match plan(wish.as_deref(), Some(&next), &context) {
                    Action::Send { number, kind, .. } => Some(Ahead {
                        program: programs.of(&next.inputs),
                        record: Arc::new((*next).clone()),
                        number,
                        kind,
                    }),
                    _ => None,
                };
                Step::Store(next, ahead)
            }
        }
    }

    /// Wakes those who may have a turn in a rollout now that it is known how it stands for `name`.
    pub fn pass_turns_after(&mut self, name: &ObjectName, now: Timestamp) {
        let record = self.keys.get(name).and_then(Key::latest);
        if let Some(event_type) = record.map(|record| record.inputs.event_type.clone()) {
            self.pass_turns(&event_type, now);
        }
    }

    /// Wakes those who may have a turn in a rollout now.
    pub fn pass_turns(&mut self, event_type: &ObjectName, now: Timestamp) {
        let next = self.rollouts.get(event_type).map(Rollout::next);
        for name in next.unwrap_or_default() {
            self.schedule(&name, now);
        }
    }

    /// Queues a subscription for a place.
    pub fn queue(&mut self, name: &ObjectName, place: Place) {
        if let Some(key) = self.keys.get_mut(name) {
            key.stage = Stage::Queued;
            self.queues.push(place, name.clone());
        }
    }
}

/// Where a step is done; the host's name is worked out by rendering the request.
pub(super) fn place(ahead: Option<&Ahead>, now: Timestamp) -> (Place, Option<HostName>) {
    match ahead.and_then(|ahead| ahead.host(now)) {
        Some(host) => (Place::Host(host.clone()), Some(host)),
        None => (Place::Local, None),
    }
}
