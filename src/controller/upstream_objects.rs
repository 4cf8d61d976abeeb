//! Carries out what is to happen to UpstreamSubscriptions, one thing at a time for each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::{DeserializeGuard, Request};
use kube::{Client, Resource, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};

use super::records::BeforeRemoval;
use super::upstream_subscription::{FINALIZER, Step, news};
use super::world::{Change, WrittenObject};
use super::write::{FIELD_MANAGER, Writer};
use crate::api::{UpstreamSubscription, UpstreamSubscriptionStatus};
use crate::event::ObjectName;
use crate::provision::store::StoreError;

/// Writes at the same time.
const AT_A_TIME: usize = 16;

/// The pause after a failed write.
const PAUSE: Duration = Duration::from_secs(2);

/// How long one step may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the watch may take to tell of an object that was made. Until then it is not made again.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

type Guarded = DeserializeGuard<UpstreamSubscription>;

/// What a step is done to, as it was when the step was decided.
#[derive(Clone, Debug, Default)]
pub struct Present {
    /// `metadata.uid`.
    pub uid: Option<String>,
    /// `metadata.resourceVersion`.
    pub version: Option<String>,
    /// `metadata.finalizers`.
    pub finalizers: Vec<String>,
    /// The status.
    pub status: UpstreamSubscriptionStatus,
}

/// Carries steps out. Cheap to clone.
#[derive(Clone)]
pub struct UpstreamObjects(Arc<Inner>);

struct Inner {
    client: Client,
    changes: mpsc::Sender<Change>,
    /// Who is told when a step is over, so that the next one is decided.
    done: mpsc::UnboundedSender<ObjectName>,
    /// Who tells people of what changed.
    writer: Writer,
    places: Arc<Semaphore>,
    under_way: Mutex<BTreeSet<ObjectName>>,
    /// What was made, and since when the watch is waited for.
    made: Mutex<BTreeMap<ObjectName, Instant>>,
}

impl UpstreamObjects {
    /// What came of a step is told to `changes`, and that it is over to `done`.
    #[must_use]
    pub fn new(
        client: Client,
        changes: mpsc::Sender<Change>,
        done: mpsc::UnboundedSender<ObjectName>,
        writer: Writer,
    ) -> Self {
        Self(Arc::new(Inner {
            client,
            changes,
            done,
            writer,
            places: Arc::new(Semaphore::new(AT_A_TIME)),
            under_way: Mutex::default(),
            made: Mutex::default(),
        }))
    }

    /// Begins to carry a step out, unless one of the same object is under way: then the next is decided
    /// when that is over. False: too many others are under way, and what is to be done is decided anew
    /// when one of them is over; so nothing waits here that may be out of date by then.
    #[must_use]
    pub fn carry_out(&self, name: &ObjectName, present: Present, step: Step) -> bool {
        let is_new = present.uid.is_none();
        if !is_new {
            self.0.made().remove(name);
        }
        if matches!(step, Step::Nothing(_)) || (is_new && self.0.is_awaited(name)) {
            return true;
        }
        let Ok(place) = Arc::clone(&self.0.places).try_acquire_owned() else {
            return false;
        };
        if !self.0.under_way().insert(name.clone()) {
            return true;
        }
        let (inner, name) = (Arc::clone(&self.0), name.clone());
        tokio::spawn(async move {
            let worked = inner.work(&name, &present, step).await;
            drop(place);
            inner.writer.other_finished();
            match worked {
                Ok(()) if is_new => inner.await_watch(&name),
                Ok(()) => {}
                Err(pause) => {
                    // Its place is another's meanwhile: what cannot be written stops nothing else.
                    let _ = inner.done.send(name.clone());
                    tokio::time::sleep(pause).await;
                }
            }
            inner.under_way().remove(&name);
            // Nobody listens any more once the process stops.
            let _ = inner.done.send(name);
        });
        true
    }
}

impl BeforeRemoval for UpstreamObjects {
    fn release<'a>(&'a self, name: &'a ObjectName) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let released = async {
                let object = match self.0.api(name).get_opt(&name.name).await? {
                    Some(object) => object,
                    None => return Ok(()),
                };
                let present = Present {
                    uid: object.uid(),
                    version: object.resource_version(),
                    finalizers: object.finalizers().to_vec(),
                    status: UpstreamSubscriptionStatus::default(),
                };
                self.0.delete(name, &present).await
            };
            match tokio::time::timeout(PATIENCE, released).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(StoreError(format!(
                    "failed to remove UpstreamSubscription {name}: {error}"
                ))),
                Err(_) => Err(StoreError(format!(
                    "failed to remove UpstreamSubscription {name}: it took too long"
                ))),
            }
        })
    }
}

impl Inner {
    fn under_way(&self) -> MutexGuard<'_, BTreeSet<ObjectName>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn made(&self) -> MutexGuard<'_, BTreeMap<ObjectName, Instant>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an object was made of which the watch has not told yet.
    fn is_awaited(&self, name: &ObjectName) -> bool {
        let made = self.made().get(name).copied();
        made.is_some_and(|at| at.elapsed() < TOLD_WITHIN)
    }

    /// The watch is to tell of an object; if it does not, it is looked at once more.
    fn await_watch(self: &Arc<Self>, name: &ObjectName) {
        self.made().insert(name.clone(), Instant::now());
        let (inner, name) = (Arc::clone(self), name.clone());
        tokio::spawn(async move {
            tokio::time::sleep(TOLD_WITHIN).await;
            inner.made().remove(&name);
            let _ = inner.done.send(name);
        });
    }

    fn api(&self, name: &ObjectName) -> Api<Guarded> {
        Api::namespaced(self.client.clone(), &name.namespace)
    }

    /// Does a step; an error is how long to wait until it is tried again.
    async fn work(&self, name: &ObjectName, present: &Present, step: Step) -> Result<(), Duration> {
        let done = match tokio::time::timeout(PATIENCE, self.step(name, present, step)).await {
            Ok(done) => done.map_err(|error| match &error {
                kube::Error::Api(status) if matches!(status.code, 404 | 409) => None,
                _ => Some(error.to_string()),
            }),
            Err(_) => Err(Some("it took too long".to_owned())),
        };
        match done {
            Ok(Some(object)) => {
                let written = WrittenObject::Upstream(object);
                // Nobody listens any more once the process stops.
                let _ = self.changes.send(Change::Written(Box::new(written))).await;
                Ok(())
            }
            Ok(None) => Ok(()),
            // It is another one now, or has gone: the watch tells.
            Err(None) => Err(Duration::from_millis(200)),
            Err(Some(error)) => {
                tracing::warn!(subscription = %name, error, "failed to write an UpstreamSubscription; it is tried again");
                Err(PAUSE)
            }
        }
    }

    async fn step(
        &self,
        name: &ObjectName,
        present: &Present,
        step: Step,
    ) -> Result<Option<Guarded>, kube::Error> {
        match step {
            Step::Nothing(_) => Ok(None),
            Step::Apply(object) => {
                let parameters = PatchParams::apply(FIELD_MANAGER).force();
                let patch = Patch::Apply(&object);
                let applied = self
                    .api(name)
                    .patch(&name.name, &parameters, &patch)
                    .await?;
                Ok(Some(applied))
            }
            Step::Status(status) => {
                let news = news(&present.status.conditions, &status.conditions);
                // All of a status of these is ours. The API server replaces one at two thirds of the cost
                // of a patch; with another version of the object it refuses, and the step is decided anew.
                let object = json!({
                    "apiVersion": UpstreamSubscription::api_version(&()),
                    "kind": UpstreamSubscription::kind(&()),
                    "metadata": {
                        "namespace": name.namespace, "name": name.name,
                        "uid": present.uid, "resourceVersion": present.version,
                    },
                    "status": status,
                });
                let replaced = self.replace_status(name, &object).await?;
                if let (Ok(object), Some(news)) = (&replaced.0, news) {
                    self.writer.tell(object, &news);
                }
                Ok(Some(replaced))
            }
            // What comes of it, the watch tells.
            Step::Release => self.release(name, present).await.map(|_| None),
            Step::Delete => self.delete(name, present).await.map(|()| None),
        }
    }

    /// Of an object that need not be complete: the API server looks at nothing but the status and the version.
    async fn replace_status(
        &self,
        name: &ObjectName,
        object: &Value,
    ) -> Result<Guarded, kube::Error> {
        let parameters = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let body = serde_json::to_vec(object).map_err(kube::Error::SerdeError)?;
        let path = UpstreamSubscription::url_path(&(), Some(&name.namespace));
        let request =
            Request::new(path).replace_subresource("status", &name.name, &parameters, body);
        let request = request.map_err(kube::Error::BuildRequest)?;
        self.client.request(request).await
    }

    async fn release(&self, name: &ObjectName, present: &Present) -> Result<Guarded, kube::Error> {
        let rest: Vec<&String> = present
            .finalizers
            .iter()
            .filter(|it| *it != FINALIZER)
            .collect();
        let patch: Value = json!({"metadata": {
            "uid": present.uid, "resourceVersion": present.version, "finalizers": rest,
        }});
        let api = self.api(name);
        api.patch(&name.name, &parameters(), &Patch::Merge(patch))
            .await
    }

    async fn delete(&self, name: &ObjectName, present: &Present) -> Result<(), kube::Error> {
        let gone = |error: kube::Error| match error {
            kube::Error::Api(status) if status.code == 404 => Ok(()),
            error => Err(error),
        };
        if present.finalizers.iter().any(|it| it == FINALIZER)
            && let Err(error) = self.release(name, present).await
        {
            return gone(error);
        }
        let parameters = DeleteParams {
            preconditions: Some(Preconditions {
                uid: present.uid.clone(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        match self.api(name).delete(&name.name, &parameters).await {
            Ok(_) => Ok(()),
            Err(error) => gone(error),
        }
    }
}

fn parameters() -> PatchParams {
    PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

/// What of an object a step needs.
pub fn present(known: Option<&super::world::Known<UpstreamSubscription>>) -> Present {
    let Some(known) = known else {
        return Present::default();
    };
    let (metadata, object) = (known.metadata(), known.present.as_ref().ok());
    Present {
        uid: metadata.uid.clone(),
        version: metadata.resource_version.clone(),
        finalizers: metadata.finalizers.clone().unwrap_or_default(),
        status: object.and_then(|it| it.status.clone()).unwrap_or_default(),
    }
}
