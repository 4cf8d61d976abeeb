//! Customer → its entry.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::event_type::EventTypes;
use super::lookup::{Lookup, name_of};
use super::{Detail, Kind, Others, Verdict};
use crate::api::condition::reason;
use crate::api::{Customer, Problem};
use crate::configuration::CustomerEntry;
use crate::event::{CustomerKey, ObjectName};

/// Every customer that has its id, and what they claim.
pub(super) struct Customers<'a> {
    pub entries: Vec<Arc<CustomerEntry>>,
    /// By object: the customer and, for selectors, its labels.
    by_name: HashMap<ObjectName, (CustomerKey, &'a Customer)>,
    /// The position of its entry.
    by_key: HashMap<CustomerKey, usize>,
}

impl<'a> Customers<'a> {
    /// The object of that name, under the same condition as [`Self::key`].
    pub fn object(&self, name: &ObjectName) -> Option<&'a Customer> {
        self.by_name.get(name).map(|(_, customer)| *customer)
    }

    /// The customer that the object of that name is; `None` if it does not exist or lost its id to
    /// an older one.
    pub fn key(&self, name: &ObjectName) -> Option<&CustomerKey> {
        self.by_name.get(name).map(|(key, _)| key)
    }

    /// The entry of a customer.
    pub fn entry(&self, key: &CustomerKey) -> Option<&Arc<CustomerEntry>> {
        self.by_key.get(key).and_then(|at| self.entries.get(*at))
    }

    /// The customers of a namespace with their labels.
    pub fn labelled(
        &self,
        namespace: &str,
    ) -> impl Iterator<Item = (&CustomerKey, BTreeMap<String, String>)> {
        self.by_name
            .values()
            .filter(move |(key, _)| key.namespace == namespace)
            .map(|(key, customer)| (key, customer.metadata.labels.clone().unwrap_or_default()))
    }
}

pub(super) fn compile<'a>(
    lookup: &Lookup<'a>,
    types: &EventTypes,
    verdicts: &mut Vec<Verdict>,
) -> Customers<'a> {
    let compared: BTreeSet<&str> = types
        .entries
        .iter()
        .filter_map(|entry| entry.global_webhook.as_ref()?.customer_field.as_deref())
        .collect();
    // A gateway knows only customers whose events it may see.
    let admitted = |namespace: &String| {
        lookup.environment.others == Others::Told
            || types
                .entries
                .iter()
                .any(|entry| entry.customer_namespaces.contains(namespace))
    };
    // The older of two customers with the same id has it.
    let mut by_age: Vec<_> = lookup
        .resources
        .customers
        .iter()
        .map(|customer| {
            let name = name_of::<Customer>(customer);
            (lookup.identity(Kind::Customer, &name).since, name, customer)
        })
        .collect();
    by_age.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));

    let mut customers = Customers {
        entries: Vec::new(),
        by_name: HashMap::new(),
        by_key: HashMap::new(),
    };
    let mut ids: HashMap<CustomerKey, ObjectName> = HashMap::new();
    let mut found = Vec::new();
    for (since, name, customer) in by_age {
        let object = Kind::Customer.reference(&name);
        let mut problems = Vec::new();
        let (fields, mut waiting) = lookup.fields(
            &name.namespace,
            &customer.spec.fields,
            &customer.spec.fields_from,
        );
        if let Some((_, message)) = &waiting {
            problems.push(Problem::warning(
                &object,
                "spec.fieldsFrom",
                message.clone(),
            ));
        }
        for field in &compared {
            if fields.sensitive.contains_key(*field) {
                let message = format!(
                    "field {field} comes from a Secret, so no customerField can compare it; \
                     write it in fields or a ConfigMap"
                );
                problems.push(Problem::warning(&object, "spec.fieldsFrom", message));
            }
        }
        let key = CustomerKey {
            namespace: name.namespace.clone(),
            id: customer.id().to_owned(),
        };
        if let Some(owner) = ids.get(&key) {
            let message = format!("Customer {owner} already has the id {}", key.id);
            problems.push(Problem::warning(&object, "spec.id", message.clone()));
            waiting = Some((reason::CUSTOMER_TAKEN, message));
        } else {
            ids.insert(key.clone(), name.clone());
            let fields = compared
                .iter()
                .filter_map(|field| {
                    Some(((*field).to_owned(), text_of(fields.plain.get(*field)?)?))
                })
                .collect();
            let entry = CustomerEntry {
                name: name.clone(),
                id: key.id.clone(),
                since,
                fields,
            };
            if admitted(&name.namespace) {
                let position = customers.entries.len();
                customers.by_key.insert(key.clone(), position);
                customers.entries.push(Arc::new(entry));
            }
            customers.by_name.insert(name.clone(), (key, customer));
        }
        found.push(Verdict::new(
            Kind::Customer,
            name,
            problems,
            waiting,
            Detail::None,
        ));
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    verdicts.extend(found);
    customers
}

/// A field as text, the form in which it is compared; lists and objects are compared with nothing.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
