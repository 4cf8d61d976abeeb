//! Events that ride along in memory from the log's tail to their first attempt, within a budget.
//!
//! A healthy subscription sends an event within milliseconds of its storing, so reading it back
//! from the log would be waste. A subscription that lags keeps positions only.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::event::Event;

/// Bytes of events in memory for all subscriptions together.
const BUDGET: u64 = 64 << 20;

/// Bytes of events in memory for one subscription: a dead sink must not use up what the others
/// need to be fast.
const SHARE: u64 = 2 << 20;

/// Bytes that are in use, of a limit.
#[derive(Debug)]
pub(super) struct Budget {
    used: AtomicU64,
    limit: u64,
}

impl Budget {
    /// The budget of all subscriptions together.
    pub fn of_all() -> Arc<Self> {
        Self::new(BUDGET)
    }

    /// The budget of one subscription.
    pub fn of_one() -> Arc<Self> {
        Self::new(SHARE)
    }

    fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicU64::new(0),
            limit,
        })
    }

    fn reserve(self: &Arc<Self>, bytes: u64) -> Option<Reserved> {
        self.used
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                (used + bytes <= self.limit).then_some(used + bytes)
            })
            .ok()
            .map(|_| Reserved {
                budget: self.clone(),
                bytes,
            })
    }
}

#[derive(Debug)]
struct Reserved {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// An event in memory, counted.
#[derive(Debug)]
pub(super) struct Payload {
    pub event: Arc<Event>,
    _reserved: Option<(Arc<Shared>, Reserved)>,
}

/// The reservation of an event in the common budget, shared by the subscriptions that want it.
#[derive(Debug)]
pub(super) struct Shared {
    event: Arc<Event>,
    bytes: u64,
    _reserved: Reserved,
}

impl Shared {
    /// Keeps `event`, whose record has `bytes`, in memory if there is room.
    pub fn new(event: &Arc<Event>, bytes: u64, all: &Arc<Budget>) -> Option<Arc<Self>> {
        Some(Arc::new(Self {
            event: event.clone(),
            bytes,
            _reserved: all.reserve(bytes)?,
        }))
    }

    /// The same for one subscription, if it has room.
    pub fn for_one(self: &Arc<Self>, one: &Arc<Budget>) -> Option<Arc<Payload>> {
        let reserved = one.reserve(self.bytes)?;
        Some(Arc::new(Payload {
            event: self.event.clone(),
            _reserved: Some((self.clone(), reserved)),
        }))
    }
}

impl Payload {
    /// An event that was read for one attempt; attempts are bounded by themselves.
    pub fn read(event: Event) -> Arc<Self> {
        Arc::new(Self {
            event: Arc::new(event),
            _reserved: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_comes_back_when_it_is_dropped() {
        let budget = Budget::new(100);
        let first = budget.reserve(60).unwrap();
        assert!(budget.reserve(60).is_none());
        let second = budget.reserve(40).unwrap();
        drop(first);
        assert!(budget.reserve(60).is_some());
        drop(second);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }
}
