//! Replays: events of the log's history are given to subscriptions once more.
//!
//! A replay walks through the log a few hundred events at a time and waits while its subscriptions
//! have enough of them, so that a replay of millions takes no memory. How far it has come is in the
//! state store, so it goes on after a restart; what it put into the queues is undelivered like
//! anything else.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::engine::Engine;
use super::record::{self, Stored};
use super::router;
use super::subscription::Subscription;
use crate::event::{Event, ObjectName};
use crate::event_log::{Entry, Scan, ScanFrom, ScanItem, Sequence};

/// Events of replays that one subscription may have undelivered before replays wait for it.
const IN_QUEUE: usize = 256;

/// Events a replay looks at before it lets others run.
const STEP: usize = 512;

/// How long a replay waits for its subscriptions.
const PAUSE: Duration = Duration::from_millis(50);

/// Replays that may run at the same time; each holds a file open and a little memory.
pub const MAX_REPLAYS: usize = 16;

/// Which events to deliver once more, and to whom. Everything that is `None` matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ReplayRequest {
    /// Only to this subscription; otherwise to every one that wants the event.
    pub subscription: Option<ObjectName>,
    /// Only events of this AppEventType.
    pub event_type: Option<ObjectName>,
    /// Only events of the customer with this id.
    pub customer: Option<String>,
    /// Only the events with this `id`.
    pub id: Option<String>,
    /// Only events received at this time or later.
    pub from: Option<Timestamp>,
    /// Only events received before this time.
    pub until: Option<Timestamp>,
}

impl ReplayRequest {
    /// Whether an event is meant; `received` is in milliseconds since the epoch.
    pub(super) fn selects(&self, event: &Event, received: i64) -> bool {
        let attributes = &event.attributes;
        let customer = attributes.customer.as_ref().map(|customer| &customer.id);
        self.event_type
            .as_ref()
            .is_none_or(|wanted| *wanted == attributes.app_event_type)
            && self
                .customer
                .as_ref()
                .is_none_or(|wanted| Some(wanted) == customer)
            && self
                .id
                .as_ref()
                .is_none_or(|wanted| *wanted == attributes.id)
            && self
                .from
                .is_none_or(|from| received >= from.as_millisecond())
            && self
                .until
                .is_none_or(|until| received < until.as_millisecond())
    }
}

/// The number of a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ReplayId(pub u64);

impl fmt::Display for ReplayId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Why a replay was not begun.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// There is no such subscription.
    #[error("failed to begin the replay: there is no subscription {0}")]
    UnknownSubscription(ObjectName),
    /// Too many run.
    #[error("failed to begin the replay: {MAX_REPLAYS} replays are running")]
    TooMany,
    /// It could not be recorded.
    #[error("failed to record the replay: {0}")]
    State(String),
    /// Events could not be appended to the log.
    #[error("failed to store events for the replay: {0}")]
    Log(String),
    /// Delivery is stopping.
    #[error("failed to begin the replay: delivery is stopping")]
    Stopping,
}

/// A replay as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Replay {
    pub request: ReplayRequest,
    /// Everything up to this sequence has been looked at.
    pub done: u64,
    /// It ends behind this sequence: what came later was delivered with the request known.
    pub end: u64,
    /// Events that were given out again, counted once for each subscription.
    pub replayed: u64,
}

/// A replay that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayStatus {
    /// Its number.
    pub id: ReplayId,
    /// What was asked for.
    pub request: ReplayRequest,
    /// Events that were given out again so far, counted once for each subscription.
    pub replayed: u64,
    /// The sequence up to which the log has been looked through.
    pub done: u64,
    /// The sequence where it ends.
    pub end: u64,
}

/// The replays that run.
#[derive(Debug)]
pub(super) struct Replays {
    next: AtomicU64,
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    replays: BTreeMap<u64, Replay>,
    dirty: BTreeMap<u64, ()>,
}

impl Replays {
    /// Goes on with those that are remembered.
    pub fn new(remembered: BTreeMap<u64, Replay>) -> Self {
        Self {
            next: AtomicU64::new(remembered.keys().last().map_or(1, |last| last + 1)),
            running: Mutex::new(Running {
                replays: remembered,
                dirty: BTreeMap::new(),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that run.
    pub fn list(&self) -> Vec<ReplayStatus> {
        let running = self.lock();
        let status = |(id, replay): (&u64, &Replay)| ReplayStatus {
            id: ReplayId(*id),
            request: replay.request.clone(),
            replayed: replay.replayed,
            done: replay.done,
            end: replay.end,
        };
        running.replays.iter().map(status).collect()
    }

    /// Adds one, to be written with the next batch.
    pub fn add(&self, replay: Replay) -> Result<ReplayId, ReplayError> {
        let mut running = self.lock();
        if running.replays.len() >= MAX_REPLAYS {
            return Err(ReplayError::TooMany);
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        running.replays.insert(id, replay);
        running.dirty.insert(id, ());
        Ok(ReplayId(id))
    }

    /// What changed since the last call.
    pub fn take_changes(&self) -> Vec<(u64, Option<Replay>)> {
        let mut running = self.lock();
        let dirty = std::mem::take(&mut running.dirty);
        dirty
            .into_keys()
            .map(|id| (id, running.replays.get(&id).cloned()))
            .collect()
    }

    /// Marks what [`Replays::take_changes`] gave as not written after all.
    pub fn give_back(&self, changes: &[(u64, Option<Replay>)]) {
        self.lock()
            .dirty
            .extend(changes.iter().map(|(id, _)| (*id, ())));
    }

    fn get(&self, id: ReplayId) -> Option<Replay> {
        self.lock().replays.get(&id.0).cloned()
    }

    fn advance(&self, id: ReplayId, done: u64, replayed: u64) {
        let mut running = self.lock();
        if let Some(replay) = running.replays.get_mut(&id.0) {
            replay.done = replay.done.max(done);
            replay.replayed += replayed;
            running.dirty.insert(id.0, ());
        }
    }

    fn remove(&self, id: ReplayId) {
        let mut running = self.lock();
        running.replays.remove(&id.0);
        running.dirty.insert(id.0, ());
    }
}

/// Carries a replay out, from where it stands.
pub(super) async fn run(engine: Arc<Engine>, id: ReplayId) {
    let Some(replay) = engine.replays.get(id) else {
        return;
    };
    let mut scan = Some(engine.log.scan(match replay.done {
        0 => ScanFrom::Oldest,
        done => ScanFrom::After(Sequence(done)),
    }));
    // What was undelivered when the log was opened must be known first, or it would come twice.
    while !engine.recovered.load(Ordering::Acquire) {
        if engine.is_stopped() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
    while let Some(taken) = scan.take() {
        if engine.is_stopped() {
            return;
        }
        if is_saturated(&engine, &replay.request) || engine.is_draining() {
            scan = Some(taken);
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        let (stepping, request) = (engine.clone(), replay.request.clone());
        let end = replay.end;
        let stepped =
            tokio::task::spawn_blocking(move || step(&stepping, taken, &request, end)).await;
        let Ok(Step {
            scan: taken,
            done,
            replayed,
            failed,
        }) = stepped
        else {
            tracing::error!(replay = %id, "a replay was broken off");
            break;
        };
        engine.replays.advance(id, done, replayed);
        if failed {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        scan = taken;
    }
    tracing::info!(replay = %id, "replayed");
    engine.replays.remove(id);
}

/// What one step of a replay came to.
struct Step {
    /// `None`: it is at its end.
    scan: Option<Scan>,
    done: u64,
    replayed: u64,
    failed: bool,
}

fn step(engine: &Engine, mut scan: Scan, request: &ReplayRequest, end: u64) -> Step {
    let mut done = 0;
    let mut replayed = 0;
    let mut failed = false;
    for _ in 0..STEP {
        let entry = match scan.next() {
            Ok(Some(ScanItem::Record(entry))) => entry,
            Ok(Some(ScanItem::Damage(_))) => continue,
            Ok(None) => {
                return Step {
                    scan: None,
                    done: end,
                    replayed,
                    failed,
                };
            }
            Err(error) => {
                tracing::warn!(%error, "failed to read the event log for a replay");
                failed = true;
                break;
            }
        };
        if entry.sequence.0 > end {
            // Relocated records may stand behind it, but those are undelivered anyway.
            return Step {
                scan: None,
                done: end,
                replayed,
                failed,
            };
        }
        if !entry.relocated {
            done = entry.sequence.0;
        }
        replayed += offer(engine, &entry, request);
    }
    Step {
        scan: Some(scan),
        done,
        replayed,
        failed,
    }
}

/// Puts an event into the queues of those it is meant for; how many that were.
fn offer(engine: &Engine, entry: &Entry, request: &ReplayRequest) -> u64 {
    let Ok(Stored { event, only_for }) = record::decode(&entry.bytes) else {
        return 0;
    };
    if !request.selects(&event, entry.appended_at) {
        return 0;
    }
    let attributes = &event.attributes;
    let table = engine.table();
    let item = router::item(entry, router::customer_of(&event));
    let mut replayed = 0;
    for subscription in table.matching(&attributes.app_event_type, attributes.customer.as_ref()) {
        let name = &subscription.registration.name;
        if request
            .subscription
            .as_ref()
            .is_some_and(|wanted| wanted != name)
            || only_for.as_ref().is_some_and(|only| only != name)
            || !matches!(subscription.live().filter.admits(&event), Ok(true))
        {
            continue;
        }
        if subscription.queue().replay(item, engine.now()) {
            replayed += 1;
            subscription.wake.notify_one();
        }
    }
    replayed
}

fn is_saturated(engine: &Engine, request: &ReplayRequest) -> bool {
    let table = engine.table();
    let full = |subscription: &Arc<Subscription>| subscription.queue().replaying() >= IN_QUEUE;
    match &request.subscription {
        Some(name) => table.get(name).is_some_and(full),
        None => table.iter().any(full),
    }
}
