//! Writes statuses and Kubernetes Events: several at a time, the latest for each object only, and
//! again after a while where the API server could not.

mod queue;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Api, Patch, PatchParams};
use kube::core::{DeserializeGuard, NamespaceResourceScope};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::{Notify, mpsc};

use self::queue::Queue;
use super::metrics::{Metrics, Written};
use super::status::News;
use super::statuses::StatusWrite;
use super::world::{Change, WrittenObject};
use crate::api::{AppEventType, Customer, EventGateway, EventSubscription};
use crate::compile::Kind;

/// The pause after a failed write.
const PAUSE: Duration = Duration::from_secs(2);

/// How long one write may take: the client repeats what an overloaded server refuses.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who the fields are written by.
pub const FIELD_MANAGER: &str = "tidegate-controller";

/// Writes statuses. Cheap to clone.
#[derive(Clone)]
pub struct Writer(Arc<Inner>);

struct Inner {
    client: Client,
    recorder: Recorder,
    changes: mpsc::Sender<Change>,
    metrics: Metrics,
    queue: Mutex<Queue>,
    woken: Notify,
}

impl Writer {
    /// Writes from now on. What came of a write is told to `changes`, so that it is known before the
    /// watch tells of it. `instance` is the process's name.
    #[must_use]
    pub fn start(
        client: Client,
        instance: String,
        changes: mpsc::Sender<Change>,
        metrics: Metrics,
    ) -> Self {
        let reporter = Reporter {
            controller: FIELD_MANAGER.to_owned(),
            instance: Some(instance),
        };
        let recorder = Recorder::new(client.clone(), reporter);
        let writer = Self(Arc::new(Inner {
            client,
            recorder,
            changes,
            metrics,
            queue: Mutex::default(),
            woken: Notify::new(),
        }));
        tokio::spawn(Arc::clone(&writer.0).run());
        writer
    }

    /// Writes a status soon, instead of one of the same object that was not written yet.
    pub fn write(&self, write: StatusWrite) {
        self.0.queue().put(write);
        self.0.woken.notify_one();
    }

    /// Tells whether more UpstreamSubscriptions are to be written than may be at the same time: they go before Customers.
    pub fn set_crowded(&self, crowded: bool) {
        if self.0.queue().set_crowded(crowded) {
            self.0.woken.notify_one();
        }
    }

    /// Tells that an UpstreamSubscription was written.
    pub fn other_finished(&self) {
        if self.0.queue().other_finished() {
            self.0.woken.notify_one();
        }
    }

    /// Tells of an object as a Kubernetes Event; a failure is logged and nothing else.
    pub fn tell<K: Resource<DynamicType = ()>>(&self, object: &K, news: &News) {
        let reference = object.object_ref(&());
        self.tell_of(reference, news);
    }

    /// The same of whatever is referred to.
    pub fn tell_of(&self, reference: ObjectReference, news: &News) {
        let inner = Arc::clone(&self.0);
        let news = news.clone();
        tokio::spawn(async move { inner.publish(&reference, &news).await });
    }
}

impl Inner {
    fn queue(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self: Arc<Self>) {
        loop {
            let next = self.queue().take();
            match next {
                Some(write) => {
                    tokio::spawn(Arc::clone(&self).carry_out(write));
                }
                None => self.woken.notified().await,
            }
        }
    }

    async fn carry_out(self: Arc<Self>, write: StatusWrite) {
        let written = tokio::time::timeout(PATIENCE, self.patch(&write)).await;
        let failure = match written {
            Ok(Ok(written)) => {
                self.metrics.wrote(write.kind, Written::Done);
                let change = Change::Written(Box::new(written));
                // Nobody listens any more once the process stops.
                let _ = self.changes.send(change).await;
                None
            }
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409 | 422) => {
                // It has gone, or is another one now: the watch tells.
                self.metrics.wrote(write.kind, Written::Outdated);
                tracing::debug!(object = %write.name, error = %status.message, "a status was not written");
                None
            }
            Ok(Err(error)) => Some((is_of_object(&error), error.to_string())),
            Err(_) => Some((false, format!("there was no answer within {PATIENCE:?}"))),
        };
        if let Some((is_of_object, error)) = failure {
            self.metrics.wrote(write.kind, Written::Failed);
            tracing::warn!(kind = write.kind.as_str(), object = %write.name, error, "failed to write a status; it is tried again");
            if is_of_object {
                self.queue().failed(&write);
                self.woken.notify_one();
            }
            tokio::time::sleep(PAUSE).await;
            self.queue().again(write);
        } else {
            self.queue().finished(&write);
        }
        self.woken.notify_one();
    }

    async fn patch(&self, write: &StatusWrite) -> Result<WrittenObject, kube::Error> {
        match write.kind {
            Kind::AppEventType => {
                let object = self.patch_one::<AppEventType>(write).await?;
                Ok(WrittenObject::EventType(object))
            }
            Kind::Customer => {
                let object = self.patch_one::<Customer>(write).await?;
                Ok(WrittenObject::Customer(object))
            }
            Kind::EventSubscription => {
                let object = self.patch_one::<EventSubscription>(write).await?;
                Ok(WrittenObject::Subscription(object))
            }
            Kind::EventGateway => {
                let object = self.patch_one::<EventGateway>(write).await?;
                Ok(WrittenObject::Gateway(object))
            }
        }
    }

    async fn patch_one<K>(&self, write: &StatusWrite) -> Result<DeserializeGuard<K>, kube::Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let api: Api<DeserializeGuard<K>> =
            Api::namespaced(self.client.clone(), &write.name.namespace);
        // A uid cannot change, so an object of the same name that is another one is refused.
        let patch = json!({"metadata": {"uid": write.uid}, "status": write.patch});
        let parameters = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let object = api
            .patch_status(&write.name.name, &parameters, &Patch::Merge(patch))
            .await?;
        if let Some(news) = &write.news {
            let metadata = object.meta();
            let reference = ObjectReference {
                api_version: Some(K::api_version(&()).into_owned()),
                kind: Some(K::kind(&()).into_owned()),
                name: metadata.name.clone(),
                namespace: metadata.namespace.clone(),
                uid: metadata.uid.clone(),
                ..ObjectReference::default()
            };
            self.publish(&reference, news).await;
        }
        Ok(object)
    }

    async fn publish(&self, reference: &ObjectReference, news: &News) {
        let event = Event {
            type_: match news.is_bad {
                true => EventType::Warning,
                false => EventType::Normal,
            },
            reason: news.reason.clone(),
            note: Some(cut(&news.message)),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        let told = tokio::time::timeout(PATIENCE, self.recorder.publish(&event, reference)).await;
        if let Ok(Err(error)) = told {
            // In a namespace that is being deleted no Event can be made.
            tracing::debug!(%error, reason = event.reason, "failed to write an Event");
        }
    }
}

/// Whether the API server refuses this write alone. Otherwise others would most likely fail, too, so they wait as well.
fn is_of_object(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code < 500 && status.code != 429)
}

/// Notes of Events have at most 1 kB.
fn cut(message: &str) -> String {
    message[..message.floor_char_boundary(1_000)].to_owned()
}
