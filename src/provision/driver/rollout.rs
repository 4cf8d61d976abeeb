//! Whose turn it is when the change of a type makes many customers register anew. Pure.
//!
//! Counted in memory only: after a restart those that are under way hold their turns again, and
//! failures are counted from none.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::event::ObjectName;
use crate::provision::plan::{RolloutResult, Turn, is_changing, needs_turn};
use crate::provision::{Desired, Record};

/// The rollout of one type.
#[derive(Debug, Default)]
pub(super) struct Rollout {
    holders: BTreeSet<ObjectName>,
    waiting: BTreeSet<ObjectName>,
    failures: u32,
    stopped: bool,
    /// `maxConcurrent` and `stopAfterFailures`, as of when somebody last asked for a turn.
    most: usize,
    stop_after: u32,
}

impl Rollout {
    /// Whether a subscription may change now; takes a turn for it if it needs one.
    pub fn turn(&mut self, record: &Record, desired: &Desired, now: Timestamp) -> Turn {
        let name = &record.name;
        let declared = &desired.inputs.subscription.rollout;
        self.most = declared.max_concurrent() as usize;
        self.stop_after = declared.stop_after_failures();
        if !needs_turn(record, desired, now) {
            self.waiting.remove(name);
            if is_changing(record, now) {
                // It was begun, perhaps before a restart, and is finished.
                self.holders.insert(name.clone());
            } else {
                self.holders.remove(name);
            }
            return Turn::Granted;
        }
        if self.holders.contains(name) && !self.stopped {
            return Turn::Granted;
        }
        self.holders.remove(name);
        if !self.stopped && self.holders.len() < self.most {
            self.waiting.remove(name);
            self.holders.insert(name.clone());
            return Turn::Granted;
        }
        self.waiting.insert(name.clone());
        if self.stopped {
            Turn::Stopped
        } else {
            Turn::Waiting
        }
    }

    /// How it stands for a subscription, without taking a turn.
    pub fn shown(&self, name: &ObjectName) -> Turn {
        match self.waiting.contains(name) {
            true if self.stopped => Turn::Stopped,
            true => Turn::Waiting,
            false => Turn::Granted,
        }
    }

    /// A change went well or badly. Whether the rollout stops with this.
    pub fn went(&mut self, result: RolloutResult) -> bool {
        match result {
            RolloutResult::Succeeded => {
                self.failures = 0;
                false
            }
            RolloutResult::Failed => {
                self.failures += 1;
                let stops = !self.stopped && self.failures >= self.stop_after;
                self.stopped |= stops;
                stops
            }
        }
    }

    /// A subscription needs no turn any more.
    pub fn leave(&mut self, name: &ObjectName) {
        self.holders.remove(name);
        self.waiting.remove(name);
    }

    /// Those who may have a turn now, if they still need one.
    pub fn next(&self) -> Vec<ObjectName> {
        if self.stopped {
            return Vec::new();
        }
        let free = self.most.saturating_sub(self.holders.len());
        self.waiting.iter().take(free).cloned().collect()
    }

    /// The type was edited: everybody tries again. Those who waited.
    pub fn restart(&mut self) -> Vec<ObjectName> {
        self.failures = 0;
        self.stopped = false;
        self.waiting.iter().cloned().collect()
    }
}
