//! What of a queue is in the state store, and how it comes back from there.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Queue;
use crate::delivery::backoff::Millis;
use crate::delivery::items::Item;
use crate::delivery::payload::Payload;
use crate::delivery::positions::{self, CHUNK, chunk_of};

/// What is known of an event that is more than its place in the queue. It is in the state store
/// as it stands here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::delivery) struct Retry {
    /// Attempts that ended.
    pub attempts: u32,
    /// When the next one is due.
    pub next: Millis,
    /// When the first one failed.
    pub first_failure: Option<Millis>,
    /// What the last one came to.
    pub last_error: Option<Arc<str>>,
    /// When a replay asked for it, in seconds since the epoch.
    pub replayed: Option<u32>,
}

/// What has to be written to the state store.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::delivery) struct Changes {
    /// Chunks of undelivered sequences; `None`: nothing left in it.
    pub chunks: Vec<(u64, Option<Vec<u8>>)>,
    /// Retries; `None`: settled.
    pub retries: Vec<(u64, Option<Retry>)>,
}

impl Queue {
    /// Adds an event that was asked for again, even if it is settled; `false` if it is undelivered
    /// anyway.
    pub fn replay(&mut self, item: Item, now: Millis) -> bool {
        if self.items.get(item.sequence).is_some()
            || self.recovered.next(item.sequence) == Some(item.sequence)
        {
            return false;
        }
        let retry = Retry {
            replayed: Some((now / 1000) as u32),
            ..Retry::default()
        };
        self.retries.insert(item.sequence, retry);
        self.dirty_retries.insert(item.sequence);
        self.push(item, None, now)
    }

    /// Adds `item` if it was undelivered when the state was last written; whether it was.
    pub fn recover(&mut self, item: Item, payload: Option<Arc<Payload>>, now: Millis) -> bool {
        self.recovered.remove(item.sequence) && self.push(item, payload, now)
    }

    /// The lowest sequence from `from` on that was undelivered when the state was last written and
    /// has not been met since.
    pub fn next_to_recover(&mut self, from: u64) -> Option<u64> {
        self.recovered.next(from)
    }

    /// Gives up what is still to be recovered; how many up to `routed` that were, which the log
    /// does not have any more. Later ones were routed anew, and are not wanted any more.
    pub fn forget_recovered(&mut self, routed: u64) -> usize {
        let mut count = 0;
        let mut from = 0;
        while let Some(sequence) = self.recovered.next(from) {
            count += usize::from(sequence <= routed);
            self.recovered.remove(sequence);
            self.dirty_chunks.insert(chunk_of(sequence));
            if self.retries.remove(&sequence).is_some() {
                self.dirty_retries.insert(sequence);
            }
            from = sequence;
        }
        count
    }

    /// What changed since the last call.
    pub fn take_changes(&mut self) -> Changes {
        let chunks = std::mem::take(&mut self.dirty_chunks);
        let retries = std::mem::take(&mut self.dirty_retries);
        Changes {
            chunks: chunks
                .into_iter()
                .map(|chunk| (chunk, positions::encode(&self.undelivered_in(chunk))))
                .collect(),
            retries: retries
                .into_iter()
                .map(|sequence| (sequence, self.retries.get(&sequence).cloned()))
                .collect(),
        }
    }

    /// Marks what [`Queue::take_changes`] gave as not written after all.
    pub fn give_back(&mut self, changes: &Changes) {
        self.dirty_chunks
            .extend(changes.chunks.iter().map(|(chunk, _)| *chunk));
        self.dirty_retries
            .extend(changes.retries.iter().map(|(sequence, _)| *sequence));
    }

    fn undelivered_in(&mut self, chunk: u64) -> Vec<u64> {
        let mut all = self.recovered.chunk(chunk);
        let recovered = all.len();
        all.extend(
            self.items
                .range(chunk * CHUNK, (chunk + 1) * CHUNK)
                .map(|item| item.sequence),
        );
        if recovered > 0 {
            all.sort_unstable();
        }
        all
    }
}
