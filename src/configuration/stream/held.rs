//! The receiving side: what a pod has, and what frames make of it.
//!
//! Frames are collected until their revision is complete, then taken as a whole. What cannot be
//! understood is refused alone, and what was there before under its name stays.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::entry::Entry;
use super::frame::{Frame, PROTOCOL_VERSION, Put, Welcome};
use super::hash::ContentHash;
use super::key::EntryKey;
use super::members::Members;
use super::partings::{Partings, Unsent};
use super::revision::Revision;
use crate::configuration::{Configuration, RegistrationChange, RegistrationEntry, Sensitive};
use crate::event::ObjectName;

/// Entries that a pod holds at most: ten times what is promised.
const MOST_ENTRIES: usize = 1_000_000;

/// What a pod has.
#[derive(Debug, Default)]
pub struct Held {
    /// Of what was kept, EventSubscriptions could not be read.
    lacks_subscriptions: bool,
    revision: Option<Revision>,
    /// Sorted by kind, so that those of one kind stand together.
    entries: BTreeMap<EntryKey, (ContentHash, Entry)>,
    refused: BTreeMap<EntryKey, Vec<String>>,
    /// EventSubscriptions that are not sent any more, of which nobody has said that they may go. They
    /// are served on, and are not among the hashes.
    unsent: BTreeMap<EntryKey, (ContentHash, Entry)>,
    /// A revision that is not complete yet.
    staged: Option<Staged>,
}

#[derive(Debug)]
struct Staged {
    revision: Revision,
    resumed: bool,
    forget: HashSet<ContentHash>,
    put: BTreeMap<EntryKey, Result<(ContentHash, Entry), Vec<String>>>,
    remove: HashSet<EntryKey>,
}

/// What taking a revision has changed.
#[derive(Debug)]
pub struct Taken {
    /// Which.
    pub revision: Revision,
    /// Whether anything but registrations has changed.
    pub configuration: bool,
    /// What has changed of registrations.
    pub registrations: Vec<RegistrationChange>,
}

/// Why a stream cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The controller is not the leader any more, and does not know yet.
    #[error(
        "the controller offers a configuration of epoch {offered}, but {held} was served before: it is not the leader any more, or its Lease was made anew; the gateway goes on with what it has"
    )]
    LowerEpoch {
        /// What the pod has.
        held: u64,
        /// What it was offered.
        offered: u64,
    },
    /// The two cannot understand each other.
    #[error(
        "the controller speaks version {0} of the configuration stream, this gateway version {PROTOCOL_VERSION}: run both in the same version of Tidegate"
    )]
    Version(u32),
    /// Frames come in an order that makes no sense.
    #[error("the controller sent {0}")]
    Disorder(&'static str),
}

impl Held {
    /// The revision that was taken last.
    #[must_use]
    pub fn revision(&self) -> Option<Revision> {
        self.revision
    }

    /// The hashes of all that is here.
    #[must_use]
    pub fn hashes(&self) -> Vec<ContentHash> {
        self.entries.values().map(|(hash, _)| *hash).collect()
    }

    /// What was refused, and why.
    pub fn refused(&self) -> impl ExactSizeIterator<Item = (&EntryKey, &[String])> {
        let refused = self.refused.iter();
        refused.map(|(key, problems)| (key, problems.as_slice()))
    }

    /// All entries, those that are not sent any more last.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        let all = self.entries.values().chain(self.unsent.values());
        all.map(|(_, entry)| entry)
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len() + self.unsent.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The EventSubscriptions that are not sent any more and go on.
    pub fn unsent(&self) -> impl Iterator<Item = Unsent> {
        let entries = self.unsent.values().map(|(_, entry)| entry);
        entries.filter_map(|entry| match entry {
            Entry::Subscription(entry) => Some(Unsent {
                name: entry.name.clone(),
                uid: entry.uid.clone(),
            }),
            _ => None,
        })
    }

    /// Lets those go that another gateway serves, and of which `is_drained` says that they have got
    /// everything. Whether any went.
    pub fn let_go(&mut self, is_drained: impl Fn(&ObjectName) -> bool) -> bool {
        let Some(partings) = self.partings() else {
            return false;
        };
        let draining = partings.draining.iter().filter(|name| is_drained(name));
        let draining: Vec<_> = draining.cloned().map(EntryKey::Subscription).collect();
        let went = draining
            .iter()
            .filter(|key| self.unsent.remove(key).is_some());
        went.count() > 0
    }

    fn partings(&self) -> Option<&Arc<Partings>> {
        match self.entries.get(&EntryKey::Partings) {
            Some((_, Entry::Partings(partings))) => Some(partings),
            _ => None,
        }
    }

    /// What is to be served; `None`: there is no gateway among the entries.
    #[must_use]
    pub fn configuration(&self) -> Option<Configuration> {
        let Some((_, Entry::Gateway(gateway))) = self.entries.get(&EntryKey::Gateway) else {
            return None;
        };
        let mut configuration = Configuration {
            gateway: (**gateway).clone(),
            event_types: Vec::new(),
            routes: Vec::new(),
            customers: Vec::new(),
            subscriptions: Vec::new(),
        };
        for entry in self.entries() {
            match entry {
                Entry::EventType(entry) => configuration.event_types.push(Arc::clone(entry)),
                Entry::Route(entry) => configuration.routes.push(Arc::clone(entry)),
                Entry::Customer(entry) => configuration.customers.push(Arc::clone(entry)),
                Entry::Subscription(entry) => configuration.subscriptions.push(Arc::clone(entry)),
                Entry::Gateway(_)
                | Entry::LogCapacity(_)
                | Entry::Members(_)
                | Entry::Partings(_)
                | Entry::TokenKey(_)
                | Entry::Registration(_) => {}
            }
        }
        Some(configuration)
    }

    /// The registrations' URIs.
    pub fn registrations(&self) -> impl Iterator<Item = &Arc<RegistrationEntry>> {
        self.entries().filter_map(|entry| match entry {
            Entry::Registration(entry) => Some(entry),
            _ => None,
        })
    }

    /// The key of the tokens in webhook URIs.
    #[must_use]
    pub fn token_key(&self) -> Option<&Sensitive> {
        match self.entries.get(&EntryKey::TokenKey) {
            Some((_, Entry::TokenKey(key))) => Some(key),
            _ => None,
        }
    }

    /// Bytes that the log may take.
    #[must_use]
    pub fn log_capacity(&self) -> Option<u64> {
        match self.entries.get(&EntryKey::LogCapacity) {
            Some((_, Entry::LogCapacity(bytes))) => Some(*bytes),
            _ => None,
        }
    }

    /// The pods that there shall be; `None`: the controller is of a version that does not say.
    #[must_use]
    pub fn members(&self) -> Option<&Arc<Members>> {
        match self.entries.get(&EntryKey::Members) {
            Some((_, Entry::Members(members))) => Some(members),
            _ => None,
        }
    }

    /// A stream begins. What was not complete of an earlier one is dropped.
    ///
    /// # Errors
    /// When nothing can come of it.
    pub fn welcome(&mut self, welcome: &Welcome) -> Result<(), StreamError> {
        self.staged = None;
        if welcome.version != PROTOCOL_VERSION {
            return Err(StreamError::Version(welcome.version));
        }
        self.check_epoch(welcome.epoch)
    }

    fn check_epoch(&self, offered: u64) -> Result<(), StreamError> {
        match self.revision {
            Some(Revision { epoch: held, .. }) if offered < held => {
                Err(StreamError::LowerEpoch { held, offered })
            }
            _ => Ok(()),
        }
    }

    /// Takes the next frame. It answers what has changed when a revision is complete.
    ///
    /// # Errors
    /// When the stream cannot go on. What was taken before stays.
    pub fn take(&mut self, frame: Frame) -> Result<Option<Taken>, StreamError> {
        match frame {
            Frame::Welcome(welcome) => self.welcome(&welcome).map(|()| None),
            Frame::Ping(_) => Ok(None),
            Frame::Begin(begin) => {
                self.check_epoch(begin.revision.epoch)?;
                if self.staged.is_some() {
                    return Err(StreamError::Disorder("a revision inside another"));
                }
                if !begin.resumed && self.revision >= Some(begin.revision) {
                    return Err(StreamError::Disorder("a revision that is not a later one"));
                }
                self.staged = Some(Staged {
                    revision: begin.revision,
                    resumed: begin.resumed,
                    forget: HashSet::new(),
                    put: BTreeMap::new(),
                    remove: HashSet::new(),
                });
                Ok(None)
            }
            Frame::Forget(hashes) => {
                self.staged()?.forget.extend(hashes.0);
                Ok(None)
            }
            Frame::Put(put) => {
                let (key, read) = read(put);
                let staged = self.staged()?;
                staged.remove.remove(&key);
                staged.put.insert(key, read);
                if staged.put.len() > MOST_ENTRIES {
                    return Err(StreamError::Disorder(
                        "more entries than a gateway can hold",
                    ));
                }
                Ok(None)
            }
            Frame::Remove(name) => {
                let key = EntryKey::parse(name.kind, name.name);
                let staged = self.staged()?;
                staged.put.remove(&key);
                staged.remove.insert(key);
                Ok(None)
            }
            Frame::Commit(commit) => match self.staged.take() {
                Some(staged) if staged.revision == commit.revision => Ok(Some(self.commit(staged))),
                Some(_) => Err(StreamError::Disorder("the end of another revision")),
                None => Err(NOT_BEGUN),
            },
        }
    }

    fn staged(&mut self) -> Result<&mut Staged, StreamError> {
        self.staged.as_mut().ok_or(NOT_BEGUN)
    }

    fn commit(&mut self, staged: Staged) -> Taken {
        let Staged {
            revision,
            resumed,
            forget,
            put,
            mut remove,
        } = staged;
        if resumed {
            // What is refused is never among the hashes, so all of it has been sent again.
            self.refused.clear();
        }
        if !forget.is_empty() {
            // What stays under its name is put below, or it was refused and keeps its earlier form.
            let forgotten = self
                .entries
                .iter()
                .filter(|(key, (hash, _))| forget.contains(hash) && !put.contains_key(*key));
            remove.extend(forgotten.map(|(key, _)| key.clone()));
        }
        let mut taken = Taken {
            revision,
            configuration: false,
            registrations: Vec::new(),
        };
        for key in remove {
            self.refused.remove(&key);
            if let Some(entry) = self.entries.remove(&key) {
                if matches!(key, EntryKey::Subscription(_)) {
                    self.unsent.insert(key.clone(), entry);
                }
                taken.note(key, None);
            }
        }
        for (key, read) in put {
            match read {
                Err(problems) => {
                    self.refused.insert(key, problems);
                }
                Ok(_) if self.entries.len() >= MOST_ENTRIES && !self.entries.contains_key(&key) => {
                    let problem = format!("a gateway can hold at most {MOST_ENTRIES} entries");
                    self.refused.insert(key, vec![problem]);
                }
                Ok((hash, entry)) => {
                    self.refused.remove(&key);
                    self.unsent.remove(&key);
                    taken.note(key.clone(), Some(&entry));
                    self.entries.insert(key, (hash, entry));
                }
            }
        }
        if let Some(partings) = self.partings().cloned() {
            for name in &partings.gone {
                let key = EntryKey::Subscription(name.clone());
                self.unsent.remove(&key);
            }
        }
        self.revision = Some(revision);
        taken
    }

    /// Whether EventSubscriptions were kept that this version does not understand.
    pub fn lacks_subscriptions(&self) -> bool {
        self.lacks_subscriptions
    }

    /// What a pod had before, as it was kept.
    pub(super) fn restored(revision: Revision, puts: impl IntoIterator<Item = Put>) -> Self {
        let mut held = Self {
            revision: Some(revision),
            ..Self::default()
        };
        for put in puts {
            // What another version kept and this one does not understand is sent again.
            match read(put) {
                (key, Ok(read)) => {
                    held.entries.insert(key, read);
                }
                (EntryKey::Subscription(_), Err(_)) => held.lacks_subscriptions = true,
                (_, Err(_)) => {}
            }
        }
        held
    }
}

const NOT_BEGUN: StreamError = StreamError::Disorder("a part of a revision that has not begun");

fn read(put: Put) -> (EntryKey, Result<(ContentHash, Entry), Vec<String>>) {
    let Put {
        kind,
        name,
        content,
    } = put;
    let hash = ContentHash::of(&kind, &name, content.get().as_bytes());
    let key = EntryKey::parse(kind, name);
    let entry = Entry::decode(&key, &content);
    let read = entry
        .map(|entry| (hash, entry))
        .map_err(|error| vec![error.to_string()]);
    (key, read)
}

impl Taken {
    fn note(&mut self, key: EntryKey, entry: Option<&Entry>) {
        match (key, entry) {
            (EntryKey::Registration(_), Some(Entry::Registration(entry))) => {
                let change = RegistrationChange::Set((**entry).clone());
                self.registrations.push(change);
            }
            (EntryKey::Registration(path), _) => {
                self.registrations.push(RegistrationChange::Remove { path });
            }
            _ => self.configuration = true,
        }
    }
}
