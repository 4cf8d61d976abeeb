//! One object of any kind, in a form that can be kept on disk.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::api::{
    AppEventType, ConfigMap, Customer, EventGateway, EventSubscription, Namespace, ObjectReference,
    Resources, Secret,
};
use kube::Resource;

/// One object of any kind that manifests can hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Object {
    /// An EventGateway.
    EventGateway(Arc<EventGateway>),
    /// An AppEventType.
    AppEventType(Arc<AppEventType>),
    /// A Customer.
    Customer(Arc<Customer>),
    /// An EventSubscription.
    EventSubscription(Arc<EventSubscription>),
    /// A Secret. It is kept in `secrets/` only.
    Secret(Secret),
    /// A ConfigMap.
    ConfigMap(ConfigMap),
    /// A Namespace.
    Namespace(Namespace),
}

impl Object {
    /// All objects of `resources` but the invalid ones, of which there is nothing but the name.
    pub fn all_of(resources: Resources) -> Vec<(ObjectReference, Self)> {
        let Resources {
            event_types,
            customers,
            subscriptions,
            gateways,
            secrets,
            config_maps,
            namespaces,
            invalid: _,
        } = resources;
        let objects = (gateways.into_iter().map(Self::EventGateway))
            .chain(event_types.into_iter().map(Self::AppEventType))
            .chain(customers.into_iter().map(Self::Customer))
            .chain(subscriptions.into_iter().map(Self::EventSubscription))
            .chain(secrets.into_iter().map(Self::Secret))
            .chain(config_maps.into_iter().map(Self::ConfigMap))
            .chain(namespaces.into_iter().map(Self::Namespace));
        objects.map(|object| (object.reference(), object)).collect()
    }

    /// Puts it into its list.
    pub fn add_to(self, resources: &mut Resources) {
        match self {
            Self::EventGateway(one) => resources.gateways.push(one),
            Self::AppEventType(one) => resources.event_types.push(one),
            Self::Customer(one) => resources.customers.push(one),
            Self::EventSubscription(one) => resources.subscriptions.push(one),
            Self::Secret(one) => resources.secrets.push(one),
            Self::ConfigMap(one) => resources.config_maps.push(one),
            Self::Namespace(one) => resources.namespaces.push(one),
        }
    }

    /// What names it.
    pub fn reference(&self) -> ObjectReference {
        fn of<K: Resource>(kind: &str, object: &K) -> ObjectReference {
            let meta = object.meta();
            let namespace = meta.namespace.as_deref().unwrap_or_default();
            ObjectReference::new(kind, namespace, meta.name.as_deref().unwrap_or_default())
        }
        match self {
            Self::EventGateway(one) => of("EventGateway", &**one),
            Self::AppEventType(one) => of("AppEventType", &**one),
            Self::Customer(one) => of("Customer", &**one),
            Self::EventSubscription(one) => of("EventSubscription", &**one),
            Self::Secret(one) => ObjectReference::new("Secret", &one.namespace, &one.name),
            Self::ConfigMap(one) => ObjectReference::new("ConfigMap", &one.namespace, &one.name),
            Self::Namespace(one) => ObjectReference::new("Namespace", "", &one.name),
        }
    }
}
