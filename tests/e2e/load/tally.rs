//! What was answered, what arrived, and what that comes to.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write;
use std::time::Duration;

/// From here on an answer is slow.
const SLOW: Duration = Duration::from_millis(500);

/// Names of missing events that are told; the number is always.
const MOST_NAMED: usize = 20;

/// The requests that were due in one second.
#[derive(Clone, Default)]
struct Second {
    answered: u64,
    /// Of those: with something else than 2xx.
    refused: u64,
    /// Of those: not within [`SLOW`].
    slow: u64,
    unanswered: u64,
}

#[derive(Default)]
pub struct Tally {
    /// How often each status was answered.
    statuses: BTreeMap<u16, u64>,
    /// How often there was no answer, by how far it came.
    unanswered: BTreeMap<String, u64>,
    /// What became of the requests that were due in each second since the start.
    seconds: Vec<Second>,
    /// Milliseconds from when a request was due to its answer.
    latencies: Vec<u64>,
    acknowledged: HashSet<String>,
    received: HashSet<String>,
    deliveries: u64,
}

impl Tally {
    /// The request with `id`, which was due so long after the start, was answered.
    pub fn answered(&mut self, id: String, status: u16, due: Duration, took: Duration) {
        *self.statuses.entry(status).or_default() += 1;
        let is_taken = (200..300).contains(&status);
        let second = self.second(due);
        second.answered += 1;
        second.refused += u64::from(!is_taken);
        second.slow += u64::from(took >= SLOW);
        self.latencies
            .push(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        if is_taken {
            self.acknowledged.insert(id);
        }
    }

    pub fn unanswered(&mut self, error: &str, due: Duration) {
        *self.unanswered.entry(error.to_owned()).or_default() += 1;
        self.second(due).unanswered += 1;
    }

    fn second(&mut self, due: Duration) -> &mut Second {
        let index = usize::try_from(due.as_secs()).unwrap_or(usize::MAX);
        if self.seconds.len() <= index {
            self.seconds.resize(index + 1, Second::default());
        }
        &mut self.seconds[index]
    }

    pub fn received(&mut self, id: String) {
        self.deliveries += 1;
        self.received.insert(id);
    }

    /// All of it as JSON, `now` after the start.
    pub fn report(&self, is_done: bool, now: Duration) -> String {
        let missing: BTreeSet<_> = self.acknowledged.difference(&self.received).collect();
        let mut sorted = self.latencies.clone();
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
            "{{\"done\": {is_done}, \"now\": {}, \"acknowledged\": {}, \"received\": {}, \"deliveries\": {}, \"missing\": {}",
            now.as_secs_f64(),
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
        let seconds: Vec<_> = self
            .seconds
            .iter()
            .map(|it| [it.answered, it.refused, it.slow, it.unanswered])
            .collect();
        // Debug forms of lists and maps of texts and numbers are JSON.
        let _ = write!(
            text,
            ", \"missingIds\": {named:?}, \"statuses\": {statuses:?}, \"unanswered\": {:?}, \"seconds\": {seconds:?}",
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
