//! Who leads: one controller at a time, by a Lease. Only the leader writes, serves and sends.
//!
//! The number of times that the Lease has changed hands is the epoch of what the leader serves: a
//! pod refuses what comes from a lower one. It is kept in a Secret, too, and every leader takes one
//! more than stands there: also after somebody deleted the Lease, or where a leader died before it
//! could count.

use std::collections::BTreeMap;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::api::Api;
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::kept::{Kept, KeptError, ToKeep};

/// The name of the Lease, in the controller's namespace.
pub const LEASE: &str = "tidegate-controller";

/// The Secret that the epoch is kept in.
const EPOCH_SECRET: &str = "tidegate-epoch";
/// Its key in that.
const EPOCH_KEY: &str = "epoch";

/// How long a leader that says nothing keeps the Lease, in seconds: others take over after that.
const DURATION: u64 = 15;

/// How long before the end it renews, in seconds: room for a slow API server and for clocks that
/// differ.
const GRACE: u64 = 5;

/// Why this process cannot take part.
#[derive(Debug, thiserror::Error)]
pub enum LeadershipError {
    /// The Lease cannot be read or made.
    #[error("failed to take part in the election by Lease {LEASE}")]
    Lease(#[source] Box<LeaseManagerError>),
    /// The epoch cannot be read.
    #[error("failed to read Lease {LEASE}")]
    Epoch(#[source] Box<kube::Error>),
    /// The epoch cannot be kept.
    #[error(transparent)]
    Kept(#[from] KeptError),
    /// Nobody tends the Lease any more.
    #[error("nobody tends Lease {LEASE} any more")]
    Ended,
}

/// Tells who leads.
pub struct Holder(Api<Lease>);

impl Holder {
    /// The name of who leads, as far as the Lease says.
    pub async fn name(&self) -> Option<String> {
        let lease = self.0.get_opt(LEASE).await.ok()??;
        lease.spec?.holder_identity
    }
}

/// Takes part in the election.
pub struct Leadership {
    leads: watch::Receiver<bool>,
    task: JoinHandle<Result<LeaseManager, LeaseManagerError>>,
    leases: Api<Lease>,
}

impl Leadership {
    /// Takes part from now on, under a name that no other process has.
    ///
    /// # Errors
    /// When the Lease cannot be read or made.
    pub async fn start(
        client: Client,
        namespace: &str,
        identity: &str,
    ) -> Result<Self, LeadershipError> {
        let manager = LeaseManagerBuilder::new(client.clone(), LEASE)
            .with_namespace(namespace)
            .with_identity(identity)
            .with_duration(DURATION)
            .with_grace(GRACE)
            .build()
            .await
            .map_err(|error| LeadershipError::Lease(Box::new(error)))?;
        let (leads, task) = manager.watch().await;
        Ok(Self {
            leads,
            task,
            leases: Api::namespaced(client, namespace),
        })
    }

    /// Waits until this process leads. The epoch.
    ///
    /// # Errors
    /// When nobody tends the Lease any more, or the epoch cannot be read or kept.
    pub async fn won(&mut self, kept: &Kept) -> Result<u64, LeadershipError> {
        let won = self.leads.wait_for(|leads| *leads).await;
        won.map_err(|_| LeadershipError::Ended)?;
        let lease = self.leases.get(LEASE).await;
        let lease = lease.map_err(|error| LeadershipError::Epoch(Box::new(error)))?;
        let transitions = lease.spec.and_then(|spec| spec.lease_transitions);
        let transitions = u64::try_from(transitions.unwrap_or_default()).unwrap_or_default();
        let there = kept.read(EPOCH_SECRET).await?;
        let (epoch, version) = match &there {
            None => (transitions, None),
            Some(secret) => {
                let known = secret.data.get(EPOCH_KEY);
                let known = known.and_then(|it| std::str::from_utf8(it.expose()).ok());
                let known: Option<u64> = known.and_then(|it| it.parse().ok());
                let next = known.map_or(0, |known| known.saturating_add(1));
                (transitions.max(next), Some(secret.version.as_str()))
            }
        };
        let keep = ToKeep {
            name: EPOCH_SECRET.to_owned(),
            purpose: "epoch",
            data: [(EPOCH_KEY.to_owned(), epoch.to_string().as_str().into())].into(),
            annotations: BTreeMap::new(),
        };
        match version {
            Some(version) => kept.replace(keep, version).await?,
            None => kept.create(keep).await?,
        };
        Ok(epoch)
    }

    /// Waits until this process does not lead any more.
    pub async fn lost(&mut self) {
        // When nobody tends it any more it is as good as lost.
        let _ = self.leads.wait_for(|leads| !*leads).await;
    }

    /// Tells who leads.
    pub fn holder(&self) -> Holder {
        Holder(self.leases.clone())
    }

    /// Gives the Lease up, so that another can take over at once.
    pub async fn resign(self) {
        let Self {
            leads,
            task,
            leases: _,
        } = self;
        // The manager releases the Lease when nobody listens any more.
        drop(leads);
        if let Ok(Err(error)) = task.await {
            tracing::warn!(%error, "failed to give up the Lease; others wait until it expires");
        }
    }
}
