//! What the parts of delivery share: the log, the state store, the table of subscriptions, the
//! clock. The parts are threads and tasks of their own; none of them waits for another.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::task::AbortHandle;

use super::backoff::Millis;
use super::metrics::Metrics;
use super::payload::Budget;
use super::readers::Readers;
use super::replay::Replays;
use super::state::{Batch, BatchError, Number, Registration, State};
use super::subscription::Subscription;
use super::table::Table;
use super::{BuildSender, KeepDeadLetters, Random, Settings};
use crate::event_log::{Clock, EventLog};

/// See the module.
pub(super) struct Engine {
    pub log: EventLog,
    pub readers: Readers,
    pub dead_letters: Arc<dyn KeepDeadLetters>,
    pub build_sender: Arc<BuildSender>,
    pub metrics: Metrics,
    pub payload_budget: Arc<Budget>,
    /// Everything up to this sequence is in the queues.
    pub routed: AtomicU64,
    /// The router runs.
    pub routing: AtomicBool,
    /// The router has met everything that was undelivered before the restart.
    pub recovered: AtomicBool,
    pub replays: Replays,
    pub clock: Clock,
    pub dice: Random,
    pub settings: ArcSwap<Settings>,
    /// Bytes that the log may take.
    capacity: u64,
    table: ArcSwap<Table>,
    state: State,
    /// Held while a batch is collected and written, so that batches are written in the order in
    /// which they were collected.
    writing: Mutex<Written>,
    tasks: Mutex<HashMap<Number, AbortHandle>>,
    draining: AtomicBool,
    paused: AtomicBool,
    stopped: AtomicBool,
}

/// What the state store has.
#[derive(Debug, Default)]
struct Written {
    routed: u64,
}

impl Engine {
    /// Puts the parts together; nothing runs yet.
    #[expect(clippy::too_many_arguments, reason = "called once, with one of each")]
    pub fn new(
        log: EventLog,
        readers: Readers,
        state: State,
        routed: u64,
        replays: Replays,
        metrics: Metrics,
        settings: Settings,
        (dead_letters, build_sender): (Arc<dyn KeepDeadLetters>, Arc<BuildSender>),
        (clock, dice): (Clock, Random),
    ) -> Self {
        Self {
            capacity: log.usage().capacity,
            log,
            readers,
            dead_letters,
            build_sender,
            metrics,
            payload_budget: Budget::of_all(),
            routed: AtomicU64::new(routed),
            routing: AtomicBool::new(false),
            recovered: AtomicBool::new(false),
            replays,
            clock,
            dice,
            settings: ArcSwap::from_pointee(settings),
            table: ArcSwap::default(),
            state,
            writing: Mutex::new(Written { routed }),
            tasks: Mutex::default(),
            draining: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        }
    }

    /// Milliseconds since the epoch.
    pub fn now(&self) -> Millis {
        (self.clock)().max(0).cast_unsigned()
    }

    /// The same as a timestamp.
    pub fn timestamp(&self) -> Timestamp {
        Timestamp::from_millisecond((self.clock)()).unwrap_or_default()
    }

    /// A random number in `[0, 1)`.
    pub fn random(&self) -> f64 {
        (self.dice)()
    }

    /// Bytes of the log that one subscription may hold.
    pub fn share(&self) -> u64 {
        let percent = u64::from(self.settings.load().undelivered_share.clamp(1, 100));
        self.capacity / 100 * percent
    }

    /// The subscriptions.
    pub fn table(&self) -> arc_swap::Guard<Arc<Table>> {
        self.table.load()
    }

    /// Takes another table into use.
    pub fn set_table(&self, table: Table) {
        self.table.store(Arc::new(table));
    }

    /// Whether no new attempts are made.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Makes no new attempts from now on.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        for subscription in self.table().iter() {
            subscription.wake.notify_one();
        }
    }

    /// Whether attempts are made just now.
    pub fn is_sending(&self) -> bool {
        !self.is_draining() && !self.paused.load(Ordering::Acquire)
    }

    /// Makes no new attempts from now on, or makes them again.
    pub fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
        for subscription in self.table().iter() {
            subscription.wake.notify_one();
        }
    }

    /// Whether the threads and tasks should end.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Ends all threads and tasks at once; nothing more is written.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        for (_, task) in self.tasks().drain() {
            task.abort();
        }
    }

    /// Remembers the task of a subscription.
    pub fn started(&self, number: Number, task: AbortHandle) {
        self.tasks().insert(number, task);
    }

    /// Ends the task of a subscription.
    pub fn end(&self, number: Number) {
        if let Some(task) = self.tasks().remove(&number) {
            task.abort();
        }
    }

    fn tasks(&self) -> MutexGuard<'_, HashMap<Number, AbortHandle>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes which subscriptions there are. Blocking.
    pub fn register(
        &self,
        registered: Vec<(Number, Registration)>,
        forgotten: Vec<Number>,
    ) -> Result<(), BatchError> {
        let _writing = self.writing();
        self.state.write(&Batch {
            registered,
            forgotten,
            ..Batch::default()
        })
    }

    /// Writes what changed since the last time. Blocking.
    ///
    /// What is read first is written as the older: how far routing and replays have come is read
    /// before the queues that they fill.
    pub fn save(&self) -> Result<(), BatchError> {
        let mut written = self.writing();
        let routed = self.routed.load(Ordering::Acquire);
        let replays = self.replays.take_changes();
        let table = self.table.load_full();
        let queues: Vec<_> = table
            .iter()
            .filter_map(|subscription| {
                let changes = subscription.queue().take_changes();
                let changed = !changes.chunks.is_empty() || !changes.retries.is_empty();
                changed.then_some((subscription.number, changes))
            })
            .collect();
        if queues.is_empty() && replays.is_empty() && routed == written.routed {
            return Ok(());
        }
        let batch = Batch {
            routed: Some(routed),
            queues,
            replays,
            ..Batch::default()
        };
        let result = self.state.write(&batch);
        if result.is_ok() {
            written.routed = routed;
            return Ok(());
        }
        let by_number: HashMap<Number, &Arc<Subscription>> = table
            .iter()
            .map(|subscription| (subscription.number, subscription))
            .collect();
        for (number, changes) in &batch.queues {
            if let Some(subscription) = by_number.get(number) {
                subscription.queue().give_back(changes);
            }
        }
        self.replays.give_back(&batch.replays);
        result
    }

    fn writing(&self) -> MutexGuard<'_, Written> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How often the state is written. A crash redelivers what was delivered since.
const SAVE_EVERY: Duration = Duration::from_millis(200);

/// When to write again what could not be written.
const SAVE_AGAIN: Duration = Duration::from_secs(5);

/// How often to look whether to stop.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Writes the state until the engine stops; its own thread.
pub(super) fn save_regularly(engine: &Engine) {
    let mut wait = SAVE_EVERY;
    loop {
        for _ in 0..wait.as_millis() / LOOK_EVERY.as_millis() {
            std::thread::sleep(LOOK_EVERY);
            if engine.is_stopped() {
                return;
            }
        }
        wait = match engine.save() {
            Ok(()) => SAVE_EVERY,
            Err(error) => {
                tracing::error!(%error, "events may be delivered again after a restart");
                engine.metrics.state_write_failed();
                SAVE_AGAIN
            }
        };
    }
}
