//! The controller: resources of a cluster in, configuration for gateway pods out, and what apps are
//! asked for.
//!
//! Reading (`watch`), deciding (`world`, `decide`, pure), and carrying out (`hub`, `write`,
//! `upstream_objects`, the driver of provisioning) are apart; `lead` puts them together. Which
//! process may do any of it is `leadership`'s.

mod admission;
mod app_event_type;
mod attention;
pub mod authentication;
pub mod certificates;
mod configuration_server;
mod customer;
mod decide;
pub mod event_gateway;
mod event_subscription;
mod gateways;
pub mod hub;
mod kept;
mod last_good;
mod later;
mod lead;
mod leadership;
mod merge_patch;
mod metrics;
mod orphans;
mod partings;
mod probes;
mod progress;
mod records;
pub mod release;
pub mod server;
mod settling;
mod shows;
mod status;
mod statuses;
mod upstream_objects;
mod upstream_subscription;
mod watch;
mod world;
mod write;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use prometheus_client::registry::Registry;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc, watch as channel};

use crate::configuration::Sensitive;
use crate::event::ObjectName;
use crate::gateway::token;
use crate::outbound::{ClientError, Outbound, PrivateAddresses, ProxySettings};
use crate::provision::client::Client as AppClient;
use crate::provision::driver::{Driver, Parts as DriverParts};
use crate::provision::plan::Seeds;
use configuration_server::{ConfigurationServer, ConfigurationServerError};
use decide::Settings;
use gateways::Gateways;
use hub::Hub;
use kept::{Kept, KeptError};
use last_good::LastGood;
use lead::{LeadError, Leader, Parts};
use leadership::{Leadership, LeadershipError};
use metrics::Metrics;
use probes::{ProbesError, Stage};
use records::Records;
use server::Leading;
use shows::Shows;
use upstream_objects::UpstreamObjects;
use watch::Fetcher;
use write::Writer;

/// What `tidegate controller` is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The controller's own namespace: what it keeps is there.
    pub namespace: String,
    /// The gateway of types that name none.
    pub default_gateway: ObjectName,
    /// The namespaces to look at; none: all.
    pub watch_namespaces: Vec<String>,
    /// The image of gateways' pods, when it is pulled and with which Secrets.
    pub image: GatewayImage,
    /// What gateways' pods are told to get their configuration from.
    pub configuration_url: String,
    /// Where gateways' pods connect to.
    pub configuration_listen: SocketAddr,
    /// The address for probes and metrics.
    pub metrics_listen: SocketAddr,
    /// At which private addresses apps and sinks may be.
    pub private_addresses: PrivateAddresses,
    /// The proxy for requests to apps.
    pub proxy: Option<ProxySettings>,
    /// Certificates that apps may be of, beside the public roots, as PEM.
    pub more_roots: Option<String>,
    /// What gateways' pods get of the controller's environment.
    pub pod_environment: BTreeMap<String, String>,
    /// The ValidatingWebhookConfiguration that leads here, if there is one.
    pub webhook_configuration: Option<String>,
    /// The name of this process among all controllers.
    pub identity: String,
}

/// The image of gateways' pods.
#[derive(Clone, Debug)]
pub struct GatewayImage {
    /// Its name.
    pub name: String,
    /// When it is pulled; `None`: as Kubernetes does by itself.
    pub pull_policy: Option<String>,
    /// Secrets with credentials for its registry, in each gateway's namespace.
    pub pull_secrets: Vec<String>,
}

/// Why the controller cannot start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// The API server cannot be found.
    #[error(
        "failed to find the API server: run this in a cluster, or set KUBECONFIG to a file that names one"
    )]
    ApiServer(#[source] Box<kube::Error>),
    /// The process cannot hear signals.
    #[error("failed to listen for signals")]
    Signals(#[source] std::io::Error),
    /// The way out to apps.
    #[error("failed to prepare requests to apps")]
    Client(#[from] ClientError),
    /// Probes and metrics.
    #[error(transparent)]
    Probes(#[from] ProbesError),
    /// The election.
    #[error(transparent)]
    Leadership(#[from] LeadershipError),
    /// The listener for gateways' pods.
    #[error(transparent)]
    Configuration(#[from] ConfigurationServerError),
    /// The URL that pods are told has no host.
    #[error("failed to use {0} as the URL that gateways' pods are told: write https://HOST:PORT")]
    ConfigurationUrl(String),
    /// What it keeps for itself.
    #[error(transparent)]
    Kept(#[from] KeptError),
    /// A key that it keeps is not one.
    #[error(
        "failed to use Secret {secret}: its value {key} is missing or not 32 bytes long; remove the Secret to have another made, which changes every unguessable webhook URI"
    )]
    Key {
        /// The Secret.
        secret: &'static str,
        /// The key in its data.
        key: &'static str,
    },
    /// Its work.
    #[error(transparent)]
    Lead(#[from] LeadError),
    /// Another one leads now.
    #[error("another controller leads now; this one stops so that it starts anew")]
    Overtaken,
}

/// The Secret with the key that tokens are made with.
const TOKEN_KEY_SECRET: &str = "tidegate-token-key";
/// Its key in that.
const TOKEN_KEY: &str = "key";

/// Changes that may wait to be taken in.
const CHANGES: usize = 4_096;

/// How long open requests to apps may take when the process is told to stop. What is not done then
/// is found out by the next leader.
const DRAIN: Duration = Duration::from_secs(10);

/// Leads, or stands by, until the process is told to stop (SIGINT or SIGTERM).
///
/// # Errors
/// When it cannot start, or does not lead any more.
pub async fn run(options: Options) -> Result<(), ControllerError> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ControllerError::Signals)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(ControllerError::Signals)?;
    let client = Client::try_default().await;
    let client = client.map_err(|error| ControllerError::ApiServer(Box::new(error)))?;
    let (stage, stages) = channel::channel(Stage::Starting);

    let (changes, receiver) = mpsc::channel(CHANGES);
    let (steps, steps_done) = mpsc::unbounded_channel();
    let overtaken = Arc::new(Notify::new());
    let kept = Kept::new(client.clone(), &options.namespace);
    let mut registry = Registry::with_prefix("tidegate");
    let metrics = Metrics::register(&mut registry);
    let writer = Writer::start(
        client.clone(),
        options.identity.clone(),
        changes.clone(),
        metrics.clone(),
    );
    let objects = UpstreamObjects::new(client.clone(), changes.clone(), steps, writer.clone());
    let records = Arc::new(Records::new(
        kept.clone(),
        Arc::new(objects.clone()),
        Arc::clone(&overtaken),
    ));
    let shows = Arc::new(Shows::default());
    let key: Arc<std::sync::OnceLock<Sensitive>> = Arc::default();
    let driver = driver(&options, &records, &shows, &key, &mut registry)?;
    let address = probes::start(options.metrics_listen, stages, Arc::new(registry)).await?;
    tracing::info!(%address, identity = options.identity, "serving probes and metrics");

    let configuration = ConfigurationServer::start(
        client.clone(),
        kept.clone(),
        options.configuration_listen,
        vec![host_of(&options.configuration_url)?],
    )
    .await?;
    let address = configuration.address();
    tracing::info!(%address, "listening for gateways' pods");
    let mut leadership =
        Leadership::start(client.clone(), &options.namespace, &options.identity).await?;
    stage.send_replace(Stage::StandingBy);
    let holder = leadership.holder();
    let epoch = tokio::select! {
        epoch = leadership.won(&kept) => epoch?,
        () = configuration.follow(holder) => return Err(ControllerError::Overtaken),
        _ = interrupt.recv() => return stop(leadership).await,
        _ = terminate.recv() => return stop(leadership).await,
    };
    stage.send_replace(Stage::TakingOver);
    tracing::info!(epoch, "leading");
    let token_key = token_key(&kept).await?;
    // Set once, here; the driver sends nothing before it is started.
    let _ = key.set(token_key.clone());
    let hub = Hub::new(hub::Parts {
        epoch,
        clock: Arc::new(Timestamp::now),
    });
    let scopes = watch::scopes(&options.watch_namespaces);
    watch::start(&client, &scopes, &changes);
    let (looked, looks) = mpsc::unbounded_channel();
    let gateways = Gateways::new(
        client.clone(),
        event_gateway::Settings {
            image: options.image.name.clone(),
            image_pull_policy: options.image.pull_policy.clone(),
            image_pull_secrets: options.image.pull_secrets.clone(),
            configuration_url: options.configuration_url.clone(),
            ca: configuration.bundle().borrow().clone(),
            environment: options.pod_environment.clone(),
        },
        writer.clone(),
        looked,
    );
    let trusted = options.webhook_configuration.clone().map(|name| {
        let bundle = configuration.bundle();
        tokio::spawn(admission::keep_trusted(client.clone(), name, bundle))
    });
    let mut leader = Leader::new(Parts {
        settings: Settings {
            default_gateway: options.default_gateway.clone(),
            private_addresses: options.private_addresses.clone(),
            token_key,
        },
        scopes,
        hub: hub.clone(),
        driver: driver.clone(),
        records,
        shows,
        writer,
        fetcher: Fetcher::new(client.clone(), changes),
        objects,
        steps_done,
        changes: receiver,
        last_good: LastGood::new(kept),
        gateways,
        looked: looks,
        bundle: configuration.bundle(),
        metrics: metrics.clone(),
    });
    let ended = tokio::select! {
        done = leader.work(|| {
            configuration.lead(Leading::Here(hub));
            stage.send_replace(Stage::Leading);
            metrics.leads();
        }) => {
            Some(done.map_err(ControllerError::Lead))
        }
        () = leadership.lost() => Some(Err(ControllerError::Overtaken)),
        () = overtaken.notified() => Some(Err(ControllerError::Overtaken)),
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
    };
    stage.send_replace(Stage::Stopping);
    if let Some(trusted) = trusted {
        trusted.abort();
    }
    configuration.lead(Leading::Elsewhere(None));
    if let Some(Err(ControllerError::Overtaken)) = ended {
        // Whatever is under way is the other one's now.
        return Err(ControllerError::Overtaken);
    }
    driver.drain(DRAIN).await;
    drop(leader);
    configuration.stop().await;
    leadership.resign().await;
    ended.unwrap_or(Ok(()))
}

fn host_of(url: &str) -> Result<String, ControllerError> {
    let parsed = url::Url::parse(url).ok();
    let parsed = parsed.filter(|parsed| parsed.scheme() == "https");
    let host = parsed.and_then(|parsed| parsed.host_str().map(str::to_owned));
    host.ok_or_else(|| ControllerError::ConfigurationUrl(url.to_owned()))
}

async fn stop(leadership: Leadership) -> Result<(), ControllerError> {
    leadership.resign().await;
    Ok(())
}

fn driver(
    options: &Options,
    records: &Arc<Records>,
    shows: &Arc<Shows>,
    key: &Arc<std::sync::OnceLock<Sensitive>>,
    registry: &mut Registry,
) -> Result<Driver, ClientError> {
    let mut outbound = Outbound::new(options.proxy.clone()).with_proxy_for_all();
    if let Some(pem) = &options.more_roots {
        outbound = outbound.with_more_roots(pem);
    }
    let private = options.private_addresses.clone();
    let key = Arc::clone(key);
    let parts = DriverParts {
        store: records.clone(),
        caller: Arc::new(AppClient::new(outbound, private)?),
        show: shows.clone(),
        clock: Arc::new(Timestamp::now),
        seeds: Arc::new(move || seeds(key.get())),
    };
    Ok(Driver::new(parts, registry))
}

/// Before the key is known nothing is started that would use it; a token made without it would be
/// as unguessable, but not recognised as ours.
fn seeds(key: Option<&Sensitive>) -> Seeds {
    let purpose: [u8; 16] = rand::random();
    let mut secret = [0; 96];
    rand::fill(&mut secret);
    let stand_in;
    let key = match key {
        Some(key) => key,
        None => {
            stand_in = Sensitive::new(rand::random::<[u8; 32]>().to_vec());
            &stand_in
        }
    };
    Seeds {
        attempt_id: uuid::Uuid::new_v4().to_string(),
        token: token::issue(key, &format!("registration {}", hex::encode(purpose))),
        secret,
        jitter: rand::random(),
    }
}

/// The key of all webhook URIs' tokens, made once and kept.
async fn token_key(kept: &Kept) -> Result<Sensitive, ControllerError> {
    let make = || Sensitive::new(rand::random::<[u8; 32]>().to_vec());
    let key = kept
        .once(TOKEN_KEY_SECRET, "token-key", TOKEN_KEY, make)
        .await?;
    key.filter(|key| key.expose().len() == 32)
        .ok_or(ControllerError::Key {
            secret: TOKEN_KEY_SECRET,
            key: TOKEN_KEY,
        })
}
