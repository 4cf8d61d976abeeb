//! Delivery: events leave the log for the sinks of the subscriptions that want them.
//!
//! The router reads the log and puts each event into the queues of its subscriptions; each
//! subscription has a task that tries what its queue lets go; what is given up becomes a dead
//! letter; retention frees the segments that nobody needs. What is undelivered is written to the
//! state store behind all that, so a crash costs a redelivery and never an event.
//!
//! [`Sender`] is the seam to the sinks and [`KeepDeadLetters`] the one to the dead letters; both
//! are traits so that everything between them can be tested without a network or a disk.
//!
//! **Invariant:** an event leaves a queue only after its delivery, after its dead letter is
//! synced, or because its subscription does not want it any more; and the state store hears of it
//! after that. A sink that fails costs its own subscription only.

mod apply;
mod backoff;
mod burial;
pub mod dead_letters;
mod engine;
mod filter;
mod hand_over;
mod history;
mod items;
mod metrics;
mod payload;
mod positions;
mod queue;
mod readers;
mod record;
mod replay;
mod retention;
mod router;
mod sender;
pub mod sink;
mod state;
mod status;
mod subscription;
mod table;
#[cfg(test)]
mod tests;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::sync::Mutex;

pub use apply::ApplyError;
pub use hand_over::Undelivered;
pub use history::{
    Cursor, DeliveryItem, DeliveryState, EventItem, EventPage, EventQuery, MAX_PAGE, NotACursor,
};
pub use record::{Stored, decode, encode, encode_addressed};
pub use replay::{MAX_REPLAYS, ReplayError, ReplayId, ReplayRequest, ReplayStatus};
pub use sender::{
    Attempt, BuildSender, Failure, FailureKind, KeepDeadLetters, KeepError, Outcome, Sender,
    UnusableSink,
};
pub use state::StateError;
pub use status::{Delivering, DeliveringReason, FailureStatus, SubscriptionStatus};

use apply::Applied;
use engine::Engine;
use metrics::Metrics;
use readers::Readers;
use replay::{Replay, Replays};
use state::State;

use crate::configuration::SubscriptionEntry;
use crate::event::{Event, ObjectName};
use crate::event_log::{Clock, EventLog, ReadError};

/// A source of random numbers in `[0, 1)`.
pub type Random = Arc<dyn Fn() -> f64 + Send + Sync>;

/// What delivery needs.
pub struct Parts {
    /// The log whose events it delivers. Nobody else frees or relocates in it.
    pub log: EventLog,
    /// The file of the state store, beside the log.
    pub state: PathBuf,
    /// Keeps dead letters.
    pub dead_letters: Arc<dyn KeepDeadLetters>,
    /// Makes senders.
    pub build_sender: Arc<BuildSender>,
    /// What the EventGateway says.
    pub settings: Settings,
    /// The time.
    pub clock: Clock,
    /// Randomness, for the jitter of retries.
    pub random: Random,
}

impl Parts {
    /// The system's clock and randomness.
    pub fn system() -> (Clock, Random) {
        let clock: Clock = Arc::new(|| jiff::Timestamp::now().as_millisecond());
        (clock, Arc::new(rand::random::<f64>))
    }
}

/// What the EventGateway says about delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Percent of the log that one subscription's undelivered events may hold, 1 to 100.
    pub undelivered_share: u8,
    /// How long delivered events are kept for replays, if space allows.
    pub replay_retention: Duration,
}

/// A handle of running delivery; cheap to clone. When the last one goes, everything stops at once,
/// as if the process had been killed; [`Delivery::drain`] stops in an orderly way.
#[derive(Clone)]
pub struct Delivery {
    running: Arc<Running>,
}

struct Running {
    engine: Arc<Engine>,
    applied: Mutex<Applied>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.engine.stop();
    }
}

impl Delivery {
    /// Opens the state store. Nothing is delivered before the first [`Delivery::apply`], because
    /// until then nobody knows for whom. Blocking: it reads the state.
    ///
    /// # Errors
    /// When the state is locked or its storage fails. Damaged state is no error: it is set aside,
    /// and every event that is still in the log is delivered again.
    pub fn open(parts: Parts, registry: &mut Registry) -> Result<Self, StateError> {
        let Parts {
            log,
            state,
            dead_letters,
            build_sender,
            settings,
            clock,
            random,
        } = parts;
        let watermark = log.high_watermark().borrow().0;
        let (state, mut memory) = State::open(&state, watermark)?;
        let readers = Readers::start(&log).map_err(StateError::Thread)?;
        if !memory.known && watermark > 0 {
            tracing::error!(
                "the delivery state is missing although the event log has events: all of them are \
                 delivered again"
            );
        }
        let routed = if memory.known { memory.routed } else { 0 };
        let replays = Replays::new(std::mem::take(&mut memory.replays));
        let engine = Engine::new(
            log,
            readers,
            state,
            routed,
            replays,
            Metrics::register(registry),
            settings,
            (dead_letters, build_sender),
            (clock, random),
        );
        Ok(Self {
            running: Arc::new(Running {
                engine: Arc::new(engine),
                applied: Mutex::new(Applied::new(memory)),
            }),
        })
    }

    fn engine(&self) -> &Arc<Engine> {
        &self.running.engine
    }

    /// Makes these the subscriptions. When it answers, every new one is recorded durably, so that
    /// it gets each event that is acknowledged from now on; call it before the configuration goes
    /// live elsewhere.
    ///
    /// A subscription that was there before keeps its undelivered events: they go to its new sink,
    /// as far as its new `filter` and customers still want them. One that is not among `entries`
    /// loses them. After a restart the first call finds what was undelivered, so it must not be
    /// made with subscriptions that could not all be read.
    ///
    /// # Errors
    /// When they could not be recorded.
    pub async fn apply(&self, entries: &[Arc<SubscriptionEntry>]) -> Result<(), ApplyError> {
        let (running, entries) = (self.running.clone(), entries.to_vec());
        // A task of its own: half of it, when the caller goes away, would lose track of things.
        tokio::spawn(async move { apply::apply(&running, &entries).await })
            .await
            .unwrap_or_else(|error| Err(ApplyError::State(error.to_string())))
    }

    /// Follows an edit of the EventGateway.
    pub fn configure(&self, settings: Settings) {
        self.engine().settings.store(Arc::new(settings));
    }

    /// How it goes with each subscription, by name.
    pub fn status(&self) -> Vec<SubscriptionStatus> {
        let engine = self.engine();
        let share = engine.share();
        let mut all: Vec<_> = engine
            .table()
            .iter()
            .map(|subscription| status::of(subscription, share))
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Lists events of the log, a page at a time.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn events(&self, query: EventQuery) -> Result<EventPage, ReadError> {
        let engine = self.engine().clone();
        tokio::task::spawn_blocking(move || history::list(&engine, &query))
            .await
            .unwrap_or_else(|_| Ok(EventPage::default()))
    }

    /// Delivers events of the log's history once more, to the subscriptions that want them. The
    /// replay is recorded when this answers, and goes on after a restart.
    ///
    /// # Errors
    /// When there is no such subscription, too many replays run, or it cannot be recorded.
    pub async fn replay(&self, request: ReplayRequest) -> Result<ReplayId, ReplayError> {
        let engine = self.engine();
        if engine.is_stopped() || engine.is_draining() {
            return Err(ReplayError::Stopping);
        }
        if let Some(name) = &request.subscription
            && engine.table().get(name).is_none()
        {
            return Err(ReplayError::UnknownSubscription(name.clone()));
        }
        let id = engine.replays.add(Replay {
            request,
            done: 0,
            end: engine.log.high_watermark().borrow().0,
            replayed: 0,
        })?;
        let saving = engine.clone();
        tokio::task::spawn_blocking(move || saving.save())
            .await
            .map_err(|error| ReplayError::State(error.to_string()))?
            .map_err(|error| ReplayError::State(error.to_string()))?;
        tokio::spawn(replay::run(engine.clone(), id));
        Ok(id)
    }

    /// The replays that run.
    pub fn replays(&self) -> Vec<ReplayStatus> {
        self.engine().replays.list()
    }

    /// Delivers an event once more to one subscription although the log may not have it any more:
    /// for dead letters. When it answers the event is stored like any other, and the dead letter
    /// may go.
    ///
    /// # Errors
    /// When there is no such subscription, or the event could not be stored.
    pub async fn redeliver(
        &self,
        subscription: &ObjectName,
        event: &Event,
    ) -> Result<(), ReplayError> {
        let engine = self.engine();
        if engine.is_stopped() || engine.is_draining() {
            return Err(ReplayError::Stopping);
        }
        if engine.table().get(subscription).is_none() {
            return Err(ReplayError::UnknownSubscription(subscription.clone()));
        }
        engine
            .log
            .append(vec![encode_addressed(event, subscription)])
            .await
            .map(drop)
            .map_err(|error| ReplayError::Log(error.to_string()))
    }

    /// Stops in an orderly way: no new attempts, the open ones may end within `timeout`, and what
    /// is undelivered then is recorded. The log stays open.
    pub async fn drain(&self, timeout: Duration) {
        let engine = self.engine();
        engine.drain();
        // The router too: an event that is delivered before it counts as routed would come again.
        let open = || {
            let table = engine.table();
            engine.routing.load(Ordering::Acquire)
                || table
                    .iter()
                    .any(|subscription| subscription.queue().in_flight() > 0)
        };
        let wait = async {
            while open() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(timeout, wait).await.is_err() {
            tracing::warn!("attempts were still open when delivery stopped; they are made again");
        }
        let saving = engine.clone();
        let saved = tokio::task::spawn_blocking(move || saving.save()).await;
        if let Ok(Err(error)) = saved {
            tracing::error!(%error, "events may be delivered again after the restart");
        }
        engine.stop();
    }
}
