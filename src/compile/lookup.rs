//! The resources by name, and the rules about which namespace may refer to which.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::Resource;
use serde_json::Value;

use super::home::Home;
use super::{Environment, Identity, Kind, Others};
use crate::api::condition::reason;
use crate::api::{
    AppEventType, FieldsSource, KeyReference, NamespacesFrom, ObjectReference, Resources,
};
use crate::configuration::Sensitive;
use crate::event::ObjectName;
use crate::provision::Fields;

/// The resources by name.
pub(super) struct Lookup<'a> {
    pub resources: &'a Resources,
    pub environment: &'a Environment<'a>,
    secrets: HashMap<ObjectName, &'a BTreeMap<String, Sensitive>>,
    config_maps: HashMap<ObjectName, &'a BTreeMap<String, String>>,
    labels: HashMap<&'a str, &'a BTreeMap<String, String>>,
    event_types: HashMap<ObjectName, &'a AppEventType>,
    homes: HashMap<ObjectName, Home>,
    /// Every namespace that some object is in.
    pub namespaces: BTreeSet<&'a str>,
}

/// Why an object that is valid cannot go live: a reason and a sentence.
pub(super) type Waiting = (&'static str, String);

/// The name of an object; absent parts are empty, which the manifests' reader has refused before.
pub fn name_of<K: Resource>(object: &K) -> ObjectName {
    let meta = object.meta();
    ObjectName::new(
        meta.namespace.clone().unwrap_or_default(),
        meta.name.clone().unwrap_or_default(),
    )
}

impl<'a> Lookup<'a> {
    pub fn new(resources: &'a Resources, environment: &'a Environment<'a>) -> Self {
        let named = |namespace: &str, name: &str| ObjectName::new(namespace, name);
        let secrets = resources.secrets.iter();
        let config_maps = resources.config_maps.iter();
        let mut lookup = Self {
            resources,
            environment,
            secrets: secrets
                .map(|one| (named(&one.namespace, &one.name), &one.data))
                .collect(),
            config_maps: config_maps
                .map(|one| (named(&one.namespace, &one.name), &one.data))
                .collect(),
            labels: resources
                .namespaces
                .iter()
                .map(|one| (&*one.name, &one.labels))
                .collect(),
            event_types: resources
                .event_types
                .iter()
                .map(|kind| (name_of(&**kind), &**kind))
                .collect(),
            homes: HashMap::new(),
            namespaces: namespaces(resources),
        };
        let types = resources.event_types.iter();
        lookup.homes = types
            .map(|kind| (name_of(&**kind), Home::of(&lookup, kind)))
            .collect();
        lookup
    }

    /// Which gateway a type belongs to.
    pub fn home(&self, event_type: &ObjectName) -> Home {
        self.homes.get(event_type).cloned().unwrap_or(Home::Here)
    }

    /// Whether this compilation speaks of a type, if there is such a one.
    pub fn speaks_of_type(&self, event_type: &ObjectName) -> bool {
        match self.homes.get(event_type) {
            Some(home) => home.is_spoken_of(self.environment),
            None => self.speaks_of_homeless(),
        }
    }

    /// Whether this compilation speaks of what belongs to no gateway.
    pub fn speaks_of_homeless(&self) -> bool {
        match self.environment.others {
            Others::Told => true,
            Others::LeftOut { speaks_of_homeless } => speaks_of_homeless,
        }
    }

    /// Whether there is such an object, though it is wrong in itself.
    pub fn is_invalid(&self, kind: Kind, name: &ObjectName) -> bool {
        self.resources.invalid.contains(&kind.reference(name))
    }

    pub fn identity(&self, kind: Kind, name: &ObjectName) -> Identity {
        (self.environment.identity)(kind, name)
    }

    pub fn event_type(&self, name: &ObjectName) -> Option<&'a AppEventType> {
        self.event_types.get(name).copied()
    }

    /// A value of a Secret. An empty one counts as missing: an empty key never matches.
    pub fn secret_key(&self, namespace: &str, key: &KeyReference) -> Result<Sensitive, Waiting> {
        let KeyReference { name, key } = key;
        let missing = |detail: String| (reason::SECRET_NOT_FOUND, detail);
        let secret = self
            .secrets
            .get(&ObjectName::new(namespace, name))
            .ok_or_else(|| missing(format!("Secret {namespace}/{name} does not exist")))?;
        match secret.get(key) {
            None => Err(missing(format!(
                "Secret {namespace}/{name} has no key {key}"
            ))),
            Some(value) if value.is_empty() => Err(missing(format!(
                "key {key} of Secret {namespace}/{name} is empty"
            ))),
            Some(value) => Ok(value.clone()),
        }
    }

    /// A text of a ConfigMap.
    pub fn config_map_key(&self, namespace: &str, key: &KeyReference) -> Result<&'a str, Waiting> {
        let KeyReference { name, key } = key;
        let missing = |detail: String| (reason::CONFIG_MAP_NOT_FOUND, detail);
        let map = self
            .config_maps
            .get(&ObjectName::new(namespace, name))
            .ok_or_else(|| missing(format!("ConfigMap {namespace}/{name} does not exist")))?;
        map.get(key)
            .map(String::as_str)
            .ok_or_else(|| missing(format!("ConfigMap {namespace}/{name} has no key {key}")))
    }

    /// The fields of a Customer or an app: those written out and those that sources add. Sources
    /// that are missing are returned beside them.
    pub fn fields(
        &self,
        namespace: &str,
        written: &BTreeMap<String, Value>,
        sources: &[FieldsSource],
    ) -> (Fields, Option<Waiting>) {
        let mut fields = Fields::default();
        let mut waiting = None;
        for source in sources {
            if let Some(reference) = &source.secret_ref {
                let name = ObjectName::new(namespace, &reference.name);
                match self.secrets.get(&name) {
                    Some(secret) => {
                        for (key, value) in *secret {
                            fields.plain.remove(key);
                            fields.sensitive.insert(key.clone(), value.clone());
                        }
                    }
                    None => {
                        let message = format!("Secret {name} does not exist");
                        waiting.get_or_insert((reason::SECRET_NOT_FOUND, message));
                    }
                }
            }
            if let Some(reference) = &source.config_map_ref {
                let name = ObjectName::new(namespace, &reference.name);
                match self.config_maps.get(&name) {
                    Some(map) => {
                        for (key, value) in *map {
                            fields.sensitive.remove(key);
                            fields
                                .plain
                                .insert(key.clone(), Value::String(value.clone()));
                        }
                    }
                    None => {
                        let message = format!("ConfigMap {name} does not exist");
                        waiting.get_or_insert((reason::CONFIG_MAP_NOT_FOUND, message));
                    }
                }
            }
        }
        for (key, value) in written {
            fields.sensitive.remove(key);
            fields.plain.insert(key.clone(), value.clone());
        }
        (fields, waiting)
    }

    /// Whether an object of namespace `owner` admits `other`.
    pub fn admits(
        &self,
        owner: &str,
        from: NamespacesFrom,
        selector: Option<&LabelSelector>,
        other: &str,
    ) -> bool {
        match from {
            NamespacesFrom::Same => owner == other,
            NamespacesFrom::All => true,
            NamespacesFrom::Selector => {
                // The API server gives every namespace this label.
                let name_label = ("kubernetes.io/metadata.name".to_owned(), other.to_owned());
                let mut labels = self.labels.get(other).copied().cloned().unwrap_or_default();
                labels.extend([name_label]);
                selector.is_some_and(|selector| selects(selector, &labels))
            }
        }
    }
}

/// Every namespace that some object is in.
fn namespaces(resources: &Resources) -> BTreeSet<&str> {
    let metas = (resources.gateways.iter().map(|it| it.meta()))
        .chain(resources.event_types.iter().map(|it| it.meta()))
        .chain(resources.customers.iter().map(|it| it.meta()))
        .chain(resources.subscriptions.iter().map(|it| it.meta()));
    let invalid = resources
        .invalid
        .iter()
        .map(|object: &ObjectReference| object.namespace.as_str());
    metas
        .filter_map(|meta| meta.namespace.as_deref())
        .chain(resources.secrets.iter().map(|one| one.namespace.as_str()))
        .chain(
            resources
                .config_maps
                .iter()
                .map(|one| one.namespace.as_str()),
        )
        .chain(resources.namespaces.iter().map(|one| one.name.as_str()))
        .chain(invalid)
        .filter(|namespace| !namespace.is_empty())
        .collect()
}

/// Whether a label selector selects these labels. An empty selector selects everything.
pub(super) fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let matches = selector
        .match_labels
        .iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value));
    matches
        && selector.match_expressions.iter().flatten().all(|rule| {
            let value = labels.get(&rule.key);
            let listed =
                value.is_some_and(|value| rule.values.iter().flatten().any(|one| one == value));
            match rule.operator.as_str() {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                // The structural schema admits no other; selecting nothing is the careful answer.
                _ => false,
            }
        })
}
