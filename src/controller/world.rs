//! Everything that the controller knows of the cluster, in memory. Pure: watches and reads hand
//! values in, compilation takes [`Resources`] out.
//!
//! **Invariant:** nothing counts as absent before everything was listed once: what is not wanted is
//! removed at apps, and delivery forgets subscriptions that have gone.

mod objects;
mod references;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::watcher::Event;

pub use objects::{Declares, Effect, Known, Objects, Scope};
pub use references::References;
pub use values::{Fetched, Unread, Values};

use crate::api::{
    AppEventType, ConfigMap, Customer, EventGateway, EventSubscription, Namespace, ObjectReference,
    Resources, Secret, UpstreamSubscription,
};
use crate::compile::{Identity, Kind, name_of};
use crate::configuration::Sensitive;
use crate::event::ObjectName;

/// Something that happened in the cluster, or was read from it.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one is taken in as soon as it comes; a box for each would be one more allocation"
)]
pub enum Change {
    /// A watch of AppEventTypes.
    EventType(Scope, Event<DeserializeGuard<AppEventType>>),
    /// A watch of Customers.
    Customer(Scope, Event<DeserializeGuard<Customer>>),
    /// A watch of EventSubscriptions.
    Subscription(Scope, Event<DeserializeGuard<EventSubscription>>),
    /// A watch of EventGateways.
    Gateway(Scope, Event<DeserializeGuard<EventGateway>>),
    /// A watch of UpstreamSubscriptions.
    Upstream(Scope, Event<DeserializeGuard<UpstreamSubscription>>),
    /// A watch of Namespaces.
    Namespace(Scope, Event<PartialObjectMeta<core::Namespace>>),
    /// A watch of Secrets.
    Secret(Scope, Event<PartialObjectMeta<core::Secret>>),
    /// A watch of ConfigMaps.
    ConfigMap(Scope, Event<PartialObjectMeta<core::ConfigMap>>),
    /// The answer to a write of ours.
    Written(Box<WrittenObject>),
    /// A Secret was read; `None`: it is not there.
    SecretRead(ObjectName, Option<Fetched<Sensitive>>),
    /// A ConfigMap was read; `None`: it is not there.
    ConfigMapRead(ObjectName, Option<Fetched<String>>),
}

/// An object as it is after a write of ours.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "as for a change: it is taken in as soon as it comes"
)]
pub enum WrittenObject {
    /// An AppEventType.
    EventType(DeserializeGuard<AppEventType>),
    /// A Customer.
    Customer(DeserializeGuard<Customer>),
    /// An EventSubscription.
    Subscription(DeserializeGuard<EventSubscription>),
    /// An EventGateway.
    Gateway(DeserializeGuard<EventGateway>),
    /// An UpstreamSubscription.
    Upstream(DeserializeGuard<UpstreamSubscription>),
}

impl Change {
    /// The one object with a status that it is about, if there is such a one.
    pub fn key(&self) -> Option<(Kind, ObjectName)> {
        fn of<K: kube::Resource>(event: &Event<DeserializeGuard<K>>) -> Option<ObjectName> {
            match event {
                Event::Apply(object) | Event::InitApply(object) | Event::Delete(object) => {
                    Some(name_of(object))
                }
                Event::Init | Event::InitDone => None,
            }
        }
        let (kind, name) = match self {
            Self::EventType(_, event) => (Kind::AppEventType, of(event)),
            Self::Customer(_, event) => (Kind::Customer, of(event)),
            Self::Subscription(_, event) => (Kind::EventSubscription, of(event)),
            Self::Gateway(_, event) => (Kind::EventGateway, of(event)),
            Self::Written(written) => match &**written {
                WrittenObject::EventType(object) => (Kind::AppEventType, Some(name_of(object))),
                WrittenObject::Customer(object) => (Kind::Customer, Some(name_of(object))),
                WrittenObject::Subscription(object) => {
                    (Kind::EventSubscription, Some(name_of(object)))
                }
                WrittenObject::Gateway(object) => (Kind::EventGateway, Some(name_of(object))),
                WrittenObject::Upstream(_) => return None,
            },
            _ => return None,
        };
        Some((kind, name?))
    }
}

/// What a Namespace looks like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceState {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Since when it is being deleted.
    pub deleted_at: Option<Timestamp>,
}

/// Everything that is known.
#[derive(Debug, Default)]
pub struct World {
    /// The AppEventTypes.
    pub event_types: Objects<AppEventType>,
    /// The Customers.
    pub customers: Objects<Customer>,
    /// The EventSubscriptions.
    pub subscriptions: Objects<EventSubscription>,
    /// The EventGateways.
    pub gateways: Objects<EventGateway>,
    /// The UpstreamSubscriptions. Nothing is decided by what stands in them but whether they are
    /// there and whether somebody deletes them.
    pub upstream: Objects<UpstreamSubscription>,
    namespaces: BTreeMap<String, NamespaceState>,
    namespace_listings: BTreeMap<Scope, BTreeSet<String>>,
    namespaces_listed: BTreeSet<Scope>,
    secrets: Values<Sensitive>,
    config_maps: Values<String>,
}

impl World {
    /// Takes in a change, and says what that is about.
    pub fn apply(&mut self, change: Change) -> Effect {
        let is_declared = match change {
            Change::EventType(scope, event) => return self.event_types.apply(&scope, event),
            Change::Customer(scope, event) => return self.customers.apply(&scope, event),
            Change::Subscription(scope, event) => return self.subscriptions.apply(&scope, event),
            Change::Gateway(scope, event) => return self.gateways.apply(&scope, event),
            Change::Upstream(scope, event) => return self.upstream.apply(&scope, event),
            Change::Written(written) => {
                return match *written {
                    WrittenObject::EventType(object) => self.event_types.written(object),
                    WrittenObject::Customer(object) => self.customers.written(object),
                    WrittenObject::Subscription(object) => self.subscriptions.written(object),
                    WrittenObject::Gateway(object) => self.gateways.written(object),
                    WrittenObject::Upstream(object) => self.upstream.written(object),
                };
            }
            Change::Namespace(scope, event) => self.apply_namespace(&scope, event),
            Change::Secret(scope, event) => self.secrets.apply(&scope, event),
            Change::ConfigMap(scope, event) => self.config_maps.apply(&scope, event),
            Change::SecretRead(name, read) => self.secrets.fetched(name, read),
            Change::ConfigMapRead(name, read) => self.config_maps.fetched(name, read),
        };
        match is_declared {
            true => Effect::Declared,
            false => Effect::Nothing,
        }
    }

    fn apply_namespace(
        &mut self,
        scope: &Scope,
        event: Event<PartialObjectMeta<core::Namespace>>,
    ) -> bool {
        match event {
            Event::Init => {
                self.namespace_listings
                    .insert(scope.clone(), BTreeSet::new());
                false
            }
            Event::InitApply(object) | Event::Apply(object) => {
                let metadata = object.metadata;
                let name = metadata.name.unwrap_or_default();
                if let Some(listing) = self.namespace_listings.get_mut(scope) {
                    listing.insert(name.clone());
                }
                let state = NamespaceState {
                    labels: metadata.labels.unwrap_or_default(),
                    deleted_at: metadata.deletion_timestamp.map(|time| time.0),
                };
                self.namespaces.insert(name, state.clone()) != Some(state)
            }
            Event::InitDone => {
                let listing = self.namespace_listings.remove(scope).unwrap_or_default();
                self.namespaces.retain(|name, _| {
                    listing.contains(name) || scope.as_ref().is_some_and(|it| it != name)
                });
                self.namespaces_listed.insert(scope.clone());
                true
            }
            Event::Delete(object) => {
                let name = object.metadata.name.unwrap_or_default();
                self.namespaces.remove(&name).is_some()
            }
        }
    }

    /// Whether everything in these scopes was listed once.
    pub fn is_listed(&self, scopes: &[Scope]) -> bool {
        let Self {
            event_types,
            customers,
            subscriptions,
            gateways,
            upstream,
            namespaces: _,
            namespace_listings: _,
            namespaces_listed,
            secrets,
            config_maps,
        } = self;
        event_types.is_listed(scopes)
            && customers.is_listed(scopes)
            && subscriptions.is_listed(scopes)
            && gateways.is_listed(scopes)
            && upstream.is_listed(scopes)
            && scopes.iter().all(|scope| namespaces_listed.contains(scope))
            && secrets.is_listed(scopes)
            && config_maps.is_listed(scopes)
    }

    /// What a Namespace looks like, if it is there.
    pub fn namespace(&self, name: &str) -> Option<&NamespaceState> {
        self.namespaces.get(name)
    }

    /// Finds out anew what is referred to, and says what of it is to be read: Secrets, ConfigMaps.
    pub fn find_unread(&mut self) -> (Unread, Unread) {
        let References {
            secrets,
            config_maps,
        } = self.references();
        self.secrets.want(secrets);
        self.config_maps.want(config_maps);
        (self.secrets.to_fetch(), self.config_maps.to_fetch())
    }

    fn references(&self) -> References {
        let mut references = References::default();
        for (name, known) in self.event_types.iter() {
            for object in forms(known) {
                references.add_event_type(&name.namespace, &object.spec);
            }
        }
        for (name, known) in self.customers.iter() {
            for object in forms(known) {
                references.add_customer(&name.namespace, &object.spec);
            }
        }
        for (name, known) in self.subscriptions.iter() {
            for object in forms(known) {
                references.add_subscription(&name.namespace, &object.spec);
            }
        }
        references
    }

    /// All objects, those of `as_before` in their last good form.
    pub fn resources(&self, as_before: &BTreeSet<ObjectReference>) -> Resources {
        let mut resources = Resources::default();
        let invalid = &mut resources.invalid;
        collect(
            Kind::AppEventType,
            &self.event_types,
            as_before,
            invalid,
            |one| {
                resources.event_types.push(one);
            },
        );
        collect(Kind::Customer, &self.customers, as_before, invalid, |one| {
            resources.customers.push(one);
        });
        let kind = Kind::EventSubscription;
        collect(kind, &self.subscriptions, as_before, invalid, |one| {
            resources.subscriptions.push(one);
        });
        collect(
            Kind::EventGateway,
            &self.gateways,
            as_before,
            invalid,
            |one| {
                resources.gateways.push(one);
            },
        );
        let secrets = self.secrets.iter().map(|(name, data)| Secret {
            namespace: name.namespace.clone(),
            name: name.name.clone(),
            data: data.clone(),
        });
        resources.secrets.extend(secrets);
        let config_maps = self.config_maps.iter().map(|(name, data)| ConfigMap {
            namespace: name.namespace.clone(),
            name: name.name.clone(),
            data: data.clone(),
        });
        resources.config_maps.extend(config_maps);
        let namespaces = self.namespaces.iter().map(|(name, state)| Namespace {
            name: name.clone(),
            labels: state.labels.clone(),
        });
        resources.namespaces.extend(namespaces);
        resources
    }

    /// Whether an object that may be broken has a last good form that is another.
    pub fn has_former_form(&self, key: &ObjectReference) -> bool {
        let name = ObjectName::new(&key.namespace, &key.name);
        fn has<K>(objects: &Objects<K>, name: &ObjectName) -> bool
        where
            K: kube::Resource + Clone + Declares,
        {
            objects
                .get(name)
                .is_some_and(|known| known.former().is_some())
        }
        match kind_of(key) {
            Some(Kind::AppEventType) => has(&self.event_types, &name),
            Some(Kind::Customer) => has(&self.customers, &name),
            Some(Kind::EventSubscription) => has(&self.subscriptions, &name),
            Some(Kind::EventGateway) => has(&self.gateways, &name),
            None => false,
        }
    }

    /// Notes that the present form of an object can be used. Whether that is another than before.
    pub fn judged_good(&mut self, key: &ObjectReference) -> bool {
        let name = ObjectName::new(&key.namespace, &key.name);
        match kind_of(key) {
            Some(Kind::AppEventType) => self.event_types.judged_good(&name),
            Some(Kind::Customer) => self.customers.judged_good(&name),
            Some(Kind::EventSubscription) => self.subscriptions.judged_good(&name),
            Some(Kind::EventGateway) => self.gateways.judged_good(&name),
            None => false,
        }
    }

    /// What tells an object from another of the same name.
    pub fn identity(&self, kind: Kind, name: &ObjectName) -> Identity {
        let metadata = match kind {
            Kind::AppEventType => self.event_types.get(name).map(Known::metadata),
            Kind::Customer => self.customers.get(name).map(Known::metadata),
            Kind::EventSubscription => self.subscriptions.get(name).map(Known::metadata),
            Kind::EventGateway => self.gateways.get(name).map(Known::metadata),
        };
        let since = metadata.and_then(|metadata| metadata.creation_timestamp.as_ref());
        Identity {
            uid: metadata
                .and_then(|metadata| metadata.uid.clone())
                .unwrap_or_default(),
            since: since.map_or(Timestamp::UNIX_EPOCH, |time| time.0),
        }
    }

    /// Whether there is no EventSubscription of which nothing but the name is known. Whatever such
    /// a one wants of an app must not count as unwanted.
    pub fn knows_every_subscription(&self) -> bool {
        let mut all = self.subscriptions.iter();
        all.all(|(_, known)| known.present.is_ok() || known.last_good.is_some())
    }
}

/// The present form and the last good one.
fn forms<K>(known: &Known<K>) -> impl Iterator<Item = &K> {
    let present = known.present.as_ref().ok();
    present.into_iter().chain(&known.last_good).map(|it| &**it)
}

fn collect<K: kube::Resource + Clone + Declares>(
    kind: Kind,
    objects: &Objects<K>,
    as_before: &BTreeSet<ObjectReference>,
    invalid: &mut BTreeSet<ObjectReference>,
    mut add: impl FnMut(Arc<K>),
) {
    for (name, known) in objects.iter() {
        let former = || {
            as_before
                .contains(&kind.reference(name))
                .then(|| known.former())
        };
        let form = match &known.present {
            Ok(present) => Some(former().flatten().unwrap_or(present)),
            Err(_) => known.last_good.as_ref(),
        };
        match form {
            Some(form) => add(Arc::clone(form)),
            None => {
                invalid.insert(kind.reference(name));
            }
        }
    }
}

fn kind_of(key: &ObjectReference) -> Option<Kind> {
    let kinds = [
        Kind::AppEventType,
        Kind::Customer,
        Kind::EventSubscription,
        Kind::EventGateway,
    ];
    kinds.into_iter().find(|kind| kind.as_str() == key.kind)
}

impl Declares for AppEventType {
    fn declares_the_same(&self, other: &Self) -> bool {
        // An annotation lets registrations be made anew.
        self.spec == other.spec && self.metadata.annotations == other.metadata.annotations
    }
}

impl Declares for Customer {
    fn declares_the_same(&self, other: &Self) -> bool {
        self.spec == other.spec && self.metadata.labels == other.metadata.labels
    }
}

impl Declares for EventSubscription {
    fn declares_the_same(&self, other: &Self) -> bool {
        self.spec == other.spec
    }
}

impl Declares for UpstreamSubscription {
    fn declares_the_same(&self, other: &Self) -> bool {
        self.spec == other.spec
    }
}

impl Declares for EventGateway {
    fn declares_the_same(&self, other: &Self) -> bool {
        self.spec == other.spec
    }
}
