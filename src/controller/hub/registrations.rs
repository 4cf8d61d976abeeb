//! The registrations' webhook URIs, and which gateways serve them.
//!
//! A registration belongs to the gateways that serve its event type. Where none does (the type was
//! deleted, and its registrations are still being removed at the app), it stays with the one that
//! did last; where that is not known either, with the only gateway there is. Otherwise nobody gets
//! it: a request to it is answered 503 then, and its secret does not go to a stranger.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::configuration::stream::{Change, Entry, EntryKey};
use crate::configuration::{RegistrationChange, RegistrationEntry};
use crate::event::ObjectName;

/// The names of gateways.
type Gateways = BTreeSet<ObjectName>;

/// All registrations, and where they are.
#[derive(Debug, Default)]
pub struct Registrations {
    by_path: HashMap<String, Arc<RegistrationEntry>>,
    by_subscription: HashMap<ObjectName, HashSet<String>>,
    by_type: HashMap<ObjectName, HashSet<String>>,
    /// The gateways that serve each event type.
    serving: HashMap<ObjectName, Gateways>,
    /// Which one served a type last that none does any more.
    last: HashMap<ObjectName, ObjectName>,
    /// All gateways.
    gateways: Gateways,
    /// Where the registrations of each type are just now; only of types that have some.
    placed: HashMap<ObjectName, Gateways>,
}

/// What changes for one gateway.
pub type Changes = Vec<(ObjectName, Change)>;

impl Registrations {
    /// Makes a change; what follows from it for gateways.
    pub fn change(&mut self, change: RegistrationChange) -> Changes {
        match change {
            RegistrationChange::Set(entry) => self.set(Arc::new(entry)),
            RegistrationChange::Remove { path } => self.remove(&path),
        }
    }

    fn set(&mut self, entry: Arc<RegistrationEntry>) -> Changes {
        let (path, event_type) = (entry.path.clone(), entry.event_type.clone());
        let is_same_type = self
            .by_path
            .get(&path)
            .map(|it| it.event_type == event_type);
        let mut changes = match is_same_type {
            Some(false) => self.remove(&path),
            _ => Vec::new(),
        };
        let subscription = entry.subscription.clone();
        let of_subscription = self.by_subscription.entry(subscription).or_default();
        of_subscription.insert(path.clone());
        self.by_type
            .entry(event_type.clone())
            .or_default()
            .insert(path.clone());
        self.by_path.insert(path.clone(), Arc::clone(&entry));
        if !self.placed.contains_key(&event_type) {
            let gateways = self.place_of(&event_type);
            self.placed.insert(event_type.clone(), gateways);
        }
        for gateway in &self.placed[&event_type] {
            let key = EntryKey::Registration(path.clone());
            let entry = Entry::Registration(Arc::clone(&entry));
            changes.push((gateway.clone(), (key, Some(entry))));
        }
        changes
    }

    fn remove(&mut self, path: &str) -> Changes {
        let Some(entry) = self.by_path.remove(path) else {
            return Vec::new();
        };
        leave(&mut self.by_subscription, &entry.subscription, path);
        let is_last_of_type = leave(&mut self.by_type, &entry.event_type, path);
        let key = || EntryKey::Registration(path.to_owned());
        let gateways = self.placed.get(&entry.event_type);
        let gateways = gateways.into_iter().flatten();
        let changes = gateways.map(|gateway| (gateway.clone(), (key(), None)));
        let changes = changes.collect();
        if is_last_of_type {
            self.placed.remove(&entry.event_type);
        }
        changes
    }

    /// A gateway serves these event types from now on; `None`: there is no such gateway any more.
    pub fn serve(&mut self, gateway: &ObjectName, types: Option<HashSet<ObjectName>>) -> Changes {
        let exists = types.is_some();
        let is_news = exists != self.gateways.contains(gateway);
        let types = types.unwrap_or_default();
        let before: HashSet<ObjectName> = {
            let serving = self.serving.iter();
            let serving = serving.filter(|(_, gateways)| gateways.contains(gateway));
            serving.map(|(event_type, _)| event_type.clone()).collect()
        };
        for event_type in before.difference(&types) {
            if let Some(gateways) = self.serving.get_mut(event_type) {
                gateways.remove(gateway);
                if gateways.is_empty() {
                    self.serving.remove(event_type);
                    self.last.insert(event_type.clone(), gateway.clone());
                }
            }
        }
        for event_type in types.difference(&before) {
            let serving = self.serving.entry(event_type.clone()).or_default();
            serving.insert(gateway.clone());
            self.last.remove(event_type);
        }
        if exists {
            self.gateways.insert(gateway.clone());
        } else {
            self.gateways.remove(gateway);
            self.last.retain(|_, last| last != gateway);
        }
        let affected: Vec<ObjectName> = if is_news {
            self.by_type.keys().cloned().collect()
        } else {
            before.symmetric_difference(&types).cloned().collect()
        };
        affected
            .iter()
            .flat_map(|event_type| self.place(event_type))
            .collect()
    }

    /// Puts the registrations of a type where they belong now.
    fn place(&mut self, event_type: &ObjectName) -> Changes {
        let Some(paths) = self.by_type.get(event_type) else {
            return Vec::new();
        };
        let now = self.place_of(event_type);
        let before = self.placed.get(event_type).cloned().unwrap_or_default();
        let mut changes = Vec::new();
        for path in paths {
            let key = || EntryKey::Registration(path.clone());
            for gateway in before.difference(&now) {
                changes.push((gateway.clone(), (key(), None)));
            }
            for gateway in now.difference(&before) {
                let entry = Entry::Registration(Arc::clone(&self.by_path[path]));
                changes.push((gateway.clone(), (key(), Some(entry))));
            }
        }
        self.placed.insert(event_type.clone(), now);
        changes
    }

    fn place_of(&self, event_type: &ObjectName) -> Gateways {
        if let Some(serving) = self.serving.get(event_type) {
            return serving.clone();
        }
        let last = self.last.get(event_type);
        let only = self.gateways.first().filter(|_| self.gateways.len() == 1);
        last.or(only).cloned().into_iter().collect()
    }

    /// Whether a registration is at a gateway: only that one's pods may tell anything of it.
    pub fn is_at(&self, gateway: &ObjectName, subscription: &ObjectName, number: u32) -> bool {
        let paths = self.by_subscription.get(subscription);
        paths.into_iter().flatten().any(|path| {
            let entry = &self.by_path[path];
            let placed = self.placed.get(&entry.event_type);
            entry.number == number && placed.is_some_and(|placed| placed.contains(gateway))
        })
    }
}

/// Takes a path out of a set; whether that was the last one.
fn leave(sets: &mut HashMap<ObjectName, HashSet<String>>, name: &ObjectName, path: &str) -> bool {
    let Some(set) = sets.get_mut(name) else {
        return false;
    };
    set.remove(path);
    let is_empty = set.is_empty();
    if is_empty {
        sets.remove(name);
    }
    is_empty
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::RegistrationState;

    fn name(name: &str) -> ObjectName {
        ObjectName::new("crm", name)
    }

    fn set(event_type: &str, number: u32) -> RegistrationChange {
        RegistrationChange::Set(RegistrationEntry {
            subscription: name("acme"),
            number,
            path: format!("/h/token/{number}"),
            event_type: name(event_type),
            state: RegistrationState::Removed,
        })
    }

    fn types(names: &[&str]) -> Option<HashSet<ObjectName>> {
        Some(names.iter().map(|it| name(it)).collect())
    }

    /// Changes as `gateway +path` or `gateway -path`, sorted.
    fn told(changes: Changes) -> Vec<String> {
        let told = changes.into_iter().map(|(gateway, (key, entry))| {
            let sign = if entry.is_some() { '+' } else { '-' };
            format!("{} {sign}{}", gateway.name, key.name())
        });
        let mut told: Vec<_> = told.collect();
        told.sort();
        told
    }

    #[test]
    fn registrations_are_where_their_type_is_served() {
        let mut all = Registrations::default();
        assert_eq!(told(all.change(set("contact", 1))), [""; 0]);
        assert_eq!(
            told(all.serve(&name("a"), types(&["contact"]))),
            ["a +/h/token/1"]
        );
        assert_eq!(told(all.serve(&name("b"), types(&["order"]))), [""; 0]);
        assert_eq!(told(all.change(set("contact", 2))), ["a +/h/token/2"]);
        assert!(all.is_at(&name("a"), &name("acme"), 2));
        assert!(!all.is_at(&name("a"), &name("acme"), 3));
        assert!(!all.is_at(&name("b"), &name("acme"), 2));
        // The type moves: the one first, so that there is no moment without.
        let moved = all.serve(&name("b"), types(&["order", "contact"]));
        assert_eq!(told(moved), ["b +/h/token/1", "b +/h/token/2"]);
        let left = all.serve(&name("a"), types(&[]));
        assert_eq!(told(left), ["a -/h/token/1", "a -/h/token/2"]);
        let gone = all.change(RegistrationChange::Remove {
            path: "/h/token/1".into(),
        });
        assert_eq!(told(gone), ["b -/h/token/1"]);
    }

    #[test]
    fn registrations_of_a_type_that_is_gone_stay_where_they_were() {
        let mut all = Registrations::default();
        all.change(set("contact", 1));
        all.serve(&name("a"), types(&["contact"]));
        all.serve(&name("b"), types(&[]));
        assert_eq!(told(all.serve(&name("a"), types(&[]))), [""; 0]);
        assert_eq!(told(all.change(set("contact", 2))), ["a +/h/token/2"]);
        // The gateway is gone too: the other one is the only one.
        let gone = told(all.serve(&name("a"), None));
        let expected = [
            "a -/h/token/1",
            "a -/h/token/2",
            "b +/h/token/1",
            "b +/h/token/2",
        ];
        assert_eq!(gone, expected);
    }

    #[test]
    fn a_secret_does_not_go_to_a_gateway_that_is_not_known_to_serve_it() {
        let mut all = Registrations::default();
        all.change(set("contact", 1));
        assert_eq!(told(all.serve(&name("a"), types(&[]))), ["a +/h/token/1"]);
        assert_eq!(told(all.serve(&name("b"), types(&[]))), ["a -/h/token/1"]);
        assert_eq!(told(all.change(set("contact", 2))), [""; 0]);
    }

    #[test]
    fn a_path_that_gets_another_type_moves_with_it() {
        let mut all = Registrations::default();
        all.serve(&name("a"), types(&["contact"]));
        all.serve(&name("b"), types(&["order"]));
        all.change(set("contact", 1));
        let moved = all.change(set("order", 1));
        assert_eq!(told(moved), ["a -/h/token/1", "b +/h/token/1"]);
    }
}
