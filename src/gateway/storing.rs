//! From the verdict on a request to events on disk, each once.
//!
//! **Invariant:** when this says an event was taken it is on disk and synced; when it says
//! "duplicate", the event it repeats is. A request never waits for another one while it holds a
//! claim itself, so no two can wait for each other.

use std::collections::HashSet;
use std::sync::Arc;

use super::deduplication::{Claim, Deduplication, InFlight};
use super::outcome::EventCounts;
use super::store::{Store, StoreError};
use crate::event::{DeadLetter, Event};
use crate::webhook::{ItemOutcome, Outcome};

/// What became of the items of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// How many events came to what.
    pub counts: EventCounts,
    /// One for each item: the id of the event that was taken, if one was.
    pub ids: Vec<Option<String>>,
}

/// Stores what is to be stored of a request. `now` is in seconds since the epoch.
///
/// It goes on to its end in a task of its own where a claim depends on it, so that a client that
/// goes away cannot leave events on disk whose redelivery would not be recognised.
///
/// # Errors
/// When something was not stored; some of the rest may be.
pub async fn store(
    store: Arc<dyn Store>,
    index: Arc<Deduplication>,
    items: Vec<ItemOutcome>,
    now: i64,
) -> Result<Stored, StoreError> {
    let Sorted {
        events,
        letters,
        stored,
        claims,
    } = sort(items);
    if events.is_empty() && letters.is_empty() {
        return Ok(stored);
    }
    let work = store_all(store, index, events, letters, stored, now);
    if !claims {
        return work.await;
    }
    // A panic in there is a fault of ours like a failing disk: the sender comes again.
    tokio::spawn(work).await.unwrap_or(Err(StoreError::Failed))
}

struct Sorted {
    /// Events, each with the number of its item.
    events: Vec<(usize, Event)>,
    letters: Vec<DeadLetter>,
    /// What is known already.
    stored: Stored,
    /// Whether any event can be a duplicate.
    claims: bool,
}

fn sort(items: Vec<ItemOutcome>) -> Sorted {
    let mut sorted = Sorted {
        events: Vec::with_capacity(items.len()),
        letters: Vec::new(),
        stored: Stored {
            counts: EventCounts::default(),
            ids: vec![None; items.len()],
        },
        claims: false,
    };
    let counts = &mut sorted.stored.counts;
    for (number, item) in items.into_iter().enumerate() {
        let outcomes = match item {
            ItemOutcome::Skipped => {
                counts.skipped += 1;
                continue;
            }
            ItemOutcome::Refused => {
                counts.refused += 1;
                continue;
            }
            ItemOutcome::Events(outcomes) => outcomes,
        };
        for outcome in outcomes {
            match outcome {
                Outcome::Event(event) => {
                    sorted.claims |= event.attributes.deduplication.is_some();
                    sorted.events.push((number, event));
                }
                Outcome::DeadLetter(letter) => {
                    counts.dead_lettered += 1;
                    sorted.letters.push(letter);
                }
            }
        }
    }
    sorted
}

async fn store_all(
    store: Arc<dyn Store>,
    index: Arc<Deduplication>,
    mut events: Vec<(usize, Event)>,
    letters: Vec<DeadLetter>,
    mut stored: Stored,
    now: i64,
) -> Result<Stored, StoreError> {
    let mut letters = Some(letters);
    loop {
        let round = Round::claim(&index, std::mem::take(&mut events), now);
        let Round {
            batch,
            claims,
            taken,
            duplicates,
            elsewhere,
        } = round;
        let (appended, kept) = tokio::join!(append(&*store, batch), keep(&*store, letters.take()));
        // What is on disk is on disk, whatever became of the dead letters.
        appended?;
        for claimed in claims {
            claimed.commit(now);
        }
        kept?;
        stored.counts.accepted += taken.len() as u64;
        stored.counts.duplicates += duplicates;
        for (item, id) in taken {
            stored.ids[item].get_or_insert(id);
        }
        if elsewhere.is_empty() {
            return Ok(stored);
        }
        for (item, event, in_flight) in elsewhere {
            in_flight.settled().await;
            events.push((item, event));
        }
    }
}

/// The events that one append stores, and what is to be known of the others.
#[derive(Default)]
struct Round {
    batch: Vec<Event>,
    claims: Vec<super::deduplication::Claimed>,
    /// The item and the id of each event of the batch.
    taken: Vec<(usize, String)>,
    duplicates: u64,
    /// Events that another request is storing just now.
    elsewhere: Vec<(usize, Event, InFlight)>,
}

impl Round {
    fn claim(index: &Arc<Deduplication>, events: Vec<(usize, Event)>, now: i64) -> Self {
        let mut round = Self {
            batch: Vec::with_capacity(events.len()),
            ..Self::default()
        };
        let mut own = HashSet::new();
        for (item, event) in events {
            if let Some(key) = &event.attributes.deduplication {
                match index.claim(key, now) {
                    Claim::New(claimed) => {
                        own.insert(key.key);
                        round.claims.push(claimed);
                    }
                    Claim::Duplicate => {
                        round.duplicates += 1;
                        continue;
                    }
                    // The same event earlier in this request; both stand or fall together.
                    Claim::InFlight(_) if own.contains(&key.key) => {
                        round.duplicates += 1;
                        continue;
                    }
                    Claim::InFlight(in_flight) => {
                        round.elsewhere.push((item, event, in_flight));
                        continue;
                    }
                }
            }
            round.taken.push((item, event.attributes.id.clone()));
            round.batch.push(event);
        }
        round
    }
}

async fn append(store: &dyn Store, events: Vec<Event>) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    store.append(events).await
}

async fn keep(store: &dyn Store, letters: Option<Vec<DeadLetter>>) -> Result<(), StoreError> {
    match letters {
        Some(letters) if !letters.is_empty() => store.keep(letters).await,
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
