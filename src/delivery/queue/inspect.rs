//! What others may know of a queue: retention, the admin API, the metrics.

use super::{Queue, Retry};
use crate::delivery::items::{Held, Place};
use crate::event_log::Position;

impl Queue {
    /// What is held of each segment of the log.
    pub fn held(&self) -> impl Iterator<Item = (u64, Held)> {
        self.items.held()
    }

    /// The undelivered events of a segment: at most `limit`, ascending.
    pub fn undelivered_in_segment(&self, segment: u64, limit: usize) -> Vec<(u64, Position)> {
        self.items
            .iter()
            .filter(|item| item.position.segment == segment)
            .take(limit)
            .map(|item| (item.sequence, item.position))
            .collect()
    }

    /// The oldest undelivered events with which nothing is under way: at most `most`, and no more
    /// than one after their records have so many bytes.
    pub fn oldest_waiting(&self, most: usize, bytes: u64) -> Vec<(u64, Position)> {
        let mut left = bytes;
        self.items
            .iter()
            .filter(|item| matches!(item.place, Place::Queued | Place::Waiting))
            .take_while(|item| {
                let is_wanted = left > 0;
                left = left.saturating_sub(item.size());
                is_wanted
            })
            .take(most)
            .map(|item| (item.sequence, item.position))
            .collect()
    }

    /// The record of an event stands somewhere else now.
    pub fn relocate(&mut self, sequence: u64, position: Position) -> bool {
        self.items.relocate(sequence, position)
    }

    /// Where the record of an undelivered event stands.
    pub fn position(&self, sequence: u64) -> Option<Position> {
        self.items.get(sequence).map(|item| item.position)
    }

    /// Whether events are still to be met again after a restart.
    pub fn is_recovering(&self) -> bool {
        !self.recovered.is_empty()
    }

    /// Where an event stands, and what is known of its attempts.
    pub fn look_up(&mut self, sequence: u64) -> Option<(Place, Retry)> {
        let retry = || self.retries.get(&sequence).cloned().unwrap_or_default();
        if let Some(item) = self.items.get(sequence) {
            return Some((item.place, retry()));
        }
        (self.recovered.next(sequence) == Some(sequence)).then(|| (Place::Queued, retry()))
    }

    /// Undelivered events, those that are still to be recovered among them.
    pub fn len(&self) -> usize {
        self.items.len() + self.recovered.len()
    }

    /// Bytes of the log that undelivered events hold.
    pub fn bytes(&self) -> u64 {
        self.items.bytes()
    }

    /// Attempts that run.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Whether the sink counts as dead and is being probed.
    pub fn is_probing(&self) -> bool {
        self.gate.is_probing()
    }

    /// When the oldest undelivered event was received, in seconds since the epoch.
    pub fn oldest(&self) -> Option<u32> {
        self.items
            .iter()
            .find(|item| !item.replayed)
            .map(|item| item.since)
    }

    /// Replayed events that are not settled yet.
    pub fn replaying(&self) -> usize {
        self.retries
            .values()
            .filter(|retry| retry.replayed.is_some())
            .count()
    }

    /// Whether there is nothing that could be tried, now or later.
    pub fn is_idle(&self) -> bool {
        self.items.len() == 0
    }
}
