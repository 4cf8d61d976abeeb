//! Keeps the last good form of each AppEventType and EventSubscription that is, or was, served: so
//! that one that is edited into something broken goes on being served after a restart.
//!
//! Types are kept whenever their good form changes. EventSubscriptions, of which there may be very
//! many, are kept from the moment on when one is broken, and no longer.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use kube::ResourceExt;
use serde::{Deserialize, Serialize};

use super::decide::Decision;
use super::kept::{Kept, KeptError, ToKeep};
use super::world::World;
use crate::api::{AppEventType, EventSubscription};
use crate::compile::Kind;
use crate::configuration::Sensitive;
use crate::event::ObjectName;

/// The label's value, by which they are listed.
const PURPOSE: &str = "last-good-form";

/// The form's key in its Secret.
const KEY: &str = "form";

/// Says for people whose form it is; never read back.
const ABOUT: &str = "tidegate.dev/last-good-form-of";

/// One form, as it is kept.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", content = "object")]
enum Form {
    AppEventType(Box<AppEventType>),
    EventSubscription(Box<EventSubscription>),
}

/// Keeps them.
pub struct LastGood {
    kept: Kept,
    /// What is kept: the version of each Secret and a hash of the form, by the Secret's name.
    known: BTreeMap<String, (String, Vec<u8>)>,
}

impl LastGood {
    /// Those that `kept` keeps.
    #[must_use]
    pub fn new(kept: Kept) -> Self {
        Self {
            kept,
            known: BTreeMap::new(),
        }
    }

    /// Notes in `world` what was good before. What cannot be read is told and left out: then a
    /// broken object is not served until it is mended.
    pub async fn restore(&mut self, world: &mut World) {
        let secrets = match self.kept.list(PURPOSE).await {
            Ok(secrets) => secrets,
            Err(error) => {
                tracing::error!(%error, "failed to read the last good forms");
                return;
            }
        };
        for secret in secrets {
            let Some(bytes) = secret.data.get(KEY) else {
                continue;
            };
            let hash = digest(&SHA256, bytes.expose()).as_ref().to_vec();
            self.known
                .insert(secret.name.clone(), (secret.version.clone(), hash));
            match serde_json::from_slice(bytes.expose()) {
                Ok(Form::AppEventType(object)) => {
                    let (name, uid) = identity(&*object);
                    world.event_types.was_good(&name, &uid, *object);
                }
                Ok(Form::EventSubscription(object)) => {
                    let (name, uid) = identity(&*object);
                    world.subscriptions.was_good(&name, &uid, *object);
                }
                // The message could hold what stands there.
                Err(_) => tracing::error!(secret = secret.name, "a last good form is damaged"),
            }
        }
    }

    /// Keeps what turned out to be good, and forgets what has gone.
    pub async fn keep(&mut self, world: &World, decision: &Decision) {
        let mut wanted: BTreeMap<String, (ObjectName, Form)> = BTreeMap::new();
        for (name, known) in world.event_types.iter() {
            if let Some(good) = known.last_good.as_deref() {
                let form = Form::AppEventType(Box::new(bare(good)));
                wanted.insert(secret_name(Kind::AppEventType, name), (name.clone(), form));
            }
        }
        let kind = Kind::EventSubscription;
        for (name, known) in world.subscriptions.iter() {
            if decision.served_as_before.contains(&kind.reference(name))
                && let Some(good) = known.last_good.as_deref()
            {
                let form = Form::EventSubscription(Box::new(bare_subscription(good)));
                wanted.insert(secret_name(kind, name), (name.clone(), form));
            }
        }
        let gone: Vec<String> = self
            .known
            .keys()
            .filter(|name| !wanted.contains_key(*name))
            .cloned()
            .collect();
        for (secret, (name, form)) in wanted {
            if let Err(error) = self.keep_one(&secret, &name, &form).await {
                tracing::warn!(%name, error = %chain(&error), "failed to keep a last good form; it is tried again with the next change");
            }
        }
        for secret in gone {
            match self.kept.remove(&secret).await {
                Ok(()) => {
                    self.known.remove(&secret);
                }
                Err(error) => {
                    tracing::warn!(secret, error = %chain(&error), "failed to remove a last good form");
                }
            }
        }
    }

    async fn keep_one(
        &mut self,
        secret: &str,
        name: &ObjectName,
        form: &Form,
    ) -> Result<(), KeptError> {
        // What was read from JSON can be written as JSON.
        let Ok(bytes) = serde_json::to_vec(form) else {
            return Ok(());
        };
        let hash = digest(&SHA256, &bytes).as_ref().to_vec();
        let known = self.known.get(secret);
        if known.is_some_and(|(_, known)| *known == hash) {
            return Ok(());
        }
        let keep = ToKeep {
            name: secret.to_owned(),
            purpose: PURPOSE,
            data: [(KEY.to_owned(), Sensitive::new(bytes))].into(),
            annotations: [(ABOUT.to_owned(), name.to_string())].into(),
        };
        let version = match known {
            Some((version, _)) => self.kept.replace(keep, version).await,
            None => self.kept.create(keep).await,
        };
        match version {
            Ok(version) => {
                self.known.insert(secret.to_owned(), (version, hash));
                Ok(())
            }
            Err(KeptError::Changed { name }) => {
                // Its version is read again, so that the next change can write it.
                match self.kept.read(secret).await? {
                    Some(there) => {
                        let entry = (there.version, Vec::new());
                        self.known.insert(secret.to_owned(), entry);
                    }
                    None => {
                        self.known.remove(secret);
                    }
                }
                Err(KeptError::Changed { name })
            }
            Err(error) => Err(error),
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn identity<K: ResourceExt>(object: &K) -> (ObjectName, String) {
    let namespace = object.namespace().unwrap_or_default();
    let name = ObjectName::new(namespace, object.name_any());
    (name, object.uid().unwrap_or_default())
}

/// What of an object counts: the rest would make a write of every change of its status.
fn bare(object: &AppEventType) -> AppEventType {
    let mut bare = AppEventType::new(&object.name_any(), object.spec.clone());
    bare.metadata
        .namespace
        .clone_from(&object.metadata.namespace);
    bare.metadata.uid.clone_from(&object.metadata.uid);
    bare.metadata
        .annotations
        .clone_from(&object.metadata.annotations);
    bare
}

fn bare_subscription(object: &EventSubscription) -> EventSubscription {
    let mut bare = EventSubscription::new(&object.name_any(), object.spec.clone());
    bare.metadata
        .namespace
        .clone_from(&object.metadata.namespace);
    bare.metadata.uid.clone_from(&object.metadata.uid);
    bare
}

fn secret_name(kind: Kind, name: &ObjectName) -> String {
    let whole = format!("{}/{name}", kind.as_str());
    let hash = digest(&SHA256, whole.as_bytes());
    format!("tidegate-last-good-{}", hex::encode(&hash.as_ref()[..16]))
}
