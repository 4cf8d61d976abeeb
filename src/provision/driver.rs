//! Carries out what `super::plan` decides: stores, makes URIs live, sends, and stores what came of
//! it, for every subscription, one request at a time each.
//!
//! One task looks at what is due and lets subscriptions begin as there is room at their hosts
//! (`super::limits`); each then goes on by itself until it has to wait. Subscriptions that wait
//! cost a place in a sorted list and nothing else, so nothing is polled.
//!
//! **Invariants:** nothing is sent that is not stored before, and live in the gateway. What came of
//! a request is kept until it is stored; until then nothing else happens to that subscription. A
//! panic while one subscription is worked on ends that attempt and nothing else.
//!
//! Deliberately absent: any decision about a subscription, and where records are kept.

mod metrics;
mod programs;
mod queues;
mod reports;
mod rollout;
mod send;
mod state;
mod tokens;
mod view;
mod work;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use prometheus_client::registry::Registry;
use tokio::sync::Notify;
use tokio::time::Instant;

pub use view::View;

use super::client::{Call, Client, NoReply, Reply};
use super::limits::Hosts;
use super::plan::Seeds;
use super::store::{Loaded, NotPublished, Publish, RecordStore, StoreError};
use super::{Desired, Record};
use crate::event::ObjectName;
use metrics::Metrics;
use programs::Programs;
use queues::Place;
use state::{Key, Stage, State, Step, place};
use tokens::Tokens;

/// How many due subscriptions are looked at before others may do something in between.
const LOOKS_AT_ONCE: usize = 64;

/// The longest sleep: a clock that is set forward, or a machine that slept, is noticed then.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Sends one request.
pub trait Caller: Send + Sync + 'static {
    /// Sends it, once, and reads the whole answer.
    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Reply, NoReply>>;
}

impl Caller for Client {
    fn call<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Reply, NoReply>> {
        Box::pin(self.send(call))
    }
}

/// Is told what people see. It must not wait, and is not told what did not change.
pub trait Show: Send + Sync + 'static {
    /// A subscription came to rest, or waits for something, in another state than before.
    fn shown(&self, view: View);

    /// A subscription is not there any more, nor anything of it at the app.
    fn gone(&self, name: &ObjectName);
}

/// What a driver is made of.
pub struct Parts {
    /// Where records are kept.
    pub store: Arc<dyn RecordStore>,
    /// What sends requests.
    pub caller: Arc<dyn Caller>,
    /// Who is told what people see.
    pub show: Arc<dyn Show>,
    /// The time.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Randomness.
    pub seeds: Arc<dyn Fn() -> Seeds + Send + Sync>,
}

/// What is wanted of all subscriptions.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// What is wanted.
    pub desired: Vec<Arc<Desired>>,
    /// Of which it is merely not known what is wanted: they stay as they are.
    pub held: BTreeSet<ObjectName>,
    /// Whether everything that is wanted is known: only then is what is neither desired nor held
    /// not wanted. Once it was, it is for good.
    pub is_complete: bool,
}

/// Drives all subscriptions. Cheap to clone.
#[derive(Clone)]
pub struct Driver(Arc<Inner>);

struct Inner {
    store: Arc<dyn RecordStore>,
    caller: Arc<dyn Caller>,
    show: Arc<dyn Show>,
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    seeds: Arc<dyn Fn() -> Seeds + Send + Sync>,
    publish: OnceLock<Arc<dyn Publish>>,
    hosts: Hosts,
    programs: Programs,
    tokens: Tokens,
    metrics: Metrics,
    state: Mutex<State>,
    /// When each subscription last had an event, as far as it was told.
    seen: Mutex<HashMap<ObjectName, Timestamp>>,
    /// Held by whoever stores the time of an event.
    event_times: tokio::sync::Mutex<()>,
    /// Something is due, or done.
    woken: Notify,
    /// Nobody is worked on any more.
    idle: Notify,
    is_started: AtomicBool,
}

impl Driver {
    /// A driver that does nothing yet. Its metrics begin with `provision_` below the registry's own
    /// prefix.
    pub fn new(parts: Parts, registry: &mut Registry) -> Self {
        let Parts {
            store,
            caller,
            show,
            clock,
            seeds,
        } = parts;
        let inner = Arc::new(Inner {
            store,
            caller,
            show,
            clock,
            seeds,
            publish: OnceLock::new(),
            hosts: Hosts::default(),
            programs: Programs::default(),
            tokens: Tokens::default(),
            metrics: Metrics::default(),
            state: Mutex::default(),
            seen: Mutex::default(),
            event_times: tokio::sync::Mutex::default(),
            woken: Notify::new(),
            idle: Notify::new(),
            is_started: AtomicBool::new(false),
        });
        metrics::register(&inner, registry);
        Self(inner)
    }

    /// Reads all records, makes their URIs live, and begins. Nothing is sent before
    /// [`Driver::apply`]. What could not be read, in sentences.
    ///
    /// # Errors
    /// When the store cannot be read, or the URIs cannot be made live.
    pub async fn start(&self, publish: Arc<dyn Publish>) -> Result<Vec<String>, StartError> {
        let loaded = self.0.store.load().await?;
        let mut errors = Vec::new();
        let now = self.0.now();
        {
            let mut state = self.0.lock();
            for one in loaded {
                match one {
                    Loaded::Record(record) => {
                        let key = Key {
                            record: Some(Arc::new(*record)),
                            // Perhaps, before a restart: that it is gone must be told all the same.
                            shown: Some(0),
                            ..Key::default()
                        };
                        if let Some(record) = &key.record {
                            state.keys.insert(record.name.clone(), key);
                        }
                    }
                    Loaded::Unreadable { name, error } => {
                        errors.push(error.clone());
                        state.unreadable.insert(name, error);
                    }
                }
            }
        }
        let _ = self.0.publish.set(publish);
        self.0.publish_all(now).await?;
        self.0.is_started.store(true, Ordering::Release);
        tokio::spawn(Arc::clone(&self.0).run());
        Ok(errors)
    }

    /// From now on this is what is wanted.
    pub fn apply(&self, wishes: Wishes) {
        self.0.apply(wishes);
    }

    /// Subscriptions as people see them, by name: at most so many, those after a name.
    #[must_use]
    pub fn views(&self, after: Option<&ObjectName>, most: usize) -> Vec<View> {
        self.0.views(after, most)
    }

    /// One subscription as people see it; `None` where nothing is wanted of it and nothing left.
    #[must_use]
    pub fn view(&self, name: &ObjectName) -> Option<View> {
        self.0.view(name)
    }

    /// Whether nothing is under way or due: all wait for a time or for a change.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        let now = self.0.now();
        let state = self.0.lock();
        let is_due = state.due.first().is_some_and(|(at, _)| *at <= now);
        let is_resting = |key: &Key| key.stage == Stage::Resting;
        !is_due && state.queues.running() == 0 && state.keys.values().all(is_resting)
    }

    /// Begins nothing any more, and waits for what is under way, at most so long. What is not done
    /// then is found out at the next start.
    pub async fn drain(&self, most: Duration) {
        self.0.lock().is_draining = true;
        let deadline = Instant::now() + most;
        loop {
            let idle = self.0.idle.notified();
            if self.0.lock().queues.running() == 0 {
                return;
            }
            if tokio::time::timeout_at(deadline, idle).await.is_err() {
                return;
            }
        }
    }
}

/// Why a driver did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The records cannot be read.
    #[error("failed to read the records of upstream subscriptions: {0}")]
    Store(#[from] StoreError),
    /// The URIs cannot be made live.
    #[error("failed to make the registrations' webhook URIs live: {0}")]
    Publish(#[from] NotPublished),
}

impl Inner {
    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What is changed under it is never left half changed, so a poisoned lock is still good.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, wishes: Wishes) {
        let Wishes {
            desired,
            held,
            is_complete,
        } = wishes;
        let now = self.now();
        let mut guard = self.lock();
        let state = &mut *guard;
        // Looked at once in the beginning, also where nothing is wanted; and once it is known what is.
        let is_first = !state.is_applied || (is_complete && !state.is_complete);
        state.is_applied = true;
        state.is_complete |= is_complete;
        let mut wanted: HashMap<ObjectName, Arc<Desired>> = desired
            .into_iter()
            .map(|desired| (desired.name.clone(), desired))
            .collect();
        let types: BTreeSet<ObjectName> = wanted
            .values()
            .map(|desired| desired.inputs.event_type.clone())
            .collect();
        let mut changed = Vec::new();
        let mut edited = BTreeSet::new();
        for (name, key) in &mut state.keys {
            let desired = wanted.remove(name);
            let is_held = desired.is_none() && held.contains(name);
            if let (Some(new), Some(old)) = (&desired, &key.desired)
                && is_edited(old, new)
            {
                edited.insert(new.inputs.event_type.clone());
            }
            if is_first || key.desired != desired || key.held != is_held {
                changed.push(name.clone());
            }
            if let (Some(desired), Some(record)) = (&desired, &mut key.record) {
                // Taken out meanwhile, or it would be another holder of what is changed.
                let is_standing = key.standing.take_if(|it| Arc::ptr_eq(it, record)).is_some();
                share_inputs(record, desired);
                if is_standing {
                    key.standing = Some(Arc::clone(record));
                }
            }
            key.desired = desired;
            key.held = is_held;
        }
        for (name, desired) in wanted {
            changed.push(name.clone());
            let key = Key {
                desired: Some(desired),
                is_published: true,
                ..Key::default()
            };
            state.keys.insert(name, key);
        }
        for event_type in edited {
            let waiting = state.rollouts.get_mut(&event_type).map(|it| it.restart());
            changed.extend(waiting.unwrap_or_default());
        }
        for name in changed {
            state.schedule(&name, now);
        }
        drop(guard);
        self.hosts.keep_types(|name| types.contains(name));
        self.woken.notify_one();
    }

    /// Lets begin what is due, for ever.
    async fn run(self: Arc<Self>) {
        loop {
            let sleep = self.dispatch();
            match sleep {
                Some(sleep) if sleep.is_zero() => tokio::task::yield_now().await,
                Some(sleep) => {
                    let sleep = sleep.min(LONGEST_SLEEP);
                    // Whoever wakes it may do so before it sleeps; that counts too.
                    let _ = tokio::time::timeout(sleep, self.woken.notified()).await;
                }
                None => return,
            }
        }
    }

    /// Looks at what is due and lets begin what has room. How long there is nothing more to do;
    /// `None`: for good.
    fn dispatch(self: &Arc<Self>) -> Option<Duration> {
        let now = self.now();
        let mut state = self.lock();
        if state.is_draining {
            return None;
        }
        let mut shown = Vec::new();
        let mut looked = 0;
        while looked < LOOKS_AT_ONCE
            && let Some(name) = state.pop_due(now)
        {
            looked += 1;
            // A mistake about one subscription must not end the work on all others.
            let looked_at = catch_unwind(AssertUnwindSafe(|| self.look(&mut state, &name, now)));
            match looked_at {
                Ok(told) => shown.extend(told),
                Err(_) => state.schedule(&name, after_a_panic(now)),
            }
        }
        let instant = Instant::now();
        let host = |name: &super::limits::HostName| {
            (self.hosts.concurrency(name), self.hosts.paused_until(name))
        };
        while let Some((place, name)) = state.queues.start(instant, host) {
            if let Some(key) = state.keys.get_mut(&name) {
                key.stage = Stage::Working { again: false };
            }
            tokio::spawn(Arc::clone(self).work(name, place));
        }
        let due = state.due.first().map(|(at, _)| *at);
        let due = due.map(|at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
        let unpaused = state.queues.next_at();
        let unpaused = unpaused.map(|at| at.saturating_duration_since(instant));
        drop(state);
        for event in shown {
            self.tell(event);
        }
        Some(
            due.into_iter()
                .chain(unpaused)
                .min()
                .unwrap_or(LONGEST_SLEEP),
        )
    }

    /// Looks at one subscription: it rests, or waits for a place.
    fn look(&self, state: &mut State, name: &ObjectName, now: Timestamp) -> Option<view::Told> {
        match state.step(name, now, &(self.seeds)(), &self.programs) {
            Step::Rest(until) => {
                if let Some(until) = until {
                    // A time that has come already would be looked at without end.
                    state.schedule(name, until.max(soon(now)));
                }
                state.pass_turns_after(name, now);
                return self.rested(state, name, now);
            }
            Step::Drop => {
                state.pass_turns_after(name, now);
                return self.dropped(state, name);
            }
            Step::Forget | Step::CatchUp => state.queue(name, Place::Local),
            Step::Store(_, ahead) => self.queue(state, name, ahead.as_ref(), now),
            Step::Send(ahead, _) => self.queue(state, name, Some(&ahead), now),
        }
        None
    }

    fn queue(
        &self,
        state: &mut State,
        name: &ObjectName,
        ahead: Option<&send::Ahead>,
        now: Timestamp,
    ) {
        let (place, host) = place(ahead, now);
        if let (Some(host), Some(ahead)) = (host, ahead) {
            let inputs = &ahead.record.inputs;
            self.hosts
                .know(&host, &inputs.event_type, &inputs.subscription.limits);
        }
        state.queue(name, place);
    }
}

/// Whether a type was edited in a way that may mend what a rollout stopped for.
fn is_edited(old: &Desired, new: &Desired) -> bool {
    let (old, new) = (&old.inputs, &new.inputs);
    old.subscription != new.subscription
        || old.type_ != new.type_
        || old.app != new.app
        || old.public_url != new.public_url
        || old.global_webhook_path != new.global_webhook_path
}

/// Keeps equal inputs in memory once.
fn share_inputs(record: &mut Arc<Record>, desired: &Desired) {
    if !Arc::ptr_eq(&record.inputs, &desired.inputs) && record.inputs == desired.inputs {
        Arc::make_mut(record).inputs = desired.inputs.clone();
    }
}

/// When a subscription is looked at again after a panic, which the runtime's hook has logged.
fn after_a_panic(now: Timestamp) -> Timestamp {
    now.checked_add(Duration::from_secs(60)).unwrap_or(now)
}

/// The soonest that a subscription that rests is looked at again.
fn soon(now: Timestamp) -> Timestamp {
    now.checked_add(Duration::from_millis(1)).unwrap_or(now)
}
