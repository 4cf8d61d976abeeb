//! The sending side: what a gateway's pods are to have, and what one that has less is to be sent.
//!
//! Every entry knows in which revision it last changed, and what is gone is remembered for a while.
//! So what a pod lacks is the tail of one list, however long it was away and however many pods
//! there are; and an entry that changed five times meanwhile is sent once.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;

use super::entry::EncodeError;
use super::frame::{Frame, Name};
use super::hash::ContentHash;
use super::key::EntryKey;
use super::revision::Revision;
use super::served::Change;

/// How many entries that are gone are remembered. A pod that is further behind than that is told
/// by hashes, as one that comes anew.
const MOST_REMEMBERED: usize = 100_000;

/// What a gateway's pods are to have.
#[derive(Debug)]
pub struct Published {
    epoch: u64,
    counter: u64,
    entries: HashMap<Arc<EntryKey>, Last>,
    /// Every key of `entries`, by the counter of its last change.
    order: BTreeSet<(u64, Arc<EntryKey>)>,
    /// How many of `entries` are gone.
    gone: usize,
    /// What is gone since an earlier counter than this is not known any more.
    known_since: u64,
    /// What no pod can be sent. An earlier form of it stays published.
    unsendable: BTreeMap<EntryKey, EncodeError>,
}

#[derive(Debug)]
struct Last {
    counter: u64,
    /// `None`: it is gone.
    item: Option<Arc<Item>>,
}

/// An entry as it is sent.
#[derive(Debug)]
pub struct Item {
    /// Over key and content.
    pub hash: ContentHash,
    /// The whole frame.
    pub line: Bytes,
}

/// What a pod is sent to be at a revision.
#[derive(Debug)]
pub struct Batch {
    /// The revision.
    pub revision: Revision,
    /// Whether it follows what the pod said it has, and not what it was sent.
    pub resumed: bool,
    /// What the pod has and should not.
    pub forget: Vec<ContentHash>,
    /// What it lacks.
    pub put: Vec<Arc<Item>>,
    /// What is gone.
    pub remove: Vec<Arc<EntryKey>>,
}

impl Published {
    /// Nothing yet.
    #[must_use]
    pub fn new(epoch: u64) -> Self {
        Self {
            epoch,
            counter: 0,
            entries: HashMap::new(),
            order: BTreeSet::new(),
            gone: 0,
            known_since: 0,
            unsendable: BTreeMap::new(),
        }
    }

    /// What it is at.
    #[must_use]
    pub fn revision(&self) -> Revision {
        Revision {
            epoch: self.epoch,
            counter: self.counter,
        }
    }

    /// What no pod can be sent, and why.
    pub fn unsendable(&self) -> impl Iterator<Item = (&EntryKey, EncodeError)> {
        self.unsendable.iter().map(|(key, error)| (key, *error))
    }

    /// Makes changes, all of them in one revision. Whether there were any: what is set to what it
    /// was is none.
    pub fn change(&mut self, changes: impl IntoIterator<Item = Change>) -> bool {
        let next = self.counter + 1;
        let mut is_changed = false;
        for (key, entry) in changes {
            self.unsendable.remove(&key);
            let item = match entry.map(|entry| entry.encode()).transpose() {
                Ok(encoded) => encoded.map(|encoded| {
                    Arc::new(Item {
                        hash: encoded.hash,
                        line: encoded.line,
                    })
                }),
                Err(error) => {
                    self.unsendable.insert(key, error);
                    continue;
                }
            };
            is_changed |= self.set(key, item, next);
        }
        if is_changed {
            self.counter = next;
            self.forget_the_oldest();
        }
        is_changed
    }

    fn set(&mut self, key: EntryKey, item: Option<Arc<Item>>, counter: u64) -> bool {
        let hash = |item: &Option<Arc<Item>>| item.as_ref().map(|item| item.hash);
        let (key, before) = match self.entries.remove_entry(&key) {
            Some((key, before)) => (key, Some(before)),
            None => (Arc::new(key), None),
        };
        let hash_before = before.as_ref().and_then(|before| hash(&before.item));
        if hash_before == hash(&item) {
            if let Some(before) = before {
                self.entries.insert(key, before);
            }
            return false;
        }
        if let Some(before) = before {
            self.order.remove(&(before.counter, Arc::clone(&key)));
            self.gone -= usize::from(before.item.is_none());
        }
        self.gone += usize::from(item.is_none());
        self.order.insert((counter, Arc::clone(&key)));
        self.entries.insert(key, Last { counter, item });
        true
    }

    fn forget_the_oldest(&mut self) {
        if self.gone <= MOST_REMEMBERED {
            return;
        }
        // Half of them, so that the list is not walked for each that goes.
        let mut surplus = self.gone - MOST_REMEMBERED / 2;
        let gone = self.order.iter().filter(|(_, key)| {
            let last = self.entries.get(key);
            last.is_some_and(|last| last.item.is_none())
        });
        let mut forgotten = Vec::new();
        for (counter, key) in gone {
            // Those of one revision go together: it is either known as a whole or not.
            if surplus == 0 && self.known_since < *counter {
                break;
            }
            surplus = surplus.saturating_sub(1);
            self.known_since = *counter;
            forgotten.push((*counter, Arc::clone(key)));
        }
        self.gone -= forgotten.len();
        for place in forgotten {
            self.entries.remove(&place.1);
            self.order.remove(&place);
        }
    }

    /// What a pod lacks that was sent everything up to a counter; `None`: that is not known any
    /// more, it has to say what it has.
    #[must_use]
    pub fn since(&self, counter: u64) -> Option<Batch> {
        if counter < self.known_since || counter > self.counter {
            return None;
        }
        let mut batch = Batch {
            revision: self.revision(),
            resumed: false,
            forget: Vec::new(),
            put: Vec::new(),
            remove: Vec::new(),
        };
        let first = Arc::new(EntryKey::Gateway);
        for (_, key) in self.order.range((counter + 1, first)..) {
            match self.entries.get(key).and_then(|last| last.item.as_ref()) {
                Some(item) => batch.put.push(Arc::clone(item)),
                None => batch.remove.push(Arc::clone(key)),
            }
        }
        Some(batch)
    }

    /// What a pod lacks that has these.
    #[must_use]
    pub fn resume(&self, has: &[ContentHash]) -> Batch {
        let mut surplus: HashSet<ContentHash> = has.iter().copied().collect();
        let items = self.entries.values().filter_map(|last| last.item.as_ref());
        let put = items.filter(|item| !surplus.remove(&item.hash));
        let put: Vec<_> = put.cloned().collect();
        Batch {
            revision: self.revision(),
            resumed: true,
            put,
            forget: surplus.into_iter().collect(),
            remove: Vec::new(),
        }
    }
}

impl Batch {
    /// Its lines, one after the other; the large ones are shared among pods.
    pub fn lines(&self) -> impl Iterator<Item = Bytes> {
        use super::frame::{Begin, Commit, Hashes, MOST_FORGOTTEN};
        let Self {
            revision,
            resumed,
            forget,
            put,
            remove,
        } = self;
        let (revision, resumed) = (*revision, *resumed);
        let begin = Frame::Begin(Begin { revision, resumed });
        let forget = forget
            .chunks(MOST_FORGOTTEN)
            .map(|hashes| Frame::Forget(Hashes(hashes.to_vec())).line());
        let remove = remove.iter().map(|key| {
            let (kind, name) = (key.kind().to_owned(), key.name().into_owned());
            Frame::Remove(Name { kind, name }).line()
        });
        let put = put.iter().map(|item| item.line.clone());
        let commit = Frame::Commit(Commit { revision });
        std::iter::once(begin.line())
            .chain(forget)
            .chain(put)
            .chain(remove)
            .chain(std::iter::once_with(move || commit.line()))
    }
}
