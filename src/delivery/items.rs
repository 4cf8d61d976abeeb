//! The undelivered events of one subscription, by sequence: what each one is and where it stands.
//! 40 bytes an event; the payloads are not here.

use std::collections::{HashMap, VecDeque};

use crate::event_log::Position;

/// One undelivered event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// Its number in the log.
    pub sequence: u64,
    /// Where its record stands; another place once it has been relocated.
    pub position: Position,
    /// A hash of its customer; events of the same customer have the same one.
    pub customer: u64,
    /// Seconds since the epoch: when it was received, or when its replay was asked for. `maxAge`
    /// counts from here.
    pub since: u32,
    /// Where it stands.
    pub place: Place,
    /// It was asked for again: it may be older than everything before and behind it.
    pub replayed: bool,
}

/// Where an undelivered event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In its customer's queue.
    Queued,
    /// It failed and waits for its next attempt.
    Waiting,
    /// An attempt is being made.
    InFlight,
    /// It was given up and is on its way to the dead letters.
    Burying,
    /// Settled; it goes with the next tidying up.
    Gone,
}

impl Item {
    /// Bytes that its record takes in the log.
    pub fn size(&self) -> u64 {
        // The log adds a header of 32 bytes to each record.
        u64::from(self.position.length) + 32
    }
}

/// What a subscription holds of one segment of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Undelivered events.
    pub events: u64,
    /// Bytes of their records.
    pub bytes: u64,
}

/// A sorted queue with a fast back and front: events come in ascending order and leave mostly in
/// that order. Those that leave from the middle stay as holes until half of it is holes.
#[derive(Debug, Default)]
pub(super) struct Items {
    sorted: VecDeque<Item>,
    live: usize,
    bytes: u64,
    segments: HashMap<u64, Held>,
}

impl Items {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.live
    }

    /// Bytes of their records in the log.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds one; `false` if its sequence is there already.
    pub fn insert(&mut self, item: Item) -> bool {
        let at = match self.sorted.back() {
            Some(last) if last.sequence >= item.sequence => match self.find(item.sequence) {
                Ok(at) if self.sorted[at].place == Place::Gone => {
                    self.sorted[at] = item;
                    self.count(item);
                    return true;
                }
                Ok(_) => return false,
                Err(at) => at,
            },
            _ => self.sorted.len(),
        };
        self.sorted.insert(at, item);
        self.count(item);
        true
    }

    /// The record of an event stands somewhere else now; whether the event is here.
    pub fn relocate(&mut self, sequence: u64, position: Position) -> bool {
        let Ok(at) = self.find(sequence) else {
            return false;
        };
        let item = self.sorted[at];
        if item.place == Place::Gone {
            return false;
        }
        self.discount(item);
        self.sorted[at].position = position;
        self.count(self.sorted[at]);
        true
    }

    /// What is held of each segment.
    pub fn held(&self) -> impl Iterator<Item = (u64, Held)> {
        self.segments
            .iter()
            .map(|(segment, held)| (*segment, *held))
    }

    fn count(&mut self, item: Item) {
        self.live += 1;
        self.bytes += item.size();
        let held = self.segments.entry(item.position.segment).or_default();
        held.events += 1;
        held.bytes += item.size();
    }

    fn discount(&mut self, item: Item) {
        self.live -= 1;
        self.bytes -= item.size();
        if let Some(held) = self.segments.get_mut(&item.position.segment) {
            held.events -= 1;
            held.bytes -= item.size();
            if held.events == 0 {
                self.segments.remove(&item.position.segment);
            }
        }
    }

    /// The one with this sequence.
    pub fn get(&self, sequence: u64) -> Option<&Item> {
        let item = &self.sorted[self.find(sequence).ok()?];
        (item.place != Place::Gone).then_some(item)
    }

    /// Moves the one with this sequence to another place; `None` if it is not there. `Gone` is not
    /// a place to move to: see [`Items::remove`].
    pub fn place(&mut self, sequence: u64, place: Place) -> Option<Item> {
        let at = self.find(sequence).ok()?;
        let item = &mut self.sorted[at];
        if item.place == Place::Gone {
            return None;
        }
        item.place = place;
        Some(*item)
    }

    /// Takes one out.
    pub fn remove(&mut self, sequence: u64) -> Option<Item> {
        let at = self.find(sequence).ok()?;
        let item = self.sorted[at];
        if item.place == Place::Gone {
            return None;
        }
        self.sorted[at].place = Place::Gone;
        self.discount(item);
        while self
            .sorted
            .front()
            .is_some_and(|item| item.place == Place::Gone)
        {
            self.sorted.pop_front();
        }
        // Each tidying up is paid for by as many removals.
        if self.sorted.len() > 64 && self.live < self.sorted.len() / 2 {
            self.sorted.retain(|item| item.place != Place::Gone);
            self.sorted.shrink_to(self.live * 2);
        }
        Some(item)
    }

    /// All of them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = &Item> {
        self.sorted.iter().filter(|item| item.place != Place::Gone)
    }

    /// Those with a sequence in `from..to`, ascending.
    pub fn range(&self, from: u64, to: u64) -> impl Iterator<Item = &Item> {
        let start = self.find(from).unwrap_or_else(|at| at);
        self.sorted
            .range(start..)
            .take_while(move |item| item.sequence < to)
            .filter(|item| item.place != Place::Gone)
    }

    fn find(&self, sequence: u64) -> Result<usize, usize> {
        self.sorted
            .binary_search_by_key(&sequence, |item| item.sequence)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn item(sequence: u64) -> Item {
        Item {
            sequence,
            position: Position {
                segment: sequence / 50,
                offset: 0,
                length: 10,
            },
            customer: 0,
            since: 0,
            place: Place::Queued,
            replayed: false,
        }
    }

    #[test]
    fn an_item_takes_40_bytes() {
        assert_eq!(size_of::<Item>(), 40);
    }

    #[test]
    fn one_stuck_event_does_not_keep_the_places_of_all_that_came_after() {
        let mut items = Items::default();
        items.insert(item(0));
        for sequence in 1..100_000 {
            items.insert(item(sequence));
            items.remove(sequence);
        }
        assert_eq!(items.len(), 1);
        assert!(
            items.sorted.capacity() < 1000,
            "{}",
            items.sorted.capacity()
        );
    }

    proptest! {
        #[test]
        fn it_behaves_as_a_sorted_map(asked in prop::collection::vec((0u64..200, 0..4), 0..600)) {
            let mut model = BTreeMap::new();
            let mut items = Items::default();
            for (sequence, action) in asked {
                match action {
                    0 | 1 => prop_assert_eq!(
                        items.insert(item(sequence)),
                        model.insert(sequence, item(sequence)).is_none()
                    ),
                    2 => prop_assert_eq!(items.remove(sequence), model.remove(&sequence)),
                    _ => prop_assert_eq!(items.get(sequence), model.get(&sequence)),
                }
                prop_assert_eq!(items.len(), model.len());
                prop_assert_eq!(items.bytes(), 42 * model.len() as u64);
                let held = model.range(50..100).count() as u64;
                let expected = (held > 0).then_some(Held { events: held, bytes: 42 * held });
                prop_assert_eq!(items.segments.get(&1).copied(), expected);
                prop_assert!(items.iter().eq(model.values()));
                prop_assert!(items.range(50, 100).eq(model.range(50..100).map(|(_, item)| item)));
                prop_assert_eq!(
                    items.sorted.front().map(|item| item.sequence),
                    model.keys().next().copied()
                );
            }
        }
    }
}
