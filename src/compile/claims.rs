//! Who has a value of a global webhook's `customerField`, or a customer's id, where customers of
//! several namespaces claim the same: the older one, as the gateway decides it for every event.

use std::collections::HashMap;

use super::customer::Customers;
use super::event_type::EventTypes;
use crate::configuration::{CustomerEntry, EventTypeEntry};
use crate::event::{CustomerKey, ObjectName};

/// Of the types whose global webhook names customers of several namespaces: who has each value.
pub(super) struct Claims<'a> {
    by_type: HashMap<&'a ObjectName, ByValue<'a>>,
}

type ByValue<'a> = HashMap<&'a str, &'a CustomerEntry>;

impl<'a> Claims<'a> {
    pub fn new(types: &'a EventTypes, customers: &'a Customers<'_>) -> Self {
        let shared = types.entries.iter().filter(|entry| {
            let global = entry.global_webhook.as_ref();
            entry.customer_namespaces.len() > 1
                && global.is_some_and(|global| global.customer.is_some())
        });
        let by_type = shared.map(|entry| {
            let mut owners = ByValue::new();
            for customer in &customers.entries {
                if !entry.customer_namespaces.contains(&customer.name.namespace) {
                    continue;
                }
                if let Some(value) = claimed(entry, customer) {
                    let owner = owners.entry(value).or_insert(customer);
                    if (customer.since, &customer.name) < (owner.since, &owner.name) {
                        *owner = customer;
                    }
                }
            }
            (&entry.name, owners)
        });
        Self {
            by_type: by_type.collect(),
        }
    }

    /// Why events of the type's global webhook are not a customer's, although it claims them: in one
    /// sentence, which names no object of the other namespace.
    pub fn taken(
        &self,
        entry: &EventTypeEntry,
        customers: &Customers<'_>,
        key: &CustomerKey,
    ) -> Option<String> {
        let owners = self.by_type.get(&entry.name)?;
        let customer = customers.entry(key)?;
        let value = claimed(entry, customer)?;
        let owner = owners.get(value)?;
        let global = entry.global_webhook.as_ref();
        let what = match global.and_then(|global| global.customer_field.as_ref()) {
            Some(field) => format!("value {value} of field {field}"),
            None => format!("id {value}"),
        };
        (owner.name != customer.name).then(|| {
            format!(
                "Customer {}: an older Customer of another namespace has the {what} at AppEventType \
                 {}, so events of the global webhook go to that one",
                customer.name, entry.name
            )
        })
    }
}

fn claimed<'c>(entry: &EventTypeEntry, customer: &'c CustomerEntry) -> Option<&'c str> {
    let global = entry.global_webhook.as_ref()?;
    match &global.customer_field {
        Some(field) => customer.fields.get(field).map(String::as_str),
        None => Some(&customer.id),
    }
}
