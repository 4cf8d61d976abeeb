//! The listener that gateways' pods get their configuration from: its certificate, kept in a Secret
//! and renewed in time, and who leads.
//!
//! Every controller listens; one that does not lead says who does. The leader renews; the others
//! look from time to time what it has made.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use tokio::sync::watch;

use super::authentication::TokenReviews;
use super::certificates::{Certificates, MakeError, make};
use super::kept::{Kept, KeptError, ToKeep};
use super::leadership::Holder;
use super::server::{self, Bounds, Identity, IdentityError, Leading, Server};
use crate::configuration::Sensitive;

/// The Secret that the certificates are kept in.
const SECRET: &str = "tidegate-configuration-tls";
/// Their key in it.
const KEY: &str = "certificates";
/// The label's value.
const PURPOSE: &str = "configuration-tls";

/// How often the certificates are looked at.
const LOOKS: Duration = Duration::from_secs(60);

/// How often it is looked who leads.
const FOLLOWS: Duration = Duration::from_secs(5);

/// Tries to write the certificates while other controllers do the same.
const TRIES: usize = 10;

/// Why pods cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationServerError {
    /// The certificates cannot be kept.
    #[error(transparent)]
    Kept(#[from] KeptError),
    /// The certificates cannot be made.
    #[error(transparent)]
    Make(#[from] MakeError),
    /// The certificates cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// What is kept is no set of certificates.
    #[error(
        "failed to read Secret {SECRET}: its value {KEY} is damaged; remove the Secret to have others made, which pods take in within minutes"
    )]
    Damaged,
    /// The listener.
    #[error(transparent)]
    Start(#[from] server::StartError),
    /// Others write the certificates all the time.
    #[error("failed to write Secret {SECRET}: others change it all the time")]
    Busy,
}

/// The listener, with all that belongs to it.
pub struct ConfigurationServer {
    server: Server,
    leading: watch::Sender<Leading>,
    /// The certificates that pods are to trust, as PEM.
    bundle: watch::Receiver<String>,
}

impl ConfigurationServer {
    /// Listens from now on, and says that somebody else leads.
    ///
    /// # Errors
    /// When there is no certificate to be had, or the address is taken.
    pub async fn start(
        client: Client,
        kept: Kept,
        listen: SocketAddr,
        names: Vec<String>,
    ) -> Result<Self, ConfigurationServerError> {
        let certificates = renewed(&kept, &names).await?;
        let serving = certificates
            .serving
            .as_ref()
            .ok_or(ConfigurationServerError::Damaged)?;
        let identity = Identity::new(&serving.certificate, &serving.key)?;
        let (leading, leads) = watch::channel(Leading::Elsewhere(None));
        let server = Server::start(server::Parts {
            listen,
            identity: identity.clone(),
            leading: leads,
            authenticate: Arc::new(TokenReviews::new(client)),
            bounds: Bounds::default(),
        })
        .await?;
        let (bundles, bundle) = watch::channel(certificates.bundle());
        tokio::spawn(keep_fresh(kept, names, identity, certificates, bundles));
        Ok(Self {
            server,
            leading,
            bundle,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// From now on this leads.
    pub fn lead(&self, leading: Leading) {
        self.leading.send_replace(leading);
    }

    /// Says who else leads, for ever.
    pub async fn follow(&self, holder: Holder) {
        loop {
            let name = holder.name().await;
            self.lead(Leading::Elsewhere(name));
            tokio::time::sleep(FOLLOWS).await;
        }
    }

    /// The certificates that pods are to trust, as PEM.
    pub fn bundle(&self) -> watch::Receiver<String> {
        self.bundle.clone()
    }

    /// Lets open requests end, and stops.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

/// Renews in time, until nobody wants to know any more.
async fn keep_fresh(
    kept: Kept,
    names: Vec<String>,
    identity: Identity,
    mut known: Certificates,
    bundles: watch::Sender<String>,
) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOKS) => {}
            () = bundles.closed() => return,
        }
        let certificates = match renewed(&kept, &names).await {
            Ok(certificates) => certificates,
            Err(error) => {
                tracing::warn!(%error, "failed to look at the certificates of the configuration listener; it is tried again");
                continue;
            }
        };
        if certificates == known {
            continue;
        }
        if let Some(serving) = &certificates.serving
            && let Err(error) = identity.replace(&serving.certificate, &serving.key)
        {
            tracing::error!(%error, "the former certificate goes on being shown");
            continue;
        }
        bundles.send_replace(certificates.bundle());
        known = certificates;
    }
}

/// What is kept, with all that is due made and kept, too.
async fn renewed(kept: &Kept, names: &[String]) -> Result<Certificates, ConfigurationServerError> {
    for _ in 0..TRIES {
        let there = kept.read(SECRET).await?;
        let (mut certificates, version) = match there {
            None => (Certificates::default(), None),
            Some(secret) => {
                let bytes = secret
                    .data
                    .get(KEY)
                    .ok_or(ConfigurationServerError::Damaged)?;
                // The message could hold what stands there: keys.
                let certificates = serde_json::from_slice(bytes.expose())
                    .map_err(|_| ConfigurationServerError::Damaged)?;
                (certificates, Some(secret.version))
            }
        };
        let before = certificates.clone();
        make(&mut certificates, names, Timestamp::now())?;
        if certificates == before {
            return Ok(certificates);
        }
        // Texts and times, which all can be written as JSON.
        let bytes =
            serde_json::to_vec(&certificates).map_err(|_| ConfigurationServerError::Damaged)?;
        let keep = ToKeep {
            name: SECRET.to_owned(),
            purpose: PURPOSE,
            data: [(KEY.to_owned(), Sensitive::new(bytes))].into(),
            annotations: std::collections::BTreeMap::new(),
        };
        let written = match version {
            None => kept.create(keep).await,
            Some(version) => kept.replace(keep, &version).await,
        };
        match written {
            Ok(_) => return Ok(certificates),
            // Another controller was faster: what it made counts.
            Err(KeptError::Changed { .. }) => tokio::time::sleep(Duration::from_millis(100)).await,
            Err(error) => return Err(error.into()),
        }
    }
    Err(ConfigurationServerError::Busy)
}
