//! What is kept of each dead letter in memory: where it stands, and what lists are filtered and
//! counted by.
//!
//! An entry has a fixed size, whatever a letter holds: names of configured objects are shared,
//! customers (who can be anybody, and many) are hashes, and texts stay on disk. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use jiff::Timestamp;

use super::{Counts, Filter};
use crate::event::{DeadLetter, ObjectName, ReasonCode};
use crate::event_log::Position;

pub(super) struct Index {
    entries: BTreeMap<u64, Entry>,
    /// Letters in each segment that has any.
    live: BTreeMap<u64, usize>,
    names: HashSet<Arc<ObjectName>>,
    hasher: RandomState,
    capacity: usize,
}

struct Entry {
    position: Position,
    /// Milliseconds since the epoch.
    at: i64,
    event_type: Arc<ObjectName>,
    subscription: Option<Arc<ObjectName>>,
    customer: Option<u64>,
    reasons: Reasons,
}

/// A set of reasons, one bit for each.
#[derive(Clone, Copy, Default)]
struct Reasons(u32);

impl Reasons {
    fn with(self, code: ReasonCode) -> Self {
        Self(self.0 | 1 << code as u32)
    }

    fn has(self, code: ReasonCode) -> bool {
        self.0 & 1 << code as u32 != 0
    }
}

const ALL_REASONS: [ReasonCode; 10] = [
    ReasonCode::MalformedBody,
    ReasonCode::SchemaViolation,
    ReasonCode::RequirementFailed,
    ReasonCode::ExpressionFailed,
    ReasonCode::UnknownCustomer,
    ReasonCode::MissingCustomer,
    ReasonCode::AttemptsExhausted,
    ReasonCode::TooOld,
    ReasonCode::SinkRefused,
    ReasonCode::ShareExceeded,
];

impl Index {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            live: BTreeMap::new(),
            names: HashSet::new(),
            hasher: RandomState::new(),
            capacity: capacity.max(1),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds a letter; answers how many of the oldest had to go for it.
    pub(super) fn insert(&mut self, id: u64, position: Position, letter: &DeadLetter) -> usize {
        let attributes = &letter.event.attributes;
        let subscription = letter.verdict.subscription.as_ref();
        let reasons = letter.verdict.reasons.iter();
        let entry = Entry {
            position,
            at: letter.verdict.at.as_millisecond(),
            event_type: self.shared(&attributes.app_event_type),
            subscription: subscription.map(|name| self.shared(name)),
            customer: attributes
                .customer
                .as_ref()
                .map(|customer| self.hasher.hash_one(&customer.id)),
            reasons: reasons.fold(Reasons::default(), |all, reason| all.with(reason.code)),
        };
        self.entries.insert(id, entry);
        *self.live.entry(position.segment).or_default() += 1;
        let mut dropped = 0;
        while self.entries.len() > self.capacity
            && let Some((_, oldest)) = self.entries.pop_first()
        {
            forget(&mut self.live, oldest.position.segment);
            dropped += 1;
        }
        dropped
    }

    fn shared(&mut self, name: &ObjectName) -> Arc<ObjectName> {
        if let Some(shared) = self.names.get(name) {
            return shared.clone();
        }
        let shared = Arc::new(name.clone());
        self.names.insert(shared.clone());
        shared
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, id: u64) -> bool {
        let Some(entry) = self.entries.remove(&id) else {
            return false;
        };
        forget(&mut self.live, entry.position.segment);
        true
    }

    /// Removes all letters from before `cutoff`; answers how many.
    pub(super) fn expire(&mut self, cutoff: Timestamp) -> usize {
        let cutoff = cutoff.as_millisecond();
        let before = self.entries.len();
        let live = &mut self.live;
        self.entries.retain(|_, entry| {
            let kept = entry.at >= cutoff;
            if !kept {
                forget(live, entry.position.segment);
            }
            kept
        });
        // Names of objects that are gone need not stay for ever.
        self.names.retain(|name| Arc::strong_count(name) > 1);
        before - self.entries.len()
    }

    /// Removes the letters of a segment that was freed; answers how many.
    pub(super) fn drop_segment(&mut self, segment: u64) -> usize {
        self.live.remove(&segment);
        let before = self.entries.len();
        // Letters stand in segments in their order, and the oldest segment goes first.
        while let Some(oldest) = self.entries.first_entry()
            && oldest.get().position.segment <= segment
        {
            oldest.remove();
        }
        before - self.entries.len()
    }

    /// Letters in a segment.
    pub(super) fn live_in(&self, segment: u64) -> usize {
        self.live.get(&segment).copied().unwrap_or(0)
    }

    pub(super) fn position(&self, id: u64) -> Option<Position> {
        self.entries.get(&id).map(|entry| entry.position)
    }

    /// Ids and lengths of at most `limit` letters that match, newest first, older than `before`.
    pub(super) fn newest(
        &self,
        filter: &Filter,
        before: Option<u64>,
        limit: usize,
    ) -> Vec<(u64, u32)> {
        let Filter {
            event_type,
            subscription,
            customer,
            reason,
        } = filter;
        let customer = customer.as_ref().map(|id| self.hasher.hash_one(id));
        self.entries
            .range(..before.unwrap_or(u64::MAX))
            .rev()
            .filter(|(_, entry)| {
                event_type
                    .as_ref()
                    .is_none_or(|name| *entry.event_type == *name)
                    && (subscription.is_none()
                        || entry.subscription.as_deref() == subscription.as_ref())
                    && (customer.is_none() || entry.customer == customer)
                    && reason.is_none_or(|code| entry.reasons.has(code))
            })
            .take(limit)
            .map(|(id, entry)| (*id, entry.position.length))
            .collect()
    }

    pub(super) fn counts(&self) -> Counts {
        let mut subscriptions = HashMap::<Option<&Arc<ObjectName>>, u64>::new();
        let mut sets = HashMap::<u32, u64>::new();
        for entry in self.entries.values() {
            *subscriptions
                .entry(entry.subscription.as_ref())
                .or_default() += 1;
            *sets.entry(entry.reasons.0).or_default() += 1;
        }
        let mut reasons = BTreeMap::new();
        for (set, count) in sets {
            for code in ALL_REASONS {
                if Reasons(set).has(code) {
                    *reasons.entry(code).or_default() += count;
                }
            }
        }
        let subscriptions = subscriptions.into_iter();
        Counts {
            total: self.entries.len() as u64,
            subscriptions: subscriptions
                .map(|(name, count)| (name.map(|name| (**name).clone()), count))
                .collect(),
            reasons,
        }
    }
}

fn forget(live: &mut BTreeMap<u64, usize>, segment: u64) {
    if let Some(count) = live.get_mut(&segment) {
        *count -= 1;
        if *count == 0 {
            live.remove(&segment);
        }
    }
}
