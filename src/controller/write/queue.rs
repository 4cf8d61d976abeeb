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

/// While UpstreamSubscriptions wait to be written, so many of them come between two Customers: what each of these says
/// is that it was accepted, and people wait for the others.
const OTHERS_FOR_A_CUSTOMER: usize = 16;

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
    /// Whether UpstreamSubscriptions wait to be written.
    crowded: bool,
    /// How many of those were written since the last Customer.
    others: usize,
}

impl Queue {
    /// Tells whether more UpstreamSubscriptions are to be written than may be at the same time. True: Customers have
    /// something to wait for no longer.
    pub fn set_crowded(&mut self, crowded: bool) -> bool {
        let was_crowded = std::mem::replace(&mut self.crowded, crowded);
        was_crowded && !crowded
    }

    /// An UpstreamSubscription was written. True: it is a Customer's turn.
    pub fn other_finished(&mut self) -> bool {
        self.others = self.others.saturating_add(1);
        self.others == OTHERS_FOR_A_CUSTOMER
    }

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
            let is_kept_back = self.crowded && self.others < OTHERS_FOR_A_CUSTOMER;
            if kind == Kind::Customer && is_kept_back {
                return None;
            }
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
        if key.0 == Kind::Customer {
            self.others = 0;
        }
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
    fn customers_come_one_by_one_between_many_upstream_subscriptions() {
        let mut queue = Queue::default();
        assert!(!queue.set_crowded(true));
        for name in ["a", "b", "c"] {
            queue.put(write(Kind::Customer, name, Value::Null));
        }
        queue.put(write(Kind::EventSubscription, "s", Value::Null));
        assert_eq!(queue.take().unwrap().name.name, "s");
        assert_eq!(queue.take(), None);
        let turns = (0..OTHERS_FOR_A_CUSTOMER).filter(|_| queue.other_finished());
        assert_eq!(turns.count(), 1);
        let first = queue.take().unwrap();
        assert_eq!(first.name.name, "a");
        queue.finished(&first);
        assert_eq!(queue.take(), None);
        assert!(queue.set_crowded(false));
        assert!(!queue.set_crowded(false));
        assert_eq!(queue.take().unwrap().name.name, "b");
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
