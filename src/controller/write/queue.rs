//! Which status is written next. Pure.
//!
//! Each kind has its own line, first come first served, and may take only so many of the places: there are
//! few gateways and types, and people wait for these; of subscriptions and Customers thousands may come at
//! once, and neither may keep the other waiting.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::compile::Kind;
use crate::controller::attention::Key;
use crate::controller::statuses::StatusWrite;

/// Writes at the same time: enough for hundreds a second, and few enough for any API server.
const AT_A_TIME: usize = 8;

/// The kinds in the order in which they are served, each with how many may be written at the same time.
const LINES: [(Kind, usize); 4] = [
    (Kind::EventGateway, AT_A_TIME),
    (Kind::AppEventType, AT_A_TIME),
    (Kind::EventSubscription, AT_A_TIME - CUSTOMERS_AT_A_TIME),
    (Kind::Customer, CUSTOMERS_AT_A_TIME),
];

/// All that Customers get, even where nothing else is to be written: while they are registered by the thousand, the
/// API server has more urgent things to do.
const CUSTOMERS_AT_A_TIME: usize = 1;

/// Statuses to write, and which are being written.
#[derive(Debug, Default)]
pub struct Queue {
    /// By arrival.
    lines: HashMap<Kind, BTreeMap<u64, Key>>,
    waiting: HashMap<Key, (u64, StatusWrite)>,
    under_way: BTreeSet<Key>,
    /// What failed and is not tried again yet.
    paused: BTreeSet<Key>,
    arrivals: u64,
}

impl Queue {
    /// Has a status written, instead of an earlier one of the same object, whose place in the line it takes.
    pub fn put(&mut self, write: StatusWrite) {
        let key = key_of(&write);
        if let Some((_, waiting)) = self.waiting.get_mut(&key) {
            *waiting = write;
            return;
        }
        let arrival = self.arrivals;
        self.arrivals += 1;
        let line = self.lines.entry(write.kind).or_default();
        line.insert(arrival, key.clone());
        self.waiting.insert(key, (arrival, write));
    }

    /// What is to be written now, if there is a place for it. [`Queue::finished`] frees that.
    pub fn take(&mut self) -> Option<StatusWrite> {
        if self.under_way.len() >= AT_A_TIME {
            return None;
        }
        let (arrival, key) = LINES.into_iter().find_map(|(kind, most)| {
            let mut of_kind = self.under_way.iter().filter(|(it, _)| *it == kind);
            if of_kind.nth(most - 1).is_some() {
                return None;
            }
            // Two writes of one object could overtake each other.
            let mut line = self.lines.get(&kind)?.iter();
            let is_busy = |key: &Key| self.under_way.contains(key) || self.paused.contains(key);
            let free = line.find(|(_, key)| !is_busy(key));
            free.map(|(arrival, key)| (*arrival, key.clone()))
        })?;
        self.lines.get_mut(&key.0)?.remove(&arrival);
        let (_, write) = self.waiting.remove(&key)?;
        self.under_way.insert(key);
        Some(write)
    }

    /// A write is over.
    pub fn finished(&mut self, write: &StatusWrite) {
        self.under_way.remove(&key_of(write));
    }

    /// A write did not succeed, for a reason of its own. It takes nobody's place any more, and nothing is written to its
    /// object until [`Queue::again`].
    pub fn failed(&mut self, write: &StatusWrite) {
        self.finished(write);
        self.paused.insert(key_of(write));
    }

    /// A write that did not succeed, whether [`Queue::failed`] was said of it or not, is to be done again, unless there
    /// is a later one.
    pub fn again(&mut self, write: StatusWrite) {
        let key = key_of(&write);
        self.finished(&write);
        self.paused.remove(&key);
        if !self.waiting.contains_key(&key) {
            self.put(write);
        }
    }
}

fn key_of(write: &StatusWrite) -> Key {
    (write.kind, write.name.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::event::ObjectName;

    fn write(kind: Kind, name: &str, patch: Value) -> StatusWrite {
        StatusWrite {
            kind,
            name: ObjectName::new("crm", name),
            uid: String::new(),
            patch,
            news: None,
        }
    }

    fn taken(queue: &mut Queue) -> Vec<StatusWrite> {
        std::iter::from_fn(|| queue.take()).collect()
    }

    #[test]
    fn thousands_of_one_kind_leave_places_for_others() {
        let mut queue = Queue::default();
        for number in 0..100 {
            queue.put(write(
                Kind::Customer,
                &format!("c-{number:03}"),
                Value::Null,
            ));
        }
        let customers = taken(&mut queue);
        assert_eq!(customers.len(), CUSTOMERS_AT_A_TIME);
        for number in 0..100 {
            let name = format!("s-{number:03}");
            queue.put(write(Kind::EventSubscription, &name, Value::Null));
        }
        let subscriptions = taken(&mut queue);
        assert_eq!(subscriptions.len(), AT_A_TIME - CUSTOMERS_AT_A_TIME);
        queue.put(write(Kind::EventGateway, "g", Value::Null));
        assert_eq!(queue.take(), None);
        queue.finished(&subscriptions[0]);
        let gateway = queue.take().unwrap();
        assert_eq!(gateway.kind, Kind::EventGateway);
        queue.finished(&customers[0]);
        // All but one are of subscriptions again, which is the place of Customers.
        assert_eq!(queue.take().unwrap().kind, Kind::EventSubscription);
        queue.finished(&gateway);
        assert_eq!(queue.take().unwrap().name.name, "c-001");
        assert_eq!(queue.take(), None);
    }

    #[test]
    fn the_latest_of_an_object_is_written_in_the_place_of_the_first_and_never_beside_another() {
        let mut queue = Queue::default();
        let of = |name: &str, number: u64| write(Kind::AppEventType, name, json!(number));
        queue.put(of("z", 1));
        queue.put(of("a", 2));
        queue.put(of("z", 3));
        let first = queue.take().unwrap();
        assert_eq!(first, of("z", 3));
        queue.put(of("z", 4));
        assert_eq!(queue.take().unwrap(), of("a", 2));
        assert_eq!(queue.take(), None);
        queue.failed(&first);
        assert_eq!(queue.take(), None);
        // There is a later one.
        queue.again(first);
        let second = queue.take().unwrap();
        assert_eq!(second, of("z", 4));
        queue.failed(&second);
        queue.again(second);
        assert_eq!(queue.take().unwrap(), of("z", 4));
    }

    #[test]
    fn what_fails_takes_nobodys_place() {
        let mut queue = Queue::default();
        for name in ["a", "b", "c"] {
            queue.put(write(Kind::Customer, name, Value::Null));
        }
        let first = queue.take().unwrap();
        assert_eq!(queue.take(), None);
        queue.failed(&first);
        assert_eq!(queue.take().unwrap().name.name, "b");
        queue.again(first);
        assert_eq!(queue.take(), None);
    }
}
