//! The running parts behind `dev`: event log, dead letters, delivery, gateway, put together.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::registry::Registry;

use super::Options;
use super::console::Addresses;
use super::data_dir::DataDir;
use super::provisioning::Provisioning;
use super::session::{Outcome, Session};
use crate::configuration::{Configuration, GatewayEntry, Sensitive};
use crate::delivery::dead_letters::{self, DeadLetters, OpenDeadLettersError};
use crate::delivery::sink::HttpSinks;
use crate::delivery::{self, ApplyError, Delivery, Settings, StateError};
use crate::event_log::{self, EventLog, FileStorage, OpenError};
use crate::gateway::{self, Bounds, Gateway, StartError};
use crate::outbound::{ClientError, Outbound};
use crate::provision::driver::{StartError as DriverError, View};

/// The log's capacity where no EventGateway says another: 1 GiB.
const DEFAULT_CAPACITY: u64 = 1 << 30;

/// The smallest capacity that can be worked with.
const LEAST_CAPACITY: u64 = 16 << 20;

/// How long open deliveries may take when the process is told to stop. What is not done then goes
/// on at the next start.
const DRAIN: Duration = Duration::from_secs(10);

/// Why a part of the system cannot start or follow an edit.
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
    /// The subscriptions.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The listeners.
    #[error(transparent)]
    Gateway(#[from] StartError),
    /// The way out to apps.
    #[error("failed to prepare requests to apps")]
    Client(#[from] ClientError),
    /// The records of subscriptions at apps.
    #[error(transparent)]
    Driver(#[from] DriverError),
}

/// Everything that runs.
pub struct Engine {
    log: EventLog,
    dead_letters: DeadLetters,
    delivery: Delivery,
    gateway: Arc<Gateway>,
    provisioning: Provisioning,
    /// Frees what dead letters no longer need.
    tidying: tokio::task::JoinHandle<()>,
}

impl Engine {
    /// Opens what is on disk, then serves `outcome`.
    pub async fn start(
        options: &Options,
        data_dir: &DataDir,
        session: &Session,
        token_key: &Sensitive,
        outcome: &Outcome,
        is_complete: bool,
    ) -> Result<Self, EngineError> {
        let capacity = session
            .storage_size()
            .unwrap_or(DEFAULT_CAPACITY)
            .max(LEAST_CAPACITY);
        let storage = FileStorage::new(data_dir.log());
        let log_options = event_log::Options::for_capacity(capacity);
        let (log, recovery) = tokio::task::block_in_place(|| EventLog::open(storage, log_options))?;
        for damage in &recovery.damage {
            tracing::error!(%damage, "a part of the event log cannot be read any more");
        }
        let storage = FileStorage::new(data_dir.dead_letters());
        let letters_options = dead_letters::Options::for_storage(capacity);
        let (dead_letters, opened) = tokio::task::block_in_place(|| {
            DeadLetters::open(storage, letters_options, Timestamp::now())
        })?;
        for damage in &opened.damage {
            tracing::error!(%damage, "a part of the dead letters cannot be read any more");
        }

        let mut registry = Registry::with_prefix("tidegate");
        let sinks = HttpSinks::new(Outbound::new(None));
        let (clock, random) = delivery::Parts::system();
        let parts = delivery::Parts {
            log: log.clone(),
            state: data_dir.state(),
            dead_letters: Arc::new(dead_letters.clone()),
            build_sender: Arc::new(move |entry| sinks.build(entry)),
            settings: settings(&outcome.compiled.configuration.gateway),
            clock,
            random,
        };
        let delivery = tokio::task::block_in_place(|| Delivery::open(parts, &mut registry))?;
        let mut to_apps = Outbound::new(options.proxy.clone()).with_proxy_for_all();
        if let Some(pem) = &options.more_roots {
            to_apps = to_apps.with_more_roots(pem);
        }
        let allow_re_registration = options.allow_re_registration;
        let provisioning = Provisioning::new(
            data_dir,
            token_key,
            to_apps,
            allow_re_registration,
            &mut registry,
        )?;
        let gateway = Gateway::start(gateway::Parts {
            listen: options.listen,
            admin: options.admin,
            bounds: Bounds::default(),
            token_key: token_key.clone(),
            reports: provisioning.reports(),
            log: log.clone(),
            dead_letters: dead_letters.clone(),
            delivery: delivery.clone(),
            registry,
        })
        .await?;
        let tidying = tokio::spawn({
            let dead_letters = dead_letters.clone();
            async move { dead_letters.keep_tidy().await }
        });
        let engine = Self {
            log,
            dead_letters,
            delivery,
            gateway: Arc::new(gateway),
            provisioning,
            tidying,
        };
        engine.gateway.show_upstream(engine.provisioning.list());
        // The URIs of what is recorded first: until there are types, everything is answered 503,
        // and never 404 for a URI that an app was told. Only then anything is sent: an app may call
        // while it is being asked.
        let gateway = Arc::clone(&engine.gateway);
        for error in engine.provisioning.start(gateway).await? {
            tracing::error!("{error}");
        }
        engine.configure(outcome).await?;
        engine.provisioning.apply(outcome, is_complete);
        Ok(engine)
    }

    /// The subscriptions at apps for the start-up table.
    pub async fn at_start(&self) -> Vec<View> {
        self.provisioning.at_start().await
    }

    /// The addresses that were really bound.
    pub fn addresses(&self) -> Addresses {
        Addresses {
            public: self.gateway.public_address(),
            admin: self.gateway.admin_address(),
        }
    }

    /// Makes a configuration live, then has apps told what is wanted of them. `is_complete`: nothing
    /// was unreadable, so that what is not wanted here is not wanted at all.
    pub async fn apply(&self, outcome: &Outcome, is_complete: bool) -> Result<(), ApplyError> {
        self.configure(outcome).await?;
        self.provisioning.apply(outcome, is_complete);
        Ok(())
    }

    /// For delivery first, so that no event comes in that nobody is there for.
    async fn configure(&self, outcome: &Outcome) -> Result<(), ApplyError> {
        let configuration: &Configuration = &outcome.compiled.configuration;
        self.delivery.configure(settings(&configuration.gateway));
        self.delivery.apply(&configuration.subscriptions).await?;
        let refused = tokio::task::block_in_place(|| self.gateway.apply(configuration));
        for entry in refused {
            // Compilation has tried the same before, so this is a fault of ours.
            for problem in entry.problems {
                tracing::error!(event_type = %entry.name, %problem, "the gateway refused an event type");
            }
        }
        Ok(())
    }

    /// Stops in an orderly way: what apps are being asked first, because they may call back for it,
    /// then requests, then deliveries, then the disk.
    pub async fn drain(&self) {
        self.provisioning.drain(DRAIN).await;
        self.gateway.drain().await;
        self.delivery.drain(DRAIN).await;
        self.tidying.abort();
        self.log.close().await;
        self.dead_letters.close().await;
    }
}

fn settings(gateway: &GatewayEntry) -> Settings {
    Settings {
        undelivered_share: gateway.undelivered_share,
        replay_retention: gateway.replay_retention,
    }
}
