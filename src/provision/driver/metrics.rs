//! What provisioning counts for the operator of the whole. Labels are enums of ours.

use std::fmt;
use std::sync::{Arc, Weak};

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::Inner;
use crate::provision::plan::expiring_soon_at;
use crate::provision::record::Phase;
use crate::provision::{Outcome, RequestKind, quiet_since};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    request: &'static str,
    outcome: &'static str,
}

/// The metrics that are counted as things happen.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    requests: Family<Labels, Counter>,
    not_stored: Counter,
}

impl Metrics {
    /// Counts a request about a registration.
    pub fn request(&self, kind: &RequestKind, outcome: &Outcome) {
        let (request, outcome) = (kind.as_str(), outcome.as_str());
        self.requests
            .get_or_create(&Labels { request, outcome })
            .inc();
    }

    /// Counts a request for an access token.
    pub fn token(&self, is_obtained: bool) {
        let outcome = if is_obtained { "Succeeded" } else { "Failed" };
        let request = "Credentials";
        self.requests
            .get_or_create(&Labels { request, outcome })
            .inc();
    }

    /// Counts a record that could not be stored or removed.
    pub fn not_stored(&self) {
        self.not_stored.inc();
    }
}

/// Registers all metrics of a driver.
pub(super) fn register(inner: &Arc<Inner>, registry: &mut Registry) {
    let registry = registry.sub_registry_with_prefix("provision");
    registry.register(
        "requests",
        "Requests to apps, by what they were for and what came of them",
        inner.metrics.requests.clone(),
    );
    registry.register(
        "store_failures",
        "Records that could not be stored or removed; they are tried again",
        inner.metrics.not_stored.clone(),
    );
    registry.register_collector(Box::new(Observed(Arc::downgrade(inner))));
}

/// What is counted when somebody asks.
struct Observed(Weak<Inner>);

impl fmt::Debug for Observed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Observed")
    }
}

/// The states that registrations are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Standing {
    Making,
    Active,
    Leaving,
    Failing,
}

#[derive(Default)]
struct Counts {
    making: i64,
    active: i64,
    leaving: i64,
    failing: i64,
    orphans: i64,
    quiet: i64,
    expiring_soon: i64,
    next_expiry: Option<Timestamp>,
}

impl Inner {
    fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        let now = self.now();
        let state = self.lock();
        for key in state.keys.values() {
            let Some(record) = key.latest() else {
                continue;
            };
            let is_quiet =
                quiet_since(record, now).is_some() && key.wish(state.is_complete).is_some();
            counts.quiet += i64::from(is_quiet);
            counts.orphans += record
                .orphans
                .iter()
                .map(|orphan| i64::from(orphan.last_number - orphan.number) + 1)
                .sum::<i64>();
            for registration in &record.registrations {
                if registration.leaving.is_some() {
                    counts.leaving += 1;
                } else if registration.phase == Phase::Active {
                    counts.active += 1;
                    let expires = registration.expires_at;
                    let soon = expiring_soon_at(registration);
                    counts.expiring_soon += i64::from(soon.is_some_and(|at| at <= now));
                    counts.next_expiry = counts.next_expiry.into_iter().chain(expires).min();
                } else if record.making.is_some() {
                    counts.failing += 1;
                } else {
                    counts.making += 1;
                }
            }
        }
        counts
    }
}

impl Collector for Observed {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(inner) = self.0.upgrade() else {
            return Ok(());
        };
        let Counts {
            making,
            active,
            leaving,
            failing,
            orphans,
            quiet,
            expiring_soon,
            next_expiry,
        } = inner.counts();
        let states = [
            (Standing::Making, making),
            (Standing::Active, active),
            (Standing::Leaving, leaving),
            (Standing::Failing, failing),
        ];
        let mut family = encoder.encode_descriptor(
            "registrations",
            "Registrations at apps, by state",
            None,
            MetricType::Gauge,
        )?;
        for (state, count) in states {
            let gauge = ConstGauge::new(count);
            gauge.encode(family.encode_family(&[("state", state)])?)?;
        }
        let gauge = ConstGauge::new(orphans);
        gauge.encode(encoder.encode_descriptor(
            "orphans",
            "Registrations that may stand at apps without our being able to remove them",
            None,
            MetricType::Gauge,
        )?)?;
        let gauge = ConstGauge::new(quiet);
        gauge.encode(encoder.encode_descriptor(
            "quiet_subscriptions",
            "Subscriptions for which nothing was received for longer than their quietPeriod",
            None,
            MetricType::Gauge,
        )?)?;
        let gauge = ConstGauge::new(expiring_soon);
        gauge.encode(encoder.encode_descriptor(
            "expiring_soon",
            "Registrations that expire before long and should have been renewed by now",
            None,
            MetricType::Gauge,
        )?)?;
        // Absent while nothing expires.
        if let Some(at) = next_expiry {
            let gauge = ConstGauge::new(at.as_second() - inner.now().as_second());
            gauge.encode(encoder.encode_descriptor(
                "next_expiry",
                "How long until the first registration expires; negative if it has",
                Some(&Unit::Seconds),
                MetricType::Gauge,
            )?)?;
        }
        Ok(())
    }
}
