//! Reading back what is undelivered, for somebody else who delivers it: another pod, when this one
//! goes.
//!
//! Nothing is decided here about where it goes. An event leaves its queue when whoever took it says
//! that it is safe there; until then it is undelivered here, whatever happens.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Delivery;
use super::readers::Unreadable;
use super::state::Number;
use super::worker::unreadable;
use crate::event::{Event, ObjectName};

/// An event that a subscription has not got yet.
#[derive(Clone, Debug)]
pub struct Undelivered {
    /// The subscription.
    pub subscription: ObjectName,
    /// The event.
    pub event: Event,
    number: Number,
    sequence: u64,
}

impl Delivery {
    /// Makes no new attempts from now on, or makes them again. Events are taken in as ever.
    pub fn pause(&self, paused: bool) {
        self.engine().pause(paused);
    }

    /// How many events are undelivered; one that several subscriptions wait for counts for each.
    #[must_use]
    pub fn undelivered(&self) -> u64 {
        let table = self.engine().table();
        let all = table.iter().map(|subscription| subscription.queue().len());
        all.sum::<usize>() as u64
    }

    /// Whether a subscription has got everything that was stored for it until now, or is not there.
    #[must_use]
    pub fn has_got_everything(&self, name: &ObjectName) -> bool {
        let engine = self.engine();
        let stored = engine.log.high_watermark().borrow().0;
        let table = engine.table();
        engine.recovered.load(Ordering::Acquire)
            && engine.routed.load(Ordering::Acquire) >= stored
            && table.get(name).is_none_or(|it| it.queue().len() == 0)
    }

    /// Whether there is such a subscription.
    #[must_use]
    pub fn has_subscription(&self, name: &ObjectName) -> bool {
        self.engine().table().get(name).is_some()
    }

    /// Whether everything that was stored is in the queues, and nothing is under way: attempts,
    /// replays, or what a restart has to meet again.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        let engine = self.engine();
        let stored = engine.log.high_watermark().borrow().0;
        let table = engine.table();
        engine.recovered.load(Ordering::Acquire)
            && engine.routed.load(Ordering::Acquire) >= stored
            && engine.replays.list().is_empty()
            && table
                .iter()
                .all(|subscription| subscription.queue().in_flight() == 0)
    }

    /// The oldest undelivered events of one of the subscriptions, in the order of the log: at most
    /// `most`, and no more than one after `bytes` of records. None, although there are some: they
    /// are under way, or cannot be read just now. Call it while delivery is paused.
    pub async fn oldest_undelivered(&self, most: usize, bytes: u64) -> Vec<Undelivered> {
        let engine = self.engine();
        let table = Arc::clone(&engine.table());
        for subscription in table.iter() {
            let waiting = subscription.queue().oldest_waiting(most, bytes);
            let mut read = Vec::with_capacity(waiting.len());
            for (sequence, position) in waiting {
                match engine.readers.read(position).await {
                    Ok(event) => read.push(Undelivered {
                        subscription: subscription.registration.name.clone(),
                        event,
                        number: subscription.number,
                        sequence,
                    }),
                    // It was relocated meanwhile, and is found there the next time.
                    Err(Unreadable::Gone)
                        if subscription.queue().position(sequence) != Some(position) =>
                    {
                        break;
                    }
                    Err(Unreadable::Gone) => {
                        unreadable(engine, subscription, sequence, "its segment is gone");
                    }
                    Err(Unreadable::Damaged(error)) => {
                        unreadable(engine, subscription, sequence, &error);
                    }
                    Err(Unreadable::Later(error)) => {
                        tracing::warn!(
                            sequence,
                            error,
                            "failed to read an event back from the log"
                        );
                        break;
                    }
                }
            }
            if !read.is_empty() {
                return read;
            }
        }
        Vec::new()
    }

    /// These are safe somewhere else: they leave their queues.
    pub fn handed_over(&self, events: &[Undelivered]) {
        let table = self.engine().table();
        for event in events {
            let subscription = table.get(&event.subscription);
            // One that was made anew under the same name has a queue of its own.
            if let Some(subscription) = subscription.filter(|it| it.number == event.number) {
                subscription.queue().settle(event.sequence);
            }
        }
    }

    /// Records what is undelivered now, synced: after a restart nothing else is.
    ///
    /// # Errors
    /// When that could not be written.
    pub async fn record(&self) -> Result<(), String> {
        let engine = Arc::clone(self.engine());
        let saving = tokio::task::spawn_blocking(move || engine.save());
        match saving.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }
}
