//! What a person wants to know of a subscription.

use std::sync::atomic::Ordering;

use jiff::Timestamp;
use serde::Serialize;

use super::subscription::Subscription;
use crate::api::condition::reason;
use crate::event::ObjectName;

/// Filter errors from which on the subscription says so in its condition.
const FILTER_ERRORS_SHOWN: u64 = 10;

/// How it goes with one subscription. Counts are of this process's life.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionStatus {
    /// The subscription.
    pub name: ObjectName,
    /// Whether events are being delivered, as a condition says it.
    pub delivering: Delivering,
    /// Undelivered events.
    pub undelivered: u64,
    /// Bytes of the log that they hold.
    pub undelivered_bytes: u64,
    /// When the oldest of them was received.
    pub oldest_undelivered: Option<Timestamp>,
    /// Attempts that run just now.
    pub in_flight: u32,
    /// Attempts that ended.
    pub attempts: u64,
    /// Events that were delivered.
    pub delivered: u64,
    /// Events that became dead letters.
    pub dead_letters: u64,
    /// Events that the filter could not decide about; they were not delivered.
    pub filter_errors: u64,
    /// What the filter last failed on.
    pub last_filter_error: Option<String>,
    /// Events that were routed and then not wanted any more, because the declaration was edited.
    pub unwanted: u64,
    /// Undelivered events that were lost to damage of the log.
    pub unreadable: u64,
    /// When something was last delivered.
    pub last_delivered: Option<Timestamp>,
    /// The last failed attempt.
    pub last_failure: Option<FailureStatus>,
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureStatus {
    /// When.
    pub at: Timestamp,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// What went wrong.
    pub message: String,
}

/// The condition `Delivering` of an EventSubscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivering {
    /// Whether events flow, or would if there were any.
    pub status: bool,
    /// Why.
    pub reason: DeliveringReason,
    /// A sentence for a person.
    pub message: String,
}

/// The reasons of [`Delivering`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum DeliveringReason {
    /// Everything works.
    Delivering,
    /// `suspend` is set.
    Suspended,
    /// Something that sending needs is missing or wrong.
    Held,
    /// The last attempts failed.
    SinkFailing,
    /// It held more than its share of the log, and its oldest events became dead letters.
    ShareExceeded,
    /// The filter could not decide about at least ten events.
    FilterFailing,
}

impl DeliveringReason {
    /// The reason as a condition has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivering => reason::DELIVERING,
            Self::Suspended => reason::SUSPENDED,
            Self::Held => reason::HELD,
            Self::SinkFailing => reason::SINK_FAILING,
            Self::ShareExceeded => reason::SHARE_EXCEEDED,
            Self::FilterFailing => reason::FILTER_FAILING,
        }
    }
}

/// How it goes with a subscription; `share` is what it may hold of the log, in bytes.
pub(super) fn of(subscription: &Subscription, share: u64) -> SubscriptionStatus {
    let (undelivered, bytes, oldest, in_flight, sink_is_dead) = {
        let queue = subscription.queue();
        (
            queue.len() as u64,
            queue.bytes(),
            queue.oldest(),
            queue.in_flight(),
            queue.is_probing(),
        )
    };
    let last = subscription.last().clone();
    let counts = &subscription.counts;
    let filter_errors = counts.filter_errors.load(Ordering::Relaxed);
    let live = subscription.live();
    let no = |reason, message: String| Delivering {
        status: false,
        reason,
        message,
    };
    // Near its share with the sink failing or held means that each new event costs an old one.
    let over_share = last.over_share.is_some() && bytes > share / 10 * 9;
    let delivering = if over_share {
        no(
            DeliveringReason::ShareExceeded,
            format!(
                "undelivered events fill this subscription's share of the log ({share} bytes); the oldest become dead letters"
            ),
        )
    } else if live.entry.held.is_some() || live.sender.is_err() {
        no(DeliveringReason::Held, live.held().unwrap_or_default())
    } else if live.entry.suspend {
        no(
            DeliveringReason::Suspended,
            "spec.suspend is true; events are kept".into(),
        )
    } else if let (true, Some((_, failure))) = (last.failing, &last.failure) {
        let message = if sink_is_dead {
            format!(
                "{}; the sink is asked at most twice a second until it answers",
                failure.message
            )
        } else {
            failure.message.clone()
        };
        no(DeliveringReason::SinkFailing, message)
    } else if filter_errors >= FILTER_ERRORS_SHOWN {
        no(
            DeliveringReason::FilterFailing,
            format!(
                "the filter failed on {filter_errors} events, which were not delivered: {}",
                last.filter_error.as_deref().unwrap_or_default()
            ),
        )
    } else {
        Delivering {
            status: true,
            reason: DeliveringReason::Delivering,
            message: String::new(),
        }
    };
    SubscriptionStatus {
        name: subscription.registration.name.clone(),
        delivering,
        undelivered,
        undelivered_bytes: bytes,
        oldest_undelivered: oldest
            .and_then(|seconds| Timestamp::from_second(i64::from(seconds)).ok()),
        in_flight,
        attempts: counts.attempts.load(Ordering::Relaxed),
        delivered: counts.delivered.load(Ordering::Relaxed),
        dead_letters: counts.dead_letters.load(Ordering::Relaxed),
        filter_errors,
        last_filter_error: last.filter_error,
        unwanted: counts.unwanted.load(Ordering::Relaxed),
        unreadable: counts.unreadable.load(Ordering::Relaxed),
        last_delivered: last.delivered,
        last_failure: last.failure.map(|(at, failure)| FailureStatus {
            at,
            status: failure.status,
            message: failure.message,
        }),
    }
}
