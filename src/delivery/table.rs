//! Which subscriptions an event is for: a lookup by event type and customer, whose cost does not
//! depend on how many subscriptions there are.

use std::collections::HashMap;
use std::sync::Arc;

use super::subscription::Subscription;
use crate::configuration::Customers;
use crate::event::{CustomerKey, ObjectName};

/// All subscriptions, at one moment. An edit makes a new table.
#[derive(Default)]
pub(super) struct Table {
    by_name: HashMap<ObjectName, Arc<Subscription>>,
    types: HashMap<ObjectName, OfType>,
}

#[derive(Default)]
struct OfType {
    for_all: Vec<Arc<Subscription>>,
    for_one: HashMap<CustomerKey, Vec<Arc<Subscription>>>,
}

impl Table {
    /// A table of these subscriptions, as they are declared just now.
    pub fn new(subscriptions: impl IntoIterator<Item = Arc<Subscription>>) -> Self {
        let mut table = Self::default();
        for subscription in subscriptions {
            let entry = subscription.live().entry.clone();
            let of_type = table.types.entry(entry.event_type.clone()).or_default();
            match &entry.customers {
                Customers::All => of_type.for_all.push(subscription.clone()),
                Customers::Only(customers) => {
                    for customer in customers.iter() {
                        of_type
                            .for_one
                            .entry(customer.clone())
                            .or_default()
                            .push(subscription.clone());
                    }
                }
            }
            table
                .by_name
                .insert(subscription.registration.name.clone(), subscription);
        }
        table
    }

    /// The subscriptions for an event of this type and customer, before their filters.
    pub fn matching(
        &self,
        event_type: &ObjectName,
        customer: Option<&CustomerKey>,
    ) -> impl Iterator<Item = &Arc<Subscription>> {
        let of_type = self.types.get(event_type);
        let for_one = of_type
            .zip(customer)
            .and_then(|(of_type, customer)| of_type.for_one.get(customer));
        of_type
            .map(|of_type| &of_type.for_all)
            .into_iter()
            .chain(for_one)
            .flatten()
    }

    /// The subscription with this name.
    pub fn get(&self, name: &ObjectName) -> Option<&Arc<Subscription>> {
        self.by_name.get(name)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Subscription>> {
        self.by_name.values()
    }
}
