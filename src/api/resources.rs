//! All objects that are known at one moment: what is compiled, and what checks look references up in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use serde::{Deserialize, Serialize};

use super::{AppEventType, Customer, EventGateway, EventSubscription, ObjectReference};
use crate::configuration::Sensitive;

/// All objects that are known at one moment. Every object has its name and namespace filled in; they are shared with
/// whoever keeps them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resources {
    /// The AppEventTypes.
    pub event_types: Vec<Arc<AppEventType>>,
    /// The Customers.
    pub customers: Vec<Arc<Customer>>,
    /// The EventSubscriptions.
    pub subscriptions: Vec<Arc<EventSubscription>>,
    /// The EventGateways.
    pub gateways: Vec<Arc<EventGateway>>,
    /// The Secrets.
    pub secrets: Vec<Secret>,
    /// The ConfigMaps.
    pub config_maps: Vec<ConfigMap>,
    /// The Namespaces, as far as they are declared.
    pub namespaces: Vec<Namespace>,
    /// Objects that exist but cannot be used, because something in them is wrong. They are in none of the lists above,
    /// and a reference to one of them is not a reference to nothing.
    pub invalid: BTreeSet<ObjectReference>,
}

/// A Secret: its values decoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The values.
    pub data: BTreeMap<String, Sensitive>,
}

/// A ConfigMap: its texts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigMap {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The texts.
    pub data: BTreeMap<String, String>,
}

/// A Namespace: what selectors see of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// The name.
    pub name: String,
    /// The labels.
    pub labels: BTreeMap<String, String>,
}

impl Resources {
    /// The Secret with the given name.
    #[must_use]
    pub fn secret(&self, namespace: &str, name: &str) -> Option<&Secret> {
        self.secrets
            .iter()
            .find(|secret| secret.namespace == namespace && secret.name == name)
    }

    /// The ConfigMap with the given name.
    #[must_use]
    pub fn config_map(&self, namespace: &str, name: &str) -> Option<&ConfigMap> {
        self.config_maps
            .iter()
            .find(|config_map| config_map.namespace == namespace && config_map.name == name)
    }

    /// Removes an object from the end of its list.
    pub(crate) fn remove_last(&mut self, reference: &ObjectReference) {
        fn remove<T>(objects: &mut Vec<T>, is_it: impl Fn(&T) -> bool) {
            if let Some(index) = objects.iter().rposition(is_it) {
                objects.remove(index);
            }
        }
        let ObjectReference {
            kind,
            namespace,
            name,
        } = reference;
        let is_named = |metadata: &ObjectMeta| {
            metadata.namespace.as_ref() == Some(namespace) && metadata.name.as_ref() == Some(name)
        };
        match kind.as_str() {
            "AppEventType" => remove(&mut self.event_types, |object| is_named(&object.metadata)),
            "Customer" => remove(&mut self.customers, |object| is_named(&object.metadata)),
            "EventSubscription" => {
                remove(&mut self.subscriptions, |object| is_named(&object.metadata))
            }
            "EventGateway" => remove(&mut self.gateways, |object| is_named(&object.metadata)),
            "Secret" => remove(&mut self.secrets, |object| {
                object.namespace == *namespace && object.name == *name
            }),
            "ConfigMap" => remove(&mut self.config_maps, |object| {
                object.namespace == *namespace && object.name == *name
            }),
            "Namespace" => remove(&mut self.namespaces, |object| object.name == *name),
            _ => {}
        }
    }

    /// Adds what others hold.
    pub fn extend(&mut self, other: Self) {
        let Self {
            event_types,
            customers,
            subscriptions,
            gateways,
            secrets,
            config_maps,
            namespaces,
            invalid,
        } = other;
        self.event_types.extend(event_types);
        self.customers.extend(customers);
        self.subscriptions.extend(subscriptions);
        self.gateways.extend(gateways);
        self.secrets.extend(secrets);
        self.config_maps.extend(config_maps);
        self.namespaces.extend(namespaces);
        self.invalid.extend(invalid);
    }
}
