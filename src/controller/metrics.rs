//! What the controller counts of its own work. Names stand below `tidegate_controller_`.
//!
//! Labels are kinds, outcomes and gateways: no names of types, customers or subscriptions, whose
//! number nobody bounds.

use std::collections::BTreeMap;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::decide::Decision;
use super::hub::Observations;
use crate::compile::{Kind, State};
use crate::event::ObjectName;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ObjectsLabel {
    kind: &'static str,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabel {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GatewayLabel {
    gateway_namespace: String,
    gateway: String,
}

impl GatewayLabel {
    fn of(name: &ObjectName) -> Self {
        Self {
            gateway_namespace: name.namespace.clone(),
            gateway: name.name.clone(),
        }
    }
}

/// The metrics. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    leading: Gauge,
    decisions: Histogram,
    objects: Family<ObjectsLabel, Gauge>,
    writes: Family<WriteLabel, Counter>,
    pods: Family<GatewayLabel, Gauge>,
    behind: Family<GatewayLabel, Gauge>,
    refused: Family<GatewayLabel, Gauge>,
}

/// What became of a write to the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is written.
    Done,
    /// The object has gone, or is another one now.
    Outdated,
    /// It is tried again.
    Failed,
}

const STATES: [&str; 3] = ["Ready", "Waiting", "Invalid"];

const KINDS: [Kind; 4] = [
    Kind::AppEventType,
    Kind::Customer,
    Kind::EventSubscription,
    Kind::EventGateway,
];

impl Metrics {
    /// Registers everything.
    pub fn register(registry: &mut Registry) -> Self {
        let registry = registry.sub_registry_with_prefix("controller");
        let metrics = Self {
            leading: Gauge::default(),
            // 1 ms to 16 s.
            decisions: Histogram::new(exponential_buckets(0.001, 2.0, 15)),
            objects: Family::default(),
            writes: Family::default(),
            pods: Family::default(),
            behind: Family::default(),
            refused: Family::default(),
        };
        registry.register(
            "leading",
            "Whether this process leads",
            metrics.leading.clone(),
        );
        registry.register_with_unit(
            "decision_duration",
            "How long it took to decide what is to be, from all objects, after a change",
            Unit::Seconds,
            metrics.decisions.clone(),
        );
        registry.register(
            "objects",
            "Objects by kind and by whether they can be used: Ready, Waiting for something, or Invalid",
            metrics.objects.clone(),
        );
        registry.register(
            "status_writes",
            "Statuses that were written, by kind and outcome: done, outdated, failed",
            metrics.writes.clone(),
        );
        registry.register(
            "gateway_pods",
            "Pods of a gateway that are connected",
            metrics.pods.clone(),
        );
        registry.register(
            "gateway_pods_behind",
            "Pods of a gateway that are connected and have not taken the newest revision yet",
            metrics.behind.clone(),
        );
        registry.register(
            "gateway_refused_entries",
            "Entries that pods of a gateway could not take, or that cannot be sent",
            metrics.refused.clone(),
        );
        metrics
    }

    /// This process leads from now on.
    pub fn leads(&self) {
        self.leading.set(1);
    }

    /// It was decided what is to be.
    pub fn decided(&self, decision: &Decision, took: Duration) {
        self.decisions.observe(took.as_secs_f64());
        let mut counts: BTreeMap<(&str, &str), i64> = BTreeMap::new();
        for verdict in decision.verdicts.values() {
            let state = match verdict.state {
                State::Ready => STATES[0],
                State::Waiting { .. } => STATES[1],
                State::Invalid => STATES[2],
            };
            *counts.entry((verdict.kind.as_str(), state)).or_default() += 1;
        }
        for kind in KINDS.map(Kind::as_str) {
            for state in STATES {
                let count = counts.get(&(kind, state)).copied().unwrap_or_default();
                let label = ObjectsLabel { kind, state };
                self.objects.get_or_create(&label).set(count);
            }
        }
    }

    /// This is known of the gateways' pods.
    pub fn observed(&self, observations: &Observations) {
        for family in [&self.pods, &self.behind, &self.refused] {
            family.clear();
        }
        for (name, gateway) in &observations.gateways {
            let label = GatewayLabel::of(name);
            let is_behind = |it: &&std::sync::Arc<super::hub::PodObservation>| {
                it.acknowledged != Some(gateway.revision)
            };
            let behind = gateway.pods.iter().filter(is_behind).count();
            let refused: usize = gateway
                .pods
                .iter()
                .map(|pod| pod.refused.len() + pod.further_refused)
                .sum();
            let refused = refused + gateway.unsendable.len();
            let set = |family: &Family<GatewayLabel, Gauge>, value: usize| {
                let value = i64::try_from(value).unwrap_or(i64::MAX);
                family.get_or_create(&label).set(value);
            };
            set(&self.pods, gateway.pods.len());
            set(&self.behind, behind);
            set(&self.refused, refused);
        }
    }

    /// A status was written, or not.
    pub fn wrote(&self, kind: Kind, written: Written) {
        let outcome = match written {
            Written::Done => "done",
            Written::Outdated => "outdated",
            Written::Failed => "failed",
        };
        let kind = kind.as_str();
        self.writes
            .get_or_create(&WriteLabel { kind, outcome })
            .inc();
    }
}
