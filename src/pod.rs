//! A gateway's pod: serves what the controller says, and goes on with it while nobody says anything.
//!
//! It knows nothing of Kubernetes: it shows a token that a kubelet put into a file, and gets the
//! entries of its own gateway. What it has is kept on its volume, encrypted, so that it serves after
//! a restart although controller and API server are away.
//!
//! **Invariants:** a configuration of an earlier leader than the one that is served is refused. A
//! revision is said to be taken once it is live. Nothing that happens to the connection changes
//! what is served.

mod backoff;
mod following;
mod hand_over;
mod health;
mod link;
mod metrics;
mod reports;
mod snapshot;
mod told;

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

pub use link::Endpoint;
pub use snapshot::{KeyError, SnapshotError};

use crate::configuration::Sensitive;
use crate::configuration::stream::report::Acknowledgement;
use crate::delivery::ApplyError;
use crate::durable::{self, FileError};
use crate::engine::{Addresses, DEFAULT_CAPACITY, EngineError, Folders, LEAST_CAPACITY, Storage};
use crate::event::ObjectName;
use crate::gateway::Leaving;
use crate::outbound::{Outbound, ProxySettings};
use following::{Follower, State};
use hand_over::{HandOver, Receiver};
use metrics::Metrics;
use reports::Reporter;
use snapshot::Snapshot;

/// What `tidegate gateway` is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the controller is.
    pub endpoint: Endpoint,
    /// The key of the last configuration: 32 bytes.
    pub snapshot_key_file: PathBuf,
    /// The volume.
    pub data_dir: PathBuf,
    /// Where requests come in.
    pub listen: SocketAddr,
    /// Probes and metrics.
    pub probes: SocketAddr,
    /// The admin API.
    pub admin: SocketAddr,
    /// The EventGateway that it belongs to.
    pub gateway: ObjectName,
    /// The pod's name.
    pub pod: String,
    /// Bytes that the log may take; `None`: as the EventGateway said last.
    pub log_capacity: Option<u64>,
    /// The proxy to sinks that are not in the cluster.
    pub proxy: Option<ProxySettings>,
}

/// Why a pod cannot start.
#[derive(Debug, thiserror::Error)]
pub enum PodError {
    /// The volume cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another process uses the volume.
    #[error("{0} is in use by another process; give each pod a volume of its own")]
    InUse(PathBuf),
    /// The key of the last configuration cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The log's capacity is too small.
    #[error("the log needs at least {LEAST_CAPACITY} bytes, and --log-capacity says {0}")]
    Capacity(u64),
    /// What serves cannot start.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// What was kept cannot be made live.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The process cannot hear signals.
    #[error("failed to listen for signals")]
    Signals(#[source] io::Error),
}

/// Serves until the process is told to stop (SIGTERM or SIGINT), then drains.
///
/// # Errors
/// When it cannot start. That nobody is at the controller's address is no error.
pub async fn run(options: Options) -> Result<(), PodError> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(PodError::Signals)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(PodError::Signals)?;
    let pod = Pod::start(options).await?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("draining");
    pod.drain().await;
    Ok(())
}

/// A pod that is running.
struct Pod {
    engine: Arc<crate::engine::Engine>,
    stopping: watch::Sender<bool>,
    following: tokio::task::JoinHandle<()>,
    telling: [tokio::task::JoinHandle<()>; 4],
    /// Held for its lock.
    _lock: File,
}

impl Pod {
    async fn start(options: Options) -> Result<Self, PodError> {
        let Options {
            endpoint,
            snapshot_key_file,
            data_dir,
            listen,
            probes,
            admin,
            gateway,
            pod,
            log_capacity,
            proxy,
        } = options;
        if let Some(capacity) = log_capacity
            && capacity < LEAST_CAPACITY
        {
            return Err(PodError::Capacity(capacity));
        }
        let lock = durable::lock(&data_dir)?;
        let lock = lock.ok_or_else(|| PodError::InUse(data_dir.clone()))?;
        let gateway = gateway.to_string();
        let snapshot = Arc::new(Snapshot::new(
            &data_dir,
            &snapshot_key_file,
            gateway.clone(),
        )?);
        let is_outdated = snapshot.is_outdated();
        let held = tokio::task::block_in_place(|| snapshot.load());
        let held = held.unwrap_or_else(|error| {
            let error: &dyn std::error::Error = &error;
            tracing::error!(
                error,
                "starting without a configuration; waiting for the controller's"
            );
            None
        });
        if let Some(revision) = held.as_ref().and_then(|held| held.revision()) {
            tracing::info!(%revision, "starting with the last configuration");
        }
        let held = held.unwrap_or_default();
        let capacity = log_capacity.or(held.log_capacity());
        let folders = Folders {
            log: data_dir.join("log"),
            dead_letters: data_dir.join("dead-letters"),
            state: data_dir.join("state.redb"),
        };
        let configured = held.configuration();
        let mut storage = Storage::open(
            &folders,
            capacity.unwrap_or(DEFAULT_CAPACITY),
            configured.as_ref().map(|it| &it.gateway),
            Outbound::new(proxy),
        )?;
        let metrics = Metrics::register(&mut storage.registry);
        if let Some(revision) = held.revision() {
            metrics.serves(revision);
        }
        let current = watch::Sender::new(None);
        let reporter = Arc::new(Reporter::new(current.subscribe()));
        let addresses = Addresses {
            listen,
            probes: Some(probes),
            admin,
        };
        let token_key = held.token_key().cloned();
        let token_key = token_key.unwrap_or_else(|| Sensitive::new([]));
        let reports = Arc::clone(&reporter);
        let key = hand_over::Key::new(snapshot.hand_over_key(), &gateway);
        let key = Arc::new(key.ok_or_else(|| KeyError::Unusable(snapshot_key_file.clone()))?);
        let receiver = Receiver::new(Arc::clone(&key));
        let serving = storage.serve(addresses, token_key, reports, receiver.router());
        let engine = Arc::new(serving.await?);
        receiver.begin(&engine);
        let acknowledgement = watch::Sender::new(Acknowledgement {
            revision: None,
            refused: Vec::new(),
            further: 0,
            retirement: None,
            unsent: Vec::new(),
        });
        let members = watch::Sender::new(None);
        let hand_over = HandOver::new(
            pod.clone(),
            Arc::clone(&engine),
            key,
            members.subscribe(),
            acknowledgement.clone(),
        );
        let telling = [
            tokio::spawn(hand_over.run()),
            tokio::spawn(told::acknowledge(
                acknowledgement.subscribe(),
                current.subscribe(),
            )),
            tokio::spawn(reporter.keep_telling()),
            tokio::spawn(health::keep_telling(
                engine.delivery().clone(),
                current.subscribe(),
            )),
        ];
        let mut follower = Follower {
            endpoint,
            gateway,
            pod,
            engine: Arc::clone(&engine),
            snapshot,
            current,
            acknowledgement,
            members,
            metrics,
            state: State::with(held, is_outdated),
        };
        let members = follower.state.members();
        if members.is_some_and(|members| !members.include(&follower.pod)) {
            // Nobody sends to a pod that has just begun and is not ready; and it may have said before
            // that it has nothing left.
            engine.gateway().leave(Leaving::Closed);
        }
        follower.begin().await?;
        let (stopping, stops) = watch::channel(false);
        let following = tokio::spawn(follower.run(stops));
        tracing::info!(
            public = %engine.gateway().public_address(),
            probes = %engine.gateway().probes_address(),
            admin = %engine.gateway().admin_address(),
            "listening"
        );
        Ok(Self {
            engine,
            stopping,
            following,
            telling,
            _lock: lock,
        })
    }

    /// Stops in an orderly way: open requests may still have something to tell the controller, so
    /// the connection is the last to go.
    async fn drain(self) {
        self.engine.drain().await;
        self.stopping.send_replace(true);
        let _ = self.following.await;
        for task in self.telling {
            task.abort();
        }
    }
}
