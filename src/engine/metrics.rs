//! What the logs hold, for Prometheus: read when somebody asks.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::delivery::dead_letters::DeadLetters;
use crate::event_log::{EventLog, Space};

/// The event log, and that of the dead letters.
pub struct Logs {
    /// The events.
    pub log: EventLog,
    /// The dead letters.
    pub dead_letters: DeadLetters,
}

impl fmt::Debug for Logs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Logs")
    }
}

impl Collector for Logs {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut gauge = |name: &str, help: &str, unit: Option<&Unit>, value: u64| {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)
        };
        let bytes = Some(&Unit::Bytes);
        let usage = self.log.usage();
        let is_writable = matches!(usage.space, Space::Ample | Space::Low);
        gauge("log_used", "What the event log holds", bytes, usage.used)?;
        gauge(
            "log_capacity",
            "What the event log may hold",
            bytes,
            usage.capacity,
        )?;
        gauge(
            "log_writable",
            "Whether the event log takes events: 0 once it is full or its storage failed",
            None,
            is_writable.into(),
        )?;
        gauge(
            "log_low",
            "Whether less of the event log is free than should be: undelivered events hold the rest",
            None,
            matches!(usage.space, Space::Low | Space::Full).into(),
        )?;
        let letters = self.dead_letters.usage();
        gauge(
            "dead_letters",
            "Dead letters that are kept",
            None,
            self.dead_letters.counts().total,
        )?;
        gauge(
            "dead_letters_used",
            "What the dead letters' log holds",
            bytes,
            letters.used,
        )?;
        gauge(
            "dead_letters_capacity",
            "What the dead letters' log may hold; the oldest go for new ones",
            bytes,
            letters.capacity,
        )
    }
}
