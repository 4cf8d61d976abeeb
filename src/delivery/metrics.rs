//! What delivery counts for the operator of the whole. Labels are enums of ours: no names of
//! subscriptions, customers or sinks, whose number nobody bounds.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::{FailureKind, Outcome};
use crate::event::ReasonCode;

/// What one attempt came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum AttemptOutcome {
    /// The sink has it.
    Delivered,
    /// It will be tried again.
    Retry(FailureKind),
    /// The sink will never take it.
    Refused,
}

impl AttemptOutcome {
    /// The label of an outcome.
    pub fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Delivered { .. } => Self::Delivered,
            Outcome::Retry { failure, .. } => Self::Retry(failure.kind),
            Outcome::Refused { .. } => Self::Refused,
        }
    }

    /// The name as metrics and logs show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retry(kind) => kind.as_str(),
            Self::Refused => "refused",
        }
    }
}

impl EncodeLabelValue for AttemptOutcome {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&self.as_str(), encoder)
    }
}

/// Why an event left a subscription's queue without delivery or dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum Dropped {
    /// Its subscription was deleted.
    SubscriptionDeleted,
    /// Its subscription was edited and does not want it any more.
    Unwanted,
    /// Its record is damaged.
    Unreadable,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: AttemptOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DroppedLabel {
    reason: Dropped,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// The metrics of delivery.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    attempts: Family<OutcomeLabel, Counter>,
    seconds: Option<Histogram>,
    dead_letters: Family<ReasonLabel, Counter>,
    dropped: Family<DroppedLabel, Counter>,
    filter_errors: Counter,
    unsaved: Counter,
    freed: Counter,
    relocated: Counter,
    undelivered: Gauge,
    undelivered_bytes: Gauge,
    oldest: Gauge,
    failing: Gauge,
}

impl Metrics {
    /// Registers the metrics; their names begin with `delivery_` below the registry's own prefix.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            // 1 ms to 32 s.
            seconds: Some(Histogram::new(exponential_buckets(0.001, 2.0, 16))),
            ..Self::default()
        };
        let registry = registry.sub_registry_with_prefix("delivery");
        registry.register(
            "attempts",
            "Attempts to deliver an event, by what they came to",
            metrics.attempts.clone(),
        );
        if let Some(seconds) = &metrics.seconds {
            registry.register_with_unit(
                "attempt_duration",
                "How long attempts took",
                Unit::Seconds,
                seconds.clone(),
            );
        }
        registry.register(
            "dead_letters",
            "Events that subscriptions gave up, by reason",
            metrics.dead_letters.clone(),
        );
        registry.register(
            "dropped",
            "Events that left a subscription without delivery or dead letter, by reason",
            metrics.dropped.clone(),
        );
        registry.register(
            "filter_errors",
            "Events that were not delivered because a filter could not decide",
            metrics.filter_errors.clone(),
        );
        registry.register(
            "state_write_failures",
            "Batches of delivery state that could not be written; they are tried again",
            metrics.unsaved.clone(),
        );
        registry.register(
            "segments_freed",
            "Segments of the event log that were freed",
            metrics.freed.clone(),
        );
        registry.register(
            "records_relocated",
            "Undelivered events that were relocated to free their segment",
            metrics.relocated.clone(),
        );
        registry.register(
            "undelivered",
            "Undelivered events, counted once for each subscription",
            metrics.undelivered.clone(),
        );
        registry.register_with_unit(
            "undelivered",
            "What undelivered events hold of the log, counted once for each subscription",
            Unit::Bytes,
            metrics.undelivered_bytes.clone(),
        );
        registry.register_with_unit(
            "oldest_undelivered_age",
            "Age of the oldest undelivered event; 0 without one",
            Unit::Seconds,
            metrics.oldest.clone(),
        );
        registry.register(
            "subscriptions_failing",
            "Subscriptions whose last attempt failed",
            metrics.failing.clone(),
        );
        metrics
    }

    /// Counts an attempt.
    pub fn attempt(&self, outcome: AttemptOutcome, took: Duration) {
        self.attempts.get_or_create(&OutcomeLabel { outcome }).inc();
        if let Some(seconds) = &self.seconds {
            seconds.observe(took.as_secs_f64());
        }
    }

    /// Counts an event that a subscription gave up.
    pub fn dead_lettered(&self, code: ReasonCode) {
        let reason = code.as_str();
        self.dead_letters
            .get_or_create(&ReasonLabel { reason })
            .inc();
    }

    /// Counts events that left without delivery.
    pub fn dropped(&self, reason: Dropped, count: usize) {
        self.dropped
            .get_or_create(&DroppedLabel { reason })
            .inc_by(count as u64);
    }

    /// Counts an event that a filter could not decide about.
    pub fn filter_error(&self) {
        self.filter_errors.inc();
    }

    /// Counts a batch of state that could not be written.
    pub fn state_write_failed(&self) {
        self.unsaved.inc();
    }

    /// Counts a freed segment.
    pub fn segment_freed(&self) {
        self.freed.inc();
    }

    /// Counts relocated events.
    pub fn relocated(&self, count: usize) {
        self.relocated.inc_by(count as u64);
    }

    /// Shows what is undelivered just now.
    pub fn show(&self, undelivered: u64, bytes: u64, oldest_seconds: u64, failing: u64) {
        self.undelivered.set(undelivered.cast_signed());
        self.undelivered_bytes.set(bytes.cast_signed());
        self.oldest.set(oldest_seconds.cast_signed());
        self.failing.set(failing.cast_signed());
    }
}
