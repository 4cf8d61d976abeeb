//! Watches everything that counts and tells of it. All I/O of reading the cluster is here.
//!
//! Of Secrets and ConfigMaps only metadata is watched; values are read by name, of those that
//! something refers to. A watch that fails begins anew, later and later; what was known until then
//! stays.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{Api, GetParams, ObjectMeta};
use kube::core::{DeserializeGuard, NamespaceResourceScope, PartialObjectMeta};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Config, Event, watcher};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, mpsc};

use super::world::{Change, Fetched, Scope, Unread};
use crate::api::{AppEventType, Customer, EventGateway, EventSubscription, UpstreamSubscription};
use crate::configuration::Sensitive;
use crate::event::ObjectName;

/// On what the controller keeps for itself, which is not looked at like what users write.
pub const KEPT_LABEL: &str = "tidegate.dev/kept-by-controller";

/// Reads of values at the same time.
const READS_AT_A_TIME: usize = 8;

/// The pause after a failed read.
const PAUSE: Duration = Duration::from_secs(2);

/// How long one read may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often single Namespaces are looked at, where it is not allowed to watch all.
const LOOK_AT_NAMESPACES: Duration = Duration::from_secs(5);

/// Where watches look: everywhere, or in these namespaces.
pub fn scopes(namespaces: &[String]) -> Vec<Scope> {
    if namespaces.is_empty() {
        return vec![None];
    }
    let distinct: BTreeSet<&String> = namespaces.iter().collect();
    distinct.into_iter().cloned().map(Some).collect()
}

/// Begins to watch. Tasks end when nobody listens to `changes` any more.
pub fn start(client: &Client, scopes: &[Scope], changes: &mpsc::Sender<Change>) {
    for scope in scopes {
        follow::<AppEventType>(client, scope, changes, Change::EventType);
        follow::<Customer>(client, scope, changes, Change::Customer);
        follow::<EventSubscription>(client, scope, changes, Change::Subscription);
        follow::<EventGateway>(client, scope, changes, Change::Gateway);
        follow::<UpstreamSubscription>(client, scope, changes, Change::Upstream);
        // What the controller keeps for itself may be very many.
        let config = Config::default().labels(&format!("!{KEPT_LABEL}"));
        let secrets: Api<PartialObjectMeta<Secret>> = api(client, scope);
        run(secrets, config.clone(), scope, changes, Change::Secret);
        let config_maps: Api<PartialObjectMeta<ConfigMap>> = api(client, scope);
        run(config_maps, config, scope, changes, Change::ConfigMap);
        match scope {
            None => {
                let namespaces: Api<PartialObjectMeta<Namespace>> = Api::all(client.clone());
                run(
                    namespaces,
                    Config::default(),
                    scope,
                    changes,
                    Change::Namespace,
                );
            }
            Some(name) => look_at_namespace(client, name, changes),
        }
    }
}

fn api<K>(client: &Client, scope: &Scope) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match scope {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

fn follow<K>(
    client: &Client,
    scope: &Scope,
    changes: &mpsc::Sender<Change>,
    change: fn(Scope, Event<DeserializeGuard<K>>) -> Change,
) where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let api: Api<DeserializeGuard<K>> = api(client, scope);
    run(api, Config::default(), scope, changes, change);
}

fn run<K>(
    api: Api<K>,
    config: Config,
    scope: &Scope,
    changes: &mpsc::Sender<Change>,
    change: fn(Scope, Event<K>) -> Change,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (scope, changes) = (scope.clone(), changes.clone());
    tokio::spawn(async move {
        let begin = |config| {
            let stream = watcher(api.clone(), config).default_backoff();
            // Nothing reads them, and thousands of objects may wait to be taken in.
            let stream = stream.modify(|object| object.meta_mut().managed_fields = None);
            stream.boxed()
        };
        let mut stream = begin(config.clone().streaming_lists());
        let kind = K::kind(&());
        loop {
            let event = tokio::select! {
                event = stream.next() => event,
                () = changes.closed() => return,
            };
            match event {
                Some(Ok(event)) => {
                    if changes.send(change(scope.clone(), event)).await.is_err() {
                        return;
                    }
                }
                Some(Err(error)) if cannot_stream(&error) => {
                    tracing::debug!(%kind, "the API server does not stream lists: they are read in pages");
                    stream = begin(config.clone());
                }
                Some(Err(error)) => {
                    tracing::warn!(%kind, %error, "failed to watch; it is tried again");
                }
                None => return,
            }
        }
    });
}

/// Whether an API server refuses to send what is there as the beginning of a watch: it does so where its
/// feature gate `WatchList` is off, which is the default up to Kubernetes 1.31, and in 1.33.
fn cannot_stream(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) => {
            status.code == 422 && status.message.contains("sendInitialEvents")
        }
        _ => false,
    }
}

/// A Role can let a Namespace be read, but not be watched. So it is looked at from time to time.
fn look_at_namespace(client: &Client, name: &str, changes: &mpsc::Sender<Change>) {
    let api: Api<PartialObjectMeta<Namespace>> = Api::all(client.clone());
    let (name, changes) = (name.to_owned(), changes.clone());
    tokio::spawn(async move {
        let scope = Some(name.clone());
        let mut is_first = true;
        loop {
            let event = match api.get_opt(&name).await {
                Ok(Some(object)) => Some(Event::Apply(object)),
                Ok(None) => Some(Event::Delete(PartialObjectMeta {
                    metadata: ObjectMeta {
                        name: Some(name.clone()),
                        ..ObjectMeta::default()
                    },
                    ..PartialObjectMeta::default()
                })),
                Err(error) => {
                    tracing::warn!(namespace = name, %error, "failed to read a Namespace; it is tried again");
                    None
                }
            };
            if let Some(event) = event {
                let mut events = vec![event];
                if std::mem::take(&mut is_first) {
                    events.insert(0, Event::Init);
                    // What was applied in between counts as listed.
                    events.push(Event::InitDone);
                }
                for event in events {
                    let change = Change::Namespace(scope.clone(), event);
                    if changes.send(change).await.is_err() {
                        return;
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_AT_NAMESPACES) => {}
                () = changes.closed() => return,
            }
        }
    });
}

/// Reads values of Secrets and ConfigMaps by name.
#[derive(Clone)]
pub struct Fetcher {
    client: Client,
    changes: mpsc::Sender<Change>,
    places: Arc<Semaphore>,
    under_way: Arc<Mutex<BTreeSet<(bool, ObjectName)>>>,
}

impl Fetcher {
    /// What was read is told to `changes`.
    #[must_use]
    pub fn new(client: Client, changes: mpsc::Sender<Change>) -> Self {
        Self {
            client,
            changes,
            places: Arc::new(Semaphore::new(READS_AT_A_TIME)),
            under_way: Arc::default(),
        }
    }

    /// Reads these soon, each once at a time.
    pub fn fetch(&self, secrets: Unread, config_maps: Unread) {
        let secrets = secrets.into_iter().map(|it| (true, it));
        let config_maps = config_maps.into_iter().map(|it| (false, it));
        for (is_secret, (name, version)) in secrets.chain(config_maps) {
            let key = (is_secret, name);
            if self.under_way().insert(key.clone()) {
                let this = self.clone();
                tokio::spawn(async move { this.fetch_one(key, version).await });
            }
        }
    }

    fn under_way(&self) -> std::sync::MutexGuard<'_, BTreeSet<(bool, ObjectName)>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn fetch_one(&self, key: (bool, ObjectName), version: String) {
        // The API server answers from its memory what need not be the latest, which takes half as long.
        let mut parameters = GetParams::at(&version);
        let change = loop {
            // The semaphore is never closed.
            let Ok(place) = self.places.acquire().await else {
                return;
            };
            let read = tokio::time::timeout(PATIENCE, self.read(&key, &parameters)).await;
            drop(place);
            match read {
                Ok(Ok(change)) => break change,
                Ok(Err(error)) => {
                    tracing::warn!(object = %key.1, %error, "failed to read a Secret or ConfigMap; it is tried again");
                }
                Err(_) => {
                    tracing::warn!(object = %key.1, "reading a Secret or ConfigMap took too long; it is tried again");
                }
            }
            // Its memory may never have that version, after a restore of its store for one.
            parameters = GetParams::default();
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = self.changes.closed() => return,
            }
        };
        self.under_way().remove(&key);
        // Nobody listens any more once the process stops.
        let _ = self.changes.send(change).await;
    }

    async fn read(
        &self,
        (is_secret, name): &(bool, ObjectName),
        parameters: &GetParams,
    ) -> Result<Change, kube::Error> {
        if *is_secret {
            let secret = self.get::<Secret>(name, parameters).await?;
            let read = secret.map(|secret| Fetched {
                version: secret.metadata.resource_version.unwrap_or_default(),
                data: secret
                    .data
                    .unwrap_or_default()
                    .into_iter()
                    .map(|(key, value)| (key, Sensitive::new(value.0)))
                    .collect::<BTreeMap<_, _>>(),
            });
            return Ok(Change::SecretRead(name.clone(), read));
        }
        let config_map = self.get::<ConfigMap>(name, parameters).await?;
        let read = config_map.map(|config_map| Fetched {
            version: config_map.metadata.resource_version.unwrap_or_default(),
            data: config_map.data.unwrap_or_default(),
        });
        Ok(Change::ConfigMapRead(name.clone(), read))
    }

    /// `None`: it is not there.
    async fn get<K>(
        &self,
        name: &ObjectName,
        parameters: &GetParams,
    ) -> Result<Option<K>, kube::Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &name.namespace);
        match api.get_with(&name.name, parameters).await {
            Ok(object) => Ok(Some(object)),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}
