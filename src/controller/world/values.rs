//! Secrets and ConfigMaps: which there are, in which version, and the values of those that
//! something refers to. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::Event;

use super::objects::Scope;
use crate::event::ObjectName;

/// What is to be read: names, each with the version that there is at the least.
pub type Unread = Vec<(ObjectName, String)>;

/// What is known of all Secrets, or of all ConfigMaps.
#[derive(Debug)]
pub struct Values<V> {
    /// The version of each that there is.
    versions: HashMap<ObjectName, String>,
    listings: BTreeMap<Scope, BTreeSet<ObjectName>>,
    listed: BTreeSet<Scope>,
    /// What something refers to.
    wanted: BTreeSet<ObjectName>,
    fetched: BTreeMap<ObjectName, Fetched<V>>,
}

/// The values of one object.
#[derive(Clone, Debug)]
pub struct Fetched<V> {
    /// The version that they are of.
    pub version: String,
    /// The values.
    pub data: BTreeMap<String, V>,
}

impl<V> Default for Values<V> {
    fn default() -> Self {
        Self {
            versions: HashMap::new(),
            listings: BTreeMap::new(),
            listed: BTreeSet::new(),
            wanted: BTreeSet::new(),
            fetched: BTreeMap::new(),
        }
    }
}

impl<V> Values<V> {
    /// Takes in what a watch tells. Whether it is about something that is referred to.
    pub fn apply<K: Resource>(
        &mut self,
        scope: &Scope,
        event: Event<PartialObjectMeta<K>>,
    ) -> bool {
        match event {
            Event::Init => {
                self.listings.insert(scope.clone(), BTreeSet::new());
                false
            }
            Event::InitApply(object) => {
                let (name, changed) = self.put(&object.metadata);
                if let Some(listing) = self.listings.get_mut(scope) {
                    listing.insert(name);
                }
                changed
            }
            Event::InitDone => {
                let listing = self.listings.remove(scope).unwrap_or_default();
                self.versions.retain(|name, _| {
                    let is_seen = listing.contains(name);
                    is_seen || scope.as_ref().is_some_and(|it| *it != name.namespace)
                });
                self.forget_what_has_gone();
                self.listed.insert(scope.clone());
                true
            }
            Event::Apply(object) => self.put(&object.metadata).1,
            Event::Delete(object) => {
                let name = name_of(&object.metadata);
                self.versions.remove(&name);
                self.fetched.remove(&name);
                self.wanted.contains(&name)
            }
        }
    }

    fn put(&mut self, metadata: &ObjectMeta) -> (ObjectName, bool) {
        let name = name_of(metadata);
        let version = metadata.resource_version.clone().unwrap_or_default();
        self.versions.insert(name.clone(), version);
        let is_wanted = self.wanted.contains(&name);
        (name, is_wanted)
    }

    fn forget_what_has_gone(&mut self) {
        let Self {
            fetched, versions, ..
        } = self;
        fetched.retain(|name, _| versions.contains_key(name));
    }

    /// Whether everything in these scopes was listed once.
    pub fn is_listed(&self, scopes: &[Scope]) -> bool {
        scopes.iter().all(|scope| self.listed.contains(scope))
    }

    /// From now on these are referred to; of others no value is kept.
    pub fn want(&mut self, wanted: BTreeSet<ObjectName>) {
        self.fetched.retain(|name, _| wanted.contains(name));
        self.wanted = wanted;
    }

    /// What is to be read, because something refers to it and its present version is not known.
    pub fn to_fetch(&self) -> Unread {
        let due = self.wanted.iter().filter_map(|name| {
            let version = self.versions.get(name)?;
            let fetched = self.fetched.get(name);
            let is_read = fetched.is_some_and(|it| it.version == *version);
            (!is_read).then(|| (name.clone(), version.clone()))
        });
        due.collect()
    }

    /// Takes in what was read; `None`: it is not there any more. Whether that is another than
    /// before.
    pub fn fetched(&mut self, name: ObjectName, fetched: Option<Fetched<V>>) -> bool
    where
        V: PartialEq,
    {
        if !self.wanted.contains(&name) {
            return false;
        }
        let Some(fetched) = fetched else {
            self.versions.remove(&name);
            return self.fetched.remove(&name).is_some();
        };
        // What was read may be newer than what the watch has told of; then that comes later.
        if let Some(version) = self.versions.get_mut(&name) {
            let number = |text: &str| text.parse::<u128>().ok();
            if number(&fetched.version) > number(version) {
                version.clone_from(&fetched.version);
            }
        }
        let before = self.fetched.insert(name.clone(), fetched);
        let after = self.fetched.get(&name);
        before.as_ref().map(|it| &it.data) != after.map(|it| &it.data)
    }

    /// The values of all that are referred to and there.
    pub fn iter(&self) -> impl Iterator<Item = (&ObjectName, &BTreeMap<String, V>)> {
        self.fetched.iter().map(|(name, it)| (name, &it.data))
    }
}

fn name_of(metadata: &ObjectMeta) -> ObjectName {
    ObjectName::new(
        metadata.namespace.clone().unwrap_or_default(),
        metadata.name.clone().unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Secret;

    fn meta(name: &str, version: &str) -> PartialObjectMeta<Secret> {
        let metadata = ObjectMeta {
            namespace: Some("shop".into()),
            name: Some(name.into()),
            resource_version: Some(version.into()),
            ..ObjectMeta::default()
        };
        PartialObjectMeta {
            metadata,
            ..PartialObjectMeta::default()
        }
    }

    fn read(version: &str, value: &str) -> Option<Fetched<String>> {
        let data = BTreeMap::from([("key".to_owned(), value.to_owned())]);
        let version = version.to_owned();
        Some(Fetched { version, data })
    }

    #[test]
    fn only_what_is_referred_to_is_read_and_again_when_its_version_changes() {
        let mut values: Values<String> = Values::default();
        let name = ObjectName::new("shop", "token");
        let scope: Scope = None;
        values.apply::<Secret>(&scope, Event::Init);
        values.apply(&scope, Event::InitApply(meta("token", "5")));
        values.apply(&scope, Event::InitApply(meta("other", "6")));
        values.apply::<Secret>(&scope, Event::InitDone);
        assert!(values.is_listed(&[None]));
        assert!(values.to_fetch().is_empty());
        values.want([name.clone(), ObjectName::new("shop", "absent")].into());
        assert_eq!(values.to_fetch(), [(name.clone(), "5".to_owned())]);
        assert!(values.fetched(name.clone(), read("5", "a")));
        assert!(values.to_fetch().is_empty());
        assert!(!values.apply(&scope, Event::Apply(meta("other", "7"))));
        assert!(values.apply(&scope, Event::Apply(meta("token", "8"))));
        assert_eq!(values.to_fetch(), [(name.clone(), "8".to_owned())]);
        // The same values in another version are nothing new.
        assert!(!values.fetched(name.clone(), read("8", "a")));
        assert!(values.to_fetch().is_empty());
        // What was read is newer than what was told of.
        assert!(values.apply(&scope, Event::Apply(meta("token", "9"))));
        assert!(values.fetched(name.clone(), read("12", "b")));
        assert!(values.to_fetch().is_empty());
        values.apply(&scope, Event::Delete(meta("token", "13")));
        assert_eq!(values.iter().count(), 0);
    }
}
