//! The task of one subscription: it takes what its queue lets go, tries each event, and brings
//! what was given up to the dead letters.
//!
//! Each subscription has its own task, so that none waits for another's sink. Attempts are tasks
//! of their own, at most `maxInFlight` at a time.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::task::JoinSet;

use super::backoff::Millis;
use super::burial::{self, Burial};
use super::engine::Engine;
use super::metrics::{AttemptOutcome, Dropped};
use super::payload::Payload;
use super::queue::{Taken, Verdict};
use super::readers::Unreadable;
use super::subscription::{Live, Subscription};
use super::{Attempt, Failure, FailureKind, Outcome};
use crate::event::Event;

/// How often a subscription with undelivered events looks at them although nothing happened, so
/// that a clock that is set has no lasting effect.
const TICK: Duration = Duration::from_secs(1);

/// A sender ends within the subscription's `timeout` by itself; this much later it is cut off.
const GRACE: Duration = Duration::from_secs(5);

/// What came of something that was taken from the queue.
enum Done {
    Tried(Arc<Payload>, Outcome),
    /// It is not wanted any more: the declaration was edited since it was routed.
    Unwanted,
    FilterFailed(String),
    /// It cannot be read now; it was not tried.
    NotRead(Unreadable),
}

/// Runs until it is aborted.
pub(super) async fn run(engine: Arc<Engine>, subscription: Arc<Subscription>) {
    let mut attempts = JoinSet::new();
    let mut burials = JoinSet::new();
    let mut burial = Burial::default();
    loop {
        let wake = turn(&engine, &subscription, &mut attempts, &mut burial);
        if burials.is_empty()
            && let Some(batch) = burial.batch()
        {
            burials.spawn(burial::bury(engine.clone(), subscription.clone(), batch));
        }
        tokio::select! {
            Some(done) = attempts.join_next(), if !attempts.is_empty() => {
                handle(&engine, &subscription, done, &mut burial);
                while let Some(done) = attempts.try_join_next() {
                    handle(&engine, &subscription, done, &mut burial);
                }
            }
            Some(_) = burials.join_next(), if !burials.is_empty() => {}
            () = subscription.wake.notified() => {}
            () = sleep(wake) => {}
        }
    }
}

async fn sleep(wake: Option<Duration>) {
    match wake {
        Some(wake) => tokio::time::sleep(wake).await,
        None => std::future::pending().await,
    }
}

/// Takes what may go; how long until there is more to do, if nothing happens before.
fn turn(
    engine: &Arc<Engine>,
    subscription: &Arc<Subscription>,
    attempts: &mut JoinSet<(u64, Millis, Done)>,
    burial: &mut Burial,
) -> Option<Duration> {
    let now = engine.now();
    let mut queue = subscription.queue();
    burial.extend(queue.expire(now));
    let excess = queue.shrink(engine.share());
    if !excess.is_empty() {
        subscription.last().over_share = Some(engine.timestamp());
    }
    burial.extend(excess);
    let taken = if engine.is_sending() {
        queue.take(now)
    } else {
        Vec::new()
    };
    let wake = (!queue.is_idle()).then(|| {
        let next = queue.next_wake(now).unwrap_or(Millis::MAX);
        Duration::from_millis(next.saturating_sub(now)).clamp(Duration::from_millis(1), TICK)
    });
    drop(queue);
    for taken in taken {
        let (engine, subscription) = (engine.clone(), subscription.clone());
        attempts.spawn(async move {
            let Taken { sequence, .. } = taken;
            let done = attempt(&engine, &subscription, taken).await;
            (sequence, engine.now(), done)
        });
    }
    wake
}

async fn attempt(engine: &Engine, subscription: &Subscription, taken: Taken) -> Done {
    let live = subscription.live().clone();
    let payload = match taken.payload {
        Some(payload) => payload,
        None => match engine.readers.read(taken.position).await {
            Ok(event) => Payload::read(event),
            Err(Unreadable::Gone) => {
                // Relocated while it was taken: it stands somewhere else now.
                let moved = subscription.queue().position(taken.sequence) != Some(taken.position);
                return Done::NotRead(if moved {
                    Unreadable::Gone
                } else {
                    Unreadable::Damaged("its segment is gone".into())
                });
            }
            Err(unreadable) => return Done::NotRead(unreadable),
        },
    };
    if taken.sequence <= live.recheck {
        match wanted(&live, &payload.event) {
            Ok(true) => {}
            Ok(false) => return Done::Unwanted,
            Err(error) => return Done::FilterFailed(error),
        }
    }
    let outcome = send(engine, &live, &payload.event, taken.attempt).await;
    Done::Tried(payload, outcome)
}

fn wanted(live: &Live, event: &Event) -> Result<bool, String> {
    let attributes = &event.attributes;
    if attributes.app_event_type != live.entry.event_type
        || !live.entry.customers.admit(attributes.customer.as_ref())
    {
        return Ok(false);
    }
    live.filter.admits(event)
}

async fn send(engine: &Engine, live: &Live, event: &Event, number: u32) -> Outcome {
    let internal = |message: String| Outcome::Retry {
        failure: Failure {
            kind: FailureKind::Internal,
            status: None,
            message,
        },
        after: None,
    };
    let sender = match &live.sender {
        Ok(sender) => sender,
        Err(unusable) => return internal(unusable.to_string()),
    };
    let attempt = Attempt {
        number,
        at: engine.timestamp(),
    };
    let started = Instant::now();
    let sending = AssertUnwindSafe(sender.send(event, attempt)).catch_unwind();
    let outcome = match tokio::time::timeout(live.entry.delivery.timeout + GRACE, sending).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => internal("the sender panicked".into()),
        Err(_) => Outcome::Retry {
            failure: Failure {
                kind: FailureKind::Timeout,
                status: None,
                message: "no answer in time".into(),
            },
            after: None,
        },
    };
    engine
        .metrics
        .attempt(AttemptOutcome::of(&outcome), started.elapsed());
    tracing::debug!(
        event = event.attributes.id,
        subscription = %live.entry.name,
        attempt = number,
        outcome = AttemptOutcome::of(&outcome).as_str(),
        "tried"
    );
    outcome
}

fn handle(
    engine: &Engine,
    subscription: &Subscription,
    done: Result<(u64, Millis, Done), tokio::task::JoinError>,
    burial: &mut Burial,
) {
    // An attempt catches what a sender panics with, and is never aborted alone.
    let Ok((sequence, now, done)) = done else {
        return;
    };
    let counts = &subscription.counts;
    match done {
        Done::Tried(payload, outcome) => {
            counts.attempts.fetch_add(1, Ordering::Relaxed);
            let verdict = subscription
                .queue()
                .finish(sequence, &outcome, now, engine.random());
            remember(engine, subscription, &payload.event, &outcome);
            match verdict {
                Verdict::Delivered => {
                    counts.delivered.fetch_add(1, Ordering::Relaxed);
                }
                Verdict::Again(_) => {}
                Verdict::GiveUp(given_up) => burial.push(given_up, payload),
            }
        }
        Done::Unwanted => {
            counts.unwanted.fetch_add(1, Ordering::Relaxed);
            engine.metrics.dropped(Dropped::Unwanted, 1);
            subscription.queue().settle(sequence);
        }
        Done::FilterFailed(error) => {
            subscription.count_filter_error(error);
            engine.metrics.filter_error();
            subscription.queue().settle(sequence);
        }
        Done::NotRead(Unreadable::Gone) => subscription.queue().put_back(sequence, now),
        Done::NotRead(Unreadable::Later(error)) => {
            tracing::warn!(sequence, error, "failed to read an event back from the log");
            subscription.queue().put_back(sequence, now + 1000);
        }
        Done::NotRead(Unreadable::Damaged(error)) => {
            unreadable(engine, subscription, sequence, &error);
        }
    }
}

/// The event is lost to damage; saying so loudly is all that is left.
pub(super) fn unreadable(engine: &Engine, subscription: &Subscription, sequence: u64, error: &str) {
    tracing::error!(
        sequence,
        subscription = %subscription.registration.name,
        error,
        "an undelivered event cannot be read any more"
    );
    subscription
        .counts
        .unreadable
        .fetch_add(1, Ordering::Relaxed);
    engine.metrics.dropped(Dropped::Unreadable, 1);
    subscription.queue().settle(sequence);
}

fn remember(engine: &Engine, subscription: &Subscription, event: &Event, outcome: &Outcome) {
    let mut last = subscription.last();
    match outcome {
        Outcome::Delivered { .. } => {
            last.failing = false;
            last.delivered = Some(engine.timestamp());
        }
        Outcome::Retry { failure, .. } | Outcome::Refused { failure } => {
            last.failing = matches!(outcome, Outcome::Retry { .. });
            last.failure = Some((engine.timestamp(), failure.clone()));
            tracing::info!(
                event = event.attributes.id,
                subscription = %subscription.registration.name,
                status = failure.status,
                error = failure.message,
                "delivery failed"
            );
        }
    }
}
