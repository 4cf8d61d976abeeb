//! The records of upstream subscriptions in a cluster: a Secret each, in the controller's namespace.
//!
//! They have no owner and depend on nothing that may be deleted. A write says which version it
//! replaces, so that a controller that does not know yet that it no longer leads can overwrite
//! nothing. What cannot be read is told and left alone: behind it may be a registration.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use super::kept::{Kept, KeptError, KeptSecret, ToKeep};
use crate::configuration::Sensitive;
use crate::event::ObjectName;
use crate::provision::Record;
use crate::provision::record;
use crate::provision::store::{Loaded, RecordStore, StoreError};

/// The label's value, by which records are listed.
pub const PURPOSE: &str = "upstream-record";

/// How the Secrets' names begin.
const PREFIX: &str = "tidegate-upstream-";

/// The record's key in its Secret.
const KEY: &str = "record";

/// Says for people whose record it is; never read back.
const ABOUT: &str = "tidegate.dev/upstream-subscription";

/// What is done before a record goes for good.
pub trait BeforeRemoval: Send + Sync + 'static {
    /// Nothing is left at the app and nothing is wanted: lets the UpstreamSubscription go.
    fn release<'a>(&'a self, name: &'a ObjectName) -> BoxFuture<'a, Result<(), StoreError>>;
}

/// All records.
pub struct Records {
    kept: Kept,
    before_removal: Arc<dyn BeforeRemoval>,
    known: Mutex<Known>,
    /// Told when another controller has written a record of ours: this one has been overtaken.
    overtaken: Arc<Notify>,
}

#[derive(Default)]
struct Known {
    /// The version of each Secret, and a hash of what we last wrote or read, by its name.
    secrets: HashMap<String, (String, [u8; 32])>,
    names: BTreeSet<ObjectName>,
}

impl Records {
    /// Those that `kept` keeps. `overtaken` is notified when somebody else changes one.
    #[must_use]
    pub fn new(kept: Kept, before_removal: Arc<dyn BeforeRemoval>, overtaken: Arc<Notify>) -> Self {
        Self {
            kept,
            before_removal,
            known: Mutex::default(),
            overtaken,
        }
    }

    /// Whether there is a record of a subscription, as far as was loaded or written.
    #[must_use]
    pub fn has(&self, name: &ObjectName) -> bool {
        self.known().names.contains(name)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // The maps are never left half changed, so a poisoned lock is still good.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn load_all(&self) -> Result<Vec<Loaded>, StoreError> {
        let secrets = self.kept.list(PURPOSE).await.map_err(told)?;
        let mut known = Known::default();
        let mut loaded = Vec::new();
        for secret in secrets {
            let hash = secret.data.get(KEY).map(|it| hash(it.expose()));
            let version = (secret.version.clone(), hash.unwrap_or_default());
            known.secrets.insert(secret.name.clone(), version);
            let one = load_one(&secret);
            if let Loaded::Record(record) = &one {
                known.names.insert(record.name.clone());
            }
            loaded.push(one);
        }
        *self.known() = known;
        Ok(loaded)
    }

    async fn write_one(&self, record: &Record) -> Result<(), StoreError> {
        let bytes = record::write(record).map_err(|error| StoreError(error.to_string()))?;
        let written = hash(&bytes);
        let name = secret_name(&record.name);
        let keep = ToKeep {
            name: name.clone(),
            purpose: PURPOSE,
            data: [(KEY.to_owned(), Sensitive::new(bytes))].into(),
            annotations: BTreeMap::from([(ABOUT.to_owned(), record.name.to_string())]),
        };
        let known = self.known().secrets.get(&name).cloned();
        let version = match known {
            None => match self.kept.create(keep.clone()).await {
                // An answer that was lost: what is there is what we made.
                Err(KeptError::Changed { .. }) => self.again(keep, &written, &written).await?,
                other => other.map_err(told)?,
            },
            Some((version, before)) => match self.kept.replace(keep.clone(), &version).await {
                Err(KeptError::Changed { .. }) => self.again(keep, &before, &written).await?,
                other => other.map_err(told)?,
            },
        };
        let mut known = self.known();
        known.secrets.insert(name, (version, written));
        known.names.insert(record.name.clone());
        Ok(())
    }

    /// It has another version than was known. If what it holds is what we know, then only its
    /// metadata was touched, or our own answer was lost: it may be written. If not, somebody else
    /// leads.
    async fn again(
        &self,
        keep: ToKeep,
        before: &[u8; 32],
        written: &[u8; 32],
    ) -> Result<String, StoreError> {
        let Some(there) = self.kept.read(&keep.name).await.map_err(told)? else {
            // Somebody has removed it, and what we know is all that is left of it.
            return self.kept.create(keep).await.map_err(told);
        };
        let held = there.data.get(KEY).map(|it| hash(it.expose()));
        match held {
            Some(held) if held == *written => Ok(there.version),
            Some(held) if held == *before => {
                self.kept.replace(keep, &there.version).await.map_err(told)
            }
            _ => {
                self.overtaken.notify_one();
                Err(StoreError(format!(
                    "Secret {} was changed by somebody else: another controller leads",
                    keep.name
                )))
            }
        }
    }

    async fn remove_one(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.before_removal.release(name).await?;
        let secret = secret_name(name);
        self.kept.remove(&secret).await.map_err(told)?;
        let mut known = self.known();
        known.secrets.remove(&secret);
        known.names.remove(name);
        Ok(())
    }
}

impl RecordStore for Records {
    fn load(&self) -> BoxFuture<'_, Result<Vec<Loaded>, StoreError>> {
        Box::pin(self.load_all())
    }

    fn write<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.write_one(record))
    }

    fn remove<'a>(&'a self, name: &'a ObjectName) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.remove_one(name))
    }
}

/// The name of a record's Secret: a hash, because two names may be longer than one.
fn secret_name(name: &ObjectName) -> String {
    // A slash is in no Kubernetes name, so no two pairs look the same.
    let hash = digest(&SHA256, name.to_string().as_bytes());
    format!("{PREFIX}{}", hex::encode(&hash.as_ref()[..16]))
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

fn load_one(secret: &KeptSecret) -> Loaded {
    let about = secret.annotations.get(ABOUT);
    let unreadable = |error: String| {
        // Only what the driver looks up: a subscription's name without its namespace.
        let name = about.and_then(|it| it.split_once('/'));
        Loaded::Unreadable {
            name: name.map_or_else(|| secret.name.clone(), |(_, name)| name.to_owned()),
            error: format!(
                "failed to read Secret {}: {error}; nothing is done about this subscription until \
                 the Secret can be read, or is removed: then what stands at the app is unknown to \
                 Tidegate",
                secret.name
            ),
        }
    };
    let Some(bytes) = secret.data.get(KEY) else {
        return unreadable(format!("it has no key {KEY}"));
    };
    match record::read(bytes.expose()) {
        Ok(record) if secret_name(&record.name) != secret.name => {
            unreadable(format!("it is the record of {}", record.name))
        }
        Ok(record) => Loaded::Record(Box::new(record)),
        Err(error) => unreadable(error.to_string()),
    }
}

fn told(error: KeptError) -> StoreError {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    StoreError(text)
}
