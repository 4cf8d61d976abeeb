//! What serves, put together: event log, dead letters, delivery, gateway.
//!
//! `dev` and the gateway's pod run the same; what differs is where the configuration comes from, and
//! who is told what comes in for registrations.

mod metrics;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use jiff::Timestamp;
use prometheus_client::registry::Registry;

use crate::configuration::{Configuration, GatewayEntry, Reports, Sensitive};
use crate::delivery::dead_letters::{self, DeadLetters, OpenDeadLettersError};
use crate::delivery::sink::HttpSinks;
use crate::delivery::{self, ApplyError, Delivery, Settings, StateError};
use crate::event::{DeadLetter, Event, ObjectName};
use crate::event_log::{self, AppendError, EventLog, FileStorage, OpenError};
use crate::gateway::{self, Bounds, Gateway, RefusedEntry, StartError};
use crate::outbound::Outbound;

/// The log's capacity where nobody says another: 1 GiB.
pub const DEFAULT_CAPACITY: u64 = 1 << 30;

/// The smallest capacity that can be worked with.
pub const LEAST_CAPACITY: u64 = 16 << 20;

/// How long open deliveries may take when the process is told to stop. What is not done then goes
/// on at the next start.
const DRAIN: Duration = Duration::from_secs(10);

/// Why what serves cannot start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The event log.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// The dead letters.
    #[error(transparent)]
    DeadLetters(#[from] OpenDeadLettersError),
    /// The delivery state.
    #[error(transparent)]
    State(#[from] StateError),
    /// The listeners.
    #[error(transparent)]
    Gateway(#[from] StartError),
}

/// Where state is kept. Folders are made where there are none.
#[derive(Clone, Debug)]
pub struct Folders {
    /// The folder of the event log.
    pub log: PathBuf,
    /// The folder of the dead letters' log.
    pub dead_letters: PathBuf,
    /// The file of the delivery state.
    pub state: PathBuf,
}

/// Where it listens; port 0 takes a free one.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// Where requests come in.
    pub listen: SocketAddr,
    /// Probes and metrics, where they are apart from the admin API.
    pub probes: Option<SocketAddr>,
    /// The admin API; never public.
    pub admin: SocketAddr,
}

/// What is on disk, opened; nothing is served yet.
pub struct Storage {
    log: EventLog,
    dead_letters: DeadLetters,
    delivery: Delivery,
    /// Where every part adds its metrics.
    pub registry: Registry,
}

/// Everything that runs.
pub struct Engine {
    log: EventLog,
    dead_letters: DeadLetters,
    delivery: Delivery,
    gateway: Arc<Gateway>,
    /// Frees what dead letters no longer need.
    tidying: tokio::task::JoinHandle<()>,
}

impl Storage {
    /// Opens what is on disk. Blocking, so it needs a runtime of several threads. Until the first
    /// [`Engine::apply`], `gateway` says how much history is kept; `None`: as nobody says. Sinks are called through
    /// `to_sinks`.
    ///
    /// # Errors
    /// When something cannot be opened. Damage is no error: it is logged and left behind.
    pub fn open(
        folders: &Folders,
        capacity: u64,
        gateway: Option<&GatewayEntry>,
        to_sinks: Outbound,
    ) -> Result<Self, EngineError> {
        tokio::task::block_in_place(|| Self::open_now(folders, capacity, gateway, to_sinks))
    }

    fn open_now(
        folders: &Folders,
        capacity: u64,
        gateway: Option<&GatewayEntry>,
        to_sinks: Outbound,
    ) -> Result<Self, EngineError> {
        let capacity = capacity.max(LEAST_CAPACITY);
        let storage = FileStorage::new(folders.log.clone());
        let log_options = event_log::Options::for_capacity(capacity);
        let (log, recovery) = EventLog::open(storage, log_options)?;
        for damage in &recovery.damage {
            tracing::error!(%damage, "a part of the event log cannot be read any more");
        }
        let storage = FileStorage::new(folders.dead_letters.clone());
        let letters_options = dead_letters::Options::for_storage(capacity);
        let (dead_letters, opened) = DeadLetters::open(storage, letters_options, Timestamp::now())?;
        for damage in &opened.damage {
            tracing::error!(%damage, "a part of the dead letters cannot be read any more");
        }
        let mut registry = Registry::with_prefix("tidegate");
        let sinks = HttpSinks::new(to_sinks);
        let (clock, random) = delivery::Parts::system();
        let parts = delivery::Parts {
            log: log.clone(),
            state: folders.state.clone(),
            dead_letters: Arc::new(dead_letters.clone()),
            build_sender: Arc::new(move |entry| sinks.build(entry)),
            settings: gateway.map_or(UNSAID, settings),
            clock,
            random,
        };
        let delivery = Delivery::open(parts, &mut registry)?;
        registry.register_collector(Box::new(metrics::Logs {
            log: log.clone(),
            dead_letters: dead_letters.clone(),
        }));
        Ok(Self {
            log,
            dead_letters,
            delivery,
            registry,
        })
    }

    /// Listens. Until a configuration is applied every request is answered 503. `beside_probes` is
    /// served where probes and metrics are.
    ///
    /// # Errors
    /// When an address is taken, or the log cannot be read.
    pub async fn serve(
        self,
        addresses: Addresses,
        token_key: Sensitive,
        reports: Arc<dyn Reports>,
        beside_probes: Router,
    ) -> Result<Engine, EngineError> {
        let Self {
            log,
            dead_letters,
            delivery,
            registry,
        } = self;
        let gateway = Gateway::start(gateway::Parts {
            listen: addresses.listen,
            probes: addresses.probes,
            admin: addresses.admin,
            bounds: Bounds::default(),
            token_key,
            reports,
            log: log.clone(),
            dead_letters: dead_letters.clone(),
            delivery: delivery.clone(),
            registry,
            beside_probes,
        })
        .await?;
        let tidying = tokio::spawn({
            let dead_letters = dead_letters.clone();
            async move { dead_letters.keep_tidy().await }
        });
        Ok(Engine {
            log,
            dead_letters,
            delivery,
            gateway: Arc::new(gateway),
            tidying,
        })
    }
}

impl Engine {
    /// What answers requests.
    #[must_use]
    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// What sends events.
    #[must_use]
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// What was refused or given up.
    #[must_use]
    pub fn dead_letters(&self) -> &DeadLetters {
        &self.dead_letters
    }

    /// Takes over what another pod has not delivered: each event for the one subscription that has
    /// not got it yet, and dead letters. When it answers, all of it is on disk, synced.
    ///
    /// # Errors
    /// When it could not be stored. Some of it may be, all the same.
    pub async fn take_over(
        &self,
        events: Vec<(ObjectName, Event)>,
        letters: Vec<DeadLetter>,
    ) -> Result<(), AppendError> {
        if !events.is_empty() {
            let records = events.iter();
            let records = records
                .map(|(subscription, event)| delivery::encode_addressed(event, subscription));
            self.log.append(records.collect()).await?;
            self.gateway.remember(events.iter().map(|(_, event)| event));
        }
        if !letters.is_empty() {
            self.dead_letters.append(letters).await?;
        }
        Ok(())
    }

    /// Makes a configuration live, and answers what could not be taken of it. For delivery first,
    /// so that no event comes in that nobody is there for.
    ///
    /// # Errors
    /// When its subscriptions could not be recorded; the one before stays live then.
    pub async fn apply(
        &self,
        configuration: &Configuration,
    ) -> Result<Vec<RefusedEntry>, ApplyError> {
        self.delivery.configure(settings(&configuration.gateway));
        self.delivery.apply(&configuration.subscriptions).await?;
        Ok(tokio::task::block_in_place(|| {
            self.gateway.apply(configuration)
        }))
    }

    /// Takes requests as a configuration says, and delivers nothing yet: what comes in is stored, and delivered from the
    /// first [`Engine::apply`] on. For a configuration of which it is not sure that it has all EventSubscriptions:
    /// those that it lacks would lose what they have not got.
    pub fn take_requests(&self, configuration: &Configuration) -> Vec<RefusedEntry> {
        self.delivery.configure(settings(&configuration.gateway));
        tokio::task::block_in_place(|| self.gateway.apply(configuration))
    }

    /// Stops in an orderly way: requests first, then deliveries, then the disk.
    pub async fn drain(&self) {
        self.gateway.drain().await;
        self.delivery.drain(DRAIN).await;
        self.tidying.abort();
        self.log.close().await;
        self.dead_letters.close().await;
    }
}

/// What holds while nobody has said anything: history stays, and nobody's share is cut.
const UNSAID: Settings = Settings {
    undelivered_share: 100,
    replay_retention: Duration::from_hours(24 * 3_650),
};

fn settings(gateway: &GatewayEntry) -> Settings {
    Settings {
        undelivered_share: gateway.undelivered_share,
        replay_retention: gateway.replay_retention,
    }
}
