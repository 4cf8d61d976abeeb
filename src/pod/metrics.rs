//! What a pod counts of its configuration. Names stand below `tidegate_configuration_`.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric,
};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::configuration::stream::Revision;

/// Why there is no stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum NoStream {
    /// Nobody is at the controller's address, or the connection broke.
    Unreachable,
    /// Its certificate is not one of those that are trusted.
    Untrusted,
    /// It refuses the pod.
    Refused,
    /// It does not lead.
    NotLeading,
    /// It offered an older leader's configuration.
    LowerEpoch,
    /// Something else: a file that cannot be read, another version.
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NoStreamLabel {
    reason: NoStream,
}

/// The metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    state: Arc<State>,
    revisions: Counter,
    failures: Family<NoStreamLabel, Counter>,
    unsaved: Counter,
}

#[derive(Debug, Default)]
struct State {
    is_connected: AtomicBool,
    epoch: AtomicU64,
    counter: AtomicU64,
    refused: AtomicU64,
    /// When the controller last said what there is, or that nothing has changed; `None`: not since
    /// the start.
    heard: Mutex<Option<Instant>>,
    start: OnceStart,
}

#[derive(Debug)]
struct OnceStart(Instant);

impl Default for OnceStart {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Metrics {
    /// Registers everything.
    pub fn register(registry: &mut Registry) -> Self {
        let registry = registry.sub_registry_with_prefix("configuration");
        let metrics = Self {
            state: Arc::default(),
            revisions: Counter::default(),
            failures: Family::default(),
            unsaved: Counter::default(),
        };
        registry.register(
            "revisions",
            "Revisions of the configuration that were taken",
            metrics.revisions.clone(),
        );
        registry.register(
            "stream_failures",
            "How often there was no stream of the controller's, by reason",
            metrics.failures.clone(),
        );
        registry.register(
            "save_failures",
            "How often the last configuration could not be kept on the volume",
            metrics.unsaved.clone(),
        );
        registry.register_collector(Box::new(Observed(Arc::clone(&metrics.state))));
        metrics
    }

    /// Whether the stream is there.
    pub fn connected(&self, is_connected: bool) {
        self.state
            .is_connected
            .store(is_connected, Ordering::Relaxed);
    }

    /// Something came over a stream whose revision is complete.
    pub fn heard(&self) {
        let mut heard = self
            .state
            .heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *heard = Some(Instant::now());
    }

    /// A revision was taken.
    pub fn taken(&self, revision: Revision) {
        self.revisions.inc();
        self.serves(revision);
    }

    /// What is being served.
    pub fn serves(&self, revision: Revision) {
        self.state.epoch.store(revision.epoch, Ordering::Relaxed);
        self.state
            .counter
            .store(revision.counter, Ordering::Relaxed);
    }

    /// How many entries could not be taken.
    pub fn refused(&self, count: usize) {
        self.state.refused.store(count as u64, Ordering::Relaxed);
    }

    /// There is no stream.
    pub fn no_stream(&self, reason: NoStream) {
        self.failures.get_or_create(&NoStreamLabel { reason }).inc();
    }

    /// The last configuration could not be kept.
    pub fn not_saved(&self) {
        self.unsaved.inc();
    }
}

struct Observed(Arc<State>);

impl fmt::Debug for Observed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Observed")
    }
}

impl Collector for Observed {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut gauge = |name: &str, help: &str, unit: Option<&Unit>, value: u64| {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)
        };
        let state = &self.0;
        let load = |value: &AtomicU64| value.load(Ordering::Relaxed);
        gauge(
            "connected",
            "Whether the controller's stream is there",
            None,
            state.is_connected.load(Ordering::Relaxed).into(),
        )?;
        gauge(
            "epoch",
            "Which leader's configuration is served: how often the leadership had changed hands",
            None,
            load(&state.epoch),
        )?;
        gauge(
            "revision",
            "Which of that leader's revisions is served",
            None,
            load(&state.counter),
        )?;
        gauge(
            "refused_entries",
            "Entries that this gateway could not take",
            None,
            load(&state.refused),
        )?;
        let heard = *state.heard.lock().unwrap_or_else(PoisonError::into_inner);
        gauge(
            "age",
            "Since when nobody has said whether the configuration is still right",
            Some(&Unit::Seconds),
            heard.unwrap_or(state.start.0).elapsed().as_secs(),
        )
    }
}
