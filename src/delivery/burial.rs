//! Brings events that were given up to the dead letters: read, stored and synced in batches; only
//! then are they settled.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::engine::Engine;
use super::payload::Payload;
use super::queue::GivenUp;
use super::readers::Unreadable;
use super::subscription::Subscription;
use super::worker;
use crate::event::{DeadLetter, DeadLetterVerdict, Event, Reason, ReasonCode};

/// Bytes of events that one batch holds in memory; one event always fits.
const BATCH_BYTES: u64 = 4 << 20;

/// Events of one batch.
const BATCH_EVENTS: usize = 256;

/// Events that wait for their burial with their payload; those behind are read back.
const IN_MEMORY: usize = 64;

/// How long to wait before dead letters that could not be kept are tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// An event on its way to the dead letters.
pub(super) struct Corpse {
    given_up: GivenUp,
    payload: Option<Arc<Payload>>,
}

/// Events on their way to the dead letters.
#[derive(Default)]
pub(super) struct Burial(VecDeque<Corpse>);

impl Burial {
    /// Adds an event that is in memory.
    pub fn push(&mut self, given_up: GivenUp, payload: Arc<Payload>) {
        let payload = (self.0.len() < IN_MEMORY).then_some(payload);
        self.0.push_back(Corpse { given_up, payload });
    }

    /// Adds events that are not.
    pub fn extend(&mut self, given_up: Vec<GivenUp>) {
        self.0.extend(given_up.into_iter().map(|given_up| Corpse {
            given_up,
            payload: None,
        }));
    }

    /// The next ones, at most 256 and 4 MiB.
    pub fn batch(&mut self) -> Option<Vec<Corpse>> {
        let mut bytes = 0;
        let mut batch = Vec::new();
        while let Some(corpse) = self.0.front() {
            bytes += u64::from(corpse.given_up.position.length);
            if batch.len() == BATCH_EVENTS || (bytes > BATCH_BYTES && !batch.is_empty()) {
                break;
            }
            batch.extend(self.0.pop_front());
        }
        (!batch.is_empty()).then_some(batch)
    }
}

/// Keeps one batch as dead letters, however often that fails, and settles it.
pub(super) async fn bury(engine: Arc<Engine>, subscription: Arc<Subscription>, batch: Vec<Corpse>) {
    let mut buried = Vec::with_capacity(batch.len());
    let mut letters = Vec::with_capacity(batch.len());
    for Corpse { given_up, payload } in batch {
        let event = match payload {
            Some(payload) => payload.event.as_ref().clone(),
            None => match exhume(&engine, &subscription, &given_up).await {
                Ok(event) => event,
                Err(error) => {
                    worker::unreadable(&engine, &subscription, given_up.sequence, &error);
                    continue;
                }
            },
        };
        letters.push(letter(&engine, &subscription, &given_up, event));
        buried.push(given_up);
    }
    loop {
        match engine.dead_letters.keep(letters.clone()).await {
            Ok(()) => break,
            Err(error) => {
                tracing::error!(
                    subscription = %subscription.registration.name,
                    letters = letters.len(),
                    %error,
                    "the events stay undelivered until their dead letters can be kept"
                );
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    let mut queue = subscription.queue();
    for (given_up, letter) in buried.iter().zip(&letters) {
        queue.settle(given_up.sequence);
        engine.metrics.dead_lettered(given_up.code);
        tracing::warn!(
            event = letter.event.attributes.id,
            subscription = %subscription.registration.name,
            reason = given_up.code.as_str(),
            attempts = given_up.attempts,
            "became a dead letter"
        );
    }
    drop(queue);
    subscription
        .counts
        .dead_letters
        .fetch_add(buried.len() as u64, Ordering::Relaxed);
}

/// Reads an event back, wherever its record has been relocated to meanwhile.
async fn exhume(
    engine: &Engine,
    subscription: &Subscription,
    given_up: &GivenUp,
) -> Result<Event, String> {
    let mut position = given_up.position;
    loop {
        match engine.readers.read(position).await {
            Ok(event) => return Ok(event),
            Err(Unreadable::Damaged(error)) => return Err(error),
            Err(Unreadable::Gone) => {
                let now = subscription.queue().position(given_up.sequence);
                match now.filter(|now| *now != position) {
                    Some(now) => position = now,
                    None => return Err("its segment is gone".into()),
                }
            }
            Err(Unreadable::Later(error)) => {
                tracing::warn!(error, "failed to read an event back from the log");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn letter(
    engine: &Engine,
    subscription: &Subscription,
    given_up: &GivenUp,
    event: Event,
) -> DeadLetter {
    let last_error = subscription
        .queue()
        .look_up(given_up.sequence)
        .and_then(|(_, retry)| retry.last_error);
    let why = match given_up.code {
        ReasonCode::TooOld => "it was undelivered for longer than maxAge",
        ReasonCode::AttemptsExhausted => "maxAttempts attempts failed",
        ReasonCode::ShareExceeded => "the subscription held more than its share of the log",
        _ => "the sink refused it",
    };
    let message = match last_error {
        Some(error) => format!("{why}; last error: {error}"),
        None => why.to_owned(),
    };
    DeadLetter {
        verdict: DeadLetterVerdict {
            subscription: Some(subscription.registration.name.clone()),
            reasons: vec![Reason {
                code: given_up.code,
                message,
                pointer: None,
            }],
            at: engine.timestamp(),
            attempts: given_up.attempts,
        },
        event,
    }
}
