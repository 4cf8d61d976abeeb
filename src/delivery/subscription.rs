//! One subscription as the dispatcher holds it: its declaration, its sender, its queue, and what
//! has been counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::sync::Notify;

use super::filter::Filter;
use super::payload::Budget;
use super::queue::Queue;
use super::state::{Number, Registration};
use super::{Failure, Sender, UnusableSink};
use crate::configuration::SubscriptionEntry;

/// A subscription.
pub(super) struct Subscription {
    /// Its number in the state store.
    pub number: Number,
    /// Name, uid, and from where in the log on it gets events.
    pub registration: Registration,
    live: ArcSwap<Live>,
    queue: Mutex<Queue>,
    /// Something is to be done: events came, or the declaration changed.
    pub wake: Notify,
    /// Bytes of its events that ride along in memory.
    pub budget: Arc<Budget>,
    /// Counted since the start of the process.
    pub counts: Counts,
    last: Mutex<Last>,
}

/// What of a subscription follows its declaration.
pub(super) struct Live {
    /// The declaration.
    pub entry: Arc<SubscriptionEntry>,
    /// What sends, or why nothing can be sent.
    pub sender: Result<Arc<dyn Sender>, UnusableSink>,
    /// The compiled `filter`.
    pub filter: Filter,
    /// Events up to this sequence may have been routed under another `filter` or for other
    /// customers: they are looked at again before they are sent.
    pub recheck: u64,
}

impl Live {
    /// Why nothing is sent, although events are kept.
    pub fn held(&self) -> Option<String> {
        if let Some(reason) = &self.entry.held {
            return Some(reason.clone());
        }
        if let Err(unusable) = &self.sender {
            return Some(unusable.to_string());
        }
        self.entry.suspend.then(|| "suspended".to_owned())
    }
}

/// Counted since the start of the process.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub attempts: AtomicU64,
    pub delivered: AtomicU64,
    pub dead_letters: AtomicU64,
    pub filter_errors: AtomicU64,
    pub unwanted: AtomicU64,
    pub unreadable: AtomicU64,
}

/// The last things that happened.
#[derive(Clone, Debug, Default)]
pub(super) struct Last {
    pub delivered: Option<Timestamp>,
    pub failure: Option<(Timestamp, Failure)>,
    pub filter_error: Option<String>,
    /// Whether the last attempt failed.
    pub failing: bool,
    /// Since when it holds more than its share.
    pub over_share: Option<Timestamp>,
}

impl Subscription {
    /// A subscription with what is remembered of it.
    pub fn new(number: Number, registration: Registration, live: Live, mut queue: Queue) -> Self {
        queue.configure(&live.entry.delivery, live.held().is_some());
        Self {
            number,
            registration,
            live: ArcSwap::from_pointee(live),
            queue: Mutex::new(queue),
            wake: Notify::new(),
            budget: Budget::of_one(),
            counts: Counts::default(),
            last: Mutex::default(),
        }
    }

    /// What follows the declaration.
    pub fn live(&self) -> arc_swap::Guard<Arc<Live>> {
        self.live.load()
    }

    /// Follows an edit of the declaration.
    pub fn set_live(&self, live: Live, now: u64) {
        let other_sink = self.live.load().entry.sink != live.entry.sink;
        {
            let mut queue = self.queue();
            queue.configure(&live.entry.delivery, live.held().is_some());
            if other_sink {
                queue.start_afresh(now);
            }
        }
        self.live.store(Arc::new(live));
        self.wake.notify_one();
    }

    /// The queue. Hold it shortly, and never across an await.
    pub fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last things that happened.
    pub fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an event that its `filter` could not decide about.
    pub fn count_filter_error(&self, error: String) {
        self.counts.filter_errors.fetch_add(1, Ordering::Relaxed);
        self.last().filter_error = Some(error);
    }
}
