//! What the gateway counts. Labels are enums of ours: no names of types, customers or clients,
//! whose number nobody bounds.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric,
};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::body::BodyMemory;
use super::deduplication::Deduplication;
use super::outcome::{EventCounts, Outcome};
use super::places::{Full, Places};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum EventOutcome {
    Accepted,
    Duplicate,
    DeadLettered,
    Skipped,
    Refused,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabel {
    outcome: EventOutcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum NoPlace {
    All,
    Client,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NoPlaceLabel {
    limit: NoPlace,
}

/// The metrics of the public listener and the ingest handler.
#[derive(Debug)]
pub struct Metrics {
    requests: Family<OutcomeLabel, Counter>,
    events: Family<EventLabel, Counter>,
    duration: Histogram,
    received: Counter,
    in_flight: Gauge,
    refused_connections: Family<NoPlaceLabel, Counter>,
    suppressed: Counter,
}

impl Metrics {
    /// Registers everything; the names stand below the prefix of the registry.
    pub fn register(
        registry: &mut Registry,
        connections: &Arc<Places>,
        memory: &BodyMemory,
        deduplication: &Arc<Deduplication>,
    ) -> Self {
        let metrics = Self {
            requests: Family::default(),
            events: Family::default(),
            // 0.1 ms to 26 s: a sync on a fast disk, and the longest a body may take.
            duration: Histogram::new(exponential_buckets(0.0001, 2.0, 19)),
            received: Counter::default(),
            in_flight: Gauge::default(),
            refused_connections: Family::default(),
            suppressed: Counter::default(),
        };
        registry.register(
            "requests",
            "Requests by what became of them",
            metrics.requests.clone(),
        );
        registry.register(
            "events",
            "Events of accepted requests by what became of them",
            metrics.events.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "From the end of a request's headers to its answer",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        registry.register_with_unit(
            "request_body",
            "Bytes of bodies as sent",
            Unit::Bytes,
            metrics.received.clone(),
        );
        registry.register(
            "requests_in_flight",
            "Requests that are being answered",
            metrics.in_flight.clone(),
        );
        registry.register(
            "connections_refused",
            "Connections refused because all places, or those of one client, were taken",
            metrics.refused_connections.clone(),
        );
        registry.register(
            "log_lines_suppressed",
            "Log lines about refused requests that were left out because there were too many",
            metrics.suppressed.clone(),
        );
        registry.register_collector(Box::new(Observed {
            connections: Arc::clone(connections),
            memory: memory.clone(),
            deduplication: Arc::clone(deduplication),
        }));
        metrics
    }

    /// A request begins; it counts as in flight until the guard goes.
    pub fn begin(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// A request ended.
    pub fn ended(&self, outcome: Outcome, counts: EventCounts, body: u64, took: Duration) {
        self.requests.get_or_create(&OutcomeLabel { outcome }).inc();
        self.duration.observe(took.as_secs_f64());
        self.received.inc_by(body);
        let EventCounts {
            accepted,
            duplicates,
            dead_lettered,
            skipped,
            refused,
        } = counts;
        for (outcome, count) in [
            (EventOutcome::Accepted, accepted),
            (EventOutcome::Duplicate, duplicates),
            (EventOutcome::DeadLettered, dead_lettered),
            (EventOutcome::Skipped, skipped),
            (EventOutcome::Refused, refused),
        ] {
            if count > 0 {
                self.events
                    .get_or_create(&EventLabel { outcome })
                    .inc_by(count);
            }
        }
    }

    /// A connection found no place.
    pub fn connection_refused(&self, full: Full) {
        let limit = match full {
            Full::All => NoPlace::All,
            Full::Client => NoPlace::Client,
        };
        self.refused_connections
            .get_or_create(&NoPlaceLabel { limit })
            .inc();
    }

    /// A log line was left out.
    pub fn suppressed(&self) {
        self.suppressed.inc();
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What is looked up when somebody asks, because others count it already.
struct Observed {
    connections: Arc<Places>,
    memory: BodyMemory,
    deduplication: Arc<Deduplication>,
}

impl fmt::Debug for Observed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Observed")
    }
}

impl Collector for Observed {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut gauge = |name: &str, help: &str, unit: Option<&Unit>, value: usize| {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)
        };
        gauge(
            "connections",
            "Connections that are open",
            None,
            self.connections.taken(),
        )?;
        gauge(
            "body_memory",
            "Bytes of bodies in memory",
            Some(&Unit::Bytes),
            self.memory.used(),
        )?;
        gauge(
            "deduplication_keys",
            "Keys that the deduplication index remembers",
            None,
            self.deduplication.keys(),
        )?;
        // Absent while every key could stay for its whole window.
        if let Some(window) = self.deduplication.shortened_to() {
            gauge(
                "deduplication_window",
                "The shortest window that the room for keys has left since the start",
                Some(&Unit::Seconds),
                window as usize,
            )?;
        }
        Ok(())
    }
}
