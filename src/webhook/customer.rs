//! Whose an event is: from a value in the request to a declared Customer.

use std::collections::HashMap;
use std::sync::Arc;

use crate::configuration::CustomerEntry;
use crate::event::CustomerKey;

/// Finds declared Customers.
pub trait CustomerDirectory {
    /// The Customer of one of `namespaces` whose `field` is `value`; without a field, whose id it is.
    /// Where several claim it, the oldest has it.
    fn find(&self, namespaces: &[String], field: Option<&str>, value: &str) -> Option<CustomerKey>;
}

/// A directory in memory: a lookup costs the same for ten Customers as for a million.
#[derive(Debug, Default)]
pub struct CustomerIndex {
    by_id: HashMap<String, Vec<Arc<CustomerEntry>>>,
    by_field: HashMap<String, HashMap<String, Vec<Arc<CustomerEntry>>>>,
}

impl CustomerIndex {
    /// Indexes `customers` by id and by each of their fields.
    pub fn new(customers: &[Arc<CustomerEntry>]) -> Self {
        let mut oldest_first: Vec<_> = customers.iter().collect();
        oldest_first
            .sort_by(|left, right| (left.since, &left.name).cmp(&(right.since, &right.name)));
        let mut index = Self::default();
        for customer in oldest_first {
            let claims = index.by_id.entry(customer.id.clone()).or_default();
            claims.push(Arc::clone(customer));
            for (field, value) in &customer.fields {
                let values = index.by_field.entry(field.clone()).or_default();
                values
                    .entry(value.clone())
                    .or_default()
                    .push(Arc::clone(customer));
            }
        }
        index
    }
}

impl CustomerDirectory for CustomerIndex {
    fn find(&self, namespaces: &[String], field: Option<&str>, value: &str) -> Option<CustomerKey> {
        let claims = match field {
            None => self.by_id.get(value)?,
            Some(field) => self.by_field.get(field)?.get(value)?,
        };
        let customer = claims
            .iter()
            .find(|customer| namespaces.contains(&customer.name.namespace))?;
        Some(CustomerKey {
            namespace: customer.name.namespace.clone(),
            id: customer.id.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::event::ObjectName;

    fn customer(namespace: &str, name: &str, since: &str, portal: &str) -> Arc<CustomerEntry> {
        Arc::new(CustomerEntry {
            name: ObjectName::new(namespace, name),
            id: name.into(),
            since: since.parse().unwrap(),
            fields: BTreeMap::from([("portalId".into(), portal.into())]),
        })
    }

    #[test]
    fn a_value_leads_to_the_oldest_customer_of_an_admitted_namespace() {
        let index = CustomerIndex::new(&[
            customer("crm", "young", "2026-01-02T00:00:00Z", "7"),
            customer("sales", "old", "2026-01-01T00:00:00Z", "7"),
            customer("crm", "other", "2025-01-01T00:00:00Z", "8"),
        ]);
        let check =
            |namespaces: &[&str], field: Option<&str>, value: &str, expected: Option<&str>| {
                let namespaces: Vec<String> = namespaces.iter().map(ToString::to_string).collect();
                let found = index.find(&namespaces, field, value);
                assert_eq!(
                    found
                        .map(|key| format!("{}/{}", key.namespace, key.id))
                        .as_deref(),
                    expected
                );
            };
        check(&["crm", "sales"], Some("portalId"), "7", Some("sales/old"));
        check(&["crm"], Some("portalId"), "7", Some("crm/young"));
        check(&["hr"], Some("portalId"), "7", None);
        check(&["crm"], None, "young", Some("crm/young"));
        check(&["crm"], None, "old", None);
        check(&["crm"], Some("portalId"), "young", None);
        check(&["crm"], Some("domain"), "7", None);
    }
}
