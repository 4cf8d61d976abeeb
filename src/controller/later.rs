//! What is to be looked at again, and when. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::event::ObjectName;

/// Objects with the time of the next look at each, in the order of these times.
#[derive(Debug, Default)]
pub struct Later {
    at: BTreeMap<ObjectName, Timestamp>,
    order: BTreeSet<(Timestamp, ObjectName)>,
}

impl Later {
    /// Looks at it then, whatever was said of it before.
    pub fn insert(&mut self, name: ObjectName, at: Timestamp) {
        self.remove(&name);
        self.order.insert((at, name.clone()));
        self.at.insert(name, at);
    }

    /// Does not look at it again.
    pub fn remove(&mut self, name: &ObjectName) {
        if let Some((name, at)) = self.at.remove_entry(name) {
            self.order.remove(&(at, name));
        }
    }

    /// When there is something to look at.
    pub fn next(&self) -> Option<Timestamp> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes out what is to be looked at by now.
    pub fn take_due(&mut self, now: Timestamp) -> Vec<ObjectName> {
        let mut due = Vec::new();
        while let Some(entry) = self.order.first().filter(|(at, _)| *at <= now).cloned() {
            self.order.remove(&entry);
            self.at.remove(&entry.1);
            due.push(entry.1);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_last_word_on_each_counts() {
        let name = |name: &str| ObjectName::new("crm", name);
        let mut later = Later::default();
        later.insert(name("a"), at(30));
        later.insert(name("b"), at(20));
        later.insert(name("c"), at(20));
        assert_eq!(later.next(), Some(at(20)));
        later.insert(name("b"), at(40));
        later.remove(&name("c"));
        later.remove(&name("nobody"));
        assert_eq!(later.next(), Some(at(30)));
        assert_eq!(later.take_due(at(29)), []);
        assert_eq!(later.take_due(at(30)), [name("a")]);
        assert_eq!(later.take_due(at(99)), [name("b")]);
        assert_eq!(later.next(), None);
        assert!(later.at.is_empty());
    }
}
