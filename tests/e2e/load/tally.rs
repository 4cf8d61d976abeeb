//! What was answered, what arrived, and what that comes to.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write;
use std::time::Duration;

/// Names of missing events that are told; the number is always.
const MOST_NAMED: usize = 20;

#[derive(Default)]
pub struct Tally {
    /// How often each status was answered.
    statuses: BTreeMap<u16, u64>,
    /// How often there was no answer, by how far it came.
    unanswered: BTreeMap<String, u64>,
    /// The seconds since the start in which something else than 2xx was answered, or nothing.
    bad_seconds: BTreeSet<u64>,
    /// Milliseconds from when a request was due to its answer, with the second in which it came.
    latencies: Vec<(u64, u64)>,
    acknowledged: HashSet<String>,
    received: HashSet<String>,
    deliveries: u64,
}

impl Tally {
    pub fn answered(&mut self, id: String, status: u16, at: Duration, took: Duration) {
        *self.statuses.entry(status).or_default() += 1;
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.latencies.push((millis, at.as_secs()));
        if (200..300).contains(&status) {
            self.acknowledged.insert(id);
        } else {
            self.bad_seconds.insert(at.as_secs());
        }
    }

    pub fn unanswered(&mut self, error: &str, at: Duration) {
        *self.unanswered.entry(error.to_owned()).or_default() += 1;
        self.bad_seconds.insert(at.as_secs());
    }

    pub fn received(&mut self, id: String) {
        self.deliveries += 1;
        self.received.insert(id);
    }

    pub fn report(&self, is_done: bool) -> String {
        let missing: BTreeSet<_> = self.acknowledged.difference(&self.received).collect();
        let mut sorted: Vec<_> = self.latencies.iter().map(|(millis, _)| *millis).collect();
        sorted.sort_unstable();
        let at = |share: f64| {
            let index = ((sorted.len() as f64) * share) as usize;
            sorted
                .get(index.min(sorted.len().saturating_sub(1)))
                .copied()
        };
        let mut text = String::new();
        let _ = write!(
            text,
            "{{\"done\": {is_done}, \"acknowledged\": {}, \"received\": {}, \"deliveries\": {}, \"missing\": {}",
            self.acknowledged.len(),
            self.received.len(),
            self.deliveries,
            missing.len(),
        );
        let named: Vec<_> = missing.iter().take(MOST_NAMED).collect();
        let statuses: BTreeMap<_, _> = self
            .statuses
            .iter()
            .map(|(status, count)| (status.to_string(), *count))
            .collect();
        let seconds: Vec<_> = self.bad_seconds.iter().collect();
        // Debug forms of lists and maps of texts and numbers are JSON.
        let _ = write!(
            text,
            ", \"missingIds\": {named:?}, \"statuses\": {statuses:?}, \"unanswered\": {:?}, \"badSeconds\": {seconds:?}",
            self.unanswered,
        );
        let _ = write!(
            text,
            ", \"p50\": {}, \"p99\": {}, \"slowest\": {}}}",
            at(0.5).unwrap_or_default(),
            at(0.99).unwrap_or_default(),
            sorted.last().copied().unwrap_or_default(),
        );
        text
    }
}
