//! The order among the events that may go: fair over customers.
//!
//! Customers with events that may go stand in a ring, and each turn takes the oldest event of the
//! customer at the front. Under `PerCustomer` a customer with an event in flight, waiting for its
//! retry, or on its way to the dead letters is not in the ring.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::configuration::Ordering;

/// See the module. Customers are numbers here.
#[derive(Debug)]
pub(super) struct Lanes {
    ordering: Ordering,
    /// By customer and sequence.
    queued: BTreeSet<(u64, u64)>,
    lanes: HashMap<u64, Lane>,
    ring: VecDeque<u64>,
}

#[derive(Debug, Default)]
struct Lane {
    queued: u32,
    /// In flight, waiting, or being given up.
    busy: u32,
    in_ring: bool,
}

impl Lanes {
    /// No customers yet.
    pub fn new(ordering: Ordering) -> Self {
        Self {
            ordering,
            queued: BTreeSet::new(),
            lanes: HashMap::new(),
            ring: VecDeque::new(),
        }
    }

    /// Another `ordering` admits other customers to the ring.
    pub fn set_ordering(&mut self, ordering: Ordering) {
        self.ordering = ordering;
        let customers: Vec<u64> = self.lanes.keys().copied().collect();
        for customer in customers {
            self.admit(customer);
        }
    }

    /// Whether nothing may go.
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// An event of `customer` is here: queued, or in the way of those that are.
    pub fn enter(&mut self, customer: u64, sequence: u64, queued: bool) {
        let lane = self.lanes.entry(customer).or_default();
        if queued {
            lane.queued += 1;
            self.queued.insert((customer, sequence));
        } else {
            lane.busy += 1;
        }
        self.admit(customer);
    }

    /// The opposite of [`Lanes::enter`]. Call [`Lanes::admit`] or `enter` after it.
    pub fn leave(&mut self, customer: u64, sequence: u64, queued: bool) {
        let Some(lane) = self.lanes.get_mut(&customer) else {
            return;
        };
        if queued {
            lane.queued -= 1;
            self.queued.remove(&(customer, sequence));
        } else {
            lane.busy -= 1;
        }
    }

    /// The customer whose turn it is and the oldest of its events. The customer is out of the ring
    /// then, until [`Lanes::admit`].
    pub fn turn(&mut self) -> Option<(u64, u64)> {
        loop {
            let customer = self.ring.pop_front()?;
            let Some(lane) = self.lanes.get_mut(&customer) else {
                continue;
            };
            lane.in_ring = false;
            if !may_go(lane, self.ordering) {
                self.admit(customer);
                continue;
            }
            let mut events = self.queued.range((customer, 0)..=(customer, u64::MAX));
            if let Some(event) = events.next() {
                return Some(*event);
            }
        }
    }

    /// Puts a customer into the ring if it has something that may go, and forgets one that has
    /// nothing.
    pub fn admit(&mut self, customer: u64) {
        let Some(lane) = self.lanes.get_mut(&customer) else {
            return;
        };
        if lane.in_ring {
            return;
        }
        if may_go(lane, self.ordering) {
            lane.in_ring = true;
            self.ring.push_back(customer);
        } else if lane.queued == 0 && lane.busy == 0 {
            self.lanes.remove(&customer);
        }
    }

    /// Whether no trace of any customer is left but turns that are still to be skipped.
    #[cfg(test)]
    pub fn is_tidy(&self) -> bool {
        self.queued.is_empty() && self.lanes.len() == self.ring.len()
    }
}

fn may_go(lane: &Lane, ordering: Ordering) -> bool {
    lane.queued > 0
        && match ordering {
            Ordering::None => true,
            Ordering::PerCustomer => lane.busy == 0,
        }
}
