//! The webhook URIs of registrations, kept apart from the configuration.
//!
//! Registrations come and go one by one, while configurations come as a whole: with a hundred
//! thousand customers a new one must cost what one costs. So this is a table of its own, changed
//! in place. It is split into parts with a lock each; a lock is held for one look or one change, so
//! requests do not wait for each other and hardly ever for a change.
//!
//! A registration names its event type and does not hold it: the type a request is judged by comes
//! from the one snapshot that the request took.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::{Arc, PoisonError, RwLock};

use super::path;
use crate::configuration::{
    LiveRegistration, RegistrationChange, RegistrationEntry, RegistrationState,
};
use crate::event::ObjectName;

/// Many times the cores there are, so that two requests seldom touch the same lock.
const PARTS: usize = 64;

/// What is known of a registration's URI.
#[derive(Debug)]
pub struct Registration {
    /// The UpstreamSubscription.
    pub subscription: ObjectName,
    /// Its number.
    pub number: u32,
    /// The AppEventType.
    pub event_type: ObjectName,
    /// What becomes of its requests.
    pub served: Served,
}

/// What becomes of the requests to a registration's URI.
#[derive(Debug)]
pub enum Served {
    /// They are judged by this.
    Live(LiveRegistration),
    /// They are acknowledged, and nothing is kept.
    Orphaned,
    /// They are told that it is over.
    Removed,
}

impl Registration {
    /// What its requests are judged by, if they are.
    pub fn live(&self) -> Option<&LiveRegistration> {
        match &self.served {
            Served::Live(live) => Some(live),
            Served::Orphaned | Served::Removed => None,
        }
    }
}

/// Every registration's URI.
pub struct Registrations {
    parts: Box<[Part]>,
    hasher: RandomState,
}

/// Paths in [`path::normal_form`].
type Part = RwLock<HashMap<Box<str>, Arc<Registration>>>;

impl Registrations {
    /// None yet.
    pub fn new() -> Self {
        Self {
            parts: (0..PARTS).map(|_| Part::default()).collect(),
            hasher: RandomState::new(),
        }
    }

    /// The registration of a path, given in [`path::normal_form`].
    pub fn get(&self, path: &str) -> Option<Arc<Registration>> {
        let part = self
            .part(path)
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        part.get(path).cloned()
    }

    /// Makes changes, in their order; each is seen as a whole or not at all.
    pub fn change(&self, changes: Vec<RegistrationChange>) {
        for change in changes {
            // What was there is dropped when the lock is free again.
            let _before = match change {
                RegistrationChange::Set(entry) => self.set(entry),
                RegistrationChange::Remove { path } => self.remove(&path),
            };
        }
    }

    fn set(&self, entry: RegistrationEntry) -> Option<Arc<Registration>> {
        let RegistrationEntry {
            subscription,
            number,
            path,
            event_type,
            state,
        } = entry;
        let registration = Arc::new(Registration {
            subscription,
            number,
            event_type,
            served: match state {
                RegistrationState::Live(live) => Served::Live(*live),
                RegistrationState::Orphaned => Served::Orphaned,
                RegistrationState::Removed => Served::Removed,
            },
        });
        let path: Box<str> = path::normal_form(&path).into();
        let mut part = self
            .part(&path)
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        part.insert(path, registration)
    }

    fn remove(&self, path: &str) -> Option<Arc<Registration>> {
        let path = path::normal_form(path);
        let mut part = self
            .part(&path)
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        part.remove(&*path)
    }

    fn part(&self, path: &str) -> &Part {
        let hash = self.hasher.hash_one(path) as usize;
        &self.parts[hash % PARTS]
    }
}

#[cfg(test)]
mod tests;
