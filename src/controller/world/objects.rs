//! The objects of one kind, as watches tell of them. Pure.
//!
//! A watch that begins anew lists everything; what it does not list any more has gone. What cannot
//! be read as the kind it should be is kept by name, with what is wrong, and stops nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::DeserializeGuard;
use kube::core::error_boundary::InvalidObject;
use kube::runtime::watcher::Event;

use crate::event::ObjectName;

/// Where one watch looks: a namespace, or with `None` the whole cluster.
pub type Scope = Option<String>;

/// Two forms of one object that declare the same.
pub trait Declares {
    /// Whether nothing that counts is different: status, for example, does not.
    fn declares_the_same(&self, other: &Self) -> bool;
}

/// What a change may have an effect on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Nothing.
    Nothing,
    /// What an object shows: its status.
    Status,
    /// What is declared, or that something is there at all.
    Declared,
}

/// The objects of one kind.
#[derive(Debug)]
pub struct Objects<K> {
    known: BTreeMap<ObjectName, Known<K>>,
    /// What a listing that is under way has named so far.
    listings: BTreeMap<Scope, BTreeSet<ObjectName>>,
    listed: BTreeSet<Scope>,
}

/// One object.
#[derive(Debug)]
pub struct Known<K> {
    /// The object, without `managedFields`, or what is known of it.
    pub present: Result<Arc<K>, Box<Malformed>>,
    /// The last form of it that could be used; `None` if it never was good.
    pub last_good: Option<Arc<K>>,
}

/// What is known of an object that cannot be read as the kind it should be.
#[derive(Debug)]
pub struct Malformed {
    /// Its metadata, without `managedFields`.
    pub metadata: ObjectMeta,
    /// What is wrong with it.
    pub error: String,
}

impl<K> Default for Objects<K> {
    fn default() -> Self {
        Self {
            known: BTreeMap::new(),
            listings: BTreeMap::new(),
            listed: BTreeSet::new(),
        }
    }
}

impl<K: Resource> Known<K> {
    /// Its metadata, without `managedFields`.
    pub fn metadata(&self) -> &ObjectMeta {
        match &self.present {
            Ok(object) => object.meta(),
            Err(malformed) => &malformed.metadata,
        }
    }

    /// `metadata.uid`.
    pub fn uid(&self) -> &str {
        self.metadata().uid.as_deref().unwrap_or_default()
    }

    /// `metadata.generation`.
    pub fn generation(&self) -> Option<i64> {
        self.metadata().generation
    }

    /// Why it cannot be read, if it cannot.
    pub fn malformed(&self) -> Option<&str> {
        self.present.as_ref().err().map(|it| it.error.as_str())
    }
}

impl<K: Declares> Known<K> {
    /// The form that is served if the present one is broken: the last good one, where it is another.
    pub fn former(&self) -> Option<&Arc<K>> {
        let good = self.last_good.as_ref()?;
        match &self.present {
            Ok(present) if present.declares_the_same(good) => None,
            _ => Some(good),
        }
    }
}

impl<K: Resource + Clone + Declares> Objects<K> {
    /// Takes in what a watch tells, and says what that is about.
    pub fn apply(&mut self, scope: &Scope, event: Event<DeserializeGuard<K>>) -> Effect {
        match event {
            Event::Init => {
                self.listings.insert(scope.clone(), BTreeSet::new());
                Effect::Nothing
            }
            Event::InitApply(object) => {
                let (name, effect) = self.put(object);
                if let Some(listing) = self.listings.get_mut(scope) {
                    listing.insert(name);
                }
                effect
            }
            Event::InitDone => {
                let listing = self.listings.remove(scope).unwrap_or_default();
                let before = self.known.len();
                self.known.retain(|name, _| {
                    let is_seen = listing.contains(name);
                    is_seen || scope.as_ref().is_some_and(|it| *it != name.namespace)
                });
                let is_first = self.listed.insert(scope.clone());
                declared(is_first || self.known.len() != before)
            }
            Event::Apply(object) => self.put(object).1,
            Event::Delete(object) => {
                let metadata = object.meta();
                let name = name_of(metadata);
                let is_it = self.known.get(&name).is_some_and(|known| {
                    known.metadata().uid == metadata.uid || is_newer(metadata, known.metadata())
                });
                declared(is_it && self.known.remove(&name).is_some())
            }
        }
    }

    /// Takes in the answer to a write of ours. It may come after the watch has told that the object
    /// is gone: it brings nothing back.
    pub fn written(&mut self, object: DeserializeGuard<K>) -> Effect {
        let metadata = object.meta();
        let known = self.known.get(&name_of(metadata));
        match known.is_some_and(|known| known.metadata().uid == metadata.uid) {
            true => self.put(object).1,
            false => Effect::Nothing,
        }
    }

    fn put(&mut self, object: DeserializeGuard<K>) -> (ObjectName, Effect) {
        let mut new = Known {
            present: read(object),
            last_good: None,
        };
        let name = name_of(new.metadata());
        let known = self.known.get(&name);
        // The answer to a write of ours may come in before what the watch tells of earlier.
        if known.is_some_and(|known| !is_newer(new.metadata(), known.metadata())) {
            return (name, Effect::Nothing);
        }
        let effect = match known {
            Some(known) if is_the_same(known, &new) => Effect::Status,
            _ => Effect::Declared,
        };
        let good = known
            .filter(|known| known.metadata().uid == new.metadata().uid)
            .and_then(|known| known.last_good.as_ref());
        new.last_good = good.map(|good| match &new.present {
            // What declares the same is good as well, and one of both is enough to keep.
            Ok(present) if present.declares_the_same(good) => Arc::clone(present),
            _ => Arc::clone(good),
        });
        self.known.insert(name.clone(), new);
        (name, effect)
    }

    /// Whether everything in these scopes was listed once.
    pub fn is_listed(&self, scopes: &[Scope]) -> bool {
        scopes.iter().all(|scope| self.listed.contains(scope))
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&ObjectName, &Known<K>)> {
        self.known.iter()
    }

    /// The object of that name.
    pub fn get(&self, name: &ObjectName) -> Option<&Known<K>> {
        self.known.get(name)
    }

    /// Notes that the present form can be used. Whether that is another than before.
    pub fn judged_good(&mut self, name: &ObjectName) -> bool {
        let Some(known) = self.known.get_mut(name) else {
            return false;
        };
        let Ok(present) = &known.present else {
            return false;
        };
        let is_same = |good: &Arc<K>| good.declares_the_same(present);
        let changed = !known.last_good.as_ref().is_some_and(is_same);
        known.last_good = Some(Arc::clone(present));
        changed
    }

    /// Notes a form that was good in an earlier life of the process, if none is known since and it
    /// is of the same object.
    pub fn was_good(&mut self, name: &ObjectName, uid: &str, object: K) {
        if let Some(known) = self.known.get_mut(name)
            && known.uid() == uid
        {
            known.last_good.get_or_insert_with(|| Arc::new(object));
        }
    }
}

fn declared(changed: bool) -> Effect {
    match changed {
        true => Effect::Declared,
        false => Effect::Nothing,
    }
}

/// Whether a form declares what the known one does, and is of the same object.
fn is_the_same<K: Resource + Declares>(known: &Known<K>, new: &Known<K>) -> bool {
    let is_declared_alike = match (&known.present, &new.present) {
        (Ok(known), Ok(new)) => known.declares_the_same(new),
        (Err(known), Err(new)) => known.error == new.error,
        _ => false,
    };
    let (known, new) = (known.metadata(), new.metadata());
    is_declared_alike
        && known.uid == new.uid
        && known.deletion_timestamp.is_some() == new.deletion_timestamp.is_some()
}

fn name_of(metadata: &ObjectMeta) -> ObjectName {
    ObjectName::new(
        metadata.namespace.clone().unwrap_or_default(),
        metadata.name.clone().unwrap_or_default(),
    )
}

/// The object, without what nothing reads.
fn read<K: Resource>(object: DeserializeGuard<K>) -> Result<Arc<K>, Box<Malformed>> {
    match object.0 {
        Ok(mut object) => {
            object.meta_mut().managed_fields = None;
            Ok(Arc::new(object))
        }
        Err(InvalidObject {
            error,
            mut metadata,
        }) => {
            metadata.managed_fields = None;
            Err(Box::new(Malformed { metadata, error }))
        }
    }
}

/// Whether a form is newer than the known one. Versions of one resource can be compared as numbers
/// since Kubernetes 1.35, and always could in practice.
fn is_newer(metadata: &ObjectMeta, known: &ObjectMeta) -> bool {
    let version = |metadata: &ObjectMeta| -> Option<u128> {
        metadata.resource_version.as_ref()?.parse().ok()
    };
    match (version(metadata), version(known)) {
        (Some(new), Some(old)) => new > old,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Customer;

    fn object(name: &str, version: &str, id: Option<&str>) -> DeserializeGuard<Customer> {
        let (namespace, name) = name.split_once('/').unwrap();
        let metadata = serde_json::json!({
            "namespace": namespace, "name": name, "uid": "u1", "resourceVersion": version,
        });
        let spec = match id {
            Some(id) => serde_json::json!({"id": id}),
            None => serde_json::json!({"id": [1]}),
        };
        serde_json::from_value(serde_json::json!({
            "apiVersion": "tidegate.dev/v1alpha1", "kind": "Customer",
            "metadata": metadata, "spec": spec,
        }))
        .unwrap()
    }

    fn names(objects: &Objects<Customer>) -> Vec<String> {
        let all = objects.iter().map(|(name, known)| match &known.present {
            Ok(customer) => format!("{name}={}", customer.id()),
            Err(_) => format!("{name}?"),
        });
        all.collect()
    }

    #[test]
    fn a_watch_that_begins_anew_tells_what_has_gone_in_its_own_scope_only() {
        let mut objects = Objects::default();
        let here: Scope = Some("a".into());
        let there: Scope = Some("b".into());
        for scope in [&here, &there] {
            assert!(!objects.is_listed(&[here.clone(), there.clone()]));
            objects.apply(scope, Event::Init);
            let namespace = scope.clone().unwrap();
            for (name, version) in [("x", "1"), ("y", "2")] {
                let name = format!("{namespace}/{name}");
                objects.apply(scope, Event::InitApply(object(&name, version, Some("i"))));
            }
            assert_eq!(objects.apply(scope, Event::InitDone), Effect::Declared);
        }
        assert!(objects.is_listed(&[here.clone(), there.clone()]));
        objects.apply(&here, Event::Init);
        objects.apply(&here, Event::InitApply(object("a/y", "2", Some("i"))));
        // Nothing goes before the list is whole.
        assert_eq!(names(&objects), ["a/x=i", "a/y=i", "b/x=i", "b/y=i"]);
        assert_eq!(objects.apply(&here, Event::InitDone), Effect::Declared);
        assert_eq!(names(&objects), ["a/y=i", "b/x=i", "b/y=i"]);
    }

    #[test]
    fn a_malformed_object_keeps_its_place_and_its_last_good_form() {
        let mut objects = Objects::default();
        let scope: Scope = None;
        let name = ObjectName::new("a", "x");
        objects.apply(&scope, Event::Apply(object("a/x", "1", Some("good"))));
        assert!(objects.judged_good(&name));
        assert!(!objects.judged_good(&name));
        let broken = object("a/x", "2", None);
        assert_eq!(
            objects.apply(&scope, Event::Apply(broken)),
            Effect::Declared
        );
        assert_eq!(names(&objects), ["a/x?"]);
        assert!(!objects.judged_good(&name));
        let former = objects.get(&name).unwrap().former().unwrap();
        assert_eq!(former.id(), "good");
    }

    #[test]
    fn what_is_older_than_what_is_known_changes_nothing() {
        let mut objects = Objects::default();
        let scope: Scope = None;
        let mut check = |version: &str, id: &str, expected: Effect| {
            let event = Event::Apply(object("a/x", version, Some(id)));
            assert_eq!(objects.apply(&scope, event), expected, "{version}");
        };
        check("10", "new", Effect::Declared);
        check("9", "old", Effect::Nothing);
        check("10", "same", Effect::Nothing);
        // Only the status can be another.
        check("11", "new", Effect::Status);
        assert_eq!(names(&objects), ["a/x=new"]);
        let event = Event::Delete(object("a/x", "12", Some("new")));
        assert_eq!(objects.apply(&scope, event), Effect::Declared);
        // The answer to a write, which comes late, brings nothing back.
        let late = objects.written(object("a/x", "11", Some("new")));
        assert_eq!(late, Effect::Nothing);
        assert!(names(&objects).is_empty());
    }
}
