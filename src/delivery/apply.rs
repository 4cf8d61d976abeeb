//! Takes a configuration's subscriptions over: new ones are recorded before the configuration goes
//! live, edited ones keep their queues, deleted ones lose theirs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::engine::{self, Engine};
use super::filter::Filter;
use super::metrics::Dropped;
use super::positions::Positions;
use super::queue::Queue;
use super::state::{Memory, Number, Registration};
use super::subscription::{Live, Subscription};
use super::table::Table;
use super::{Running, replay, retention, router, worker};
use crate::configuration::SubscriptionEntry;
use crate::event::ObjectName;

/// Why a configuration could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The new subscriptions could not be recorded. Nothing of the configuration is safe to go
    /// live; applying it again is.
    #[error("failed to record the subscriptions: {0}")]
    State(String),
    /// A thread could not be started.
    #[error("failed to start a delivery thread")]
    Thread(#[source] std::io::Error),
    /// Delivery is stopping.
    #[error("failed to apply the subscriptions: delivery is stopping")]
    Stopping,
}

/// What applying configurations needs to know.
pub(super) struct Applied {
    /// What the state store knew; taken by the first configuration.
    memory: Option<Memory>,
    next: Number,
    /// What is still to be recorded: more than the last change, if recording failed before.
    registered: Vec<(Number, Registration)>,
    forgotten: Vec<Number>,
}

impl Applied {
    /// Nothing has been applied yet.
    pub fn new(memory: Memory) -> Self {
        Self {
            next: memory.next,
            memory: Some(memory),
            registered: Vec::new(),
            forgotten: Vec::new(),
        }
    }
}

/// See [`super::Delivery::apply`].
pub(super) async fn apply(
    running: &Running,
    entries: &[Arc<SubscriptionEntry>],
) -> Result<(), ApplyError> {
    let engine = &running.engine;
    let mut applied = running.applied.lock().await;
    if engine.is_stopped() || engine.is_draining() {
        return Err(ApplyError::Stopping);
    }
    let watermark = engine.log.high_watermark().borrow().0;
    let first = applied.memory.is_some();
    let mut memory = applied.memory.take().unwrap_or_default();
    // A lost state means that nobody knows what was delivered: everything is.
    let after = if first && !memory.known { 0 } else { watermark };
    let before = engine.table().clone();

    let numbers = numbers(&memory);
    let mut added = Vec::new();
    let mut all = Vec::with_capacity(entries.len());
    for entry in entries {
        let known = before
            .get(&entry.name)
            .filter(|subscription| subscription.registration.uid == entry.uid);
        if let Some(subscription) = known {
            edit(engine, subscription, entry, watermark);
            all.push(subscription.clone());
            continue;
        }
        let (number, registration, queue) = match recall(&mut memory, &numbers, entry) {
            Some(recalled) => recalled,
            None => register(&mut applied, entry, after),
        };
        let live = live(engine, entry.clone(), None, watermark);
        let subscription = Arc::new(Subscription::new(number, registration, live, queue));
        added.push(subscription.clone());
        all.push(subscription);
    }
    let kept: HashSet<Number> = all.iter().map(|subscription| subscription.number).collect();
    engine.set_table(Table::new(all));
    for subscription in before.iter() {
        if !kept.contains(&subscription.number) {
            end(engine, subscription);
            forget(&mut applied, subscription.number);
        }
    }
    for (number, remembered) in memory.subscriptions {
        let undelivered = remembered.undelivered.len();
        tracing::info!(
            subscription = %remembered.registration.name,
            undelivered,
            "the subscription is gone; its undelivered events are dropped"
        );
        engine
            .metrics
            .dropped(Dropped::SubscriptionDeleted, undelivered);
        forget(&mut applied, number);
    }
    let result = record(engine, &mut applied, first).await;
    for subscription in added {
        let number = subscription.number;
        let task = tokio::spawn(worker::run(engine.clone(), subscription));
        engine.started(number, task.abort_handle());
    }
    if first {
        start(engine)?;
    }
    result
}

/// Writes which subscriptions are new and which are gone; if that fails, the next call does it.
async fn record(
    engine: &Arc<Engine>,
    applied: &mut Applied,
    first: bool,
) -> Result<(), ApplyError> {
    if !first && applied.registered.is_empty() && applied.forgotten.is_empty() {
        return Ok(());
    }
    let (registered, forgotten) = (applied.registered.clone(), applied.forgotten.clone());
    let engine = engine.clone();
    tokio::task::spawn_blocking(move || engine.register(registered, forgotten))
        .await
        .map_err(|error| ApplyError::State(error.to_string()))?
        .map_err(|error| ApplyError::State(error.to_string()))?;
    applied.registered.clear();
    applied.forgotten.clear();
    Ok(())
}

fn register(
    applied: &mut Applied,
    entry: &SubscriptionEntry,
    after: u64,
) -> (Number, Registration, Queue) {
    let number = applied.next;
    applied.next += 1;
    let registration = Registration {
        name: entry.name.clone(),
        uid: entry.uid.clone(),
        after,
    };
    applied.registered.push((number, registration.clone()));
    let queue = Queue::new(
        entry.delivery.clone(),
        Positions::default(),
        Default::default(),
    );
    (number, registration, queue)
}

fn forget(applied: &mut Applied, number: Number) {
    applied
        .registered
        .retain(|(registered, _)| *registered != number);
    applied.forgotten.push(number);
}

/// The numbers of the subscriptions that the state store knew, by name and UID.
fn numbers(memory: &Memory) -> HashMap<(ObjectName, String), Number> {
    let remembered = memory.subscriptions.iter();
    remembered
        .map(|(number, remembered)| {
            let registration = &remembered.registration;
            (
                (registration.name.clone(), registration.uid.clone()),
                *number,
            )
        })
        .collect()
}

/// What the state store knew of a subscription.
fn recall(
    memory: &mut Memory,
    numbers: &HashMap<(ObjectName, String), Number>,
    entry: &SubscriptionEntry,
) -> Option<(Number, Registration, Queue)> {
    let number = *numbers.get(&(entry.name.clone(), entry.uid.clone()))?;
    let remembered = memory.subscriptions.remove(&number)?;
    let queue = Queue::new(
        entry.delivery.clone(),
        remembered.undelivered,
        remembered.retries,
    );
    Some((number, remembered.registration, queue))
}

/// Starts what runs for all subscriptions.
fn start(engine: &Arc<Engine>) -> Result<(), ApplyError> {
    let thread = |name: &str, work: fn(&Engine)| {
        let engine = engine.clone();
        std::thread::Builder::new()
            .name(name.into())
            .spawn(move || work(&engine))
            .map(drop)
            .map_err(ApplyError::Thread)
    };
    engine.routing.store(true, Ordering::Release);
    thread("delivery-router", router::run)?;
    thread("delivery-state", engine::save_regularly)?;
    let retention = tokio::spawn(retention::run(engine.clone()));
    engine.started(Number::MAX, retention.abort_handle());
    for replay in engine.replays.list() {
        tokio::spawn(replay::run(engine.clone(), replay.id));
    }
    Ok(())
}

fn live(
    engine: &Engine,
    entry: Arc<SubscriptionEntry>,
    before: Option<&Live>,
    recheck: u64,
) -> Live {
    let same_sender = before.filter(|before| {
        before.entry.sink == entry.sink
            && before.entry.delivery.timeout == entry.delivery.timeout
            && before.sender.is_ok()
    });
    let sender = match same_sender {
        Some(before) => before.sender.clone(),
        None => (engine.build_sender)(&entry),
    };
    Live {
        filter: Filter::new(entry.filter.as_deref()),
        sender,
        recheck,
        entry,
    }
}

fn edit(
    engine: &Engine,
    subscription: &Subscription,
    entry: &Arc<SubscriptionEntry>,
    watermark: u64,
) {
    let before = subscription.live().clone();
    if *before.entry == **entry {
        return;
    }
    let same_events = before.entry.filter == entry.filter
        && before.entry.customers == entry.customers
        && before.entry.event_type == entry.event_type;
    let recheck = if same_events {
        before.recheck
    } else {
        watermark
    };
    let live = live(engine, entry.clone(), Some(&before), recheck);
    subscription.set_live(live, engine.now());
}

fn end(engine: &Engine, subscription: &Subscription) {
    engine.end(subscription.number);
    let undelivered = subscription.queue().len();
    engine
        .metrics
        .dropped(Dropped::SubscriptionDeleted, undelivered);
    tracing::info!(
        subscription = %subscription.registration.name,
        undelivered,
        "the subscription was deleted; its undelivered events are dropped"
    );
}
