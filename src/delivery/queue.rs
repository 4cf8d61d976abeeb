//! The queue of one subscription: which of its undelivered events is tried next, when a failed one
//! is tried again, and when one is given up. Pure: no I/O, no clock, no randomness of its own.
//!
//! Customers take turns; see `lanes`. What is written to the state store stands in `stored`.
//!
//! Memory is 40 bytes an undelivered event here (see `items`), about 27 in the order of customers,
//! and one [`Retry`] for each event that has been tried and failed.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::backoff::{self, Gate, Millis};
use super::items::{Item, Items, Place};
use super::payload::Payload;
use super::positions::{Positions, chunk_of};
use super::{Failure, Outcome};
use crate::configuration::{DeliverySettings, Ordering};
use crate::event::ReasonCode;
use crate::event_log::Position;

mod inspect;
mod lanes;
mod stored;
#[cfg(test)]
mod tests;

pub(super) use stored::{Changes, Retry};

use lanes::Lanes;

/// Payload bytes that the attempts of one subscription may hold at the same time; one event always
/// goes, however large. So a thousand hanging sinks cannot fill the memory.
const IN_FLIGHT_BYTES: u64 = 8 << 20;

/// Events given up at a time, so that they are read, stored and synced in batches of bounded size.
const BURIALS: usize = 256;

/// An event to be tried now.
#[derive(Debug)]
pub(super) struct Taken {
    /// Its number in the log.
    pub sequence: u64,
    /// Where its record stands.
    pub position: Position,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The event, if it is still in memory.
    pub payload: Option<Arc<Payload>>,
}

/// An event to be given up: it stays undelivered until [`Queue::settle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GivenUp {
    /// Its number in the log.
    pub sequence: u64,
    /// Where its record stands.
    pub position: Position,
    /// Why.
    pub code: ReasonCode,
    /// Attempts that were made.
    pub attempts: u32,
}

/// What a failed attempt means for its event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is settled.
    Delivered,
    /// It is tried again then.
    Again(Millis),
    /// It goes to the dead letters.
    GiveUp(GivenUp),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Queue {
    settings: DeliverySettings,
    held: bool,
    items: Items,
    lanes: Lanes,
    timers: BinaryHeap<Reverse<(Millis, u64)>>,
    retries: HashMap<u64, Retry>,
    payloads: HashMap<u64, Arc<Payload>>,
    gate: Gate,
    in_flight: u32,
    in_flight_bytes: u64,
    burying: usize,
    burying_bytes: u64,
    recovered: Positions,
    dirty_chunks: BTreeSet<u64>,
    dirty_retries: BTreeSet<u64>,
}

impl Queue {
    /// A queue with what the state store knew: the sequences that were undelivered, and how far
    /// each had come. They enter the queue as [`Queue::recover`] meets them.
    pub fn new(
        settings: DeliverySettings,
        recovered: Positions,
        retries: HashMap<u64, Retry>,
    ) -> Self {
        Self {
            lanes: Lanes::new(settings.ordering),
            settings,
            held: false,
            items: Items::default(),
            timers: BinaryHeap::new(),
            retries,
            payloads: HashMap::new(),
            gate: Gate::default(),
            in_flight: 0,
            in_flight_bytes: 0,
            burying: 0,
            burying_bytes: 0,
            recovered,
            dirty_chunks: BTreeSet::new(),
            dirty_retries: BTreeSet::new(),
        }
    }

    /// Adds an event that was routed just now; `false` if it is there already.
    pub fn push(&mut self, item: Item, payload: Option<Arc<Payload>>, now: Millis) -> bool {
        let mut item = Item {
            place: Place::Queued,
            ..item
        };
        self.recovered.remove(item.sequence);
        let due = self.retries.get(&item.sequence).map(|retry| {
            if let Some(at) = retry.replayed {
                (item.since, item.replayed) = (at, true);
            }
            retry.next
        });
        let due = due.filter(|due| *due > now);
        if due.is_some() {
            item.place = Place::Waiting;
        }
        if !self.items.insert(item) {
            return false;
        }
        if let Some(due) = due {
            self.timers.push(Reverse((due, item.sequence)));
        }
        if let Some(payload) = payload {
            self.payloads.insert(item.sequence, payload);
        }
        self.enter(item);
        self.dirty_chunks.insert(chunk_of(item.sequence));
        true
    }

    /// Follows an edit of the declaration. `held`: nothing may be sent just now.
    pub fn configure(&mut self, settings: &DeliverySettings, held: bool) {
        self.settings = settings.clone();
        self.held = held;
        self.lanes.set_ordering(settings.ordering);
    }

    /// The sink is another one: what waits for a retry is due now, and the new sink counts as
    /// healthy.
    pub fn start_afresh(&mut self, now: Millis) {
        self.gate = Gate::default();
        self.timers.clear();
        let waiting: Vec<u64> = self
            .items
            .iter()
            .filter(|item| item.place == Place::Waiting)
            .map(|item| item.sequence)
            .collect();
        for sequence in waiting {
            if let Some(retry) = self.retries.get_mut(&sequence) {
                retry.next = now;
                self.dirty_retries.insert(sequence);
            }
            self.timers.push(Reverse((now, sequence)));
        }
    }

    /// Takes what may be tried now: at most `maxInFlight` and 8 MiB at the same time, and one at a
    /// time while the sink is dead.
    pub fn take(&mut self, now: Millis) -> Vec<Taken> {
        self.promote(now);
        let mut taken = Vec::new();
        // A relocated event is met again after younger ones of its customer.
        let unordered =
            self.settings.ordering == Ordering::PerCustomer && !self.recovered.is_empty();
        if self.held || unordered {
            return taken;
        }
        let allowance = self.gate.allowance(now, self.settings.max_in_flight.max(1));
        while self.in_flight < allowance
            && (self.in_flight == 0 || self.in_flight_bytes < IN_FLIGHT_BYTES)
        {
            let Some((customer, sequence)) = self.lanes.turn() else {
                break;
            };
            if let Some(item) = self.items.get(sequence).copied() {
                self.move_to(sequence, Place::InFlight);
                taken.push(Taken {
                    sequence,
                    position: item.position,
                    attempt: 1 + self
                        .retries
                        .get(&sequence)
                        .map_or(0, |retry| retry.attempts),
                    payload: self.payloads.remove(&sequence),
                });
            }
            self.lanes.admit(customer);
        }
        taken
    }

    /// Records what an attempt came to.
    pub fn finish(
        &mut self,
        sequence: u64,
        outcome: &Outcome,
        now: Millis,
        random: f64,
    ) -> Verdict {
        let Some(item) = self.items.get(sequence).copied() else {
            return Verdict::Delivered;
        };
        match outcome {
            Outcome::Delivered { .. } => {
                self.gate.succeeded();
                self.settle(sequence);
                Verdict::Delivered
            }
            Outcome::Refused { failure } => {
                self.gate.succeeded();
                self.count_failure(sequence, failure, now);
                Verdict::GiveUp(self.give_up(item, ReasonCode::SinkRefused))
            }
            Outcome::Retry { failure, after } => {
                let longest = self.settings.backoff_max;
                self.gate.failed(now, after.map(|after| after.min(longest)));
                let attempts = self.count_failure(sequence, failure, now);
                let deadline = self.deadline(&item);
                if self.settings.max_attempts > 0 && attempts >= self.settings.max_attempts {
                    return Verdict::GiveUp(self.give_up(item, ReasonCode::AttemptsExhausted));
                }
                if now >= deadline {
                    return Verdict::GiveUp(self.give_up(item, ReasonCode::TooOld));
                }
                let settings = &self.settings;
                let delay = backoff::delay(
                    attempts,
                    settings.backoff_initial,
                    settings.backoff_max,
                    *after,
                    random,
                );
                let due = now.saturating_add(millis(delay)).min(deadline);
                self.wait(sequence, due);
                Verdict::Again(due)
            }
        }
    }

    fn count_failure(&mut self, sequence: u64, failure: &Failure, now: Millis) -> u32 {
        let retry = self.retries.entry(sequence).or_default();
        retry.attempts = retry.attempts.saturating_add(1);
        retry.first_failure.get_or_insert(now);
        retry.last_error = Some(failure.message.as_str().into());
        self.dirty_retries.insert(sequence);
        retry.attempts
    }

    fn wait(&mut self, sequence: u64, due: Millis) {
        self.retries.entry(sequence).or_default().next = due;
        self.dirty_retries.insert(sequence);
        self.timers.push(Reverse((due, sequence)));
        self.move_to(sequence, Place::Waiting);
    }

    /// Puts back an event that was taken and never tried, to be taken again at `due`.
    pub fn put_back(&mut self, sequence: u64, due: Millis) {
        self.wait(sequence, due);
    }

    fn give_up(&mut self, item: Item, code: ReasonCode) -> GivenUp {
        self.move_to(item.sequence, Place::Burying);
        GivenUp {
            sequence: item.sequence,
            position: item.position,
            code,
            attempts: self
                .retries
                .get(&item.sequence)
                .map_or(0, |retry| retry.attempts),
        }
    }

    /// Gives up events older than `maxAge`, oldest first, a batch at a time.
    pub fn expire(&mut self, now: Millis) -> Vec<GivenUp> {
        self.choose(ReasonCode::TooOld, |queue, item, _| {
            if now >= queue.deadline(item) {
                Choice::Take
            } else if item.replayed {
                Choice::Skip
            } else {
                Choice::Stop
            }
        })
    }

    /// Gives up the oldest events until no more than `share` bytes of the log are held, a batch at
    /// a time.
    pub fn shrink(&mut self, share: u64) -> Vec<GivenUp> {
        let mut excess = (self.items.bytes() - self.burying_bytes).saturating_sub(share);
        self.choose(ReasonCode::ShareExceeded, |_, item, _| {
            if excess == 0 {
                return Choice::Stop;
            }
            excess = excess.saturating_sub(item.size());
            Choice::Take
        })
    }

    fn choose(
        &mut self,
        code: ReasonCode,
        mut choice: impl FnMut(&Self, &Item, usize) -> Choice,
    ) -> Vec<GivenUp> {
        let mut chosen = Vec::new();
        for item in self.items.iter() {
            if chosen.len() + self.burying >= BURIALS {
                break;
            }
            if matches!(item.place, Place::InFlight | Place::Burying) {
                continue;
            }
            match choice(self, item, chosen.len()) {
                Choice::Take => chosen.push(*item),
                Choice::Skip => {}
                Choice::Stop => break,
            }
        }
        chosen
            .into_iter()
            .map(|item| self.give_up(item, code))
            .collect()
    }

    /// The event is delivered, safe among the dead letters, or no longer wanted.
    pub fn settle(&mut self, sequence: u64) {
        let Some(item) = self.items.remove(sequence) else {
            return;
        };
        self.leave(item);
        self.lanes.admit(item.customer);
        self.payloads.remove(&sequence);
        if self.retries.remove(&sequence).is_some() {
            self.dirty_retries.insert(sequence);
        }
        self.dirty_chunks.insert(chunk_of(sequence));
    }

    /// When there may be something to do although nothing came in; `None`: not before that.
    pub fn next_wake(&self, now: Millis) -> Option<Millis> {
        let retry = self.timers.peek().map(|Reverse((due, _))| *due);
        let probe = (!self.held && !self.lanes.is_empty())
            .then(|| self.gate.opens_at(now))
            .flatten();
        let expiry = self
            .items
            .iter()
            .take(BURIALS)
            .find(|item| matches!(item.place, Place::Queued | Place::Waiting) && !item.replayed)
            .map(|item| self.deadline(item));
        [retry, probe, expiry].into_iter().flatten().min()
    }

    fn deadline(&self, item: &Item) -> Millis {
        (u64::from(item.since) * 1000).saturating_add(millis(self.settings.max_age))
    }

    fn promote(&mut self, now: Millis) {
        while let Some(Reverse((due, sequence))) = self.timers.peek().copied()
            && due <= now
        {
            self.timers.pop();
            let waiting = self
                .items
                .get(sequence)
                .is_some_and(|item| item.place == Place::Waiting)
                && self
                    .retries
                    .get(&sequence)
                    .is_none_or(|retry| retry.next <= now);
            if waiting {
                self.move_to(sequence, Place::Queued);
            }
        }
    }

    fn move_to(&mut self, sequence: u64, place: Place) {
        let Some(before) = self.items.get(sequence).copied() else {
            return;
        };
        self.items.place(sequence, place);
        self.leave(before);
        self.enter(Item { place, ..before });
    }

    fn enter(&mut self, item: Item) {
        self.lanes
            .enter(item.customer, item.sequence, item.place == Place::Queued);
        match item.place {
            Place::InFlight => {
                self.in_flight += 1;
                self.in_flight_bytes += item.size();
            }
            Place::Burying => {
                self.burying += 1;
                self.burying_bytes += item.size();
            }
            Place::Queued | Place::Waiting | Place::Gone => {}
        }
    }

    fn leave(&mut self, item: Item) {
        self.lanes
            .leave(item.customer, item.sequence, item.place == Place::Queued);
        match item.place {
            Place::InFlight => {
                self.in_flight -= 1;
                self.in_flight_bytes -= item.size();
            }
            Place::Burying => {
                self.burying -= 1;
                self.burying_bytes -= item.size();
            }
            Place::Queued | Place::Waiting | Place::Gone => {}
        }
    }
}

enum Choice {
    Take,
    Skip,
    Stop,
}

fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}
