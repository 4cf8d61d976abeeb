//! The running parts behind `dev`: what serves, and what makes apps send.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;

use super::Options;
use super::console::Addresses;
use super::data_dir::DataDir;
use super::provisioning::Provisioning;
use super::session::{Outcome, Session};
use crate::configuration::Sensitive;
use crate::delivery::ApplyError;
use crate::engine::{self, DEFAULT_CAPACITY, Folders, Storage};
use crate::gateway::StartError;
use crate::outbound::{ClientError, Outbound};
use crate::provision::driver::{StartError as DriverError, View};

/// How long requests to apps may go on when the process is told to stop.
const DRAIN: Duration = Duration::from_secs(10);

/// Why a part of the system cannot start or follow an edit.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// What serves.
    #[error(transparent)]
    Engine(#[from] engine::EngineError),
    /// The subscriptions.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The way out to apps.
    #[error("failed to prepare requests to apps")]
    Client(#[from] ClientError),
    /// The records of subscriptions at apps.
    #[error(transparent)]
    Driver(#[from] DriverError),
}

impl From<StartError> for EngineError {
    fn from(error: StartError) -> Self {
        Self::Engine(error.into())
    }
}

/// Everything that runs.
pub struct Engine {
    serving: engine::Engine,
    provisioning: Provisioning,
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
        let folders = Folders {
            log: data_dir.log(),
            dead_letters: data_dir.dead_letters(),
            state: data_dir.state(),
        };
        let capacity = session.storage_size().unwrap_or(DEFAULT_CAPACITY);
        let gateway = &outcome.compiled.configuration.gateway;
        let mut storage = Storage::open(&folders, capacity, Some(gateway), Outbound::new(None))?;
        let mut to_apps = Outbound::new(options.proxy.clone()).with_proxy_for_all();
        if let Some(pem) = &options.more_roots {
            to_apps = to_apps.with_more_roots(pem);
        }
        let provisioning = Provisioning::new(
            data_dir,
            token_key,
            to_apps,
            options.allow_re_registration,
            &mut storage.registry,
        )?;
        let addresses = engine::Addresses {
            listen: options.listen,
            probes: None,
            admin: options.admin,
        };
        let reports = provisioning.reports();
        let serving = storage
            .serve(addresses, token_key.clone(), reports, Router::new())
            .await?;
        let engine = Self {
            serving,
            provisioning,
        };
        let gateway = engine.serving.gateway();
        gateway.show_upstream(engine.provisioning.list());
        // The URIs of what is recorded first: until there are types, everything is answered 503,
        // and never 404 for a URI that an app was told. Only then anything is sent: an app may call
        // while it is being asked.
        for error in engine.provisioning.start(Arc::clone(gateway)).await? {
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
        let gateway = self.serving.gateway();
        Addresses {
            public: gateway.public_address(),
            admin: gateway.admin_address(),
        }
    }

    /// Makes a configuration live, then has apps told what is wanted of them. `is_complete`: nothing
    /// was unreadable, so that what is not wanted here is not wanted at all.
    pub async fn apply(&self, outcome: &Outcome, is_complete: bool) -> Result<(), ApplyError> {
        self.configure(outcome).await?;
        self.provisioning.apply(outcome, is_complete);
        Ok(())
    }

    async fn configure(&self, outcome: &Outcome) -> Result<(), ApplyError> {
        for entry in self.serving.apply(&outcome.compiled.configuration).await? {
            // Compilation has tried the same before, so this is a fault of ours.
            for problem in entry.problems {
                tracing::error!(event_type = %entry.name, %problem, "the gateway refused an event type");
            }
        }
        Ok(())
    }

    /// Stops in an orderly way: what apps are being asked first, because they may call back for it,
    /// then what serves.
    pub async fn drain(&self) {
        self.provisioning.drain(DRAIN).await;
        self.serving.drain().await;
    }
}
