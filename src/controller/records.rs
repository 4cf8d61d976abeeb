//! The records of upstream subscriptions in a cluster: a Secret each, in the controller's namespace. The first
//! record of each is in one Secret for all ([`together`]), until there is a second one.
//!
//! They have no owner and depend on nothing that may be deleted. A write says which version it
//! replaces, so that a controller that does not know yet that it no longer leads can overwrite
//! nothing; and whoever comes to lead writes the Secret for all before it reads the others, so that none
//! before it can record anything new. What cannot be read is told and left alone: behind it may be a
//! registration.

mod together;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256, digest};
use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use super::kept::{Kept, KeptError, KeptSecret, ToKeep};
use crate::configuration::Sensitive;
use crate::event::ObjectName;
use crate::provision::Record;
use crate::provision::record;
use crate::provision::store::{Loaded, RecordStore, StoreError};
use together::{Added, Content, Ticket, Together};

/// The label's value, by which records are listed.
pub const PURPOSE: &str = "upstream-record";

/// The label's value of the Secret with first records.
const TOGETHER_PURPOSE: &str = "upstream-records-together";

/// The Secret with first records.
const TOGETHER: &str = "tidegate-upstream-records-together";

/// How long what is not needed any more may stay in it: among many, the next write takes it out.
const TIDY_AFTER: Duration = Duration::from_secs(10);

/// How often that Secret is read and written anew when a controller comes to lead while the one before it still writes.
const TAKE_OVER_ATTEMPTS: usize = 10;

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
pub struct Records(Arc<Inner>);

struct Inner {
    kept: Kept,
    before_removal: Arc<dyn BeforeRemoval>,
    known: Mutex<Known>,
    /// Held by whoever writes the Secret with first records.
    writing_together: tokio::sync::Mutex<()>,
    /// Told when another controller has written a record of ours: this one has been overtaken.
    overtaken: Arc<Notify>,
}

struct Known {
    /// What is known of each Secret, by its name.
    secrets: HashMap<String, Last>,
    names: BTreeSet<ObjectName>,
    together: Together,
    /// Whose first record is in a Secret of its own, of which it is not sure that who leads next finds it.
    unfenced: BTreeSet<ObjectName>,
    /// Whether somebody is about to write the Secret with first records without those that left.
    is_tidying: bool,
}

/// What became of a first record.
enum First {
    /// It is in the Secret for all.
    Written,
    /// There was one before, so it is no first one.
    Known,
    /// There is no room for it.
    NoRoom,
}

/// What is known of a Secret.
#[derive(Clone, Default)]
struct Last {
    /// `None`: it may not be there.
    version: Option<String>,
    /// Hashes of what it may hold: what we read or wrote last, and what we tried to write since.
    contents: Vec<[u8; 32]>,
}

impl Records {
    /// Those that `kept` keeps. `overtaken` is notified when somebody else changes one.
    #[must_use]
    pub fn new(kept: Kept, before_removal: Arc<dyn BeforeRemoval>, overtaken: Arc<Notify>) -> Self {
        Self(Arc::new(Inner {
            kept,
            before_removal,
            known: Mutex::default(),
            writing_together: tokio::sync::Mutex::default(),
            overtaken,
        }))
    }

    /// Whether there is a record of a subscription, as far as was loaded or written.
    #[must_use]
    pub fn has(&self, name: &ObjectName) -> bool {
        self.0.known().names.contains(name)
    }
}

impl Inner {
    fn known(&self) -> MutexGuard<'_, Known> {
        // The maps are never left half changed, so a poisoned lock is still good.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn load_all(self: &Arc<Self>) -> Result<Vec<Loaded>, StoreError> {
        *self.known() = Known::default();
        // In this order: none before us can record anything new from then on, and a record leaves the one Secret
        // only once it has one of its own.
        self.take_over().await?;
        let secrets = self.kept.list(PURPOSE).await.map_err(told)?;
        let mut loaded: Vec<Loaded> = secrets.iter().map(load_one).collect();
        let is_untidy = {
            let mut known = self.known();
            for secret in secrets {
                let last = Last {
                    contents: vec![fingerprint(&secret.name, &secret.data)],
                    version: Some(secret.version),
                };
                known.secrets.insert(secret.name, last);
            }
            let mut outdated = Vec::new();
            for (key, record) in known.together.records() {
                match known.secrets.contains_key(&secret_of_key(key)) {
                    true => outdated.push(key.clone()),
                    false => loaded.push(load_from_together(key, record)),
                }
            }
            for key in outdated {
                known.together.leave(&key);
            }
            known.names = loaded
                .iter()
                .filter_map(|one| match one {
                    Loaded::Record(record) => Some(record.name.clone()),
                    Loaded::Unreadable { .. } => None,
                })
                .collect();
            known.together.untidy().is_some()
        };
        if is_untidy {
            self.tidy_later();
        }
        Ok(loaded)
    }

    /// Reads the Secret with first records, and writes it, so that no controller before this one can.
    async fn take_over(&self) -> Result<(), StoreError> {
        for _ in 0..TAKE_OVER_ATTEMPTS {
            let there = self.kept.read(TOGETHER).await.map_err(told)?;
            let (version, data) = match there {
                Some(there) => (Some(there.version), there.data),
                None => (None, BTreeMap::new()),
            };
            let mut together = Together::found(data, fence());
            let content = together.content();
            let keep = keep_together(&content);
            let contents = vec![fingerprint(TOGETHER, &keep.data)];
            let written = match version {
                Some(version) => self.kept.replace(keep, &version).await,
                None => self.kept.create(keep).await,
            };
            let version = match written {
                Ok(version) => Some(version),
                // The one before us has written once more.
                Err(KeptError::Changed { .. }) => continue,
                Err(error) => return Err(told(error)),
            };
            together.written(content, Ok(()));
            let mut known = self.known();
            known.together = together;
            let last = Last { version, contents };
            known.secrets.insert(TOGETHER.to_owned(), last);
            return Ok(());
        }
        Err(StoreError(format!(
            "Secret {TOGETHER} is changed by somebody else again and again: another controller leads"
        )))
    }

    async fn write_one(self: &Arc<Self>, record: &Record) -> Result<(), StoreError> {
        let bytes = record::write(record).map_err(|error| StoreError(error.to_string()))?;
        let bytes = Sensitive::new(bytes);
        let name = secret_name(&record.name);
        let is_first = !self.known().secrets.contains_key(&name);
        if is_first {
            match self.write_together(&record.name, &bytes).await? {
                First::Written => {
                    self.known().names.insert(record.name.clone());
                    return Ok(());
                }
                First::Known => {}
                First::NoRoom => {
                    self.known().unfenced.insert(record.name.clone());
                }
            }
        }
        let keep = ToKeep {
            name,
            purpose: PURPOSE,
            data: [(KEY.to_owned(), bytes)].into(),
            annotations: BTreeMap::from([(ABOUT.to_owned(), record.name.to_string())]),
        };
        self.put(keep).await?;
        let fence = {
            let mut known = self.known();
            let is_unfenced = known.unfenced.contains(&record.name);
            is_unfenced.then(|| known.together.fence())
        };
        if let Some(ticket) = fence {
            // Only now is it sure that we still lead, and that who leads after us finds the record.
            self.store_together(ticket).await?;
        }
        let left = {
            let mut known = self.known();
            known.unfenced.remove(&record.name);
            known.names.insert(record.name.clone());
            known.together.leave(&together_key(&record.name))
        };
        if left.is_some() {
            self.tidy_later();
        }
        Ok(())
    }

    /// Writes a first record, together with others that are under way.
    async fn write_together(
        &self,
        name: &ObjectName,
        record: &Sensitive,
    ) -> Result<First, StoreError> {
        let key = together_key(name);
        let added = self.known().together.add(&key, record);
        let ticket = match added {
            Added::To(ticket) => ticket,
            Added::Known => return Ok(First::Known),
            // Nobody waits for room: whoever makes it may wait for the place of who waits.
            Added::Full => return Ok(First::NoRoom),
        };
        let written = self.store_together(ticket).await;
        if written.is_err() {
            self.known().together.leave(&key);
        }
        written.map(|()| First::Written)
    }

    /// Answers once the Secret with first records is as it was at that time, or later.
    async fn store_together(&self, ticket: Ticket) -> Result<(), StoreError> {
        let _writing = self.writing_together.lock().await;
        let content = {
            let known = self.known();
            if let Some(outcome) = known.together.outcome(ticket) {
                return outcome;
            }
            known.together.content()
        };
        let result = self.put(keep_together(&content)).await;
        self.known().together.written(content, result.clone());
        result
    }

    /// Takes out of the Secret with first records what has one of its own, soon.
    fn tidy_later(self: &Arc<Self>) {
        if std::mem::replace(&mut self.known().is_tidying, true) {
            return;
        }
        let this = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(TIDY_AFTER).await;
            let untidy = {
                let mut known = this.known();
                known.is_tidying = false;
                known.together.untidy()
            };
            if let Some(ticket) = untidy
                && let Err(error) = this.store_together(ticket).await
            {
                // The next write does it; until then what is there is merely not needed.
                tracing::debug!(%error, "failed to take records out of the Secret with first records");
            }
        });
    }

    /// Writes a Secret, whatever it held as far as we know.
    async fn put(&self, keep: ToKeep) -> Result<(), StoreError> {
        let name = keep.name.clone();
        let content = fingerprint(&name, &keep.data);
        let last = self.known().secrets.get(&name).cloned();
        let last = last.unwrap_or_default();
        let written = match &last.version {
            None => self.kept.create(keep.clone()).await,
            Some(version) => self.kept.replace(keep.clone(), version).await,
        };
        let written = match written {
            Err(KeptError::Changed { .. }) => self.again(keep, &last, &content).await,
            other => other.map_err(told),
        };
        let mut known = self.known();
        match written {
            Ok(version) => {
                let contents = vec![content];
                let version = Some(version);
                known.secrets.insert(name, Last { version, contents });
                Ok(())
            }
            Err(error) => {
                // There may have been no answer, and yet it is there now.
                let last = known.secrets.entry(name).or_default();
                if !last.contents.contains(&content) {
                    last.contents.push(content);
                }
                Err(error)
            }
        }
    }

    /// It has another version than was known. If what it holds is what we know, then only its
    /// metadata was touched, or our own answer was lost: it may be written. If not, somebody else
    /// leads.
    async fn again(
        &self,
        keep: ToKeep,
        last: &Last,
        content: &[u8; 32],
    ) -> Result<String, StoreError> {
        let Some(there) = self.kept.read(&keep.name).await.map_err(told)? else {
            // Somebody has removed it, and what we know is all that is left of it.
            return self.kept.create(keep).await.map_err(told);
        };
        let held = fingerprint(&keep.name, &there.data);
        if held == *content {
            return Ok(there.version);
        }
        if last.contents.contains(&held) {
            return self.kept.replace(keep, &there.version).await.map_err(told);
        }
        self.overtaken.notify_one();
        Err(StoreError(format!(
            "Secret {} was changed by somebody else: another controller leads",
            keep.name
        )))
    }

    async fn remove_one(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.before_removal.release(name).await?;
        // Else it would be back after a crash, when its own Secret has gone.
        let left = self.known().together.leave(&together_key(name));
        if let Some(ticket) = left {
            self.store_together(ticket).await?;
        }
        let secret = secret_name(name);
        self.kept.remove(&secret).await.map_err(told)?;
        let mut known = self.known();
        known.secrets.remove(&secret);
        known.names.remove(name);
        Ok(())
    }
}

impl Default for Known {
    fn default() -> Self {
        Self {
            secrets: HashMap::new(),
            names: BTreeSet::new(),
            together: Together::found(BTreeMap::new(), fence()),
            unfenced: BTreeSet::new(),
            is_tidying: false,
        }
    }
}

impl RecordStore for Records {
    fn load(&self) -> BoxFuture<'_, Result<Vec<Loaded>, StoreError>> {
        Box::pin(self.0.load_all())
    }

    fn write<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.0.write_one(record))
    }

    fn remove<'a>(&'a self, name: &'a ObjectName) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.0.remove_one(name))
    }
}

/// The name of a record's Secret: a hash, because two names may be longer than one.
fn secret_name(name: &ObjectName) -> String {
    format!("{PREFIX}{}", name_hash(name))
}

/// The key of a record in the Secret with first records: the hash, and for people the name without its namespace,
/// which is short enough. An underscore is in no Kubernetes name.
fn together_key(name: &ObjectName) -> String {
    format!("{}_{}", name_hash(name), name.name)
}

/// The name of the Secret that the record of such a key has once it has one.
fn secret_of_key(key: &str) -> String {
    let hash = key.split_once('_').map_or(key, |(hash, _)| hash);
    format!("{PREFIX}{hash}")
}

fn name_hash(name: &ObjectName) -> String {
    // A slash is in no Kubernetes name, so no two pairs look the same.
    let hash = digest(&SHA256, name.to_string().as_bytes());
    hex::encode(&hash.as_ref()[..16])
}

fn keep_together(content: &Content) -> ToKeep {
    ToKeep {
        name: TOGETHER.to_owned(),
        purpose: TOGETHER_PURPOSE,
        data: content.data.clone(),
        annotations: BTreeMap::new(),
    }
}

/// Tells this process's time of leading from any other's.
fn fence() -> Sensitive {
    Sensitive::new(uuid::Uuid::new_v4().to_string())
}

/// Tells one content of a Secret from another. Of a record's own Secret that is the record.
fn fingerprint(secret: &str, data: &BTreeMap<String, Sensitive>) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for (key, value) in data {
        if secret == TOGETHER || key == KEY {
            let lengths = [key.len(), value.expose().len()];
            for length in lengths {
                context.update(&u64::try_from(length).unwrap_or(u64::MAX).to_be_bytes());
            }
            context.update(key.as_bytes());
            context.update(value.expose());
        }
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
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

fn load_from_together(key: &str, bytes: &Sensitive) -> Loaded {
    let unreadable = |error: String| Loaded::Unreadable {
        name: key.split_once('_').map_or(key, |(_, name)| name).to_owned(),
        error: format!(
            "failed to read {key} in Secret {TOGETHER}: {error}; nothing is done about this subscription until it \
             can be read, or is removed from there: then what stands at the app is unknown to Tidegate"
        ),
    };
    match record::read(bytes.expose()) {
        Ok(record) if together_key(&record.name) != key => {
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
