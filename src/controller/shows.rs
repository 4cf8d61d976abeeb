//! What the driver of provisioning shows, remembered for whoever writes objects and counts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::upstream_subscription::is_subscribed;
use crate::event::ObjectName;
use crate::provision::driver::{Show, View};

/// Remembers what the driver shows, and tells that something changed.
#[derive(Default)]
pub struct Shows {
    shown: Mutex<Shown>,
    /// Told whenever something changed.
    pub changed: Notify,
}

impl Shows {
    /// What is remembered.
    pub fn shown(&self) -> MutexGuard<'_, Shown> {
        // The maps are never left half changed, so a poisoned lock is still good.
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Show for Shows {
    fn shown(&self, view: View) {
        let one = ShownOne {
            event_type: view.event_type.clone(),
            is_subscribed: is_subscribed(&view),
        };
        let mut shown = Self::shown(self);
        if view.orphans.is_empty() {
            shown.orphaned.remove(&view.name);
        } else {
            shown.orphaned.insert(view.name.clone());
        }
        shown.all.insert(view.name.clone(), one);
        shown.changed.insert(view.name);
        self.changed.notify_one();
    }

    fn gone(&self, name: &ObjectName) {
        let mut shown = Self::shown(self);
        shown.all.remove(name);
        shown.orphaned.remove(name);
        shown.changed.insert(name.clone());
        self.changed.notify_one();
    }
}

/// What the driver shows, as far as it is remembered.
#[derive(Default)]
pub struct Shown {
    /// By subscription.
    pub all: BTreeMap<ObjectName, ShownOne>,
    /// Those that changed since they were looked at last.
    pub changed: BTreeSet<ObjectName>,
    /// Those of which something may be left at the app that we cannot remove.
    pub orphaned: BTreeSet<ObjectName>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq)]
pub struct ShownOne {
    /// The AppEventType.
    pub event_type: ObjectName,
    /// Whether it is subscribed.
    pub is_subscribed: bool,
}
